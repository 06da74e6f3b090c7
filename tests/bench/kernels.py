"""The two inner kernels of learning by themselves: what a row add and a whole-row update take, in seconds per row.

Both are called from a compiled loop over steps, so no Python call is in the figures. Weights have the size of a real
layer (they fill a part of the L2 cache, as in training), addresses and rows are those of a real step.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from neurochip.core.deliver import deliver_events
from neurochip.core.lanes import N_LANES
from neurochip.rules.update.immediate import update_rows_stochastic

ROWS_PER_STEP = 600
STEPS_PER_CALL = 200
MEMBRANE_16_BITS = np.int32(-(2**15)), np.int32(2**15 - 1)
WEIGHT_8_BITS = np.int32(-128), np.int32(127)
DELIVER_SHIFT, UPDATE_SHIFT = 4, 14


@numba.njit(nogil=True, error_model="numpy")
def add_steps(u, weights, stride, addresses, magnitudes, shift, low, high):
    """Deliver the binary events of every step into a cleared membrane. addresses: int32 [n_steps, n_events]."""
    saturations = 0
    for step in range(addresses.shape[0]):
        u[:] = 0
        saturations += deliver_events(u, weights, stride, addresses[step], magnitudes, True, shift, low, high)
    return saturations


@numba.njit(nogil=True, error_model="numpy")
def update_steps(weights, stride, rows, factors, signal, words, shift, low, high, registers):
    """Update all words of the rows of every step. rows: int32 [n_steps, n_rows]."""
    saturations = 0
    for step in range(rows.shape[0]):
        saturations += update_rows_stochastic(
            weights, stride, rows[step], factors, signal, words, shift, low, high, registers
        )
    return saturations


def draw_rows(rng: np.random.Generator, n_rows: int, n_chosen: int) -> NDArray[np.int32]:
    """Ascending rows of 200 steps, int32 [200, n_chosen], none twice in a step."""
    drawn = [np.sort(rng.choice(n_rows, min(n_chosen, n_rows), replace=False)) for _ in range(STEPS_PER_CALL)]
    return np.array(drawn, dtype=np.int32)


@dataclass(frozen=True, eq=False)
class BareLayer:
    """One layer's weights, [n_in + 1, stride] int8, and the arguments of both kernels."""

    add_arguments: tuple[Any, ...]
    update_arguments: tuple[Any, ...]
    n_events: int
    n_rows: int

    @classmethod
    def draw(cls, n_in: int, stride: int, n_events: int, n_rows: int) -> BareLayer:
        """Random weights, events, rows, trace values and learning signals; no word is without a signal."""
        rng = np.random.default_rng([n_in, stride])
        weights = rng.integers(-60, 61, (n_in + 1) * stride).astype(np.int8)
        events, rows = draw_rows(rng, n_in, n_events), draw_rows(rng, n_in + 1, n_rows)
        magnitudes = np.ones(events.shape[1], dtype=np.int32)
        factors = rng.integers(1, 256, rows.shape[1]).astype(np.int32)
        signal = rng.integers(1, 500, stride).astype(np.int32) * rng.choice([-1, 1], stride).astype(np.int32)
        words = np.arange(0, stride, N_LANES, dtype=np.int32)
        registers = rng.integers(1, 2**32, N_LANES, dtype=np.uint32)
        u = np.zeros(stride, dtype=np.int32)
        return cls(
            (u, weights, stride, events, magnitudes, DELIVER_SHIFT, *MEMBRANE_16_BITS),
            (weights.copy(), stride, rows, factors, signal, words, UPDATE_SHIFT, *WEIGHT_8_BITS, registers),
            events.shape[1],
            rows.shape[1],
        )

    def seconds_per_add(self) -> float:
        """Seconds of one row add: the fastest of three calls."""
        return _fastest(add_steps, self.add_arguments) / (STEPS_PER_CALL * self.n_events)

    def seconds_per_update(self) -> float:
        """Seconds of one update of a whole row: the fastest of three calls."""
        return _fastest(update_steps, self.update_arguments) / (STEPS_PER_CALL * self.n_rows)


def _fastest(kernel: Any, arguments: tuple[Any, ...]) -> float:
    seconds = []
    for _ in range(3):
        start = time.process_time()
        kernel(*arguments)
        seconds.append(time.process_time() - start)
    return min(seconds)
