"""`backprop`: the error goes back through the same weights, W g, rows read whole (semantics 3.4).

d_i = sat(round(sum_j W_ij g_j, sd)),   g_i = sat(round(d_i psi_i, b))
"""

from __future__ import annotations

import numpy as np

from neurochip.core._jit import jit
from neurochip.core.neuron import rounded_shift


@jit
def dot_narrow(row, signal):
    """sum_j row_j * signal_j in 32 bits (the caller has proved that it fits)."""
    total = np.int32(0)
    for j in range(row.shape[0]):
        total = np.int32(total + np.int32(np.int32(row[j]) * signal[j]))
    return np.int64(total)


@jit
def dot_wide(row, signal):
    """sum_j row_j * signal_j in 64 bits."""
    total = np.int64(0)
    for j in range(row.shape[0]):
        total += np.int64(row[j]) * np.int64(signal[j])
    return total


@jit
def backproject(weights, stride, signal, psi, wide, shift, surrogate_bits, nearest, low, high, d_out, g_out):
    """Errors d and learning signals g of a hidden layer from the signal of the next.

    weights: rows of the next layer; signal: int32 [stride] of the next layer; psi, d_out, g_out: int32 [n].
    Returns (rows with psi != 0, saturations, underflows).
    """
    rows = saturations = underflows = 0
    for i in range(psi.shape[0]):
        d_out[i] = 0
        g_out[i] = 0
        if psi[i] == 0:
            continue
        rows += 1
        row = weights[i * stride : (i + 1) * stride]
        total = dot_wide(row, signal) if wide else dot_narrow(row, signal)
        x = rounded_shift(total, shift, nearest)
        d = max(low, min(high, x))
        saturations += d != x
        underflows += x == 0 and total != 0
        product = d * psi[i]
        y = rounded_shift(product, surrogate_bits, nearest)
        g = max(low, min(high, y))
        saturations += g != y
        underflows += y == 0 and product != 0
        d_out[i] = d
        g_out[i] = g
    return rows, saturations, underflows
