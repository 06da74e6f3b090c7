"""`trace`: Online Training Through Time. The past is a decaying trace per input address (semantics 3.3).

    a_i <- sat(leak(a_i) + (m_i << frac_a)),   p_i = a_i

The leak is the postsynaptic one: the trace stands for du[t]/du[t-1]. Source: Xiao et al., NeurIPS 2022, equations
as in their reference implementation; the trace includes the current event.
"""

from __future__ import annotations

import numpy as np

from neurochip.core import lanes
from neurochip.core._jit import jit
from neurochip.core.neuron import leak_magnitudes


@jit
def mark_words(trace, width, touched):
    """touched <- whether a word of `width` traces holds one that is not 0; returns their number. trace: int32 [n]."""
    n_words = 0
    zero = lanes.splat(0)
    for word in range(-(-trace.shape[0] // width)):
        if width == lanes.N_LANES:
            any_bits = lanes.count_different(lanes.load(trace, word * width), zero)
        else:
            any_bits = np.int64(0)
            for i in range(word * width, min((word + 1) * width, trace.shape[0])):
                any_bits |= trace[i]
        touched[word] = any_bits != 0
        n_words += any_bits != 0
    return n_words


@jit
def update_trace(trace, leak, leak_value, addresses, magnitudes, frac, highest, width, touched):
    """Decay and add the events. trace: int32 [n_in, padded]; returns (touched words of `width`, saturations)."""
    n_words = mark_words(trace, width, touched)
    leak_magnitudes(trace, leak, leak_value)
    saturations = 0
    word_stop = 0  # addresses ascend: a word is entered once
    for k in range(addresses.shape[0]):
        i = addresses[k]
        exact = trace[i] + (magnitudes[k] << frac)
        kept = min(exact, highest)
        saturations += kept != exact
        trace[i] = kept
        if i >= word_stop:
            word = i // width
            word_stop = (word + 1) * width
            n_words += touched[word] == 0
    return n_words, saturations


@jit
def list_rows(trace, gate, rows, factors):
    """List the rows with a >= gate, ascending; returns (their number, how many a are nonzero)."""
    count = 0
    nonzero = 0
    for i in range(trace.shape[0]):
        a = trace[i]
        rows[count] = i
        factors[count] = a
        count += a >= gate
        nonzero += a != 0
    return count, nonzero
