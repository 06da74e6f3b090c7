"""`sample`, `deferred` and `window`: gradients accumulate in their own memory and are applied later (semantics 3.6).

    G_rj <- sat(G_rj + round(D_rj, sG)),   later   P = -m_eta G_rj,   W as in the immediate update

With momentum the velocity V <- sat(leak(V) + G) takes the place of G in the apply.
"""

from __future__ import annotations

import numpy as np

from neurochip.core._jit import jit
from neurochip.core.columns import LEAK_IS_SHIFT
from neurochip.core.neuron import leak_magnitudes, rounded_shift
from neurochip.rules.update.immediate import update_word_any


@jit
def accumulate_row(gradient, signal, factor, shift, nearest, low, high):
    """Accumulate one row. gradient, signal: int32 [n]; returns the saturations."""
    saturations = np.int64(0)
    if shift == 0:
        for j in range(gradient.shape[0]):
            exact = np.int64(gradient[j]) + np.int64(factor) * np.int64(signal[j])
            kept = max(low, min(high, exact))
            saturations += np.int64(kept != exact)
            gradient[j] = kept
    else:
        for j in range(gradient.shape[0]):
            term = rounded_shift(np.int64(factor) * np.int64(signal[j]), shift, nearest)
            exact = np.int64(gradient[j]) + term
            kept = max(low, min(high, exact))
            saturations += np.int64(kept != exact)
            gradient[j] = kept
    return saturations


@jit
def accumulate_rows(gradients, stride, rows, factors, signal, shift, nearest, low, high, changed):
    """Accumulate the listed rows and note that they changed; returns the saturations."""
    saturations = np.int64(0)
    for k in range(rows.shape[0]):
        at = rows[k] * stride
        changed[rows[k]] = 1
        saturations += accumulate_row(gradients[at : at + stride], signal, factors[k], shift, nearest, low, high)
    return saturations


@jit
def is_zero(values):
    """Tell whether all entries are zero."""
    any_bits = np.int32(0)
    for j in range(values.shape[0]):
        any_bits |= values[j]
    return any_bits == 0


@jit
def count_words(values, n, lanes):
    """Return (words of `lanes` columns with a nonzero entry, nonzero entries) among the first n."""
    words = nonzero = 0
    for start in range(0, n, lanes):
        here = 0
        for j in range(start, min(start + lanes, n)):
            here += values[j] != 0
        words += here > 0
        nonzero += here
    return words, nonzero


@jit
def follow_momentum(velocity, gradient, shift, low, high):
    """V <- sat(leak(V) + G) for one row, the leak by 2^-shift; returns the saturations. int32 [n]."""
    leak_magnitudes(velocity, LEAK_IS_SHIFT, shift)
    saturations = np.int64(0)
    for j in range(velocity.shape[0]):
        exact = np.int64(velocity[j]) + np.int64(gradient[j])
        kept = max(low, min(high, exact))
        saturations += np.int64(kept != exact)
        velocity[j] = kept
    return saturations


@jit
def apply_row(row, gradient, n_out, rate, shift, rounding, low, high, registers):
    """Apply one row of gradients or velocities; returns (saturations, advances of the random registers)."""
    saturations = advances = 0
    lanes = registers.shape[0]
    for start in range(0, n_out, lanes):
        stop = min(start + lanes, n_out)
        if is_zero(gradient[start:stop]):
            continue
        saturations += update_word_any(row, gradient, start, stop, -rate, shift, rounding, low, high, registers)
        advances += 1
    return saturations, advances


@jit
def count_either(first, second, n, width):
    """Words of `width` columns in which one of two rows holds something."""
    words = 0
    for start in range(0, n, width):
        found = 0
        for j in range(start, min(start + width, n)):
            found |= first[j] | second[j]
        words += found != 0
    return words
