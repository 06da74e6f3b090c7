"""Do epochs see the samples they should, in any portions, and does a run that stopped go on as if it had not?"""

from __future__ import annotations

import _thread
import dataclasses
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tiny_experiment as tiny

from neurochip.activity import FIELD_INDEX
from neurochip.errors import UserError
from neurochip.experiment import _Workers
from neurochip.listener import Silent
from neurochip.network.calibrate import epoch_order
from neurochip.recording import inference_subset_of, subset_of
from neurochip.rules.presets import find_rule
from neurochip.setup import Run, Setup, prepare_setup
from neurochip.training import (
    Interrupted,
    Outcome,
    Training,
    TrainingState,
    train,
)

N_TRAIN, N_VALIDATION, N_TEST = tiny.SPLITS.values()


@pytest.fixture(scope="module")
def make_setup(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Setup]:
    folder = tmp_path_factory.mktemp("tiny")
    tiny.write_tiny_task(folder)

    def make(rule: str, **changes: Any) -> Setup:
        return prepare_setup(tiny.tiny_experiment(**changes), [find_rule(rule)], folder, "fast", Silent())

    return make


def make_training(setup: Setup, **changes: Any) -> Training:
    fields: dict[str, Any] = dict(
        key="k", label="k", task=setup.task, n_epochs=2, seed=3, learn=True, subset_samples=4, listener=Silent(),
        on_epoch=lambda state: None, stop=threading.Event(),
    )  # fmt: skip
    return Training(**(fields | changes))


def run_of(setup: Setup, kind: str = "fixed") -> Run:
    return next(run for run in setup.runs if run.precision == kind)


def assert_same(one: Outcome, other: Outcome) -> None:
    assert one.test == other.test
    for a, b in zip(one.weights, other.weights, strict=True):
        assert np.array_equal(a, b)
    for a, b in zip(one.epochs, other.epochs, strict=True):
        assert (a.train, a.validation) == (b.train, b.validation)
        assert (a.activity is None) == (b.activity is None)
        if a.activity is not None:
            assert np.array_equal(a.activity.totals, b.activity.totals)
            assert (a.activity.n_samples, a.activity.n_applies) == (b.activity.n_samples, b.activity.n_applies)
    for subset, twin in ((one.subset, other.subset), (one.test_subset, other.test_subset)):
        assert (subset is None) == (twin is None)
        if subset is not None:
            assert np.array_equal(subset.sample_indices, twin.sample_indices)
            assert subset.bitmaps.keys() == twin.bitmaps.keys()
            for name, bitmap in subset.bitmaps.items():
                assert np.array_equal(bitmap, twin.bitmaps[name])


class RecordingCore:
    """Predicts class 0 always, and remembers what it was asked."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, list[int], bool, bool]] = []
        self.weights = [np.zeros((2, 2))]
        self.registers = np.zeros((1, 1), np.uint32)

    def restore(self, weights: Any, registers: Any) -> None:
        raise AssertionError("nothing to restore")

    def run(self, data: Any, order: Any, *, learn: bool, end_of_epoch: bool, probe: Any) -> Any:
        self.calls.append((data, [int(i) for i in order], learn, end_of_epoch))
        return SimpleNamespace(predictions=np.zeros(len(order), np.int32), probes={})


def test_every_epoch_learns_every_sample_once_in_its_seeded_order_then_validates(make_setup) -> None:
    setup, core = make_setup("ottt-o"), RecordingCore()
    outcome = train(core, make_training(setup, chunk_samples=5), None)
    task, seen = setup.task, {}
    for data, order, learn, end in core.calls:
        part = "train" if data is task.train else "validation" if data is task.validation else "test"
        assert learn == (part == "train")
        seen.setdefault(part, []).extend(order)
        assert end == (part == "train" and len(seen["train"]) % N_TRAIN == 0)
        assert len(order) <= 5
    assert seen["train"] == [*epoch_order(3, 0, N_TRAIN), *epoch_order(3, 1, N_TRAIN)]
    assert seen["validation"] == [*range(N_VALIDATION), *range(N_VALIDATION)]
    assert seen["test"] == list(range(N_TEST))
    assert [data is task.test for data, *_ in core.calls][-2:] == [True, True]
    for split, accuracy in (("train", outcome.epochs[0].train), ("validation", outcome.epochs[1].validation),
                            ("test", outcome.test)):  # fmt: skip
        assert accuracy == (getattr(task, split).labels == 0).mean()


def test_inference_is_one_pass_that_does_not_learn(make_setup) -> None:
    core = RecordingCore()
    outcome = train(core, make_training(make_setup("infer"), learn=False, n_epochs=5), None)
    assert len(outcome.epochs) == 1
    assert not any(learn for _, _, learn, _ in core.calls)


@pytest.mark.parametrize("rule", ["ottt-o", "bptt-o", "ottt-a", "bptt"])
@pytest.mark.parametrize("kind", ["fixed", "float"])
def test_results_do_not_depend_on_the_size_of_the_portions(rule: str, kind: str, make_setup) -> None:
    setup = make_setup(rule, learning__batch=1 if rule.endswith("-o") else 4)
    run = run_of(setup, kind)
    outcomes = [train(setup.core(run, None), make_training(setup, chunk_samples=n), None) for n in (1, 5, 1000)]
    assert_same(outcomes[0], outcomes[1])
    assert_same(outcomes[0], outcomes[2])


@pytest.mark.parametrize("rule", ["ottt-o", "bptt"])
@pytest.mark.parametrize("kind", ["fixed", "float"])
def test_a_run_that_continues_from_the_state_of_an_epoch_ends_the_same(rule: str, kind: str, make_setup) -> None:
    setup = make_setup(rule)
    run, states = run_of(setup, kind), []

    def keep(state: TrainingState) -> None:
        states.append(dataclasses.replace(state, epochs=list(state.epochs)))

    whole = train(setup.core(run, None), make_training(setup, n_epochs=3, on_epoch=keep), None)
    assert [len(state.epochs) for state in states] == [1, 2, 3]
    assert not np.array_equal(states[0].weights[0], states[1].weights[0])
    for state in states:  # the last one has only the test left to do
        assert_same(whole, train(setup.core(run, None), make_training(setup, n_epochs=3), state))


@pytest.mark.parametrize("kind", ["fixed", "float"])
def test_momentum_lives_on_in_a_run_that_continues(kind: str, make_setup) -> None:
    setup = make_setup("ottt-a", learning__momentum_shift=2, learning__learning_rate=1.0)
    run, states = run_of(setup, kind), []

    def keep(state: TrainingState) -> None:
        states.append(dataclasses.replace(state, epochs=list(state.epochs)))

    whole = train(setup.core(run, None), make_training(setup, n_epochs=3, on_epoch=keep), None)
    assert any(velocity.any() for velocity in states[0].velocities)
    for state in states:
        assert_same(whole, train(setup.core(run, None), make_training(setup, n_epochs=3), state))
    lost = dataclasses.replace(states[0], velocities=[], epochs=states[0].epochs[:1])
    other = train(setup.core(run, None), make_training(setup, n_epochs=3), lost)
    assert not all(np.array_equal(a, b) for a, b in zip(whole.weights, other.weights, strict=True))


@pytest.mark.parametrize("momentum", [0, 1])
@pytest.mark.parametrize("kind", ["fixed", "float"])
def test_a_halved_rate_is_that_of_a_run_which_continues_at_half_the_rate(kind: str, momentum: int, make_setup) -> None:
    changes = {"learning__momentum_shift": momentum, "learning__learning_rate": 0.5, "learning__epochs": 4}
    setup, half = make_setup("ottt-a", **changes), make_setup("ottt-a", **changes | {"learning__learning_rate": 0.25})
    run, states = run_of(setup, kind), []

    def keep(state: TrainingState) -> None:
        states.append(dataclasses.replace(state, epochs=list(state.epochs)))

    train(setup.core(run, None), make_training(setup, n_epochs=2, on_epoch=keep), None)
    expected = train(half.core(run, None), make_training(setup, n_epochs=4), states[1])
    halving = make_setup("ottt-a", learning__halve_every=2, **changes)
    cores = []

    def core_at(epoch: int) -> Any:
        cores.append(epoch)
        return halving.core(run, None, epoch)

    fields = {"n_epochs": 4, "halve_every": 2, "core_at": core_at}
    assert_same(expected, train(halving.core(run, None), make_training(setup, **fields), None))
    assert cores == [2]
    plain = train(setup.core(run, None), make_training(setup, n_epochs=4), None)
    assert not all(np.array_equal(a, b) for a, b in zip(plain.weights, expected.weights, strict=True))


def test_a_job_continues_at_the_rate_of_its_next_epoch(make_setup) -> None:
    changes = {"learning__epochs": 4, "learning__halve_every": 1, "learning__learning_rate": 1.0}
    setup = make_setup("ottt-o", **changes)
    run, stop = run_of(setup), threading.Event()
    states: list[TrainingState] = []
    directory = SimpleNamespace(
        state=lambda key: None if not states else dataclasses.replace(states[0], epochs=list(states[0].epochs)),
        save_state=lambda key, state: states.append(dataclasses.replace(state, epochs=list(state.epochs))),
    )
    whole = setup.job(run, None, directory, stop, Silent())()
    del states[1:]
    assert len(states[0].epochs) == 1
    assert_same(whole, setup.job(run, None, directory, stop, Silent())())


def test_a_rate_that_no_shift_realises_is_refused_before_the_run(make_setup) -> None:
    with pytest.raises(UserError, match="shift of the weight update"):
        make_setup("ottt-o", learning__halve_every=1, learning__epochs=40)


def test_a_stop_ends_the_run_before_its_next_portion_and_keeps_the_last_epoch(make_setup) -> None:
    setup, stop, states = make_setup("ottt-o"), threading.Event(), []

    class StopsInTheSecondEpoch(Silent):
        seen = 0

        def advance(self, key: str, amount: int, text: str = "") -> None:
            self.seen += amount
            if self.seen > N_TRAIN:
                stop.set()

    core = setup.core(run_of(setup), None)
    listener = StopsInTheSecondEpoch()
    training = make_training(setup, chunk_samples=2, stop=stop, listener=listener,
                             on_epoch=lambda state: states.append(list(state.weights)))  # fmt: skip
    with pytest.raises(Interrupted):
        train(core, training, None)
    assert listener.seen == N_TRAIN + 2
    assert len(states) == 1


def test_a_subset_is_drawn_by_seed_and_epoch_and_ascends() -> None:
    first = subset_of(1, 2, 100, 10)
    assert np.array_equal(first, subset_of(1, 2, 100, 10))
    assert not np.array_equal(first, subset_of(1, 3, 100, 10))
    assert not np.array_equal(first, subset_of(2, 2, 100, 10))
    assert list(first) == sorted(set(first))
    assert first.min() >= 0 and first.max() < 100
    assert list(subset_of(1, 2, 5, 10)) == [0, 1, 2, 3, 4]
    assert len(subset_of(1, 2, 100, 0)) == 0


@pytest.mark.parametrize("rule", ["infer", "ottt-o", "bptt"])
def test_bitmaps_of_all_samples_add_up_to_the_activity(rule: str, make_setup) -> None:
    setup = make_setup(rule)
    training = make_training(setup, subset_samples=99, chunk_samples=5, learn=rule != "infer", n_epochs=1)
    outcome = train(setup.core(run_of(setup), None), training, None)
    assert list(outcome.subset.sample_indices) == list(epoch_order(3, 0, N_TRAIN))
    totals, bitmaps = outcome.epochs[0].activity.totals, outcome.subset.bitmaps
    fields = {"event": "events", "graded": "graded_events", "trace": "trace_nonzero", "psi": "psi_nonzero",
              "signal": "signal_nonzero"}  # fmt: skip
    expected = {"infer": 4, "ottt-o": 4 + 2 + 2 + 3, "bptt": 4 + 2 + 3}  # the readout keeps no trace and has no psi
    assert len(bitmaps) == expected[rule]
    for name, bitmap in bitmaps.items():
        signal, layer = name.split("/")
        assert bitmap.shape[:2] == (N_TRAIN, 4)
        assert np.array_equal(bitmap.sum(axis=(0, 2)), totals[:-1, int(layer), FIELD_INDEX[fields[signal]]]), name


def test_bitmaps_lie_beside_the_sample_they_belong_to(make_setup) -> None:
    setup = make_setup("ottt-o")
    outcome = train(setup.core(run_of(setup), None), make_training(setup, chunk_samples=5), None)
    chosen = epoch_order(3, 1, N_TRAIN)[subset_of(3, 1, N_TRAIN, 4)]
    assert np.array_equal(outcome.subset.sample_indices, chosen)
    assert np.array_equal(outcome.subset.bitmaps["event/0"].sum(axis=1) > 0, setup.task.train.counts()[chosen] > 0)


@pytest.mark.parametrize("engine", ["fast", "reference"])
@pytest.mark.parametrize("chunk_samples", [1, 4])
def test_test_samples_are_recorded_in_the_final_evaluation(engine: str, chunk_samples: int, make_setup) -> None:
    setup = dataclasses.replace(make_setup("ottt-o"), engine=engine)
    outcome = train(setup.core(run_of(setup), None), make_training(setup, chunk_samples=chunk_samples), None)
    chosen = inference_subset_of(3, setup.task.test.n_samples, 4)
    recorded = outcome.test_subset
    assert np.array_equal(recorded.sample_indices, chosen)
    assert set(recorded.bitmaps) == {"event/0", "event/1", "event/2", "graded/0"}
    again = setup.core(run_of(setup), None)
    again.restore(outcome.weights, again.registers)
    expected = again.run(setup.task.test, chosen, learn=False, end_of_epoch=False, probe=()).activity
    for layer in range(3):
        events = recorded.bitmaps[f"event/{layer}"].sum(axis=(0, 2))
        assert np.array_equal(events, expected.totals[:-1, layer, FIELD_INDEX["events"]])


def test_as_many_test_samples_are_recorded_as_asked_for_and_none_without(make_setup) -> None:
    setup = make_setup("ottt-o")
    for size, expected in ((99, setup.task.test.n_samples), (1, 1)):
        training = make_training(setup, subset_samples=size, n_epochs=1)
        outcome = train(setup.core(run_of(setup), None), training, None)
        assert len(outcome.test_subset.sample_indices) == expected
    none = train(setup.core(run_of(setup), None), make_training(setup, subset_samples=0, n_epochs=1), None)
    assert (none.subset, none.test_subset) == (None, None)


def test_rows_below_the_trace_gate_are_not_recorded_as_updated(make_setup) -> None:
    setup = make_setup("ottt-o", precision__trace={"bits": 8, "gate": 20})
    training = make_training(setup, subset_samples=99, n_epochs=1, trace_gate=20)
    outcome = train(setup.core(run_of(setup), None), training, None)
    rows, traces = (outcome.subset.bitmaps[f"{name}/0"] for name in ("presynaptic", "trace"))
    counted = outcome.epochs[0].activity.totals[:-1, 0, FIELD_INDEX["presynaptic_rows"]]
    assert np.array_equal(rows.sum(axis=(0, 2)) + N_TRAIN, counted)  # and the bias row of every sample and step
    assert (rows & ~traces).sum() == 0
    assert rows.sum() < traces.sum()


def waits_for(stop: threading.Event, ended: list[str], name: str) -> Callable[[], Any]:
    def work() -> Any:
        ended.append(name if stop.wait(20) else "timeout")
        raise Interrupted

    return work


def test_an_error_in_one_run_surfaces_as_itself_and_stops_the_others() -> None:
    workers, ended = _Workers(), []

    def fails() -> Any:
        time.sleep(0.05)
        raise ZeroDivisionError("mine")

    began = time.monotonic()
    with pytest.raises(ZeroDivisionError, match="mine"):
        workers.run({"a": waits_for(workers.stop, ended, "a"), "b": fails})
    assert ended == ["a"]
    assert time.monotonic() - began < 10


def test_an_interrupt_stops_the_runs_promptly_and_surfaces() -> None:
    workers, ended = _Workers(), []

    def interrupts() -> Any:
        time.sleep(0.05)
        _thread.interrupt_main()
        return waits_for(workers.stop, ended, "b")()

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        workers.run({"a": interrupts, "b": waits_for(workers.stop, ended, "a")})
    assert ended in (["a", "b"], ["b", "a"], ["b"])  # on one core the second run never begins
    assert time.monotonic() - began < 10


def test_results_come_in_the_order_asked_whatever_ends_first() -> None:
    def work(name: str, seconds: float) -> Callable[[], Any]:
        return lambda: time.sleep(seconds) or name

    results = _Workers().run({"a": work("a", 0.1), "b": work("b", 0.0), "c": work("c", 0.0)})
    assert list(results.items()) == [("a", "a"), ("b", "b"), ("c", "c")]
    assert _Workers().run({}) == {}
