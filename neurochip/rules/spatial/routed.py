"""The error of a hidden layer that several connections, pools or convolutions lead from (semantics 3.4).

    X_i' = sum_r W_rj signal_bj,   d_i = sat(sum round(X_i', sd)),   g_i = sat(round(d_i psi_i, b))

A layer first forms X at its input addresses; each source then gathers what it finds where its neurons lead.
"""

from __future__ import annotations

import numpy as np

from neurochip.core._jit import jit
from neurochip.core.columns import RUN_ADDRESS, RUN_LENGTH, RUN_SOURCE
from neurochip.core.neuron import rounded_shift
from neurochip.rules.spatial.backprop import dot_narrow, dot_wide


@jit
def mark_needed(psi, runs, needed):
    """needed <- not 0 at the input addresses to which neurons with psi != 0 lead. psi, needed: int32."""
    for r in range(runs.shape[0]):
        source, address, length = runs[r, RUN_SOURCE], runs[r, RUN_ADDRESS], runs[r, RUN_LENGTH]
        codes, marks = psi[source : source + length], needed[address : address + length]
        for k in range(length):
            marks[k] |= codes[k]


@jit
def dense_error(weights, stride, signal, needed, wide, sums):
    """X of the needed inputs of a dense layer, 0 of the others; returns how many are needed. sums: int64 [n_in]."""
    rows = 0
    for i in range(needed.shape[0]):
        sums[i] = 0
        if needed[i] != 0:
            rows += 1
            row = weights[i * stride : (i + 1) * stride]
            sums[i] = dot_wide(row, signal) if wide else dot_narrow(row, signal)
    return rows


@jit
def round_sums(sums, shift, nearest, rounded, is_nonzero):
    """round(X, shift) of every input address, and whether X is not 0. sums, rounded: int64 [n]; is_nonzero: int32."""
    half = (np.int64(1) << (shift - 1)) if shift > 0 and nearest else np.int64(0)
    amount = shift & 63
    for i in range(sums.shape[0]):
        x = sums[i]
        sign = x >> 63 if nearest else np.int64(0)  # nearest rounds the magnitude, floor the value
        rounded[i] = ((((x ^ sign) - sign + half) >> amount) ^ sign) - sign
        is_nonzero[i] = x != 0


@jit
def gather_sums(runs, rounded, is_nonzero, error_sum, some_nonzero):
    """Add what the connection brings each neuron: error_sum += rounded, some_nonzero |= is_nonzero."""
    for r in range(runs.shape[0]):
        source, address, length = runs[r, RUN_SOURCE], runs[r, RUN_ADDRESS], runs[r, RUN_LENGTH]
        total, terms = error_sum[source : source + length], rounded[address : address + length]
        for k in range(length):
            total[k] += terms[k]
        some, flags = some_nonzero[source : source + length], is_nonzero[address : address + length]
        for k in range(length):
            some[k] |= flags[k]


@jit
def signals_from_sums(error_sum, some_nonzero, psi, surrogate_bits, nearest, low, high, d_out, g_out):
    """d and g of all neurons, 0 where psi = 0; all [n]. Returns (saturations, underflows)."""
    saturations = underflows = np.int64(0)
    for i in range(psi.shape[0]):
        x = error_sum[i] if psi[i] != 0 else np.int64(0)
        d = max(low, min(high, x))
        saturations += d != x
        underflows += (x == 0) & (psi[i] != 0) & (some_nonzero[i] != 0)
        product = d * psi[i]
        y = rounded_shift(product, surrogate_bits, nearest)
        g = max(low, min(high, y))
        saturations += g != y
        underflows += (y == 0) & (product != 0)
        d_out[i] = d
        g_out[i] = g
    return saturations, underflows
