"""Recurrent layers, leaky readouts, heads and feedback of the golden core, by hand and against simpler networks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from golden_builders import BELOW, HIDDEN, ONE_EVENT, READOUT, draw_samples, draw_weights, make_spec, run, total

from neurochip.activity import FIELD_INDEX
from neurochip.reference.core import GoldenCore, GoldenSample
from neurochip.spec import CoreSpec, LayerSpec
from neurochip.topology import Connection


class TestRecurrent:
    # One neuron, input address 0 (W = 20), its own spikes of the step before at address 1 (W = 8).
    # t = 1: u = 20 spikes, psi = 12 (idx 4), 4 are left; z = [3, -5], e = [-6, 6].
    # t = 2: u = 2 + 8 = 10, psi = 10 (idx -6), no spike; z = 0, e = [-8, 8].
    LAYER = replace(HIDDEN, n_in=2, inputs=(Connection(-1, 1), Connection(0, 1, delay=1, offset=1)))
    WEIGHTS = ([[20], [8], [0]], [[3, -5], [0, 0]])
    STEPS = ([(0, 1)], [])

    def learn(self, **changes: Any) -> tuple[GoldenCore, Any]:
        settings: dict[str, Any] = {"credit": "unroll", "update": "accumulate", "batch": 2, "n_steps": 2}
        spec = make_spec(self.LAYER, READOUT, **(settings | changes))
        core = GoldenCore(spec, self.WEIGHTS)
        return core, core.run([GoldenSample(list(self.STEPS), 0)], learn=True, end_of_epoch=False)

    def test_it_hears_its_spikes_one_step_late(self) -> None:
        _, result = self.learn()
        assert result.probes["potential/0"] == [[[20], [10]]]
        assert result.probes["psi/0"] == [[[12], [10]]]
        assert [step[0][FIELD_INDEX["events"]] for step in result.activity] == [1, 1, 0]

    def test_a_sample_begins_without_a_step_before(self) -> None:
        spec = make_spec(self.LAYER, READOUT, n_steps=1)
        result = GoldenCore(spec, self.WEIGHTS).run([GoldenSample([[(0, 1)]], 0)] * 2, learn=False)
        assert result.probes["potential/0"] == [[[20]], [[20]]]

    def test_unrolled_error_comes_back_along_the_delayed_connection(self) -> None:
        # t = 2: d = (3 * -8 - 5 * 8) / 16 = -4, g = -40 / 16 = -2.5 -> -3 = delta[2].
        # t = 1: d = (3 * -6 - 5 * 6) / 16 + round(8 * -3 / 16 = -1.5) = -3 - 2, g = -60 / 16 = -3.75 -> -4,
        # delta[1] = leak(-3) - 4 = -1 - 4. G: address 0 had an event at t = 1, address 1 at t = 2.
        core, result = self.learn()
        assert result.probes["d/0"] == [[[-5], [-4]]]
        assert result.probes["signal/0"] == [[[-5], [-3]]]
        assert core.gradients[0] == [[-5], [-3], [0]]

    def test_its_error_fields_count_the_delayed_way_too(self) -> None:
        # t = 1: psi != 0, delta[2] = -3: one row, one word, one product. t = 2: delta[3] = 0.
        _, result = self.learn()
        fields = ("psi_rows", "psi_taps", "error_rows", "error_words", "error_products")
        counted = [[step[0][FIELD_INDEX[f]] for f in fields] for step in result.activity]
        assert counted == [[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [0] * 5]
        assert total(result, "all_tap_words", 0) == 2 * 2

    def test_rules_without_unroll_send_nothing_along_it(self) -> None:
        _, result = self.learn(credit="spike")
        assert result.probes["d/0"] == [[[-3], [-4]]]
        assert total(result, "psi_rows", 0) == 0

    def test_windows_of_one_step_keep_the_spikes_but_not_the_error(self) -> None:
        # delta[2] does not reach t = 1: d = -3, g = -36 / 16 -> -2. Address 1 still had its event at t = 2.
        core, result = self.learn(unroll_steps=1)
        assert result.probes["d/0"] == [[[-3], [-4]]]
        assert core.gradients[0] == [[-2], [-3], [0]]

    def test_trace_of_its_own_spikes(self) -> None:
        spec = make_spec(replace(self.LAYER, keeps_trace=True), READOUT, credit="trace", n_steps=2)
        _, result = run(spec, self.WEIGHTS, self.STEPS)
        assert result.probes["trace/0"] == [[[4, 0], [2, 4]]]


class TestLeakyReadout:
    READ = replace(READOUT, leak_kind="shift", leak_value=1, bias=True)
    WEIGHTS = (BELOW[0], [[0, 0], [9, -100]])

    def test_z_leaks_then_takes_the_bias_and_starts_a_sample_from_zero(self) -> None:
        spec = make_spec(HIDDEN, self.READ, n_steps=3)
        result = GoldenCore(spec, self.WEIGHTS).run([GoldenSample([[], [], []], 0)] * 2, learn=False)
        # 9; 4 + 9; 6 + 9. -100; -50 - 100 -> -128; -64 - 100 -> -128.
        assert result.probes["potential/1"] == [[[9, -100], [13, -128], [15, -128]]] * 2
        assert result.readout_sums == [[37, -356]] * 2
        assert total(result, "sat_readout", 1) == 4

    def test_its_error_is_carried_back_in_time_and_saturates_as_delta(self) -> None:
        # z = [9, -100] and [13, -128]: p = [16, 0] and, for label 1, e = [16, -16] in both steps.
        # In 5 bits delta[2] = [15, -16] and delta[1] = [7 + 16, -8 - 16] -> [15, -16].
        spec = make_spec(HIDDEN, self.READ, n_steps=2, credit="unroll", update="accumulate", batch=2, delta_bits=5)
        core = GoldenCore(spec, self.WEIGHTS)
        result = core.run([GoldenSample([[], []], 1)], learn=True, end_of_epoch=False)
        assert result.probes["signal/1"] == [[[15, -16], [15, -16]]]
        assert [total(result, f, 1) for f in ("sat_delta", "sat_error")] == [3, 0]  # 16 at t = 2; 23 and -24 at t = 1
        assert core.gradients[1] == [[0, 0], [15 + 15, -16 - 16]]

    def test_without_unroll_its_signal_is_e_alone(self) -> None:
        spec = make_spec(HIDDEN, self.READ, n_steps=2, credit="spike")
        _, result = run(spec, self.WEIGHTS, [[], []], label=1)
        assert result.probes["signal/1"] == [[[16, -16], [16, -16]]]


def local_network(train_heads: bool = True, **changes: Any) -> CoreSpec:
    """3 inputs, block 0 of 4 neurons with head 2, block 1 of 3 neurons with the readout 3."""
    one, two = replace(HIDDEN, n_in=3, n_out=4), replace(HIDDEN, n_in=4, n_out=3)
    two = replace(two, inputs=(Connection(0, 4, carries_error=False),))
    head = replace(READOUT, n_in=4, bias=True, inputs=(Connection(0, 4),), learns=train_heads)
    readout = replace(READOUT, n_in=3, inputs=(Connection(1, 3),))
    settings: dict[str, Any] = {"n_steps": 6, "weight_rounding": "nearest"}
    return make_spec(one, two, head, readout, **(settings | changes))


class TestHeads:
    @pytest.mark.parametrize("credit", ["spike", "unroll"])
    def test_every_block_learns_like_a_network_of_its_own(self, credit: str) -> None:
        spec = local_network(credit=credit)
        weights = draw_weights(spec, seed=5, largest=40)
        core = GoldenCore(spec, weights)
        alone = [
            GoldenCore(replace(spec, layers=(spec.layers[0], replace(spec.layers[2], inputs=()))), weights[::2]),
            GoldenCore(
                replace(spec, layers=(replace(spec.layers[1], inputs=()), replace(spec.layers[3], inputs=()))),
                weights[1::2],
            ),
        ]
        samples = draw_samples(3, 6, seed=6, n_samples=4)
        for sample in samples:
            result = core.run([sample], learn=True)
            alone[0].run([sample], learn=True)
            spikes = [[(i, 1) for i, s in enumerate(step) if s] for step in result.probes["spike/0"][0]]
            last = alone[1].run([GoldenSample(spikes, sample.label)], learn=True)
            assert (result.readout_sums, result.predictions) == (last.readout_sums, last.predictions)
        assert core.weights == [alone[0].weights[0], alone[1].weights[0], alone[0].weights[1], alone[1].weights[1]]
        assert all(core.weights[layer] != weights[layer] for layer in range(4))

    def test_a_frozen_head_gives_error_but_does_not_learn(self) -> None:
        weights = draw_weights(local_network(), seed=5, largest=40)
        sample = draw_samples(3, 6, seed=6)
        trained, frozen = GoldenCore(local_network(), weights), GoldenCore(local_network(train_heads=False), weights)
        first, second = trained.run(sample, learn=True), frozen.run(sample, learn=True)
        assert first.probes["signal/0"][0][0] == second.probes["signal/0"][0][0] != [0] * 4
        assert (frozen.weights[2], trained.weights[2] != weights[2]) == (weights[2], True)
        assert frozen.weights[0] != weights[0]
        counted = {f: total(second, f, 2) for f in ("events", "signal_steps", "error_rows", "presynaptic_rows")}
        assert counted["presynaptic_rows"] == total(second, "update_words", 2) == 0
        assert min(counted["events"], counted["signal_steps"], counted["error_rows"]) > 0

    def test_without_learning_heads_do_nothing(self) -> None:
        spec = local_network()
        result = GoldenCore(spec, draw_weights(spec, seed=5)).run(draw_samples(3, 6, seed=6), learn=False)
        assert "potential/2" not in result.probes
        assert [v for step in result.activity for v in step[2]] == [0] * (7 * len(FIELD_INDEX))


def with_feedback(index_signal: int, **changes: Any) -> LayerSpec:
    settings: dict[str, Any] = {"kind": "feedback", "learns": False, "signal_of": index_signal, "frac_potential": 0}
    return replace(READOUT, **(settings | changes))


class TestFeedback:
    SAMPLE = draw_samples(3, 5, seed=8, n_samples=2)

    @pytest.mark.parametrize("credit", ["spike", "unroll"])
    def test_feedback_weights_equal_to_those_of_the_readout_are_backprop(self, credit: str) -> None:
        hidden, readout = replace(HIDDEN, n_in=3, n_out=4), replace(READOUT, n_in=4)
        settings: dict[str, Any] = {"credit": credit, "update": "accumulate", "batch": 2, "n_steps": 5}
        chain = make_spec(hidden, readout, **settings)
        cut = replace(readout, inputs=(Connection(0, 4, carries_error=False),))
        back = with_feedback(2, n_in=4, inputs=(Connection(0, 4),))
        weights = draw_weights(chain, seed=9, largest=40)
        expected, found = (
            GoldenCore(chain, weights),
            GoldenCore(make_spec(hidden, back, cut, **settings), [weights[0], weights[1], weights[1]]),
        )
        one, other = (core.run(self.SAMPLE, learn=True, end_of_epoch=False) for core in (expected, found))
        assert other.probes["signal/0"] == one.probes["signal/0"]
        assert other.probes["signal/2"] == one.probes["signal/1"]
        assert "signal/1" not in other.probes  # what it carries is the signal of layer 2
        assert any(any(step) for step in one.probes["signal/0"][0])
        assert found.gradients == [expected.gradients[0], [[0, 0]] * 5, expected.gradients[1]]

    def test_it_is_fixed_and_counts_signal_and_error_only(self) -> None:
        # e = [-8, 8], feedback weights [2, -3]: d = (-16 - 24) / 16 = -2.5 -> -3, g = -45 / 16 -> -3.
        spec = make_spec(HIDDEN, with_feedback(2), replace(READOUT, inputs=(Connection(0, 1, carries_error=False),)))
        core, result = run(spec, [BELOW[0], [[2, -3], [0, 0]], BELOW[1]], ONE_EVENT)
        assert (result.probes["d/0"], result.probes["signal/0"]) == ([[[-3]]], [[[-3]]])
        assert core.weights == [[[15 + (5 * 3 >> 3)], [0]], [[2, -3], [0, 0]], BELOW[1]]
        assert {name: total(result, name, 1) for name in FIELD_INDEX if total(result, name, 1)} == {
            "signal_nonzero": 2, "signal_words": 1, "signal_steps": 1, "all_tap_words": 1, "all_tap_products": 2,
            "psi_rows": 1, "psi_taps": 1, "error_rows": 1, "error_words": 1, "error_products": 2,
        }  # fmt: skip
        assert total(result, "psi_rows", 2) == 0
