"""What encoders share: the events they make, and the layout of an image on a sensor."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurochip.errors import UserError
from neurochip.events import SensorSize, check_sensor_size

LEVELS = 255
"""Largest level of a pixel."""
MAX_EVENTS = 1 << 24


class Encoded(NamedTuple):
    """Events of one sample, int64 [n] each: column, row, polarity (1 = ON) and microsecond, which never falls.

    A graded value v is v equal events: `task.repeat = "count"` makes one event of magnitude v of them again.
    """

    x: NDArray[np.int64]
    y: NDArray[np.int64]
    p: NDArray[np.int64]
    t: NDArray[np.int64]


def plane(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return an image [rows, columns] or [rows, columns, channels] as one plane, the channels below each other.

    Row = channel * rows + row, so that the addresses are those of a map [channels, rows, columns].
    """
    if image.ndim == 2:
        return image
    stacked: NDArray[np.uint8] = np.concatenate(list(np.moveaxis(image, 2, 0)))
    return stacked


def grey(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the luma of an image, (299 R + 587 G + 114 B + 500) // 1000 (ITU-R BT.601, section 2.5.1)."""
    if image.ndim == 2:
        return image
    weighted = image.astype(np.int64) @ np.array([299, 587, 114])
    luma: NDArray[np.uint8] = ((weighted + 500) // 1000).astype(np.uint8)
    return luma


def plane_size(image: NDArray[np.uint8]) -> SensorSize:
    """Return the sensor size of `plane(image)` with one polarity."""
    rows, columns = image.shape[:2]
    return _checked(columns, rows * (1 if image.ndim == 2 else image.shape[2]), 1)


def _checked(width: int, height: int, polarities: int) -> SensorSize:
    try:
        return check_sensor_size((width, height, polarities))
    except UserError:
        raise UserError(f"an image of {width} x {height} pixels (channels counted as rows); allowed is 32767") from None


def check_number(n_events: int) -> None:
    """Refuse a sample of more than MAX_EVENTS events before memory is taken for it."""
    if n_events > MAX_EVENTS:
        raise UserError(
            f"one sample becomes {n_events} events; allowed are {MAX_EVENTS}: fewer steps or a higher threshold help"
        )


def events_of_counts(counts: NDArray[np.integer[Any]], times_us: NDArray[np.int64], width: int) -> Encoded:
    """Return counts [n_times, n_addresses] of ON events as events, ordered by time, then address."""
    check_number(int(counts.sum()))
    time, address = np.nonzero(counts)
    repeats = counts[time, address]
    time, address = np.repeat(time, repeats), np.repeat(address, repeats)
    y, x = np.divmod(address, width)
    return Encoded(x, y, np.zeros_like(x), times_us[time])


def events_of_changes(changes: NDArray[np.int64], times_us: NDArray[np.int64]) -> Encoded:
    """Return changes [n_times, n_channels] as events: |change| of them, ON above 0; ordered by time, then channel."""
    check_number(int(np.abs(changes).sum()))
    time, channel = np.nonzero(changes)
    repeats = np.abs(changes[time, channel])
    time, channel = np.repeat(time, repeats), np.repeat(channel, repeats)
    on = (changes[time, channel] > 0).astype(np.int64)
    return Encoded(channel, np.zeros_like(channel), on, times_us[time])
