"""Pairs of 16-bit entries, the fold of sums, the list of spikes and the update of whole words: as numpy does them?"""

from __future__ import annotations

import numpy as np
import pytest

from neurochip.core import lanes
from neurochip.core._jit import jit
from neurochip.core.convolution_lanes import add_neighbours, load_pairs, multiply_pairs
from neurochip.core.layout import ROUND_STOCHASTIC
from neurochip.core.neuron import fire
from neurochip.rules.update.immediate import update_products_stochastic, update_word_any


@jit
def products_of_pairs(left, right, start, out):
    lanes.store(out, 0, multiply_pairs(load_pairs(left, start), load_pairs(right, start)))


@jit
def fold(left, right, out):
    lanes.store(out, 0, add_neighbours(lanes.load(left, 0), lanes.load(right, 0)))


def test_two_products_are_added_in_every_lane() -> None:
    extremes = np.array([-(2**15), -(2**15) + 1, -1, 0, 1, 2**15 - 1], dtype=np.int16)
    rng = np.random.default_rng(0)
    out = np.zeros(16, dtype=np.int32)
    for _ in range(200):
        left, right = rng.choice(extremes, 37), rng.choice(extremes, 37)
        products_of_pairs(left, right, 5, out)
        expected = (left[5:].astype(np.int64) * right[5:]).reshape(16, 2).sum(axis=1)
        # Only 2 * 2^30, all four factors -2^15, does not fit; neither factor of a convolution can be that twice.
        assert out.tolist() == expected.astype(np.int32).tolist()
        assert expected[out != expected].tolist() == [2**31] * int((out != expected).sum())


def test_neighbours_are_added_in_their_order_and_wrap() -> None:
    left, right = np.arange(16, dtype=np.int32), np.full(16, 2**30 + 1, dtype=np.int32)
    out = np.zeros(16, dtype=np.int32)
    fold(left, right, out)
    assert out.tolist() == [*range(1, 32, 4), *[-(2**31) + 2] * 8]


@pytest.mark.parametrize("n", [1, 16, 37, 64])
@pytest.mark.parametrize("reset_zero", [0, 1])
def test_spikes_are_those_at_or_above_the_threshold(n: int, reset_zero: int) -> None:
    rng = np.random.default_rng(n)
    for threshold in (1, 100, 2**23 - 1):
        low = threshold - 3
        start = np.append(rng.integers(low, threshold + 3, n - 1), -(2**23)).astype(np.int32)
        u, spikes = start.copy(), np.zeros(n + 1, dtype=np.int32)
        count = fire(u, n, np.int32(threshold), reset_zero, spikes)
        fired = start >= threshold
        assert spikes[:count].tolist() == np.flatnonzero(fired).tolist()
        assert u.tolist() == np.where(fired, 0 if reset_zero else start - threshold, start).tolist()


@pytest.mark.parametrize(("kind", "low", "high"), [(np.int8, -128, 127), (np.int16, -(2**15), 2**15 - 1)])
@pytest.mark.parametrize("rate", [1, 255])
def test_words_with_a_product_change_as_column_by_column(kind: type, low: int, high: int, rate: int) -> None:
    rng = np.random.default_rng(rate)
    weights = rng.integers(low, high + 1, 16 * 40).astype(kind)
    largest = (2**30 - 1) // rate  # the largest that `layout` calls narrow
    products = rng.choice([-largest, -1, 1, largest], weights.shape).astype(np.int32)
    products *= np.repeat(rng.random(40) < 0.6, 16) * (rng.random(weights.shape) < 0.3)
    registers = rng.integers(1, 2**32, 16, dtype=np.uint32)
    expected, expected_registers, n_words, saturated = weights.copy(), registers.copy(), 0, 0
    for at in range(0, len(weights), 16):
        if products[at : at + 16].any():
            n_words += 1
            saturated += update_word_any(
                expected, products, np.int64(at), at + 16, np.int64(-rate), 17, ROUND_STOCHASTIC, low, high,
                expected_registers,
            )  # fmt: skip
    counted = update_products_stochastic(weights, products, rate, 17, low, high, registers)
    assert counted == (saturated, n_words)
    assert saturated > 0
    assert 0 < n_words < 40
    np.testing.assert_array_equal(weights, expected)
    np.testing.assert_array_equal(registers, expected_registers)
