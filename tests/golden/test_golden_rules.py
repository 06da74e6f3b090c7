"""Windows, times of apply, momentum, loss steps and the trace filter of the golden core (semantics 3.3, 3.6, 3.7)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from golden_builders import BELOW, HIDDEN, ONE_EVENT, READOUT, draw_samples, draw_weights, make_spec, run, total

from neurochip.activity import FIELD_INDEX
from neurochip.reference.core import GoldenCore, GoldenRun, GoldenSample
from neurochip.spec import CoreSpec
from neurochip.topology import Connection

T = 6
SAMPLES = draw_samples(3, T, seed=21, n_samples=3)
WEIGHT = 24  # the largest initial weight: potentials stay near the threshold


def network(**changes: Any) -> CoreSpec:
    """3 - 4 recurrent - 3 - 2, nearest rounding, formats in which a gradient is not rounded."""
    recurrent = replace(
        HIDDEN, n_in=7, n_out=4, bias=True, inputs=(Connection(-1, 3), Connection(0, 4, delay=1, offset=3))
    )
    layers = (recurrent, replace(HIDDEN, n_in=4, n_out=3), replace(READOUT, n_in=3, bias=True))
    if changes.get("credit") == "trace":
        layers = (*(replace(layer, keeps_trace=True, frac_gradient=6) for layer in layers[:2]), layers[2])
    settings: dict[str, Any] = {"n_steps": T, "weight_rounding": "nearest", "update": "accumulate"}
    return make_spec(*layers, **(settings | changes))


def learn(spec: CoreSpec) -> tuple[GoldenCore, GoldenRun]:
    core = GoldenCore(spec, draw_weights(spec, seed=22, largest=WEIGHT))
    result = core.run(SAMPLES, learn=True)
    assert any(any(step) for step in result.probes["signal/0"][0])
    assert core.weights[0] != draw_weights(spec, seed=22, largest=WEIGHT)[0]
    return core, result


def same(one: CoreSpec, other: CoreSpec, but: tuple[str, ...] = ()) -> bool:
    """Whether two rules leave the same weights, probes and, but for some fields, activity."""
    (a, first), (b, second) = learn(one), learn(other)
    fields = [FIELD_INDEX[name] for name in FIELD_INDEX if name not in but]
    activity = [[[[row[f] for f in fields] for row in step] for step in run_.activity] for run_ in (first, second)]
    return (a.weights, first.probes, activity[0]) == (b.weights, second.probes, activity[1])


class TestWindows:
    @pytest.mark.parametrize("update", ["immediate", "accumulate"])
    @pytest.mark.parametrize("steps", [T, T + 1])
    def test_a_window_of_all_steps_is_full_unrolling(self, update: str, steps: int) -> None:
        full = network(credit="unroll", update=update)
        assert same(full, replace(full, unroll_steps=steps))
        assert not same(full, replace(full, unroll_steps=T - 1))

    @pytest.mark.parametrize("update", ["immediate", "accumulate"])
    def test_windows_of_one_step_are_the_spike_rule(self, update: str) -> None:
        # Nothing is carried. The delayed way is there under unroll, but its delta is past the end of the window.
        spike = network(credit="spike", update=update)
        fields_of_the_delayed_way = ("psi_rows", "psi_taps")
        assert same(spike, replace(spike, credit="unroll", unroll_steps=1), but=fields_of_the_delayed_way)

    def test_the_error_of_a_window_ends_at_its_end(self) -> None:
        # As TestUnroll of test_golden_learning: g = -4 and -2; in one window delta[1] = leak(-2) - 4 = -5.
        for steps, delta in ((2, -5), (1, -4)):
            spec = make_spec(credit="unroll", update="accumulate", n_steps=2, unroll_steps=steps)
            _, result = run(spec, BELOW, [[(0, 1)], []])
            assert result.probes["signal/0"] == [[[delta], [-2]]]

    def test_the_next_window_runs_forward_with_the_weights_of_the_last_and_its_own_membranes(self) -> None:
        # Window 1: u = 15, delta = -4, W: 15 -> 15 + (5 * 4 >> 3) = 17. Window 2: u = 7 + 17.
        spec = make_spec(credit="unroll", n_steps=2, unroll_steps=1)
        _, result = run(spec, BELOW, [[(0, 1)], [(0, 1)]])
        assert result.probes["potential/0"] == [[[15], [24]]]

    def test_a_shorter_last_window_and_the_history_it_needs(self) -> None:
        spec = make_spec(credit="unroll", update="accumulate", n_steps=5, unroll_steps=3)
        core = GoldenCore(spec, BELOW)
        assert core.footprint_bits()["history"] == 3 * (1 * 2 + 1 * (1 + 4) + 2 * 8)
        result = core.run([GoldenSample([[(0, 1)]] * 5, 0)], learn=True)
        assert [len(step) for step in result.probes["signal/0"][0]] == [1] * 5
        assert [step[0][FIELD_INDEX["presynaptic_rows"]] for step in result.activity] == [1] * 5 + [0]


class TestApply:
    @pytest.mark.parametrize("credit", ["trace", "spike", "unroll"])
    @pytest.mark.parametrize("every", [T, T + 3])
    def test_deferred_over_the_whole_sample_is_an_apply_per_sample(self, credit: str, every: int) -> None:
        sample = network(credit=credit)
        assert same(sample, replace(sample, apply_when="deferred", apply_every=every))
        assert not same(sample, replace(sample, apply_when="deferred", apply_every=T - 1))

    @pytest.mark.parametrize("credit", ["trace", "spike", "unroll"])
    def test_deferred_by_one_step_is_immediate_where_gradients_are_not_rounded(self, credit: str) -> None:
        # An immediate update counts its writes in the step, an apply in the last row.
        but = ("update_words", "update_products", "weight_words", "sat_weight")
        deferred = network(credit=credit, apply_when="deferred")
        assert same(deferred, replace(deferred, update="immediate"), but)
        assert learn(deferred)[1].n_applies == T * len(SAMPLES)

    @pytest.mark.parametrize(
        ("credit", "every", "loss_start", "update_every", "applies"),
        [
            ("spike", 2, 1, 1, 3),  # after steps 2, 4, 6
            ("spike", 4, 1, 1, 2),  # 4, and the last one, 6
            ("spike", 2, 1, 2, 2),  # loss in 2, 4, 6: after 4 and 6
            ("spike", 2, 3, 4, 1),  # loss in 4 alone
            ("spike", 2, T + 1, 1, 0),  # no loss at all
            ("unroll", 2, 1, 2, 3),  # every step counts: in reverse after 5, 3, 1
            ("unroll", 4, T + 1, 1, 2),
        ],
    )
    def test_deferred_counts_the_steps_that_learn(
        self, credit: str, every: int, loss_start: int, update_every: int, applies: int
    ) -> None:
        spec = network(credit=credit, apply_when="deferred", apply_every=every)
        spec = replace(spec, loss_start=loss_start, update_every=update_every)
        core = GoldenCore(spec, draw_weights(spec, seed=22, largest=WEIGHT))
        assert core.run(SAMPLES[:1], learn=True).n_applies == applies
        assert not any(any(row) for rows in core.gradients for row in rows)

    def test_the_last_loss_step_applies_before_the_next_step_runs(self) -> None:
        # Loss in step 2 of 3, where u = 15 / 2 + 15 = 22 and W becomes 15 + 1: step 3 begins with the new weight.
        spec = make_spec(update="accumulate", apply_when="deferred", apply_every=9, n_steps=3, update_every=2)
        core, result = run(spec, BELOW, [[(0, 1)], [(0, 1)], [(0, 1)]])
        assert core.weights[0][0] != [15]
        assert result.probes["potential/0"][0] == [[15], [22], [3 + core.weights[0][0][0]]]

    @pytest.mark.parametrize(("window", "unroll", "applies"), [(2, 2, 3), (3, 2, 2), (6, 2, 1), (4, 4, 2), (1, 1, 6)])
    def test_window_waits_for_as_many_steps(self, window: int, unroll: int, applies: int) -> None:
        # K = 2, W = 3: 2 steps are too few, 4 are enough, then the end of the sample.
        spec = network(credit="unroll", unroll_steps=unroll, apply_when="window", apply_every=window)
        core, result = learn(spec)
        assert result.n_applies == applies * len(SAMPLES)
        assert not any(any(row) for rows in core.gradients for row in rows)

    def test_one_window_over_the_sample_is_an_apply_per_sample(self) -> None:
        sample = network(credit="unroll", unroll_steps=2)
        assert same(sample, replace(sample, apply_when="window", apply_every=T))


class TestMomentum:
    def test_velocity_leaks_takes_the_gradient_and_moves_the_weight(self) -> None:
        # S_G = 4 + 3 - 4 = 3, k = 1. Sample 1: G = -4 = V, 20 / 8 -> 3. Sample 2: u = 18, psi 15, e = [-6, 6], d = -3,
        # g = -45 / 16 -> -3, V = -2 - 3, 25 / 8 -> 3. Sample 3, no event: G = 0, V = leak(-5) = -2, 10 / 8 -> 1.
        spec = make_spec(update="accumulate", momentum_shift=1, weight_rounding="nearest")
        core = GoldenCore(spec, BELOW)
        seen = []
        for steps in (ONE_EVENT, ONE_EVENT, [[]], [[]]):
            result = core.run([GoldenSample(steps, 0)], learn=True)
            row = result.activity[-1][0]
            counted = [row[FIELD_INDEX[f]] for f in ("update_words", "update_products", "weight_words")]
            seen.append((core.weights[0][0][0], core.velocities[0][0][0], counted))
        # Sample 4: V = leak(-2) = -1, 5 / 8 -> 1.
        assert seen == [(18, -4, [1, 1, 1]), (21, -5, [1, 1, 1]), (22, -2, [1, 1, 1]), (23, -1, [1, 1, 1])]
        # Sample 5: the word held V = -1 and is visited, but V becomes 0.
        row = core.run([GoldenSample([[]], 0)], learn=True).activity[-1][0]
        assert [row[FIELD_INDEX[f]] for f in ("update_words", "update_products")] == [1, 0]
        assert (core.weights[0][0], core.velocities[0]) == ([23], [[0], [0]])
        assert core.footprint_bits()["gradient"] == 2 * (1 + 2) * 16

    def test_velocity_saturates_as_a_gradient_in_the_row_of_applies(self) -> None:
        spec = make_spec(update="accumulate", momentum_shift=3, weight_rounding="nearest", gradient_bits=3)
        core = GoldenCore(spec, BELOW)
        result = core.run([GoldenSample(ONE_EVENT, 0)] * 2, learn=True)
        assert core.velocities[0] == [[-4], [0]]  # leak_3(-4) = -3, G = -3
        assert [step[0][FIELD_INDEX["sat_gradient"]] for step in result.activity] == [0, 1]

    def test_random_numbers_are_drawn_for_what_moves(self) -> None:
        spec = make_spec(update="accumulate", momentum_shift=1, weight_rounding="stochastic")
        core = GoldenCore(spec, BELOW)
        drawn = [core.run([GoldenSample(s, 0)], True, record_draws=True).drawn for s in (ONE_EVENT, [[]])]
        assert [[d[:3] for d in one] for one in drawn] == [[(0, 0, 0)], [(0, 0, 0)]]


class TestLossSteps:
    @pytest.mark.parametrize("credit", ["trace", "spike"])
    def test_a_step_without_loss_updates_traces_and_nothing_else(self, credit: str) -> None:
        hidden = replace(HIDDEN, keeps_trace=credit == "trace")
        spec = make_spec(hidden, READOUT, credit=credit, n_steps=3, update_every=2)
        _, result = run(spec, BELOW, [[(0, 1)], [], []])
        assert [any(any(result.probes[f"signal/{layer}"][0][t]) for layer in (0, 1)) for t in range(3)] == [0, 1, 0]
        assert [any(result.probes["d/0"][0][t]) for t in range(3)] == [False, True, False]
        if credit == "trace":
            assert result.probes["trace/0"][0] == [[4], [2], [1]]
        fields = ("signal_steps", "psi_rows", "presynaptic_rows", "psi_nonzero")
        counted = [[sum(layer[FIELD_INDEX[f]] for layer in step) for f in fields] for step in result.activity[:3]]
        assert [row[:3] == [0, 0, 0] for row in counted] == [True, False, True]
        assert [row[3] for row in counted] == [1, 1, 1]

    def test_unrolled_errors_pass_through_steps_without_loss(self) -> None:
        # Loss in step 2 alone: delta[2] = -2 as in TestUnroll, delta[1] = leak(-2) + 0 = -1.
        spec = make_spec(credit="unroll", update="accumulate", n_steps=2, loss_start=2)
        _, result = run(spec, BELOW, [[(0, 1)], []])
        assert result.probes["signal/1"] == [[[0, 0], [-8, 8]]]
        assert result.probes["signal/0"] == [[[-1], [-2]]]
        assert [step[0][FIELD_INDEX["presynaptic_rows"]] for step in result.activity] == [1, 0, 0]


class TestTraceFilter:
    LAYER = replace(HIDDEN, keeps_trace=True, filter_leak_kind="constant", filter_leak_value=3 * 65536 // 4)

    def test_the_second_leak_runs_on_the_first(self) -> None:
        # f: 4, 2, 1, 0, 0, 0. a: 0 + 4; 3 + 2; floor(3.75) + 1; 3 + 0; 2; 1.
        spec = make_spec(self.LAYER, READOUT, credit="trace", n_steps=6)
        core, result = run(spec, BELOW, [[(0, 1)], [], [], [], [], []])
        assert result.probes["trace/0"] == [[[4], [5], [4], [3], [2], [1]]]
        assert core.footprint_bits()["trace"] == 2 * 4

    def test_both_values_saturate(self) -> None:
        # 12; f = 6 + 12 -> 15, a = 9 + 15 -> 15.
        spec = make_spec(self.LAYER, READOUT, credit="trace", n_steps=2)
        _, result = run(spec, BELOW, [[(0, 3)], [(0, 3)]])
        assert result.probes["trace/0"] == [[[12], [15]]]
        assert total(result, "sat_trace", 0) == 2
