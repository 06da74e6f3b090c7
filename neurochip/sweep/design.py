"""Which points a sweep has: the full grid, one key or one quantiser at a time, or a random part of the grid."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from itertools import product

from neurochip.config import Experiment
from neurochip.core.float_formats import QUANTISERS
from neurochip.errors import UserError
from neurochip.rules.presets import NO_LEARNING, Rule, find_rule
from neurochip.sweep.axes import SEED, Settings, SweepAxis, value_of

GRID, ONE_AT_A_TIME, RANDOM, OPTUNA = "grid", "one-at-a-time", "random", "optuna"
METHODS = (GRID, ONE_AT_A_TIME, RANDOM, OPTUNA)
FROM_EXPERIMENT, FROM_FLOAT = "experiment", "float"
STARTS = (FROM_EXPERIMENT, FROM_FLOAT)
ARITHMETIC, QUANTISED = "precision.arithmetic", "precision.quantisers"
NOT_OF_TWINS = ("chip.", *(f"precision.{signal}." for signal in QUANTISERS))
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


def signals_of(rule: Rule) -> tuple[str, ...]:
    """The signals that a rule has and the float twin can quantise, in the order of the table of formats."""
    if rule.group == NO_LEARNING:
        return tuple(name for name in QUANTISERS if name in ("weight", "membrane", "readout"))
    has = {"trace": rule.temporal == "trace", "delta": rule.temporal == "unroll", "gradient": rule.accumulates}
    return tuple(name for name in QUANTISERS if has.get(name, True))


def signal_of(key: str) -> str:
    """The signal whose format a key belongs to: weight of precision.weight.bits.

    Raises:
        UserError: a key of anything else.
    """
    table, _, rest = key.partition(".")
    signal, _, last = rest.partition(".")
    if table != "precision" or signal not in QUANTISERS or not last:
        raise UserError(
            f"--sweep {key}: cannot be varied with --from {FROM_FLOAT}, which puts one quantiser at a time into the "
            f"float twin; allowed are keys precision.SIGNAL.KEY with SIGNAL one of {', '.join(QUANTISERS)}"
        )
    return signal


def one_quantiser_at_a_time(axes: Sequence[SweepAxis], base: Experiment) -> list[Settings]:
    """The float twin, the twin with one quantiser for every signal of the rule, and the fixed-point experiment.

    A signal with axes has a point for every combination of their values; elsewhere they are as in the base.

    Raises:
        UserError: an axis that is no format of a signal that the rule has.
    """
    rule = find_rule(base.learning.rule)
    signals = signals_of(rule)
    for axis in axes:
        if signal_of(axis.key) not in signals:
            raise UserError(
                f"--sweep {axis.key}: cannot be varied with --from {FROM_FLOAT}: the rule {rule.name} has no signal "
                f"{signal_of(axis.key)}; allowed are {', '.join(signals)}"
            )
    own = {axis.key: value_of(base, axis.key) for axis in axes}
    given = base.precision.arithmetic
    twin = {ARITHMETIC: FROM_FLOAT if given == "fixed" else given}
    points: list[Settings] = [{**twin, QUANTISED: [], **own}]
    for signal in signals:
        formats = grid([axis for axis in axes if signal_of(axis.key) == signal])
        points += [{**twin, QUANTISED: [signal], **own, **values} for values in formats]
    return [*points, {ARITHMETIC: "fixed", QUANTISED: None, **own}]


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


def with_twins(points: Sequence[Settings]) -> list[Settings]:
    """The points, then their float twins, which know neither formats nor chip: one for all points that differ there."""
    twins = {}
    for point in points:
        own = {key: None if key.startswith(NOT_OF_TWINS) else value for key, value in point.items()}
        twins[repr(own)] = {ARITHMETIC: FROM_FLOAT, **own}
    return [*({ARITHMETIC: "fixed", **point} for point in points), *twins.values()]


def with_seeds(points: Sequence[Settings], seeds: Sequence[int]) -> list[Settings]:
    """Every point once per seed, the seeds of a point beside each other."""
    return [{**point, SEED: seed} for point in points for seed in seeds]
