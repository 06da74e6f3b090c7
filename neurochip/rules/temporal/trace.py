"""`trace`: Online Training Through Time. The past is a decaying trace per input address (semantics 3.3).

    a_i <- sat(leak(a_i) + (m_i << sa)),   p_i = a_i

The leak is the postsynaptic one: the trace stands for du[t]/du[t-1]. Source: Xiao et al., NeurIPS 2022, equations
as in their reference implementation; the trace includes the current event. With a filter, a second leak, the trace
that is learned from follows the first one, as in e-prop (Bellec et al., Nature Communications 2020):

    f_i <- sat(leak(f_i) + (m_i << sa)),   a_i <- sat(filter_leak(a_i) + f_i)
"""

from __future__ import annotations

import numpy as np

from neurochip.core import lanes
from neurochip.core._jit import jit
from neurochip.core.neuron import leak_magnitudes


@jit
def mark_words(trace, n, width, block, touched):
    """touched <- whether a word of `width` of the n traces holds one that is not 0; returns their number.

    Every block of traces begins a new word. trace: int32 [n, padded to 16], padding 0.
    """
    n_words = 0
    if width == lanes.N_LANES and (block >= n or block & 15 == 0):
        zero = lanes.splat(0)
        for word in range((n + 15) >> 4):
            here = lanes.count_different(lanes.load(trace, word << 4), zero) != 0
            touched[word] = here
            n_words += here
        return n_words
    word = start = block_stop = 0
    while start < n:
        if start >= block_stop:
            block_stop += block
        stop = min(start + width, block_stop)
        any_bits = np.int64(0)
        for i in range(start, stop):
            any_bits |= trace[i]
        touched[word] = any_bits != 0
        n_words += any_bits != 0
        word += 1
        start = stop
    return n_words


@jit
def mark_more_words(values, n, width, block, touched):
    """Mark the words that hold a value that is not 0 as well; returns how many were not marked before."""
    n_words = word = start = block_stop = 0
    while start < n:
        if start >= block_stop:
            block_stop += block
        stop = min(start + width, block_stop)
        any_bits = np.int64(0)
        for i in range(start, stop):
            any_bits |= values[i]
        n_words += any_bits != 0 and touched[word] == 0
        touched[word] |= any_bits != 0
        word += 1
        start = stop
    return n_words


@jit
def add_events(values, addresses, magnitudes, shift, highest, width, block, touched):
    """values_i <- sat(values_i + (m_i << shift)), addresses ascending; returns (words not marked, saturations)."""
    n_words = saturations = 0
    words_per_block = -(-block // width)
    word_stop = 0  # addresses ascend: a word is entered once
    for k in range(addresses.shape[0]):
        i = addresses[k]
        exact = values[i] + (magnitudes[k] << shift)
        kept = min(exact, highest)
        saturations += kept != exact
        values[i] = kept
        if i >= word_stop:
            first = i // block * block
            inside = (i - first) // width
            word_stop = min(first + (inside + 1) * width, first + block)
            n_words += touched[first // block * words_per_block + inside] == 0
    return n_words, saturations


@jit
def update_trace(trace, n, leak, leak_value, addresses, magnitudes, shift, highest, width, block, touched):
    """Decay and add the events. trace: int32 [n, padded]; returns (touched words of `width`, saturations)."""
    n_words = mark_words(trace, n, width, block, touched)
    leak_magnitudes(trace, leak, leak_value)
    more_words, saturations = add_events(trace, addresses, magnitudes, shift, highest, width, block, touched)
    return n_words + more_words, saturations


@jit
def add_filtered(trace, filtered, highest):
    """a <- sat(a + f), a already decayed; returns the saturations."""
    saturations = 0
    for i in range(trace.shape[0]):
        exact = np.int64(trace[i]) + filtered[i]
        kept = min(exact, highest)
        saturations += kept != exact
        trace[i] = kept
    return saturations


@jit
def update_filtered_trace(trace, filtered, n, leaks, addresses, magnitudes, shift, highest, width, block, touched):
    """Decay f, add the events to it, and let a follow. leaks: (kind, value, filter kind, filter value); as above."""
    leak, leak_value, filter_leak, filter_leak_value = leaks
    n_words = mark_words(trace, n, width, block, touched)
    n_words += mark_more_words(filtered, n, width, block, touched)
    leak_magnitudes(filtered, leak, leak_value)
    more_words, saturations = add_events(filtered, addresses, magnitudes, shift, highest, width, block, touched)
    leak_magnitudes(trace, filter_leak, filter_leak_value)
    saturations += add_filtered(trace, filtered, highest)
    return n_words + more_words, saturations


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


@jit
def copy_gated(trace, gate, factors):
    """factors_i <- a_i where a_i >= gate, else 0; returns how many a are nonzero."""
    nonzero = 0
    for i in range(trace.shape[0]):
        a = trace[i]
        factors[i] = a if a >= gate else 0
        nonzero += a != 0
    return nonzero


@jit
def count_row_words(rows, width):
    """Return in how many words of `width` the listed rows lie, ascending."""
    n_words = 0
    stop = 0
    for k in range(rows.shape[0]):
        i = rows[k]
        if i >= stop:
            stop = (i // width + 1) * width
            n_words += 1
    return n_words


@jit
def count_trace_words(trace, gate, rows, width):
    """The same for the rows with a >= gate. trace: int32 [n, padded to 16], padding 0."""
    if width != lanes.N_LANES:
        return count_row_words(rows, width)
    n_words = 0
    below = lanes.splat(gate - 1)
    for start in range(0, trace.shape[0], lanes.N_LANES):
        n_words += lanes.count_different(lanes.larger(lanes.load(trace, start), below), below) != 0
    return n_words
