"""Phase 1, deliver, and the sums of the readout (semantics 3.1 and 3.4).

The membrane saturates at every add. Four binary rows are added at once without saturation while the extremes of all
partial sums are watched; only if one left the range are the four rows taken back and added one by one. The result and
the number of saturations are those of the sequential definition.
"""

from __future__ import annotations

import numpy as np

from neurochip.core._jit import jit

INT32_MAX = np.int32(2147483647)


@jit
def add_row(u, row, magnitude, shift, low, high):
    """u <- sat(u + ((row * magnitude) << shift)); returns the saturations. int32 [n], int8 or int16 [n]."""
    amount = shift & 31
    saturations = np.int32(0)
    for j in range(u.shape[0]):
        exact = np.int32(u[j] + np.int32(np.int32(np.int32(row[j]) * magnitude) << amount))
        kept = max(low, min(high, exact))
        saturations = np.int32(saturations + np.int32(kept != exact))
        u[j] = kept
    return saturations


@jit
def add_four_rows(u, row0, row1, row2, row3, shift, low, high):
    """Add four rows without saturation; returns whether any partial sum left [low, high]."""
    amount = shift & 31
    largest = np.int32(-INT32_MAX)
    smallest = np.int32(INT32_MAX)
    for j in range(u.shape[0]):
        a = np.int32(u[j] + np.int32(np.int32(row0[j]) << amount))
        b = np.int32(a + np.int32(np.int32(row1[j]) << amount))
        c = np.int32(b + np.int32(np.int32(row2[j]) << amount))
        d = np.int32(c + np.int32(np.int32(row3[j]) << amount))
        u[j] = d
        largest = max(largest, max(max(a, b), max(c, d)))
        smallest = min(smallest, min(min(a, b), min(c, d)))
    return largest > high or smallest < low


@jit
def take_row_back(u, row, shift):
    """u <- u - (row << shift), undoing an unsaturated add."""
    amount = shift & 31
    for j in range(u.shape[0]):
        u[j] = np.int32(u[j] - np.int32(np.int32(row[j]) << amount))


@jit
def clamp(u, low, high):
    """u <- sat(u); returns the saturations."""
    saturations = 0
    for j in range(u.shape[0]):
        kept = max(low, min(high, u[j]))
        saturations += kept != u[j]
        u[j] = kept
    return saturations


@jit
def add_current(u, current, low, high):
    """u <- sat(u + i), both inside [low, high] of at most 31 bits, so the sum fits 32; returns the saturations."""
    saturations = np.int32(0)
    for j in range(u.shape[0]):
        exact = np.int32(u[j] + current[j])
        kept = max(low, min(high, exact))
        saturations = np.int32(saturations + np.int32(kept != exact))
        u[j] = kept
    return saturations


@jit
def deliver_events(u, weights, stride, addresses, magnitudes, binary, shift, low, high):
    """Add the rows of all events, ascending, saturating at every add; returns the saturations.

    u: int32 [stride]; weights: int8 or int16, the rows of this layer; addresses, magnitudes: int32 [n_events].
    """
    saturations = 0
    k = 0
    n_events = addresses.shape[0]
    while binary and k + 4 <= n_events:
        at0, at1 = addresses[k] * stride, addresses[k + 1] * stride
        at2, at3 = addresses[k + 2] * stride, addresses[k + 3] * stride
        row0, row1 = weights[at0 : at0 + stride], weights[at1 : at1 + stride]
        row2, row3 = weights[at2 : at2 + stride], weights[at3 : at3 + stride]
        if add_four_rows(u, row0, row1, row2, row3, shift, low, high):
            take_row_back(u, row0, shift)
            take_row_back(u, row1, shift)
            take_row_back(u, row2, shift)
            take_row_back(u, row3, shift)
            saturations += add_row(u, row0, np.int32(1), shift, low, high)
            saturations += add_row(u, row1, np.int32(1), shift, low, high)
            saturations += add_row(u, row2, np.int32(1), shift, low, high)
            saturations += add_row(u, row3, np.int32(1), shift, low, high)
        k += 4
    while k < n_events:
        at = addresses[k] * stride
        saturations += add_row(u, weights[at : at + stride], magnitudes[k], shift, low, high)
        k += 1
    return saturations
