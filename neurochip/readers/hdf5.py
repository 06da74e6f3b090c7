"""HDF5 event files: our own layout (`docs/event-format.md`) and that of the Spiking Heidelberg Digits (SHD, SSC).

SHD (Cramer et al. 2022): `spikes/times` in seconds and `spikes/units`, one list per sample, and `labels`. A unit is
the column x; y and p are 0. The order of spikes in a list is not promised, so they are put in order of time.
"""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from neurochip.errors import UserError
from neurochip.readers.blocks import Block, Sample, recordings_of
from neurochip.readers.recording import RawItem, ReadOptions
from neurochip.readers.source import Probe

MAGIC = b"\x89HDF\r\n\x1a\n"
SHD_SIZE = (700, 1, 1)
SILENCE_SECONDS = 60.0
"""A child that sends nothing for so long is taken to hang: one message is at most one item of events."""
MAX_MESSAGE_BYTES = 2**30
USES = frozenset({"sensor_size", "sort"})


CHECKED_EVENTS = 1 << 20
"""Events of a part that `check_readable` reads at a time."""


class _DiedError(UserError):
    """The process that reads a file ended, or was ended, before it said so."""


class Message(NamedTuple):
    """What the child says: its kind and values, and arrays."""

    meta: dict[str, Any]
    arrays: list[NDArray[Any]]


class Child(Protocol):
    """A process that reads a file: its output, its end, and its exit code (negative: ended by that signal)."""

    @property
    def stdout(self) -> Any: ...

    def kill(self) -> None: ...

    def wait(self) -> int: ...


def matches_shd(probe: Probe) -> bool:
    """Whether the file is HDF5 with spikes/times, spikes/units and labels."""
    return probe.head.startswith(MAGIC) and layout(probe.path) == "shd-h5"


def matches_events(probe: Probe) -> bool:
    """Whether the file is HDF5 with a group that holds offsets and labels."""
    return probe.head.startswith(MAGIC) and layout(probe.path) == "events-h5"


def open_shd(path: Path, options: ReadOptions, remarks: list[str]) -> Iterator[RawItem]:
    """Yield the samples of an SHD file: x is the unit, t the time rounded to a microsecond, 700 units unless said."""
    messages = _messages(path, "shd-h5", options.chunk_events)
    next(messages)
    return _items(messages, SHD_SIZE, options)


def open_events(path: Path, options: ReadOptions, remarks: list[str]) -> Iterator[RawItem]:
    """Yield the samples of all splits of an event file, with split and label."""
    messages = _messages(path, "events-h5", options.chunk_events)
    size = next(messages).meta["sensor_size"]
    return _items(messages, cast(Any, tuple(size) if size else None), options)


def event_header(path: Path) -> tuple[tuple[int, int] | None, dict[str, Any]]:
    """Return what the root of an event file says: its window_us, and its attributes that are text or lists of it."""
    message = next(_messages(path, "events-h5", 1))
    window, texts = message.meta["window_us"], json.loads(message.arrays[0].tobytes())
    return (tuple(window) if window else None), texts


def check_readable(path: Path) -> None:
    """Read an HDF5 file once in a process of its own, before it is read in this one.

    What the library says in words is left to who reads the file then.

    Raises:
        UserError: the process died of it, or did not end.
    """
    try:
        for _ in _messages(path, "check", CHECKED_EVENTS):
            pass
    except _DiedError as error:
        raise UserError(f"{path}: {error}") from None
    except UserError:
        return


def layout(path: Path) -> str:
    """Return the name of the format of an HDF5 file, "" if it is none that is read."""
    return str(next(_messages(path, "sniff", 1)).meta["name"])


def _items(messages: Iterator[Message], size: tuple[int, int, int] | None, options: ReadOptions) -> Iterator[RawItem]:
    for first in messages:
        meta = first.meta
        sample = Sample(size, meta["label"], meta.get("split"), f"{meta['name']}, ")
        yield from recordings_of(_sample_blocks(first, messages), sample, options)


def _sample_blocks(first: Message, messages: Iterator[Message]) -> Iterator[Block]:
    message = first
    while True:
        columns = message.arrays
        if len(columns) == 2:  # units and times
            nothing = np.zeros(len(columns[0]), np.int64)
            columns = [columns[0], nothing, nothing, columns[1]]
        yield Block(*(column.astype(np.int64) for column in columns))
        if message.meta["last"]:
            return
        message = next(messages)


def start_child(path: Path, task: str, chunk_events: int) -> Child:
    """Start the process that reads the file."""
    # Of where Python looks for modules, the working directory is left out: files are read in it, and none may be run.
    package = str(Path(__file__).resolve().parents[2])
    places = [place for place in sys.path if place] + [package]
    # Threads of a linear algebra library would take memory, and nothing here computes.
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(places), "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-P", "-m", "neurochip.readers.hdf5_child", str(path), task, str(chunk_events)]
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
    )


def _messages(path: Path, task: str, chunk_events: int) -> Iterator[Message]:
    """Yield the messages of a child until its end; raises UserError for what it finds wrong, dying and hanging."""
    child = start_child(path.absolute(), task, chunk_events)
    try:
        while True:
            message = _received(child)
            if message is None:
                raise _death(child.wait())
            if message.meta["kind"] == "error":
                raise UserError(message.meta["text"])
            if message.meta["kind"] == "end":
                return
            yield message
    finally:
        child.kill()
        child.stdout.close()
        child.wait()


def _received(child: Child) -> Message | None:
    """Return the next message, or None if the child ended within it or was silent too long and has been ended."""
    watch = threading.Timer(SILENCE_SECONDS, child.kill)
    watch.start()
    try:
        return _message(child.stdout)
    finally:
        watch.cancel()


def _message(stream: BinaryIO) -> Message | None:
    prefix = stream.read(4)
    if len(prefix) < 4:
        return None
    length = struct.unpack("<I", prefix)[0]
    if length > 2**16:
        return None
    text = stream.read(length)
    if len(text) < length:
        return None
    meta = json.loads(text)
    arrays = []
    for code, count in meta["arrays"]:
        dtype = np.dtype(code)
        data = stream.read(min(count * dtype.itemsize, MAX_MESSAGE_BYTES))
        if len(data) < count * dtype.itemsize:
            return None
        arrays.append(np.frombuffer(data, dtype))
    return Message(meta, arrays)


def _death(code: int) -> UserError:
    """Damage ends the process by a signal, or it was ended for its silence; a code is that of a failed start."""
    if code < 0:
        return _DiedError(
            f"damaged HDF5 file: the process that read it was ended by signal {-code} (it may use no more than 2 GiB "
            "and pause for 60 s)"
        )
    return UserError(
        f"the process that reads HDF5 files could not be started (code {code}); it needs about 60 MB of memory"
    )
