"""The 99.9th percentile of the magnitudes of a signal that arrives in parts and need not be kept."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

PERCENTILE = 99.9


class Magnitudes:
    """The percentile of nonzero magnitudes, equal to numpy's over all of them, from the largest ones alone."""

    def __init__(self, n_values: int) -> None:
        """`n_values`: how many values, zeros included, will come at most."""
        self._n_kept = math.ceil(n_values * (1.0 - PERCENTILE / 100)) + 2
        self._largest: NDArray[np.float64] = np.zeros(0)
        self._count = 0

    def add(self, values: ArrayLike) -> None:
        """Add a part, of any shape."""
        magnitudes = np.abs(np.asarray(values, dtype=np.float64)).ravel()
        magnitudes = magnitudes[magnitudes > 0]
        self._count += magnitudes.size
        self._largest = self._tail(np.concatenate([self._largest, self._tail(magnitudes)]))

    def _tail(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        if values.size <= self._n_kept:
            return values
        kept: NDArray[np.float64] = np.partition(values, values.size - self._n_kept)[-self._n_kept :]
        return kept

    @property
    def percentile(self) -> float:
        """The percentile, linear between order statistics; 1 if no value was nonzero."""
        if self._count == 0:
            return 1.0
        tail = np.sort(self._largest)
        position = (self._count - 1) * (PERCENTILE / 100)
        below = math.floor(position)
        share = position - below
        first = below - (self._count - tail.size)
        low, high = float(tail[first]), float(tail[min(first + 1, tail.size - 1)])
        # As numpy interpolates, to the last bit.
        return low + (high - low) * share if share < 0.5 else high - (high - low) * (1.0 - share)


def magnitude(values: ArrayLike) -> float:
    """The percentile of one array."""
    array = np.asarray(values)
    found = Magnitudes(array.size)
    found.add(array)
    return found.percentile
