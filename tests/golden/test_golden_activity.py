"""Does the golden core count and store what semantics section 5 and microarchitecture section 11 say of networks?"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from golden_builders import (
    BELOW,
    HIDDEN,
    READOUT,
    conv_layer,
    dense_twin,
    draw_samples,
    draw_weights,
    make_spec,
    run,
    total,
)

from neurochip.activity import FIELD_INDEX
from neurochip.errors import UserError
from neurochip.reference.core import GoldenCore
from neurochip.spec import CoreSpec
from neurochip.topology import Connection, ConvShape


def test_activity_of_one_step_of_a_convolution_by_hand() -> None:
    # 1 x 3 x 6 -> 1 x 2 x 6 in 2 groups with a kernel of 2: columns of 3 in words of 2, blocks (x', group) = 0 ... 3.
    # Address 6 x + c; x = 0 and 2 have one tap, x = 1 two. The kernel is 0 and the bias 15, so u = 15, psi = 15.
    # The readout gives g = -4 to outputs 0, 1, 2 (block 0), 7 (block 2) and 11 (block 3), 0 to the others.
    # So blocks 0 to 3 have 2, 0, 1, 1 words and 3, 0, 1, 1 values that are not 0.
    shape = ConvShape(1, 3, 6, 6, 1, 2, groups=2)
    spec = make_spec(
        conv_layer(shape, bias=True, keeps_trace=True), replace(READOUT, n_in=12), credit="trace", rate_multiplier=1
    )
    kernel = [[0] * 3 for _ in range(12)] + [[15] * 3] * 2
    rows = [[3, -5] if output in (0, 1, 2, 7, 11) else [0, 0] for output in range(12)] + [[0, 0]]
    # Events: x = 1, c = 0 and 1 (one word of channels of group 0), and x = 2, c = 5 (group 1).
    core, result = run(spec, [kernel, rows], [[(6, 1), (7, 1), (17, 1)]])
    assert result.probes["signal/0"] == [[[-4, -4, -4, 0, 0, 0, 0, -4, 0, 0, 0, -4]]]
    counted = {name: [total(result, name, layer) for layer in (0, 1)] for name in FIELD_INDEX}
    assert {name: values for name, values in counted.items() if any(values)} == {
        "events": [3, 0],
        "deliver_taps": [2 + 2 + 1, 0],
        "psi_nonzero": [12, 0],
        "trace_words": [2, 0],
        "trace_nonzero": [3, 0],
        "signal_nonzero": [5, 2],
        "signal_words": [4, 1],
        "signal_steps": [1, 1],
        # Per channel of group 0: x = 0 block 0, x = 1 blocks 0 and 2, x = 2 block 2; of group 1: 1; 1 and 3; 3.
        "all_tap_words": [3 * (2 + 3 + 1 + 0 + 1 + 1), 12],
        "all_tap_products": [3 * (3 + 4 + 1 + 0 + 1 + 1), 24],
        "psi_rows": [0, 12],
        "psi_taps": [0, 12],
        "error_rows": [0, 12],
        "error_words": [0, 12],
        "error_products": [0, 24],
        "presynaptic_rows": [3 + 2, 0],  # a bias row per group
        "presynaptic_taps": [5 + 2 * 2, 0],
        "update_rows": [5, 0],
        "update_tiles": [(2 + 1) + 1, 0],  # word of 6 and 7 with blocks 0, 2; word of 17 with block 3
        "update_words": [3 + 3 + 1 + 3 + 1, 0],
        "update_products": [4 + 4 + 1 + 4 + 1, 0],
        "weight_words": [3 + 3 + 1 + 2 + 1, 0],  # the bias of group 0 sums blocks 0 and 2 in 2 words
    }
    # S = 2 + 4 + 3 - 4 = 5: bias of group 0: 15 + (4 * (4, 4 + 4, 4) >> 5), of group 1 15 + (4 * (0, 0, 4) >> 5).
    assert core.weights[0][12:] == [[15, 16, 15], [15, 15, 15]]


def test_words_of_traces_begin_anew_with_every_group_and_position() -> None:
    # Channels 3, 4, 5 are group 1: in words of two {3, 4} and {5}; channels 0 of two positions never share a word.
    shape = ConvShape(1, 3, 6, 6, 1, 2, groups=2)
    layer = conv_layer(shape, keeps_trace=True)
    spec = make_spec(layer, replace(READOUT, n_in=12), credit="trace", trace_lanes=2, synapse_lanes=1)
    weights = draw_weights(spec, seed=1)
    for events, words in (([3, 4], 1), ([4, 5], 2), ([2, 3], 2), ([0, 6, 12], 3), ([12, 13, 14, 15, 16, 17], 4)):
        _, result = run(spec, weights, [[(address, 1) for address in events]])
        assert total(result, "trace_words", 0) == words


@pytest.mark.parametrize("lanes", [1, 2, 3])
def test_activity_of_a_convolution_is_that_of_the_pairs_of_its_dense_twin(lanes: int) -> None:
    shapes = (ConvShape(4, 3, 2, 4, 3, 2, stride_y=2, padding_y=1), ConvShape(2, 2, 4, 6, 2, 2, padding_x=1, groups=2))
    readout = replace(READOUT, n_in=shapes[1].n_out)
    spec = make_spec(*map(conv_layer, shapes), readout, synapse_lanes=lanes, rate_shift=20, n_steps=1)
    weights = draw_weights(spec, seed=31)
    samples = draw_samples(shapes[0].n_in, 1, seed=32, n_samples=6)
    core = GoldenCore(spec, weights)
    result = core.run(samples, learn=True)
    _, tied = dense_twin(shapes[1], weights[1])
    o = shapes[1].columns
    blocks = [{output // o for output, copy in enumerate(copies) if copy != (-1, -1)} for copies in tied]
    wanted = dict.fromkeys(("deliver_taps", "psi_rows", "psi_taps"), 0)
    wanted |= {f"{name}_{what}": 0 for name in ("all_tap", "error", "update") for what in ("words", "products")}
    for k in range(len(samples)):
        signal = result.probes["signal/1"][k][0]
        words = {b: len({(j - b * o) // lanes for j in range(b * o, b * o + o) if signal[j]}) for b in range(6)}
        values = {b: sum(1 for v in signal[b * o : b * o + o] if v) for b in words}
        for i in range(shapes[1].n_in):
            spiked, psi = result.probes["spike/0"][k][0][i], result.probes["psi/0"][k][0][i]
            wanted["deliver_taps"] += spiked * len(blocks[i])
            wanted["psi_rows"] += psi != 0
            wanted["psi_taps"] += (psi != 0) * len(blocks[i])
            for name, counts in (("all_tap", 1), ("error", psi != 0), ("update", spiked)):
                wanted[f"{name}_words"] += counts * sum(words[b] for b in blocks[i])
                wanted[f"{name}_products"] += counts * sum(values[b] for b in blocks[i])
    assert {name: total(result, name, 1) for name in wanted} == wanted
    assert min(wanted.values()) > 0
    assert max(wanted["update_words"], wanted["error_words"]) < wanted["all_tap_words"]


class TestFootprint:
    # 4 x 4 x 2 -> conv 3 x 3, stride 1, pad 1: 4 x 4 x 4 in 2 groups, rows 18 + 2 of 2 columns. Average pool 2 x 2 ->
    # 16 addresses, with 3 recurrent ones: dense of 3. Head on the conv (pooled too), readout on the dense layer.
    SHAPE = ConvShape(4, 4, 2, 4, 3, 3, padding_y=1, padding_x=1, groups=2)
    CONV, DENSE, HEAD, LAST = 20 * 2, 19 * 3, 17 * 2, 4 * 2

    def spec(self, **changes: Any) -> CoreSpec:
        pool = Connection(0, 4, 4, 4, 2, 2)
        keeps = {"keeps_trace": changes.get("credit") == "trace"}
        dense = replace(HIDDEN, n_in=19, n_out=3, **keeps, frac_event=2, frac_potential=6)
        dense = replace(dense, inputs=(pool, Connection(1, 3, delay=1, offset=16)))
        head = replace(READOUT, n_in=16, bias=True, inputs=(replace(pool, carries_error=True),), learns=False)
        readout = replace(READOUT, n_in=3, bias=True, leak_kind="shift", leak_value=2, inputs=(Connection(1, 3),))
        layers = (conv_layer(self.SHAPE, bias=True, **keeps), dense, head, readout)
        return make_spec(*layers, readout_bits=20, delta_bits=12, event_bits=1, n_steps=5, **changes)

    def footprint(self, **changes: Any) -> dict[str, int]:
        spec = self.spec(**changes)
        return GoldenCore(spec, draw_weights(spec, seed=1)).footprint_bits()

    def test_inference_stores_no_head(self) -> None:
        synapse = (self.CONV + self.DENSE + self.LAST) * 8
        neuron = 67 * 8 + 2 * 20 + 2 * (20 + 3)
        expected = {"synapse": synapse, "neuron": neuron, "trace": 0, "error": 0, "gradient": 0, "history": 0}
        assert self.footprint(credit="none", update="none") == expected

    def test_accumulated_traces(self) -> None:
        # X: two connections of 16 addresses lead back to the conv; the readout is the one way back to the dense layer.
        assert self.footprint(credit="trace", update="accumulate", momentum_shift=2) == {
            "synapse": (self.CONV + self.DENSE + self.HEAD + self.LAST) * 8,
            "neuron": 67 * 8 + 2 * 2 * 20 + 2 * (20 + 3),
            "trace": (32 + 19) * 4,
            "error": 67 * (4 + 8) + 2 * 2 * 8 + (16 + 16) * 32,
            "gradient": 2 * (self.CONV + self.DENSE + self.LAST) * 16,
            "history": 0,
        }

    def test_windows_of_three_steps(self) -> None:
        # Under unroll the dense layer is recurrent: X along the delayed connection and from the readout, 3 each.
        found = self.footprint(credit="unroll", unroll_steps=3)
        assert found["error"] == 2 * 8 + (67 + 2) * 12 + (16 + 16 + 3 + 3) * 32
        assert found["history"] == 3 * (32 * 1 + 67 * (1 + 4) + 2 * 2 * 8)
        assert self.footprint(credit="unroll")["history"] == 5 * (32 * 1 + 67 * (1 + 4) + 2 * 2 * 8)


FEEDBACK = replace(READOUT, kind="feedback", learns=False, signal_of=2, inputs=(Connection(0, 1),))
DELAYED = (Connection(-1, 1), Connection(0, 1, delay=1, offset=1))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (make_spec(update="accumulate", apply_when="deferred", batch=2), "batch"),
        (make_spec(update="accumulate", apply_when="window"), "unroll"),
        (make_spec(update="accumulate", apply_when="often"), "apply_when"),
        (make_spec(momentum_shift=3), "momentum"),
        (make_spec(update="accumulate", momentum_shift=16), "at most 15"),
        (make_spec(loss_start=0), "loss_start"),
        (make_spec(update_every=0), "update_every"),
        (make_spec(unroll_steps=-1), "unroll"),
        (make_spec(HIDDEN, replace(FEEDBACK, bias=True), replace(READOUT, inputs=(Connection(0, 1),))), "no bias"),
        (make_spec(HIDDEN, replace(FEEDBACK, signal_of=None), replace(READOUT, inputs=(Connection(0, 1),))), "name"),
        (make_spec(HIDDEN, replace(FEEDBACK, n_out=3), replace(READOUT, inputs=(Connection(0, 1),))), "outputs"),
        (make_spec(HIDDEN, replace(READOUT, n_out=3), replace(READOUT, inputs=(Connection(0, 1),))), "outputs"),
        (make_spec(replace(HIDDEN, n_in=3, inputs=(*DELAYED, replace(DELAYED[1], offset=2))), READOUT), "delay 1"),
        (make_spec(replace(HIDDEN, inputs=(Connection(-1, 1, delay=1),)), READOUT), "delay 1"),
        (make_spec(replace(HIDDEN, inputs=(Connection(-1, 1), Connection(-1, 2, width=1, pool_width=1)), n_in=2),
                   READOUT), "one number"),
    ],
)  # fmt: skip
def test_what_the_page_does_not_define_is_refused(spec: CoreSpec, message: str) -> None:
    with pytest.raises(UserError, match=message):
        GoldenCore(spec, draw_weights(spec, seed=1))


def test_weights_have_the_rows_and_columns_of_their_kernel() -> None:
    spec = make_spec(conv_layer(ConvShape(1, 3, 1, 1, 1, 2)), replace(READOUT, n_in=2))
    with pytest.raises(UserError, match="3 rows of 1 columns"):
        GoldenCore(spec, [[[1], [2]], [[0, 0]] * 3])
    with pytest.raises(UserError, match="no bias"):
        GoldenCore(spec, [[[1], [2], [3]], [[0, 0]] * 3])


def test_addresses_are_those_of_the_input_of_the_network() -> None:
    pooled = replace(HIDDEN, inputs=(Connection(-1, 1, 2, 2, 2, 2),))
    _, result = run(make_spec(pooled, READOUT), BELOW, [[(3, 1)]])
    assert result.probes["potential/0"] == [[[15]]]
    with pytest.raises(UserError, match="0 to 3"):
        run(make_spec(pooled, READOUT), BELOW, [[(4, 1)]])
