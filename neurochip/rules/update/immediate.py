"""`immediate`: a weight changes as soon as its update is formed (semantics 3.5).

    P = -m_eta p_i g_j,   W_ij <- sat(((W_ij << S) + P + c) >> S) = sat(W_ij + ((P + c) >> S))

The second form is equal because W << S is a multiple of 2^S; it keeps the sum in 32 bits.
"""

from __future__ import annotations

import numpy as np

from neurochip.core._jit import jit
from neurochip.core.layout import ROUND_NEAREST, ROUND_STOCHASTIC

FAST_LANES = 16


@jit
def advance(x):
    """One xorshift32 step (13, 17, 5). numba widens uint32 to 64 bits, so every step is stored back first."""
    x = np.uint32(x ^ np.uint32(x << np.uint32(13)))
    x = np.uint32(x ^ np.uint32(x >> np.uint32(17)))
    return np.uint32(x ^ np.uint32(x << np.uint32(5)))


@jit
def update_run_stochastic(row, signal, factor, shift, low, high, stream):
    """Update consecutive whole 16-column words with stochastic rounding; returns the saturations.

    row: int8 or int16 [n]; signal: int32 [n], -m_eta g; stream: uint32 [>= n + 16], registers in its first 16 entries.
    The stream is written 16 ahead of where it is read, which lets the loop run as vectors.
    """
    n = row.shape[0]
    amount = shift & 31
    mask = np.uint32((1 << amount) - 1)
    saturations = np.int32(0)
    for j in range(n):
        x = advance(stream[j])
        stream[j + FAST_LANES] = x
        step = np.int32(np.int32(np.int32(factor * signal[j]) + np.int32(x & mask)) >> amount)
        exact = np.int32(np.int32(row[j]) + step)
        kept = max(low, min(high, exact))
        saturations = np.int32(saturations + np.int32(kept != exact))
        row[j] = kept
    for q in range(FAST_LANES):
        stream[q] = stream[n + q]
    return saturations


@jit
def update_row_constant(row, signal, factor, shift, constant, low, high):
    """Update a row with a rounding constant (floor or nearest); returns the saturations."""
    amount = shift & 31
    saturations = np.int32(0)
    for j in range(row.shape[0]):
        step = np.int32(np.int32(np.int32(factor * signal[j]) + constant) >> amount)
        exact = np.int32(np.int32(row[j]) + step)
        kept = max(low, min(high, exact))
        saturations = np.int32(saturations + np.int32(kept != exact))
        row[j] = kept
    return saturations


@jit
def update_rows_stochastic(weights, stride, rows, factors, signal, starts, stops, shift, low, high, stream):
    """Update rows over runs of whole 16-column words; returns the saturations. starts, stops: int32 [n_runs]."""
    saturations = np.int64(0)
    for k in range(rows.shape[0]):
        at = rows[k] * stride
        for run in range(starts.shape[0]):
            start, stop = starts[run], stops[run]
            row = weights[at + start : at + stop]
            saturations += update_run_stochastic(row, signal[start:stop], factors[k], shift, low, high, stream)
    return saturations


@jit
def update_rows_constant(weights, stride, rows, factors, signal, shift, constant, low, high):
    """Update whole rows with a rounding constant; returns the saturations."""
    saturations = np.int64(0)
    for k in range(rows.shape[0]):
        at = rows[k] * stride
        row = weights[at : at + stride]
        saturations += update_row_constant(row, signal, factors[k], shift, constant, low, high)
    return saturations


@jit
def update_rows_any(
    weights, stride, rows, factors, signal, starts, stops, n_out, shift, rounding, low, high, registers
):
    """Update rows word by word for any number of lanes and any width; returns the saturations."""
    saturations = np.int64(0)
    lanes = registers.shape[0]
    for k in range(rows.shape[0]):
        at = rows[k] * stride
        row = weights[at : at + stride]
        for run in range(starts.shape[0]):
            for start in range(starts[run], stops[run], lanes):
                stop = min(start + lanes, n_out)
                saturations += update_word_any(
                    row, signal, start, stop, factors[k], shift, rounding, low, high, registers
                )
    return saturations


@jit
def update_word_any(row, signal, start, stop, factor, shift, rounding, low, high, registers):
    """Update columns start..stop-1, one R-column word, in 64 bits with any rounding; returns the saturations."""
    saturations = 0
    if rounding == ROUND_STOCHASTIC:
        for q in range(registers.shape[0]):
            registers[q] = advance(registers[q])
    constant = np.int64(0)
    if rounding == ROUND_NEAREST and shift > 0:
        constant = np.int64(1) << (shift - 1)
    for j in range(start, stop):
        if rounding == ROUND_STOCHASTIC:
            constant = np.int64(registers[j - start]) & ((np.int64(1) << shift) - 1)
        exact = np.int64(row[j]) + ((np.int64(factor) * np.int64(signal[j]) + constant) >> shift)
        kept = max(low, min(high, exact))
        saturations += kept != exact
        row[j] = kept
    return saturations


@jit
def find_runs(signal, n_out, lanes, starts, stops):
    """List runs of consecutive lane words that hold a nonzero signal; returns (runs, words)."""
    runs = words = 0
    open_run = False
    for start in range(0, n_out, lanes):
        stop = min(start + lanes, n_out)
        active = False
        for j in range(start, stop):
            if signal[j] != 0:
                active = True
        words += active
        if active and not open_run:
            starts[runs] = start
            runs += 1
        if active:
            stops[runs - 1] = stop
        open_run = active
    return runs, words
