"""Activity of a convolutional layer that depends on taps, counted by positions instead of taps (semantics section 5).

`count_signal` first lays down, per input position and group, what the taps of such an address reach; then every field
is a sum over positions and groups.

Scratch of a layer, kept from `count_signal` to the other calls with the same signal:
blocks: int32 [2 * n_blocks], per block the L-words with some signal != 0, then per block the signals != 0;
reach: int32 [2 * height * width * groups], the sums of both over the taps of an address, in the order of addresses.
"""

from __future__ import annotations

import numpy as np

from neurochip.core._jit import jit
from neurochip.core.convolution_geometry import (
    BLOCK_STRIDE,
    CHANNELS,
    COLUMNS,
    GROUP_CHANNELS,
    GROUPS,
    HEIGHT,
    OUT_HEIGHT,
    OUT_WIDTH,
    WIDTH,
    taps_of,
)
from neurochip.core.convolution_lanes import count_bits, nonzero_bits
from neurochip.core.lanes import N_LANES, load


@jit
def count_delivered(geometry, addresses):
    """Return deliver_taps, the taps of all listed input addresses. addresses: int32 [n_events]."""
    width, channels = geometry[WIDTH], geometry[CHANNELS]
    first = stop = here = taps = np.int64(0)
    for k in range(addresses.shape[0]):
        at = np.int64(addresses[k])
        if not first <= at < stop:  # ascending addresses stay at a position for a while
            position = at // channels
            first, stop = position * channels, (position + 1) * channels
            y = position // width
            _, _, n_y, n_x = taps_of(geometry, y, position - y * width)
            here = n_y * n_x
        taps += here
    return taps


@jit
def nonzero_bits_at(values, at, stop):
    """Return which of values[at : at + 16] are not 0, bit q for entry q; entries from `stop` on count as 0."""
    if at + N_LANES <= stop:
        return nonzero_bits(load(values, at))
    bits = np.int64(0)
    for j in range(at, stop):
        bits |= np.int64(values[j] != 0) << (j - at)
    return bits


@jit
def count_words(values, start, n, lanes):
    """Return (words of `lanes` entries with a nonzero one, nonzero entries) among values[start : start + n]."""
    words = nonzero = np.int64(0)
    stop = start + n
    if N_LANES % lanes == 0:
        firsts = ((1 << N_LANES) - 1) // ((1 << lanes) - 1)  # a bit at the first entry of every word
        for at in range(start, stop, N_LANES):
            bits = nonzero_bits_at(values, at, stop)
            nonzero += count_bits(bits)
            reach = 1
            while reach < lanes:  # gather the bits of a word at its first entry
                bits |= bits >> reach
                reach *= 2
            words += count_bits(bits & firsts)
    else:
        for first in range(start, stop, lanes):
            end = min(first + lanes, stop)
            here = np.int64(0)
            for at in range(first, end, N_LANES):
                here += count_bits(nonzero_bits_at(values, at, end))
            words += here > 0
            nonzero += here
    return words, nonzero


@jit
def count_signal(geometry, signal, synapse_lanes, blocks, reach):
    """Fill the scratch; returns (signal_words, signal_nonzero, all_tap_words, all_tap_products)."""
    n_blocks = geometry[OUT_HEIGHT] * geometry[OUT_WIDTH] * geometry[GROUPS]
    stride, columns = geometry[BLOCK_STRIDE], geometry[COLUMNS]
    signal_words = signal_nonzero = np.int64(0)
    for block in range(n_blocks):
        words, nonzero = count_words(signal, block * stride, columns, synapse_lanes)
        blocks[block] = words
        blocks[n_blocks + block] = nonzero
        signal_words += words
        signal_nonzero += nonzero
    tap_words, tap_products = sum_reach(geometry, blocks, n_blocks, reach)
    return signal_words, signal_nonzero, tap_words * geometry[GROUP_CHANNELS], tap_products * geometry[GROUP_CHANNELS]


@jit
def sum_reach(geometry, blocks, n_blocks, reach):
    """Sum `blocks` over the taps of every input position and group into `reach`; returns the sums of both halves."""
    groups, width, next_row = geometry[GROUPS], geometry[WIDTH], geometry[OUT_WIDTH] * geometry[GROUPS]
    n_inputs = geometry[HEIGHT] * width * groups
    total_words = total_products = np.int64(0)
    at = 0
    for y in range(geometry[HEIGHT]):
        for x in range(width):
            _, position, n_y, n_x = taps_of(geometry, y, x)
            for group in range(groups):
                words = products = np.int64(0)
                for row in range(n_y):
                    block = position * groups + group + row * next_row
                    for _ in range(n_x):
                        words += blocks[block]
                        products += blocks[n_blocks + block]
                        block += groups
                reach[at] = words
                reach[n_inputs + at] = products
                total_words += words
                total_products += products
                at += 1
    return total_words, total_products


@jit
def count_error(geometry, needed, reach):
    """Return (psi_rows, psi_taps, error_words, error_products) of the addresses with needed != 0.

    error_rows is psi_rows if some signal is not 0, else 0.
    """
    rows, taps, _, words, products = _count_addresses(geometry, needed, geometry[GROUP_CHANNELS], reach)
    return rows, taps, words, products


@jit
def count_update(geometry, p, has_bias, trace_lanes, signal_words, signal_nonzero, reach):
    """Return (presynaptic_rows, presynaptic_taps, update_tiles, update_words, update_products), bias rows included.

    p: int32 [n_in], 0 where there is no factor. update_rows is presynaptic_rows if signal_nonzero is not 0, else 0.
    """
    rows, taps, tiles, words, products = _count_addresses(geometry, p, trace_lanes, reach)
    if has_bias:
        rows += geometry[GROUPS]
        taps += geometry[GROUPS] * geometry[OUT_HEIGHT] * geometry[OUT_WIDTH]
        words += signal_words
        products += signal_nonzero
    return rows, taps, tiles, words, products


@jit
def _count_addresses(geometry, values, lanes, reach):
    """Return (addresses with a nonzero value, their taps, tiles, words, products); tiles count words of `lanes`."""
    groups, group_channels = geometry[GROUPS], geometry[GROUP_CHANNELS]
    n_inputs = geometry[HEIGHT] * geometry[WIDTH] * groups
    rows = taps = tiles = words = products = np.int64(0)
    at = 0
    for y in range(geometry[HEIGHT]):
        for x in range(geometry[WIDTH]):
            _, _, n_y, n_x = taps_of(geometry, y, x)
            for _ in range(groups):
                blocks, nonzero = count_words(values, at * group_channels, group_channels, lanes)
                rows += nonzero
                taps += nonzero * n_y * n_x
                tiles += blocks * reach[at]
                words += nonzero * reach[at]
                products += nonzero * reach[n_inputs + at]
                at += 1
    return rows, taps, tiles, words, products
