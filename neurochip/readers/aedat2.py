"""AEDAT 2.0 of jAER: text lines that begin with #, then 32-bit address and 32-bit time (us), big-endian, per event.

What the bits of an address mean depends on the camera. Coordinates are those of the address; jAER mirrors x on the
screen. In `dvs128`, bit 0 is 0 for ON (jAER's extractor; the POKER-DVS arrays, made from such files, agree).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neurochip.errors import UserError
from neurochip.readers.blocks import Block, Sample, recordings_of
from neurochip.readers.recording import RawItem, ReadOptions
from neurochip.readers.source import Probe, header_lines, records, unwrap_32_bits

MAGIC = b"#!AER-DAT2.0"
EVENT_BYTES = 8
MAX_HEADER_BYTES = 2**24
USES = frozenset({"sensor_size", "address_layout", "sort"})


@dataclass(frozen=True)
class AddressLayout:
    """Where an address holds column, row and polarity, and which bits mark an event that is no pixel event."""

    width: int
    height: int
    x_shift: int
    x_bits: int
    y_shift: int
    y_bits: int
    p_shift: int
    on: int
    other_bits: int
    zero_bits: int

    def decode(self, addresses: NDArray[np.int64], times: NDArray[np.int64]) -> Block:
        """Return the events of addresses that are pixel events."""
        x = addresses >> self.x_shift & (1 << self.x_bits) - 1
        y = addresses >> self.y_shift & (1 << self.y_bits) - 1
        p = (addresses >> self.p_shift & 1) == self.on
        return Block(x, y, p.astype(np.uint8), times)


def _davis(width: int, height: int) -> AddressLayout:
    """DAVIS: bit 31 marks frames and motion samples, bit 10 external signals, bit 11 is 1 for ON."""
    return AddressLayout(width, height, 12, 10, 22, 9, 11, 1, other_bits=1 << 31 | 1 << 10, zero_bits=0)


LAYOUTS = {
    "dvs128": AddressLayout(128, 128, 1, 7, 8, 7, 0, 0, other_bits=1 << 15, zero_bits=0xFFFF0000),
    "davis240": _davis(240, 180),
    "davis346": _davis(346, 260),
    "davis640": _davis(640, 480),
}


def matches(probe: Probe) -> bool:
    """Whether the file begins with the version line of AEDAT 2.0."""
    return probe.head.startswith(MAGIC)


def open_items(path: Path, options: ReadOptions, remarks: list[str]) -> Iterator[RawItem]:
    """Yield the events of an AEDAT 2.0 file; raises UserError if the camera is not one of LAYOUTS."""
    with path.open("rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            raise UserError(f"the file does not begin with {MAGIC.decode()}")
        file.seek(0)
        lines = header_lines(file, b"#", MAX_HEADER_BYTES)
        start = file.tell()
    name = _layout_name(lines, options.address_layout)
    layout = LAYOUTS[name]
    blocks = _blocks(path, start, name, options, remarks)
    return recordings_of(blocks, Sample((layout.width, layout.height, 2)), options)


def _layout_name(lines: list[str], asked: str | None) -> str:
    if asked is not None:
        if asked not in LAYOUTS:
            raise UserError(f"address_layout = {asked!r} is unknown; known are {', '.join(LAYOUTS)}")
        return asked
    chips = [line.split(":", 1)[1].strip() for line in lines if line.startswith("# AEChip:")]
    if not chips:
        return "dvs128"
    for name in LAYOUTS:
        if name in chips[0].lower():
            return name
    raise UserError(f"recorded with {chips[0][:80]!r}; address_layout must say how to read it: {', '.join(LAYOUTS)}")


def _blocks(path: Path, start: int, name: str, options: ReadOptions, remarks: list[str]) -> Iterator[Block]:
    layout = LAYOUTS[name]
    last, skipped = None, 0
    end = path.stat().st_size
    try:
        for data in records(path, start, end, EVENT_BYTES, options.chunk_events, "event"):
            words = np.frombuffer(data, ">u4").reshape(-1, 2)
            addresses, times = words[:, 0].astype(np.int64), unwrap_32_bits(words[:, 1].astype(np.uint32), last)
            last = int(times[-1])
            foreign = np.flatnonzero(addresses & layout.zero_bits)
            good = int(foreign[0]) if len(foreign) else len(addresses)
            pixel = (addresses[:good] & layout.other_bits) == 0
            skipped += good - int(np.count_nonzero(pixel))
            yield layout.decode(addresses[:good][pixel], times[:good][pixel])
            if good < len(addresses):
                raise UserError(
                    f"address {addresses[good]:#x} is none of {name}; address_layout must say how to read the file: "
                    f"{', '.join(LAYOUTS)}"
                )
    finally:
        if skipped:
            remarks.append(
                f"{skipped} events that are no pixel events (external signals, frames, motion) were left out"
            )
