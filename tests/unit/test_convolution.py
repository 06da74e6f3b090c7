"""Do the kernels of a convolution give what a walk over all taps gives (semantics 3.1, 3.4, 3.5, 5)?"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from neurochip.core import convolution, convolution_counts, convolution_errors, convolution_products
from neurochip.core.convolution_geometry import conv_row
from neurochip.core.lanes import N_LANES
from neurochip.topology import ConvShape

COUNTED = (  # by count_signal, count_error and count_update, in their order
    *("signal_words", "signal_nonzero", "all_tap_words", "all_tap_products"),
    *("psi_rows", "psi_taps", "error_words", "error_products"),
    *("presynaptic_rows", "presynaptic_taps", "update_tiles", "update_words", "update_products"),
)
INT32_MAX = np.int32(2**31 - 1)
N_DRAWS = 60
# Every output of this one sees padding only.
NO_TAPS = ConvShape(
    height=1, width=1, channels=2, out_channels=3, kernel_height=1, kernel_width=1, stride_y=3, padding_y=1
)


@dataclass
class Case:
    """One drawn layer with its arrays as the kernels see them, and unpadded for the reference."""

    shape: ConvShape
    block_stride: int
    geometry: NDArray[np.int64]
    weights: NDArray[np.int_]  # [n_rows + groups, columns]
    signal: NDArray[np.int64]  # [n_blocks, columns]
    p: NDArray[np.int32]
    has_bias: bool

    def pad(self, values, dtype):
        """Lay rows or blocks out with their stride, zeros in the padding columns."""
        padded = np.zeros((len(values), self.block_stride), dtype=dtype)
        padded[:, : self.shape.columns] = values
        return padded.reshape(-1)

    def unpad(self, flat):
        rows = flat.reshape(-1, self.block_stride)
        assert not rows[:, self.shape.columns :].any()  # padding columns stay zero
        return rows[:, : self.shape.columns]


def draw_shape(rng) -> ConvShape:
    while True:
        groups = int(rng.choice([1, 1, 2, 3]))
        channels = groups * int(rng.choice([1, 2, 3, 5, 9]))
        columns = int(rng.choice([1, 3, 16, 17, 33]))
        if rng.random() < 0.15:  # depthwise
            channels, groups, columns = 6, 6, int(rng.choice([1, 2]))
        sizes = {"height": int(rng.integers(1, 8)), "width": int(rng.integers(1, 8))}
        kernel = {"kernel_height": int(rng.integers(1, 6)), "kernel_width": int(rng.integers(1, 6))}
        strides = {"stride_y": int(rng.integers(1, 4)), "stride_x": int(rng.integers(1, 4))}
        padding = {"padding_y": int(rng.integers(0, 3)), "padding_x": int(rng.integers(0, 3))}
        shape = ConvShape(
            channels=channels, out_channels=columns * groups, groups=groups, **sizes, **kernel, **strides, **padding
        )
        if shape.out_height > 0 and shape.out_width > 0:
            return shape


def draw_case(seed: int) -> Case:
    rng = np.random.default_rng(seed)
    shape = draw_shape(rng) if seed else NO_TAPS
    dtype = np.int8 if seed % 2 else np.int16
    limits = np.iinfo(dtype)
    weights = rng.integers(limits.min, limits.max + 1, (shape.n_rows + shape.groups, shape.columns)).astype(dtype)
    has_bias = bool(rng.random() < 0.5)
    if not has_bias:
        weights[shape.n_rows :] = 0
    signal = rng.integers(-128, 128, (shape.n_blocks, shape.columns))
    signal *= rng.random(signal.shape) < rng.choice([0.0, 0.05, 0.5, 1.0])
    density = rng.choice([0.0, 0.05, 0.3, 1.0])
    p = (rng.integers(1, 256, shape.n_in) * (rng.random(shape.n_in) < density)).astype(np.int32)
    stride = -(-shape.columns // N_LANES) * N_LANES + int(rng.choice([0, N_LANES]))
    return Case(shape, stride, conv_row(shape, stride), weights, signal, p, has_bias)


@pytest.fixture(scope="module", params=range(N_DRAWS))
def case(request) -> Case:
    return draw_case(request.param)


def saturating_add(block, amount, low, high):
    exact = block + amount
    block[:] = np.clip(exact, low, high)
    return int((block != exact).sum())


@pytest.mark.parametrize("bound", [40, 3000, None])
def test_deliver_saturates_like_one_tap_after_the_other(case, bound):
    shape, rng = case.shape, np.random.default_rng(case.shape.n_in)
    low, high = (np.int32(-bound), np.int32(bound - 1)) if bound else (-INT32_MAX, INT32_MAX)
    shift = 2
    # Any order, and an address may come twice: the events of several connections.
    addresses = rng.integers(0, shape.n_in, 25).astype(np.int32)
    magnitudes = rng.choice([1, 1, 3], 25).astype(np.int32)
    start = rng.integers(-40, 40, (shape.n_blocks, shape.columns))

    expected, saturations = start.copy(), 0
    for address, magnitude in zip(addresses, magnitudes, strict=True):
        for row, block in shape.taps(int(address)):
            amount = (case.weights[row].astype(np.int64) * magnitude) << shift
            saturations += saturating_add(expected[block], amount, low, high)

    u = case.pad(start, np.int32)
    weights = case.pad(case.weights, case.weights.dtype)
    counted = convolution.deliver_conv(u, weights, case.geometry, addresses, magnitudes, shift, low, high)
    np.testing.assert_array_equal(case.unpad(u), expected)
    assert counted == saturations


def test_bias_reaches_every_position_of_its_group(case):
    shape, (low, high), shift = case.shape, (np.int32(-300), np.int32(299)), 1
    start = np.random.default_rng(1).integers(-300, 300, (shape.n_blocks, shape.columns))
    expected, saturations = start.copy(), 0
    for position in range(shape.n_positions):
        for group in range(shape.groups):
            amount = case.weights[shape.n_rows + group].astype(np.int64) << shift
            saturations += saturating_add(expected[position * shape.groups + group], amount, low, high)

    u = case.pad(start, np.int32)
    weights = case.pad(case.weights, case.weights.dtype)
    assert convolution.deliver_bias_conv(u, weights, case.geometry, shift, low, high) == saturations
    np.testing.assert_array_equal(case.unpad(u), expected)


def error_sums(shape, geometry, weights, signal, needed, wide):
    """X of the needed addresses, 0 of the others. The scratch is full of what an earlier call left."""
    signals, rows = (np.full(n, 77, dtype=np.int16) for n in convolution_errors.copy_sizes(geometry))
    needed_at = np.count_nonzero(needed.reshape(-1, shape.channels // shape.groups), axis=1).astype(np.int32)
    x = np.full(shape.n_in, 77, dtype=np.int64)
    copies = (signals, rows, np.full(16, 77, dtype=np.int32))
    convolution_errors.error_conv(weights, geometry, signal, needed, needed_at, wide, copies, x)
    return np.where(needed != 0, x, 0)


@pytest.mark.parametrize("density", [0.1, 0.6])  # address by address, and four positions at once
@pytest.mark.parametrize("wide", [False, True])
def test_error_is_the_sum_over_the_taps_of_needed_addresses(case, wide, density):
    shape = case.shape
    signal = case.signal * (2**16 + 1 if wide else 1)  # the wide sums leave 32 bits
    needed = (np.random.default_rng(2).random(shape.n_in) < density).astype(np.int32)
    weights = case.weights.astype(np.int64)
    expected = [
        sum(int(weights[row] @ signal[block]) for row, block in shape.taps(i)) if needed[i] else 0
        for i in range(shape.n_in)
    ]
    flat_weights, flat_signal = case.pad(case.weights, case.weights.dtype), case.pad(signal, np.int32)
    assert error_sums(shape, case.geometry, flat_weights, flat_signal, needed, wide).tolist() == expected


# `layout` calls a layer narrow if all its sums stay below 2^30: the products of a position, as the kernel forms all.
@pytest.mark.parametrize(
    ("kernel", "weight", "value", "wide"),
    [
        (1, -(2**15), -(2**15), False),  # one product of the extremes, 2^30
        (3, -(2**15), 7281, False),  # nine products, just below 2^31
        (3, 2**15 - 1, -7281, False),
        (3, -(2**7), -(2**15), False),
        (3, -(2**15), 2**15, False),  # a signal of 17 bits: summed in 64 bits whatever was proved
        (3, -(2**15), -(2**15) - 1, False),
        (3, -(2**15), 2**23 - 1, True),
        (3, -(2**15), -(2**15), True),  # leaves 32 bits
    ],
)
@pytest.mark.parametrize("channels", [1, 5])
def test_errors_at_the_ends_of_16_and_32_bits(kernel, weight, value, wide, channels):
    pad = kernel // 2
    shape = ConvShape(5, 5, channels, 1, kernel_height=kernel, kernel_width=kernel, padding_y=pad, padding_x=pad)
    weights = np.zeros((shape.n_rows + 1, 16), dtype=np.int16)
    weights[:, 0] = weight
    signal = np.zeros((shape.n_blocks, 16), dtype=np.int32)
    signal[:, 0] = value
    geometry, needed = conv_row(shape, 16), np.ones(shape.n_in, dtype=np.int32)
    x = error_sums(shape, geometry, weights.reshape(-1), signal.reshape(-1), needed, wide)
    taps = [sum(1 for _ in shape.taps(i)) for i in range(shape.n_in)]
    assert x.tolist() == [n * weight * value for n in taps]


def products_of(geometry, p, signal, has_bias, n_rows):
    """D as the kernel forms it. The scratch is full of what an earlier call left."""
    p_pairs, signal_pairs = (np.full(n, 99, dtype=np.int32) for n in convolution_products.pair_sizes(geometry))
    tile = np.full(convolution_products.TILE_ENTRIES, 99, dtype=np.int32)
    d = np.full(n_rows, 55, dtype=np.int32)
    convolution_products.sum_products_conv(geometry, p, signal, has_bias, 16, p_pairs, signal_pairs, tile, d)
    return d


def expected_products(shape, p, signal):
    expected = np.zeros((shape.n_rows + shape.groups, shape.columns), dtype=np.int64)
    for i in np.flatnonzero(p):
        for row, block in shape.taps(int(i)):
            expected[row] += int(p[i]) * signal[block]
    return expected


def test_sums_of_products_of_all_rows(case):
    shape = case.shape
    expected = expected_products(shape, case.p, case.signal)
    if case.has_bias:
        by_group = case.signal.reshape(shape.n_positions, shape.groups, shape.columns)
        expected[shape.n_rows :] = 16 * by_group.sum(axis=0)
    signal = case.pad(case.signal, np.int32)
    d = products_of(case.geometry, case.p, signal, case.has_bias, len(expected) * case.block_stride)
    np.testing.assert_array_equal(case.unpad(d), expected)


@pytest.mark.parametrize(
    ("factor", "value"),
    [
        (2**15 - 1, -(2**15)),  # the last that fit 16 bits: two products near -2^31
        (2**15 - 1, 2**15 - 1),
        (2**15, 2**15 - 1),  # the first that do not
        (2**15 - 1, 2**15),
        (2**15 - 1, -(2**15) - 1),
        (2**16 - 1, -(2**15)),
        (127, 2**23 - 1),
    ],
)
def test_sums_of_products_at_the_ends_of_16_and_32_bits(factor, value):
    # Every row meets one or two outputs, so |D| < 2^31 as semantics section 1 demands.
    shape = ConvShape(1, 3, 1, 3, kernel_height=1, kernel_width=2)
    p = np.full(shape.n_in, factor, dtype=np.int32)
    signal = np.zeros((shape.n_blocks, 16), dtype=np.int32)
    signal[:, :3] = value
    if 2 * factor * abs(value) >= 2**31:
        signal[1, :3] = 0
    d = products_of(conv_row(shape, 16), p, signal.reshape(-1), False, 16 * (shape.n_rows + 1))
    np.testing.assert_array_equal(d.reshape(-1, 16)[:, :3], expected_products(shape, p, signal[:, :3]))


def words(values, lanes: int) -> int:
    return sum(bool(np.any(values[k : k + lanes])) for k in range(0, len(values), lanes))


def expected_activity(case: Case, needed, synapse_lanes: int, trace_lanes: int) -> Counter[str]:
    """Every field of semantics section 5 that depends on taps, by a walk over all of them."""
    shape, counts = case.shape, Counter()
    block_words = [words(block, synapse_lanes) for block in case.signal]
    block_products = [int(np.count_nonzero(block)) for block in case.signal]
    tiles = set()
    for i in range(shape.n_in):
        position, channel = divmod(i, shape.channels)
        group, within = divmod(channel, shape.channels // shape.groups)
        counts["psi_rows"] += int(needed[i] != 0)
        counts["presynaptic_rows"] += int(case.p[i] != 0)
        for _, block in shape.taps(i):
            counts["all_tap_words"] += block_words[block]
            counts["all_tap_products"] += block_products[block]
            if needed[i]:
                counts["psi_taps"] += 1
                counts["error_words"] += block_words[block]
                counts["error_products"] += block_products[block]
            if case.p[i]:
                counts["presynaptic_taps"] += 1
                counts["update_words"] += block_words[block]
                counts["update_products"] += block_products[block]
                tiles.add((position, group, within // trace_lanes, block))
    counts["update_tiles"] = sum(block_words[block] for *_, block in tiles)
    counts["signal_words"], counts["signal_nonzero"] = sum(block_words), sum(block_products)
    if case.has_bias:
        counts["presynaptic_rows"] += shape.groups
        counts["presynaptic_taps"] += shape.n_blocks
        counts["update_words"] += sum(block_words)
        counts["update_products"] += sum(block_products)
    return counts


@pytest.mark.parametrize(("synapse_lanes", "trace_lanes"), [(1, 1), (4, 2), (16, 64), (5, 3), (64, 4)])
def test_counted_activity_is_that_of_every_tap(case, synapse_lanes, trace_lanes):
    shape = case.shape
    needed = (np.random.default_rng(3).random(shape.n_in) < 0.5).astype(np.int32)
    n_positions = shape.height * shape.width * shape.groups
    blocks, reach = np.full(shape.n_blocks, 99, dtype=np.int64), np.full(n_positions, 99, dtype=np.int64)
    columns = np.full(shape.out_width * shape.groups, 99, dtype=np.int64)
    needed_at, p_at = np.full(n_positions, 99, dtype=np.int32), np.full(n_positions, 99, dtype=np.int32)
    geometry, signal = case.geometry, case.pad(case.signal, np.int32)
    of_signal = convolution_counts.count_signal(geometry, signal, synapse_lanes, blocks, columns, reach)
    of_error = convolution_counts.count_error(geometry, needed, reach, needed_at)
    of_update = convolution_counts.count_update(
        geometry, case.p, case.has_bias, trace_lanes, *of_signal[:2], reach, p_at
    )
    counted = dict(zip(COUNTED, of_signal + of_error + of_update, strict=True))
    expected = expected_activity(case, needed, synapse_lanes, trace_lanes)
    assert counted == {name: expected[name] for name in COUNTED}
    for values, counted_at in ((needed, needed_at), (case.p, p_at)):
        assert counted_at.tolist() == np.count_nonzero(values.reshape(n_positions, -1), axis=1).tolist()


def test_delivered_taps(case):
    addresses = np.random.default_rng(4).integers(0, case.shape.n_in, 30).astype(np.int32)
    expected = sum(sum(1 for _ in case.shape.taps(int(address))) for address in addresses)
    assert convolution_counts.count_delivered(case.geometry, addresses) == expected


def test_draws_cover_what_they_should():
    shapes = [draw_case(seed).shape for seed in range(N_DRAWS)]
    assert any(shape.groups == shape.channels > 1 for shape in shapes)
    assert any(shape.columns > N_LANES and shape.columns % N_LANES for shape in shapes)
    assert any(shape.kernel_height != shape.kernel_width and shape.height != shape.width for shape in shapes)
    assert {shape.stride_y for shape in shapes} == {1, 2, 3} and {shape.padding_x for shape in shapes} == {0, 1, 2}
    assert any(all(not list(shape.taps(i)) for i in range(shape.n_in)) for shape in shapes)  # only padding is seen
    assert any(shape.channels // shape.groups > convolution_products.TILE for shape in shapes)


@pytest.mark.parametrize("block_stride", [16, 24])
def test_a_block_stride_must_be_whole_pads(block_stride):
    with pytest.raises(ValueError, match="20 columns"):
        conv_row(ConvShape(4, 4, 1, 20, 3, 3), block_stride)
