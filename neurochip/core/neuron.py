"""Leak and phase 2, fire (semantics section 2, 3.1.1 and 3.2)."""

from __future__ import annotations

import numpy as np

from neurochip.core import lanes
from neurochip.core._jit import jit
from neurochip.core.columns import LEAK_IS_CONSTANT, LEAK_IS_SHIFT
from neurochip.core.convolution_lanes import count_bits

AT_ONCE = 8  # places that are appended without asking how many there are
FOUR = 4 * lanes.N_LANES  # neurons whose spikes are the bits of one integer


@jit
def leak_magnitudes(values, kind, value):
    """x <- sign(x) * L(|x|), towards zero; every kind. values: int32 [n]."""
    if kind == LEAK_IS_SHIFT:
        amount = value & 31
        round_up = np.int32((1 << amount) - 1)
        for j in range(values.shape[0]):
            x = values[j]
            # sign(x) * (m - ceil(m / 2^k)) without a branch: flip to the magnitude and back.
            sign = np.int32(x >> 31)
            m = np.int32(np.int32(x ^ sign) - sign)
            m = np.int32(m - np.int32(np.int32(m + round_up) >> amount))
            values[j] = np.int32(np.int32(m ^ sign) - sign)
    elif kind == LEAK_IS_CONSTANT:
        for j in range(values.shape[0]):
            x = np.int64(values[j])
            m = (abs(x) * value) >> 16
            values[j] = m if x >= 0 else -m
    else:
        for j in range(values.shape[0]):
            values[j] = 0


@jit
def append_places(bits, start, places, count):
    """Append start + q of every bit q that is set, ascending; returns their number with those before.

    Entries from there on, up to eight, may be overwritten.
    """
    at = count
    count += count_bits(bits)
    if at + AT_ONCE <= places.shape[0]:  # without a branch per bit, which no processor foresees
        for k in range(AT_ONCE):
            places[at + k] = start + lanes.first_bit(bits)
            bits &= bits - 1
        at += AT_ONCE
    while bits != 0:
        places[at] = start + lanes.first_bit(bits)
        at += 1
        bits &= bits - 1
    return count


@jit
def fire(u, n_out, threshold, reset_zero, spikes):
    """Fire and reset: u becomes u_after_reset; the spiking addresses go to `spikes`; returns their number."""
    count = np.int64(0)
    whole = n_out & ~(lanes.N_LANES - 1)
    below = lanes.splat(threshold - 1)
    for first in range(0, whole, FOUR):
        bits = np.int64(0)
        for start in range(first, min(first + FOUR, whole), lanes.N_LANES):
            here = lanes.different_bits(lanes.larger(lanes.load(u, start), below), below)
            bits |= here << (start - first)
        if bits != 0:
            count = append_places(bits, first, spikes, count)
    for j in range(whole, n_out):
        spikes[count] = j
        count += u[j] >= threshold
    if reset_zero:
        for k in range(count):
            u[spikes[k]] = 0
    else:
        for k in range(count):
            u[spikes[k]] -= threshold
    return count


@jit
def surrogate_codes(u, n_out, threshold, shift, table, psi):
    """psi <- table[clamp((u - threshold) >> shift, -32, 31)] from u before the reset; returns how many are nonzero."""
    amount = shift & 31
    lowest, highest = np.int32(-32), np.int32(31)
    # Three loops: only the look-up itself goes neuron by neuron then, the other two are vectorised.
    for j in range(n_out):
        index = np.int32(np.int32(u[j] - threshold) >> amount)
        psi[j] = np.int32(max(lowest, min(highest, index)) + np.int32(32))
    for j in range(n_out):
        psi[j] = table[np.uint32(psi[j])]  # unsigned: no test for an index from the end
    nonzero = np.int32(0)
    for j in range(n_out):
        nonzero += np.int32(psi[j] != 0)
    return np.int64(nonzero)


@jit
def rounded_shift(x, shift, nearest):
    """Right shift with the rounding of learning signals: ties away from zero, or floor. int64."""
    if shift == 0:
        return x
    if nearest:
        m = (abs(x) + (1 << (shift - 1))) >> shift
        return m if x >= 0 else -m
    return x >> shift
