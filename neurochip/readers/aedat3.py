"""AEDAT 3.1 of cAER: text lines up to `#!END-HEADER`, then packets of events of one type, little-endian.

A packet (docs.inivation.com, AEDAT 3.1) has 28 bytes of header, then its events. A polarity event is a 32-bit word (bit
0: valid, bit 1: ON, bits 2 to 16: y, bits 17 to 31: x) and a signed 32-bit time that counts to 2^31 - 1:

    t = 2^31 * overflow counter of the packet + time of the event    (us)

Pixel 0, 0 is the upper left one. AEDAT 3.0 has it at the lower left and no end of its header; it is not read.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurochip.errors import UserError
from neurochip.events import SensorSize
from neurochip.readers.blocks import Block, Sample, recordings_of
from neurochip.readers.recording import RawItem, ReadOptions
from neurochip.readers.source import HEAD_BYTES, Probe

MAGIC = b"#!AER-DAT3.1"
END_LINE = b"#!END-HEADER"
MAX_HEADER_BYTES = 2**20
PACKET = struct.Struct("<hhiiiiii")
EVENT = np.dtype([("word", "<u4"), ("t", "<i4")])
TIME_AT = 4
POLARITY = 1
LAST_TYPE, FIRST_PRIVATE_TYPE = 13, 100
DEVICES: dict[str, SensorSize] = {
    "dvs128": (128, 128, 2),
    "davis128": (128, 128, 2),
    "davis240": (240, 180, 2),
    "davis346": (346, 260, 2),
    "davis640": (640, 480, 2),
}
Piece = tuple[int, NDArray[np.void]]
"""The overflow counter of a packet, and events of it."""
USES = frozenset({"sensor_size", "stream", "sort"})


class Header(NamedTuple):
    """The first byte of the packets, and the sensor of each source that the text lists, None for an unknown one."""

    start: int
    sensors: dict[int, SensorSize | None]


class Packet(NamedTuple):
    """The fields of a packet header that are used."""

    kind: int
    source: int
    event_bytes: int
    overflow: int
    n_events: int


def matches(probe: Probe) -> bool:
    """Whether the file begins with the version line of AEDAT 3.1."""
    return probe.head.startswith(MAGIC)


def open_items(path: Path, options: ReadOptions, remarks: list[str]) -> Iterator[RawItem]:
    """Yield the polarity events of one source; raises UserError if there are several and `stream` says none."""
    header = read_header(path)
    return recordings_of(event_blocks(path, header, options, remarks), Sample(_sensor(header, options.stream)), options)


def read_header(path: Path) -> Header:
    """Return what the text lines say; raises UserError for another version or format, or lines without an end."""
    sensors: dict[int, SensorSize | None] = {}
    with path.open("rb") as file:
        line = file.readline(HEAD_BYTES)
        if line.rstrip(b"\r\n") != MAGIC:
            raise UserError(f"the file does not begin with {MAGIC.decode()} and a line end")
        while line.rstrip(b"\r\n") != END_LINE:
            line = file.readline(HEAD_BYTES)
            if not line.startswith(b"#") or not line.endswith(b"\n") or file.tell() > MAX_HEADER_BYTES:
                raise UserError(
                    f"the text lines end at byte {file.tell() - len(line)} without the line {END_LINE.decode()}"
                )
            text = line.decode("latin-1").strip()
            if text.startswith("#Format:") and text[8:].strip() != "RAW":
                raise UserError(f"the header says format {text[8:].strip()[:40]!r}; only RAW is read")
            if found := re.fullmatch(r"#Source (\d{1,5}): *(.*)", text, re.ASCII):
                sensors[int(found[1])] = _device(found[2])
        return Header(file.tell(), sensors)


def event_blocks(path: Path, header: Header, options: ReadOptions, remarks: list[str]) -> Iterator[Block]:
    """Yield the valid polarity events in the order of the file, about `options.chunk_events` at a time.

    How many are marked invalid is added to `remarks`. Neither the order of times nor coordinates are checked. Raises
    UserError at the first damaged packet, after all events before it.
    """
    n_invalid = 0
    try:
        for pieces in _grouped(_polarity_events(path, header, options), options.chunk_events):
            block = _decoded(pieces)
            n_invalid += sum(len(events) for _, events in pieces) - len(block.t)
            yield block
    finally:
        if n_invalid:
            remarks.append(f"{n_invalid} events that are marked invalid, and so are no pixel events, were left out")


def _grouped(pieces: Iterator[Piece], n_events: int) -> Iterator[list[Piece]]:
    """Yield pieces together that have `n_events` or more; damage is raised after the pieces before it."""
    held: list[Piece] = []
    count = 0
    damage: UserError | None = None
    try:
        for piece in pieces:
            held.append(piece)
            count += len(piece[1])
            if count >= n_events:
                yield held
                held, count = [], 0
    except UserError as error:
        damage = error
    if held:
        yield held
    if damage is not None:
        raise damage


def _polarity_events(path: Path, header: Header, options: ReadOptions) -> Iterator[Piece]:
    """Yield the overflow counter and the events of every polarity packet of the source, long packets in pieces."""
    size, number, source = path.stat().st_size, 0, options.stream
    with path.open("rb") as file:
        file.seek(header.start)
        while file.tell() < size:
            name = f"packet {number} at byte {file.tell()}"
            packet = _packet(file, size, name)
            is_wanted = packet.kind == POLARITY and (source is None or packet.source == source)
            if is_wanted:
                source = packet.source
                for events in _pieces(file, packet.n_events, options.chunk_events, name):
                    yield packet.overflow, events
            elif packet.kind == POLARITY and options.stream is None:
                raise UserError(
                    f"{name}: holds events of source {packet.source}, those before are of source {source}; stream must "
                    "say which is read"
                )
            else:
                file.seek(packet.n_events * packet.event_bytes, 1)
            number += 1


def _packet(file: BinaryIO, size: int, name: str) -> Packet:
    """Read the header of a packet and judge it against the format and what is left of the file."""
    data = file.read(PACKET.size)
    if len(data) < PACKET.size:
        raise UserError(f"{name}: the file ends at byte {size}, inside the {PACKET.size} bytes of its header")
    kind, source, event_bytes, time_at, overflow, capacity, n_events, n_valid = PACKET.unpack(data)
    if not (0 <= kind <= LAST_TYPE or kind >= FIRST_PRIVATE_TYPE):
        raise UserError(f"{name}: event type {kind}; the format has 0 to {LAST_TYPE} and {FIRST_PRIVATE_TYPE} upwards")
    if kind == POLARITY and (event_bytes, time_at) != (EVENT.itemsize, TIME_AT):
        raise UserError(f"{name}: polarity events of {event_bytes} bytes with the time at {time_at}; they have 8, at 4")
    if event_bytes < 1 or overflow < 0 or n_events < 0 or n_events != capacity or not 0 <= n_valid <= n_events:
        raise UserError(
            f"{name}: {n_events} events of {event_bytes} bytes, {n_valid} valid, in room for {capacity}, overflow "
            f"counter {overflow}; none may be negative, and a file has as many events as it has room for"
        )
    left = size - file.tell()
    if n_events * event_bytes > left:
        raise UserError(f"{name}: declares {n_events} events of {event_bytes} bytes and the file has {left} bytes left")
    return Packet(kind, source, event_bytes, overflow, n_events)


def _pieces(file: BinaryIO, n_events: int, per_piece: int, name: str) -> Iterator[NDArray[np.void]]:
    """Yield the events of a polarity packet; raises UserError at the first negative time, after the events before."""
    while n_events:
        data = file.read(min(n_events, per_piece) * EVENT.itemsize)
        events = np.frombuffer(data, EVENT, count=len(data) // EVENT.itemsize)
        if not len(events):
            raise UserError(f"{name}: the file ends inside it; it changed while it was read")
        negative = np.flatnonzero(events["t"] < 0)
        if len(negative):
            yield events[: negative[0]]
            raise UserError(f"{name}: an event has the time {events['t'][negative[0]]}; none may be negative")
        yield events
        n_events -= len(events)


def _decoded(pieces: list[Piece]) -> Block:
    """Return the valid events."""
    events = np.concatenate([part for _, part in pieces])
    overflows = np.repeat(np.array([overflow for overflow, _ in pieces], np.int64), [len(part) for _, part in pieces])
    valid = events["word"] & 1 == 1
    words, times = events["word"][valid], events["t"][valid].astype(np.int64)
    x, y = (words >> 17).astype(np.int16), (words >> 2 & 0x7FFF).astype(np.int16)
    return Block(x, y, (words >> 1 & 1).astype(np.uint8), (overflows[valid] << 31) + times)


def _sensor(header: Header, source: int | None) -> SensorSize | None:
    """Return the sensor of the source that is read, None if the text does not say it; refuses one not listed."""
    if source is not None:
        if header.sensors and source not in header.sensors:
            found = ", ".join(map(str, sorted(header.sensors)))
            raise UserError(f"stream = {source} is no source of the file (sources: {found})")
        return header.sensors.get(source)
    return next(iter(header.sensors.values())) if len(header.sensors) == 1 else None


def _device(text: str) -> SensorSize | None:
    known = (size for name, size in DEVICES.items() if text.lower().startswith(name))
    return next(known, None)
