"""What a reader delivers: events, images or sounds as the file holds them, and what it may be told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neurochip.events import SensorSize


@dataclass(frozen=True, eq=False)
class RawRecording:
    """Events of one sample, or the next part of one.

    x, y: column and row, int32 [n]; p: 1 = ON, 0 = OFF, uint8 [n]; t: microseconds, int64 [n], never falling within
    a sample. sensor_size: (width, height, polarities), or None where the format does not say. A sample goes on in the
    next item if that item's `continues` is True.
    """

    x: NDArray[np.int32]
    y: NDArray[np.int32]
    p: NDArray[np.uint8]
    t: NDArray[np.int64]
    label: int | str | None = None
    sensor_size: SensorSize | None = None
    split: str | None = None
    continues: bool = False

    @property
    def n_events(self) -> int:
        """Number of events in this item."""
        return len(self.t)


@dataclass(frozen=True, eq=False)
class RawImage:
    """One image: `pixels` uint8 [height, width] or [height, width, 3]."""

    pixels: NDArray[np.uint8]
    label: int | str | None = None
    split: str | None = None


@dataclass(frozen=True, eq=False)
class RawSound:
    """One sound, or the next part of one: `samples` int32 [n] with full scale 2^31 whatever the file's width."""

    samples: NDArray[np.int32]
    rate_hz: int
    label: int | str | None = None
    split: str | None = None
    continues: bool = False


RawItem = RawRecording | RawImage | RawSound


@dataclass(frozen=True)
class ReadOptions:
    """What a file may not say itself; `docs/readers.md` lists which format uses what.

    format: a name of `registry.FORMATS`, or None to find it by content; sensor_size: says or replaces the sensor size;
    columns: order of an (N, 4) array, such as "txyp"; time_unit: "s", "ms", "us" or "ns"; address_layout: of AEDAT 2;
    stream: id of an AEDAT 4 stream or AEDAT 3.1 source; channel: of a sound, from 0; labels_path: labels of MNIST
    images; sort: order events by time instead of refusing a time that falls; chunk_events: largest number of events in
    an item.
    """

    format: str | None = None
    sensor_size: SensorSize | None = None
    columns: str | None = None
    time_unit: str | None = None
    address_layout: str | None = None
    stream: int | None = None
    channel: int | None = None
    labels_path: Path | None = None
    sort: bool = False
    chunk_events: int = 2**18
