"""Bytes of a file, in bounded pieces: what the readers of binary formats share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from neurochip.errors import UserError

HEAD_BYTES = 2**16


@dataclass(frozen=True)
class Probe:
    """The beginning of a file and its size in bytes: what a format is recognised by."""

    path: Path
    size: int
    head: bytes


def probe(path: Path) -> Probe:
    """Return the beginning of a file; raises UserError (without the path) if there is none or it is empty."""
    if not path.exists():
        raise UserError("no such file")
    if not path.is_file():
        raise UserError("not a file; a reader takes one file at a time")
    size = path.stat().st_size
    if size == 0:
        raise UserError("the file is empty")
    with path.open("rb") as file:
        return Probe(path, size, file.read(HEAD_BYTES))


def records(path: Path, start: int, end: int, record_bytes: int, per_block: int, what: str) -> Iterator[bytes]:
    """Yield the records between two places of a file, `per_block` at a time.

    Raises UserError after the last whole record if the file ends inside one or before `end`.
    """
    with path.open("rb") as file:
        file.seek(start)
        position = start
        while position < end:
            data = file.read(min(per_block * record_bytes, end - position))
            whole = len(data) - len(data) % record_bytes
            if whole:
                yield data[:whole]
            position += whole
            if whole != len(data) or not data:
                number, stopped = (position - start) // record_bytes, position + len(data) - whole
                raise UserError(
                    f"the file ends at byte {stopped}, inside {what} {number}; each takes {record_bytes} bytes"
                )


def header_lines(file: BinaryIO, mark: bytes, max_bytes: int) -> list[str]:
    """Read the lines of printable text that begin with `mark`; leaves the file at the first byte after them.

    Raises UserError if they take more than `max_bytes`.
    """
    lines: list[str] = []
    position = file.tell()
    while True:
        line = file.readline(HEAD_BYTES)
        # Binary data may happen to begin with the mark: a line of text has no control characters and an end.
        text = line.rstrip(b"\r\n")
        if not line.startswith(mark) or not line.endswith(b"\n") or any(byte < 32 and byte != 9 for byte in text):
            file.seek(position)
            return lines
        position += len(line)
        if position > max_bytes:
            raise UserError(f"the text header is longer than {max_bytes} bytes")
        lines.append(text.decode("latin-1"))


def unwrap_32_bits(raw: NDArray[np.uint32], last_us: int | None) -> NDArray[np.int64]:
    """Return times whose 32-bit counter may have wrapped: each step is the difference modulo 2^32, in +-2^31.

    raw: [n] counters; last_us: the unwrapped time before them, None at the beginning, where the first counter counts
    from 0.
    """
    counters = raw.astype(np.int64)
    before = int(counters[0]) if last_us is None else last_us
    steps = np.diff(counters, prepend=before)
    steps = (steps + 2**31) % 2**32 - 2**31
    times: NDArray[np.int64] = before + np.cumsum(steps)
    return times
