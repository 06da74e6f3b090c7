"""An event file read in blocks of whole recordings, for files that do not fit into memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurochip import event_file
from neurochip.errors import UserError
from neurochip.events import CONTENT_LAYOUT, Recordings, SensorSize, Window, check_offsets, content_digest

BLOCK_EVENTS = 1 << 20
"""Events of one block; a recording with more is a block of its own."""


def count_events(path: str | Path) -> int:
    """Return the number of events that all splits of an event file declare; raises UserError."""
    with event_file.opened(path) as file:
        groups = {name: event_file.split_group(file, name) for name in event_file.splits_of(file)}
        return sum(event_file.check_declared(group, name)[1] for name, group in groups.items())


@contextmanager
def open_split(path: str | Path, split: str, sensor_size: SensorSize | None = None) -> Iterator[SplitBlocks]:
    """Open one split of an event file; `sensor_size` replaces the file's root attribute.

    Raises:
        UserError: like `event_file.read_recordings`; what is wrong with the events is found when their block is read.
    """
    with event_file.opened(path) as file:
        size, window = event_file.sensor_size_of(file, sensor_size), event_file.window_of(file)
        group = event_file.split_group(file, split)
        time_name, n_events = event_file.check_declared(group, split)
        labels = group["labels"][:]
        try:
            offsets = check_offsets("offsets", group["offsets"][:], len(labels) + 1, n_events).astype(np.int64)
            none: Any = np.zeros(0, np.int64)
            labels = Recordings(none, none, none, none, np.zeros(len(offsets), np.int64), labels, size).labels
        except UserError as error:
            raise UserError(f"{split}/{error}") from None
        yield SplitBlocks(group, split, time_name, offsets, labels, size, window)


@dataclass(frozen=True, eq=False)
class SplitBlocks:
    """One split of an open event file: offsets and labels in memory, events on demand."""

    group: Any
    split: str
    time_name: str
    offsets: NDArray[np.int64]
    labels: NDArray[np.int64]
    sensor_size: SensorSize
    window_us: Window | None

    @property
    def n_events(self) -> int:
        """Number of events of the split."""
        return int(self.offsets[-1])

    def blocks(self) -> Iterator[Recordings]:
        """Yield the recordings in order, about BLOCK_EVENTS events at a time.

        Raises:
            UserError: events outside the sensor or the window, or times that fall.
        """
        for first, last in sample_blocks(self.offsets, BLOCK_EVENTS):
            start, offsets = int(self.offsets[first]), self.offsets[first : last + 1] - self.offsets[first]
            try:
                arrays = {name: self._column(name, first, last) for name in (*event_file.EVENT_DATASETS, "t")}
                yield Recordings(
                    **arrays,
                    offsets=offsets,
                    labels=self.labels[first:last],
                    sensor_size=self.sensor_size,
                    window_us=self.window_us,
                )
            except UserError as error:
                counted = f" (entries counted from event {start}, samples from {first})" if first else ""
                raise UserError(f"{self.split}/{error}{counted}") from None

    def _column(self, name: str, first: int, last: int) -> NDArray[Any]:
        """x, y, p or t of the samples `first` to `last - 1`."""
        part = slice(int(self.offsets[first]), int(self.offsets[last]))
        stored = self.time_name if name == "t" else name
        try:
            values: NDArray[Any] = self.group[stored][part]
        except (OSError, RuntimeError) as error:
            raise UserError(f"{stored} cannot be read ({error}); the file is damaged") from error
        if stored != "dt":
            return values
        return event_file.times_from_differences(values, self.offsets[first : last + 1] - part.start)

    def sha256(self, crop: tuple[int, int] | None = None) -> str:
        """Return what `Recordings.sha256` gives for the whole split, cropped to (width, height) if asked.

        The hash takes one array after the other, so the file is gone through once for each.
        """
        size, offsets = self.sensor_size, self.offsets
        if crop is not None:
            size = (*crop, size[2])
            lengths = [np.diff(recordings.crop(*crop).offsets) for recordings in self.blocks()]
            offsets = np.cumsum(np.concatenate([np.zeros(1, np.int64), *lengths]))
        digest = content_digest(size, self.window_us)
        for name, code in CONTENT_LAYOUT.items():
            if name == "offsets":
                arrays = iter([offsets])
            elif name == "labels":
                arrays = iter([self.labels])
            elif crop is not None:
                arrays = (getattr(recordings.crop(*crop), name) for recordings in self.blocks())
            else:
                arrays = (self._column(name, *samples) for samples in sample_blocks(self.offsets, BLOCK_EVENTS))
            for values in arrays:
                digest.update(np.ascontiguousarray(values, dtype=code).data)
        return str(digest.hexdigest())


def sample_blocks(offsets: NDArray[np.int64], n_events: int) -> Iterator[tuple[int, int]]:
    """Yield ranges of whole samples with about `n_events` events each, at least one sample in each."""
    n_samples, first = len(offsets) - 1, 0
    while first < n_samples:
        last = int(np.searchsorted(offsets, offsets[first] + n_events, side="right")) - 1
        last = min(max(last, first + 1), n_samples)
        yield first, last
        first = last
