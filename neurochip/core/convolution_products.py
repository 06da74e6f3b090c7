"""Sums of products of one convolutional layer (semantics 3.5): what the update of its rows is formed from.

D_rj = sum of p_i * signal_bj over all addresses i and their taps (r, b). With few p != 0, or where one does not fit 16
bits, each p != 0 adds to the rows of its taps in memory. Else a row is summed over all positions in registers, over two
neighbours of a row of outputs at once: their signals, and the two p they meet, are the halves of 32-bit entries,

    signal_pairs  [out_height][ceil(out_width / 2)][groups * n]     outputs x and x + 1 of every even x
    p_pairs  [height][columns][channels]     inputs x and x + stride_x of every x from -padding_x on

with 0 for what lies outside of its map. The other layouts are those of `convolution`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from neurochip.core import lanes
from neurochip.core._jit import jit
from neurochip.core.convolution_geometry import (
    BLOCK_STRIDE,
    CHANNELS,
    GROUP_CHANNELS,
    GROUPS,
    HEIGHT,
    KERNEL_HEIGHT,
    KERNEL_WIDTH,
    N_ROWS,
    OUT_HEIGHT,
    OUT_WIDTH,
    PADDING_X,
    PADDING_Y,
    STRIDE_X,
    STRIDE_Y,
    WIDTH,
    outputs_inside,
    taps_of,
)
from neurochip.core.convolution_lanes import broadcast, multiply_pairs
from neurochip.core.lanes import N_LANES

SPARSE = 12  # at most one p in so many is not 0: measured, adding in memory is faster from there on
TILE = 8  # rows that are summed at once
FEW = 2  # so many rows are summed one by one
TILE_ENTRIES = TILE * N_LANES


@jit
def p_columns(geometry):
    """Columns of the pairs of p: as far as the last even output column reaches."""
    return (geometry[OUT_WIDTH] - 1) // 2 * 2 * geometry[STRIDE_X] + geometry[KERNEL_WIDTH]


def pair_sizes(geometry: NDArray[np.int64]) -> tuple[int, int]:
    """Return the entries of (p_pairs, signal_pairs) for the row of a geometry; of p also what is read past the end."""
    of_p = int(geometry[HEIGHT] * p_columns(geometry) * geometry[CHANNELS]) + TILE
    blocks = int(geometry[OUT_HEIGHT] * ((geometry[OUT_WIDTH] + 1) // 2) * geometry[GROUPS])
    return of_p, blocks * int(geometry[BLOCK_STRIDE])


@jit
def sum_products_conv(geometry, p, signal, has_bias, bias_factor, p_pairs, signal_pairs, tile, d_out):
    """D_rj = sum over the taps (r, b) of all addresses i of p_i * signal_bj, for all rows.

    p: int32 [n_in], at least 0, 0 where there is no factor; bias_factor: p of the bias; p_pairs, signal_pairs, tile:
    scratch, int32 of `pair_sizes` and [TILE_ENTRIES]; d_out: int32 [(n_rows + groups) * n], written as a whole; rows of
    an absent bias become 0. |D| < 2^31 is taken for granted (semantics section 1); what is summed on the way may wrap.
    """
    n_in = geometry[HEIGHT] * geometry[WIDTH] * geometry[CHANNELS]
    nonzero = all_bits = np.int32(0)
    for i in range(n_in):
        nonzero = np.int32(nonzero + np.int32(p[i] != 0))
        all_bits = np.int32(all_bits | p[i])
    is_dense = nonzero * SPARSE > n_in and all_bits >> 15 == 0 and pair_signals(geometry, signal, signal_pairs)
    if is_dense:
        pair_factors(geometry, p, p_pairs)
        for k_y in range(geometry[KERNEL_HEIGHT]):
            _sum_dense(geometry, p_pairs, signal_pairs, k_y, tile, d_out)
    else:
        _sum_sparse(geometry, p, signal, d_out)
    _sum_bias(geometry, signal, bias_factor if has_bias else 0, d_out)


@jit
def pair_signals(geometry, signal, signal_pairs):
    """Put the signals of neighbouring outputs together; returns whether all fit 16 bits."""
    n = geometry[GROUPS] * geometry[BLOCK_STRIDE]
    out_width = geometry[OUT_WIDTH]
    past = np.int32(0)  # the bits of all magnitudes
    at = np.int64(0)
    for row in range(geometry[OUT_HEIGHT]):
        for x in range(0, out_width, 2):
            first = (row * out_width + x) * n
            # The last column of an odd map is paired with nothing.
            mask = np.int32(-1) if x + 1 < out_width else np.int32(0)
            second = first + n if x + 1 < out_width else first
            low, high, pairs = signal[first : first + n], signal[second : second + n], signal_pairs[at : at + n]
            for j in range(n):
                one, other = low[j], np.int32(high[j] & mask)
                past = np.int32(
                    past | np.int32(np.int32(one ^ np.int32(one >> 31)) | np.int32(other ^ np.int32(other >> 31)))
                )
                pairs[j] = np.int32(np.int32(one & 0xFFFF) | np.int32(other << 16))
            at += n
    return past >> 15 == 0


@jit
def pair_factors(geometry, p, p_pairs):
    """Put the p of inputs together that neighbouring outputs meet at the same place of the kernel."""
    channels, width = geometry[CHANNELS], geometry[WIDTH]
    stride, padding, columns = geometry[STRIDE_X], geometry[PADDING_X], p_columns(geometry)
    for y in range(geometry[HEIGHT]):
        pairs = p_pairs[y * columns * channels : (y + 1) * columns * channels]
        row = p[y * width * channels : (y + 1) * width * channels]
        pairs[:] = 0
        n = min(width, columns - padding) * channels
        low = pairs[padding * channels :]
        for i in range(n):
            low[i] = row[i]
        skipped = max(0, stride - padding)  # columns of p that are nobody's neighbour
        n = (min(width, columns + stride - padding) - skipped) * channels
        high, right = pairs[(padding + skipped - stride) * channels :], row[skipped * channels :]
        for i in range(n):
            high[i] = np.int32(high[i] | np.int32(right[i] << 16))


@jit
def _sum_bias(geometry, signal, factor, d_out):
    """Bias rows: the signal summed over the positions. Rows of all groups lie side by side, as do their blocks."""
    all_groups = geometry[GROUPS] * geometry[BLOCK_STRIDE]
    n_positions = geometry[OUT_HEIGHT] * geometry[OUT_WIDTH] if factor != 0 else 0
    for j in range(0, all_groups, N_LANES):
        sums = lanes.splat(0)
        for position in range(n_positions):
            sums = lanes.add(sums, lanes.load(signal, position * all_groups + j))
        lanes.store(d_out, geometry[N_ROWS] * geometry[BLOCK_STRIDE] + j, lanes.multiply(lanes.splat(factor), sums))


@jit
def _sum_sparse(geometry, p, signal, d_out):
    """Add every p != 0 to the rows of its taps; channels are the outer loop, so that their rows stay near."""
    n, channels, width, groups = geometry[BLOCK_STRIDE], geometry[CHANNELS], geometry[WIDTH], geometry[GROUPS]
    row_step = geometry[KERNEL_HEIGHT] * geometry[KERNEL_WIDTH]
    for k in range(geometry[N_ROWS] * n):
        d_out[k] = 0
    for c in range(channels):
        group = c // geometry[GROUP_CHANNELS]
        for y in range(geometry[HEIGHT]):
            for x in range(width):
                factor = p[(y * width + x) * channels + c]
                if factor != 0:
                    place, position, n_y, n_x = taps_of(geometry, y, x)
                    at = ((c * row_step + place) * n, (position * groups + group) * n)
                    _add_products(geometry, at, n_y, n_x, lanes.splat(factor), signal, d_out)


@jit
def _add_products(geometry, at, n_y, n_x, factor, signal, d_out):
    """Add factor * signal to the rows of n_y x n_x taps; at: (first row, first block)."""
    n = geometry[BLOCK_STRIDE]
    step_d, step_s = geometry[STRIDE_X] * n, geometry[GROUPS] * n
    next_d, next_s = geometry[STRIDE_Y] * geometry[KERNEL_WIDTH] * n, geometry[OUT_WIDTH] * step_s
    for row in range(n_y):
        d, s = at[0] - row * next_d, at[1] + row * next_s
        for _ in range(n_x):
            for j in range(0, n, N_LANES):
                product = lanes.multiply(factor, lanes.load(signal, s + j))
                lanes.store(d_out, d + j, lanes.add(lanes.load(d_out, d + j), product))
            d -= step_d
            s += step_s


@jit
def _sum_dense(geometry, p_pairs, signal_pairs, k_y, tile, d_out):
    """Sums of the rows of one row of the kernel.

    The p that an output meets there lie side by side, k_x by k_x and channel by channel: one stretch without groups,
    with groups one for every k_x.
    """
    n, groups, group_channels = geometry[BLOCK_STRIDE], geometry[GROUPS], geometry[GROUP_CHANNELS]
    channels, kernel_width = geometry[CHANNELS], geometry[KERNEL_WIDTH]
    n_stretches, length = (1, kernel_width * channels) if groups == 1 else (kernel_width, group_channels)
    for group in range(groups):
        for j in range(0, n, N_LANES):
            for stretch in range(n_stretches):
                first = stretch * channels + group * group_channels
                stop = first + length
                q = first
                while q < stop:
                    n_rows = min(TILE, stop - q)
                    if n_rows <= FEW:
                        n_rows = 1
                        lanes.store(tile, 0, _sum_one(geometry, p_pairs, q, signal_pairs, group * n + j, k_y))
                    else:
                        _store_eight(tile, _sum_eight(geometry, p_pairs, q, signal_pairs, group * n + j, k_y))
                    _store_rows(geometry, tile, q, n_rows, k_y, j, d_out)
                    q += n_rows


@jit
def _store_rows(geometry, tile, q, n_rows, k_y, j, d_out):
    """Bring 16 columns of up to eight sums to their rows of D."""
    n, channels, kernel_width = geometry[BLOCK_STRIDE], geometry[CHANNELS], geometry[KERNEL_WIDTH]
    step = geometry[KERNEL_HEIGHT] * kernel_width
    k_x = q // channels
    c = q - k_x * channels
    for k in range(n_rows):
        row = c * step + k_y * kernel_width + k_x
        lanes.store(d_out, row * n + j, lanes.load(tile, k * N_LANES))
        c += 1
        if c == channels:
            c, k_x = np.int64(0), k_x + 1


@jit
def _walk(geometry, q, column, k_y):
    """Return (rows of outputs, where the first meets p, steps to the next row, the same for signals)."""
    first, stop = outputs_inside(k_y, geometry[PADDING_Y], geometry[STRIDE_Y], geometry[HEIGHT], geometry[OUT_HEIGHT])
    row_p = p_columns(geometry) * geometry[CHANNELS]
    row_s = (geometry[OUT_WIDTH] + 1) // 2 * geometry[GROUPS] * geometry[BLOCK_STRIDE]
    y = first * geometry[STRIDE_Y] + k_y - geometry[PADDING_Y]
    return stop - first, y * row_p + q, geometry[STRIDE_Y] * row_p, first * row_s + column, row_s


@jit
def _sum_eight(geometry, p_pairs, q, signal_pairs, column, k_y):
    """Sums of 16 columns for eight rows from q on over all outputs; column: of the group and the word."""
    step_p, step_s = 2 * geometry[STRIDE_X] * geometry[CHANNELS], geometry[GROUPS] * geometry[BLOCK_STRIDE]
    n_rows, row_p, next_p, row_s, next_s = _walk(geometry, q, column, k_y)
    # Eight names, not an array: only so they stay in registers.
    d0 = d1 = d2 = d3 = d4 = d5 = d6 = d7 = lanes.splat(0)
    for _ in range(n_rows):
        at_p, at_s = row_p, row_s
        for _ in range((geometry[OUT_WIDTH] + 1) // 2):
            block = lanes.load(signal_pairs, at_s)
            d0 = lanes.add(d0, multiply_pairs(broadcast(p_pairs, at_p), block))
            d1 = lanes.add(d1, multiply_pairs(broadcast(p_pairs, at_p + 1), block))
            d2 = lanes.add(d2, multiply_pairs(broadcast(p_pairs, at_p + 2), block))
            d3 = lanes.add(d3, multiply_pairs(broadcast(p_pairs, at_p + 3), block))
            d4 = lanes.add(d4, multiply_pairs(broadcast(p_pairs, at_p + 4), block))
            d5 = lanes.add(d5, multiply_pairs(broadcast(p_pairs, at_p + 5), block))
            d6 = lanes.add(d6, multiply_pairs(broadcast(p_pairs, at_p + 6), block))
            d7 = lanes.add(d7, multiply_pairs(broadcast(p_pairs, at_p + 7), block))
            at_p += step_p
            at_s += step_s
        row_p += next_p
        row_s += next_s
    return d0, d1, d2, d3, d4, d5, d6, d7


@jit
def _store_eight(tile, sums):
    lanes.store(tile, 0, sums[0])
    lanes.store(tile, 1 * N_LANES, sums[1])
    lanes.store(tile, 2 * N_LANES, sums[2])
    lanes.store(tile, 3 * N_LANES, sums[3])
    lanes.store(tile, 4 * N_LANES, sums[4])
    lanes.store(tile, 5 * N_LANES, sums[5])
    lanes.store(tile, 6 * N_LANES, sums[6])
    lanes.store(tile, 7 * N_LANES, sums[7])


@jit
def _sum_one(geometry, p_pairs, q, signal_pairs, column, k_y):
    """The same for one row."""
    step_p, step_s = 2 * geometry[STRIDE_X] * geometry[CHANNELS], geometry[GROUPS] * geometry[BLOCK_STRIDE]
    n_rows, row_p, next_p, row_s, next_s = _walk(geometry, q, column, k_y)
    sums = lanes.splat(0)
    for _ in range(n_rows):
        at_p, at_s = row_p, row_s
        for _ in range((geometry[OUT_WIDTH] + 1) // 2):
            sums = lanes.add(sums, multiply_pairs(broadcast(p_pairs, at_p), lanes.load(signal_pairs, at_s)))
            at_p += step_p
            at_s += step_s
        row_p += next_p
        row_s += next_s
    return sums
