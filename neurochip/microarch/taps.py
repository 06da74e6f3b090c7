"""Taps of a layer on whole arrays: sums over pairs of an input position and the output positions it reaches.

A dense layer is a map of one position with a kernel of 1 x 1. All arrays have any number of leading axes (samples,
steps), written `...` below.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurochip.microarch.shapes import ceil_div
from neurochip.spec import LayerSpec
from neurochip.topology import Connection, ConvShape

Array = NDArray[Any]
Bitmap = NDArray[np.bool_]
Integers = NDArray[np.int64]
BITS_AT_ONCE = 1 << 17  # 64-bit integers


def words_with_any(bitmap: Bitmap, width: int) -> Bitmap:
    """Which words of `width` neighbours hold a set bit; [..., n] -> [..., ⌈n/width⌉]."""
    n = bitmap.shape[-1]
    n_words = ceil_div(n, width)
    if n % width == 0:
        padded = bitmap
    else:
        padded = np.zeros((*bitmap.shape[:-1], n_words * width), dtype=np.bool_)
        padded[..., :n] = bitmap
    words: Bitmap = np.logical_or.reduce(padded.reshape(*bitmap.shape[:-1], n_words, width), axis=-1)
    return words


def map_of(layer: LayerSpec) -> ConvShape:
    """The shape of a layer's map; a dense layer has one position."""
    return layer.conv if layer.conv is not None else ConvShape(1, 1, layer.n_in, layer.n_out, 1, 1)


def input_blocks(shape: ConvShape, values: Array) -> Array:
    """[..., n_in] -> [..., H, W, groups, channels of a group]."""
    per_group = shape.channels // shape.groups
    return values.reshape(*values.shape[:-1], shape.height, shape.width, shape.groups, per_group)


def output_blocks(shape: ConvShape, values: Array) -> Array:
    """[..., n_out] -> [..., H', W', groups, columns]."""
    return values.reshape(*values.shape[:-1], shape.out_height, shape.out_width, shape.groups, shape.columns)


def pair_sum(shape: ConvShape, of_input: Array, of_output: Array) -> Integers:
    """Sum of of_input[position]·of_output[position'] over the pairs that a tap joins, [...].

    of_input: [..., H, W, groups]; of_output: [..., H', W', groups]; leading axes broadcast.
    """
    total: Any = np.int64(0)
    for part in _input_parts(shape, of_input):
        total = total + (part * of_output).sum(axis=(-1, -2, -3), dtype=np.int64)
    return np.asarray(total, dtype=np.int64)


def reach(shape: ConvShape) -> Integers:
    """Taps of an address at every input position, [H, W, 1]: how many output positions it reaches."""
    rows = _reached_along(shape.height, shape.out_height, shape.kernel_height, shape.stride_y, shape.padding_y)
    columns = _reached_along(shape.width, shape.out_width, shape.kernel_width, shape.stride_x, shape.padding_x)
    taps: Integers = (rows[:, None] * columns[None, :])[:, :, None]
    return taps


def _reached_along(n_in: int, n_out: int, kernel: int, stride: int, padding: int) -> Integers:
    offset = np.arange(n_in)[:, None] + padding - stride * np.arange(n_out)[None, :]
    reached: Integers = ((offset >= 0) & (offset < kernel)).sum(axis=1)
    return reached


def _input_parts(shape: ConvShape, of_input: Array) -> Iterator[Array]:
    """Per kernel offset, the input values that meet the output positions: [..., H, W, x] -> [..., H', W', x]."""
    padding = [(0, 0)] * (of_input.ndim - 3)
    sides = [(shape.padding_y,) * 2, (shape.padding_x,) * 2, (0, 0)]
    padded = np.pad(of_input, [*padding, *sides])
    for k_y in range(shape.kernel_height):
        for k_x in range(shape.kernel_width):
            rows = slice(k_y, k_y + shape.stride_y * (shape.out_height - 1) + 1, shape.stride_y)
            columns = slice(k_x, k_x + shape.stride_x * (shape.out_width - 1) + 1, shape.stride_x)
            yield padded[..., rows, columns, :]


def met_rows(shape: ConvShape, of_input: Bitmap, of_output: Bitmap) -> Bitmap:
    """Where row and column (or word) met: [groups, channels of a group, k_h, k_w, columns], over all leading axes.

    of_input: [N, H, W, groups, channels]; of_output: [N, H', W', groups, columns].
    """
    per_group, columns = of_input.shape[-1], of_output.shape[-1]
    met = np.zeros((shape.groups, per_group, shape.kernel_height, shape.kernel_width, columns), dtype=np.bool_)
    offsets = [(k_y, k_x) for k_y in range(shape.kernel_height) for k_x in range(shape.kernel_width)]
    out = _packed(of_output.reshape(-1, shape.groups, columns))
    flat = of_input.reshape(*of_input.shape[:3], -1)
    for (k_y, k_x), part in zip(offsets, _input_parts(shape, flat), strict=True):
        rows = _packed(part.reshape(-1, shape.groups, per_group))
        for group in range(shape.groups):
            met[group, :, k_y, k_x] = _share_a_bit(rows[group], out[group])
    return met


def _packed(bitmap: Bitmap) -> NDArray[np.uint64]:
    """[N, groups, n] -> [groups, n, ⌈N/64⌉]: 64 cells to an integer, so that a met pair is one AND."""
    bits = np.packbits(np.ascontiguousarray(bitmap.transpose(1, 2, 0)), axis=-1)
    padded = np.zeros((*bits.shape[:-1], ceil_div(bits.shape[-1], 8) * 8), dtype=np.uint8)
    padded[..., : bits.shape[-1]] = bits
    return padded.view(np.uint64)


def _share_a_bit(rows: NDArray[np.uint64], columns: NDArray[np.uint64]) -> Bitmap:
    """[n, words], [m, words] -> [n, m]."""
    met = np.zeros((len(rows), len(columns)), dtype=np.bool_)
    at_once = max(1, BITS_AT_ONCE // max(1, columns.size))
    for start in range(0, len(rows), at_once):  # the products of all would not fit a cache
        part = slice(start, start + at_once)
        met[part] = (rows[part, None] & columns).any(axis=-1)
    return met


@lru_cache(maxsize=256)
def address_map(connection: Connection) -> Integers:
    """Input address of every source address, -1 where the pool drops it (read only)."""
    sources = np.arange(connection.n_source)
    if connection.channels_first:
        rest, x = np.divmod(sources, connection.width)
        c, y = np.divmod(rest, connection.height)
    else:
        rest, c = np.divmod(sources, connection.channels)
        y, x = np.divmod(rest, connection.width)
    width = connection.width // connection.pool_width
    pooled_y, pooled_x = y // connection.pool_height, x // connection.pool_width
    kept = (pooled_y < connection.height // connection.pool_height) & (pooled_x < width)
    pooled = connection.offset + (pooled_y * width + pooled_x) * connection.channels + c
    addresses: Integers = np.where(kept, pooled, -1)
    addresses.setflags(write=False)
    return addresses


@lru_cache(maxsize=256)
def _gathering(connection: Connection) -> tuple[Integers, Integers, Integers]:
    """(source addresses that are not dropped, ordered by input address; where each input address starts; these)."""
    addresses = address_map(connection)
    kept = np.flatnonzero(addresses >= 0)
    order = kept[np.argsort(addresses[kept], kind="stable")]
    starts = np.flatnonzero(np.diff(addresses[order], prepend=-1))
    return order, starts, addresses[order][starts]


def arrived(connection: Connection, n_in: int, values: Array) -> NDArray[np.int32]:
    """Sum what the source sends per input address, [..., n_source] -> [..., n_in]."""
    order, starts, targets = _gathering(connection)
    out = np.zeros((*values.shape[:-1], n_in), dtype=np.int32)
    if len(starts) == len(order):
        out[..., targets] = values[..., order]
        return out
    flat, sums = values.reshape(-1, values.shape[-1]), out.reshape(-1, n_in)
    for row in range(len(flat)):
        sums[row, targets] = np.add.reduceat(flat[row, order].astype(np.int32), starts)
    return out
