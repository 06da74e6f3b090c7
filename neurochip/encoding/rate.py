"""Rate code: a bright pixel spikes often."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurochip.encoding.encoded import LEVELS, Encoded, check_number, events_of_counts, plane, plane_size
from neurochip.encoding.registry import MAX_STEP_US, MAX_STEPS, parameter, register_encoder
from neurochip.events import SensorSize, Window

ONE = 1 << 32
"""Probabilities are multiples of 2^-32."""
BLOCK_PIXELS = 1 << 14
"""Pixels drawn at once: each takes as many 64-bit bounds as it may send events."""


@register_encoder("rate", "images")
@dataclass(frozen=True)
class RateEncoder:
    """In every step a pixel of level l sends a random number of events with mean peak * l / 255.

    "bernoulli": one event if u >= 2^32 - round(2^32 min(1, peak l / 255)), u uniform on 0 to 2^32 - 1, else none.
    "poisson": k events, k the number of i >= 0 with u >= round(2^32 P(X <= i)), X Poisson of that mean.
    u is drawn anew for every pixel and step, step by step, row by row. The events of step s lie at s * step_us, and
    the window is steps * step_us long: `task.steps = steps` gives the steps back.

    Source: Poisson and Bernoulli spike trains as in Heeger (2000), "Poisson model of spike generation"; Diehl and
    Cook (2015), section 2.6, for images.
    """

    steps: int = parameter(20, (1, MAX_STEPS), "steps of a sample")
    step_us: int = parameter(1000, (1, MAX_STEP_US), "microseconds of a step")
    peak: float = parameter(0.5, (0.0, 16.0), "mean events of a white pixel in a step")
    distribution: str = parameter("bernoulli", ("bernoulli", "poisson"), "what is drawn")

    @property
    def window_us(self) -> Window:
        """All steps."""
        return 0, self.steps * self.step_us - 1

    def sensor_size(self, image: NDArray[np.uint8]) -> SensorSize:
        """One polarity; the channels of a colour image lie below each other."""
        return plane_size(image)

    def encode(self, images: Sequence[NDArray[np.uint8]], rngs: Sequence[np.random.Generator]) -> list[Encoded]:
        """The events of every image."""
        return [self._encode(plane(image), rng) for image, rng in zip(images, rngs, strict=True)]

    def _encode(self, levels: NDArray[np.uint8], rng: np.random.Generator) -> Encoded:
        bounds, pixels = self._bounds(), levels.ravel()
        found: list[Encoded] = []
        n_events = 0
        for step in range(self.steps):
            counts = np.empty(levels.size, dtype=np.uint8)
            for first in range(0, levels.size, BLOCK_PIXELS):
                block = slice(first, first + BLOCK_PIXELS)
                drawn = rng.integers(ONE, size=len(pixels[block]), dtype=np.uint64)
                counts[block] = (drawn >= bounds[:, pixels[block]]).sum(axis=0)
            n_events += int(counts.sum())
            check_number(n_events)
            when = np.array([step * self.step_us])
            found.append(events_of_counts(counts[None, :], when, levels.shape[1]))
        return Encoded(*(np.concatenate(parts) for parts in zip(*found, strict=True)))

    def _bounds(self) -> NDArray[np.uint64]:
        """Bounds [number of events - 1, level] that u must reach for so many events."""
        means = [self.peak * level / LEVELS for level in range(LEVELS + 1)]
        if self.distribution == "bernoulli":
            return np.array([[ONE - round(ONE * min(1.0, mean)) for mean in means]], dtype=np.uint64)
        rows: list[list[int]] = []
        while not rows or any(bound < ONE for bound in rows[-1]):
            rows.append([round(ONE * _poisson_cdf(mean, len(rows))) for mean in means])
        return np.array(rows, dtype=np.uint64)


def _poisson_cdf(mean: float, count: int) -> float:
    """P(X <= count), at most 1 after rounding."""
    return min(1.0, math.fsum(math.exp(-mean) * mean**k / math.factorial(k) for k in range(count + 1)))
