"""Does the replay of recorded bitmaps give the activity of the core, for any rule, gate and word width?"""

from __future__ import annotations

import dataclasses
import random

import hypothesis
import numpy as np
import pytest
from hypothesis import given
from property_network_cases import fixed_network_case
from property_strategies import RULES, Case, cases, fixed_case

from neurochip.activity import FIELD_INDEX, FIELDS, Activity, SampleTrace
from neurochip.core.engine import Engine
from neurochip.errors import UserError
from neurochip.microarch import replay
from neurochip.recording import bitmaps_of

UNREPLAYED = [FIELD_INDEX[name] for name in FIELDS if name.startswith(("sat_", "underflow_"))]
UPDATE_WORDS = FIELD_INDEX["update_words"]


def recorded(case: Case, learn: bool = True) -> tuple[Activity, SampleTrace]:
    """Activity of a pass over all samples of a case, some of them twice, and its bitmaps, every position probed."""
    data = case.dataset()
    order = np.array([*range(len(case.samples)), 0])
    result = Engine(case.spec, case.weights).run(data, order, learn=learn, probe=range(len(order)))
    return result.activity, SampleTrace(order, bitmaps_of(data, order, result.probes, case.spec.trace_gate))


def comparable(activity: Activity) -> np.ndarray:
    """The totals that bitmaps determine."""
    totals = activity.totals[:-1].copy()
    totals[:, :, UNREPLAYED] = 0
    return totals


def with_lanes(case: Case, lanes: int, trace_lanes: int) -> Case:
    spec = dataclasses.replace(case.spec, synapse_lanes=lanes, trace_lanes=trace_lanes)
    return dataclasses.replace(case, spec=spec)


def assert_replayed(case: Case, learn: bool) -> None:
    """The bitmaps recorded at one width, replayed at three, against the core itself at these widths."""
    activity, trace = recorded(case, learn)
    rng = random.Random(case.seed)
    widths = [
        (case.spec.synapse_lanes, case.spec.trace_lanes),
        *((rng.randint(1, 40), rng.randint(1, 40)) for _ in "ab"),
    ]
    for lanes, trace_lanes in widths:
        found = replay.activity_of_trace(trace, case.spec, lanes, trace_lanes, learn)
        there, _ = recorded(with_lanes(case, lanes, trace_lanes), learn)
        assert np.array_equal(found.totals[:-1], comparable(there)), (lanes, trace_lanes)
        assert not found.totals[-1].any()
        assert (found.n_samples, found.learning) == (there.n_samples, there.learning)
        assert (found.synapse_lanes, found.trace_lanes) == (lanes, trace_lanes)
        if there.n_applies:
            assert_applies(case, activity, there, trace, lanes, trace_lanes)
        elif there.n_standardisations:
            epoch = replay.replayed_epoch(activity, trace, case.spec, lanes, trace_lanes)
            assert epoch.n_standardisations == there.n_standardisations
            assert np.array_equal(epoch.totals[-1], there.totals[-1])
        elif there.n_samples:
            assert np.array_equal(
                replay.replayed_epoch(activity, trace, case.spec, lanes, trace_lanes).totals, found.totals
            )
        moved = replay.at_word_widths(activity, trace, case.spec, lanes, trace_lanes)
        assert np.array_equal(moved.totals[:-1], there.totals[:-1])


def assert_applies(
    case: Case, run: Activity, there: Activity, trace: SampleTrace, lanes: int, trace_lanes: int
) -> None:
    """All samples are recorded, so only the words of gradients are estimated; each lies within what is possible."""
    epoch = replay.replayed_epoch(run, trace, case.spec, lanes, trace_lanes)
    assert (epoch.n_samples, epoch.n_applies) == (there.n_samples, there.n_applies)
    assert epoch.n_standardisations == there.n_standardisations
    applied = epoch.totals[-1].copy()
    if lanes == run.synapse_lanes:
        assert np.array_equal(applied, run.totals[-1])
    applied[:, UPDATE_WORDS] = run.totals[-1, :, UPDATE_WORDS]
    assert np.array_equal(applied, run.totals[-1])
    words, products = epoch.totals[-1, :, UPDATE_WORDS], run.totals[-1, :, FIELD_INDEX["update_products"]]
    assert (words * lanes >= products).all()
    assert (words <= products).all()
    if lanes == 1:
        assert np.array_equal(words, there.totals[-1, :, UPDATE_WORDS])
    if case.spec.batch == 1:
        reached = replay.reached_words(trace, case.spec, lanes).sum(axis=0)
        assert (reached >= there.totals[-1, :, UPDATE_WORDS]).all()


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("seed", range(6))
def test_replay_gives_the_activity_of_the_core_for_every_rule(rule: str, seed: int) -> None:
    case = fixed_case(seed, rule)
    assert_replayed(case, learn=True)
    assert_replayed(case, learn=False)


@hypothesis.settings(max_examples=40, deadline=None)
@given(cases())
def test_replay_gives_the_activity_of_the_core_for_drawn_networks(case: Case) -> None:
    assert_replayed(case, learn=True)


def test_the_fixed_cases_reach_gates_graded_events_and_traces_of_the_readout() -> None:
    specs = [fixed_case(seed, rule).spec for rule in RULES for seed in range(6)]
    traced = [spec for spec in specs if spec.credit == "trace"]
    assert any(spec.event_bits > 1 for spec in specs)
    assert any(spec.trace_gate > 1 for spec in traced)
    assert any(spec.layers[-1].keeps_trace for spec in traced)
    assert any(not spec.layers[0].keeps_trace for spec in traced)
    assert any(spec.weight_rounding == "stochastic" and spec.rng_lanes < 16 for spec in specs)


def test_one_sample_at_a_time_adds_up_to_all() -> None:
    case = fixed_case(2, "ottt-o")
    _, trace = recorded(case)
    whole = replay.activity_of_trace(trace, case.spec, 4, 3, True)
    parts = replay.activities_of_samples(trace, case.spec, 4, 3, True)
    assert len(parts) == whole.n_samples > 1
    assert np.array_equal(sum(activity.totals for activity, _ in parts), whole.totals)
    for activity, bitmaps in parts:
        again = replay.activity_of_trace(bitmaps, case.spec, 4, 3, True)
        assert np.array_equal(again.totals, activity.totals)


def test_applies_stand_in_the_proportion_of_the_whole_epoch() -> None:
    case = next(case for case in (fixed_case(seed, "ottt-a") for seed in range(99)) if len(case.samples) == 2)
    run, trace = recorded(case)
    few = SampleTrace(trace.sample_indices[:2], {name: bitmap[:2] for name, bitmap in trace.bitmaps.items()})
    epoch = replay.replayed_epoch(run, few, case.spec, run.synapse_lanes, run.trace_lanes)
    assert run.n_applies > 0
    assert (run.n_samples, epoch.n_samples) == (3, 6)
    assert epoch.n_applies * run.n_samples == run.n_applies * epoch.n_samples
    assert np.array_equal(epoch.totals[-1] * run.n_samples, run.totals[-1] * epoch.n_samples)
    two = replay.activity_of_trace(few, case.spec, run.synapse_lanes, run.trace_lanes, True)
    assert np.array_equal(epoch.totals[:-1], two.totals[:-1] * 3)


@pytest.mark.parametrize("name", ["event/0", "event/1", "graded/0", "signal/0", "psi/0", "trace/0", "presynaptic/0"])
def test_a_missing_bitmap_is_named(name: str) -> None:
    case = next(
        case
        for case in (fixed_case(seed, "ottt-o") for seed in range(200))
        if case.spec.event_bits > 1 and case.spec.trace_gate > 0 and case.spec.layers[0].keeps_trace
    )
    _, trace = recorded(case)
    fewer = SampleTrace(trace.sample_indices, {key: bitmap for key, bitmap in trace.bitmaps.items() if key != name})
    with pytest.raises(UserError, match=f"no bitmap {name}"):
        replay.activity_of_trace(fewer, case.spec, 4, 4, True)
    wrong = SampleTrace(trace.sample_indices, {**trace.bitmaps, name: trace.bitmaps[name][:, :, :-1]})
    with pytest.raises(UserError, match=f"bitmap {name} .* has shape"):
        replay.activity_of_trace(wrong, case.spec, 4, 4, True)


@pytest.mark.parametrize("seed", range(200))
def test_whole_networks_replay_exactly(seed: int) -> None:
    """All fields of whole networks; the words of a convolution that sums can cancel in are bounded from above."""
    case = fixed_network_case(seed)
    summed = [FIELD_INDEX[name] for name in ("weight_words", "random_advances")]
    maps = [index for index, layer in enumerate(case.spec.layers) if layer.conv is not None]
    for learn in (True, False):
        activity, trace = recorded(case, learn)
        spec = case.spec
        found = replay.activity_of_trace(trace, spec, spec.synapse_lanes, spec.trace_lanes, learn).totals[:-1]
        there = comparable(activity)
        for index in maps:
            assert np.all(found[:, index][:, summed] >= there[:, index][:, summed])
            found[:, index, summed[0]] = there[:, index, summed[0]]
            found[:, index, summed[1]] = there[:, index, summed[1]]
        for place in np.argwhere(found != there):
            step, layer, name = place[0], place[1], FIELDS[place[2]]
            raise AssertionError((step, layer, name, found[tuple(place)], there[tuple(place)]))
        moved = replay.at_word_widths(activity, trace, spec, 3, 5)
        assert moved.n_samples == activity.n_samples
