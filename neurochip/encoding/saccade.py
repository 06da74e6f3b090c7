"""The saccade camera as an encoder: an image moves in front of an event camera (`dvs_camera`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurochip.encoding.dvs_camera import DvsCamera, record
from neurochip.encoding.encoded import LEVELS, Encoded, check_number, grey, plane_size
from neurochip.encoding.registry import parameter, register_encoder
from neurochip.errors import UserError
from neurochip.events import SensorSize

FRAME_US = 2_000
MAX_PIXELS = 256
MAX_GROUP_PIXELS = 1 << 21
"""Sensor pixels that are simulated together."""


@register_encoder("saccade", "images")
@dataclass(frozen=True)
class SaccadeEncoder:
    """Three saccades along a triangle, as in N-MNIST (Orchard et al. 2015), seen by the camera of `dvs_camera`.

    The image, in grey, covers the middle of a square sensor; colour becomes luma. The corners of the triangle lie at
    (-m, -m), (m, -m) and (0, m) from the middle, m = move_subpixels. A recording spans its own events.
    """

    sensor_pixels: int = parameter(34, (2, MAX_PIXELS), "width and height of the sensor")
    image_pixels: int = parameter(28, (1, MAX_PIXELS), "width and height that the image covers on it")
    move_subpixels: int = parameter(80, (1, 64 * MAX_PIXELS), "reach of the saccades in 1/64 pixel")
    saccade_us: int = parameter(100_000, (FRAME_US, 10_000_000), "microseconds of a saccade")
    dark_level: int = parameter(64, (1, 10_000), "level that adds to every pixel before the logarithm")
    threshold: int = parameter(500, (1, 100_000), "thousandths of the natural logarithm that make an event")

    window_us = None

    def sensor_size(self, image: NDArray[np.uint8]) -> SensorSize:
        """The square sensor, OFF and ON."""
        return self.sensor_pixels, self.sensor_pixels, 2

    def encode(self, images: Sequence[NDArray[np.uint8]], rngs: Sequence[np.random.Generator]) -> list[Encoded]:
        """The events of every image; nothing is drawn."""
        if self.image_pixels > self.sensor_pixels:
            raise UserError(
                f"--set image_pixels={self.image_pixels} is more than sensor_pixels = {self.sensor_pixels}; allowed is "
                f"1 to {self.sensor_pixels}"
            )
        greys = [grey(image) for image in images]
        plane_size(greys[0])  # the weights of a line grow with its pixels
        together = max(1, MAX_GROUP_PIXELS // self.sensor_pixels**2)
        groups = (greys[first : first + together] for first in range(0, len(greys), together))
        return [encoded for group in groups for encoded in self._recorded(np.stack(group).astype(np.int64))]

    def _recorded(self, stack: NDArray[np.int64]) -> list[Encoded]:
        found = record(self._camera(), stack, np.zeros(len(stack), np.int64), LEVELS, check_number)
        samples = (found.sample(index) for index in range(len(stack)))
        return [Encoded(*(events[name].astype(np.int64) for name in ("x", "y", "p", "t"))) for events in samples]

    def _camera(self) -> DvsCamera:
        move = self.move_subpixels
        return DvsCamera(
            sensor_pixels=self.sensor_pixels,
            digit_pixels=self.image_pixels,
            corners_subpixels=((-move, -move), (move, -move), (0, move)),
            saccade_us=self.saccade_us,
            frame_us=FRAME_US,
            levels=LEVELS,
            dark_level=self.dark_level,
            log_scale=1000,
            threshold=self.threshold,
        )
