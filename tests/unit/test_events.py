"""Recordings, EventDataset and the binning of one into the other."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurochip.encoding import event_steps
from neurochip.encoding.event_steps import bin_events
from neurochip.errors import UserError
from neurochip.events import EVENT_DTYPE, MAX_TIME_US, EventDataset, Recordings

LABELS = (7, 3, 9)


def make_recordings(samples, labels, sensor_size=(3, 2, 2)):
    """Recordings from lists of (x, y, p, t)."""
    x, y, p, t = (np.array([e[k] for s in samples for e in s], dtype=np.int64) for k in range(4))
    return Recordings(x, y, p, t, np.cumsum([0, *map(len, samples)]), np.array(labels, dtype=np.int64), sensor_size)


def obvious_bins(samples, n_steps, repeat, max_magnitude, width, height):
    """The definition, event by event: [sample][step] -> sorted list of (address, magnitude)."""
    result = []
    for events in samples:
        steps = [{} for _ in range(n_steps)]
        for x, y, p, t in events:
            step = (t - events[0][3]) * n_steps // (events[-1][3] - events[0][3] + 1)
            address = p * width * height + y * width + x
            steps[step][address] = steps[step].get(address, 0) + 1
        largest = 1 if repeat == "once" else max_magnitude
        result.append([sorted((a, min(c, largest)) for a, c in step.items()) for step in steps])
    return result


@st.composite
def recordings_strategy(draw):
    gap = draw(st.sampled_from([1, 50, 2**20]))
    event = st.tuples(st.integers(0, 2), st.integers(0, 1), st.integers(0, 1), st.integers(0, gap))
    samples = []
    for drawn in draw(st.lists(st.lists(event, max_size=25), max_size=6)):
        times = np.cumsum([e[3] for e in drawn]) + draw(st.integers(-1000, 2**40))
        samples.append([(x, y, p, int(t)) for (x, y, p, _), t in zip(drawn, times, strict=True)])
    return samples, draw(st.lists(st.sampled_from(LABELS), min_size=len(samples), max_size=len(samples)))


@given(
    drawn=recordings_strategy(),
    n_steps=st.integers(1, 9),
    repeat=st.sampled_from(["once", "count"]),
    max_magnitude=st.integers(1, 4),
    block=st.sampled_from([1, 10, 1 << 20]),
)
@settings(max_examples=200, deadline=None)
def test_binning_equals_the_definition_event_by_event(drawn, n_steps, repeat, max_magnitude, block):
    samples, labels = drawn
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(event_steps, "BLOCK_EVENTS", block)
        dataset = bin_events(make_recordings(samples, labels), n_steps, repeat, LABELS, max_magnitude)
    expected = obvious_bins(samples, n_steps, repeat, max_magnitude, 3, 2)
    found = []
    for i in range(dataset.n_samples):
        events = dataset.sample(i)
        pairs = list(zip(events.addresses.tolist(), events.magnitudes.tolist(), strict=True))
        found.append([pairs[events.step_offsets[s] : events.step_offsets[s + 1]] for s in range(n_steps)])
    assert found == expected
    assert [LABELS[k] for k in dataset.labels] == labels
    assert (dataset.n_inputs, dataset.n_steps) == (12, n_steps)


def test_the_last_event_falls_in_the_last_step_at_the_largest_time():
    one = make_recordings([[(0, 0, 0, -MAX_TIME_US), (1, 0, 0, MAX_TIME_US)]], [7])
    events = bin_events(one, 32767, "once", LABELS, 1).sample(0)
    assert events.step_offsets.tolist() == [0] + [1] * 32766 + [2]


@pytest.mark.parametrize("steps", [0, -1, 32768, 2.0, True])
def test_steps_outside_the_range_are_refused(steps):
    with pytest.raises(UserError, match=r"task\.steps = .* must be an integer from 1 to 32767"):
        bin_events(make_recordings([], []), steps, "once", LABELS, 1)


def test_an_unknown_repeat_and_an_unknown_label_are_refused():
    one = make_recordings([[]], [8])
    with pytest.raises(UserError, match=r'task\.repeat = \'twice\' must be "once" or "count"'):
        bin_events(one, 1, "twice", LABELS, 1)
    with pytest.raises(UserError, match=r"label 8 is not one of the classes \[7, 3, 9\]"):
        bin_events(one, 1, "once", LABELS, 1)


def test_event_dtype_is_the_one_tonic_uses():
    code = (
        "from tonic.io import events_struct; from neurochip.events import EVENT_DTYPE; import sys;"
        "sys.exit(0 if events_struct == EVENT_DTYPE else str(events_struct))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_events_imports_numpy_and_no_data_library():
    code = "import sys, neurochip.events; print([m for m in ('h5py', 'sklearn', 'tonic', 'scipy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_sample_gives_the_events_of_one_recording_as_a_structured_array():
    two = make_recordings([[(0, 1, 1, 5)], [(2, 0, 0, 1), (1, 1, 1, 4)]], [7, 3])
    expected = np.array([(2, 0, 1, False), (1, 1, 4, True)], dtype=EVENT_DTYPE)
    assert two.sample(1).dtype == EVENT_DTYPE
    np.testing.assert_array_equal(two.sample(1), expected)


GOOD = make_recordings([[(0, 0, 0, 5), (2, 1, 1, 9)], [], [(1, 1, 1, 2)]], [7, 3, 9])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": np.array([0, 3, 1])}, r"x holds 3 at entry 1; allowed is 0 to 2 for sensor_size \(3, 2, 2\)"),
        ({"y": np.array([0, 1, -1])}, r"y holds -1 at entry 2; allowed is 0 to 1"),
        ({"p": np.array([0, 2, 1])}, r"p holds 2 at entry 1; allowed is 0 to 1"),
        ({"x": np.array([0, 2**63, 1], dtype=np.uint64)}, r"x holds 9223372036854775808 at entry 1"),
        ({"y": np.array([0.0, 1.0, 1.0])}, r"y is stored as float64; it must be integers"),
        ({"p": np.array([0, 1])}, r"p has 2 entries; it must have 3"),
        ({"x": np.array([[0, 2, 1]])}, r"x has 2 dimensions; it must have one"),
        ({"t": np.array([5, 4, 2])}, r"t decreases from 5 to 4 at event 1 \(sample 0\)"),
        ({"t": np.array([5, 2**50, 2])}, r"t holds 1125899906842624 at entry 1; allowed is"),
        ({"offsets": np.array([0, 2, 1, 3])}, r"offsets falls from 2 to 1 at entry 2; it may not decrease"),
        ({"offsets": np.array([0, 2, 2, 4])}, r"offsets runs from 0 to 4; it must run from 0 to .* 3"),
        ({"offsets": np.array([1, 2, 2, 3])}, r"offsets runs from 1 to 3"),
        ({"labels": np.array([1, 2])}, r"offsets has 4 entries; the number of labels asks for 3"),
        ({"sensor_size": (3, 2, 3)}, r"sensor_size = \(3, 2, 3\) must be three integers"),
        ({"sensor_size": (3, 2)}, r"sensor_size = \(3, 2\) must be three integers"),
    ],
)
def test_recordings_that_break_a_rule_are_refused(change, message):
    with pytest.raises(UserError, match=message):
        replace(GOOD, **change)


def test_time_may_restart_in_the_next_sample_and_stand_still_within_one():
    assert make_recordings([[(0, 0, 0, 9), (0, 0, 0, 9)], [], [(0, 0, 0, 1)]], [7, 3, 9]).n_samples == 3


DATASET = EventDataset(
    np.array([0, 2, 2, 3, 4]), np.array([0, 5, 5, 1]), np.array([1, 2, 1, 3]), np.array([1, 0]), 6, 2
)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"addresses": np.array([5, 0, 5, 1])}, r"addresses goes from 5 to 0 at entry 1"),
        ({"addresses": np.array([5, 5, 5, 1])}, r"addresses goes from 5 to 5 at entry 1"),
        ({"addresses": np.array([0, 6, 5, 1])}, r"addresses holds 6 at entry 1; allowed is 0 to 5"),
        ({"magnitudes": np.array([1, 0, 1, 1])}, r"magnitudes holds 0 at entry 1; allowed is 1 to"),
        ({"magnitudes": np.array([1, 1, 1])}, r"magnitudes has 3 entries; it must have 4"),
        ({"step_offsets": np.array([0, 2, 1, 3, 4])}, r"step_offsets falls from 2 to 1"),
        ({"step_offsets": np.array([0, 2, 4])}, r"step_offsets has 3 entries; .* asks for 5"),
        ({"step_offsets": np.array([0, 2, 2, 3, 3])}, r"step_offsets runs from 0 to 3"),
        ({"labels": np.array([1, -1])}, r"labels holds -1"),
        ({"n_inputs": 0}, r"n_inputs = 0 must be 1 to"),
    ],
)
def test_an_event_dataset_that_breaks_a_rule_is_refused(change, message):
    with pytest.raises(UserError, match=message):
        replace(DATASET, **change)


def test_take_returns_the_chosen_samples_in_the_order_asked():
    chosen = [2, 0, 1, 1]
    recordings = GOOD.take(chosen)
    dataset = bin_events(GOOD, 3, "count", LABELS, 3)
    taken = dataset.take(chosen)
    for new, old in enumerate(chosen):
        np.testing.assert_array_equal(recordings.sample(new), GOOD.sample(old))
        for left, right in zip(taken.sample(new), dataset.sample(old), strict=True):
            np.testing.assert_array_equal(left, right)
    np.testing.assert_array_equal(taken.labels, dataset.labels[chosen])
    assert dataset.take([]).n_samples == 0
    with pytest.raises(IndexError, match="there are 3 samples"):
        dataset.take([-1])


def test_counts_sums_magnitudes_over_the_steps():
    np.testing.assert_array_equal(DATASET.counts(), [[1, 0, 0, 0, 0, 2], [0, 3, 0, 0, 0, 1]])


def test_the_content_hash_depends_on_every_array():
    changes = [{"x": np.array([1, 2, 1])}, {"y": np.array([1, 1, 1])}, {"p": np.array([1, 1, 1])}]
    changes += [{"t": np.array([5, 9, 3])}, {"offsets": np.array([0, 2, 3, 3])}, {"labels": np.array([7, 3, 3])}]
    changes += [{"sensor_size": (4, 2, 2)}]
    hashes = {GOOD.sha256(), *(replace(GOOD, **change).sha256() for change in changes)}
    assert len(hashes) == len(changes) + 1
    assert replace(GOOD, x=GOOD.x.astype(np.int64)).sha256() == GOOD.sha256()


def test_the_crop_keeps_the_middle_and_moves_it_to_the_corner() -> None:
    x, y = np.array([0, 1, 2, 3, 4, 2]), np.array([3, 1, 2, 1, 0, 0])
    recordings = Recordings(x, y, np.zeros(6, np.uint8), np.arange(6), np.array([0, 1, 6]), np.array([7, 8]), (5, 4, 1))
    middle = recordings.crop(3, 2)
    assert middle.sensor_size == (3, 2, 1)
    assert middle.offsets.tolist() == [0, 0, 3]  # the first recording has nothing in the middle and stays
    assert list(zip(middle.x.tolist(), middle.y.tolist(), middle.t.tolist(), strict=True)) == [
        (0, 0, 1),
        (1, 1, 2),
        (2, 0, 3),
    ]
    with pytest.raises(UserError, match=r"task\.crop = \[6, 2\] is not inside"):
        recordings.crop(6, 2)
