"""Kernel of the float twin that brings standardised weights back to their mean and variance (semantics 3.8)."""

from __future__ import annotations

import math

import numpy as np

from neurochip.core._jit import jit
from neurochip.core.float_grid import STANDARDISE_CONSTANT, STANDARDISE_SHIFT, WEIGHT
from neurochip.core.float_quantise import clamped
from neurochip.core.float_rows import clear
from neurochip.core.float_state import SINCE_STANDARDISE, State
from neurochip.core.float_tables import COLUMNS, GAIN, LEARNS, N_ROWS, WEIGHT_AT, Array, Network
from neurochip.core.standardise import integer_square_root

MAX_FACTOR = (1 << 31) - 1  # F of semantics 3.8
# A column whose standard deviation is below this share of its mean is constant: what differs is rounding.
CONSTANT_SHARE = 2.0**-36


@jit
def column_means(weights: Array, n_rows: int, means: Array) -> None:
    """means_j = sum_r W_rj / K."""
    n = means.size
    clear(means)
    for r in range(n_rows):
        for j in range(n):
            means[j] += weights[r * n + j]
    for j in range(n):
        means[j] /= n_rows


@jit
def column_factors(weights: Array, n_rows: int, gain: float, means: Array, factors: Array) -> None:
    """factor_j = g / sqrt(K var_j), var_j = sum_r (W_rj - mean_j)^2 / (K - 1); 1, and mean_j = 0, where var_j is 0."""
    n = means.size
    clear(factors)
    for r in range(n_rows):
        for j in range(n):
            centred = weights[r * n + j] - means[j]
            factors[j] += centred * centred
    for j in range(n):
        if factors[j] <= n_rows * (CONSTANT_SHARE * means[j]) ** 2:
            means[j], factors[j] = 0.0, 1.0
        else:
            factors[j] = gain / math.sqrt(n_rows * (factors[j] / (n_rows - 1)))


@jit
def standardise_on_grid(net: Network, layer: int) -> None:
    """W = sat(round((K W - S1) F, p)) column by column in whole numbers (semantics 3.8)."""
    grid, start = net.grid, net.sizes[layer, WEIGHT_AT]
    n, n_rows = net.sizes[layer, COLUMNS], net.sizes[layer, N_ROWS]
    constant, shift = grid.shifts[layer, STANDARDISE_CONSTANT], grid.shifts[layer, STANDARDISE_SHIFT]
    unit, half = grid.units[layer, WEIGHT], np.int64(1) << (shift - 1)
    for j in range(n):
        total = squares = np.int64(0)
        for r in range(n_rows):
            code = np.int64(net.weights[start + r * n + j] * unit)
            total += code
            squares += code * code
        root = integer_square_root(n_rows * squares - total * total)
        if root == 0:
            continue
        factor = min(MAX_FACTOR, constant // root)
        for r in range(n_rows):
            k = start + r * n + j
            product = (n_rows * np.int64(net.weights[k] * unit) - total) * factor
            magnitude = (abs(product) + half) >> shift
            code = magnitude if product >= 0 else -magnitude
            net.weights[k] = clamped(float(code), grid.low[WEIGHT], grid.high[WEIGHT]) / unit


@jit
def standardise(net: Network, state: State) -> None:
    """W_rj = (W_rj - mean_j) factor_j in the layers that are standardised and learn, the bias not among them."""
    for layer in range(net.sizes.shape[0]):
        size, gain = net.sizes[layer], net.reals[layer, GAIN]
        if gain == 0 or not size[LEARNS]:
            continue
        if net.grid.on[WEIGHT]:
            standardise_on_grid(net, layer)
            continue
        n, n_rows, start = size[COLUMNS], size[N_ROWS], size[WEIGHT_AT]
        weights = net.weights[start : start + n_rows * n]
        means, factors = state.moments[0, :n], state.moments[1, :n]
        column_means(weights, n_rows, means)
        column_factors(weights, n_rows, gain, means, factors)
        for r in range(n_rows):
            for j in range(n):
                weights[r * n + j] = (weights[r * n + j] - means[j]) * factors[j]
    state.counters[SINCE_STANDARDISE] = 0
