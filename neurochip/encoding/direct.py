"""Direct code: the same graded image in every step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurochip.encoding.encoded import LEVELS, Encoded, check_number, events_of_counts, plane, plane_size
from neurochip.encoding.registry import MAX_STEP_US, MAX_STEPS, parameter, register_encoder
from neurochip.events import SensorSize, Window


@register_encoder("direct", "images")
@dataclass(frozen=True)
class DirectEncoder:
    """In every step a pixel of level l sends its magnitude m = floor((l (2^bits - 1) + 127) / 255) as m events at once.

    m is the level rounded to `bits` bits. With `task.repeat = "count"`, `precision.event.bits = bits` and
    `task.steps = steps` the network sees one event of magnitude m per pixel and step: nothing is lost but the rounding.

    Source: direct input coding, Rathi and Roy (2021), "DIET-SNN", section III; there in floating point.
    """

    bits: int = parameter(4, (1, 8), "bits of a magnitude")
    steps: int = parameter(6, (1, MAX_STEPS), "steps of a sample")
    step_us: int = parameter(1000, (1, MAX_STEP_US), "microseconds of a step")

    @property
    def window_us(self) -> Window:
        """All steps."""
        return 0, self.steps * self.step_us - 1

    def sensor_size(self, image: NDArray[np.uint8]) -> SensorSize:
        """One polarity; the channels of a colour image lie below each other."""
        return plane_size(image)

    def encode(self, images: Sequence[NDArray[np.uint8]], rngs: Sequence[np.random.Generator]) -> list[Encoded]:
        """The events of every image; nothing is drawn."""
        return [self._encode(plane(image)) for image in images]

    def _encode(self, levels: NDArray[np.uint8]) -> Encoded:
        magnitudes = (levels.astype(np.int64) * (2**self.bits - 1) + LEVELS // 2) // LEVELS
        check_number(int(magnitudes.sum()) * self.steps)
        once = events_of_counts(magnitudes.reshape(1, -1), np.zeros(1, np.int64), levels.shape[1])
        times = np.repeat(np.arange(self.steps) * self.step_us, len(once.t))
        x, y, p = (np.tile(values, self.steps) for values in once[:3])
        return Encoded(x, y, p, times)
