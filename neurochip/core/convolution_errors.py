"""Error sums of one convolutional layer (semantics 3.4): X of the input addresses from the signal of the outputs.

Signal and weights are first copied as 16-bit integers, so that what an input position meets in one row of the kernel is
one stretch of memory in either. With s = stride_x, an input column x has the phase f = (x + padding_x) mod s and the
place q = (x + padding_x) div s; it meets the output columns q - m with the kernel columns f + s * m, m = 0 .. M - 1,
M = ceil(kernel_width / s). Both lie in order of falling m:

    signals  [groups][out_height][M - 1 + columns][n]     zeros left and right of the map
    rows     [s][channels][kernel_height][M * n, padded to 32]     zeros where f + s * m is outside of the kernel

Neighbours of one phase differ by n entries of the signal, so sums of four channels at four positions share their loads.
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
    OUT_HEIGHT,
    OUT_WIDTH,
    PADDING_X,
    PADDING_Y,
    STRIDE_X,
    STRIDE_Y,
    WIDTH,
    outputs_reached,
    taps_of,
)
from neurochip.core.convolution_lanes import add_neighbours, fold_four, load_pairs, multiply_pairs, total
from neurochip.core.lanes import N_LANES
from neurochip.rules.spatial.backprop import dot_wide

PAIRS = 2 * N_LANES  # 16-bit entries of one vector
TILE = 4  # channels, and positions, that are summed at once


@jit
def taps_across(geometry):
    """M: the most kernel columns an input column meets."""
    return (geometry[KERNEL_WIDTH] + geometry[STRIDE_X] - 1) // geometry[STRIDE_X]


@jit
def stretch_length(geometry):
    """Entries of a stretch: what an input position meets in one row of the kernel, in whole vectors."""
    return (taps_across(geometry) * geometry[BLOCK_STRIDE] + PAIRS - 1) // PAIRS * PAIRS


@jit
def signal_columns(geometry):
    """Columns of the copied signal: the output map, and zeros to either side that taps outside of it meet."""
    last_place = (geometry[WIDTH] - 1 + geometry[PADDING_X]) // geometry[STRIDE_X]
    return taps_across(geometry) - 1 + max(geometry[OUT_WIDTH], last_place + 1)


def copy_sizes(geometry: NDArray[np.int64]) -> tuple[int, int]:
    """Return the entries of (signals, rows) for the row of a geometry; of signals also what is read past the end."""
    n = int(geometry[BLOCK_STRIDE])
    columns = int(geometry[GROUPS] * geometry[OUT_HEIGHT] * signal_columns(geometry))
    rows = int(geometry[STRIDE_X] * geometry[CHANNELS] * geometry[KERNEL_HEIGHT] * stretch_length(geometry))
    return columns * n + TILE * n + PAIRS, rows


@jit
def copy_signal(geometry, signal, signals):
    """Copy the signal as 16-bit integers, group by group, zeros beside the map; returns whether all fit."""
    n, groups, out_width = geometry[BLOCK_STRIDE], geometry[GROUPS], geometry[OUT_WIDTH]
    left, columns = (taps_across(geometry) - 1) * n, signal_columns(geometry) * n
    past = np.int32(0)  # the bits of all magnitudes
    at = np.int64(0)
    for group in range(groups):
        for row in range(geometry[OUT_HEIGHT]):
            signals[at : at + left] = 0
            first = at + left
            for x in range(out_width):
                block = ((row * out_width + x) * groups + group) * n
                source, copy = signal[block : block + n], signals[first + x * n : first + (x + 1) * n]
                for j in range(n):
                    copy[j] = source[j]
                    past = np.int32(past | np.int32(source[j] ^ np.int32(source[j] >> 31)))
            signals[first + out_width * n : at + columns] = 0
            at += columns
    return past >> 15 == 0


@jit
def copy_rows(geometry, weights, rows):
    """Copy the weights as 16-bit integers in the order in which the positions of every phase meet them."""
    n, stride, kernel_width = geometry[BLOCK_STRIDE], geometry[STRIDE_X], geometry[KERNEL_WIDTH]
    taps, length = taps_across(geometry), stretch_length(geometry)
    at = np.int64(0)
    for phase in range(stride):
        for row in range(geometry[CHANNELS] * geometry[KERNEL_HEIGHT]):
            for m in range(taps):
                k_x = phase + stride * m
                first = at + (taps - 1 - m) * n
                copy = rows[first : first + n]
                if k_x < kernel_width:
                    source = weights[(row * kernel_width + k_x) * n : (row * kernel_width + k_x + 1) * n]
                    for j in range(n):
                        copy[j] = source[j]
                else:
                    copy[:] = 0
            rows[at + taps * n : at + length] = 0
            at += length


@jit
def error_conv(weights, geometry, signal, needed, needed_at, wide, copies, x_out):
    """X_i = sum over the taps (r, b) of i, sum_j W_rj * signal_bj, for the addresses with needed != 0.

    What x_out holds at the others has no meaning. needed: int32 [n_in]; needed_at: int32 [height * width * groups], how
    many of a position and group are needed; wide: false only if it is proved that every X stays below 2^31 (`layout`
    proves 2^30: all taps and columns, each with the largest product); partial sums may wrap then. copies: scratch
    (signals, rows, tile), int16 of `copy_sizes` and int32 [16]; x_out: int64 [n_in].
    """
    signals, rows, tile = copies
    if not wide and copy_signal(geometry, signal, signals):
        copy_rows(geometry, weights, rows)
        error_narrow(geometry, signals, rows, needed, needed_at, tile, x_out)
    else:
        error_wide(weights, geometry, signal, needed, x_out)


@jit
def error_narrow(geometry, signals, rows, needed, needed_at, tile, x_out):
    """X of the needed addresses in 32 bits, four positions at a time."""
    stride, width, padding, groups = geometry[STRIDE_X], geometry[WIDTH], geometry[PADDING_X], geometry[GROUPS]
    for y in range(geometry[HEIGHT]):
        reached = outputs_reached(
            y, geometry[PADDING_Y], geometry[STRIDE_Y], geometry[KERNEL_HEIGHT], geometry[OUT_HEIGHT]
        )
        for phase in range(stride):
            first = max(0, (padding - phase + stride - 1) // stride)
            stop = (width - 1 + padding - phase) // stride + 1
            for q in range(first, stop, TILE):
                x = stride * q + phase - padding
                n_places = min(TILE, stop - q)
                for group in range(groups):
                    n_needed = 0
                    for k in range(n_places):
                        n_needed += needed_at[(y * width + x + k * stride) * groups + group]
                    if n_needed > 0:
                        place = (y, x, phase, q, n_places, group, n_needed)
                        _error_places(geometry, signals, rows, needed, reached, place, tile, x_out)


@jit
def _error_places(geometry, signals, rows, needed, reached, place, tile, x_out):
    """X of the channels of one group at up to four positions of one phase."""
    y, x, phase, q, n_places, group, n_needed = place
    n, n_channels = geometry[BLOCK_STRIDE], geometry[GROUP_CHANNELS]
    length, columns = stretch_length(geometry), signal_columns(geometry)
    first_y, stop_y = reached
    k_y = y + geometry[PADDING_Y] - geometry[STRIDE_Y] * first_y
    step_c = geometry[KERNEL_HEIGHT] * length
    # (where, how many entries on per row of outputs) of the signal and of the weights, rows of outputs, entries a row
    walk = (columns * n, geometry[STRIDE_Y] * length, stop_y - first_y, length)
    at_s = ((group * geometry[OUT_HEIGHT] + first_y) * columns + q) * n
    at_w = (phase * geometry[CHANNELS] + group * n_channels) * step_c + k_y * length
    at_x = (y * geometry[WIDTH] + x) * geometry[CHANNELS] + group * n_channels
    step_x = geometry[STRIDE_X] * geometry[CHANNELS]
    if n_needed <= n_channels:  # up to a quarter of four positions: cheaper one by one (measured)
        for k in range(n_places):
            for c in range(n_channels):
                if needed[at_x + k * step_x + c] != 0:
                    x_out[at_x + k * step_x + c] = _one_sum(signals, at_s + k * n, rows, at_w + c * step_c, walk)
        return
    last = at_w + (n_channels - 1) * step_c
    for c in range(0, n_channels, TILE):
        w = at_w + c * step_c
        ats_w = (w, min(w + step_c, last), min(w + 2 * step_c, last), min(w + 3 * step_c, last))
        lanes.store(tile, 0, _sixteen_sums(signals, at_s, n, rows, ats_w, walk))
        for k in range(n_places):
            for i in range(min(TILE, n_channels - c)):
                x_out[at_x + k * step_x + c + i] = tile[TILE * k + i]


@jit
def _one_sum(signals, at_s, rows, at_w, walk):
    """X of one address."""
    step_s, step_w, n_rows, length = walk
    sums = lanes.splat(0)
    for _ in range(n_rows):
        for j in range(0, length, PAIRS):
            sums = lanes.add(sums, multiply_pairs(load_pairs(rows, at_w + j), load_pairs(signals, at_s + j)))
        at_s += step_s
        at_w -= step_w
    return total(sums)


@jit
def _add_four(sums, row, blocks):
    """Add the products of one channel at four positions."""
    return (
        lanes.add(sums[0], multiply_pairs(row, blocks[0])),
        lanes.add(sums[1], multiply_pairs(row, blocks[1])),
        lanes.add(sums[2], multiply_pairs(row, blocks[2])),
        lanes.add(sums[3], multiply_pairs(row, blocks[3])),
    )


@jit
def _sixteen_sums(signals, at_s, n, rows, ats_w, walk):
    """X of four channels at four positions, lane 4 * position + channel; ats_w: where the channels' weights are."""
    step_s, step_w, n_rows, length = walk
    zero = lanes.splat(0)
    a = b = c = d = (zero, zero, zero, zero)
    down = np.int64(0)
    for _ in range(n_rows):
        for j in range(0, length, PAIRS):
            s, w = at_s + j, j - down
            blocks = (
                load_pairs(signals, s),
                load_pairs(signals, s + n),
                load_pairs(signals, s + 2 * n),
                load_pairs(signals, s + 3 * n),
            )
            a = _add_four(a, load_pairs(rows, ats_w[0] + w), blocks)
            b = _add_four(b, load_pairs(rows, ats_w[1] + w), blocks)
            c = _add_four(c, load_pairs(rows, ats_w[2] + w), blocks)
            d = _add_four(d, load_pairs(rows, ats_w[3] + w), blocks)
        at_s += step_s
        down += step_w
    return add_neighbours(
        add_neighbours(fold_four(a[0], b[0], c[0], d[0]), fold_four(a[1], b[1], c[1], d[1])),
        add_neighbours(fold_four(a[2], b[2], c[2], d[2]), fold_four(a[3], b[3], c[3], d[3])),
    )


@jit
def error_wide(weights, geometry, signal, needed, x_out):
    """X of the needed addresses in 64 bits."""
    n, kernel_width, n_channels = geometry[BLOCK_STRIDE], geometry[KERNEL_WIDTH], geometry[GROUP_CHANNELS]
    for i in range(geometry[HEIGHT] * geometry[WIDTH] * geometry[CHANNELS]):
        if needed[i] == 0:
            continue
        position, c = i // geometry[CHANNELS], i % geometry[CHANNELS]
        place, first, n_y, n_x = taps_of(geometry, position // geometry[WIDTH], position % geometry[WIDTH])
        x_out[i] = 0
        for row in range(n_y):
            for column in range(n_x):
                tap = place - row * geometry[STRIDE_Y] * kernel_width - column * geometry[STRIDE_X]
                w = (c * geometry[KERNEL_HEIGHT] * kernel_width + tap) * n
                s = ((first + row * geometry[OUT_WIDTH] + column) * geometry[GROUPS] + c // n_channels) * n
                x_out[i] += dot_wide(weights[w : w + n], signal[s : s + n])
