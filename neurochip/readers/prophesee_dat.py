"""Prophesee and ATIS `.dat`: text lines that begin with %, two bytes (event type, event size), then 8 bytes per event.

An event is a 32-bit time (us) and a 32-bit word, little-endian. Version 2 (docs.prophesee.ai, DAT file format): x in
bits 0 to 13, y in 14 to 27, polarity in 28 to 31. Version 1 and files without a version (ATIS): x in bits 0 to 8, y
in 9 to 16, polarity in 17.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from neurochip.errors import UserError
from neurochip.events import SensorSize, check_sensor_size
from neurochip.readers.blocks import Block, Sample, recordings_of
from neurochip.readers.recording import RawItem, ReadOptions
from neurochip.readers.source import Probe, header_lines, records, unwrap_32_bits

EVENT_TYPES = {0: "Event2d", 12: "EventCD"}
EVENT_BYTES = 8
EVENT_MARKS = [bytes([code, EVENT_BYTES]) for code in EVENT_TYPES]
ATIS_SIZE = (512, 256)
"""9 bits for x and 8 for y."""
MAX_HEADER_BYTES = 2**15
USES = frozenset({"sensor_size", "sort"})


class Header(NamedTuple):
    """What precedes the events: format version, sensor size if said, event type and size, first byte of the events."""

    version: int
    sensor_size: SensorSize | None
    event_type: int
    event_bytes: int
    start: int


def matches(probe: Probe) -> bool:
    """Whether text lines with % say a version or are followed by the type and size of a two-dimensional event."""
    said, mark = _beginning(probe)
    return bool(said) and not _is_raw(said) and (mark in EVENT_MARKS or "version" in said)


def matches_raw(probe: Probe) -> bool:
    """Whether the file is Prophesee RAW: one of the text lines with % at its beginning names the encoding."""
    return _is_raw(_beginning(probe)[0])


def _beginning(probe: Probe) -> tuple[dict[str, str], bytes]:
    """Return what the text lines say and the two bytes after them; nothing if there are none or too many."""
    file = io.BytesIO(probe.head)
    try:
        return _said(file), file.read(2)
    except UserError:
        return {}, b""


def _is_raw(said: dict[str, str]) -> bool:
    return "evt" in said or said.get("format", "").startswith("EVT")


def open_items(path: Path, options: ReadOptions, remarks: list[str]) -> Iterator[RawItem]:
    """Yield the events of a `.dat` file; raises UserError for other events than two-dimensional ones."""
    with path.open("rb") as file:
        header = _header(file)
    if header.event_type not in EVENT_TYPES or header.event_bytes != EVENT_BYTES:
        raise UserError(
            f"events of type {header.event_type} with {header.event_bytes} bytes; read are types "
            f"{' and '.join(f'{code} ({name})' for code, name in EVENT_TYPES.items())} with {EVENT_BYTES} bytes"
        )
    return recordings_of(_blocks(path, header, options), Sample(header.sensor_size), options)


def _header(file: BinaryIO) -> Header:
    said = _said(file)
    if not said:
        raise UserError("no header: lines that begin with % must come first")
    values = {key: _number(key, said[key]) for key in ("version", "width", "height") if key in said}
    version = values.get("version", 0)
    if version > 2:
        raise UserError(f"header says version {version}; read are versions 1 and 2")
    size = None
    if "width" in values and "height" in values:
        size = check_sensor_size((values["width"], values["height"], 2), "width and height of the header")
    if version < 2 and size is not None and (size[0] > ATIS_SIZE[0] or size[1] > ATIS_SIZE[1]):
        said_version = f"version {version}" if version else "no version"
        raise UserError(
            f"header says {size[0]} x {size[1]} pixels and {said_version}; before version 2 there are at most "
            f"{ATIS_SIZE[0]} x {ATIS_SIZE[1]}, and '% Version 2' is missing"
        )
    kind = file.read(2)
    if len(kind) != 2:
        raise UserError("the file ends before the type and size of its events")
    return Header(version, size, kind[0], kind[1], file.tell())


def _said(file: BinaryIO) -> dict[str, str]:
    """Return the keywords of the text lines and what follows them, empty without such lines; raises UserError."""
    lines = header_lines(file, b"%", MAX_HEADER_BYTES)
    words = [(*line.lstrip("% ").replace(":", " ", 1).split(maxsplit=1), "", "") for line in lines]
    return {key.lower(): value.strip() for key, value, *_ in words}


def _number(key: str, text: str) -> int:
    if not text.isdecimal() or len(text) > 6:
        raise UserError(f"header says {key} {text[:40]!r}; it must be an integer")
    return int(text)


def _blocks(path: Path, header: Header, options: ReadOptions) -> Iterator[Block]:
    last = None
    for data in records(path, header.start, path.stat().st_size, EVENT_BYTES, options.chunk_events, "event"):
        pairs = np.frombuffer(data, "<u4").reshape(-1, 2)
        times = unwrap_32_bits(pairs[:, 0], last)
        last = int(times[-1])
        words = pairs[:, 1].astype(np.int64)
        if header.version < 2:
            yield Block(words & 0x1FF, words >> 9 & 0xFF, words >> 17 & 1, times)
        else:
            yield Block(words & 0x3FFF, words >> 14 & 0x3FFF, words >> 28, times)
