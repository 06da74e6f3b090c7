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
from neurochip.listener import Listener
from neurochip.network.calibrate import epoch_order

if TYPE_CHECKING:
    from neurochip.events import EventDataset
    from neurochip.tasks import TaskData

# An interrupt waits for the running chunk; the results do not depend on its size.
CHUNK_SAMPLES = 32
_SUBSET_STREAM = 3


class Interrupted(Exception):
    """Raised inside a worker after the run was asked to stop; the last checkpoint stands."""


class Core(Protocol):
    """A core that learns: the fast engine, the golden core, or the float twin."""

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
    """Accuracies (fractions) of one epoch, and the activity of its training pass (None for the float twin)."""

    train: float
    validation: float | None
    activity: Activity | None = None


@dataclass
class TrainingState:
    """All that continues a run: records of the finished epochs, weights and random registers after the last one.

    `subset` is that of the last epoch of the run, which may be finished while other rules are still learning.
    """

    weights: list[NDArray[Any]]
    registers: NDArray[Any]
    epochs: list[Epoch] = field(default_factory=list)
    subset: SampleTrace | None = None


@dataclass(frozen=True)
class Outcome:
    """A finished run of one rule.

    Attributes:
        epochs: records per epoch (one record of a pass without learning for `infer`).
        test: accuracy on the test split.
        test_activity: activity of inference on the test split (None for the float twin).
        weights: per layer [n_in + 1, n_out].
        subset: ordered events and bitmaps of the declared subset of samples in the last epoch.
    """

    epochs: tuple[Epoch, ...]
    test: float
    test_activity: Activity | None
    weights: tuple[NDArray[Any], ...]
    subset: SampleTrace | None


@dataclass(frozen=True)
class Training:
    """What one run needs besides its core: data, length, seed, and whom to tell.

    Attributes:
        learn: False for `infer`: one pass over the training samples without learning.
        subset_samples: how many samples of the last epoch are recorded for replay.
        on_epoch: called with the state after every epoch (writes the checkpoint).
        stop: set to ask the run to end at the next chunk.
        chunk_samples: samples per call of the core.
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


def train(core: Core, training: Training, state: TrainingState | None) -> Outcome:
    """Run the epochs that `state` has not done yet, then test.

    Raises:
        Interrupted: if `training.stop` was set.
    """
    task = training.task
    n_epochs = training.n_epochs if training.learn else 1
    if state is None:
        state = TrainingState(core.weights, core.registers)
    else:
        core.restore(state.weights, state.registers)
    training.listener.begin(training.key, training.label, n_epochs * task.train.n_samples)
    training.listener.advance(training.key, len(state.epochs) * task.train.n_samples)
    for epoch in range(len(state.epochs), n_epochs):
        is_last = epoch == n_epochs - 1
        result, state.subset = _epoch(core, training, epoch, training.subset_samples if is_last else 0)
        state.weights, state.registers = core.weights, core.registers
        state.epochs.append(result)
        training.on_epoch(state)
        training.listener.advance(training.key, 0, f"epoch {epoch + 1}/{n_epochs}, {_accuracy_text(result)}")
    test, test_activity = _evaluate(core, task.test, training)
    training.listener.end(training.key)
    return Outcome(tuple(state.epochs), test, test_activity, tuple(core.weights), state.subset)


def _accuracy_text(epoch: Epoch) -> str:
    if epoch.validation is None:
        return f"training {100 * epoch.train:.1f} %"
    return f"validation {100 * epoch.validation:.1f} %"


def subset_of(seed: int, epoch: int, n_samples: int, size: int) -> NDArray[np.int64]:
    """Positions in the order of an epoch whose events and bitmaps are recorded, ascending, drawn by seed."""
    if size == 0:
        return np.zeros(0, dtype=np.int64)
    rng = np.random.default_rng([seed, _SUBSET_STREAM, epoch])
    return np.sort(rng.choice(n_samples, size=min(size, n_samples), replace=False))


def _epoch(core: Core, training: Training, epoch: int, subset_size: int) -> tuple[Epoch, SampleTrace | None]:
    data = training.task.train
    order = epoch_order(training.seed, epoch, data.n_samples)
    chosen = subset_of(training.seed, epoch, data.n_samples, subset_size)
    correct = 0
    activity: Activity | None = None
    parts: list[dict[str, NDArray[np.bool_]]] = []
    size = training.chunk_samples
    for start in range(0, len(order), size):
        if training.stop.is_set():
            raise Interrupted
        chunk = order[start : start + size]
        probe = [int(p) - start for p in chosen if start <= p < start + size]
        end = start + size >= len(order)
        result = core.run(data, chunk, learn=training.learn, end_of_epoch=end, probe=probe)
        correct += int((result.predictions == data.labels[chunk]).sum())
        new = getattr(result, "activity", None)
        activity = new if activity is None else activity.plus(new) if new is not None else None
        if probe and new is not None:
            parts.append(_bitmaps(data, chunk[probe], result.probes))
        training.listener.advance(training.key, len(chunk))
    validation = _evaluate(core, training.task.validation, training)[0] if training.task.validation.n_samples else None
    return Epoch(correct / len(order), validation, activity), _joined(order[chosen], parts)


def _joined(samples: NDArray[np.int64], parts: list[dict[str, NDArray[np.bool_]]]) -> SampleTrace | None:
    if not parts:
        return None
    names = parts[0].keys()
    return SampleTrace(samples, {name: np.concatenate([part[name] for part in parts]) for name in names})


def _evaluate(core: Core, data: EventDataset, training: Training) -> tuple[float, Activity | None]:
    correct = 0
    activity: Activity | None = None
    size = training.chunk_samples
    for start in range(0, data.n_samples, size):
        if training.stop.is_set():
            raise Interrupted
        chunk = np.arange(start, min(start + size, data.n_samples))
        result = core.run(data, chunk, learn=False, end_of_epoch=False, probe=())
        correct += int((result.predictions == data.labels[chunk]).sum())
        new = getattr(result, "activity", None)
        activity = new if activity is None else activity.plus(new) if new is not None else None
    return correct / max(1, data.n_samples), activity


def _bitmaps(data: EventDataset, samples: NDArray[np.int64], probes: dict[str, Any]) -> dict[str, NDArray[np.bool_]]:
    """Bitmaps of s, a != 0, psi != 0 and g != 0, and of the input events, per layer."""
    events = np.zeros((len(samples), data.n_steps, data.n_inputs), dtype=np.bool_)
    for position, sample in enumerate(samples):
        for t in range(data.n_steps):
            cell = int(sample) * data.n_steps + t
            events[position, t, data.addresses[data.step_offsets[cell] : data.step_offsets[cell + 1]]] = True
    bitmaps = {"event/0": events}
    for name, values in probes.items():
        signal, layer = name.split("/")
        if signal == "spike":
            bitmaps[f"event/{int(layer) + 1}"] = values != 0
        elif signal in ("trace", "psi", "signal"):
            bitmaps[name] = values != 0
    return bitmaps


class FloatTwin:
    """The float core behind the interface of the engines."""

    def __init__(self, core: Any) -> None:
        self._core = core

    @property
    def weights(self) -> list[NDArray[Any]]:
        """Copies of the weights per layer."""
        return [layer.copy() for layer in self._core.weights]

    @property
    def registers(self) -> NDArray[Any]:
        """No random registers."""
        return np.zeros((0, 0), dtype=np.uint32)

    def restore(self, weights: Sequence[NDArray[Any]], registers: NDArray[Any]) -> None:
        """Put back weights saved between epochs."""
        for view, values in zip(self._core.weights, weights, strict=True):
            view[...] = values

    def run(
        self, data: EventDataset, order: NDArray[Any], *, learn: bool, end_of_epoch: bool, probe: Sequence[int]
    ) -> Any:
        """Run the samples `order` of `data`; probes are not recorded."""
        return self._core.run(data, order, learn, None, end_of_epoch)
