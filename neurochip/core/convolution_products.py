"""Sums of products of one convolutional layer (semantics 3.5): what the update of its rows is formed from.

D_rj = sum of p_i * signal_bj over all addresses i and their taps (r, b). With many p != 0 a row is summed over all
positions in registers, for eight channels at once; with few, each p != 0 adds to the rows of its taps in memory.
The layouts are those of `convolution`.
"""

from __future__ import annotations

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
from neurochip.core.convolution_lanes import broadcast
from neurochip.core.lanes import N_LANES

SPARSE = 8  # at most one p in so many is not 0: measured, adding in memory is faster from there on
TILE = 8  # channels that are summed at once


@jit
def sum_products_conv(geometry, p, signal, has_bias, bias_factor, d_out):
    """D_rj = sum over the taps (r, b) of all addresses i of p_i * signal_bj, for all rows.

    p: int32 [n_in], 0 where there is no factor; bias_factor: p of the bias; d_out: int32 [(n_rows + groups) * n],
    written as a whole; rows of an absent bias become 0. |D| < 2^31 is taken for granted (semantics section 1).
    """
    n_in = geometry[HEIGHT] * geometry[WIDTH] * geometry[CHANNELS]
    nonzero = 0
    for i in range(n_in):
        nonzero += p[i] != 0
    if nonzero * SPARSE <= n_in:
        _sum_sparse(geometry, p, signal, d_out)
    else:
        for k_y in range(geometry[KERNEL_HEIGHT]):
            for k_x in range(geometry[KERNEL_WIDTH]):
                _sum_dense(geometry, p, signal, k_y, k_x, d_out)
    _sum_bias(geometry, signal, bias_factor if has_bias else 0, d_out)


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
def _sum_dense(geometry, p, signal, k_y, k_x, d_out):
    """Sums of the rows (c, k_y, k_x) of all channels c: tiles of eight channels, then the rest of a group."""
    n, group_channels = geometry[BLOCK_STRIDE], geometry[GROUP_CHANNELS]
    row_step = geometry[KERNEL_HEIGHT] * geometry[KERNEL_WIDTH] * n
    range_y = outputs_inside(k_y, geometry[PADDING_Y], geometry[STRIDE_Y], geometry[HEIGHT], geometry[OUT_HEIGHT])
    range_x = outputs_inside(k_x, geometry[PADDING_X], geometry[STRIDE_X], geometry[WIDTH], geometry[OUT_WIDTH])
    ranges = range_y, range_x
    for group in range(geometry[GROUPS]):
        stop = (group + 1) * group_channels
        for j in range(0, n, N_LANES):
            c = group * group_channels
            at_d = c * row_step + (k_y * geometry[KERNEL_WIDTH] + k_x) * n + j
            while c + TILE <= stop:
                sums = _sum_eight(geometry, p, c, signal, group * n + j, k_y, k_x, ranges)
                _store_eight(d_out, at_d, row_step, sums)
                c += TILE
                at_d += TILE * row_step
            while c < stop:
                lanes.store(d_out, at_d, _sum_one(geometry, p, c, signal, group * n + j, k_y, k_x, ranges))
                c += 1
                at_d += row_step


@jit
def _first_pair(geometry, k_y, k_x, out_y, out_x):
    """Return the starts of (p of the input position, signal of the output position) that meet at a place."""
    y = out_y * geometry[STRIDE_Y] + k_y - geometry[PADDING_Y]
    x = out_x * geometry[STRIDE_X] + k_x - geometry[PADDING_X]
    position = out_y * geometry[OUT_WIDTH] + out_x
    return (
        (y * geometry[WIDTH] + x) * geometry[CHANNELS],
        position * geometry[GROUPS] * geometry[BLOCK_STRIDE],
    )


@jit
def _sum_eight(geometry, p, c, signal, column, k_y, k_x, ranges):
    """Sums of 16 columns for the channels c .. c + 7 over all output positions; column: of the group and the word."""
    step_p, step_s = geometry[STRIDE_X] * geometry[CHANNELS], geometry[GROUPS] * geometry[BLOCK_STRIDE]
    (first_y, stop_y), (first_x, stop_x) = ranges
    # Eight names, not an array: only so they stay in registers.
    d0 = d1 = d2 = d3 = d4 = d5 = d6 = d7 = lanes.splat(0)
    for out_y in range(first_y, stop_y):
        at_p, at_s = _first_pair(geometry, k_y, k_x, out_y, first_x)
        at_p += c
        at_s += column
        for _ in range(first_x, stop_x):
            block = lanes.load(signal, at_s)
            d0 = lanes.add(d0, lanes.multiply(broadcast(p, at_p), block))
            d1 = lanes.add(d1, lanes.multiply(broadcast(p, at_p + 1), block))
            d2 = lanes.add(d2, lanes.multiply(broadcast(p, at_p + 2), block))
            d3 = lanes.add(d3, lanes.multiply(broadcast(p, at_p + 3), block))
            d4 = lanes.add(d4, lanes.multiply(broadcast(p, at_p + 4), block))
            d5 = lanes.add(d5, lanes.multiply(broadcast(p, at_p + 5), block))
            d6 = lanes.add(d6, lanes.multiply(broadcast(p, at_p + 6), block))
            d7 = lanes.add(d7, lanes.multiply(broadcast(p, at_p + 7), block))
            at_p += step_p
            at_s += step_s
    return d0, d1, d2, d3, d4, d5, d6, d7


@jit
def _store_eight(d_out, at, step, sums):
    lanes.store(d_out, at, sums[0])
    lanes.store(d_out, at + step, sums[1])
    lanes.store(d_out, at + 2 * step, sums[2])
    lanes.store(d_out, at + 3 * step, sums[3])
    lanes.store(d_out, at + 4 * step, sums[4])
    lanes.store(d_out, at + 5 * step, sums[5])
    lanes.store(d_out, at + 6 * step, sums[6])
    lanes.store(d_out, at + 7 * step, sums[7])


@jit
def _sum_one(geometry, p, c, signal, column, k_y, k_x, ranges):
    """The same for one channel."""
    step_p, step_s = geometry[STRIDE_X] * geometry[CHANNELS], geometry[GROUPS] * geometry[BLOCK_STRIDE]
    (first_y, stop_y), (first_x, stop_x) = ranges
    sums = lanes.splat(0)
    for out_y in range(first_y, stop_y):
        at_p, at_s = _first_pair(geometry, k_y, k_x, out_y, first_x)
        at_p += c
        at_s += column
        for _ in range(first_x, stop_x):
            sums = lanes.add(sums, lanes.multiply(broadcast(p, at_p), lanes.load(signal, at_s)))
            at_p += step_p
            at_s += step_s
    return sums
