"""Is a stream what its table says: drawn with replacement, labelled, drifting and cut by seed, and judged rightly?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_experiment as tiny

from neurochip.config_learning import StreamTable
from neurochip.errors import UserError
from neurochip.events import EventDataset
from neurochip.stream import BLOCK_SAMPLES, SampleStream, StreamRecord, shifted, without_fixed_points

SENSOR = (5, 3, 2)
N_INPUTS, N_STEPS, N_CLASSES, N_TRAIN = 30, 6, 4, 11


def make_data(seed: int = 0, n_samples: int = N_TRAIN) -> EventDataset:
    rng = np.random.default_rng(seed)
    cells = [np.sort(rng.choice(N_INPUTS, rng.integers(0, 9), replace=False)) for _ in range(n_samples * N_STEPS)]
    offsets = np.concatenate([[0], np.cumsum([len(cell) for cell in cells])])
    addresses = np.concatenate(cells)
    labels = np.arange(n_samples) % N_CLASSES
    return EventDataset(offsets, addresses, rng.integers(1, 4, len(addresses)), labels, N_INPUTS, N_STEPS)


def make_stream(seed: int = 5, is_map: bool = False, n_classes: int = N_CLASSES, **keys: Any) -> SampleStream:
    return SampleStream(StreamTable(**keys), seed, make_data(), n_classes, SENSOR, is_map)


def whole(stream: SampleStream) -> list[EventDataset]:
    """All blocks of a stream, one after the other."""
    blocks, start = [], 0
    while start < stream.table.samples:
        end = stream.block_end(start)
        assert end > start
        blocks.append(stream.block(start, end))
        assert blocks[-1].n_samples == end - start
        start = end
    return blocks


def cells_of(data: EventDataset, sample: int) -> list[dict[int, int]]:
    """Address -> magnitude of every step of a sample."""
    rows = range(sample * data.n_steps, (sample + 1) * data.n_steps)
    parts = [slice(data.step_offsets[row], data.step_offsets[row + 1]) for row in rows]
    return [dict(zip(data.addresses[p].tolist(), data.magnitudes[p].tolist(), strict=True)) for p in parts]


def samples_of(stream: SampleStream) -> list[tuple[int, list[dict[int, int]]]]:
    """Label and cells of every sample of a stream."""
    return [(int(b.labels[i]), cells_of(b, i)) for b in whole(stream) for i in range(b.n_samples)]


def test_without_drift_every_sample_is_one_of_the_training_split_drawn_with_replacement() -> None:
    stream, train = make_stream(samples=600), make_data()
    found = samples_of(stream)
    assert len(found) == 600
    for (label, cells), index in zip(found, stream.drawn, strict=True):
        assert label == train.labels[index]
        assert cells == cells_of(train, int(index))
    assert set(stream.drawn.tolist()) == set(range(N_TRAIN))
    assert len(set(stream.drawn[:N_TRAIN].tolist())) < N_TRAIN  # a permutation would not be with replacement


@pytest.mark.parametrize("drift", ["none", "classes", "inputs"])
def test_a_shorter_stream_is_the_beginning_of_a_longer_one_and_seeds_differ(drift: str) -> None:
    keys: dict[str, Any] = {"shortest_steps": 2, "drift": drift, "drift_every": None if drift == "none" else 40}
    short, long = (samples_of(make_stream(samples=n, window=10, **keys)) for n in (130, 300))
    assert long[:130] == short
    assert samples_of(make_stream(samples=130, window=10, **keys)) == short
    assert samples_of(make_stream(seed=6, samples=130, window=10, **keys)) != short


@pytest.mark.parametrize(("every", "labelled"), [(1, [0, 1, 2, 3, 4, 5, 6]), (3, [2, 5]), (7, [6])])
def test_every_nth_sample_has_a_label(every: int, labelled: list[int]) -> None:
    stream = make_stream(samples=7, label_every=every)
    assert [i for i in range(7) if stream.has_label(i)] == labelled
    assert stream.n_labelled == len(labelled)


def test_blocks_end_at_drifts_and_are_never_long() -> None:
    stream = make_stream(samples=1000, drift="classes", drift_every=300, window=10)
    ends, start = [], 0
    while start < 1000:
        ends.append(start := stream.block_end(start))
    assert {300, 600, 900} <= set(ends)
    assert max(b - a for a, b in zip([0, *ends], ends, strict=False)) <= BLOCK_SAMPLES
    assert ends[-1] == 1000


def test_classes_drift_by_permutations_that_move_every_class() -> None:
    stream = make_stream(samples=400, drift="classes", drift_every=50, window=10)
    found, train = samples_of(stream), make_data()
    before = np.arange(N_CLASSES)
    for segment in range(8):
        seen = {}
        for position in range(50 * segment, 50 * segment + 50):
            index = int(stream.drawn[position])
            assert found[position][1] == cells_of(train, index)  # the inputs stay
            assert seen.setdefault(int(train.labels[index]), found[position][0]) == found[position][0]
        now = np.array([seen[label] for label in range(N_CLASSES)])
        assert sorted(now) == list(range(N_CLASSES))
        assert (now == before).all() if segment == 0 else (now != before).all()
        before = now


@pytest.mark.parametrize("is_map", [False, True])
def test_inputs_drift_by_permutations_or_shifts_in_x_and_labels_stay(is_map: bool) -> None:
    stream, train = make_stream(samples=200, is_map=is_map, drift="inputs", drift_every=50, window=10), make_data()
    found = samples_of(stream)
    width, height, _ = SENSOR
    before = np.arange(N_INPUTS)
    for segment in range(4):
        moved = stream.drift(segment).addresses
        assert sorted(moved) == list(range(N_INPUTS))
        assert (moved == before).all() if segment == 0 else (moved != before).all()
        if is_map:
            columns = (moved % width - np.arange(N_INPUTS) % width) % width
            assert len(set(columns.tolist())) == 1
            assert (moved // width == np.arange(N_INPUTS) // width).all()  # the same row and polarity
        for position in range(50 * segment, 50 * segment + 50):
            index = int(stream.drawn[position])
            assert found[position][0] == train.labels[index]
            assert found[position][1] == [
                {int(moved[address]): m for address, m in cell.items()} for cell in cells_of(train, index)
            ]
        before = moved
    assert height * width * 2 == N_INPUTS


def test_drifts_are_the_same_in_any_order_of_asking() -> None:
    one, other = (make_stream(samples=500, drift="inputs", drift_every=50, window=10) for _ in range(2))
    ascending = [one.drift(segment).addresses for segment in range(6)]
    for segment in (5, 2, 4, 0, 3):
        assert np.array_equal(other.drift(segment).addresses, ascending[segment])
    assert np.array_equal(other.last_drift.addresses, one.drift(9).addresses)


def test_a_shift_goes_around_and_a_permutation_leaves_nothing_in_place() -> None:
    assert shifted((3, 1, 2), 1).tolist() == [1, 2, 0, 4, 5, 3]
    assert shifted((3, 1, 2), 2).tolist() == [2, 0, 1, 5, 3, 4]
    for n in (2, 3, 50):
        for seed in range(20):
            permutation = without_fixed_points(np.random.default_rng(seed), n)
            assert sorted(permutation) == list(range(n))
            assert (permutation != np.arange(n)).all()


def test_samples_end_at_drawn_steps_after_which_nothing_comes() -> None:
    stream, train = make_stream(samples=500, shortest_steps=2), make_data()
    assert set(stream.n_steps_with_events.tolist()) == set(range(2, N_STEPS + 1))
    for (_, cells), index, length in zip(samples_of(stream), stream.drawn, stream.n_steps_with_events, strict=True):
        original = cells_of(train, int(index))
        assert cells == original[:length] + [{}] * (N_STEPS - length)


def test_a_drift_that_changes_nothing_is_refused() -> None:
    with pytest.raises(UserError, match="needs 2 classes or more; the task has 1"):
        make_stream(n_classes=1, samples=9, drift="classes", drift_every=3, window=1)
    with pytest.raises(UserError, match="needs 2 columns of the sensor or more; the task has 1"):
        SampleStream(
            StreamTable(samples=9, drift="inputs", drift_every=3, window=1), 1, make_data(), 3, (1, 15, 2), True
        )


def section(right: str, **keys: Any) -> dict[str, Any]:
    table = StreamTable(samples=len(right), **keys)
    return StreamRecord(table, np.array([letter == "+" for letter in right])).section()


def test_the_section_of_a_stream_counted_by_hand() -> None:
    found = section("++-+" + "++++" + "--" + "----" + "-+++" + "++" + "--", label_every=3,
                    drift="classes", drift_every=10, window=4)  # fmt: skip
    assert found["accuracy"] == 12 / 22
    assert (found["n_samples"], found["n_labelled"]) == (22, 7)
    assert [(w["end"], w["accuracy"]) for w in found["windows"]] == [
        (4, 0.75), (8, 1.0), (10, 0.0), (14, 0.0), (18, 0.75), (20, 1.0), (22, 0.0),
    ]  # fmt: skip
    first, second, third = found["segments"]
    assert first == {
        "start": 0, "n_samples": 10, "first_window": 0.75, "last_window": 0.5, "samples_to_recover": None,
    }  # fmt: skip
    # Before the drift half were right, 90 % of which a window of 4 reaches with two: at the 7th sample, "---+++" ends.
    assert (second["first_window"], second["last_window"], second["samples_to_recover"]) == (0.0, 1.0, 7)
    assert (third["start"], third["n_samples"], third["samples_to_recover"]) == (20, 2, None)


def test_one_segment_without_drift_and_a_window_longer_than_the_stream() -> None:
    found = section("+-++", window=100)
    assert found["windows"] == [{"end": 4, "accuracy": 0.75}]
    (segment,) = found["segments"]
    assert (segment["first_window"], segment["last_window"], segment["samples_to_recover"]) == (0.75, 0.75, None)


BAD = {
    "stream.label_every = 9 .*; allowed is 1 to 8": {"samples": 8, "label_every": 9},
    "drift_every = 5 needs a drift; allowed are drift = 'classes' or 'inputs'": {"drift_every": 5},
    "drift = 'classes' needs drift_every, .*; allowed is 1 to 4999": {"drift": "classes"},
    "drift = 'inputs' needs drift_every, .*; allowed is 1 to 7": {"samples": 8, "drift": "inputs", "drift_every": 8},
    "window = 200 is longer than drift_every = 50; allowed is 1 to 50": {"drift": "inputs", "drift_every": 50},
    "stream.drift = 'sudden' is not allowed; allowed is 'none' or 'classes' or 'inputs'": {"drift": "sudden"},
    "stream.samples = 0 is not allowed; allowed is a whole number from 1": {"samples": 0},
    "stream.shortest_steps = 5 is more than task.steps; allowed is 1 to 4": {"shortest_steps": 5},
    "stream.length = 5 is not a known key; allowed here are drift, ": {"length": 5},
}


@pytest.mark.parametrize(("message", "table"), [(m.replace("stream.label", "label"), t) for m, t in BAD.items()])
def test_what_cannot_be_is_refused_in_one_sentence(message: str, table: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=message) as raised:
        tiny.tiny_experiment(learning__mode="stream", stream=table)
    assert "\n" not in str(raised.value)
    assert "stream" in str(raised.value)


def test_a_table_without_its_mode_and_what_has_no_place_in_a_stream_are_refused() -> None:
    for match, changes in {
        "the table stream needs learning.mode = 'stream'": {"stream": {"samples": 9}},
        "learning.halve_every = 2 counts epochs": {"learning__mode": "stream", "learning__halve_every": 2},
        "the rule 'infer' is not allowed with learning.mode": {"learning__mode": "stream", "learning__rule": "infer"},
        "'infer' is not allowed with": {"learning__mode": "stream", "run__rules": ["ottt-o", "infer"]},
    }.items():
        with pytest.raises(UserError, match=match):
            tiny.tiny_experiment(**changes)


def test_the_table_has_defaults_and_stays_away_from_epochs(tmp_path: Path) -> None:
    assert tiny.tiny_experiment().streamed is None
    assert "stream" not in tiny.tiny_experiment().to_tables()
    assert tiny.tiny_experiment(learning__mode="stream").streamed == StreamTable()
