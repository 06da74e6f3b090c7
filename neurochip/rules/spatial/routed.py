"""The error of a hidden layer that several connections, pools or convolutions lead from (semantics 3.4).

    X_i' = sum_r W_rj signal_bj,   d_i = sat(sum round(X_i', sd)),   g_i = sat(round(d_i psi_i, b))

A layer first forms X at its input addresses; each source then gathers what it finds where its neurons lead.
"""

from __future__ import annotations

import numpy as np

from neurochip.core import lanes
from neurochip.core._jit import jit
from neurochip.core.columns import RUN_ADDRESS, RUN_LENGTH, RUN_SOURCE
from neurochip.core.convolution_lanes import count_up, fold_four, total
from neurochip.core.neuron import rounded_shift
from neurochip.rules.spatial.backprop import dot_narrow, dot_wide

FEW = 2  # so many rows of sixteen are summed one by one


@jit
def mark_needed(psi, runs, needed):
    """needed <- not 0 at the input addresses to which neurons with psi != 0 lead. psi, needed: int32."""
    for r in range(runs.shape[0]):
        source, address, length = runs[r, RUN_SOURCE], runs[r, RUN_ADDRESS], runs[r, RUN_LENGTH]
        codes, marks = psi[source : source + length], needed[address : address + length]
        for k in range(length):
            marks[k] |= codes[k]


@jit
def _four_dots(weights, at, stride, signal):
    """Four partial sums of row * signal for each of four rows from `at` on."""
    zero = lanes.splat(0)
    a = b = c = d = zero
    for j in range(0, stride, lanes.N_LANES):
        g = lanes.load(signal, j)
        a = lanes.add(a, lanes.multiply(lanes.load(weights, at + j), g))
        b = lanes.add(b, lanes.multiply(lanes.load(weights, at + stride + j), g))
        c = lanes.add(c, lanes.multiply(lanes.load(weights, at + 2 * stride + j), g))
        d = lanes.add(d, lanes.multiply(lanes.load(weights, at + 3 * stride + j), g))
    return fold_four(a, b, c, d)


@jit
def _sixteen_dots(weights, at, stride, signal):
    """sum_j row_j * signal_j of 16 rows, in 32 bits."""
    a = _four_dots(weights, at, stride, signal)
    b = _four_dots(weights, at + 4 * stride, stride, signal)
    c = _four_dots(weights, at + 8 * stride, stride, signal)
    d = _four_dots(weights, at + 12 * stride, stride, signal)
    return fold_four(a, b, c, d)


@jit
def dense_error(weights, stride, signal, needed, wide, sums):
    """X of the needed inputs of a dense layer, 0 of the others; returns how many are needed. sums: int64 [n_in]."""
    rows = np.int64(0)
    n = needed.shape[0]
    whole = np.int64(0) if wide else n & ~(lanes.N_LANES - 1)
    for i in range(0, whole, lanes.N_LANES):
        here = lanes.load(needed, i)
        n_needed = lanes.count_different(here, lanes.splat(0))
        if n_needed > FEW:
            rows += n_needed
            lanes.store(sums, i, lanes.where_nonzero(here, _sixteen_dots(weights, i * stride, stride, signal)))
        else:
            rows += _dense_rows(weights, i, i + lanes.N_LANES, stride, signal, needed, wide, sums)
    return rows + _dense_rows(weights, whole, n, stride, signal, needed, wide, sums)


@jit
def _dense_rows(weights, first, stop, stride, signal, needed, wide, sums):
    """The same row by row."""
    rows = np.int64(0)
    for i in range(first, stop):
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
def sat_sums(sums, shift, nearest, low, high, packed):
    """sat(round(X, shift)) of every input address times 4, plus 2 where X underflows, plus 1 where it saturates.

    sums: int64 [n]; packed: int32 [n].
    """
    half = (np.int64(1) << (shift - 1)) if shift > 0 and nearest else np.int64(0)
    amount = shift & 63
    for i in range(sums.shape[0]):
        x = sums[i]
        sign = x >> 63 if nearest else np.int64(0)  # as in round_sums
        rounded = ((((x ^ sign) - sign + half) >> amount) ^ sign) - sign
        d = max(low, min(high, rounded))
        packed[i] = np.int32(d << 2) | np.int32((rounded == 0) & (x != 0)) << 1 | np.int32(d != rounded)


@jit
def signals_from_one(runs, packed, psi, surrogate_bits, nearest, low, high, d_out, g_out):
    """d and g of a layer that one connection leads from, from what `sat_sums` left; returns as `signals_from_sums`.

    Products d psi must fit 31 bits.
    """
    n_reached = np.int64(0)
    for r in range(runs.shape[0]):
        n_reached += runs[r, RUN_LENGTH]
    if n_reached < psi.shape[0]:  # a pool drops neurons at the margin
        d_out[:] = 0
        g_out[:] = 0
    saturations = underflows = np.int64(0)
    for r in range(runs.shape[0]):
        source, address, length = runs[r, RUN_SOURCE], runs[r, RUN_ADDRESS], runs[r, RUN_LENGTH]
        more = _signals_of_run(packed, address, psi, source, length, surrogate_bits, nearest, low, high, d_out, g_out)
        saturations += more[0]
        underflows += more[1]
    return saturations, underflows


@jit
def _signals_of_run(packed, address, psi, source, length, surrogate_bits, nearest, low, high, d_out, g_out):
    """The same for one run: 16 neurons at a time, the rest one by one."""
    amount = surrogate_bits & 31
    half = np.int32(1 << (amount - 1)) if nearest and amount > 0 else np.int32(0)
    zero, one, halves, shift = lanes.splat(0), lanes.splat(1), lanes.splat(half), lanes.splat(amount)
    lowest, highest = lanes.splat(low), lanes.splat(high)
    magnitudes = lanes.splat(-1 if nearest else 0)  # nearest rounds the magnitude, floor the value
    saturated = underflown = lanes.splat(0)
    whole = length & ~(lanes.N_LANES - 1)
    for k in range(0, whole, lanes.N_LANES):
        code = lanes.load(psi, source + k)
        here = lanes.where_nonzero(code, lanes.load(packed, address + k))
        d = lanes.shift_right(here, lanes.splat(2))
        product = lanes.multiply(d, code)
        sign = lanes.bit_and(lanes.shift_right(product, lanes.splat(31)), magnitudes)
        m = lanes.add(lanes.subtract(lanes.bit_xor(product, sign), sign), halves)
        y = lanes.subtract(lanes.bit_xor(lanes.shift_right(m, shift), sign), sign)
        g = lanes.larger(lowest, lanes.smaller(highest, y))
        saturated = lanes.add(saturated, lanes.bit_and(here, one))
        saturated = count_up(saturated, g, y)
        underflown = lanes.add(underflown, lanes.bit_and(lanes.shift_right(here, one), one))
        underflown = count_up(underflown, lanes.where_zero(y, product), zero)
        lanes.store(d_out, source + k, d)
        lanes.store(g_out, source + k, g)
    saturations, underflows = total(saturated), total(underflown)
    for k in range(whole, length):
        i = source + k
        here = np.int64(packed[address + k]) if psi[i] != 0 else np.int64(0)
        product = (here >> 2) * psi[i]
        y = rounded_shift(product, surrogate_bits, nearest)
        g = max(low, min(high, y))
        saturations += (here & 1) + np.int64(g != y)
        underflows += ((here >> 1) & 1) + np.int64((y == 0) & (product != 0))
        d_out[i] = here >> 2
        g_out[i] = g
    return saturations, underflows


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
