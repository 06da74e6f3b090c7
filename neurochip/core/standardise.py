"""Weights brought back to their mean and variance, column by column (semantics 3.8).

With S1 = sum W, S2 = sum W^2, R = floor(sqrt(K S2 - S1^2)) and F = min(2^31 - 1, floor(C / R)):

    W <- sat(round((K W - S1) F, p))

A column with R = 0 stays as it is.
"""

from __future__ import annotations

import numpy as np

from neurochip.activity import FIELD_INDEX
from neurochip.core._jit import jit
from neurochip.core.columns import (
    LAYERS,
    N_ROWS,
    STANDARDISE_CONSTANT,
    STANDARDISE_SHIFT,
    STEPS,
    STRIDE,
    WEIGHT_AT,
    WEIGHT_HIGH,
    WEIGHT_LOW,
)

MAX_FACTOR = 2**31 - 1
KEPT = -1  # in place of F of a column with R = 0
_SAT_WEIGHT = FIELD_INDEX["sat_weight"]


@jit
def integer_square_root(x):
    """Floor of the square root of 0 <= x <= 2^60, exactly: a double is off by one at most."""
    root = np.int64(np.sqrt(np.float64(x)))
    while root * root > x:
        root -= 1
    while (root + 1) * (root + 1) <= x:
        root += 1
    return root


@jit
def sum_columns(weights, n_rows, stride, sums, squares):
    """S1 and S2 of every column. weights: [n_rows * stride]; sums, squares: int64 [stride]."""
    sums[:] = 0
    squares[:] = 0
    for r in range(n_rows):
        row = weights[r * stride : (r + 1) * stride]
        for j in range(stride):
            weight = np.int32(row[j])
            sums[j] += weight
            squares[j] += np.int64(np.int32(weight * weight))


@jit
def column_factors(n_rows, constant, sums, squares, factors):
    """F of every column, or KEPT; int64 [stride]."""
    for j in range(sums.shape[0]):
        root = integer_square_root(n_rows * squares[j] - sums[j] * sums[j])
        factors[j] = min(MAX_FACTOR, constant // root) if root > 0 else KEPT


@jit
def scale_columns(weights, n_rows, stride, shift, low, high, sums, factors):
    """W <- sat(round((K W - S1) F, p)) of every column that is not kept; returns the saturations."""
    half = np.int64(1) << (shift - 1)
    saturations = np.int64(0)
    for r in range(n_rows):
        row = weights[r * stride : (r + 1) * stride]
        for j in range(stride):
            # Both factors fit 32 bits (spec_rule), which vectors multiply faster than 64.
            centred = np.int64(np.int32(n_rows * np.int64(row[j]) - sums[j]))
            product = centred * np.int64(np.int32(factors[j]))
            exact = (product + half - np.int64(product < 0)) >> shift  # ties away from zero
            exact = np.int64(row[j]) if factors[j] == KEPT else exact
            kept = max(low, min(high, exact))
            saturations += np.int64(kept != exact)
            row[j] = kept
    return saturations


@jit
def standardise_weights(layout, state, scratch, output):
    """Standardise the weights of all layers with a constant C, last to first; padding, all 0, stays as it is."""
    constants = layout.constants
    totals = output.totals[constants[STEPS]]
    for index in range(constants[LAYERS] - 1, -1, -1):
        layer = layout.layers[index]
        if layer[STANDARDISE_CONSTANT] == 0:
            continue
        n_rows, stride = layer[N_ROWS], layer[STRIDE]
        weights = state.weights[layer[WEIGHT_AT] : layer[WEIGHT_AT] + n_rows * stride]
        sums, squares = scratch.column_sums[0, :stride], scratch.column_sums[1, :stride]
        factors = scratch.column_sums[2, :stride]
        sum_columns(weights, n_rows, stride, sums, squares)
        column_factors(n_rows, layer[STANDARDISE_CONSTANT], sums, squares, factors)
        totals[index, _SAT_WEIGHT] += scale_columns(
            weights, n_rows, stride, layer[STANDARDISE_SHIFT], constants[WEIGHT_LOW], constants[WEIGHT_HIGH], sums,
            factors,
        )  # fmt: skip
    output.n_standardisations[0] += 1
