"""Which points a sweep has: the full grid, one key at a time around the base, or a random part of the grid."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from itertools import product

from neurochip.config import Experiment
from neurochip.errors import UserError
from neurochip.sweep.axes import SEED, Settings, SweepAxis, value_of

GRID, ONE_AT_A_TIME, RANDOM, OPTUNA = "grid", "one-at-a-time", "random", "optuna"
METHODS = (GRID, ONE_AT_A_TIME, RANDOM, OPTUNA)
MOST_POINTS = 1_000_000


def grid(axes: Sequence[SweepAxis]) -> list[Settings]:
    """Every combination of values; the last key varies fastest.

    Raises:
        UserError: more than a million.
    """
    n_points = grid_size(axes)
    if n_points > MOST_POINTS:
        raise UserError(
            f"--method {GRID}: the grid has {n_points:,} points; allowed are {MOST_POINTS:,}, or a part of it with "
            f"--method {RANDOM} --points N"
        )
    keys = [axis.key for axis in axes]
    return [dict(zip(keys, values, strict=True)) for values in product(*(axis.values for axis in axes))]


def one_at_a_time(axes: Sequence[SweepAxis], base: Experiment) -> list[Settings]:
    """The base, then every value of every key with all other keys as in the base."""
    centre = {axis.key: value_of(base, axis.key) for axis in axes}
    points = [centre]
    for axis in axes:
        points += [{**centre, axis.key: value} for value in axis.values if value != centre[axis.key]]
    return points


def random_points(axes: Sequence[SweepAxis], n_points: int, seed: int) -> list[Settings]:
    """Different points of the grid, drawn at random; the same seed draws the same, in the same order.

    Raises:
        UserError: more points than the grid has.
    """
    size = grid_size(axes)
    if not 1 <= n_points <= size:
        raise UserError(f"--points {n_points}: is not allowed; the grid has {size:,} points, allowed are 1 to {size:,}")
    if n_points > MOST_POINTS:
        raise UserError(f"--points {n_points}: is not allowed; allowed are 1 to {MOST_POINTS:,}")
    return [_point(axes, index) for index in random.Random(seed).sample(range(size), n_points)]


def grid_size(axes: Sequence[SweepAxis]) -> int:
    """Points of the full grid."""
    return math.prod(len(axis.values) for axis in axes)


def _point(axes: Sequence[SweepAxis], index: int) -> Settings:
    chosen: Settings = {}
    for axis in axes:
        index, place = divmod(index, len(axis.values))
        chosen[axis.key] = axis.values[place]
    return chosen


def with_seeds(points: Sequence[Settings], seeds: Sequence[int]) -> list[Settings]:
    """Every point once per seed, the seeds of a point beside each other."""
    return [{**point, SEED: seed} for point in points for seed in seeds]
