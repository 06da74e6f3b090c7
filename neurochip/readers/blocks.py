"""Decoded events become recordings: one place checks order, range and size of everything that readers deliver."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurochip.errors import UserError
from neurochip.events import MAX_TIME_US, SensorSize
from neurochip.readers.recording import RawRecording, ReadOptions

MAX_COORDINATE = 32766
MAX_SORTED_EVENTS = 2**24
"""`sort` holds a whole recording in memory, so only one of at most this many events can be sorted."""


class Block(NamedTuple):
    """Decoded events, any integer type: column, row, polarity and time in microseconds, each [n]."""

    x: NDArray[Any]
    y: NDArray[Any]
    p: NDArray[Any]
    t: NDArray[np.int64]

    def part(self, start: int, stop: int) -> Block:
        """Return the events from `start` up to `stop`."""
        return Block(*(column[start:stop] for column in self))


@dataclass(frozen=True)
class Sample:
    """What is known of a sample besides its events; `name` begins its error messages."""

    sensor_size: SensorSize | None
    label: int | str | None = None
    split: str | None = None
    name: str = ""


def recordings_of(blocks: Iterable[Block], sample: Sample, options: ReadOptions) -> Iterator[RawRecording]:
    """Yield the events of one sample in items of at most `options.chunk_events`; a sample without events is one item.

    Raises UserError at the first event that is out of order, range or sensor, after all events before it.
    """
    size = options.sensor_size or sample.sensor_size
    last, count = None, 0
    source = _sorted(blocks) if options.sort else blocks
    for block in source:
        for start in range(0, len(block.t), options.chunk_events):
            part = block.part(start, start + options.chunk_events)
            good, reason = _good_prefix(part, size, last)
            if good:
                last = int(part.t[good - 1])
                yield _recording(part.part(0, good), sample, size, continues=count > 0)
                count += good
            if reason:
                raise UserError(f"{sample.name}event {count}: {reason}")
    if count == 0:
        nothing = np.zeros(0, np.int64)
        yield _recording(Block(nothing, nothing, nothing, nothing), sample, size, continues=False)


def _recording(block: Block, sample: Sample, size: SensorSize | None, continues: bool) -> RawRecording:
    columns = zip(block, (np.int32, np.int32, np.uint8, np.int64), strict=True)
    x, y, p, t = (np.ascontiguousarray(values, dtype=kind) for values, kind in columns)
    return RawRecording(x, y, p, t, sample.label, size, sample.split, continues)


def _good_prefix(block: Block, size: SensorSize | None, last: int | None) -> tuple[int, str]:
    """Return how many events at the beginning are good, and what is wrong with the next one ("" if none is)."""
    width, height, polarities = size or (MAX_COORDINATE + 1, MAX_COORDINATE + 1, 2)
    of_sensor = f" for sensor_size {size}" if size else ""
    good, reason = len(block.t), ""
    before = np.concatenate([block.t[:1] if last is None else [last], block.t[:-1]])
    tests = [(block.t < before, "the time falls from {before} to {value} us; it may only stay or grow")]
    tests.append(
        (
            (block.t > MAX_TIME_US) | (block.t < -MAX_TIME_US),
            f"t = {{value}} us; allowed is -{MAX_TIME_US} to {MAX_TIME_US}",
        )
    )
    for name, values, high in (("x", block.x, width - 1), ("y", block.y, height - 1), ("p", block.p, polarities - 1)):
        outside = (values < 0) | (values > high)
        tests.append((outside, f"{name} = {{value}}; allowed is 0 to {high}{of_sensor}"))
    for (broken, text), values in zip(tests, (block.t, block.t, *block[:3]), strict=True):
        at = int(np.argmax(broken)) if broken.any() else good
        if at < good:
            good, reason = at, text.format(value=int(values[at]), before=int(before[at]))
    return good, reason


def _sorted(blocks: Iterable[Block]) -> Iterator[Block]:
    """Yield all events as one block in the order of their times, equal times as they were; damage comes after them."""
    held: list[Block] = []
    damage: UserError | None = None
    count = 0
    try:
        for block in blocks:
            held.append(block)
            count += len(block.t)
            if count > MAX_SORTED_EVENTS:
                break
    except UserError as error:
        damage = error
    if count > MAX_SORTED_EVENTS:
        raise UserError(
            f"sort holds a recording in memory and takes at most {MAX_SORTED_EVENTS} events; there are more"
        )
    if held:
        whole = Block(*(np.concatenate(columns) for columns in zip(*held, strict=True)))
        order = np.argsort(whole.t, kind="stable")
        yield Block(*(column[order] for column in whole))
    if damage is not None:
        raise damage
