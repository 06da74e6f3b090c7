"""A moving image seen by an event camera, in integers only, so that every machine makes the same events.

The camera is the usual log-intensity model (Lichtsteiner, Posch and Delbruck 2008): a pixel remembers the log
intensity at its last event and sends ON or OFF whenever the intensity has moved by one threshold. It has no noise, no
refractory period and no mismatch. The movement is three saccades along a triangle, as in N-MNIST (Orchard et al. 2015).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurochip.events import Recordings

SUBPIXELS = 64
"""Image positions are multiples of 1/64 sensor pixel."""


@dataclass(frozen=True)
class DvsCamera:
    """Parameters of the camera and of the movement in front of it.

    The image covers `digit_pixels` x `digit_pixels` sensor pixels in the middle of the sensor; `corners_subpixels`
    are the (x, y) displacements where saccades start and end, in 1/64 pixel. log intensity =
    round(log_scale * ln(1 + level / dark_level)), level from 0 to `levels`; an event is one `threshold` of that.
    """

    sensor_pixels: int
    digit_pixels: int
    corners_subpixels: tuple[tuple[int, int], ...]
    saccade_us: int
    frame_us: int
    levels: int
    dark_level: int
    log_scale: int
    threshold: int


def record(
    camera: DvsCamera,
    images: NDArray[np.int64],
    labels: NDArray[np.int64],
    image_maximum: int,
    check_number: Callable[[int], None] = lambda n_events: None,
) -> Recordings:
    """Return one recording per image (integers 0 to `image_maximum`, [n, rows, columns]) as it moves.

    Between frames the log intensity is taken as linear in time, so the time of an event is exact to the microsecond
    below. Events with equal times are ordered by polarity, row and column. `check_number` gets the number of events up
    to every frame before they are made, and may refuse it.
    """
    n_images, pixels = len(images), camera.sensor_pixels
    table = _log_table(camera)
    moving = images.astype(np.float64)
    found: list[NDArray[np.int64]] = []
    n_events = 0
    previous = memory = np.zeros(0, dtype=np.int64)
    for frame, (dx, dy) in enumerate(_displacements(camera)):
        down, unit_y = _line_weights(camera, images.shape[1], dy)
        across, unit_x = _line_weights(camera, images.shape[2], dx)
        # Products and sums stay below 2^53, so these float matrix products are exact in any order of summation.
        seen = down.astype(np.float64) @ moving @ across.T.astype(np.float64)
        levels = seen.astype(np.int64) * camera.levels // (image_maximum * unit_x * unit_y)
        current = table[levels].ravel()
        if frame == 0:
            memory = current.copy()
        else:
            crossings = np.abs(current - memory) // camera.threshold
            n_events += int(crossings.sum())
            check_number(n_events)
            found.append(_frame_events(previous, current, memory, crossings, (frame - 1) * camera.frame_us, camera))
        previous = current
    where, times, on = np.concatenate(found, axis=1)
    image, pixel = np.divmod(where, pixels * pixels)
    order = np.lexsort((pixel, on, times, image))
    y, x = np.divmod(pixel[order], pixels)
    offsets = np.concatenate([[0], np.cumsum(np.bincount(image, minlength=n_images))])
    return Recordings(x, y, on[order], times[order], offsets, labels, (pixels, pixels, 2))


def _frame_events(
    previous: NDArray[np.int64],
    current: NDArray[np.int64],
    memory: NDArray[np.int64],
    crossings: NDArray[np.int64],
    start_us: int,
    camera: DvsCamera,
) -> NDArray[np.int64]:
    """Return the events between two frames as rows (image and pixel, time, polarity); `memory` is moved along.

    crossings: thresholds between `memory` and `current`, which are the events of a pixel.
    """
    where = np.flatnonzero(crossings)
    on = (current > memory)[where]
    step = np.where(on, camera.threshold, -camera.threshold)
    crossings = crossings[where]
    found = []
    for number in range(1, int(crossings.max(initial=0)) + 1):
        active = crossings >= number
        pixel = where[active]
        memory[pixel] += step[active]
        change = current[pixel] - previous[pixel]
        times = start_us + (memory[pixel] - previous[pixel]) * camera.frame_us // change
        found.append(np.stack([pixel, times, on[active].astype(np.int64)]))
    return np.concatenate(found, axis=1) if found else np.zeros((3, 0), dtype=np.int64)


def _displacements(camera: DvsCamera) -> list[tuple[int, int]]:
    """Return the image position at every frame: smooth steps s -> 3s^2 - 2s^3 from corner to corner and back."""
    frames = camera.saccade_us // camera.frame_us
    corners = camera.corners_subpixels
    positions = [corners[0]]
    for start, end in zip(corners, (*corners[1:], corners[0]), strict=True):
        for k in range(1, frames + 1):
            done = 3 * k * k * frames - 2 * k**3  # over frames^3
            positions.append(
                (
                    start[0] + (end[0] - start[0]) * done // frames**3,
                    start[1] + (end[1] - start[1]) * done // frames**3,
                )
            )
    return positions


def _line_weights(camera: DvsCamera, n_source: int, shift: int) -> tuple[NDArray[np.int64], int]:
    """Return the bilinear weights [sensor pixels, n_source] along one axis, in units of 1 / (2 * 64 * digit_pixels).

    The centre of sensor pixel X lies at (X + 1/2 - margin - shift) * n_source / digit_pixels - 1/2 in the image;
    outside the image is dark.
    """
    unit = 2 * SUBPIXELS * camera.digit_pixels
    margin_twice = camera.sensor_pixels - camera.digit_pixels
    weights = np.zeros((camera.sensor_pixels, n_source), dtype=np.int64)
    for pixel in range(camera.sensor_pixels):
        centre = ((2 * pixel + 1 - margin_twice) * SUBPIXELS - 2 * shift) * n_source - SUBPIXELS * camera.digit_pixels
        left, rest = divmod(centre, unit)
        for source, weight in ((left, unit - rest), (left + 1, rest)):
            if 0 <= source < n_source:
                weights[pixel, source] += weight
    return weights, unit


def _log_table(camera: DvsCamera) -> NDArray[np.int64]:
    """Return the log intensity of every level, rounded to an integer."""
    logs = (math.log1p(level / camera.dark_level) for level in range(camera.levels + 1))
    return np.array([round(camera.log_scale * value) for value in logs], dtype=np.int64)
