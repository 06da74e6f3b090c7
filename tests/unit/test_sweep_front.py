"""Which settings of a sweep stand out: against all pairs by brute force, and by hand."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import pytest

from neurochip.sweep.front import best, cheapest_within, knee, non_dominated, pareto_front


def dominated_by_any(row: Sequence[float], rows: Sequence[Sequence[float]]) -> bool:
    return any(
        all(a <= b for a, b in zip(other, row, strict=True)) and any(a < b for a, b in zip(other, row, strict=True))
        for other in rows
    )


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("n_columns", [1, 2, 3, 4])
def test_the_front_is_what_no_other_row_dominates(seed: int, n_columns: int) -> None:
    draw = random.Random(seed)
    rows = [[draw.randrange(6) for _ in range(n_columns)] for _ in range(draw.randrange(25))]
    assert non_dominated(rows) == [not dominated_by_any(row, rows) for row in rows]


@pytest.mark.parametrize("seed", range(40))
def test_the_front_of_accuracy_and_energy_has_every_pair_once_by_rising_energy(seed: int) -> None:
    draw = random.Random(seed)
    accuracies = [draw.randrange(8) / 8 for _ in range(30)]
    energies = [float(draw.randrange(1, 9)) for _ in range(30)]
    pairs = [(energy, -accuracy) for accuracy, energy in zip(accuracies, energies, strict=True)]
    front = pareto_front(accuracies, energies)
    assert [pairs[index] for index in front] == sorted({pair for pair in pairs if not dominated_by_any(pair, pairs)})
    assert all(pairs.index(pairs[index]) == index for index in front)


def distance(accuracies: Sequence[float], energies: Sequence[float], front: Sequence[int], index: int) -> float:
    """How far above the line between the ends of the front, by the cross product in the plane of the logarithms."""

    def place(at: int) -> tuple[float, float]:
        return math.log(energies[at]), -math.log(max(1 - accuracies[at], 0.001))

    (x0, y0), (x1, y1), (x, y) = place(front[0]), place(front[-1]), place(index)
    return ((x1 - x0) * (y - y0) - (y1 - y0) * (x - x0)) / ((x1 - x0) * (y1 - y0))


@pytest.mark.parametrize("seed", range(60))
def test_the_knee_is_farthest_above_the_line_between_the_ends(seed: int) -> None:
    draw = random.Random(seed)
    n = draw.randrange(3, 30)
    accuracies = [draw.uniform(0.1, 0.999) for _ in range(n)]
    energies = [10 ** draw.uniform(2, 6) for _ in range(n)]
    front = pareto_front(accuracies, energies)
    found = knee(accuracies, energies)
    if len(front) < 3:
        assert found is None
        return
    heights = {index: distance(accuracies, energies, front, index) for index in front[1:-1]}
    if max(heights.values()) < 0:
        assert found is None
    else:
        assert found is not None and heights[found] == pytest.approx(max(heights.values()))


def test_the_knee_by_hand() -> None:
    """Errors 0.8, 0.1, 0.05 at energies 1, 10, 100: the middle halves the decades and does three of four halvings."""
    assert knee([0.2, 0.9, 0.95], [1, 10, 100]) == 1
    assert knee([0.95, 0.2, 0.9, 0.89], [100, 1, 10, 11]) == 2
    assert knee([0.2, 0.3, 0.95], [1, 10, 100]) is None  # below the line
    assert knee([0.2, 0.9], [1, 10]) is None
    assert knee([0.9, 0.2, 0.3], [1, 10, 100]) is None  # a front of one
    assert knee([], []) is None


def test_a_perfect_accuracy_has_a_finite_error() -> None:
    assert knee([0.2, 0.99, 1.0], [1, 10, 1000]) == 1
    assert knee([0.9991, 0.9995, 1.0], [1, 2, 3]) is None


def test_settings_that_learn_nothing_do_not_make_one_that_hardly_learns_the_knee() -> None:
    """In accuracy the second is farthest above the line, at 60 %; in the error the fourth, at 95.7 %."""
    assert knee([0.10, 0.60, 0.90, 0.957, 0.962], [277, 352, 700, 879, 1075]) == 3


def test_the_best_is_the_cheapest_of_equally_accurate() -> None:
    assert best([0.9, 0.95, 0.95, 0.95], [1.0, None, 3.0, 2.0]) == 3
    assert best([0.9, 0.95], [None, None]) == 1
    assert best([], []) is None


def test_the_cheapest_within_a_point_may_be_exactly_a_point_below() -> None:
    accuracies = [0.94, 0.95, 0.96, 0.95]
    assert cheapest_within(accuracies, [1.0, 3.0, 5.0, 2.0]) == 3
    assert cheapest_within([0.12, 0.13], [1.0, 2.0]) == 0  # 0.13 - 0.01 is above 0.12 in binary
    assert cheapest_within([0.95, 0.955, 0.96], [2.0, 2.0, 3.0]) == 1
    assert cheapest_within([0.95, 0.96], [None, None]) is None
    assert cheapest_within([], []) is None
