"""Deliver, the first phase of a step of one convolutional layer (semantics 3.1).

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
from neurochip.core.lanes import N_LANES


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
    first = stop = place = out_position = n_y = n_x = group = np.int64(0)
    for k in range(addresses.shape[0]):
        at = np.int64(addresses[k])
        if not first <= at < stop:  # events come position by position: few divisions
            position = at // channels
            first, stop = position * channels, (position + 1) * channels
            y = position // width
            place, out_position, n_y, n_x = taps_of(geometry, y, position - y * width)
        c = at - first
        if groups > 1:
            group = c // group_channels
        # A product of at most 27 bits, so the shift may come before it.
        factor = lanes.splat(np.int64(magnitudes[k]) << (shift & 31))
        at_u = (out_position * groups + group) * n
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
