"""Address events: recordings as a camera delivers them, and the same events sorted into time steps.

`Recordings` holds events with microsecond times; `EventDataset` holds, for every sample and time step, the
ascending list of input addresses. The HDF5 form of `Recordings` is in `event_file`; the encoder from the first
to the second is `encoding.event_steps.bin_events`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurochip.errors import UserError

EVENT_DTYPE = np.dtype([("x", np.int16), ("y", np.int16), ("t", np.int64), ("p", np.bool_)])
"""One event: column, row, time in microseconds, polarity (True = ON); the structured dtype tonic uses."""

MAX_TIME_US = 2**47
"""Largest |t| of an event (4 years): a difference of two times, times 32767 steps, stays inside 64 bits."""

SensorSize = tuple[int, int, int]
Window = tuple[int, int]


class SampleEvents(NamedTuple):
    """Events of one sample: step s holds entries `step_offsets[s]` to `step_offsets[s + 1]` of the other two."""

    step_offsets: NDArray[np.int64]
    addresses: NDArray[np.int32]
    magnitudes: NDArray[np.int32]


def check_sensor_size(value: Any, key: str = "sensor_size") -> SensorSize:
    """Return `value` as (width, height, polarities); raises UserError unless 1..32767, 1..32767 and 1..2."""
    items = value.tolist() if isinstance(value, np.ndarray | np.generic) else value
    allowed = f"{key} = {items!r} must be three integers: width and height from 1 to 32767, polarities 1 or 2"
    if not isinstance(items, Sequence) or isinstance(items, str) or len(items) != 3:
        raise UserError(allowed)
    if any(isinstance(item, bool) or not isinstance(item, int | np.integer) for item in items):
        raise UserError(allowed)
    width, height, polarities = (int(item) for item in items)
    if not (1 <= width <= 32767 and 1 <= height <= 32767 and 1 <= polarities <= 2):
        raise UserError(allowed)
    return width, height, polarities


def check_window(value: Any, key: str = "window_us") -> Window:
    """Return `value` as (first, last) microsecond; raises UserError unless first <= last within MAX_TIME_US."""
    items = value.tolist() if isinstance(value, np.ndarray | np.generic) else value
    allowed = f"{key} = {items!r} must be two integers, first <= last, between -{MAX_TIME_US} and {MAX_TIME_US}"
    if not isinstance(items, Sequence) or isinstance(items, str) or len(items) != 2:
        raise UserError(allowed)
    if any(isinstance(item, bool) or not isinstance(item, int | np.integer) for item in items):
        raise UserError(allowed)
    first, last = (int(item) for item in items)
    if not -MAX_TIME_US <= first <= last <= MAX_TIME_US:
        raise UserError(allowed)
    return first, last


@dataclass(frozen=True, eq=False)
class Recordings:
    """Recordings of an event sensor, concatenated: sample i is `offsets[i]` to `offsets[i + 1]` of x, y, p and t.

    x, y: pixel coordinates; p: polarity, 1 = ON; t: microseconds, not decreasing within a sample; labels: as the
    data set gives them; sensor_size: (width, height, polarities); window_us: first and last microsecond that all
    recordings span, or None: each spans its own events. Raises UserError, naming the array, otherwise.
    """

    x: NDArray[np.int16]
    y: NDArray[np.int16]
    p: NDArray[np.uint8]
    t: NDArray[np.int64]
    offsets: NDArray[np.int64]
    labels: NDArray[np.int64]
    sensor_size: SensorSize
    window_us: Window | None = None

    def __post_init__(self) -> None:
        width, height, polarities = check_sensor_size(self.sensor_size)
        size = (width, height, polarities)
        object.__setattr__(self, "sensor_size", size)
        n_events = np.asarray(self.x).shape[0] if np.ndim(self.x) == 1 else -1
        for name, high in (("x", width - 1), ("y", height - 1), ("p", polarities - 1)):
            values = _integers(name, getattr(self, name), n_events, allow_bool=name == "p")
            _check_range(name, values, 0, high, f" for sensor_size {size}")
            object.__setattr__(self, name, values.astype(np.uint8 if name == "p" else np.int16, copy=False))
        times = _integers("t", self.t, n_events)
        if self.window_us is None:
            _check_range("t", times, -MAX_TIME_US, MAX_TIME_US, " microseconds")
        else:
            object.__setattr__(self, "window_us", check_window(self.window_us))
            _check_range("t", times, *self.window_us, " microseconds, the window_us of the recordings")
        labels = _integers("labels", self.labels)
        _check_range("labels", labels, -(2**31), 2**31 - 1)
        offsets = check_offsets("offsets", self.offsets, len(labels) + 1, n_events)
        for name, values in (("t", times), ("labels", labels), ("offsets", offsets)):
            object.__setattr__(self, name, values.astype(np.int64, copy=False))
        bad = _first_not_ascending(self.t, self.offsets, strict=False)
        if bad is not None:
            sample = int(np.searchsorted(self.offsets, bad, side="right")) - 1
            raise UserError(
                f"t decreases from {self.t[bad - 1]} to {self.t[bad]} at event {bad} (sample {sample}); "
                "within a sample it may only stay or grow"
            )

    @property
    def n_samples(self) -> int:
        """Number of recordings."""
        return len(self.labels)

    def sample(self, index: int) -> NDArray[np.void]:
        """Return the events of one recording as a structured array of EVENT_DTYPE."""
        part = slice(self.offsets[index], self.offsets[index + 1])
        events = np.empty(part.stop - part.start, dtype=EVENT_DTYPE)
        for name in ("x", "y", "t", "p"):
            events[name] = getattr(self, name)[part]
        return events

    def take(self, indices: ArrayLike) -> Recordings:
        """Return the recordings `indices`, in that order."""
        chosen = _sample_indices(indices, self.n_samples)
        positions, offsets = _gather(self.offsets, chosen)
        x, y, p, t = (getattr(self, name)[positions] for name in ("x", "y", "p", "t"))
        return Recordings(x, y, p, t, offsets, self.labels[chosen], self.sensor_size, self.window_us)

    def crop(self, width: int, height: int) -> Recordings:
        """Return the events in the middle `width` x `height` pixels (the lower corner rounded down), moved to 0, 0.

        Recordings that become empty stay. Raises UserError if the window is not inside the sensor.
        """
        sensor_width, sensor_height, polarities = self.sensor_size
        if not (1 <= width <= sensor_width and 1 <= height <= sensor_height):
            raise UserError(
                f"task.crop = [{width}, {height}] is not inside the sensor; allowed are 1 to {sensor_width} and "
                f"1 to {sensor_height} pixels"
            )
        left, top = (sensor_width - width) // 2, (sensor_height - height) // 2
        x, y = self.x - np.int16(left), self.y - np.int16(top)
        inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        offsets = np.concatenate([[0], np.cumsum(inside)])[self.offsets]
        size = (width, height, polarities)
        taken = x[inside], y[inside], self.p[inside], self.t[inside]
        return Recordings(*taken, offsets, self.labels, size, self.window_us)

    def sha256(self) -> str:
        """Return the SHA-256 (hex) of sensor size, window, offsets, labels, x, y, p, t as little-endian integers."""
        digest = content_digest(self.sensor_size, self.window_us)
        for name, code in CONTENT_LAYOUT.items():
            digest.update(np.ascontiguousarray(getattr(self, name), dtype=code).data)
        return str(digest.hexdigest())


CONTENT_LAYOUT = {"offsets": "<i8", "labels": "<i8", "x": "<i2", "y": "<i2", "p": "u1", "t": "<i8"}
"""What the hash of recordings goes over after their sensor size, and in which integers."""


def content_digest(sensor_size: SensorSize, window_us: Window | None) -> Any:  # hashlib has no name for its type
    """Return the beginning of the hash of recordings; their arrays follow in the order of CONTENT_LAYOUT."""
    return hashlib.sha256(repr(sensor_size if window_us is None else (sensor_size, window_us)).encode())


@dataclass(frozen=True, eq=False)
class EventDataset:
    """Input events of every sample and time step, in compressed sparse rows.

    Step s of sample i is row r = i * n_steps + s: entries `step_offsets[r]` to `step_offsets[r + 1]` of `addresses`
    (0 to n_inputs - 1, ascending, each once) and `magnitudes` (at least 1). `labels` are class indices, not raw
    labels. Raises UserError, naming the array, if that does not hold.
    """

    step_offsets: NDArray[np.int64]
    addresses: NDArray[np.int32]
    magnitudes: NDArray[np.int32]
    labels: NDArray[np.int32]
    n_inputs: int
    n_steps: int

    def __post_init__(self) -> None:
        for name, high in (("n_inputs", 2**31 - 1), ("n_steps", 32767)):
            if not 1 <= getattr(self, name) <= high:
                raise UserError(f"{name} = {getattr(self, name)} must be 1 to {high}")
        addresses = _integers("addresses", self.addresses)
        _check_range("addresses", addresses, 0, self.n_inputs - 1)
        magnitudes = _integers("magnitudes", self.magnitudes, len(addresses))
        _check_range("magnitudes", magnitudes, 1, 2**31 - 1)
        labels = _integers("labels", self.labels)
        _check_range("labels", labels, 0, 2**31 - 1)
        offsets = check_offsets("step_offsets", self.step_offsets, len(labels) * self.n_steps + 1, len(addresses))
        object.__setattr__(self, "step_offsets", offsets.astype(np.int64, copy=False))
        for name, values in (("addresses", addresses), ("magnitudes", magnitudes), ("labels", labels)):
            object.__setattr__(self, name, values.astype(np.int32, copy=False))
        bad = _first_not_ascending(self.addresses, self.step_offsets, strict=True)
        if bad is not None:
            raise UserError(
                f"addresses goes from {self.addresses[bad - 1]} to {self.addresses[bad]} at entry {bad}; "
                "within a step they must ascend and be unique"
            )

    @property
    def n_samples(self) -> int:
        """Number of samples."""
        return len(self.labels)

    @property
    def n_events(self) -> int:
        """Number of entries of `addresses`."""
        return len(self.addresses)

    def chunk(self, indices: NDArray[np.integer[Any]]) -> tuple[EventDataset, NDArray[np.integer[Any]]]:
        """Return a data set in memory and where in it the samples `indices` lie."""
        return self, indices

    def sample(self, index: int) -> SampleEvents:
        """Return one sample: its step offsets, counted from 0, and views of its addresses and magnitudes."""
        steps = self.step_offsets[index * self.n_steps : (index + 1) * self.n_steps + 1]
        part = slice(steps[0], steps[-1])
        return SampleEvents(steps - steps[0], self.addresses[part], self.magnitudes[part])

    def take(self, indices: ArrayLike) -> EventDataset:
        """Return the samples `indices`, in that order."""
        chosen = _sample_indices(indices, self.n_samples)
        rows = (chosen[:, None] * self.n_steps + np.arange(self.n_steps)).ravel()
        positions, offsets = _gather(self.step_offsets, rows)
        taken = self.addresses[positions], self.magnitudes[positions]
        return EventDataset(offsets, *taken, self.labels[chosen], self.n_inputs, self.n_steps)

    def subset(self, indices: ArrayLike) -> EventDataset:
        """Return the samples `indices`, in that order; like `take`, unless the events lie in a file."""
        return self.take(indices)

    def counts(self) -> NDArray[np.int32]:
        """Return the summed magnitudes per sample and address, dense int32 [n_samples, n_inputs]."""
        dense = np.zeros((self.n_samples, self.n_inputs), dtype=np.int32)
        per_sample = np.diff(self.step_offsets[:: self.n_steps])
        np.add.at(dense, (np.repeat(np.arange(self.n_samples), per_sample), self.addresses), self.magnitudes)
        return dense


def read_recordings(path: str | Path, split: str, sensor_size: SensorSize | None = None) -> Recordings:
    """Read one split of an HDF5 event file; see `event_file.read_recordings`."""
    from neurochip import event_file

    return event_file.read_recordings(path, split, sensor_size)


def write_recordings(
    path: str | Path, splits: Mapping[str, Recordings], attrs: Mapping[str, Any] | None = None
) -> None:
    """Write an HDF5 event file; see `event_file.write_recordings`."""
    from neurochip import event_file

    event_file.write_recordings(path, splits, attrs)


def _integers(name: str, values: Any, length: int | None = None, allow_bool: bool = False) -> NDArray[Any]:
    array = np.asarray(values)
    if array.ndim != 1:
        raise UserError(f"{name} has {array.ndim} dimensions; it must have one")
    if array.dtype.kind not in ("iub" if allow_bool else "iu"):
        raise UserError(f"{name} is stored as {array.dtype}; it must be integers")
    if length is not None and len(array) != length:
        raise UserError(f"{name} has {len(array)} entries; it must have {length}, one for each event")
    return array


def _check_range(name: str, values: NDArray[Any], low: int, high: int, what: str = "") -> None:
    if len(values) and not (low <= int(values.min()) and int(values.max()) <= high):
        # uint64 beyond int64 must not be compared as float: ask each side in the array's own type.
        bad = int(np.argmax(values)) if int(values.max()) > high else int(np.argmin(values))
        raise UserError(f"{name} holds {values[bad]} at entry {bad}; allowed is {low} to {high}{what}")


def check_offsets(name: str, values: Any, length: int, n_values: int) -> NDArray[Any]:
    """Return `values` if they are `length` row offsets that ascend from 0 to `n_values`; else raise UserError."""
    offsets = _integers(name, values)
    if len(offsets) != length:
        raise UserError(f"{name} has {len(offsets)} entries; the number of labels asks for {length}")
    falls = np.flatnonzero(offsets[1:] < offsets[:-1])
    if len(falls):
        at = int(falls[0])
        raise UserError(f"{name} falls from {offsets[at]} to {offsets[at + 1]} at entry {at + 1}; it may not decrease")
    if offsets[0] != 0 or offsets[-1] != n_values:
        raise UserError(
            f"{name} runs from {offsets[0]} to {offsets[-1]}; it must run from 0 to the number of events, {n_values}"
        )
    return offsets


def _first_not_ascending(values: NDArray[Any], offsets: NDArray[np.int64], strict: bool) -> int | None:
    """Return the first entry that breaks the order inside its row, or None."""
    broken = values[1:] <= values[:-1] if strict else values[1:] < values[:-1]
    candidates = np.flatnonzero(broken) + 1
    inside = candidates[~np.isin(candidates, offsets)]
    return int(inside[0]) if len(inside) else None


def _sample_indices(indices: ArrayLike, n_samples: int) -> NDArray[np.int64]:
    chosen = np.asarray(indices, dtype=np.int64).reshape(-1)
    if len(chosen) and not (chosen.min() >= 0 and chosen.max() < n_samples):
        raise IndexError(f"sample indices run from {chosen.min()} to {chosen.max()}; there are {n_samples} samples")
    return chosen


def _gather(offsets: NDArray[np.int64], rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the entries of the chosen rows, in order, and the offsets of the rows among them."""
    lengths = offsets[rows + 1] - offsets[rows]
    new_offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return np.arange(new_offsets[-1]) + np.repeat(offsets[rows] - new_offsets[:-1], lengths), new_offsets
