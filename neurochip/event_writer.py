"""An event file written recording by recording, in bounded memory; `docs/event-format.md` defines it."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from neurochip.errors import UserError
from neurochip.events import MAX_TIME_US, SensorSize, Window
from neurochip.hdf5_output import Hdf5Output

COLUMNS = {"x": np.int16, "y": np.int16, "p": np.uint8, "t": np.int64}
BUFFER_EVENTS = 1 << 18
CHUNK_EVENTS = 1 << 15
GZIP_LEVEL = 4  # of h5py, as `write_recordings` uses it

Label = int | str


class CannotWrite(UserError):
    """The event file cannot be written, whatever the recordings hold."""


class EventWriter:
    """A context manager that appends recordings to an event file and puts it in its place when all went well.

    Until then the file lies beside it under another name, and is removed if anything goes wrong. `sensor_size` and
    `window_us` hold for all recordings; a recording that does not keep to them is refused.
    """

    def __init__(self, path: Path, sensor_size: SensorSize, window_us: Window | None = None) -> None:
        self.path, self.sensor_size, self.window_us = path, sensor_size, window_us
        self._output = Hdf5Output(path)
        self._splits: dict[str, _Split] = {}
        self._open: _Split | None = None
        self._last_us = -MAX_TIME_US

    def __enter__(self) -> Self:
        with self._writing():
            self._output.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._output.__exit__(kind, error, traceback)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise CannotWrite(f"{self.path} cannot be written ({error.strerror or error})") from error

    @property
    def _begun(self) -> _Split:
        if self._open is None:
            raise ValueError("no recording was begun")
        return self._open

    def begin(self, split: str) -> None:
        """Start a recording of a split."""
        if split not in self._splits:
            with self._writing(), self._output.step() as file:
                self._splits[split] = _Split(file.create_group(split))
        self._open, self._last_us = self._splits[split], -MAX_TIME_US

    def append(self, x: NDArray[Any], y: NDArray[Any], p: NDArray[Any], t: NDArray[Any]) -> None:
        """Add events to the recording; raises UserError if they leave the sensor or the window, or go back in time."""
        width, height, polarities = self.sensor_size
        for name, values, high in (("x", x, width), ("y", y, height), ("p", p, polarities)):
            if len(values) and (int(values.min()) < 0 or int(values.max()) >= high):
                bad = int(values.max()) if int(values.max()) >= high else int(values.min())
                raise UserError(
                    f"{name} = {bad} is outside the sensor size {self.sensor_size}; allowed is 0 to {high - 1}"
                )
        if len(t):
            first, last = (-MAX_TIME_US, MAX_TIME_US) if self.window_us is None else self.window_us
            if bool((t[1:] < t[:-1]).any()) or int(t[0]) < self._last_us:
                raise UserError("t falls within the recording; it may only stay or grow")
            if int(t[0]) < first or int(t[-1]) > last:
                raise UserError(f"t runs from {t[0]} to {t[-1]} microseconds; allowed is {first} to {last}")
            self._last_us = int(t[-1])
        if self._begun.append({"x": x, "y": y, "p": p, "t": t}):
            with self._writing(), self._output.step():
                self._begun.store()

    def end(self, label: Label) -> None:
        """Finish the recording."""
        self._begun.end(label)
        self._open = None

    def abandon(self) -> None:
        """Forget the recording that was begun."""
        if self._open is not None:
            self._open.abandon()
            self._open = None

    def labels(self, split: str) -> Sequence[Label]:
        """The labels of the finished recordings of a split."""
        return tuple(self._splits[split].labels) if split in self._splits else ()

    @property
    def sizes(self) -> dict[str, tuple[int, int]]:
        """Number of finished recordings, and of their events, per split."""
        return {name: (len(split.labels), split.offsets[-1]) for name, split in self._splits.items()}

    def finish(self, number_of: Callable[[Label], int], attributes: Mapping[str, Any]) -> None:
        """Write labels by their numbers and root attributes, and rename the file to its name."""
        own: dict[str, Any] = {"time_unit": "microsecond", **attributes, "sensor_size": np.array(self.sensor_size)}
        if self.window_us is not None:
            own["window_us"] = np.array(self.window_us)
        with self._writing():
            with self._output.step() as file:
                file.attrs.update(own)
                for split in self._splits.values():
                    split.finish(number_of)
            self._output.commit()


class _Split:
    """One group of the file: what is stored, and what waits in memory to be stored."""

    def __init__(self, group: Any) -> None:
        self.group = group
        self.labels: list[Label] = []
        self.offsets = array("q", [0])
        self._waiting: dict[str, list[NDArray[Any]]] = {name: [] for name in COLUMNS}
        self._stored = self._n_waiting = 0
        options = {"chunks": (CHUNK_EVENTS,), "compression": "gzip", "compression_opts": GZIP_LEVEL, "shuffle": True}
        for name, kind in COLUMNS.items():
            group.create_dataset(name, shape=(0,), maxshape=(None,), dtype=kind, **options)

    def append(self, columns: Mapping[str, NDArray[Any]]) -> bool:
        """Keep events; whether so many wait that they have to be stored."""
        for name, values in columns.items():
            # A copy: the caller may use its array again.
            self._waiting[name].append(np.array(values, dtype=COLUMNS[name]))
        self._n_waiting += len(columns["t"])
        return self._n_waiting >= BUFFER_EVENTS

    def end(self, label: Label) -> None:
        self.labels.append(label)
        self.offsets.append(self._stored + self._n_waiting)

    def abandon(self) -> None:
        """Go back to the end of the last finished recording."""
        end = self.offsets[-1]
        kept = max(end - self._stored, 0)
        for name, parts in self._waiting.items():
            self._waiting[name] = [np.concatenate([np.zeros(0, COLUMNS[name]), *parts])[:kept]]
        self._n_waiting = kept
        self._stored = min(self._stored, end)  # what is stored next takes the place of what was

    def finish(self, number_of: Callable[[Label], int]) -> None:
        self.store()
        labels = np.array([number_of(label) for label in self.labels], dtype=np.int64)
        for name, values in (("labels", labels), ("offsets", np.array(self.offsets, dtype=np.int64))):
            self.group.create_dataset(name, data=values, compression="gzip", shuffle=True)

    def store(self) -> None:
        end = self._stored + self._n_waiting
        for name, parts in self._waiting.items():
            dataset = self.group[name]
            dataset.resize((end,))
            if self._n_waiting:
                dataset[self._stored : end] = np.concatenate(parts)
            parts.clear()
        self._stored, self._n_waiting = end, 0
