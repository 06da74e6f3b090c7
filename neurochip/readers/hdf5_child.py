"""Reads an HDF5 file in a process of its own and writes its events to standard output.

libhdf5 2.0.0 ended a process by signal 11 for 1 of 6000 damaged files of 9 kB, and ran on without end for 4. So the
library never runs in the user's process: this module does, under a memory limit, and `hdf5.py` watches it.

A message is the length of a JSON text (32 bits, little-endian), the text, and the arrays it lists.
"""

from __future__ import annotations

import json
import math
import struct
import sys
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from neurochip.errors import UserError
from neurochip.events import MAX_TIME_US, check_offsets, check_sensor_size, check_window

MEMORY_BYTES = 2**31
MAX_CHUNK_BYTES = 2**26
MAX_SAMPLE_EVENTS = 2**24
WINDOW_EVENTS = 2**18
SHD_NAMES = ("spikes/times", "spikes/units", "labels")


def serve(path: str, layout: str, chunk_events: int, out: BinaryIO) -> None:
    """Write the messages of a file; damage ends them with an error.

    `layout` is "sniff", "shd-h5", "events-h5", or "check".
    """
    import h5py

    readers = {"sniff": _sniff, "shd-h5": _shd, "events-h5": _events, "check": _check}
    try:
        with h5py.File(path, "r") as file:
            for meta, arrays in readers[layout](file, chunk_events):
                _send(out, meta, arrays)
        _send(out, {"kind": "end"}, [])
    except UserError as error:
        _send(out, {"kind": "error", "text": str(error)}, [])
    # h5py reports damage as nearly any exception, depending on where in the file it is.
    except Exception as error:
        text = str(error).strip("'\"")[:200] or type(error).__name__
        _send(out, {"kind": "error", "text": f"damaged HDF5 file ({text})"}, [])


Message = tuple[dict[str, Any], list[NDArray[Any]]]


def _send(out: BinaryIO, meta: dict[str, Any], arrays: list[NDArray[Any]]) -> None:
    text = json.dumps(meta | {"arrays": [[array.dtype.str, len(array)] for array in arrays]}).encode()
    out.write(struct.pack("<I", len(text)) + text + b"".join(array.tobytes() for array in arrays))
    out.flush()


def _sniff(file: Any, chunk_events: int) -> Iterator[Message]:
    import h5py

    def is_split(name: str) -> bool:
        item = _inside(file, name)
        return isinstance(item, h5py.Group) and _has(item, "offsets") and _has(item, "labels")

    missing = [name for name in SHD_NAMES if not isinstance(_inside(file, name), h5py.Dataset)]
    splits = any(is_split(name) for name in file)
    if not splits and {"spikes/times", "spikes/units"} - set(missing) and missing:
        raise UserError(f"{' and '.join(missing)} missing; a file in the layout of SHD needs {', '.join(SHD_NAMES)}")
    yield {"kind": "layout", "name": "events-h5" if missing and splits else "" if missing else "shd-h5"}, []


def _shd(file: Any, chunk_events: int) -> Iterator[Message]:
    times, units, labels = (_dataset(file, name, vlen=name != "labels") for name in SHD_NAMES)
    n_samples = labels.shape[0]
    for name, item in (("spikes/times", times), ("spikes/units", units)):
        if item.shape[0] != n_samples:
            raise UserError(f"{name} has {item.shape[0]} entries for {n_samples} labels")
    yield {"kind": "header"}, []
    values = labels[:]
    for sample in range(n_samples):
        seconds, channels = np.asarray(times[sample]), np.asarray(units[sample])
        if seconds.shape != channels.shape or seconds.ndim != 1 or len(seconds) > MAX_SAMPLE_EVENTS:
            raise UserError(f"sample {sample} has {seconds.size} times and {channels.size} units")
        if seconds.dtype.kind != "f" or channels.dtype.kind not in "iu":
            raise UserError(f"sample {sample} has times of {seconds.dtype} and units of {channels.dtype}")
        wide = seconds.astype(np.float64)
        if not (np.abs(wide) < MAX_TIME_US / 1e6).all():
            raise UserError(f"sample {sample} holds a time that is no number of seconds in range")
        t = np.rint(wide * 1e6).astype(np.int64)
        order = np.argsort(t, kind="stable")
        meta = {"kind": "block", "name": f"sample {sample}", "label": int(values[sample]), "last": True}
        yield meta, [channels[order].astype(np.int64), t[order]]


def _events(file: Any, chunk_events: int) -> Iterator[Message]:
    import h5py

    size = window = None
    if "sensor_size" in file.attrs:
        size = list(check_sensor_size(file.attrs["sensor_size"], "root attribute sensor_size"))
    if "window_us" in file.attrs:
        window = list(check_window(file.attrs["window_us"], "root attribute window_us"))
    texts = np.frombuffer(json.dumps(_texts(file)).encode(), np.uint8)
    yield {"kind": "header", "sensor_size": size, "window_us": window}, [texts]
    for split in sorted(file):
        group = _inside(file, split)
        if isinstance(group, h5py.Group) and _has(group, "offsets") and _has(group, "labels"):
            yield from _split(group, split, chunk_events)


def _check(group: Any, chunk_events: int) -> Iterator[Message]:
    """Read all attributes and data sets of a file; a message after every part says that it went well."""
    import h5py

    dict(group.attrs)
    for name in group:
        item = _inside(group, name)
        if isinstance(item, h5py.Group):
            yield from _check(item, chunk_events)
        elif isinstance(item, h5py.Dataset) and not item.is_virtual and not item.external:
            if not item.shape:
                yield {"kind": "part", "entries": np.size(item[()])}, []
                continue
            for start in range(0, item.shape[0], chunk_events):
                yield {"kind": "part", "entries": np.size(item[start : start + chunk_events])}, []


def _texts(file: Any) -> dict[str, Any]:
    """Return the root attributes that are text or lists of text."""
    import h5py

    found: dict[str, Any] = {}
    for key in file.attrs:
        kind = file.attrs.get_id(key).dtype
        if kind.kind == "S" or h5py.check_string_dtype(kind) is not None:
            value = np.asarray(file.attrs[key])
            words = [word.decode("utf-8", "replace") if isinstance(word, bytes) else str(word) for word in value.flat]
            found[key] = words if value.ndim else words[0]
    return found


def _split(group: Any, split: str, chunk_events: int) -> Iterator[Message]:
    time_name = "t" if _has(group, "t") else "dt"
    items = {name: _dataset(group, name) for name in ("x", "y", "p", time_name)}
    lengths = {name: item.shape[0] for name, item in items.items()}
    if len(set(lengths.values())) != 1:
        raise UserError(f"{split}: different numbers of entries: {', '.join(f'{k} {n}' for k, n in lengths.items())}")
    labels = _dataset(group, "labels")[:]
    offsets = check_offsets(f"{split}/offsets", _dataset(group, "offsets")[:], len(labels) + 1, lengths["x"])
    window = _Window(items)
    for sample, label in enumerate(labels):
        first, stop, elapsed = int(offsets[sample]), int(offsets[sample + 1]), 0
        for start in range(first, max(stop, first + 1), chunk_events):
            end = min(start + chunk_events, stop)
            x, y, p, t = window.part(start, end)
            if time_name == "dt":
                if np.abs(t.astype(np.float64)).sum() > MAX_TIME_US:
                    raise UserError(f"{split}/dt of sample {sample} adds up to more than {MAX_TIME_US}")
                t = elapsed + np.cumsum(t, dtype=np.int64)
                elapsed = int(t[-1]) if len(t) else elapsed
            meta = {"kind": "block", "name": f"{split} sample {sample}", "split": split, "label": int(label)}
            yield meta | {"last": end == stop}, [x, y, p, t]


class _Window:
    """A stretch of equally long data sets held in memory: samples are short, and a chunk is unpacked as a whole."""

    def __init__(self, items: dict[str, Any]) -> None:
        self._items = list(items.values())
        self._start = 0
        self._held = [item[:0] for item in self._items]

    def part(self, start: int, end: int) -> list[NDArray[Any]]:
        """Return the entries from `start` up to `end` of each data set; calls must go forward."""
        if end > self._start + len(self._held[0]):
            self._start = start
            try:
                self._held = [item[start : max(end, start + WINDOW_EVENTS)] for item in self._items]
            except OSError:  # damage further on must not cost the samples before it
                self._held = [item[start:end] for item in self._items]
        return [held[start - self._start : end - self._start] for held in self._held]


def _has(group: Any, name: str) -> bool:
    """Whether a group has a link of that name; unlike `in`, this does not follow it."""
    return group.get(name, getlink=True) is not None


def _inside(group: Any, name: str) -> Any:
    """Return a member of a group, or None; a link to another file is refused, wherever it points."""
    import h5py

    for part in name.split("/"):
        link = group.get(part, getlink=True) if isinstance(group, h5py.Group) else None
        if isinstance(link, h5py.ExternalLink):
            raise UserError(f"{part} is a link to another file; all data must be in this one")
        if isinstance(link, h5py.SoftLink):  # the way it goes may lead through a link to another file
            raise UserError(f"{part} is a soft link; all data must be in this file, under one name")
        group = None if link is None else group.get(part)
    return group


def _dataset(group: Any, name: str, vlen: bool = False) -> Any:
    """Return a one-dimensional data set of numbers whose values are really in this file, in chunks of bounded size."""
    import h5py

    item = _inside(group, name)
    if not isinstance(item, h5py.Dataset) or len(item.shape or ()) != 1:
        raise UserError(f"{name} must be a data set with one dimension")
    if item.is_virtual or item.external:
        raise UserError(f"{name} lies in another file; all data must be in this one")
    kind = h5py.check_vlen_dtype(item.dtype) if vlen else item.dtype
    if not isinstance(kind, np.dtype) or kind.kind not in ("iuf" if vlen else "iub"):
        raise UserError(f"{name} is stored as {item.dtype}; it must be {'lists of numbers' if vlen else 'integers'}")
    length, chunk_bytes = int(item.shape[0]), (item.chunks or (0,))[0] * item.id.get_type().get_size()
    if chunk_bytes > MAX_CHUNK_BYTES:
        raise UserError(f"{name} is stored in chunks of {chunk_bytes} bytes; allowed are at most {MAX_CHUNK_BYTES}")
    if item.chunks:
        declared, stored = math.ceil(length / item.chunks[0]), item.id.get_num_chunks()
    else:
        declared, stored = length * item.id.get_type().get_size(), item.id.get_storage_size()
    if stored < declared:
        unit = "chunks" if item.chunks else "bytes"
        raise UserError(
            f"{name} declares {length} entries in {declared} {unit} and stores {stored}; all must be stored"
        )
    return item


def limit_memory() -> None:
    """Let an allocation beyond MEMORY_BYTES, or a lower limit there is, fail in this process, where the system can."""
    try:
        import resource
    except ImportError:
        return
    limits = [one for one in resource.getrlimit(resource.RLIMIT_DATA) if one != resource.RLIM_INFINITY]
    lowest = min([MEMORY_BYTES, *limits])
    resource.setrlimit(resource.RLIMIT_DATA, (lowest, lowest))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    limit_memory()
    serve(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.stdout.buffer)
