"""Does the golden core standardise weights as docs/semantics.md, section 3.8, says, and when it says?"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from golden_builders import (
    SILENT,
    standardise_constant,
    standardising_spec,
    total,
)
from hypothesis import assume, given
from hypothesis import strategies as st

from neurochip.activity import FIELD_INDEX
from neurochip.reference.core import GoldenCore, GoldenRun
from neurochip.reference.core.standardise import standardise_column


def standardise(columns: list[list[int]], scale: float, **changes: Any) -> tuple[list[list[int]], GoldenRun]:
    """What one sample without an event makes of the columns of a layer."""
    n_rows, n_columns = len(columns[0]), len(columns)
    rows = [[column[r] for column in columns] for r in range(n_rows)]
    core = GoldenCore(
        standardising_spec(n_rows, n_columns, scale, **changes),
        [[*rows, [0] * n_columns], [[0, 0]] * (n_columns + 1)],
    )
    result = core.run([SILENT], learn=True)
    return [[row[j] for row in core.weights[0][:n_rows]] for j in range(n_columns)], result


class TestByHand:
    # K = 5, g = 1, frac_w = 4: p = 16 + 3 and C = floor(2^(4 + 19) sqrt(4) / 5 + 1/2) = floor(3355443.2 + 1/2).
    # Column: S1, S2, V = 5 S2 - S1^2, R, F = floor(C / R); 5 W - S1; times F / 2^19.
    # [3, -1, 5, 1, 2]:      10, 40, 100, 10,  335544;  5, -15, 15, -5, 0;   3.2, -9.6, 9.6, -3.2, 0
    # [1, 0, 0, 0, 0]:        1,  1,   4,  2, 1677721;  4, -1, -1, -1, -1;   12.8, -3.2, ...
    # [2, -1, 0, 0, 0]:       1,  5,  24,  4,  838860;  9, -6, -1, -1, -1;   14.4, -9.6, -1.6, ... (sqrt(24) = 4.9)
    # [7, 7, 7, 7, 7]:       35, 245,  0,  0,       -;  stays
    COLUMNS = ([3, -1, 5, 1, 2], [1, 0, 0, 0, 0], [2, -1, 0, 0, 0], [7, 7, 7, 7, 7])
    BROUGHT_BACK = ([3, -10, 10, -3, 0], [13, -3, -3, -3, -3], [14, -10, -2, -2, -2], [7, 7, 7, 7, 7])

    def test_four_columns(self) -> None:
        assert standardise_constant(16, 5) == 3355443
        found, result = standardise([*self.COLUMNS], 16)
        assert found == [*self.BROUGHT_BACK]
        assert result.n_standardisations == 1
        assert total(result, "sat_weight", 0) == 0

    @pytest.mark.parametrize("rounding", ["floor", "nearest", "stochastic"])
    def test_rounding_is_to_nearest_whatever_that_of_the_weights_and_draws_nothing(self, rounding: str) -> None:
        found, result = standardise([*self.COLUMNS], 16, weight_rounding=rounding)
        assert found == [*self.BROUGHT_BACK]
        assert total(result, "random_advances", 0) == 0

    def test_what_lies_outside_the_format_saturates_and_is_counted_among_the_applies(self) -> None:
        # 4 bits, -8 to 7: of the four columns 10 and -10; 13; 14 and -10.
        found, result = standardise([*self.COLUMNS], 16, weight_bits=4)
        assert found == [[3, -8, 7, -3, 0], [7, -3, -3, -3, -3], [7, -8, -2, -2, -2], [7] * 5]
        assert [step[0][FIELD_INDEX["sat_weight"]] for step in result.activity] == [0, 5]
        assert total(result, "update_words", 0) == 0

    def test_ties_are_rounded_away_from_zero(self) -> None:
        # K = 2, p = 17; C = 5 2^15 by hand. [1, 0]: V = 2 - 1, R = 1; (2 W - S1) C / 2^17 = 1.25, -1.25.
        # [0, 2]: V = 8 - 4, R = 2, F = 5 2^14; -2 and 2 times 0.625. With C = 3 2^16: +-1.5.
        assert standardise_column([1, 0], 5 << 15, 17) == [1, -1]
        assert standardise_column([0, 2], 5 << 15, 17) == [-1, 1]
        assert standardise_column([1, 0], 3 << 16, 17) == [2, -2]
        assert standardise_column([0, 2], 3 << 16, 17) == [-2, 2]

    def test_a_quotient_of_more_than_31_bits_is_the_largest_of_31(self) -> None:
        # R = 2, C / R = 2^39: 4 (2^31 - 1) / 2^19 = 16384 - 0.01, where 2^39 would give 4 2^20.
        assert standardise_column([1, 0, 0, 0, 0], 1 << 40, 19) == [16384] + [-4096] * 4
        assert standardise_column([1, 0, 0, 0, 0], ((1 << 31) - 1) * 2, 19) == [16384] + [-4096] * 4


def norm(column: list[int]) -> float:
    """sqrt(K var) of a column, var with K - 1 in the denominator."""
    return math.sqrt(len(column) * float(np.var(column, ddof=1)))


def root_of_v(column: list[int]) -> float:
    return math.sqrt(len(column) * sum(w * w for w in column) - sum(column) ** 2)


WEIGHTS = st.integers(-127, 127)
LARGE = st.integers(5000, 10000)
SCALES = st.floats(1.0, 2000.0)


@st.composite
def columns_of_weights(draw: st.DrawFn, most_rows: int = 40, n_columns: int = 1) -> list[list[int]]:
    n_rows = draw(st.integers(2, most_rows))
    weights = draw(st.sampled_from([WEIGHTS, st.integers(-2, 2), st.sampled_from([0, 0, 0, 1, -100])]))
    return [draw(st.lists(weights, min_size=n_rows, max_size=n_rows)) for _ in range(n_columns)]


class TestProperties:
    """In 16-bit weights, which at these gains never saturate."""

    @given(columns_of_weights(), SCALES)
    def test_mean_is_0_and_k_times_the_variance_that_of_the_gain(self, columns: list[list[int]], scale: float) -> None:
        column = columns[0]
        v, k = root_of_v(column), len(column)
        assume(v > 0)
        (found,), result = standardise(columns, scale, weight_bits=16)
        assert total(result, "sat_weight", 0) == 0
        # Before rounding the sum is 0; every weight is rounded by at most 1/2.
        assert 2 * abs(sum(found)) <= k
        # R is at most 1 too small, C / R too; the roundings are a vector no longer than sqrt(K) / 2.
        largest, smallest = (
            v / math.floor(v) + v / standardise_constant(scale, k),
            1 - (v + 1) / standardise_constant(scale, k),
        )
        rounded = math.sqrt(k / (k - 1)) * math.sqrt(k) / 2 + 1e-6
        assert scale * smallest - rounded <= norm(found) <= scale * largest + rounded

    @given(columns_of_weights(), SCALES)
    def test_the_opposite_column_gives_the_opposite_and_a_constant_added_nothing(
        self, columns: list[list[int]], scale: float
    ) -> None:
        column = columns[0]
        opposite, moved = [-w for w in column], [w + 1000 for w in column]
        assume(root_of_v(column) > 0)
        (found, of_opposite, of_moved), _ = standardise([column, opposite, moved], scale, weight_bits=16)
        assert of_opposite == [-w for w in found]
        assert of_moved == found

    @given(columns_of_weights(n_columns=3), WEIGHTS, SCALES)
    def test_every_column_is_on_its_own_and_one_of_equal_weights_stays(
        self, columns: list[list[int]], weight: int, scale: float
    ) -> None:
        equal = [weight] * len(columns[0])
        together, _ = standardise([*columns, equal], scale, weight_bits=16)
        assert together == [standardise([column], scale, weight_bits=16)[0][0] for column in columns] + [equal]

    @given(columns_of_weights(n_columns=2), SCALES)
    def test_saturation_clamps_after_rounding_and_counts_each_weight_once(
        self, columns: list[list[int]], scale: float
    ) -> None:
        wide, _ = standardise(columns, scale, weight_bits=16)
        narrow, result = standardise(columns, scale)
        assert narrow == [[max(-128, min(127, w)) for w in column] for column in wide]
        assert total(result, "sat_weight", 0) == sum(not -128 <= w <= 127 for column in wide for w in column)

    @given(st.lists(st.tuples(LARGE, LARGE), min_size=1, max_size=20), st.booleans(), st.floats(60.0, 700.0))
    def test_doing_it_again_moves_no_weight_by_more_than_1(
        self, pairs: list[tuple[int, int]], odd: bool, scale: float
    ) -> None:
        # The first rounding moves each of K weights by at most 1/2: mean and length of the column by so much that the
        # second time takes back less than 1/2 sqrt(1 + 1.8^2) from a weight 1.8 standard deviations (of more than 8)
        # from the mean. The second R takes less than 0.4, where R is at least K sigma, and the second rounding 1/2.
        # All that is less than 2.
        column = [w for a, b in pairs for w in (a, -b)] + [0] * odd
        (once,), _ = standardise([column], scale, weight_bits=16)
        sigma = math.sqrt(float(np.var(once)))
        assume(sigma > 8)
        assume(max(abs(w - sum(once) / len(once)) for w in once) <= 1.8 * sigma)
        (twice,), _ = standardise([once], scale, weight_bits=16)
        assert max(abs(a - b) for a, b in zip(once, twice, strict=True)) <= 1
