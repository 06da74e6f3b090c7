"""Activity of a convolutional layer that depends on taps, counted by positions instead of taps (semantics section 5).

`count_signal` first lays down, per input position and group, what the taps of such an address reach; then every field
is a sum over positions and groups.

Scratch of a layer, kept from `count_signal` to the other calls with the same signal:
blocks: int64 [n_blocks], per block the L-words with some signal != 0 in the high 32 bits, the signals != 0 in the low;
columns: int64 [out_width * groups], the sums of both over the output rows of one input row;
reach: int64 [height * width * groups], the sums of both over the taps of an address, in the order of addresses.
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
    KERNEL_HEIGHT,
    KERNEL_WIDTH,
    OUT_HEIGHT,
    OUT_WIDTH,
    PADDING_X,
    PADDING_Y,
    STRIDE_X,
    STRIDE_Y,
    WIDTH,
    outputs_inside,
    outputs_reached,
    taps_of,
)
from neurochip.core.convolution_lanes import count_bits
from neurochip.core.lanes import N_LANES, different_bits, load, splat

LOW_HALF = (1 << 32) - 1


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
    if at + N_LANES <= values.shape[0]:
        bits = different_bits(load(values, at), splat(0))
        return bits if at + N_LANES <= stop else bits & ((np.int64(1) << (stop - at)) - 1)
    bits = np.int64(0)
    for j in range(at, stop):
        bits |= np.int64(values[j] != 0) << (j - at)
    return bits


@jit
def first_bits(lanes):
    """Return 16 bits, set at the first entry of every word of `lanes`; 0 if words do not fill 16 entries."""
    return np.int64(0) if N_LANES % lanes else ((1 << N_LANES) - 1) // ((1 << lanes) - 1)


@jit
def gather_words(bits, lanes):
    """Gather the bits of every word at its first entry; the others have no meaning then. lanes: a power of 2."""
    reach = 1
    while reach < lanes:
        bits |= bits >> reach
        reach *= 2
    return bits


@jit
def count_words(values, start, n, lanes, firsts):
    """Return (words of `lanes` entries with a nonzero one, nonzero entries) among values[start : start + n].

    firsts: first_bits(lanes), formed once by the caller, as it takes two divisions.
    """
    words = nonzero = np.int64(0)
    stop = start + n
    if firsts != 0:
        for at in range(start, stop, N_LANES):
            bits = nonzero_bits_at(values, at, stop)
            if bits == 0:
                continue
            nonzero += count_bits(bits)
            words += count_bits(gather_words(bits, lanes) & firsts)
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
def are_whole(n, firsts):
    """Whether `count_whole_words` may count n entries: they are whole vectors, and words fill vectors."""
    return firsts != 0 and n & (N_LANES - 1) == 0


@jit
def count_whole_words(values, start, stop, lanes, firsts):
    """The same as `count_words` where n = stop - start is a multiple of 16 and firsts is not 0."""
    words = nonzero = np.int64(0)
    for at in range(start, stop, N_LANES):
        bits = different_bits(load(values, at), splat(0))
        nonzero += count_bits(bits)
        if lanes == N_LANES:
            words += np.int64(bits != 0)
        else:
            words += count_bits(gather_words(bits, lanes) & firsts)
    return words, nonzero


@jit
def count_signal(geometry, signal, synapse_lanes, blocks, columns, reach):
    """Fill the scratch; returns (signal_words, signal_nonzero, all_tap_words, all_tap_products)."""
    n_blocks = geometry[OUT_HEIGHT] * geometry[OUT_WIDTH] * geometry[GROUPS]
    stride, n = geometry[BLOCK_STRIDE], geometry[COLUMNS]
    firsts = first_bits(synapse_lanes)
    signal_words = signal_nonzero = np.int64(0)
    whole = are_whole(n, firsts)
    for block in range(n_blocks):
        at = block * stride
        if whole:
            words, nonzero = count_whole_words(signal, at, at + n, synapse_lanes, firsts)
        else:
            words, nonzero = count_words(signal, at, n, synapse_lanes, firsts)
        blocks[block] = (words << 32) + nonzero
        signal_words += words
        signal_nonzero += nonzero
    tap_words, tap_products = sum_reach(geometry, blocks, columns, reach)
    return signal_words, signal_nonzero, tap_words * geometry[GROUP_CHANNELS], tap_products * geometry[GROUP_CHANNELS]


@jit
def sum_reach(geometry, blocks, columns, reach):
    """Sum `blocks` over the taps of every input position and group into `reach`; returns the sums of both halves.

    Taps are separable, so the rows of an input row are summed first, once for all its positions.
    """
    n = geometry[WIDTH] * geometry[GROUPS]
    total_words = total_products = np.int64(0)
    for y in range(geometry[HEIGHT]):
        _sum_rows(geometry, y, blocks, columns)
        row = reach[y * n : (y + 1) * n]
        _sum_columns(geometry, columns, row)
        for k in range(n):
            total_words += row[k] >> 32
            total_products += row[k] & LOW_HALF
    return total_words, total_products


@jit
def _sum_rows(geometry, y, blocks, columns):
    """Sum `blocks` over the output rows that input row y reaches."""
    n = geometry[OUT_WIDTH] * geometry[GROUPS]
    first, stop = outputs_reached(
        y, geometry[PADDING_Y], geometry[STRIDE_Y], geometry[KERNEL_HEIGHT], geometry[OUT_HEIGHT]
    )
    columns[:] = 0
    for row in range(first, stop):
        values = blocks[row * n : (row + 1) * n]
        for k in range(n):
            columns[k] += values[k]


@jit
def _sum_columns(geometry, columns, reach):
    """Sum `columns` over the output columns that every input column reaches."""
    groups, stride, padding = geometry[GROUPS], geometry[STRIDE_X], geometry[PADDING_X]
    reach[:] = 0
    for k_x in range(geometry[KERNEL_WIDTH]):
        first, stop = outputs_inside(k_x, padding, stride, geometry[WIDTH], geometry[OUT_WIDTH])
        # Without strides the columns of all groups are neighbours on either side.
        n_steps, n = (stop - first, groups) if stride > 1 else (min(1, stop - first), (stop - first) * groups)
        for step in range(n_steps):
            values = columns[(first + step) * groups : (first + step) * groups + n]
            sums = reach[((first + step) * stride + k_x - padding) * groups :]
            for k in range(n):
                sums[k] += values[k]


@jit
def count_error(geometry, needed, reach, needed_at):
    """Return (psi_rows, psi_taps, error_words, error_products) of the addresses with needed != 0.

    needed_at: int32 [height * width * groups], filled with how many they are at every position and group. error_rows
    is psi_rows if some signal is not 0, else 0.
    """
    rows, taps, _, words, products = _count_addresses(geometry, needed, geometry[GROUP_CHANNELS], reach, needed_at)
    return rows, taps, words, products


@jit
def count_update(geometry, p, has_bias, trace_lanes, signal_words, signal_nonzero, reach, p_at):
    """Return (presynaptic_rows, presynaptic_taps, update_tiles, update_words, update_products), bias rows included.

    p: int32 [n_in], 0 where there is no factor; p_at: as in `count_error`. update_rows is presynaptic_rows if
    signal_nonzero is not 0, else 0.
    """
    rows, taps, tiles, words, products = _count_addresses(geometry, p, trace_lanes, reach, p_at)
    if has_bias:
        rows += geometry[GROUPS]
        taps += geometry[GROUPS] * geometry[OUT_HEIGHT] * geometry[OUT_WIDTH]
        words += signal_words
        products += signal_nonzero
    return rows, taps, tiles, words, products


@jit
def _count_addresses(geometry, values, lanes, reach, nonzero_at):
    """Return (addresses with a nonzero value, their taps, tiles, words, products); tiles count words of `lanes`."""
    groups, group_channels = geometry[GROUPS], geometry[GROUP_CHANNELS]
    firsts = first_bits(lanes)
    whole, narrow = are_whole(group_channels, firsts), group_channels <= N_LANES
    rows = taps = tiles = words = products = np.int64(0)
    at = 0
    for y in range(geometry[HEIGHT]):
        first_y, stop_y = outputs_reached(
            y, geometry[PADDING_Y], geometry[STRIDE_Y], geometry[KERNEL_HEIGHT], geometry[OUT_HEIGHT]
        )
        for x in range(geometry[WIDTH]):
            first_x, stop_x = outputs_reached(
                x, geometry[PADDING_X], geometry[STRIDE_X], geometry[KERNEL_WIDTH], geometry[OUT_WIDTH]
            )
            for _ in range(groups):
                first = at * group_channels
                if whole:
                    blocks, nonzero = count_whole_words(values, first, first + group_channels, lanes, firsts)
                elif narrow and nonzero_bits_at(values, first, first + group_channels) == 0:
                    blocks = nonzero = np.int64(0)
                else:
                    blocks, nonzero = count_words(values, first, group_channels, lanes, firsts)
                nonzero_at[at] = nonzero
                if nonzero > 0:
                    rows += nonzero
                    taps += nonzero * (stop_y - first_y) * (stop_x - first_x)
                    tiles += blocks * (reach[at] >> 32)
                    words += nonzero * (reach[at] >> 32)
                    products += nonzero * (reach[at] & LOW_HALF)
                at += 1
    return rows, taps, tiles, words, products
