"""The kernels of one convolutional layer: deliver, error and sums of products (semantics 3.1, 3.4 and 3.5).

Every array is the part of one layer. With n = geometry[BLOCK_STRIDE]: u and signal are int32 [n_blocks * n], weights
int8 or int16 [(n_rows + groups) * n], input addresses are (y * width + x) * channels + c. The padding columns of rows
and blocks hold zeros and stay zero. Nothing here needs scratch. Arrays that start on 64 bytes are up to a third faster.
"""

from __future__ import annotations

import numpy as np

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
    STRIDE_X,
    STRIDE_Y,
    WIDTH,
    taps_of,
)
from neurochip.core.convolution_lanes import count_up, total
from neurochip.core.convolution_products import sum_products_conv
from neurochip.core.lanes import N_LANES

__all__ = ["deliver_bias_conv", "deliver_conv", "error_conv", "sum_products_conv"]


@jit
def add_taps(u, at_u, step_u, weights, at_w, step_w, n_taps, n, factor, low, high, saturations):
    """Add rows of weights to blocks a step apart, u <- sat(u + W * factor); returns the saturations, counted up."""
    for _ in range(n_taps):
        for j in range(0, n, N_LANES):
            exact = lanes.add(lanes.load(u, at_u + j), lanes.multiply(lanes.load(weights, at_w + j), factor))
            kept = lanes.larger(low, lanes.smaller(high, exact))
            saturations = count_up(saturations, kept, exact)
            lanes.store(u, at_u + j, kept)
        at_u += step_u
        at_w += step_w
    return saturations


@jit
def deliver_conv(u, weights, geometry, addresses, magnitudes, shift, low, high):
    """Deliver events one after the other, in their order, u <- sat(u + ((W * m) << shift)); returns the saturations.

    addresses, magnitudes: int32 [n_events]; low, high: bounds of sat, -+(2^31 - 1) for a register that cannot overflow.
    """
    n, groups, channels, width = geometry[BLOCK_STRIDE], geometry[GROUPS], geometry[CHANNELS], geometry[WIDTH]
    group_channels, out_width = geometry[GROUP_CHANNELS], geometry[OUT_WIDTH]
    kernel_size = geometry[KERNEL_HEIGHT] * geometry[KERNEL_WIDTH]
    step_u, step_w = groups * n, -geometry[STRIDE_X] * n
    next_row_u, next_row_w = out_width * step_u, -geometry[STRIDE_Y] * geometry[KERNEL_WIDTH] * n
    lowest, highest = lanes.splat(low), lanes.splat(high)
    saturations = lanes.splat(0)
    for k in range(addresses.shape[0]):
        at = np.int64(addresses[k])
        position = at // channels
        y, c = position // width, at - position * channels
        x = position - y * width
        place, out_position, n_y, n_x = taps_of(geometry, y, x)
        # A product of at most 27 bits, so the shift may come before it.
        factor = lanes.splat(np.int64(magnitudes[k]) << (shift & 31))
        at_u = (out_position * groups + c // group_channels) * n
        at_w = (c * kernel_size + place) * n
        for _ in range(n_y):
            saturations = add_taps(u, at_u, step_u, weights, at_w, step_w, n_x, n, factor, lowest, highest, saturations)
            at_u += next_row_u
            at_w += next_row_w
    return total(saturations)


@jit
def deliver_bias_conv(u, weights, geometry, shift, low, high):
    """Add the bias rows to the blocks of all positions, u <- sat(u + (W << shift)); returns the saturations."""
    all_groups = geometry[GROUPS] * geometry[BLOCK_STRIDE]  # their rows lie side by side, as do their blocks
    n_positions = geometry[OUT_HEIGHT] * geometry[OUT_WIDTH]
    at_w = geometry[N_ROWS] * geometry[BLOCK_STRIDE]
    lowest, highest, factor = lanes.splat(low), lanes.splat(high), lanes.splat(1 << (shift & 31))
    saturations = add_taps(
        u, 0, all_groups, weights, at_w, 0, n_positions, all_groups, factor, lowest, highest, lanes.splat(0)
    )
    return total(saturations)


@jit
def next_nonzero(values, start, stop):
    """Return the first index from `start` with a nonzero entry, `stop` if there is none."""
    for i in range(start, stop):
        if values[i] != 0:
            return i
    return stop


@jit
def error_conv(weights, geometry, signal, needed, wide, x_out):
    """X_i = sum over the taps (r, b) of i, sum_j W_rj * signal_bj, for the addresses with needed != 0, else 0.

    needed: int32 [n_in]; x_out: int64 [n_in]; wide: false only if it is proved that a sum of kernel_height *
    kernel_width * ceil(columns / 16) products stays below 2^31: the 16 lanes are summed in 64 bits.
    """
    groups, group_channels = geometry[GROUPS], geometry[GROUP_CHANNELS]
    for i in range(geometry[HEIGHT] * geometry[WIDTH] * geometry[CHANNELS]):
        x_out[i] = 0
    start = np.int64(0)
    for y in range(geometry[HEIGHT]):
        for x in range(geometry[WIDTH]):
            taps = taps_of(geometry, y, x)
            for group in range(groups):
                stop = start + group_channels
                if wide:
                    _error_wide(weights, geometry, signal, needed, taps, group, start, stop, x_out)
                else:
                    _error_narrow(weights, geometry, signal, needed, taps, group, start, stop, x_out)
                start = stop


@jit
def _error_narrow(weights, geometry, signal, needed, taps, group, start, stop, x_out):
    """Errors of the needed addresses start .. stop - 1, the channels of one group at one position, four at a time."""
    row_step = geometry[KERNEL_HEIGHT] * geometry[KERNEL_WIDTH] * geometry[BLOCK_STRIDE]
    rows = weights[group * (stop - start) * row_step :]
    i0 = next_nonzero(needed, start, stop)
    while i0 < stop:
        i1 = next_nonzero(needed, i0 + 1, stop)
        if i1 == stop:
            x_out[i0] = _dot(rows, (i0 - start) * row_step, signal, geometry, taps, group)
            return
        i2 = next_nonzero(needed, i1 + 1, stop)
        i3 = next_nonzero(needed, i2 + 1, stop)
        last2 = i2 if i2 < stop else i1
        last3 = i3 if i3 < stop else last2
        ats = ((i0 - start) * row_step, (i1 - start) * row_step, (last2 - start) * row_step, (last3 - start) * row_step)
        x_out[i0], x_out[i1], x_out[last2], x_out[last3] = _four_dots(rows, ats, signal, geometry, taps, group)
        i0 = next_nonzero(needed, i3 + 1, stop)


@jit
def _dot(weights, at_w, signal, geometry, taps, group):
    """Sum over the taps of one address, 16 sums of 32 bits; at_w: its first row."""
    n, out_width = geometry[BLOCK_STRIDE], geometry[OUT_WIDTH]
    step_w, step_s = geometry[STRIDE_X] * n, geometry[GROUPS] * n
    place, position, n_y, n_x = taps
    sums = lanes.splat(0)
    for row in range(n_y):
        w = at_w + (place - row * geometry[STRIDE_Y] * geometry[KERNEL_WIDTH]) * n
        s = ((position + row * out_width) * geometry[GROUPS] + group) * n
        for _ in range(n_x):
            for j in range(0, n, N_LANES):
                sums = lanes.add(sums, lanes.multiply(lanes.load(weights, w + j), lanes.load(signal, s + j)))
            w -= step_w
            s += step_s
    return total(sums)


@jit
def _four_dots(weights, ats_w, signal, geometry, taps, group):
    """The same for four addresses of one position and group: the signal is loaded once."""
    n, out_width = geometry[BLOCK_STRIDE], geometry[OUT_WIDTH]
    step_w, step_s = geometry[STRIDE_X] * n, geometry[GROUPS] * n
    place, position, n_y, n_x = taps
    w0, w1, w2, w3 = ats_w
    sums0 = sums1 = sums2 = sums3 = lanes.splat(0)
    for row in range(n_y):
        w = (place - row * geometry[STRIDE_Y] * geometry[KERNEL_WIDTH]) * n
        s = ((position + row * out_width) * geometry[GROUPS] + group) * n
        for _ in range(n_x):
            for j in range(0, n, N_LANES):
                block = lanes.load(signal, s + j)
                sums0 = lanes.add(sums0, lanes.multiply(lanes.load(weights, w0 + w + j), block))
                sums1 = lanes.add(sums1, lanes.multiply(lanes.load(weights, w1 + w + j), block))
                sums2 = lanes.add(sums2, lanes.multiply(lanes.load(weights, w2 + w + j), block))
                sums3 = lanes.add(sums3, lanes.multiply(lanes.load(weights, w3 + w + j), block))
            w -= step_w
            s += step_s
    return total(sums0), total(sums1), total(sums2), total(sums3)


@jit
def _error_wide(weights, geometry, signal, needed, taps, group, start, stop, x_out):
    """Errors of the needed addresses start .. stop - 1 in 64 bits."""
    n, kernel_width = geometry[BLOCK_STRIDE], geometry[KERNEL_WIDTH]
    place, position, n_y, n_x = taps
    for i in range(start, stop):
        if needed[i] == 0:
            continue
        c = group * (stop - start) + i - start
        for row in range(n_y):
            for column in range(n_x):
                tap = place - row * geometry[STRIDE_Y] * kernel_width - column * geometry[STRIDE_X]
                w = (c * geometry[KERNEL_HEIGHT] * kernel_width + tap) * n
                s = ((position + row * geometry[OUT_WIDTH] + column) * geometry[GROUPS] + group) * n
                x_out[i] += _dot_wide(weights[w : w + n], signal[s : s + n])


@jit
def _dot_wide(row, block):
    """sum_j row_j * block_j in 64 bits."""
    sums = np.int64(0)
    for j in range(row.shape[0]):
        sums += np.int64(row[j]) * np.int64(block[j])
    return sums
