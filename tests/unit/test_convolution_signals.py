"""Do vectors of 16 list events, follow traces and bring errors back as numpy, entry by entry, does?"""

from __future__ import annotations

import numpy as np
import pytest

from neurochip.core.backward import fits_lanes
from neurochip.core.inputs import sum_events
from neurochip.core.neuron import fire
from neurochip.rules.spatial.routed import (
    dense_error,
    gather_sums,
    round_sums,
    sat_sums,
    signals_from_one,
    signals_from_sums,
)
from neurochip.rules.temporal.trace import count_trace_words, even_length, update_trace

LOW, HIGH = np.int64(-128), np.int64(127)


@pytest.mark.parametrize("length", [5, 16, 20, 32])
@pytest.mark.parametrize("nearest", [True, False])
@pytest.mark.parametrize("bits", [0, 4])
@pytest.mark.parametrize("dropped", [0, 2])
def test_signals_of_one_connection_are_those_of_several(length: int, nearest: bool, bits: int, dropped: int) -> None:
    rng = np.random.default_rng(length + dropped)
    # Two runs lead to one address and one to none: a pool.
    runs = np.array([[0, length, length], [length, 0, length], [2 * length, length, length]], dtype=np.int64)
    sums = rng.integers(-3000, 3000, 2 * length) * (rng.random(2 * length) < 0.9)
    sums[: length // 2] = rng.integers(-9, 9, length // 2)
    n = 3 * length + dropped
    psi = (rng.integers(1, 16, n) * (rng.random(n) < 0.8)).astype(np.int32)
    rounded, flags = np.zeros(2 * length, dtype=np.int64), np.zeros(2 * length, dtype=np.int32)
    round_sums(sums, 4, nearest, rounded, flags)
    total, some = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.int32)
    gather_sums(runs, rounded, flags, total, some)
    d, g, expected_d, expected_g = np.full((4, n), 7, dtype=np.int32)
    expected = signals_from_sums(total, some, psi, np.int64(bits), nearest, LOW, HIGH, expected_d, expected_g)
    sat_sums(sums, 4, nearest, LOW, HIGH, flags)
    counted = signals_from_one(runs, flags, psi, np.int64(bits), nearest, LOW, HIGH, d, g)
    assert counted == expected
    assert expected[0] > 0
    assert expected[1] > 0 or not nearest
    assert d.tolist() == expected_d.tolist()
    assert g.tolist() == expected_g.tolist()


def test_the_bound_of_32_bit_signals_is_the_first_that_could_wrap() -> None:
    codes = np.array([0, 16], dtype=np.int32)
    assert fits_lanes(np.int64(-(2**27) + 1), np.int64(2**27 - 2), np.int64(3), codes)
    assert not fits_lanes(np.int64(-(2**27)), np.int64(2**27 - 1), np.int64(3), codes)
    assert not fits_lanes(np.int64(-(2**29)), np.int64(2**29 - 1), np.int64(0), np.ones(2, dtype=np.int32))


@pytest.mark.parametrize("stride", [16, 48])
@pytest.mark.parametrize("n", [7, 16, 37])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.9])
def test_errors_of_dense_rows_are_their_products_with_the_signal(stride: int, n: int, share: float) -> None:
    rng = np.random.default_rng(n)
    weights = rng.integers(-128, 128, (n, stride)).astype(np.int8)
    signal = rng.integers(-128, 128, stride).astype(np.int32)
    needed = (rng.random(n) < share).astype(np.int32) * 3
    for wide in (False, True):
        sums = np.full(n, 9, dtype=np.int64)
        assert dense_error(weights.ravel(), stride, signal, needed, wide, sums) == (needed != 0).sum()
        assert sums.tolist() == (weights.astype(np.int64) @ signal * (needed != 0)).tolist()


@pytest.mark.parametrize("width", [1, 2, 3, 4, 8, 16, 32])
@pytest.mark.parametrize("block", [2, 3, 5, 8, 16, 32, 48, 96])
def test_words_of_traces_are_counted_as_entry_by_entry(width: int, block: int) -> None:
    rng = np.random.default_rng(width * block)
    n = 96 // block * block
    words = [
        (at, min(at + width, first + block))
        for first in range(0, n, block)
        for at in range(first, first + block, width)
    ]
    for _ in range(5):
        trace = np.zeros(-(-n // 16) * 16, dtype=np.int32)
        trace[:n] = rng.integers(1, 9, n) * (rng.random(n) < 0.1)
        addresses = np.flatnonzero(rng.random(n) < 0.2).astype(np.int32)
        held = trace[:n] != 0
        held[addresses] = True
        expected = (trace >> 1).copy()
        expected[addresses] += 8
        counted, saturations = update_trace(
            trace, n, 1, 1, addresses, np.ones_like(addresses), 3, 7, width, block, np.zeros(n + 16, dtype=np.uint8)
        )
        assert counted == sum(held[first:stop].any() for first, stop in words)
        assert saturations == (expected > 7).sum() > 0
        assert trace.tolist() == np.minimum(expected, 7).tolist()
        rows = np.flatnonzero(trace >= 4).astype(np.int32)
        assert count_trace_words(trace, 4, rows, width) == len(set(rows // width))
    assert even_length(96, 8, 2) == 2  # the test covers both ways to count
    assert even_length(96, 8, 12) == even_length(96, 3, 96) == even_length(96, 32, 96) == 0


@pytest.mark.parametrize("n", [1, 15, 16, 64, 100, 300])
@pytest.mark.parametrize("share", [0.02, 0.5, 2.0])
def test_hit_addresses_and_spikes_are_listed_in_their_order(n: int, share: float) -> None:
    rng = np.random.default_rng(n)
    addresses = rng.integers(0, n, int(n * share) + 1).astype(np.int32)
    magnitudes = rng.integers(1, 4, len(addresses)).astype(np.int32)
    summed, unique, sums = np.zeros(n, np.int32), np.zeros(n + 1, np.int32), np.zeros(n + 1, np.int32)
    count = sum_events(addresses, magnitudes, summed, n, unique, sums)
    expected = np.bincount(addresses, magnitudes, n)
    assert unique[:count].tolist() == np.flatnonzero(expected).tolist()
    assert sums[:count].tolist() == expected[expected > 0].tolist()
    assert not summed.any()
    u = expected.astype(np.int32)
    n_spikes = fire(u, n, np.int32(1), 1, unique)
    assert unique[:n_spikes].tolist() == np.flatnonzero(expected).tolist()
    assert not u.any()
