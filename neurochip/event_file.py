"""The HDF5 form of event recordings; `docs/event-format.md` defines it.

A file is judged by the shapes and types it declares before any array is read, so that a damaged or hostile file
costs an error message and no memory.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurochip.errors import UserError
from neurochip.events import (
    MAX_TIME_US,
    Recordings,
    SensorSize,
    Window,
    check_offsets,
    check_sensor_size,
    check_window,
)
from neurochip.hdf5_output import Hdf5Output

EVENT_DATASETS = ("x", "y", "p")
MICROSECOND = ("microsecond", "microseconds", "us", "µs")
"""What the root attribute `time_unit` may say."""


def read_splits(path: str | Path) -> tuple[str, ...]:
    """Return the names of the splits (top-level groups that hold `offsets` and `labels`) of an event file."""
    with opened(path) as file:
        return splits_of(file)


def splits_of(file: Any) -> tuple[str, ...]:
    """Return the names of the splits of an open event file; raises UserError for links."""
    import h5py

    groups = {name: item for name in file if isinstance(item := _member(file, name), h5py.Group)}
    return tuple(name for name, group in groups.items() if _has(group, "offsets") and _has(group, "labels"))


def read_text_attributes(path: str | Path) -> dict[str, str]:
    """Return the root attributes that are text, such as `title` and `license`."""
    with opened(path) as file:
        return {key: value for key, value in file.attrs.items() if isinstance(value, str)}


def read_class_names(path: str | Path) -> tuple[str, ...]:
    """Return the names of the labels 0, 1, ... that the root attribute `class_names` lists; none where it does not."""
    with opened(path) as file:
        listed = np.atleast_1d(file.attrs.get("class_names", []))
        names = [name.decode(errors="replace") if isinstance(name, bytes) else name for name in listed]
        return tuple(names) if all(isinstance(name, str) for name in names) else ()


def read_recordings(path: str | Path, split: str, sensor_size: SensorSize | None = None) -> Recordings:
    """Read one split of an event file.

    `sensor_size` (width, height, polarities) replaces the file's root attribute of that name. Raises UserError for a
    missing, damaged or ill-formed file, naming the file, the data set and what is allowed.
    """
    with opened(path) as file:
        size = sensor_size_of(file, sensor_size)
        group = split_group(file, split)
        time_name, _ = check_declared(group, split)
        arrays = {name: group[name][:] for name in (*EVENT_DATASETS, time_name, "offsets", "labels")}
        try:
            if time_name == "dt":
                arrays["t"] = times_from_differences(arrays.pop("dt"), arrays["offsets"])
            return Recordings(**arrays, sensor_size=size, window_us=window_of(file))
        except UserError as error:
            raise UserError(f"{split}/{error}") from None


def write_recordings(
    path: str | Path, splits: Mapping[str, Recordings], attrs: Mapping[str, Any] | None = None
) -> None:
    """Write splits of recordings of one sensor to an event file, with `attrs` as root attributes.

    The file is written beside its final place and then renamed, so a reader never sees half of it. Raises UserError
    if the sensor sizes differ, OSError if the folder cannot be written or the disk is full.
    """
    target = Path(path)
    sizes = {recordings.sensor_size for recordings in splits.values()}
    if len(sizes) != 1:
        raise UserError(f"{target}: sensor_size of the splits is {sorted(sizes)}; all splits must share one")
    windows = {recordings.window_us for recordings in splits.values()}
    if len(windows) != 1:
        raise UserError(f"{target}: window_us of the splits is {sorted(map(str, windows))}; all splits must share one")
    window = windows.pop()
    own = {"sensor_size": np.array(sizes.pop())} | ({} if window is None else {"window_us": np.array(window)})
    with Hdf5Output(target) as output:
        with output.step() as file:
            file.attrs.update({"time_unit": "microsecond", **(attrs or {}), **own})
            for split, recordings in splits.items():
                for name in (*EVENT_DATASETS, "t", "offsets", "labels"):
                    values = getattr(recordings, name)
                    options: dict[str, Any] = {"compression": "gzip", "shuffle": True} if len(values) else {}
                    file.create_dataset(f"{split}/{name}", data=values, **options)
        output.commit()


@contextmanager
def opened(path: str | Path) -> Iterator[Any]:
    """Open an HDF5 file and name it in every error that its content causes."""
    import h5py

    place = Path(path)
    try:
        if not place.is_file():
            raise UserError("task.path must name an existing HDF5 event file, and there is none here")
        with h5py.File(place, "r") as file:
            check_time_unit(file.attrs.get("time_unit", MICROSECOND[0]))
            yield file
    except UserError as error:
        named = str(error).startswith(f"{place}: ")  # by the same file opened inside
        raise (error if named else UserError(f"{place}: {error}")) from None
    # h5py reports damage as any of these, depending on where in the file it is.
    except (OSError, RuntimeError, KeyError, MemoryError) as error:
        detail = str(error).strip("'\"") or type(error).__name__
        raise UserError(f"{place}: task.path must name a readable HDF5 event file ({detail})") from error


def check_time_unit(value: Any) -> None:
    """Raise UserError unless the root attribute `time_unit` says what all event files are in."""
    text = value.decode(errors="replace") if isinstance(value, bytes) else value
    if not isinstance(text, str) or text not in MICROSECOND:
        raise UserError(f"root attribute time_unit = {text!r}; an event file holds times in microseconds")


def sensor_size_of(file: Any, override: SensorSize | None) -> SensorSize:
    """Return `override`, the size that task.sensor_size asks for, or that of an open event file."""
    if override is not None:
        return check_sensor_size(override, "task.sensor_size")
    if "sensor_size" not in file.attrs:
        raise UserError("no root attribute sensor_size, so task.sensor_size must give [width, height, polarities]")
    return check_sensor_size(file.attrs["sensor_size"], "root attribute sensor_size")


def window_of(file: Any) -> Window | None:
    """Return the window that all recordings of an open event file span, if it says one."""
    return check_window(file.attrs["window_us"], "root attribute window_us") if "window_us" in file.attrs else None


def split_group(file: Any, split: str) -> Any:
    """Return the group of a split of an open event file; raises UserError if it lacks what a split needs."""
    import h5py

    group = _member(file, split)
    if not isinstance(group, h5py.Group):
        found = ", ".join(sorted(map(str, file))) or "nothing"
        raise UserError(f"no group {split!r} with x, y, p, t or dt, offsets and labels (found: {found})")
    required = (*EVENT_DATASETS, "offsets", "labels")
    missing = [name for name in required if not _has(group, name)]
    if not _has(group, "t") and not _has(group, "dt"):
        missing.append("t (or dt)")
    if missing:
        raise UserError(f"{split} lacks {', '.join(missing)}; a split needs x, y, p, t or dt, offsets and labels")
    return group


def check_declared(group: Any, split: str) -> tuple[str, int]:
    """Return whether a split stores "t" or "dt", and its declared number of events; UserError before any is read."""
    time_name = "t" if _has(group, "t") else "dt"
    n_events = _declared_length(group, "x", allow_bool=False)
    for name in ("y", "p", time_name):
        length = _declared_length(group, name, allow_bool=name == "p")
        if length != n_events:
            raise UserError(f"{split}/{name} has {length} entries; it must have as many as {split}/x, {n_events}")
    n_samples = _declared_length(group, "labels", allow_bool=False)
    n_offsets = _declared_length(group, "offsets", allow_bool=False)
    if n_offsets != n_samples + 1:
        raise UserError(f"{split}/offsets has {n_offsets} entries; {n_samples} labels ask for {n_samples + 1}")
    return time_name, n_events


def _has(group: Any, name: str) -> bool:
    """Whether a group has a link of that name; unlike `in`, this does not follow it."""
    return group.get(name, getlink=True) is not None


def _member(group: Any, name: str) -> Any:
    """Return a member of a group, or None; links are refused: what lies in another file is in no hash of this one."""
    import h5py

    link = group.get(name, getlink=True)
    if isinstance(link, h5py.SoftLink | h5py.ExternalLink):
        raise UserError(f"{group.name.lstrip('/')}/{name}".lstrip("/") + " is a link; all data must be in this file")
    return None if link is None else group.get(name)


def _declared_length(group: Any, name: str, allow_bool: bool) -> int:
    """Return the declared length of a one-dimensional integer data set whose values are really in the file."""
    import h5py

    item, key = _member(group, name), f"{group.name.lstrip('/')}/{name}"
    if not isinstance(item, h5py.Dataset) or len(item.shape or ()) != 1:
        raise UserError(f"{key} must be a data set with one dimension")
    if item.is_virtual or item.external:
        raise UserError(f"{key} lies in another file; all data must be in this one")
    if item.dtype.kind not in ("iub" if allow_bool else "iu"):
        raise UserError(f"{key} is stored as {item.dtype}; it must be integers")
    length = int(item.shape[0])
    if item.chunks:
        declared, stored = math.ceil(length / item.chunks[0]), item.id.get_num_chunks()
    else:
        declared, stored = length * item.dtype.itemsize, item.id.get_storage_size()
    if stored < declared:
        unit = "chunks" if item.chunks else "bytes"
        raise UserError(f"{key} declares {length} entries in {declared} {unit} and stores {stored}; all must be stored")
    return length


def times_from_differences(differences: NDArray[Any], offsets: NDArray[Any]) -> NDArray[np.int64]:
    """Return t, the running sum of dt within each sample."""
    # One running sum serves all samples, so the sum over all of them must fit 64 bits.
    if np.abs(differences.astype(np.float64)).sum() >= 2.0**62:
        raise UserError(f"dt holds {differences.max()}; within a sample it must add up to at most {MAX_TIME_US}")
    starts = check_offsets("offsets", offsets, len(offsets), len(differences)).astype(np.int64)
    running = np.concatenate([np.zeros(1, np.int64), np.cumsum(differences, dtype=np.int64)])
    times: NDArray[np.int64] = running[1:] - np.repeat(running[starts[:-1]], np.diff(starts))
    return times
