"""RIFF/WAVE sounds: PCM with 8, 16, 24 or 32 bits and IEEE float with 32 or 64, one channel of them.

Samples come out as int32 with full scale 2^31: PCM of b bits (8-bit is unsigned around 128) is shifted left by 32 - b,
a float in [-1, 1] becomes round(value * 2^31), and +1 the largest int32.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurochip.errors import UserError
from neurochip.readers.recording import RawItem, RawSound, ReadOptions
from neurochip.readers.source import Probe, records

PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE
WIDTHS = {PCM: (8, 16, 24, 32), FLOAT: (32, 64)}
GUID_TAIL = bytes.fromhex("000000001000800000aa00389b71")
MAX_CHANNELS = 256
MAX_RATE_HZ = 2**24
MAX_CHUNKS = 4096
SOUND_ITEM_SAMPLES = 2**20
USES = frozenset({"channel"})


class Header(NamedTuple):
    """How samples are stored, and the first byte of them and the one after the last."""

    code: int
    n_channels: int
    rate_hz: int
    bits: int
    start: int
    end: int


def matches(probe: Probe) -> bool:
    """Whether the file is a RIFF file of type WAVE."""
    return probe.head.startswith(b"RIFF") and probe.head[8:12] == b"WAVE"


def open_items(path: Path, options: ReadOptions, remarks: list[str]) -> Iterator[RawItem]:
    """Yield one channel of a sound, in items of at most 2^20 samples."""
    with path.open("rb") as file:
        header = _header(file, path.stat().st_size)
    channel = options.channel
    if channel is None and header.n_channels > 1:
        raise UserError(f"has {header.n_channels} channels; channel must say which one, 0 to {header.n_channels - 1}")
    channel = channel or 0
    if not 0 <= channel < header.n_channels:
        raise UserError(f"channel = {channel} is not in the file; allowed is 0 to {header.n_channels - 1}")
    return _sounds(path, header, channel)


def _sounds(path: Path, header: Header, channel: int) -> Iterator[RawItem]:
    frame_bytes = header.n_channels * header.bits // 8
    count = 0
    for data in records(path, header.start, header.end, frame_bytes, SOUND_ITEM_SAMPLES // header.n_channels, "frame"):
        raw = np.frombuffer(data, np.uint8).reshape(-1, header.n_channels, header.bits // 8)[:, channel]
        samples, good = _full_scale(np.ascontiguousarray(raw), header)
        if good:
            yield RawSound(samples[:good], header.rate_hz, continues=count > 0)
        if good < len(raw):
            raise UserError(f"sample {count + good} is no number from -1 to 1, which is the range of a float sound")
        count += good
    if count == 0:
        yield RawSound(np.zeros(0, np.int32), header.rate_hz)


def _full_scale(raw: NDArray[np.uint8], header: Header) -> tuple[NDArray[np.int32], int]:
    """Return samples as int32, and how many at the beginning are good."""
    if header.code == FLOAT:
        values = raw.view(f"<f{header.bits // 8}")[:, 0].astype(np.float64)
        bad = np.flatnonzero(~(np.abs(values) <= 1.0))
        scaled = np.rint(np.nan_to_num(np.clip(values, -1, 1)) * 2.0**31)
        return np.minimum(scaled, 2.0**31 - 1).astype(np.int32), int(bad[0]) if len(bad) else len(values)
    padded = np.zeros((len(raw), 4), np.uint8)
    padded[:, 4 - header.bits // 8 :] = raw
    samples = padded.view("<i4")[:, 0].astype(np.int32)
    return (samples ^ np.int32(-(2**31)) if header.bits == 8 else samples), len(samples)


def _header(file: BinaryIO, size: int) -> Header:
    start = file.read(12)
    if len(start) < 12 or start[:4] != b"RIFF" or start[8:] != b"WAVE":
        raise UserError("the file does not begin with RIFF, a size and WAVE")
    layout: tuple[int, int, int, int] | None = None
    for _ in range(MAX_CHUNKS):
        prefix = file.read(8)
        if len(prefix) < 8:
            raise UserError(f"the file ends at byte {size} without its {'data' if layout else 'fmt and data'}")
        name, length = prefix[:4], struct.unpack("<I", prefix[4:])[0]
        if name == b"data":
            if layout is None:
                raise UserError("the samples come before the fmt chunk that says how they are stored")
            return Header(*layout, file.tell(), file.tell() + length)
        following = file.tell() + length + length % 2
        if name == b"fmt ":
            layout = _layout(file.read(min(length, 40)))
        file.seek(following)
    raise UserError(f"no samples among the first {MAX_CHUNKS} chunks")


def _layout(fmt: bytes) -> tuple[int, int, int, int]:
    if len(fmt) < 16:
        raise UserError(f"the fmt chunk has {len(fmt)} bytes; it must have at least 16")
    code, n_channels, rate_hz, _rate_bytes, frame_bytes, bits = struct.unpack("<HHIIHH", fmt[:16])
    if code == EXTENSIBLE and len(fmt) >= 40 and fmt[26:40] == GUID_TAIL:
        code = struct.unpack("<H", fmt[24:26])[0]
    if bits not in WIDTHS.get(code, ()):
        raise UserError(
            f"samples of format {code} with {bits} bits; read are PCM (1) with 8, 16, 24, 32 and float (3) with 32, 64"
        )
    if not (1 <= n_channels <= MAX_CHANNELS and 1 <= rate_hz <= MAX_RATE_HZ):
        raise UserError(
            f"{n_channels} channels at {rate_hz} Hz; allowed are 1 to {MAX_CHANNELS} at 1 to {MAX_RATE_HZ} Hz"
        )
    if frame_bytes != n_channels * bits // 8:
        raise UserError(f"a frame of {frame_bytes} bytes for {n_channels} channels of {bits} bits")
    return code, n_channels, rate_hz, bits
