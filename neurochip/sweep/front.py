"""The best of a sweep: what is dominated, the front of accuracy and energy, its knee, and what is cheap enough."""

from __future__ import annotations

import math
from collections.abc import Sequence

POINT = 0.01  # one point of accuracy, as a fraction
LEAST_ERROR = 0.001  # errors below are equal: few test splits can tell them apart, and 0 has no logarithm
TIE = 1e-9  # accuracies nearer than this are equal: 0.13 - 0.01 is above 0.12 in binary


def non_dominated(costs: Sequence[Sequence[float]]) -> list[bool]:
    """Whether no other row is at most as large in every column and smaller in one; equal rows do not dominate.

    Args:
        costs: rows of equal length; everything is to be minimised, so give accuracies with a minus.
    """
    distinct = sorted({tuple(row) for row in costs})
    kept: list[tuple[float, ...]] = []
    for row in distinct:  # in this order only an earlier row can dominate a later one
        if not any(all(a <= b for a, b in zip(other, row, strict=True)) for other in kept):
            kept.append(row)
    front = set(kept)
    return [tuple(row) in front for row in costs]


def pareto_front(accuracies: Sequence[float], energies: Sequence[float]) -> list[int]:
    """Indices of the settings that no other beats in accuracy and energy, by rising energy; of equal ones the first."""
    costs = [(energy, -accuracy) for accuracy, energy in zip(accuracies, energies, strict=True)]
    first: dict[tuple[float, float], int] = {}
    for index, (cost, stays) in enumerate(zip(costs, non_dominated(costs), strict=True)):
        if stays:
            first.setdefault(cost, index)
    return [first[cost] for cost in sorted(first)]


def knee(accuracies: Sequence[float], energies: Sequence[float]) -> int | None:
    """Index of the setting on the front that is farthest above the straight line between the ends of the front.

    x = log(E / E_first) / log(E_last / E_first), y = log(e_first / e) / log(e_first / e_last) with the energy E and the
    error e = max(1 - accuracy, 0.001), so that the line is y = x; the knee has the largest y - x, of equal ones the
    cheapest. The error is logarithmic because with accuracies the line begins at settings that learn nothing, and the
    knee is one that hardly does. None where the front has fewer than three settings or none above the line.

    Args:
        accuracies: fractions.
        energies: above 0, in any unit.
    """
    front = pareto_front(accuracies, energies)
    if len(front) < 3:
        return None
    gains = [math.log(energies[index] / energies[front[0]]) for index in front]
    losses = [-math.log(max(1 - accuracies[index], LEAST_ERROR)) for index in front]
    width, height = gains[-1], losses[-1] - losses[0]
    if height <= 0:
        return None  # all without error
    above = [(loss - losses[0]) / height - gain / width for gain, loss in zip(gains, losses, strict=True)]
    highest = max(above)
    return front[next(place for place, one in enumerate(above) if one >= highest - TIE)] if highest > TIE else None


def best(accuracies: Sequence[float], energies: Sequence[float | None]) -> int | None:
    """Index of the highest accuracy; of equal ones the cheapest, then the first. None of no settings."""
    order = sorted(range(len(accuracies)), key=lambda index: (-accuracies[index], *_price(energies[index])))
    return order[0] if order else None


def cheapest_within(accuracies: Sequence[float], energies: Sequence[float | None], margin: float = POINT) -> int | None:
    """Index of the lowest energy at an accuracy of at least the best less `margin`; of equal ones the more accurate."""
    if not accuracies:
        return None
    least = max(accuracies) - margin - TIE
    enough = [index for index, accuracy in enumerate(accuracies) if accuracy >= least and energies[index] is not None]
    return min(enough, key=lambda index: (*_price(energies[index]), -accuracies[index]), default=None)


def _price(energy: float | None) -> tuple[bool, float]:
    """What has no energy comes last."""
    return energy is None, energy or 0.0
