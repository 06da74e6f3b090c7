"""Do convolutions, pools and connections of the golden core follow docs/semantics.md, section 3?"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from golden_builders import (
    HIDDEN,
    READOUT,
    conv_layer,
    dense_twin,
    draw_samples,
    draw_weights,
    make_spec,
    run,
    tied_sum,
    total,
)

from neurochip.reference.core import GoldenCore
from neurochip.spec import CoreSpec
from neurochip.topology import Connection, ConvShape

# Two groups, unequal strides, padding on one axis: 5 x 4 x 2 -> 3 x 3 x 4 -> 2 x 2 x 2.
FIRST = ConvShape(5, 4, 2, 4, 3, 2, stride_y=2, stride_x=1, padding_y=1, padding_x=0, groups=2)
SECOND = ConvShape(3, 3, 4, 2, 2, 2)


class TestConvolution:
    @pytest.mark.parametrize("bias", [False, True])
    @pytest.mark.parametrize("deliver", ["synapse", "neuron"])
    @pytest.mark.parametrize("credit", ["trace", "spike", "unroll"])
    def test_it_is_the_dense_layer_with_tied_weights(self, credit: str, deliver: str, bias: bool) -> None:
        formats = {"bias": bias, "keeps_trace": credit == "trace", "threshold_q": 40}
        if credit == "trace":
            formats |= {"frac_trace": 0}
        readout = replace(READOUT, n_in=SECOND.n_out, bias=bias)
        convs = make_spec(
            *(conv_layer(shape, **formats) for shape in (FIRST, SECOND)), readout,
            credit=credit, deliver=deliver, update="accumulate", batch=9, gradient_bits=32, n_steps=4,
        )  # fmt: skip
        weights = draw_weights(convs, seed=3, largest=60)
        twins = [dense_twin(shape, kernel) for shape, kernel in zip((FIRST, SECOND), weights, strict=False)]
        dense = replace(
            convs, layers=(*(replace(layer, kind="dense", conv=None) for layer in convs.layers[:2]), readout)
        )
        samples = draw_samples(FIRST.n_in, 4, seed=4, n_samples=2)
        conv_core, dense_core = GoldenCore(convs, weights), GoldenCore(dense, [*(t[0] for t in twins), weights[2]])
        conv_run, dense_run = (core.run(samples, True, end_of_epoch=False) for core in (conv_core, dense_core))
        assert conv_run.probes == dense_run.probes
        assert any(
            v for layer in (0, 1) for steps in conv_run.probes[f"signal/{layer}"] for step in steps for v in step
        )
        for field in ("spikes", "psi_nonzero", "sat_membrane", "sat_error", "underflow_error", "signal_nonzero"):
            assert total(conv_run, field, 0) == total(dense_run, field, 0)
            assert total(conv_run, field, 1) == total(dense_run, field, 1)
        for layer, shape in enumerate((FIRST, SECOND)):
            expected = tied_sum(shape, twins[layer][1], dense_core.gradients[layer])
            if not bias:
                expected[-shape.groups :] = [[0] * shape.columns] * shape.groups
            assert conv_core.gradients[layer] == expected
            assert any(map(any, expected))

    def test_a_weight_changes_once_by_the_sum_over_its_positions(self) -> None:
        # 1 x 3 x 1 -> 1 x 2 x 1 with a kernel of 2: u = [7 + 8, 7 + 8] = [15, 15], psi 15, no spike. e = [-8, 8].
        # X = [3 * -8 - 5 * 8, 1 * -8 + 2 * 8] = [-64, 8]: d = [-4, 8 / 16 -> 1], g = [-4, 15 / 16 -> 1].
        # D of tap 0: g_0 of input 0 and g_1 of input 1: -4 + 1 = -3; tap 1: g_0 of input 1 and g_1 of input 2: -3.
        # Nearest: 5 * 3 / 8 -> 2. Each copy by itself would have changed by round(2.5) = 3 and round(-5 / 8) = -1.
        shape = ConvShape(1, 3, 1, 1, 1, 2)
        spec = make_spec(conv_layer(shape), replace(READOUT, n_in=2), weight_rounding="nearest")
        core, result = run(spec, [[[7], [8], [0]], [[3, -5], [1, 2], [0, 0]]], [[(0, 1), (1, 1), (2, 1)]])
        assert result.probes["potential/0"] == [[[15, 15]]]
        assert result.probes["signal/0"] == [[[-4, 1]]]
        assert core.weights[0] == [[7 + 2], [8 + 2], [0]]

    def test_a_sum_of_zero_is_not_written_and_draws_nothing(self) -> None:
        # As above with a readout that makes g = [-4, 4]: the products of every weight cancel.
        shape = ConvShape(1, 3, 1, 1, 1, 2)
        spec = make_spec(conv_layer(shape), replace(READOUT, n_in=2), weight_rounding="stochastic")
        core, result = run(spec, [[[7], [8], [0]], [[3, -5], [-3, 5], [0, 0]]], [[(0, 1), (1, 1), (2, 1)]])
        assert result.probes["signal/0"] == [[[-4, 4]]]
        assert core.weights[0] == [[7], [8], [0]]
        assert [total(result, f, 0) for f in ("update_products", "weight_words", "random_advances")] == [4, 0, 0]


def pooled(connection: Connection, n_in: int, weights: Any, events: Any, **changes: Any) -> Any:
    spec = make_spec(replace(HIDDEN, n_in=n_in, inputs=(connection,), **changes), READOUT)
    return run(spec, [weights, [[3, -5], [0, 0]]], [events], learn=False)[1]


class TestPool:
    def test_it_renames_addresses_and_delivers_every_event(self) -> None:
        # 3 x 5 in windows of 2 x 2: addresses 0, 1, 5, 6 -> 0; 2, 3, 7, 8 -> 1; row 2 and column 4 are dropped.
        # 100, then 100 + 100 saturates at 127, then 27: the events of a window are added one by one.
        connection = Connection(-1, channels=1, height=3, width=5, pool_height=2, pool_width=2)
        weights = [[100], [-100], [0]]
        result = pooled(connection, 2, weights, [(0, 1), (4, 1), (6, 1), (8, 1), (10, 1)], threshold_q=127)
        assert result.probes["potential/0"] == [[[27]]]
        assert [total(result, f, 0) for f in ("events", "deliver_taps", "sat_membrane")] == [3, 3, 1]

    def test_order_is_that_of_the_source_not_of_the_input_address(self) -> None:
        # 2 x 4 x 1: source addresses 2, 5 go to 1, 0. In the order of the source 100 - 100 + 0 never saturates at all:
        # 100 (address 2), 200 -> 127 (address 3), 27 (address 5).
        connection = Connection(-1, channels=1, height=2, width=4, pool_height=2, pool_width=2)
        result = pooled(connection, 2, [[-100], [100], [0]], [(2, 1), (3, 1), (5, 1)], threshold_q=127)
        assert result.probes["potential/0"] == [[[27]]]

    def test_channels_first_and_offset(self) -> None:
        # 2 channels of 2 x 2, address (c 2 + y) 2 + x: address 5 is c = 1, (0, 1); the window 1 x 2 is at (0, 0).
        # It goes to 1 + (0 * 1 + 0) * 2 + 1 = 2; address 2 (c = 0, y = 1, x = 0) to 1 + (1 * 1 + 0) * 2 + 0 = 3.
        connection = Connection(-1, 2, 2, 2, pool_height=1, pool_width=2, offset=1, channels_first=True)
        weights = [[1], [2], [4], [8], [16], [0]]
        assert pooled(connection, 5, weights, [(5, 1)]).probes["potential/0"] == [[[4]]]
        assert pooled(connection, 5, weights, [(2, 3)]).probes["potential/0"] == [[[24]]]

    def test_an_average_pool_is_a_sum_pool_with_other_fracs(self) -> None:
        # Magnitudes in units of 1/4: in the finer potential of 6 bits the same integers are added.
        connection = Connection(-1, channels=1, height=2, width=2, pool_height=2, pool_width=2)
        events = [(0, 1), (1, 3), (3, 1)]
        for frac_potential, u in ((4, 50), (6, 4 * 50)):
            layer = replace(HIDDEN, inputs=(connection,), threshold_q=16, frac_potential=frac_potential)
            spec = make_spec(layer, READOUT, membrane_bits=16)
            _, result = run(spec, [[[10], [0]], [[3, -5], [0, 0]]], [events], learn=False)
            assert result.probes["potential/0"] == [[[u]]]
        average = make_spec(
            replace(layer, frac_event=2, keeps_trace=True, frac_trace=3), READOUT,
            membrane_bits=16, trace_bits=8, credit="trace", rate_shift=4,
        )  # fmt: skip
        core, result = run(average, [[[10], [0]], [[3, -5], [0, 0]]], [events])
        assert result.probes["potential/0"] == [[[50]]]  # sh = 6 - 4 - 2
        assert result.probes["trace/0"] == [[[5 << 1]]]  # m = 5 in units of 1/4, a in units of 1/8
        spike = replace(average, credit="spike", layers=(replace(average.layers[0], keeps_trace=False), READOUT))
        assert (spike.update_shift(0), average.update_shift(0)) == (2 + 4, 3 + 4)
        # u = 50, theta = 16, both in 2**-6: idx = 34 >> 2 = 8, psi 7; a spike, e = [-6, 6], d = -3, g = -21 / 16.
        assert result.probes["signal/0"] == [[[-1]]]
        assert core.weights[0][0] == [((10 << 7) + 5 * 10) >> 7]
        assert run(spike, [[[10], [0]], [[3, -5], [0, 0]]], [events])[0].weights[0][0] == [((10 << 6) + 5 * 5) >> 6]

    def test_error_comes_back_to_every_neuron_of_a_window_and_to_none_that_was_dropped(self) -> None:
        # Three neurons at 15 (psi 15) in windows of 2: 0 and 1 get the error of address 0, 2 is dropped.
        hidden = replace(HIDDEN, n_out=3)
        connection = Connection(0, channels=1, width=3, pool_width=2)
        readout = replace(READOUT, n_in=1, inputs=(connection,))
        _, result = run(make_spec(hidden, readout), [[[15] * 3, [0] * 3], [[3, -5], [0, 0]]], [[(0, 1)]])
        assert result.probes["d/0"] == [[[-4, -4, 0]]]
        assert [total(result, f, 1) for f in ("psi_rows", "error_rows", "error_products")] == [1, 1, 2]
        assert total(result, "underflow_error", 0) == 0

    def test_behind_an_average_pool_the_error_shift_has_its_frac_too(self) -> None:
        # sd = 4 + 4 + 1 - 4 = 5: -64 / 32 = -2.
        hidden = replace(HIDDEN, n_out=2)
        connection = Connection(0, channels=1, width=2, pool_width=2)
        readout = replace(READOUT, n_in=1, inputs=(connection,), frac_event=1, frac_potential=5)
        _, result = run(make_spec(hidden, readout), [[[15] * 2, [0] * 2], [[3, -5], [0, 0]]], [[(0, 1)]])
        assert result.probes["d/0"] == [[[-2, -2]]]


def residual_pair(**changes: Any) -> tuple[CoreSpec, CoreSpec]:
    """0 -> 1 -> 2 with 0 added to 1 in front of 2; and the same where 2 has addresses of its own for 0."""
    hidden = replace(HIDDEN, n_in=3, n_out=3, threshold_q=20)
    both = (Connection(0, channels=3), Connection(1, channels=3))
    apart = (both[0], replace(both[1], offset=3))
    added = replace(hidden, inputs=both)
    beside = replace(hidden, inputs=apart, n_in=6)
    readout = replace(READOUT, n_in=3)
    return make_spec(hidden, hidden, added, readout, **changes), make_spec(hidden, hidden, beside, readout, **changes)


@pytest.mark.parametrize("credit", ["spike", "unroll"])
def test_a_residual_add_is_a_layer_whose_weights_are_used_for_both(credit: str) -> None:
    added, beside = residual_pair(
        credit=credit, update="accumulate", batch=9, gradient_bits=32, n_steps=5, error_rounding="floor"
    )
    weights = draw_weights(added, seed=11, largest=60)
    doubled = [weights[0], weights[1], weights[2][:3] + weights[2][:3] + weights[2][3:], weights[3]]
    samples = draw_samples(3, 5, seed=12, n_samples=3)
    one, other = GoldenCore(added, weights), GoldenCore(beside, doubled)
    first, second = one.run(samples, True, end_of_epoch=False), other.run(samples, True, end_of_epoch=False)
    assert first.probes == second.probes
    assert total(first, "spikes", 0) > 0
    assert total(first, "spikes", 1) > 0
    assert one.gradients[:2] + one.gradients[3:] == other.gradients[:2] + other.gradients[3:]
    rows = other.gradients[2]
    assert one.gradients[2] == [
        *([a + b for a, b in zip(rows[i], rows[3 + i], strict=True)] for i in range(3)),
        [0] * 3,
    ]
    assert any(map(any, one.gradients[2]))


def test_two_ways_of_error_are_rounded_one_by_one_and_summed_before_the_clamp() -> None:
    # Neuron 0 of layer 0 leads to two hidden neurons by two connections of one layer, and that layer to the readout.
    # Both ways carry X = 24 in units of 1/16: round(1.5) + round(1.5) = 4, not round(3) = 3.
    source = replace(HIDDEN, n_out=1)
    twice = (Connection(0, channels=1), Connection(0, channels=1, offset=1))
    spec = make_spec(source, replace(READOUT, n_in=2, inputs=twice))
    _, result = run(spec, [[[15], [0]], [[-3, 0], [-3, 0], [0, 0]]], [[(0, 1)]])
    assert result.probes["d/0"] == [[[4]]]
    # X = 8 and -8 round to 1 and -1: d is 0 and some X was not, one underflow.
    _, result = run(spec, [[[15], [0]], [[-1, 0], [1, 0], [0, 0]]], [[(0, 1)]])
    assert (result.probes["d/0"], total(result, "underflow_error", 0)) == ([[[0]]], 1)
