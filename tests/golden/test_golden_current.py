"""Does the golden core do what docs/semantics.md says of a synaptic current? Every expected number is derived here.

The leak of u and z halves towards zero, that of i takes a quarter, rounded up: 24 -> 18, 6 -> 4, 4 -> 3, 1 -> 0.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from golden_builders import (
    HIDDEN,
    READOUT,
    conv_layer,
    draw_samples,
    draw_weights,
    make_spec,
    run,
    total,
)

from neurochip.activity import FIELD_INDEX
from neurochip.reference.core import GoldenCore, GoldenSample
from neurochip.spec import LayerSpec
from neurochip.topology import Connection, ConvShape

Steps = tuple[list[tuple[int, int]], ...]
CURRENT: dict[str, Any] = {"current_leak_kind": "shift", "current_leak_value": 2}
NEURON = replace(HIDDEN, n_in=2, **CURRENT)
LEAKY_READOUT = replace(READOUT, leak_kind="shift", leak_value=1, bias=True, **CURRENT)
NOTHING = [[0, 0], [0, 0]]
TRACED: dict[str, Any] = {"credit": "trace", "update": "accumulate", "batch": 2, "n_steps": 5}
UNROLLED: dict[str, Any] = {"credit": "unroll", "update": "accumulate", "batch": 2, "n_steps": 3}


def per_step(result: Any, layer: int, *fields: str) -> list[list[int]]:
    return [[step[layer][FIELD_INDEX[field]] for field in fields] for step in result.activity]


class TestForward:
    STEPS: Steps = ([(0, 1)], [(0, 1), (1, 1)], [], [])
    WEIGHTS = ([[8, -6], [10, 4], [0, 0]], [[0, 0]] * 3)

    @pytest.mark.parametrize("deliver", ["synapse", "neuron"])
    @pytest.mark.parametrize(
        ("reset", "potential", "spikes"),
        [
            # i = [8, -6]; [6 + 18, -4 - 2]; [18, -4]; [13, -3]. u fires at 16, what is left is halved, i is added:
            # u0 = 8; 4 + 24 = 28, 12 left; 6 + 18 = 24, 8 left; 4 + 13. u1 = -6; -3 - 6; -4 - 4; -4 - 3.
            ("subtract", [[8, -6], [28, -9], [24, -8], [17, -7]], [0, 1, 1, 1]),
            # Nothing is left of u0 = 28, but the current goes on: 18, and after the next spike 13.
            ("zero", [[8, -6], [28, -9], [18, -8], [13, -7]], [0, 1, 1, 0]),
        ],
    )
    def test_events_go_into_the_current_and_that_into_the_potential(
        self, deliver: str, reset: str, potential: list[list[int]], spikes: list[int]
    ) -> None:
        hidden = replace(NEURON, n_out=2, reset=reset)
        spec = make_spec(hidden, replace(READOUT, n_in=2), n_steps=4, deliver=deliver)
        result = GoldenCore(spec, self.WEIGHTS).run([GoldenSample(list(self.STEPS), 0)] * 2, learn=False)
        assert result.probes["current/0"] == [[[8, -6], [24, -6], [18, -4], [13, -3]]] * 2
        assert result.probes["potential/0"] == [potential] * 2
        assert [[s0 for s0, _ in steps] for steps in result.probes["spike/0"]] == [spikes] * 2
        assert "current/1" not in result.probes
        assert total(result, "sat_membrane", 0) == 0

    @pytest.mark.parametrize(
        ("deliver", "current", "potential", "counted"),
        [
            # i = -100, sat(-200) = -128, -28; -21 - 100; -90. u = -28; sat(-14 - 121); sat(-64 - 90).
            ("synapse", [-28, -121, -90], [-28, -128, -128], [1, 1, 1, 0]),
            # i = -100; sat(-75 - 100) = -128; -96. u = -100; sat(-50 - 128); sat(-64 - 96).
            ("neuron", [-100, -128, -96], [-100, -128, -128], [0, 2, 1, 0]),
        ],
    )
    def test_first_the_current_saturates_then_the_potential(
        self, deliver: str, current: list[int], potential: list[int], counted: list[int]
    ) -> None:
        spec = make_spec(replace(NEURON, n_in=3), READOUT, n_steps=3, deliver=deliver)
        _, result = run(spec, [[[-100], [-100], [100], [0]], NOTHING], [[(0, 1), (1, 1), (2, 1)], [(0, 1)], []])
        assert [i for (i,) in result.probes["current/0"][0]] == current
        assert [u for (u,) in result.probes["potential/0"][0]] == potential
        assert per_step(result, 0, "sat_membrane") == [[n] for n in counted]

    @pytest.mark.parametrize("deliver", ["synapse", "neuron"])
    def test_bias_magnitude_and_shift_are_those_of_what_goes_into_the_current(self, deliver: str) -> None:
        # sh = 1: i = (3 + 2 * 5) << 1 = 26; 19 + 6. The threshold is out of reach.
        hidden = replace(NEURON, n_in=1, bias=True, frac_weight=3, threshold_q=100)
        spec = make_spec(hidden, READOUT, n_steps=2, deliver=deliver)
        _, result = run(spec, [[[5], [3]], NOTHING], [[(0, 2)], []], learn=False)
        assert result.probes["current/0"] == [[[26], [25]]]
        assert result.probes["potential/0"] == [[[26], [13 + 25]]]

    @pytest.mark.parametrize("deliver", ["synapse", "neuron"])
    def test_a_leaky_readout_makes_its_current_in_the_same_way(self, deliver: str) -> None:
        # One spike at t = 1, bias [1, -100]. i0 = 1 + 40; 30 + 1; 23 + 1. z0 = 41; 20 + 31; 25 + 24.
        # i1 = sat(-100 - 60); sat(-96 - 100) twice. z1 = -128; sat(-64 - 128) twice.
        spec = make_spec(HIDDEN, LEAKY_READOUT, n_steps=3, deliver=deliver)
        core = GoldenCore(spec, [[[20], [0]], [[40, -60], [1, -100]]])
        result = core.run([GoldenSample([[(0, 1)], [], []], 0)] * 2, learn=False)
        assert result.probes["current/1"] == [[[41, -128], [31, -128], [24, -128]]] * 2
        assert result.probes["potential/1"] == [[[41, -128], [51, -128], [49, -128]]] * 2
        assert result.readout_sums == [[141, -384]] * 2
        assert per_step(result, 1, "sat_readout", "sat_membrane") == [[2, 0], [4, 0], [4, 0], [0, 0]]
        assert "current/0" not in result.probes


class TestTrace:
    # f = 4; 3; 2 + 4; 4; 3 (leak of the current) and a = 4; 2 + 3; 2 + 6; 4 + 4; 4 + 3 (leak of u).
    LAYER = replace(NEURON, n_in=1, keeps_trace=True, trace_leak_value=2, filter_leak_kind="shift", filter_leak_value=1)
    STEPS: Steps = ([(0, 1)], [], [(0, 1)], [], [])

    def test_the_trace_follows_the_event_as_the_potential_does(self) -> None:
        # A weight of 4 = 1 << sa puts into i and u just what an event puts into f and a.
        core = GoldenCore(make_spec(self.LAYER, READOUT, **TRACED), [[[4], [0]], [[3, -5], [0, 0]]])
        result = core.run([GoldenSample(list(self.STEPS), 0)], learn=True, end_of_epoch=False)
        assert result.probes["trace/0"] == [[[4], [5], [8], [8], [7]]]
        assert result.probes["potential/0"] == result.probes["trace/0"]
        # d = -4, psi = 3, 4, 7, 7, 6: g = -1, -1, -2, -2, -2, and D = g a >> 2, nearest: -1 - 1 - 4 - 4 - 4.
        assert result.probes["signal/0"] == [[[-1], [-1], [-2], [-2], [-2]]]
        assert core.gradients[0] == [[-14], [0]]

    def test_a_bias_follows_its_current_too(self) -> None:
        # An event in every step: f = 4, 7, 9, 10, 11 and a = 4, 9, 13, 15 (16), 15 (18).
        # Bias and input are 0: u = 0, psi = 1; e = [-8, 8] and d = (48 * -8 - 80 * 8) / 16 = -64, so g = -4.
        spec = make_spec(replace(self.LAYER, bias=True), READOUT, bias_trace=True, **TRACED)
        core = GoldenCore(spec, [[[0], [0]], [[48, -80], [0, 0]]])
        result = core.run([GoldenSample([[]] * 5, 0)], learn=True, end_of_epoch=False)
        assert core.gradients[0] == [[0], [-4 - 9 - 13 - 15 - 15]]
        assert total(result, "sat_trace", 0) == 0


class TestUnroll:
    # i = 6; 4 + 5 = 9; 6. u = 6; 3 + 9; 6 + 6: no spike, psi = 5, 13, 13 (idx -10, -4, -4). Both classes have z = 0:
    # e = [-8, 8], d = (3 * -8 - 5 * 8) / 16 = -4 and g = -20 / 16, -52 / 16, -52 / 16 -> -1, -3, -3.
    LAYER = replace(NEURON, bias=True)
    STEPS: Steps = ([(0, 1)], [(1, 1)], [])

    def learn(self, *layers: LayerSpec, weights: Any = None, label: int = 0, **changes: Any) -> tuple[GoldenCore, Any]:
        core = GoldenCore(
            make_spec(*(layers or (self.LAYER, READOUT)), **(UNROLLED | changes)),
            weights or [[[6], [5], [0]], [[3, -5], [0, 0]]],
        )
        steps = list(self.STEPS[: core.spec.n_steps])
        return core, core.run([GoldenSample(steps, label)], learn=True, end_of_epoch=False)

    @pytest.mark.parametrize(
        ("changes", "signal"),
        [
            # delta = -3; -1 - 3; -2 - 1. eps = -3; -2 - 4; -4 - 3.
            ({}, [-7, -6, -3]),
            # v = -1 at t = 2 loses round(16 * 13 * -1 / 256) = -1: delta = -3; -1 + 1 - 3; -1 + 0 - 1.
            # eps = -3; -2 - 3; -3 - 2.
            ({"reset_path": "exact"}, [-5, -5, -3]),
            # Windows of one step: delta = eps = g.
            ({"unroll_steps": 1}, [-1, -3, -3]),
        ],
    )
    def test_the_error_of_the_current_is_the_signal(self, changes: dict[str, Any], signal: list[int]) -> None:
        core, result = self.learn(**changes)
        assert result.probes["current/0"] == [[[6], [9], [6]]]  # also from window to window
        assert result.probes["d/0"] == [[[-4], [-4], [-4]]]
        assert [s for (s,) in result.probes["signal/0"][0]] == signal
        # Address 0 had its event at t = 1, address 1 at t = 2, the bias in every step.
        assert core.gradients[0] == [[signal[0]], [signal[1]], [sum(signal)]]

    def test_a_second_sample_begins_without_the_errors_of_the_first(self) -> None:
        spec = make_spec(self.LAYER, READOUT, **(UNROLLED | {"batch": 9}))
        core = GoldenCore(spec, [[[6], [5], [0]], [[3, -5], [0, 0]]])
        result = core.run([GoldenSample(list(self.STEPS), 0)] * 2, learn=True, end_of_epoch=False)
        assert result.probes["signal/0"] == [[[-7], [-6], [-3]]] * 2

    def test_both_errors_saturate_as_delta(self) -> None:
        # d = -8 and g = -3, -7, -7 (-2.5, -6.5 twice). In 4 bits: delta = -7; sat(-3 - 7) = -8; -4 - 3.
        # eps = -7; sat(-5 - 8); sat(-6 - 7).
        _, result = self.learn(weights=[[[6], [5], [0]], [[6, -10], [0, 0]]], delta_bits=4)
        assert result.probes["signal/0"] == [[[-8], [-8], [-7]]]
        assert per_step(result, 0, "sat_delta", "sat_error") == [[1, 0], [2, 0], [0, 0], [0, 0]]

    def test_it_is_given_to_the_layer_before(self) -> None:
        # Nothing fires. Layer 1: u = 0, psi = 1, d = -64, g = -4: delta = -4; -2 - 4, eps = -4; -3 - 6.
        # Layer 0, W = 8: d = 8 * -4 / 16; 8 * -9 / 16 = -4.5.
        layers = (replace(HIDDEN, n_in=2), replace(HIDDEN, **CURRENT), READOUT)
        weights = [[[15], [0], [0]], [[8], [0]], [[48, -80], [0, 0]]]
        _, result = self.learn(*layers, weights=weights, n_steps=2)
        assert result.probes["signal/1"] == [[[-9], [-4]]]
        assert result.probes["d/0"] == [[[-5], [-2]]]

    def test_a_readout_gives_that_of_its_current_too(self) -> None:
        # z = [9, -100]; [4 + 15, sat(-50 - 128)]: for label 1 e = [16, -16] twice.
        # Of class 0 delta = 16; 8 + 16, eps = 16; 12 + 24.
        # d = (3 + 5) * 36 / 16 and 8 * 16 / 16 at psi = 1 (u = 0).
        weights = [[[0], [0], [0]], [[3, -5], [9, -100]]]
        layers = (replace(HIDDEN, n_in=2), LEAKY_READOUT)
        core, result = self.learn(*layers, weights=weights, n_steps=2, label=1)
        assert result.probes["signal/1"] == [[[36, -36], [16, -16]]]
        assert result.probes["d/0"] == [[[18], [8]]]
        assert core.gradients[1] == [[0, 0], [52, -52]]


class TestRecurrent:
    LAYER = replace(NEURON, inputs=(Connection(-1, 1), Connection(0, 1, delay=1, offset=1)))

    def learn(self, layer: LayerSpec, recurrent_weight: int, **changes: Any) -> tuple[GoldenCore, Any]:
        spec = make_spec(layer, READOUT, **(UNROLLED | changes))
        core = GoldenCore(spec, [[[20], [recurrent_weight], [0]], [[12, -20], [0, 0]]])
        return core, core.run([GoldenSample([[(0, 1)], [], []], 0)], learn=True, end_of_epoch=False)

    def test_the_error_of_the_current_comes_back_along_the_delayed_connection(self) -> None:
        # i = 20; 15 - 8 (its spike); 5. u = 20, 4 left; 2 + 7; 4 + 5: psi = 12, 9, 9 (idx 4, -7, -7).
        # t = 1: z = [12, -20], E[32] = 4435, p = [14, 2], e = [-2, 2]; then z = 0, e = [-8, 8].
        # t = 3: d = -16, g = -9 = delta = eps. t = 2: d = -16 + round(-8 * -9 / 16 = 4.5) = -11, g = -99 / 16 -> -6,
        # delta = -4 - 6, eps = -6 - 10. t = 1: d = -64 / 16 + -8 * -16 / 16 = 4, g = 3, delta = -5 + 3, eps = -12 - 2.
        core, result = self.learn(self.LAYER, -8)
        assert result.probes["potential/0"] == [[[20], [9], [9]]]
        assert result.probes["d/0"] == [[[4], [-11], [-16]]]
        assert result.probes["signal/0"] == [[[-14], [-16], [-9]]]
        assert core.gradients[0] == [[-14], [-16], [0]]

    def test_fields_of_error_count_it_where_the_error_of_the_potential_is_zero(self) -> None:
        # u keeps nothing and only t = 3 has a loss: i = u = 20; 15; 11, psi = 12, 15, 12. t = 3: d = -16, g = -12.
        # W = 0 along the delayed connection: delta = 0 before that, eps = -12; -9; -6.
        layer = replace(self.LAYER, leak_kind="constant", leak_value=0)
        _, result = self.learn(layer, 0, loss_start=3)
        assert result.probes["signal/0"] == [[[-6], [-9], [-12]]]
        fields = ("psi_rows", "error_rows", "error_words", "error_products", "signal_nonzero")
        assert per_step(result, 0, *fields) == [[1, 1, 1, 1, 1], [1, 1, 1, 1, 1], [1, 0, 0, 0, 1], [0] * 5]


class TestFootprint:
    LAYERS = (
        replace(NEURON, n_in=3, n_out=2),
        replace(HIDDEN, n_in=2, n_out=5),
        replace(LEAKY_READOUT, n_in=5, n_out=4),
    )

    @pytest.mark.parametrize(
        ("credit", "error"),
        [
            ("unroll", (2 * 2 + 5) * 12 + 2 * 4 * 12),  # delta and eps of layer 0 and the readout, delta of layer 1
            ("spike", (2 + 5) * (4 + 8) + 4 * 8),  # psi and g, e: as without a current
        ],
    )
    def test_current_and_its_error_lie_beside_potential_and_delta(self, credit: str, error: int) -> None:
        spec = make_spec(*self.LAYERS, credit=credit, membrane_bits=10, readout_bits=20, delta_bits=12, n_steps=5)
        bits = GoldenCore(spec, draw_weights(spec, seed=1)).footprint_bits()
        assert bits["neuron"] == (2 * 2 + 5) * 10 + 2 * 4 * 20 + 4 * (20 + 3)
        assert bits["error"] == error

    def test_without_learning_there_is_no_error(self) -> None:
        spec = make_spec(*self.LAYERS, credit="none", update="none", membrane_bits=10, readout_bits=20)
        bits = GoldenCore(spec, draw_weights(spec, seed=1)).footprint_bits()
        assert (bits["neuron"], bits["error"]) == ((2 * 2 + 5) * 10 + 2 * 4 * 20 + 4 * 20, 0)


def with_current_that_keeps_nothing(layer: LayerSpec) -> LayerSpec:
    """The same layer with current_leak_constant = 0: its trace leaks at once, and what it was is the filter."""
    return replace(
        layer,
        current_leak_kind="constant",
        current_leak_value=0,
        trace_leak_kind="constant",
        trace_leak_value=0,
        filter_leak_kind=layer.trace_leak_kind if layer.keeps_trace else "none",
        filter_leak_value=layer.trace_leak_value,
    )


class TestCurrentThatKeepsNothing:
    SHAPE = ConvShape(2, 3, 1, 2, 2, 2)
    FIELDS = ("sat_membrane", "sat_readout", "sat_trace")

    @pytest.mark.parametrize("deliver", ["synapse", "neuron"])
    @pytest.mark.parametrize("credit", ["trace", "spike", "unroll"])
    @pytest.mark.parametrize("seed", range(4))
    def test_where_nothing_saturates_it_is_a_layer_without_current(self, credit: str, deliver: str, seed: int) -> None:
        traced = {"keeps_trace": credit == "trace", "bias": True}
        conv = conv_layer(self.SHAPE, **traced)
        own = (Connection(0, conv.n_out), Connection(1, 3, delay=1, offset=conv.n_out))
        dense = replace(HIDDEN, n_in=conv.n_out + 3, n_out=3, inputs=own, reset="zero", **traced)
        readout = replace(READOUT, n_in=3, leak_kind="constant", leak_value=50000, trace_leak_kind="constant",
                          trace_leak_value=50000, **traced)  # fmt: skip
        layers = (conv, dense, readout)
        settings: dict[str, Any] = {"credit": credit, "deliver": deliver, "n_steps": 8, "membrane_bits": 20,
                                    "trace_bits": 12, "readout_bits": 24, "delta_bits": 9, "batch": 1,
                                    "update": "accumulate", "unroll_steps": 5}  # fmt: skip
        expected, found = (
            GoldenCore(spec, draw_weights(spec, seed))
            for spec in (
                make_spec(*layers, **settings),
                make_spec(*map(with_current_that_keeps_nothing, layers), **settings),
            )
        )
        before = found.weights
        samples = draw_samples(conv.n_in, 8, seed=seed + 50, n_samples=3)
        one, other = (core.run(samples, learn=True) for core in (expected, found))
        assert [total(other, field, layer) for field in self.FIELDS for layer in range(3)] == [0] * 9
        assert {name: steps for name, steps in other.probes.items() if not name.startswith("current")} == one.probes
        assert (other.activity, other.predictions) == (one.activity, one.predictions)
        assert found.weights == expected.weights
        assert all(after != old for after, old in zip(found.weights, before, strict=True))
        assert min(total(one, "spikes", layer) for layer in (0, 1)) > 0
