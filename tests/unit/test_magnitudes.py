"""Is the percentile from the largest values alone numpy's over all of them, to the last bit?"""

from __future__ import annotations

import numpy as np
import pytest

from neurochip.network.magnitudes import PERCENTILE, Magnitudes, magnitude


@pytest.mark.parametrize("n", [1, 2, 3, 10, 999, 1000, 1001, 1002, 5000, 20_011])
def test_the_percentile_is_that_of_all_values_whatever_the_parts(n: int) -> None:
    rng = np.random.default_rng(n)
    values = rng.standard_normal(n) * 10.0 ** rng.integers(-3, 4, n)
    values[rng.random(n) < 0.2] = 0.0
    kept = np.abs(values[values != 0])
    expected = float(np.percentile(kept, PERCENTILE)) if kept.size else 1.0
    assert magnitude(values) == expected
    parts = Magnitudes(n)
    for part in np.array_split(values, 7):
        parts.add(part.reshape(-1, 1))
    assert parts.percentile == expected


def test_what_is_not_there_or_0_counts_as_1() -> None:
    assert Magnitudes(5).percentile == magnitude(np.zeros((3, 2))) == 1.0


def test_only_the_largest_values_are_kept() -> None:
    found = Magnitudes(100_000)
    for _ in range(10):
        found.add(np.ones(10_000))
    assert found._largest.size <= 102
