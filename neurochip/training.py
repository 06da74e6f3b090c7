"""One rule in one arithmetic: epochs of learning, validation after each, a test at the end.

The state between epochs (weights, random registers, records) is all that continues a run bit for bit.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from neurochip.activity import Activity, SampleTrace
from neurochip.clocked import Clocked
from neurochip.listener import Listener
from neurochip.network.calibrate import epoch_order
from neurochip.recording import bitmaps_of, inference_subset_of, joined, subset_of

if TYPE_CHECKING:
    from neurochip.events import EventDataset
    from neurochip.stream import StreamRecord
    from neurochip.stream_training import StreamProgress
    from neurochip.tasks import TaskData

# An interrupt waits for the running chunk; the results do not depend on its size.
CHUNK_SAMPLES = 32
_NO_SAMPLES: NDArray[np.int64] = np.zeros(0, dtype=np.int64)


class Interrupted(Exception):
    """Raised inside a worker after the run was asked to stop; the last checkpoint stands."""


class Core(Protocol):
    """A core that learns: the fast engine, the golden core, or the float twin.

    One with momentum also has `velocities`, and `restore` takes them as a third argument.
    """

    @property
    def weights(self) -> list[NDArray[Any]]: ...
    @property
    def registers(self) -> NDArray[Any]: ...
    def restore(self, weights: Sequence[NDArray[Any]], registers: NDArray[Any]) -> None: ...
    def run(
        self, data: EventDataset, order: NDArray[Any], *, learn: bool, end_of_epoch: bool, probe: Sequence[int]
    ) -> Any: ...


@dataclass(frozen=True)
class Epoch:
    """Accuracies (fractions) of one epoch, and what its training pass did.

    Attributes:
        activity: None for the float twin.
        clocked: what the tick model counted; None where it did not run.
    """

    train: float
    validation: float | None
    activity: Activity | None = None
    clocked: Clocked | None = None


@dataclass
class TrainingState:
    """All that continues a run: records of the finished epochs, and what the chip holds after the last one.

    `subset` is that of the last epoch of the run, which may be finished while other rules are still learning;
    `velocities` are empty without momentum; `stream` is how far a stream has come, None with epochs.
    """

    weights: list[NDArray[Any]]
    registers: NDArray[Any]
    epochs: list[Epoch] = field(default_factory=list)
    subset: SampleTrace | None = None
    velocities: list[NDArray[Any]] = field(default_factory=list)
    stream: StreamProgress | None = None

    @classmethod
    def of_core(cls, core: Core) -> TrainingState:
        """The state of a core at the start of a run."""
        return cls(core.weights, core.registers, velocities=_velocities(core))

    def put_into(self, core: Core) -> None:
        """Give a core what the chip held."""
        momentum = (self.velocities,) if self.velocities else ()
        core.restore(self.weights, self.registers, *momentum)

    def take_from(self, core: Core) -> None:
        """Keep what the chip holds now."""
        self.weights, self.registers, self.velocities = core.weights, core.registers, _velocities(core)


@dataclass(frozen=True)
class Recorded:
    """What a fixed-point run leaves behind to be counted and priced: activity.h5 holds it.

    Attributes:
        epochs: activity of the training pass of every epoch.
        subset: bitmaps of recorded training samples of the last epoch; None if none were recorded.
        test: activity of inference on the test split.
        test_subset: bitmaps of recorded test samples; None if none were.
        clocked, test_clocked: what the tick model counted in the last epoch and in the test, if it ran.
    """

    epochs: tuple[Activity, ...]
    subset: SampleTrace | None
    test: Activity | None
    test_subset: SampleTrace | None
    clocked: Clocked | None = None
    test_clocked: Clocked | None = None


@dataclass(frozen=True)
class Outcome:
    """A finished run of one rule.

    Attributes:
        epochs: records per epoch (one record of a pass without learning for `infer`).
        test: accuracy on the test split.
        test_activity: activity of inference on the test split (None for the float twin).
        weights: per layer [n_in + 1, n_out].
        subset: ordered events and bitmaps of the declared subset of samples in the last epoch.
        test_subset: the same of inference on as many samples of the test split.
        test_clocked: what the tick model counted in the test, if it ran.
        stream: of a stream, which samples were predicted rightly. Its learned samples are one epoch, and
            `test_activity`, `test_subset` and `test_clocked` are of the inference of all its samples.
    """

    epochs: tuple[Epoch, ...]
    test: float
    test_activity: Activity | None
    weights: tuple[NDArray[Any], ...]
    subset: SampleTrace | None
    test_subset: SampleTrace | None = None
    test_clocked: Clocked | None = None
    stream: StreamRecord | None = None

    @property
    def recorded(self) -> Recorded:
        """What is counted and priced."""
        epochs = tuple(epoch.activity for epoch in self.epochs if epoch.activity is not None)
        clocked = self.epochs[-1].clocked
        return Recorded(epochs, self.subset, self.test_activity, self.test_subset, clocked, self.test_clocked)


@dataclass(frozen=True)
class Training:
    """What one run needs besides its core: data, length, seed, and whom to tell.

    Attributes:
        learn: False for `infer`: one pass over the training samples without learning.
        subset_samples: how many samples of the last epoch, and of the test split, are recorded for replay.
        trace_gate: precision.trace.gate, which decides the rows that are recorded as updated.
        on_epoch: called with the state after every epoch (writes the checkpoint).
        stop: set to ask the run to end at the next chunk.
        chunk_samples: samples per call of the core.
        halve_every: epochs after which the learning rate is halved; None: never.
        core_at: a core at the learning rate of an epoch, counted from 0; needed with `halve_every`.
    """

    key: str
    label: str
    task: TaskData
    n_epochs: int
    seed: int
    learn: bool
    subset_samples: int
    listener: Listener
    on_epoch: Callable[[TrainingState], None]
    stop: threading.Event
    chunk_samples: int = CHUNK_SAMPLES
    trace_gate: int = 0
    halve_every: int | None = None
    core_at: Callable[[int], Core] | None = None

    def next_core(self, core: Core, epoch: int, state: TrainingState) -> Core:
        """The core of an epoch: another one, holding the same, if the learning rate was halved before it."""
        if self.halve_every is None or self.core_at is None or epoch == 0 or epoch % self.halve_every:
            return core
        core = self.core_at(epoch)
        state.put_into(core)
        return core


def train(core: Core, training: Training, state: TrainingState | None) -> Outcome:
    """Run the epochs that `state` has not done yet, then test. The core is one at the rate of the first of them.

    Raises:
        Interrupted: if `training.stop` was set.
    """
    task = training.task
    n_epochs = training.n_epochs if training.learn else 1
    if state is None:
        state = TrainingState.of_core(core)
    else:
        state.put_into(core)
    training.listener.begin(training.key, training.label, n_epochs * task.train.n_samples)
    training.listener.advance(training.key, len(state.epochs) * task.train.n_samples)
    for epoch in range(len(state.epochs), n_epochs):
        is_last = epoch == n_epochs - 1
        core = training.next_core(core, epoch, state)
        result, state.subset = _epoch(core, training, epoch, training.subset_samples if is_last else 0)
        state.take_from(core)
        state.epochs.append(result)
        training.on_epoch(state)
        training.listener.advance(training.key, 0, f"epoch {epoch + 1}/{n_epochs}, {_accuracy_text(result)}")
    chosen = inference_subset_of(training.seed, task.test.n_samples, training.subset_samples)
    test = evaluate(core, task.test, training, chosen)
    training.listener.end(training.key)
    return Outcome(
        tuple(state.epochs),
        test.accuracy,
        test.activity,
        tuple(core.weights),
        state.subset,
        test.subset,
        test.clocked,
    )


def _velocities(core: Core) -> list[NDArray[Any]]:
    return list(getattr(core, "velocities", ()))


def _accuracy_text(epoch: Epoch) -> str:
    if epoch.validation is None:
        return f"training {100 * epoch.train:.1f} %"
    return f"validation {100 * epoch.validation:.1f} %"


@dataclass
class Pass:
    """What the chunks of one pass add up to."""

    trace_gate: int
    correct: int = 0
    seen: int = 0
    activity: Activity | None = None
    clocked: Clocked | None = None
    parts: list[dict[str, NDArray[np.bool_]]] = field(default_factory=list)

    def add(self, data: EventDataset, chunk: NDArray[Any], probe: Sequence[int], result: Any) -> None:
        """Add the result of one chunk of a data set, and the bitmaps of its recorded samples."""
        self.correct += int((result.predictions == data.labels[chunk]).sum())
        self.seen += len(chunk)
        activity: Activity | None = getattr(result, "activity", None)
        if activity is None:  # the float twin
            return
        self.activity = activity if self.activity is None else self.activity.plus(activity)
        if result.clocked is not None:
            self.clocked = result.clocked if self.clocked is None else self.clocked.plus(result.clocked)
        if probe:
            self.parts.append(bitmaps_of(data, chunk[probe], result.probes, self.trace_gate))

    @property
    def accuracy(self) -> float:
        """Share of the samples that were predicted rightly."""
        return self.correct / max(1, self.seen)


@dataclass(frozen=True)
class Evaluation:
    """Accuracy of inference on a split, and what it did."""

    accuracy: float
    activity: Activity | None
    subset: SampleTrace | None
    clocked: Clocked | None


def _epoch(core: Core, training: Training, epoch: int, subset_size: int) -> tuple[Epoch, SampleTrace | None]:
    data = training.task.train
    order = epoch_order(training.seed, epoch, data.n_samples)
    chosen = subset_of(training.seed, epoch, data.n_samples, subset_size)
    done = Pass(training.trace_gate)
    size = training.chunk_samples
    for start in range(0, len(order), size):
        if training.stop.is_set():
            raise Interrupted
        chunk = order[start : start + size]
        probe = [int(p) - start for p in chosen if start <= p < start + size]
        end = start + size >= len(order)
        part, at = data.chunk(chunk)
        done.add(part, at, probe, core.run(part, at, learn=training.learn, end_of_epoch=end, probe=probe))
        training.listener.advance(training.key, len(chunk))
    has_validation = training.task.validation.n_samples > 0
    validation = evaluate(core, training.task.validation, training).accuracy if has_validation else None
    return Epoch(done.accuracy, validation, done.activity, done.clocked), joined(order[chosen], done.parts)


def evaluate(core: Core, data: EventDataset, training: Training, chosen: NDArray[np.int64] = _NO_SAMPLES) -> Evaluation:
    """Inference on a split; of the samples `chosen` (ascending) also the bitmaps."""
    done = Pass(training.trace_gate)
    size = training.chunk_samples
    for start in range(0, data.n_samples, size):
        if training.stop.is_set():
            raise Interrupted
        chunk = np.arange(start, min(start + size, data.n_samples))
        probe = [int(p) - start for p in chosen if start <= p < start + size]
        part, at = data.chunk(chunk)
        done.add(part, at, probe, core.run(part, at, learn=False, end_of_epoch=False, probe=probe))
    return Evaluation(done.accuracy, done.activity, joined(chosen, done.parts), done.clocked)
