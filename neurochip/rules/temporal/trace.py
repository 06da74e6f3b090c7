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
from neurochip.core.convolution_counts import first_bits, gather_words
from neurochip.core.convolution_lanes import count_bits
from neurochip.core.neuron import leak_magnitudes


@jit
def even_length(n, width, block):
    """Entries of every word if all are equally long and fill vectors of 16, else 0."""
    length = width
    if block < n and block % width != 0:
        if block > width:
            return np.int64(0)
        length = block
    return np.int64(length) if lanes.N_LANES % length == 0 else np.int64(0)


@jit
def mark_even_words(trace, n, length, touched):
    """Mark words of `even_length`: bit q of 8 in touched stands for a word from entry 8 * place + q on."""
    n_words = 0
    firsts, zero = first_bits(length), lanes.splat(0)
    for vector in range((n + 15) >> 4):
        bits = lanes.different_bits(lanes.load(trace, vector << 4), zero)
        bits = gather_words(bits, length) & firsts
        touched[2 * vector] = bits & 255
        touched[2 * vector + 1] = bits >> 8
        n_words += count_bits(bits)
    return n_words


@jit
def count_new_even_words(addresses, length, touched):
    """Return in how many words that `mark_even_words` did not mark the addresses lie, ascending."""
    n_words = np.int64(0)
    stop = np.int64(0)
    for k in range(addresses.shape[0]):
        i = np.int64(addresses[k])
        if i >= stop:
            first = i & -length
            stop = first + length
            n_words += 1 - ((np.int64(touched[first >> 3]) >> (first & 7)) & 1)
    return n_words


@jit
def mark_words(trace, n, width, block, touched):
    """touched <- whether a word of `width` of the n traces holds one that is not 0; returns their number.

    Every block of traces begins a new word. trace: int32 [n, padded to 16], padding 0.
    """
    n_words = word = start = block_stop = 0
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
def add_events(values, addresses, magnitudes, shift, highest):
    """values_i <- sat(values_i + (m_i << shift)); returns the saturations."""
    saturations = 0
    for k in range(addresses.shape[0]):
        i = addresses[k]
        exact = values[i] + (magnitudes[k] << shift)
        kept = min(exact, highest)
        saturations += kept != exact
        values[i] = kept
    return saturations


@jit
def count_new_words(addresses, width, block, touched):
    """Return in how many words that are not marked the addresses lie, ascending."""
    n_words = 0
    words_per_block = -(-block // width)
    word_stop = 0  # addresses ascend: a word is entered once
    for k in range(addresses.shape[0]):
        i = addresses[k]
        if i >= word_stop:
            first = i // block * block
            inside = (i - first) // width
            word_stop = min(first + (inside + 1) * width, first + block)
            n_words += touched[first // block * words_per_block + inside] == 0
    return n_words


@jit
def update_trace(trace, n, leak, leak_value, addresses, magnitudes, shift, highest, width, block, touched):
    """Decay and add the events. trace: int32 [n, padded]; returns (touched words of `width`, saturations)."""
    length = even_length(n, width, block)
    if length > 0:
        n_words = np.int64(mark_even_words(trace, n, length, touched))
        n_words += count_new_even_words(addresses, length, touched)
    else:
        n_words = np.int64(mark_words(trace, n, width, block, touched))
        n_words += count_new_words(addresses, width, block, touched)
    leak_magnitudes(trace, leak, leak_value)
    return n_words, add_events(trace, addresses, magnitudes, shift, highest)


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
    n_words += count_new_words(addresses, width, block, touched)
    saturations = add_events(filtered, addresses, magnitudes, shift, highest)
    leak_magnitudes(trace, filter_leak, filter_leak_value)
    saturations += add_filtered(trace, filtered, highest)
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
    firsts = first_bits(width)
    if firsts == 0:
        return np.int64(count_row_words(rows, width))
    n_words = np.int64(0)
    below = lanes.splat(gate - 1)
    for start in range(0, trace.shape[0], lanes.N_LANES):
        bits = lanes.different_bits(lanes.larger(lanes.load(trace, start), below), below)
        n_words += count_bits(gather_words(bits, width) & firsts)
    return n_words
