"""AEDAT 4.0 of DV: a FlatBuffers header, then packets of one stream each, every one compressed by itself.

Layout (docs.inivation.com, AEDAT 4.0): 14 bytes of version line; the size-prefixed table IOHE (compression, position
of the packet index, XML that lists the streams); packets: stream id and size, 32 bits each, then the packet, which
unpacks to a size-prefixed table EVTS with a vector of events (int64 t, int16 x, int16 y, bool polarity, 16 bytes).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple
from xml.etree import ElementTree

import numpy as np

from neurochip.errors import UserError
from neurochip.events import SensorSize, check_sensor_size
from neurochip.readers import compressed
from neurochip.readers.blocks import Block, Sample, recordings_of
from neurochip.readers.flat_table import FlatTable
from neurochip.readers.recording import RawItem, ReadOptions
from neurochip.readers.source import Probe

MAGIC = b"#!AER-DAT4.0\r\n"
MAX_HEADER_BYTES = 2**20
MAX_PACKET_BYTES = 2**26
EVENT_KIND = "EVTS"
IDENTIFIER_END = 12  # length, root offset and identifier, four bytes each
EVENT = np.dtype([("t", "<i8"), ("x", "<i2"), ("y", "<i2"), ("p", "u1"), ("pad", "V3")])
COMPRESSIONS: dict[int, compressed.Decompress] = {
    0: compressed.plain,
    1: compressed.lz4_frame,
    2: compressed.lz4_frame,
    3: compressed.zstandard_frame,
    4: compressed.zstandard_frame,
}
USES = frozenset({"sensor_size", "stream", "sort"})


class Header(NamedTuple):
    """What the head of the file says: how packets are unpacked, where they lie, and which stream is read."""

    unpack: compressed.Decompress
    start: int
    end: int | None
    kinds: dict[int, str]
    stream: int
    sensor_size: SensorSize | None


def matches(probe: Probe) -> bool:
    """Whether the file begins with the version line of AEDAT 4.0."""
    return probe.head.startswith(MAGIC[:12])


def open_items(path: Path, options: ReadOptions, remarks: list[str]) -> Iterator[RawItem]:
    """Yield the events of one stream; t counts from the first event, because the camera's clock is the calendar's."""
    with path.open("rb") as file:
        header = _header(file, path.stat().st_size, options.stream)
    if header.end is None:
        remarks.append("the recording was not closed (it has no packet index); its packets were read up to the end")
    return recordings_of(_blocks(path, header), Sample(header.sensor_size), options)


def _header(file: BinaryIO, size: int, asked: int | None) -> Header:
    if file.read(len(MAGIC)) != MAGIC:
        raise UserError(f"the file does not begin with {MAGIC[:12].decode()} and a line end")
    length = _sized(file, size, MAX_HEADER_BYTES, "the header")
    table = FlatTable.root(file.read(length), b"IOHE")
    compression = table.number(0, "<i", 0)
    if compression not in COMPRESSIONS:
        raise UserError(f"compression {compression} in the header; known are 0 (none), 1, 2 (LZ4), 3, 4 (Zstandard)")
    index = table.number(1, "<q", -1)
    start = file.tell()
    if index != -1 and index < start:
        raise UserError(f"the header puts the packet index at byte {index}; it must lie after byte {start}, or be -1")
    kinds, sizes = _streams(table.text(2))
    stream = _chosen([number for number, kind in kinds.items() if kind == EVENT_KIND], asked)
    return Header(COMPRESSIONS[compression], start, None if index == -1 else index, kinds, stream, sizes[stream])


def _sized(file: BinaryIO, size: int, limit: int, what: str) -> int:
    """Read a 32-bit length and judge it against what is left of the file."""
    prefix = file.read(4)
    if len(prefix) < 4:
        raise UserError(f"the file ends at byte {size}, before {what}")
    length = int(struct.unpack("<i", prefix)[0])
    left = size - file.tell()
    if not 8 <= length <= limit:
        raise UserError(f"{what} declares {length} bytes; allowed are 8 to {limit}")
    if length > left:
        raise UserError(f"{what} declares {length} bytes and the file has {left} left")
    return length


def _streams(text: str) -> tuple[dict[int, str], dict[int, SensorSize | None]]:
    """Return the kind and the sensor size of each stream that the XML lists, by id."""
    # Entities could unfold to any size, and the format has no use for them.
    if "<!" in text:
        raise UserError("the header's XML holds a declaration; none is allowed")
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise UserError(f"the header's XML is damaged ({error})") from None
    kinds: dict[int, str] = {}
    sizes: dict[int, SensorSize | None] = {}
    for node in root.iterfind("./node[@name='outInfo']/node"):
        values = {attribute.get("key"): attribute.text or "" for attribute in node.iter("attr")}
        number, kind = _whole("stream id", node.get("name", "")), values.get("typeIdentifier", "")
        kinds[number] = kind
        sizes[number] = _size(values.get("sizeX"), values.get("sizeY")) if kind == EVENT_KIND else None
    return kinds, sizes


def _chosen(streams: list[int], asked: int | None) -> int:
    found = ", ".join(map(str, sorted(streams))) or "none"
    if asked is None and len(streams) == 1:
        return streams[0]
    if asked is None:
        raise UserError(f"the file must hold one event stream, or stream must say which (event streams: {found})")
    if asked not in streams:
        raise UserError(f"stream = {asked} is no event stream of the file (event streams: {found})")
    return asked


def _size(width: str | None, height: str | None) -> SensorSize | None:
    if width is None or height is None:
        return None
    return check_sensor_size((_whole("sizeX", width), _whole("sizeY", height), 2), "sizeX and sizeY of the header")


def _whole(what: str, text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 9):
        raise UserError(f"{what} in the header is {text[:40]!r}; it must be an integer from 0")
    return int(text)


def _blocks(path: Path, header: Header) -> Iterator[Block]:
    """Yield the events of each packet of the stream; raises UserError at the first packet that is damaged."""
    size = path.stat().st_size
    end = size if header.end is None else min(header.end, size)
    first_us, number = None, 0
    with path.open("rb") as file:
        file.seek(header.start)
        while file.tell() < end:
            name = f"packet {number} at byte {file.tell()}"
            prefix = file.read(4)
            length = _sized(file, end, MAX_PACKET_BYTES, name)
            stream, data = struct.unpack("<i", prefix)[0], file.read(length)
            if stream == header.stream:
                events = _events(data, header.unpack, name)
                if len(events):
                    first_us = events["t"][0] if first_us is None else first_us
                    # The difference is taken modulo 2^64, so damaged times are found to fall, not to overflow.
                    times = (events["t"].view("<u8") - first_us.view("<u8")).view("<i8").astype(np.int64)
                    yield Block(events["x"], events["y"], events["p"], times)
            else:
                _check_foreign(stream, data, header, name)
            number += 1
    if header.end is not None and header.end > size:
        raise UserError(f"the file ends at byte {size}; its header promises a packet index at byte {header.end}")


def _check_foreign(stream: int, data: bytes, header: Header, name: str) -> None:
    """Refuse a packet that is not of the kind the header lists for its stream: its events must not get lost."""
    try:
        if stream not in header.kinds:
            raise UserError(f"stream {stream} is not among those of the header, {sorted(header.kinds)}")
        kind = header.unpack(data, MAX_PACKET_BYTES, IDENTIFIER_END)[8:IDENTIFIER_END].decode("latin-1")
        if kind != header.kinds[stream]:
            raise UserError(f"kind {kind!r} where stream {stream} has {header.kinds[stream]!r}")
    except UserError as error:
        raise UserError(f"{name}: {error}") from None


def _events(data: bytes, unpack: compressed.Decompress, name: str) -> np.ndarray[tuple[int], np.dtype[np.void]]:
    try:
        content = unpack(data, MAX_PACKET_BYTES)
        if len(content) < 12 or struct.unpack_from("<I", content)[0] != len(content) - 4:
            raise UserError(f"its {len(content)} unpacked bytes do not begin with their own length")
        return np.frombuffer(FlatTable.root(content[4:], b"EVTS").structs(0, EVENT.itemsize), EVENT)
    except UserError as error:
        raise UserError(f"{name}: {error}") from None
