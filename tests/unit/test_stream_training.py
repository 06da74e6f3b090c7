"""Is every sample of a stream predicted before it is learned, and does a stream that stopped go on as if it had not?"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tiny_experiment as tiny

from neurochip import stream_training
from neurochip.listener import Silent
from neurochip.recording import subset_of
from neurochip.rules.presets import find_rule
from neurochip.run_directory import RunDirectory
from neurochip.setup import Run, Setup, prepare_setup
from neurochip.stream import SampleStream
from neurochip.stream_training import train_on_stream
from neurochip.training import Interrupted, Outcome, Training, TrainingState

STREAM: dict[str, Any] = {"samples": 60, "label_every": 2, "drift": "classes", "drift_every": 25, "window": 5}
RULES = ["sltt-o", "ottt-o", "unroll(2)/backprop/immediate", "bptt-o", "bptt"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    tiny.write_tiny_task(folder)
    return folder


@pytest.fixture(scope="module")
def make_setup(folder: Path) -> Callable[..., Setup]:
    def make(rule: str, stream: dict[str, Any] | None = None, **changes: Any) -> Setup:
        experiment = tiny.tiny_experiment(
            learning__mode="stream", stream=STREAM if stream is None else stream, **changes
        )
        return prepare_setup(experiment, [find_rule(rule)], folder, "fast", Silent())

    return make


def run_of(setup: Setup, kind: str = "fixed") -> Run:
    return next(run for run in setup.runs if run.precision == kind)


def stream_of(setup: Setup) -> SampleStream:
    assert setup.stream is not None
    return setup.stream


def make_training(setup: Setup, **changes: Any) -> Training:
    fields: dict[str, Any] = dict(
        key="k", label="k", task=setup.task, n_epochs=1, seed=3, learn=True, subset_samples=4, listener=Silent(),
        on_epoch=lambda state: None, stop=threading.Event(),
    )  # fmt: skip
    return Training(**(fields | changes))


def run_stream(setup: Setup, kind: str = "fixed", state: TrainingState | None = None, **changes: Any) -> Outcome:
    batch, core = setup.resolved.learning.batch, setup.core(run_of(setup, kind), None)
    return train_on_stream(core, make_training(setup, **changes), stream_of(setup), batch, state)


def assert_same(one: Outcome, other: Outcome) -> None:
    assert one.test == other.test
    assert (one.epochs[0].train, one.epochs[0].validation) == (other.epochs[0].train, other.epochs[0].validation)
    assert np.array_equal(one.stream.right, other.stream.right)
    for a, b in zip(one.weights, other.weights, strict=True):
        assert np.array_equal(a, b)
    for a, b in ((one.epochs[0].activity, other.epochs[0].activity), (one.test_activity, other.test_activity)):
        assert (a is None) == (b is None)
        if a is not None:
            assert np.array_equal(a.totals, b.totals)
            assert (a.n_samples, a.n_applies, a.learning) == (b.n_samples, b.n_applies, b.learning)
    for a, b in ((one.subset, other.subset), (one.test_subset, other.test_subset)):
        assert (a is None) == (b is None)
        if a is not None:
            assert np.array_equal(a.sample_indices, b.sample_indices)
            assert a.bitmaps.keys() == b.bitmaps.keys()
            assert all(np.array_equal(a.bitmaps[name], b.bitmaps[name]) for name in a.bitmaps)


class Counting:
    """Predicts how many samples it has learned so far, modulo the classes, and remembers what it was asked."""

    def __init__(self) -> None:
        self.learned = 0
        self.calls: list[tuple[bool, list[int], bool]] = []
        self.weights = [np.zeros((2, 2))]
        self.registers = np.zeros((1, 1), np.uint32)

    def run(self, data: Any, order: Any, *, learn: bool, end_of_epoch: bool, probe: Any) -> Any:
        self.calls.append((learn, [int(data.labels[i]) for i in order], end_of_epoch))
        predictions = np.full(len(order), self.learned % tiny.N_CLASSES)
        self.learned += len(order) if learn else 0
        return SimpleNamespace(predictions=predictions, probes={})


@pytest.mark.parametrize("every", [1, 3])
@pytest.mark.parametrize("chunk_samples", [1, 4, 1000])
def test_a_sample_is_predicted_before_it_is_learned_and_learned_only_with_a_label(
    every: int, chunk_samples: int, make_setup
) -> None:
    setup, core = make_setup("ottt-o", STREAM | {"label_every": every}), Counting()
    stream, training = stream_of(setup), make_training(setup, subset_samples=0, chunk_samples=chunk_samples)
    outcome = train_on_stream(core, training, stream, 1, None)
    labels = [label for start, end in ((0, 25), (25, 50), (50, 60)) for label in stream.block(start, end).labels]
    n_test = setup.task.test.n_samples + setup.task.validation.n_samples
    inferred = [label for learn, seen, _ in core.calls if not learn for label in seen]
    assert inferred[:-n_test] == labels
    learned = [seen for learn, seen, _ in core.calls if learn]
    assert learned == [[label] for label in labels[every - 1 :: every]]
    expected = [(position // every) % tiny.N_CLASSES == label for position, label in enumerate(labels)]
    assert outcome.stream.right.tolist() == expected
    assert [end for learn, _, end in core.calls if learn] == [False] * (len(learned) - 1) + [True]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("kind", ["fixed", "float"])
def test_a_rate_too_small_to_change_a_weight_gives_the_accuracy_of_inference(rule: str, kind: str, make_setup) -> None:
    setup = make_setup(rule, learning__learning_rate=2.0**-14, precision__weight={"rounding": "nearest"})
    stream, core = stream_of(setup), setup.core(run_of(setup, kind), None)
    expected, decided = [], []
    for start, end in ((0, 25), (25, 50), (50, 60)):
        data = stream.block(start, end)
        result = core.run(data, np.arange(end - start), learn=False, end_of_epoch=False, probe=())
        expected += (result.predictions == data.labels).tolist()
        largest = np.sort(result.readout_sums, axis=1)
        decided += (largest[:, -1] - largest[:, -2] > 0.01).tolist()
    before, outcome = core.weights, run_stream(setup, kind)
    chosen = np.full(60, True)
    if kind == "fixed":
        assert all(np.array_equal(a, b) for a, b in zip(before, outcome.weights, strict=True))
    else:  # the smallest change decides between classes that are equal
        chosen = np.array(decided)
        assert chosen.sum() > 20
    assert np.array_equal(outcome.stream.right[chosen], np.array(expected)[chosen])
    quick = run_stream(make_setup(rule, learning__learning_rate=1.0), kind)
    assert not np.array_equal(quick.stream.right[chosen], np.array(expected)[chosen])


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("kind", ["fixed", "float"])
def test_results_do_not_depend_on_the_size_of_the_portions(rule: str, kind: str, make_setup) -> None:
    setup = make_setup(rule, learning__batch=4 if rule == "bptt" else 1)
    outcomes = [run_stream(setup, kind, chunk_samples=n) for n in (1, 3, 1000)]
    assert_same(outcomes[0], outcomes[1])
    assert_same(outcomes[0], outcomes[2])


def test_activity_is_that_of_the_learned_and_of_all_inferred_samples(make_setup) -> None:
    setup = make_setup("ottt-o")
    outcome, stream = run_stream(setup, subset_samples=99), stream_of(setup)
    assert (outcome.epochs[0].activity.n_samples, outcome.epochs[0].activity.learning) == (30, True)
    assert (outcome.test_activity.n_samples, outcome.test_activity.learning) == (60, False)
    assert np.array_equal(outcome.subset.sample_indices, stream.drawn[1::2])
    assert np.array_equal(outcome.test_subset.sample_indices, stream.drawn)
    some = run_stream(setup, subset_samples=4)
    assert np.array_equal(some.subset.sample_indices, stream.drawn[1::2][subset_of(3, 0, 30, 4)])
    for recorded, activity in (
        (outcome.subset, outcome.epochs[0].activity),
        (outcome.test_subset, outcome.test_activity),
    ):
        assert recorded.bitmaps["event/1"].sum() == activity.per_layer("events")[1]


def test_the_test_split_is_judged_under_the_last_drift(make_setup) -> None:
    setup = make_setup("ottt-o", STREAM | {"drift_every": 30})
    outcome, core = run_stream(setup), setup.core(run_of(setup), None)
    core.restore(outcome.weights, core.registers)
    test = setup.task.test
    predictions = core.run(test, np.arange(test.n_samples), learn=False, end_of_epoch=False, probe=()).predictions
    last = stream_of(setup).drift(1).labels
    assert outcome.test == (predictions == last[test.labels]).mean()
    assert not np.array_equal(last, np.arange(tiny.N_CLASSES))


@pytest.mark.parametrize("rule", ["ottt-o", "bptt"])
@pytest.mark.parametrize("kind", ["fixed", "float"])
def test_a_stream_that_continues_from_any_checkpoint_ends_the_same(
    rule: str, kind: str, make_setup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_training, "CHECKPOINT_SAMPLES", 1)
    setup = make_setup(rule, STREAM | {"drift_every": 8, "window": 3}, learning__batch=3 if rule == "bptt" else 1,
                       learning__momentum_shift=2 if rule == "bptt" else 0)  # fmt: skip
    directory, seen = RunDirectory(tmp_path / "run"), []
    directory.open(setup.resolved)

    def keep(state: TrainingState) -> None:
        directory.save_state("a/b", state)
        again = RunDirectory(tmp_path / "run")
        again.open(setup.resolved)
        seen.append(again.state("a/b"))

    expected = run_stream(setup, kind, on_epoch=keep)
    lengths = [len(state.stream.right) for state in seen]
    # A checkpoint at each drift; where gradients wait there (batches of 3 of every second sample), at the last sample
    # before it at which none did.
    assert lengths == ([6, 12, 24, 30, 36, 48, 54, 60] if rule == "bptt" else [8, 16, 24, 32, 40, 48, 56, 60])
    for state in seen:
        assert_same(expected, run_stream(setup, kind, state))
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["samples"] for line in lines] == lengths
    assert lines[-1]["accuracy"] == expected.stream.right.mean()


def test_checkpoints_are_some_hundred_samples_apart(make_setup) -> None:
    lengths: list[int] = []
    setup = make_setup("ottt-o", {"samples": 1300, "drift": "inputs", "drift_every": 100, "window": 10})
    run_stream(setup, on_epoch=lambda state: lengths.append(len(state.stream.right)))
    assert lengths == [512, 1024, 1300]


def test_a_lost_checkpoint_would_be_noticed(make_setup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_training, "CHECKPOINT_SAMPLES", 1)
    setup, states = make_setup("ottt-o"), []
    expected = run_stream(setup, on_epoch=lambda state: states.append(replace(state, weights=list(state.weights))))
    other = run_stream(setup, state=replace(states[0], weights=setup.core(run_of(setup), None).weights))
    assert not np.array_equal(expected.stream.right, other.stream.right)


def test_a_stop_ends_a_stream_before_its_next_portion(make_setup) -> None:
    setup, stop = make_setup("ottt-o"), threading.Event()
    stop.set()
    with pytest.raises(Interrupted):
        run_stream(setup, stop=stop)
