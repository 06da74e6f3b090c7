"""A stream: an endless sequence of samples without epochs, whose labels or inputs may drift (docs/continual.md).

Everything that is drawn comes from numpy's default_rng([seed, number, ...]), numbers 7 to 9, beside those of
docs/semantics.md, section 1. A shorter stream is the beginning of a longer one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neurochip.errors import UserError
from neurochip.events import EventDataset

if TYPE_CHECKING:
    from neurochip.config_learning import StreamTable
    from neurochip.events import SensorSize
    from neurochip.tasks import TaskData

_SAMPLE_STREAM, _LENGTH_STREAM, _DRIFT_STREAM = 7, 8, 9
BLOCK_SAMPLES = 256
Numbers = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Drift:
    """What holds between two drifts: class index -> class index, and input address -> input address."""

    labels: NDArray[np.int32]
    addresses: NDArray[np.int32]

    def of(self, data: EventDataset) -> EventDataset:
        """The samples as they are under this drift."""
        moved = self.addresses[data.addresses]
        row = np.repeat(np.arange(len(data.step_offsets) - 1), np.diff(data.step_offsets))
        order = np.lexsort((moved, row))  # addresses ascend within a step
        return replace(data, addresses=moved[order], magnitudes=data.magnitudes[order], labels=self.labels[data.labels])


@dataclass(frozen=True, eq=False)
class SampleStream:
    """The samples of a stream in blocks, and which of them have a label.

    Attributes:
        table: `[stream]`.
        train: what is drawn from.
        sensor_size: of the inputs.
        is_map: the network sees a map, so that inputs drift by a shift; else by a permutation.

    Raises:
        UserError: a drift that changes nothing: one class, or inputs of one address or column.
    """

    table: StreamTable
    seed: int
    train: EventDataset
    n_classes: int
    sensor_size: SensorSize
    is_map: bool

    def __post_init__(self) -> None:
        drift = self.table.drift
        if drift == "classes" and self.n_classes < 2:
            raise UserError('stream.drift = "classes" needs 2 classes or more; the task has 1')
        if drift == "inputs" and self._n_places < 2:
            what = "columns of the sensor" if self.is_map else "inputs"
            raise UserError(f'stream.drift = "inputs" needs 2 {what} or more; the task has 1')

    @classmethod
    def of_task(cls, table: StreamTable, seed: int, task: TaskData, is_map: bool) -> SampleStream:
        """The stream of the training split of a task."""
        return cls(table, seed, task.train, len(task.classes), task.sensor_size, is_map)

    @property
    def _n_places(self) -> int:
        """Columns that a shift, or addresses that a permutation can move an input to."""
        return self.sensor_size[0] if self.is_map else self.train.n_inputs

    @cached_property
    def drawn(self) -> NDArray[np.int64]:
        """Index in the training split of every sample of the stream, drawn with replacement."""
        rng = np.random.default_rng([self.seed, _SAMPLE_STREAM])
        return rng.integers(self.train.n_samples, size=self.table.samples)

    @cached_property
    def n_steps_with_events(self) -> NDArray[np.int64]:
        """Steps of every sample of the stream after which it has no more events."""
        shortest, n_steps = self.table.shortest_steps, self.train.n_steps
        if shortest is None:
            return np.full(self.table.samples, n_steps)
        rng = np.random.default_rng([self.seed, _LENGTH_STREAM])
        return rng.integers(shortest, n_steps + 1, size=self.table.samples)

    @property
    def n_labelled(self) -> int:
        """Samples with a label."""
        return self.table.samples // self.table.label_every

    def has_label(self, position: int) -> bool:
        """Whether the sample at a position, counted from 0, has a label: every `label_every`-th."""
        return (position + 1) % self.table.label_every == 0

    def segment_of(self, position: int) -> int:
        """How many drifts came before a position."""
        return 0 if self.table.drift_every is None else position // self.table.drift_every

    def block_end(self, start: int) -> int:
        """Where the block that begins at `start` ends: after BLOCK_SAMPLES, at a drift, or with the stream."""
        ends = [self.table.samples, (start // BLOCK_SAMPLES + 1) * BLOCK_SAMPLES]
        if self.table.drift_every is not None:
            ends.append((self.segment_of(start) + 1) * self.table.drift_every)
        return min(ends)

    def block(self, start: int, end: int) -> EventDataset:
        """The samples from `start` to before `end`, between which nothing drifts."""
        samples = _cut(self.train.take(self.drawn[start:end]), self.n_steps_with_events[start:end])
        return self.drift(self.segment_of(start)).of(samples)

    def drift(self, segment: int) -> Drift:
        """What holds after so many drifts; each moves every class, or every input, from where it was before."""
        known, drift = self._known[-1] if segment >= self._known[-1][0] else self._known[0]
        for index in range(known + 1, segment + 1):
            drift = self._after(drift, np.random.default_rng([self.seed, _DRIFT_STREAM, index]))
        self._known[1:] = [(segment, drift)]
        return drift

    @cached_property
    def _known(self) -> list[tuple[int, Drift]]:
        """No drift, and the one asked for last, from which the next follows."""
        return [(0, Drift(_identity(self.n_classes), _identity(self.train.n_inputs)))]

    def _after(self, drift: Drift, rng: np.random.Generator) -> Drift:
        if self.table.drift == "classes":
            return replace(drift, labels=without_fixed_points(rng, self.n_classes)[drift.labels])
        if self.is_map:
            step = shifted(self.sensor_size, int(rng.integers(1, self._n_places)))
        else:
            step = without_fixed_points(rng, self.train.n_inputs)
        return replace(drift, addresses=step[drift.addresses])

    @property
    def last_drift(self) -> Drift:
        """What holds at the end of the stream."""
        return self.drift(self.segment_of(self.table.samples - 1))


def _identity(n: int) -> NDArray[np.int32]:
    return np.arange(n, dtype=np.int32)


def without_fixed_points(rng: np.random.Generator, n: int) -> NDArray[np.int32]:
    """A permutation of n >= 2 numbers that leaves none in its place: permutations are drawn until one does."""
    while True:
        permutation = rng.permutation(n).astype(np.int32)
        if not (permutation == np.arange(n)).any():
            return permutation


def shifted(sensor_size: SensorSize, columns: int) -> NDArray[np.int32]:
    """Address -> address of the pixel so many columns to the right, cyclically (addresses: p, y, x)."""
    width, height, polarities = sensor_size
    addresses = _identity(width * height * polarities).reshape(-1, width)
    return np.roll(addresses, -columns, axis=1).ravel()


def _cut(data: EventDataset, n_steps: NDArray[np.int64]) -> EventDataset:
    """The samples without the events of the steps from `n_steps` on."""
    per_cell = np.diff(data.step_offsets).reshape(-1, data.n_steps)
    kept = np.arange(data.n_steps) < n_steps[:, None]
    if kept.all():
        return data
    events = np.repeat(kept.ravel(), per_cell.ravel())
    offsets = np.concatenate([[0], np.cumsum((per_cell * kept).ravel())])
    return replace(data, step_offsets=offsets, addresses=data.addresses[events], magnitudes=data.magnitudes[events])


@dataclass(frozen=True, eq=False)
class StreamRecord:
    """What a stream was predicted as: `right` says of every sample whether its prediction was its class."""

    table: StreamTable
    right: NDArray[np.bool_]

    def section(self) -> Numbers:
        """The entry `stream` of a result (docs/report.md)."""
        every = self.table.drift_every or len(self.right)
        starts = range(0, len(self.right), every)
        segments = [self.right[start : start + every] for start in starts]
        window = self.table.window
        recovered = [None, *(_recovery(old[-window:].mean(), new, window) for old, new in pairwise(segments))]
        return {
            "accuracy": float(self.right.mean()),
            "n_samples": len(self.right),
            "n_labelled": len(self.right) // self.table.label_every,
            "windows": [
                {"end": start + at + len(part), "accuracy": float(part.mean())}
                for start, segment in zip(starts, segments, strict=True)
                for at in range(0, len(segment), window)
                if len(part := segment[at : at + window])
            ],
            "segments": [
                {
                    "start": start,
                    "n_samples": len(segment),
                    "first_window": float(segment[:window].mean()),
                    "last_window": float(segment[-window:].mean()),
                    "samples_to_recover": samples,
                }
                for start, segment, samples in zip(starts, segments, recovered, strict=True)
            ],
        }


RECOVERED = 0.9


def _recovery(before: float, right: NDArray[np.bool_], window: int) -> int | None:
    """Samples after a drift until the last `window` of them reach RECOVERED times the accuracy before; None: never."""
    sums = np.concatenate([[0], np.cumsum(right)])
    running = (sums[window:] - sums[:-window]) / window
    reached = np.flatnonzero(running >= RECOVERED * before)
    return int(reached[0]) + window if len(reached) else None
