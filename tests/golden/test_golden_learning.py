"""Do updates, accumulation and unrolling follow docs/semantics.md, 3.5 to 3.7? Every number is derived here."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from golden_builders import BELOW, HIDDEN, ONE_EVENT, READOUT, make_spec, run, total

from neurochip.activity import FIELD_INDEX
from neurochip.reference.core import GoldenCore, GoldenRun, GoldenSample
from neurochip.reference.core.arithmetic import advance


class TestUpdate:
    @pytest.mark.parametrize(("rounding", "weight"), [("floor", 15 + 2), ("nearest", 15 + 3)])
    def test_deterministic_rounding(self, rounding: str, weight: int) -> None:
        # p = 1, g = -4, m_eta = 5, S = 0 + 4 + 3 - 4 = 3: the change is 20 / 8 = 2.5.
        core, _ = run(make_spec(weight_rounding=rounding), BELOW, ONE_EVENT)
        assert core.weights[0][0] == [weight]

    @pytest.mark.parametrize("seed", range(4))
    def test_stochastic_rounding_adds_the_low_bits_after_one_advance(self, seed: int) -> None:
        spec = make_spec(weight_rounding="stochastic", seed=seed)
        start = GoldenCore(spec, BELOW).registers
        core, result = run(spec, BELOW, ONE_EVENT)
        lanes = [advance(x) for x in start[0]]
        r = lanes[0] % 8
        assert core.registers == [lanes, start[1]]  # both lanes of the layer advance; the readout has p = 0
        assert result.drawn == [(0, 0, 0, r)]
        assert core.weights[0][0] == [15 + (20 + r) // 8]

    def test_shift_zero_adds_nothing_to_round_and_the_weight_saturates(self) -> None:
        for rounding in ("floor", "nearest", "stochastic"):
            spec = make_spec(weight_rounding=rounding, rate_shift=0, rate_multiplier=15)
            core, result = run(spec, BELOW, ONE_EVENT)
            assert core.weights[0][0] == [15 + 60]
        core, result = run(replace(spec, weight_bits=6), [[[15], [0]], BELOW[1]], ONE_EVENT)
        assert core.weights[0][0] == [31]
        assert total(result, "sat_weight", 0) == 1

    @pytest.mark.parametrize(("label", "columns"), [(0, [0, 1]), (2, [2])])
    def test_only_words_with_a_nonzero_product_advance_the_lanes(self, label: int, columns: list[int]) -> None:
        # frac_e = 0: p = (32768 + 49152) // 98304 = 0, so e = -1 at the label and 0 elsewhere; words are {0,1}, {2}.
        readout = replace(READOUT, n_out=3, bias=True, frac_error=0)
        spec = make_spec(HIDDEN, readout, weight_rounding="stochastic", rate_shift=6)
        start = GoldenCore(spec, [[[20], [0]], [[0, 0, 0]] * 2]).registers[1]
        core, result = run(spec, [[[20], [0]], [[0, 0, 0]] * 2], ONE_EVENT, label)
        assert [(row, column) for layer, row, column, _ in result.drawn if layer == 1] == [
            (row, column) for row in (0, 1) for column in columns
        ]
        assert core.registers[1] == [advance(advance(x)) for x in start]
        assert total(result, "random_advances", 1) == 2

    def test_accumulated_gradients_are_applied_per_batch_and_at_the_end_of_an_epoch(self) -> None:
        # frac_G = 3: sG = 1, so each sample adds round(-4 / 2) = -2. S_G = 3 + 3 - 4 = 2: 5 * 4 / 4 = 5 after two.
        spec = make_spec(
            replace(HIDDEN, frac_gradient=3), READOUT, update="accumulate", batch=2, weight_rounding="nearest"
        )
        core = GoldenCore(spec, BELOW)
        sample = GoldenSample(ONE_EVENT, 0)
        first = core.run([sample], learn=True, end_of_epoch=False)
        assert (core.weights[0][0], core.gradients[0], first.n_applies) == ([15], [[-2], [0]], 0)
        second = core.run([sample], learn=True, end_of_epoch=False)
        assert (core.weights[0][0], core.gradients[0], second.n_applies) == ([20], [[0], [0]], 1)
        apply_row = second.activity[-1][0]
        assert [apply_row[FIELD_INDEX[f]] for f in ("update_rows", "update_words", "update_products")] == [0, 1, 1]
        # The third sample: u = 20 spikes with idx 4, psi 10, z = [3, -5], e = [-6, 6], d = -3, g = -30 / 16 -> -2.
        third = core.run([sample], learn=True)
        assert third.n_applies == 1
        assert core.weights[0][0] == [20 + (5 * 1 + 2) // 4]  # G = round(-2 / 2) = -1
        assert core.run([], learn=True).n_applies == 0

    @pytest.mark.parametrize(("rounding", "gradient"), [("nearest", 1), ("floor", 0)])
    def test_a_gradient_is_rounded_like_an_error(self, rounding: str, gradient: int) -> None:
        # Label 1: e = [8, -8], d = 4, g = 60 / 16 -> 4 (nearest) or 3 (floor); sG = 4 - 1 = 3: 4 / 8 -> 1, 3 / 8 -> 0.
        hidden, readout = replace(HIDDEN, frac_gradient=1), replace(READOUT, frac_gradient=1)
        spec = make_spec(hidden, readout, update="accumulate", batch=9, error_rounding=rounding)
        core = GoldenCore(spec, BELOW)
        core.run([GoldenSample(ONE_EVENT, 1)], learn=True, end_of_epoch=False)
        assert core.gradients[0] == [[gradient], [0]]

    def test_gradients_are_applied_from_the_last_layer_to_the_first(self) -> None:
        # z = 0: p = (524288 + 49152) // 98304 = 5, e = [-11, 5, 5], d = (3 * -11 - 5 * 5) / 16 -> -4.
        # The readout saw no spike, so only its bias row has a gradient.
        hidden, readout = replace(HIDDEN, bias=True), replace(READOUT, n_out=3, bias=True)
        spec = make_spec(hidden, readout, update="accumulate", weight_rounding="stochastic", synapse_lanes=1)
        _, result = run(spec, [[[15], [0]], [[3, -5, 0], [0, 0, 0]]], ONE_EVENT)
        assert [drawn[:3] for drawn in result.drawn] == [(1, 1, 0), (1, 1, 1), (1, 1, 2), (0, 0, 0), (0, 1, 0)]
        # One column per word: two rows of one word in the hidden layer, one row of three words in the readout.
        assert [layer[FIELD_INDEX["update_words"]] for layer in result.activity[-1]] == [2, 3]
        assert [layer[FIELD_INDEX["signal_words"]] for layer in result.activity[0]] == [1, 3]

    def test_gradient_saturates(self) -> None:
        spec = make_spec(update="accumulate", batch=9, gradient_bits=3)
        core = GoldenCore(spec, BELOW)
        result = core.run([GoldenSample(ONE_EVENT, 0)] * 2, learn=True, end_of_epoch=False)
        assert core.gradients[0] == [[-4], [0]]
        assert total(result, "sat_gradient", 0) == 1  # -4 fits, -8 does not


class TestUnroll:
    # t = 1: u = 15, psi = 15, g = -4 as in TestError. t = 2, without event: u = 15 - 8 = 7, idx = -9, psi = 6,
    # g = -24 / 16 -> -2. So delta[2] = -2 and delta[1] = leak(-2) + g[1] = -1 - 4 = -5.
    STEPS = ([(0, 1)], [])

    def learn(self, **changes: Any) -> tuple[GoldenCore, GoldenRun]:
        spec = make_spec(credit="unroll", update="accumulate", n_steps=2, batch=2, **changes)
        core = GoldenCore(spec, BELOW)
        return core, core.run([GoldenSample(self.STEPS, 0)], learn=True, end_of_epoch=False)

    def test_delta_carries_the_error_back_in_time(self) -> None:
        core, result = self.learn()
        assert result.probes["psi/0"] == [[[15], [6]]]
        assert result.probes["signal/0"] == [[[-5], [-2]]]
        assert core.gradients[0] == [[-5], [0]]  # only step 1 had an event

    def test_exact_reset_path(self) -> None:
        # theta psi v = 16 * 15 * -1 = -240; round(-240 / 2**8) = -1; delta[1] = -1 + 1 - 4 = -4.
        _, result = self.learn(reset_path="exact")
        assert result.probes["signal/0"] == [[[-4], [-2]]]

    def test_delta_saturates(self) -> None:
        _, result = self.learn(delta_bits=3)
        assert result.probes["signal/0"] == [[[-4], [-2]]]
        assert [total(result, "sat_delta", layer) for layer in (0, 1)] == [1, 0]

    def test_immediate_updates_change_the_weights_that_earlier_steps_see(self) -> None:
        # Hidden spikes at t = 2 only; there the readout changes, and t = 1 goes back through the changed weights.
        weights = [[[15], [0]], [[3, -5], [0, 0]]]
        spec = make_spec(credit="unroll", n_steps=2)
        core, result = run(spec, weights, [[(0, 1)], [(0, 1)]])
        # t = 2: u = 7 + 15 = 22 spikes, z = [3, -5], e = [-6, 6] (TestError): W_o = [54 >> 3, -70 >> 3] = [6, -9].
        assert result.probes["spike/0"][0] == [[0], [1]]
        assert core.weights[1][0] == [6, -9]
        # t = 1: e = [-8, 8]: d = (6 * -8 - 9 * 8) / 16 = -7.5 -> -8; with the old weights it was -4.
        assert result.probes["d/0"][0][0] == [-8]
