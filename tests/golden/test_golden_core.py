"""Does the golden core do what docs/semantics.md, sections 3 and 5, says? Every expected number is derived here."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from golden_builders import BELOW, HIDDEN, ONE_EVENT, READOUT, make_spec, run, total

from neurochip.activity import FIELD_INDEX
from neurochip.errors import UserError
from neurochip.reference.core import GoldenCore, GoldenSample
from neurochip.spec import CoreSpec


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
    STEPS = ([(0, 3)], [(0, 2)], [(0, 2)], [(0, 3)], [])

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
        assert [total(result, f, 1) for f in ("error_rows", "error_words", "error_products")] == [0, 0, 0]
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
        "deliver_taps": [2, 0],  # in a dense layer every address has one tap
        "psi_nonzero": [2, 0],
        "trace_words": [2, 0],
        "trace_nonzero": [2, 0],
        "signal_nonzero": [1, 2],
        "signal_words": [1, 1],
        "all_tap_words": [4, 3],  # one word of g, one of e, for each of 4 and 3 addresses
        "all_tap_products": [4, 6],
        "psi_rows": [0, 2],
        "psi_taps": [0, 2],
        "error_rows": [0, 2],
        "error_words": [0, 2],  # two rows of the readout with psi != 0, one word of e
        "error_products": [0, 4],
        "signal_steps": [1, 1],
        "presynaptic_rows": [3, 0],  # two traces and the bias; the readout saw no spike and has no bias
        "presynaptic_taps": [3, 0],
        "update_rows": [3, 0],
        "update_tiles": [2, 0],  # two words of traces, each to one word of g
        "weight_words": [3, 0],
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
