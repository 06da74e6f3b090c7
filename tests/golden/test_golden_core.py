"""Does the golden core do what docs/semantics.md, sections 3 and 5, says? Every expected number is derived here."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from neurochip.activity import FIELD_INDEX
from neurochip.errors import UserError
from neurochip.reference.core import GoldenCore, GoldenRun, GoldenSample
from neurochip.reference.core.arithmetic import advance
from neurochip.spec import CoreSpec, LayerSpec

# Integers below are in units of 2**-4 unless a test changes a format.
HIDDEN = LayerSpec(
    kind="dense",
    n_in=1,
    n_out=1,
    bias=False,
    leak_kind="shift",
    leak_value=1,
    threshold_q=16,
    reset="subtract",
    keeps_trace=False,
    trace_leak_kind="shift",
    trace_leak_value=1,
    frac_weight=4,
    frac_potential=4,
    frac_trace=2,
    frac_error=4,
    frac_gradient=4,
)
READOUT = replace(HIDDEN, kind="readout", n_out=2, leak_kind="none", leak_value=0, threshold_q=0)


def make_spec(*layers: LayerSpec, **changes: Any) -> CoreSpec:
    """A specification with 8-bit formats, one step, floor in the weights and nearest in the errors."""
    settings: dict[str, Any] = {
        "layers": layers or (HIDDEN, READOUT),
        "n_steps": 1,
        "event_bits": 2,
        "weight_bits": 8,
        "weight_rounding": "floor",
        "membrane_bits": 8,
        "trace_bits": 4,
        "trace_gate": 0,
        "error_bits": 8,
        "error_rounding": "nearest",
        "delta_bits": 8,
        "surrogate_bits": 4,
        "surrogate": "sigmoid",
        "gradient_bits": 16,
        "readout_bits": 8,
        "credit": "spike",
        "update": "immediate",
        "batch": 1,
        "rate_multiplier": 5,
        "rate_shift": 3,
        "mse_share_q": 0,
        "deliver": "synapse",
        "reset_path": "detached",
        "rng_lanes": 2,
        "seed": 1,
        "synapse_lanes": 2,
        "trace_lanes": 2,
    }
    return CoreSpec(**(settings | changes))


def run(spec: CoreSpec, weights: Any, steps: Any, label: int = 0, learn: bool = True) -> tuple[GoldenCore, GoldenRun]:
    core = GoldenCore(spec, weights)
    return core, core.run([GoldenSample(steps, label)], learn, record_draws=True)


def total(result: GoldenRun, field: str, layer: int) -> int:
    return sum(step[layer][FIELD_INDEX[field]] for step in result.activity)


# One hidden neuron that stays one unit below its threshold: idx = -1, psi = 15, no spike. Both classes have z = 0,
# so p = ((32768 << 4) + 32768) // 65536 = 8 and, for label 0, e = [8 - 16, 8] = [-8, 8].
BELOW = [[[15], [0]], [[3, -5], [0, 0]]]
ONE_EVENT = [[(0, 1)]]


class TestForward:
    def test_every_add_into_a_membrane_saturates_unless_the_neuron_sums_wide(self) -> None:
        layers = (replace(HIDDEN, n_in=3, threshold_q=127), READOUT)
        weights = [[[100], [100], [-100], [0]], [[0, 0], [0, 0]]]
        events = [[(0, 1), (1, 1), (2, 1)]]
        _, result = run(make_spec(*layers), weights, events, learn=False)
        assert result.probes["potential/0"] == [[[27]]]  # 100, sat(200) = 127, 27
        assert total(result, "sat_membrane", 0) == 1
        _, result = run(make_spec(*layers, deliver="neuron"), weights, events, learn=False)
        assert result.probes["potential/0"] == [[[100]]]
        assert total(result, "sat_membrane", 0) == 0

    def test_magnitude_bias_and_alignment_shift(self) -> None:
        layers = (replace(HIDDEN, bias=True, frac_weight=2, threshold_q=100), READOUT)
        _, result = run(make_spec(*layers), [[[3], [-1]], [[0, 0], [0, 0]]], [[(0, 2)]], learn=False)
        assert result.probes["potential/0"] == [[[(-1 << 2) + (3 * 2 << 2)]]]
        assert (total(result, "events", 0), total(result, "graded_events", 0)) == (1, 1)

    @pytest.mark.parametrize(("reset", "after"), [("subtract", [20, 2, 1]), ("zero", [20, 0, 0])])
    def test_reset_then_leak(self, reset: str, after: list[int]) -> None:
        # u = 20 fires at 16 and leaves 4 (or 0); the leak halves towards zero: 4 -> 2 -> 1.
        spec = make_spec(replace(HIDDEN, reset=reset), READOUT, n_steps=3)
        _, result = run(spec, [[[20], [0]], [[0, 0], [0, 0]]], [[(0, 1)], [], []], learn=False)
        assert [u for (u,) in result.probes["potential/0"][0]] == after
        assert result.probes["spike/0"][0] == [[1], [0], [0]]

    @pytest.mark.parametrize(("weight", "spike"), [(15, 0), (16, 1), (17, 1)])
    def test_a_membrane_at_its_threshold_fires(self, weight: int, spike: int) -> None:
        _, result = run(make_spec(), [[[weight], [0]], [[7, 0], [0, 0]]], ONE_EVENT, learn=False)
        assert result.probes["spike/0"] == [[[spike]]]
        assert result.probes["potential/1"] == [[[7 * spike, 0]]]

    def test_readout_has_no_memory_saturates_and_sums_wide_and_ties_go_to_the_lowest_class(self) -> None:
        readout = replace(READOUT, n_out=3, bias=True, frac_potential=5)
        weights = [[[16], [0]], [[0, 0, 0], [-2, 100, 120]]]
        _, result = run(make_spec(HIDDEN, readout, n_steps=3), weights, [[], [], []], learn=False)
        assert result.probes["potential/1"][0] == [[-4, 127, 127]] * 3  # 200 and 240 saturate
        assert result.readout_sums == [[-12, 381, 381]]
        assert result.predictions == [1]
        assert total(result, "sat_readout", 1) == 6

    def test_a_sample_starts_from_rest(self) -> None:
        core = GoldenCore(make_spec(), BELOW)
        result = core.run([GoldenSample(ONE_EVENT, 0)] * 2, learn=False)
        assert result.probes["potential/0"] == [[[15]], [[15]]]

    @pytest.mark.parametrize("credit", ["trace", "unroll"])
    def test_nothing_but_the_gradient_passes_from_one_sample_to_the_next(self, credit: str) -> None:
        spec = make_spec(replace(HIDDEN, keeps_trace=credit == "trace"), READOUT, credit=credit, n_steps=2)
        core = GoldenCore(replace(spec, update="accumulate", batch=9), BELOW)
        result = core.run([GoldenSample([[(0, 1)], []], 0)] * 2, learn=True, end_of_epoch=False)
        for first, second in result.probes.values():
            assert first == second
        assert result.readout_sums[0] == result.readout_sums[1]

    def test_inference_changes_nothing_and_counts_no_learning(self) -> None:
        spec = make_spec(replace(HIDDEN, keeps_trace=True), READOUT, credit="trace", weight_rounding="stochastic")
        core = GoldenCore(spec, BELOW)
        before = core.weights, core.registers
        result = core.run([GoldenSample(ONE_EVENT, 0)], learn=False)
        assert (core.weights, core.registers) == before
        assert set(result.probes) == {"potential/0", "spike/0", "potential/1"}
        counted = [total(result, name, 0) for name in ("events", "psi_nonzero", "trace_words", "update_rows")]
        assert counted == [1, 0, 0, 0]


class TestTraceAndPresynapticFactor:
    STEPS = [[(0, 3)], [(0, 2)], [(0, 2)], [(0, 3)], []]  # noqa: RUF012

    def test_trace_leaks_adds_the_magnitude_and_saturates(self) -> None:
        spec = make_spec(replace(HIDDEN, keeps_trace=True), READOUT, credit="trace", n_steps=5)
        _, result = run(spec, [[[0], [0]], [[0, 0], [0, 0]]], self.STEPS)
        # 12; 6 + 8 = 14; 7 + 8 = 15; 7 + 12 = 19 -> 15; 7.
        assert result.probes["trace/0"][0] == [[12], [14], [15], [15], [7]]
        assert total(result, "sat_trace", 0) == 1
        assert total(result, "trace_words", 0) == 5

    def test_readout_trace_uses_its_own_leak(self) -> None:
        readout = replace(READOUT, keeps_trace=True, trace_leak_kind="constant", trace_leak_value=0, n_in=1)
        spec = make_spec(HIDDEN, readout, credit="trace", n_steps=2)
        core, result = run(spec, [[[20], [0]], [[0, 0], [0, 0]]], [[(0, 1)], []])
        assert result.probes["trace/1"][0] == [[4], [0]]  # one spike << 2, then all of it leaks
        # S = 2 + 4 + 3 - 4 = 5: W <- (W * 32 + 5 * 4 * [8, -8]) >> 5 = [5, -5].
        assert core.weights[1][0] == [5, -5]

    @pytest.mark.parametrize(("gate", "rows"), [(0, 3), (8, 1), (12, 1), (13, 0)])
    def test_gate_skips_rows_below_it_but_never_the_bias(self, gate: int, rows: int) -> None:
        # Traces after each of 3 steps: 12, 6, 3 (leak alone); the bias row has p = 4 < gate and is never gated.
        hidden = replace(HIDDEN, keeps_trace=True, bias=True)
        spec = make_spec(hidden, READOUT, credit="trace", n_steps=3, trace_gate=gate)
        _, result = run(spec, [[[0], [0]], [[3, -5], [0, 0]]], [[(0, 3)], [], []])
        assert total(result, "presynaptic_rows", 0) == rows + 3
        assert total(result, "trace_nonzero", 0) == 3

    def test_a_first_layer_that_learns_from_its_input_has_no_trace(self) -> None:
        spec = make_spec(credit="trace", n_steps=2, weight_rounding="nearest")
        core, result = run(spec, BELOW, [[(0, 1)], []])
        assert "trace/0" not in result.probes
        assert core.footprint_bits()["trace"] == 0
        # Only step 1 has an event: 20 / 8 -> 3 as in TestUpdate; at step 2 p is 0, though g is not.
        assert core.weights[0][0] == [18]
        assert [step[0][FIELD_INDEX["update_rows"]] for step in result.activity] == [1, 0, 0]
        assert result.probes["signal/0"] == [[[-4], [-2]]]


class TestError:
    def test_error_goes_back_through_old_weights_and_surrogate(self) -> None:
        _, result = run(make_spec(), BELOW, ONE_EVENT)
        assert result.probes["psi/0"] == [[[15]]]
        assert result.probes["signal/1"] == [[[-8, 8]]]
        assert result.probes["d/0"] == [[[-4]]]  # (3 * -8 - 5 * 8) / 16 = -4
        assert result.probes["signal/0"] == [[[-4]]]  # -60 / 16 = -3.75

    def test_errors_use_the_weights_from_before_the_update_of_the_same_step(self) -> None:
        # u = 16 spikes (psi = 15) and z = [3, -5]: k = 8, E = [32768, 19875], p = [(524288 + 26321) // 52643,
        # (318000 + 26321) // 52643] = [10, 6], e = [-6, 6], d = (3 * -6 - 5 * 6) / 16 = -3. Then the readout changes.
        core, result = run(make_spec(), [[[16], [0]], [[3, -5], [0, 0]]], ONE_EVENT)
        assert result.probes["signal/1"] == [[[-6, 6]]]
        assert result.probes["d/0"] == [[[-3]]]
        assert core.weights[1][0] == [(24 + 30) >> 3, (-40 - 30) >> 3]  # S = 3, P = -5 * 1 * [-6, 6]

    @pytest.mark.parametrize(("rounding", "d", "underflows"), [("nearest", 0, 1), ("floor", -1, 0)])
    def test_underflow_is_counted_when_something_becomes_nothing(self, rounding: str, d: int, underflows: int) -> None:
        # sd = 4 + 4 - 0 = 8: -64 / 256 = -0.25. With floor, g = -15 / 16 -> -1.
        spec = make_spec(replace(HIDDEN, frac_error=0), READOUT, error_rounding=rounding, rate_shift=4)
        _, result = run(spec, BELOW, ONE_EVENT)
        assert (result.probes["d/0"], result.probes["signal/0"]) == ([[[d]]], [[[d]]])
        assert total(result, "underflow_error", 0) == underflows

    def test_d_and_g_saturate(self) -> None:
        # sd = 0: d = 3 * -8 - 5 * 8 = -64 -> -32 in 6 bits; g = -480 / 16 = -30.
        spec = make_spec(replace(HIDDEN, frac_error=8), READOUT, error_bits=6)
        _, result = run(spec, BELOW, ONE_EVENT)
        assert (result.probes["d/0"], result.probes["signal/0"]) == ([[[-32]]], [[[-30]]])
        assert total(result, "sat_error", 0) == 1

    def test_no_surrogate_means_no_error_and_no_count(self) -> None:
        _, result = run(make_spec(), [[[-128], [0]], BELOW[1]], ONE_EVENT)
        assert (result.probes["d/0"], result.probes["signal/0"]) == ([[[0]]], [[[0]]])
        assert [total(result, f, 1) for f in ("error_words", "error_products")] == [0, 0]
        assert total(result, "underflow_error", 0) == 0

    @pytest.mark.parametrize(
        ("share", "rounding", "error"),
        [
            # q = z / 2 = 3.5 -> 4, -1.5 -> -2; e = q - y = [4 - 16, -2].
            (256, "nearest", [-12, -2]),
            (256, "floor", [-13, -2]),
            # k = 10 >> 1 = 5, E = [32768, 23973], p = [9, 7]; half of each: ([-7, 7] + [-12, -2]) / 2 = [-9.5, 2.5].
            (128, "nearest", [-10, 3]),
            (128, "floor", [-10, 2]),
        ],
    )
    def test_share_of_squared_error(self, share: int, rounding: str, error: list[int]) -> None:
        readout = replace(READOUT, bias=True, frac_potential=5, frac_weight=5)
        spec = make_spec(HIDDEN, readout, mse_share_q=share, error_rounding=rounding, rate_shift=4)
        _, result = run(spec, [[[0], [0]], [[0, 0], [7, -3]]], [[]])
        assert result.probes["signal/1"] == [[error]]


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
    STEPS = [[(0, 1)], []]  # noqa: RUF012

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


def test_footprint_is_what_the_lists_hold() -> None:
    hidden, readout = replace(HIDDEN, n_in=3, n_out=4, bias=True), replace(READOUT, n_in=4)
    weights = [[[0] * 4] * 4, [[0] * 2] * 5]

    def footprint(**changes: Any) -> list[int]:
        layers = (replace(hidden, keeps_trace=changes["credit"] == "trace"), readout)
        spec = make_spec(*layers, n_steps=4, readout_bits=20, delta_bits=12, **changes)
        return list(GoldenCore(spec, weights).footprint_bits().values())

    synapse = (4 * 4 + 4 * 2) * 8  # the readout has no bias row
    neuron = 4 * 8 + 2 * 20 + 2 * (20 + 2)  # 2 = ceil(log2 4)
    error = 4 * 4 + (4 + 2) * 8
    gradient = (4 * 4 + 4 * 2) * 16
    history = 4 * (3 * 2 + 4 * (1 + 4) + 2 * 8)
    assert footprint(credit="none", update="none") == [synapse, neuron, 0, 0, 0, 0]
    assert footprint(credit="spike") == [synapse, neuron, 0, error, 0, 0]
    assert footprint(credit="trace", update="accumulate") == [synapse, neuron, 3 * 4, error, gradient, 0]
    assert footprint(credit="unroll") == [synapse, neuron, 0, 4 * 12 + 2 * 8, 0, history]


def test_activity_of_one_step_by_hand() -> None:
    # Inputs 0 and 2 of 4 (words {0,1}, {2,3}); hidden neurons at 15, 15, -128 of threshold 16: psi = 15, 15, 0.
    # e = [-8, 8]. d = -64 / 16 = -4 for neuron 0 and 0 for neuron 1, whose row is 0: g = [-4, 0, 0].
    hidden = replace(HIDDEN, n_in=4, n_out=3, bias=True, keeps_trace=True)
    readout = replace(READOUT, n_in=3)
    weights = [[[15, 15, -128], [0] * 3, [0] * 3, [0] * 3, [0] * 3], [[3, -5], [0, 0], [9, 9], [0, 0]]]
    core, result = run(make_spec(hidden, readout, credit="trace"), weights, [[(0, 1), (2, 1)]])
    counted = {name: [total(result, name, layer) for layer in (0, 1)] for name in FIELD_INDEX}
    nonzero = {name: values for name, values in counted.items() if any(values)}
    assert nonzero == {
        "events": [2, 0],
        "psi_nonzero": [2, 0],
        "trace_words": [2, 0],
        "trace_nonzero": [2, 0],
        "signal_nonzero": [1, 2],
        "signal_words": [1, 1],
        "error_words": [0, 2],  # two rows of the readout with psi != 0, one word of e
        "error_products": [0, 4],
        "signal_steps": [1, 1],
        "presynaptic_rows": [3, 0],  # two traces and the bias; the readout saw no spike and has no bias
        "update_rows": [3, 0],
        "update_words": [3, 0],
        "update_products": [3, 0],
    }
    # a = 1 << 2 in both rows, and the bias row has p = 1 << frac_a too: all three change by (5 * 4 * 4) >> 5 = 2.
    assert core.weights[0] == [[17, 15, -128], [0, 0, 0], [2, 0, 0], [0, 0, 0], [2, 0, 0]]


@pytest.mark.parametrize(
    ("steps", "label", "message"),
    [
        ([[], []], 0, "2 steps"),
        ([[(0, 1), (0, 1)]], 0, "ascending"),
        ([[(1, 1)]], 0, "0 to 0"),
        ([[(0, 4)]], 0, "1 to 3"),
        ([[]], 2, "label 2"),
    ],
)
def test_samples_that_do_not_fit_are_refused(steps: Any, label: int, message: str) -> None:
    with pytest.raises(UserError, match=message):
        run(make_spec(), BELOW, steps, label)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (make_spec(batch=2), "batch"),
        (make_spec(replace(HIDDEN, keeps_trace=True), READOUT), "trace"),
        (make_spec(replace(HIDDEN, reset="zero"), READOUT, credit="unroll", reset_path="exact"), "reset_path"),
        (make_spec(READOUT, HIDDEN), "readout"),
    ],
)
def test_rules_the_contract_does_not_define_are_refused(spec: CoreSpec, message: str) -> None:
    with pytest.raises(UserError, match=message):
        GoldenCore(spec, BELOW)


def test_a_bias_where_there_is_none_is_refused() -> None:
    with pytest.raises(UserError, match="no bias"):
        GoldenCore(make_spec(), [[[15], [1]], BELOW[1]])
