"""Where the taps of a convolution lie, as one row of integers and a few ranges (semantics section 3, blocks and taps).

Taps are separable: which k_y an input row y meets depends on y alone, likewise x. So kernels never list taps; they
run over ranges of output rows and output columns.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from neurochip.core._jit import jit
from neurochip.core.lanes import N_LANES
from neurochip.topology import ConvShape

# Columns of a geometry row.
HEIGHT, WIDTH, CHANNELS, GROUPS = 0, 1, 2, 3
OUT_HEIGHT, OUT_WIDTH, KERNEL_HEIGHT, KERNEL_WIDTH = 4, 5, 6, 7
STRIDE_Y, STRIDE_X, PADDING_Y, PADDING_X = 8, 9, 10, 11
GROUP_CHANNELS, COLUMNS, BLOCK_STRIDE, N_ROWS = 12, 13, 14, 15
N_GEOMETRY_COLUMNS = 16


def conv_row(shape: ConvShape, block_stride: int) -> NDArray[np.int64]:
    """Return the geometry row of a layer, int64 [N_GEOMETRY_COLUMNS].

    block_stride: entries from one block of outputs to the next, and from one row of weights to the next; a multiple
    of 16, at least `shape.columns`. Entries past the columns are 0 in every array.
    """
    if block_stride % N_LANES or block_stride < shape.columns:
        raise ValueError(f"a block of {shape.columns} columns cannot have stride {block_stride}")
    row = np.zeros(N_GEOMETRY_COLUMNS, dtype=np.int64)
    row[[HEIGHT, WIDTH, CHANNELS, GROUPS]] = shape.height, shape.width, shape.channels, shape.groups
    row[[OUT_HEIGHT, OUT_WIDTH]] = shape.out_height, shape.out_width
    row[[KERNEL_HEIGHT, KERNEL_WIDTH]] = shape.kernel_height, shape.kernel_width
    row[[STRIDE_Y, STRIDE_X]] = shape.stride_y, shape.stride_x
    row[[PADDING_Y, PADDING_X]] = shape.padding_y, shape.padding_x
    row[[GROUP_CHANNELS, COLUMNS]] = shape.channels // shape.groups, shape.columns
    row[[BLOCK_STRIDE, N_ROWS]] = block_stride, shape.n_rows
    return row


@jit
def outputs_reached(coordinate, padding, stride, kernel, n_outputs):
    """Range [first, stop) of the output coordinates that an input coordinate reaches; empty: stop = first."""
    if stride == 1:  # the usual one, without the divisions
        return max(0, coordinate + padding - kernel + 1), min(n_outputs, coordinate + padding + 1)
    first = max(0, (coordinate + padding - kernel + stride) // stride)
    return first, min(n_outputs, (coordinate + padding) // stride + 1)


@jit
def outputs_inside(offset, padding, stride, n_inputs, n_outputs):
    """Range [first, stop) of the output coordinates whose tap at this offset in the kernel is inside the input map."""
    first = max(0, (padding - offset + stride - 1) // stride)
    return first, min(n_outputs, (n_inputs - 1 + padding - offset) // stride + 1)


@jit
def taps_of(geometry, y, x):
    """Return (place, position, n_y, n_x) of the taps of an input position.

    They are the n_y x n_x output positions from `position` on; `place` = k_y * kernel_width + k_x is that of the first.
    One output column on, place falls by stride_x; one output row on, by stride_y * kernel_width.
    """
    first_y, stop_y = outputs_reached(
        y, geometry[PADDING_Y], geometry[STRIDE_Y], geometry[KERNEL_HEIGHT], geometry[OUT_HEIGHT]
    )
    first_x, stop_x = outputs_reached(
        x, geometry[PADDING_X], geometry[STRIDE_X], geometry[KERNEL_WIDTH], geometry[OUT_WIDTH]
    )
    k_y = y + geometry[PADDING_Y] - geometry[STRIDE_Y] * first_y
    k_x = x + geometry[PADDING_X] - geometry[STRIDE_X] * first_x
    position = first_y * geometry[OUT_WIDTH] + first_x
    return k_y * geometry[KERNEL_WIDTH] + k_x, position, stop_y - first_y, stop_x - first_x
