"""Small files in the formats that the readers read, written from the published layouts without the readers' code."""

from __future__ import annotations

import gzip
import itertools
import struct
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurochip.readers import RawItem, RawRecording

AEDAT2_TEXT = b"#!AER-DAT2.0\r\n# This is a raw AE data file - do not edit\r\n# Timestamps tick is 1 us\r\n"
DAT_TEXT = b"% Data file containing CD events\n% Version 2\n% Width 34\n% Height 34\n"
STREAMS = """<dv version="2.0"><node name="outInfo" path="/mainloop/Recorder/outInfo/">{}</node></dv>"""
STREAM = """<node name="{}"><attr key="compression" type="string">LZ4</attr>
<attr key="typeIdentifier" type="string">{}</attr><node name="info">
<attr key="sizeX" type="int">34</attr><attr key="sizeY" type="int">34</attr></node></node>"""


class Events(NamedTuple):
    """Columns of events, int64 [n] each."""

    x: NDArray[np.int64]
    y: NDArray[np.int64]
    p: NDArray[np.int64]
    t: NDArray[np.int64]


def some_events(n_events: int = 40, seed: int = 7, side: int = 34, last_us: int = 100_000) -> Events:
    """Return events of a side x side sensor with ascending times and both polarities."""
    random = np.random.default_rng(seed)
    x, y = random.integers(0, side, (2, n_events))
    p = random.integers(0, 2, n_events)
    p[:2] = 0, 1
    return Events(x, y, p, np.sort(random.integers(0, last_us, n_events)))


def joined(items: list[RawItem]) -> Events:
    """Return the events of all items of a recording, one after the other."""
    recordings = [item for item in items if isinstance(item, RawRecording)]
    columns = ([getattr(item, name) for item in recordings] for name in "xypt")
    return Events(*(np.concatenate([np.zeros(0, np.int64), *column]).astype(np.int64) for column in columns))


def nmnist_bin(events: Events) -> bytes:
    """5 bytes per event: x, y, polarity in bit 23 and 23 bits of time."""
    rows = zip(*(column.tolist() for column in events), strict=True)
    return b"".join(struct.pack(">BBBH", x, y, p << 7 | t >> 16, t & 0xFFFF) for x, y, p, t in rows)


def aedat2(events: Events, text: bytes = AEDAT2_TEXT) -> bytes:
    """DVS128 addresses: y in bits 8 to 14, x in 1 to 7, bit 0 is 1 for OFF."""
    rows = zip(*(column.tolist() for column in events), strict=True)
    return text + b"".join(struct.pack(">II", y << 8 | x << 1 | 1 - p, t % 2**32) for x, y, p, t in rows)


def aedat3_text(source: int = 1, device: str = "DVS128") -> bytes:
    """The header lines that cAER writes."""
    lines = ("#!AER-DAT3.1", "#Format: RAW", f"#Source {source}: {device}", "#-Source 0: DAVIS240C")
    lines += ("#Start-Time: 2016-06-16 10:38:35 (TZ+0200)", "#!END-HEADER")
    return "".join(f"{line}\r\n" for line in lines).encode()


def aedat3_packet(kind: int, body: bytes, event_bytes: int, overflow: int = 0, source: int = 1) -> bytes:
    """A packet of events of one type: its header of 28 bytes, then the events."""
    number = len(body) // event_bytes
    valid = sum(body[at] & 1 for at in range(0, len(body), event_bytes))
    at = event_bytes - 4  # of special, polarity, ADC sample and configuration events
    return struct.pack("<hhiiiiii", kind, source, event_bytes, at, overflow, number, number, valid) + body


def aedat3(events: Events, text: bytes = b"", per_packet: int = 16) -> bytes:
    """Text, a configuration packet, then polarity packets of at most `per_packet` events, with special ones between.

    A packet ends where the upper bits of the time change, which are its overflow counter.
    """
    data = (text or aedat3_text()) + aedat3_packet(7, bytes(10) * 3, 10)
    rows = zip(*(column.tolist() for column in events), strict=True)
    for overflow, group in itertools.groupby(rows, key=lambda row: row[3] >> 31):
        words = [struct.pack("<Ii", x << 17 | y << 2 | p << 1 | 1, t & 0x7FFFFFFF) for x, y, p, t in group]
        for start in range(0, len(words), per_packet):
            data += aedat3_packet(1, b"".join(words[start : start + per_packet]), 8, overflow)
            data += aedat3_packet(0, struct.pack("<Ii", 1, 0), 8, overflow)
    return data


def prophesee_dat(events: Events, text: bytes = DAT_TEXT, shifts: tuple[int, int] = (14, 28)) -> bytes:
    """Text, event type 12 and size 8, then time and x, y, polarity in one word."""
    rows = zip(*(column.tolist() for column in events), strict=True)
    words = (struct.pack("<II", t % 2**32, x | y << shifts[0] | p << shifts[1]) for x, y, p, t in rows)
    return text + b"\x0c\x08" + b"".join(words)


def aedat4(
    events: Events, compression: int = 0, per_packet: int = 16, streams: str = "", index: int | None = 0
) -> bytes:
    """Version line, IOHE table and one EVTS packet per `per_packet` events, with packets of another stream between.

    index: None leaves the packet index out (-1 in the header, as in an interrupted recording).
    """
    packets = b""
    for start in range(0, len(events.t), per_packet):
        packets += _packet(0, _pack(_event_table(events, start, start + per_packet), compression))
        packets += _packet(1, _pack(struct.pack("<II4s16x", 24, 4, b"IMUS"), compression))
    xml = STREAMS.format(streams or STREAM.format(0, "EVTS") + STREAM.format(1, "IMUS")).encode()
    start = len(_aedat4_head(compression, 0, xml))
    position = -1 if index is None else start + len(packets)
    return _aedat4_head(compression, position, xml) + packets + (b"" if index is None else b"\0" * 64)


def _aedat4_head(compression: int, position: int, xml: bytes) -> bytes:
    # Root offset, identifier, vtable of 3 fields (10 bytes and 2 of padding), table: vtable distance, compression,
    # string offset, index position; then the string.
    vtable = struct.pack("<HHHHH", 10, 20, 4, 12, 8) + b"\0\0"
    table = struct.pack("<iiIq", len(vtable), compression, 12, position)
    string = struct.pack("<I", len(xml)) + xml + b"\0"
    body = struct.pack("<I", 8 + len(vtable)) + b"IOHE" + vtable + table + string
    return b"#!AER-DAT4.0\r\n" + struct.pack("<i", len(body)) + body


def _event_table(events: Events, start: int, stop: int) -> bytes:
    rows = list(zip(*(column[start:stop].tolist() for column in events), strict=True))
    vtable = struct.pack("<HHH", 6, 8, 4) + b"\0\0"
    table = struct.pack("<iI", len(vtable), 4)
    vector = struct.pack("<I", len(rows)) + b"".join(struct.pack("<qhhB3x", t, x, y, p) for x, y, p, t in rows)
    body = struct.pack("<I", 8 + len(vtable)) + b"EVTS" + vtable + table + vector
    return struct.pack("<I", len(body)) + body


def _packet(stream: int, data: bytes) -> bytes:
    return struct.pack("<ii", stream, len(data)) + data


def _pack(data: bytes, compression: int) -> bytes:
    if compression in (1, 2):
        import lz4.frame

        return bytes(lz4.frame.compress(data, content_checksum=True))
    if compression in (3, 4):
        import zstandard

        return zstandard.ZstdCompressor(write_checksum=True).compress(data)
    return data


def write_shd(path: Path, samples: list[tuple[list[float], list[int]]], labels: list[int]) -> None:
    """Lists of float16 seconds and uint16 units, and labels, as in shd_train.h5."""
    import h5py

    with h5py.File(path, "w") as file:
        times = file.create_dataset("spikes/times", (len(samples),), h5py.vlen_dtype(np.float16))
        units = file.create_dataset("spikes/units", (len(samples),), h5py.vlen_dtype(np.uint16))
        for index, (seconds, channels) in enumerate(samples):
            times[index], units[index] = np.array(seconds, np.float16), np.array(channels, np.uint16)
        file["labels"] = np.array(labels, np.uint16)


def idx_images(pixels: NDArray[np.uint8], packed: bool = False) -> bytes:
    """IDX images: mark 00 00 08 03, shape, bytes."""
    data = b"\0\0\x08\x03" + struct.pack(">III", *pixels.shape) + pixels.tobytes()
    return gzip.compress(data, mtime=0) if packed else data


def idx_labels(labels: NDArray[np.uint8], packed: bool = False) -> bytes:
    """IDX labels: mark 00 00 08 01, length, bytes."""
    data = b"\0\0\x08\x01" + struct.pack(">I", len(labels)) + labels.tobytes()
    return gzip.compress(data, mtime=0) if packed else data


def wav(
    frames: bytes, n_channels: int, bits: int, code: int = 1, rate_hz: int = 16000, extensible: bool = False
) -> bytes:
    """RIFF, fmt, a chunk that readers must skip, and data."""
    frame_bytes = n_channels * bits // 8
    head = (0xFFFE if extensible else code, n_channels, rate_hz, rate_hz * frame_bytes, frame_bytes, bits)
    fmt = struct.pack("<HHIIHH", *head)
    if extensible:
        fmt += struct.pack("<HHIH", 22, bits, 0, code) + bytes.fromhex("000000001000800000aa00389b71")
    chunks = b"fmt " + struct.pack("<I", len(fmt)) + fmt + b"LIST" + struct.pack("<I", 3) + b"abc\0"
    chunks += b"data" + struct.pack("<I", len(frames)) + frames
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks
