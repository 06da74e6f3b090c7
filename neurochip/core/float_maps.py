"""Kernels of the float twin on the kernels of a convolution, along the taps of docs/semantics.md, section 3."""

from __future__ import annotations

from neurochip.core._jit import jit
from neurochip.core.float_tables import (
    COLUMNS,
    GROUPS,
    KERNEL_X,
    KERNEL_Y,
    MAP_CHANNELS,
    MAP_WIDTH,
    OUT_HEIGHT,
    OUT_WIDTH,
    PADDING_X,
    PADDING_Y,
    STRIDE_X,
    STRIDE_Y,
    WEIGHT_AT,
    Array,
)


@jit
def first_tap(position: int, stride: int, kernel: int) -> int:
    """The first output position that a padded input position reaches, at least 0."""
    return max(0, (position - kernel + stride) // stride)


@jit
def list_taps(shape: Array, address: int, taps: Array) -> int:
    """Write the taps (row, block) of an input address of a map into `taps` and return their number."""
    groups = shape[GROUPS]
    pixel, channel = address // shape[MAP_CHANNELS], address % shape[MAP_CHANNELS]
    y, x = pixel // shape[MAP_WIDTH] + shape[PADDING_Y], pixel % shape[MAP_WIDTH] + shape[PADDING_X]
    group = channel * groups // shape[MAP_CHANNELS]
    stride_y, stride_x, kernel_y, kernel_x = shape[STRIDE_Y], shape[STRIDE_X], shape[KERNEL_Y], shape[KERNEL_X]
    first_x, end_x = first_tap(x, stride_x, kernel_x), min(shape[OUT_WIDTH], x // stride_x + 1)
    n = 0
    for out_y in range(first_tap(y, stride_y, kernel_y), min(shape[OUT_HEIGHT], y // stride_y + 1)):
        row = (channel * kernel_y + y - stride_y * out_y) * kernel_x + x
        block = out_y * shape[OUT_WIDTH]
        for out_x in range(first_x, end_x):
            taps[0, n] = row - stride_x * out_x
            taps[1, n] = (block + out_x) * groups + group
            n += 1
    return n


@jit
def interleaved_product(row: Array, first: int, signal: Array, at: int, n: int) -> float:
    """sum_j row_{first+j} signal_{at+j} in four sums that do not wait for each other."""
    left, right = row[first : first + n], signal[at : at + n]
    a = b = c = d = 0.0
    whole = n - n % 4
    for j in range(0, whole, 4):
        a += left[j] * right[j]
        b += left[j + 1] * right[j + 1]
        c += left[j + 2] * right[j + 2]
        d += left[j + 3] * right[j + 3]
    for j in range(whole, n):
        a += left[j] * right[j]
    return (a + b) + (c + d)


@jit
def add_scaled(out: Array, at: int, factor: float, row: Array, first: int, n: int) -> None:
    """out_{at+j} += factor row_{first+j} for n columns."""
    target, source = out[at : at + n], row[first : first + n]
    scale = out.dtype.type(factor)
    for j in range(n):
        target[j] += scale * source[j]


@jit
def add_map_rows(
    out: Array, weights: Array, size: Array, shape: Array, taps: Array, addresses: Array, values: Array
) -> None:
    """out_{b o + j} += m_i W_rj for the taps (r, b) of the events (i, m_i), in their order."""
    n, start = size[COLUMNS], size[WEIGHT_AT]
    for k in range(addresses.size):
        for tap in range(list_taps(shape, addresses[k], taps)):
            add_scaled(out, taps[1, tap] * n, values[k], weights, start + taps[0, tap] * n, n)


@jit
def add_map_outer(
    target: Array,
    factor: float,
    signal: Array,
    size: Array,
    shape: Array,
    taps: Array,
    addresses: Array,
    values: Array,
) -> None:
    """target_rj += factor m_i signal_{b o + j} for the taps (r, b) of the events (i, m_i)."""
    n, start = size[COLUMNS], size[WEIGHT_AT]
    for k in range(addresses.size):
        for tap in range(list_taps(shape, addresses[k], taps)):
            add_scaled(target, start + taps[0, tap] * n, factor * values[k], signal, taps[1, tap] * n, n)


@jit
def add_map_outer_trace(
    target: Array, factor: float, signal: Array, size: Array, shape: Array, taps: Array, trace: Array, gate: float
) -> None:
    """target_rj += factor a_i signal_{b o + j} for the taps of addresses with a nonzero trace not below the gate."""
    n, start = size[COLUMNS], size[WEIGHT_AT]
    for i in range(trace.size):
        if trace[i] != 0 and trace[i] >= gate:
            for tap in range(list_taps(shape, i, taps)):
                add_scaled(target, start + taps[0, tap] * n, factor * trace[i], signal, taps[1, tap] * n, n)


@jit
def map_product(weights: Array, signal: Array, size: Array, shape: Array, taps: Array, address: int) -> float:
    """X = sum over the taps (r, b) of an input address, sum_j W_rj signal_{b o + j}."""
    n, start = size[COLUMNS], size[WEIGHT_AT]
    total = 0.0
    for tap in range(list_taps(shape, address, taps)):
        total += interleaved_product(weights, start + taps[0, tap] * n, signal, taps[1, tap] * n, n)
    return total
