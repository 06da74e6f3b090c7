"""Latency code: a bright pixel spikes early, and once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurochip.encoding.encoded import LEVELS, Encoded, check_number, plane, plane_size
from neurochip.encoding.registry import MAX_STEP_US, parameter, register_encoder
from neurochip.events import SensorSize, Window


@register_encoder("latency", "images")
@dataclass(frozen=True)
class LatencyEncoder:
    """A pixel of level l > threshold sends one event at t(l), brighter first; a darker pixel stays silent.

    With first = threshold + 1, the darkest level that spikes, and D = duration_us - 1:
    "linear": t(l) = floor(D (255 - l) / (255 - first))
    "log":    t(l) = floor(D (r(l) - r(255)) / (r(first) - r(255))), r(l) = ln(l / (l - c)), c = threshold + 1/2,
              the time at which a leaky neuron driven by l reaches c (threshold 0 included), scaled to the duration.
    For threshold = 254 both are t(255) = 0. Events are ordered by time, row and column.

    Source: time-to-first-spike code, Thorpe, Delorme and Van Rullen (2001); the logarithm is the solution of
    tau dV/dt = l - V, V(0) = 0, for V(t) = c.
    """

    duration_us: int = parameter(20_000, (1, MAX_STEP_US), "microseconds of a sample")
    threshold: int = parameter(12, (0, LEVELS - 1), "largest level that stays silent")
    curve: str = parameter("linear", ("linear", "log"), "how time depends on the level")

    @property
    def window_us(self) -> Window:
        """The whole duration."""
        return 0, self.duration_us - 1

    def sensor_size(self, image: NDArray[np.uint8]) -> SensorSize:
        """One polarity; the channels of a colour image lie below each other."""
        return plane_size(image)

    def encode(self, images: Sequence[NDArray[np.uint8]], rngs: Sequence[np.random.Generator]) -> list[Encoded]:
        """The events of every image; nothing is drawn."""
        times = self.times()
        return [_spikes(plane(image), times) for image in images]

    def times(self) -> NDArray[np.int64]:
        """t of every level, -1 for the silent ones, int64 [256]."""
        first, last_us = self.threshold + 1, self.duration_us - 1
        table = np.full(LEVELS + 1, -1, dtype=np.int64)
        for level in range(first, LEVELS + 1):
            if first == LEVELS:
                table[level] = 0
            elif self.curve == "linear":
                table[level] = last_us * (LEVELS - level) // (LEVELS - first)
            else:
                span = self._rise(first) - self._rise(LEVELS)
                table[level] = min(last_us, math.floor(last_us * ((self._rise(level) - self._rise(LEVELS)) / span)))
        return table

    def _rise(self, level: int) -> float:
        return math.log(level / (level - (self.threshold + 0.5)))


def _spikes(levels: NDArray[np.uint8], times: NDArray[np.int64]) -> Encoded:
    check_number(int(np.count_nonzero((times >= 0)[levels])))
    t = times[levels.ravel()]
    where = np.flatnonzero(t >= 0)
    where = where[np.argsort(t[where], kind="stable")]
    y, x = np.divmod(where, levels.shape[1])
    return Encoded(x, y, np.zeros_like(x), t[where])
