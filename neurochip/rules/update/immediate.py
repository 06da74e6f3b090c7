"""`immediate`: a weight changes as soon as its update is formed (semantics 3.5).

    P = -m_eta p_i g_j,   W_ij <- sat(((W_ij << S) + P + c) >> S) = sat(W_ij + ((P + c) >> S))

The second form is equal because W << S is a multiple of 2^S; it keeps the sum in 32 bits.
"""

from __future__ import annotations

import numpy as np

from neurochip.core import lanes
from neurochip.core._jit import jit
from neurochip.core.columns import ROUND_NEAREST, ROUND_STOCHASTIC


@jit
def advance(x):
    """One xorshift32 step (13, 17, 5). numba widens uint32 to 64 bits, so every step is stored back first."""
    x = np.uint32(x ^ np.uint32(x << np.uint32(13)))
    x = np.uint32(x ^ np.uint32(x >> np.uint32(17)))
    return np.uint32(x ^ np.uint32(x << np.uint32(5)))


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
def advance_lanes(x):
    """One xorshift32 step of 16 registers at once."""
    x = lanes.bit_xor(x, lanes.shift_left(x, lanes.splat(13)))
    x = lanes.bit_xor(x, lanes.shift_right_unsigned(x, lanes.splat(17)))
    return lanes.bit_xor(x, lanes.shift_left(x, lanes.splat(5)))


@jit
def update_rows_stochastic(weights, stride, rows, factors, signal, words, shift, low, high, registers):
    """Update the listed 16-column words of rows with stochastic rounding; returns the saturations.

    signal: int32 [stride], -m_eta g; words: int32, first columns, ascending; registers: uint32 [16].
    """
    amount, mask = lanes.splat(shift & 31), lanes.splat((1 << (shift & 31)) - 1)
    lowest, highest = lanes.splat(low), lanes.splat(high)
    saturations = np.int64(0)
    random = lanes.load(registers, 0)
    for k in range(rows.shape[0]):
        at = rows[k] * stride
        factor = lanes.splat(factors[k])
        for w in range(words.shape[0]):
            column = words[w]
            random = advance_lanes(random)
            product = lanes.multiply(factor, lanes.load(signal, column))
            step = lanes.shift_right(lanes.add(product, lanes.bit_and(random, mask)), amount)
            exact = lanes.add(lanes.load(weights, at + column), step)
            kept = lanes.larger(lowest, lanes.smaller(highest, exact))
            saturations += lanes.count_different(kept, exact)
            lanes.store(weights, at + column, kept)
    lanes.store(registers, 0, random)
    return saturations


@jit
def update_products_stochastic(weights, products, rate, shift, low, high, registers):
    """Update every 16-column word with some D != 0 with stochastic rounding; returns (saturations, advances).

    weights, products: all rows of a layer, padded alike, D int32; registers: uint32 [16].
    """
    amount, mask = lanes.splat(shift & 31), lanes.splat((1 << (shift & 31)) - 1)
    lowest, highest, factor = lanes.splat(low), lanes.splat(high), lanes.splat(-rate)
    saturations = advances = np.int64(0)
    random = lanes.load(registers, 0)
    for at in range(0, products.shape[0], lanes.N_LANES):
        d = lanes.load(products, at)
        if lanes.count_different(d, lanes.splat(0)) == 0:
            continue
        random = advance_lanes(random)
        advances += 1
        step = lanes.shift_right(lanes.add(lanes.multiply(factor, d), lanes.bit_and(random, mask)), amount)
        exact = lanes.add(lanes.load(weights, at), step)
        kept = lanes.larger(lowest, lanes.smaller(highest, exact))
        saturations += lanes.count_different(kept, exact)
        lanes.store(weights, at, kept)
    lanes.store(registers, 0, random)
    return saturations, advances


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
def update_rows_any(weights, stride, rows, factors, signal, words, n_out, shift, rounding, low, high, registers):
    """Update the listed words of rows for any number of lanes and any width; returns the saturations."""
    saturations = np.int64(0)
    for k in range(rows.shape[0]):
        at = rows[k] * stride
        row = weights[at : at + stride]
        for w in range(words.shape[0]):
            start = np.int64(words[w])  # 64 bits everywhere, as in the other call of update_word_any: compiled once
            stop = min(start + registers.shape[0], n_out)
            factor = np.int64(factors[k])
            saturations += update_word_any(row, signal, start, stop, factor, shift, rounding, low, high, registers)
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
def find_words(signal, n_out, width, words):
    """List the first columns of the words of `width` columns that hold a nonzero signal; returns their number."""
    count = 0
    for start in range(0, n_out, width):
        any_bits = np.int32(0)
        for j in range(start, min(start + width, n_out)):
            any_bits |= signal[j]
        words[count] = start
        count += any_bits != 0
    return count
