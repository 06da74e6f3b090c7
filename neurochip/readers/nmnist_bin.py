"""N-MNIST and N-Caltech101 `.bin`: 5 bytes per event, no header (Orchard et al. 2015, garrickorchard.com/datasets).

Bytes of an event: x, y, then 24 bits: polarity (1 = ON), time in microseconds (23 bits, big-endian). An event with
y = 240 is no pixel: it says that the counter overflowed, and this and all later times grow by 2^13 microseconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neurochip.errors import UserError
from neurochip.readers.blocks import Block, Sample, recordings_of
from neurochip.readers.recording import RawItem, ReadOptions
from neurochip.readers.source import Probe, records

EVENT_BYTES = 5
OVERFLOW_ROW = 240
OVERFLOW_US = 2**13
NMNIST_SIZE = (34, 34, 2)
USES = frozenset({"sensor_size", "sort"})
RECOGNISED_EVENTS = 4096


def matches(probe: Probe) -> bool:
    """Whether the file is whole events whose first 4096 ascend in time and lie in 34 x 34 pixels.

    Also accepted are 16 or more events that ascend in time with y up to 240: the larger frames of N-Caltech101.
    """
    if probe.size % EVENT_BYTES:
        return False
    n_events = min(len(probe.head) // EVENT_BYTES, RECOGNISED_EVENTS)
    x, y, _p, t = _decode(probe.head[: n_events * EVENT_BYTES], 0)
    if (np.diff(t) < 0).any():
        return False
    pixel = y != OVERFLOW_ROW
    small = bool((x[pixel] < NMNIST_SIZE[0]).all() and (y[pixel] < NMNIST_SIZE[1]).all())
    return small or (n_events >= 16 and bool((y <= OVERFLOW_ROW).all()))


def open_items(path: Path, options: ReadOptions, remarks: list[str]) -> Iterator[RawItem]:
    """Yield the events of an N-MNIST file; 34 x 34 pixels unless `options.sensor_size` says otherwise."""
    size = options.sensor_size or NMNIST_SIZE
    if size[1] > OVERFLOW_ROW or size[0] > 256:
        raise UserError(
            f"sensor_size = {list(size)} cannot be stored in this format; allowed is up to 256 x 240 pixels"
        )
    return recordings_of(_blocks(path, options), Sample(NMNIST_SIZE), options)


def _blocks(path: Path, options: ReadOptions) -> Iterator[Block]:
    elapsed_us = 0
    size = path.stat().st_size
    for data in records(path, 0, size, EVENT_BYTES, options.chunk_events, "event"):
        block = _decode(data, elapsed_us)
        pixel = block.y != OVERFLOW_ROW
        elapsed_us += OVERFLOW_US * int(np.count_nonzero(~pixel))
        yield Block(*(column[pixel] for column in block))


def _decode(data: bytes, elapsed_us: int) -> Block:
    """Return all events, those that say overflow included."""
    fields: NDArray[np.int64] = np.frombuffer(data, np.uint8).reshape(-1, EVENT_BYTES).astype(np.int64)
    x, y, high, middle, low = fields.T
    overflows = np.cumsum(y == OVERFLOW_ROW)
    t = ((high & 0x7F) << 16 | middle << 8 | low) + elapsed_us + OVERFLOW_US * overflows
    return Block(x, y, high >> 7, t)
