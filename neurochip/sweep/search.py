"""A search with optuna: more accuracy for less energy and area, over the values of the axes.

Points are asked for in generations of fixed size and told in the order in which they were asked for, so that the
search depends on its seed and the results alone; a search that was ended replays from the stored points.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from itertools import pairwise
from statistics import fmean
from typing import Any

from neurochip.errors import UserError
from neurochip.sweep.axes import Settings, SweepAxis
from neurochip.sweep.design import with_seeds
from neurochip.sweep.request import SweepRequest
from neurochip.sweep.run import Sweep, SweepPoint

GENERATION = 8
OBJECTIVES = (("accuracy", "maximize"), ("energy_pj", "minimize"), ("area_mm2", "minimize"))


def search(sweep: Sweep, request: SweepRequest) -> list[SweepPoint]:
    """The points that optuna's multi-objective sampler asks for, each at every seed, in order and without repeats.

    The objectives are means over the seeds: accuracy on the test split, energy of a learned sample, and area where the
    chip states one. A point that fails is told as failed.

    Raises:
        UserError: optuna is not installed.
    """
    optuna = _optuna()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sampler = optuna.samplers.TPESampler(seed=request.sampler_seed)
    study = optuna.create_study(directions=[direction for _, direction in OBJECTIVES], sampler=sampler)
    seeds = request.seeds or (sweep.base.run.seed,)
    found: dict[str, SweepPoint] = {}
    n_asked, n_points = 0, request.n_points or 0
    while n_asked < n_points:
        trials = [study.ask() for _ in range(min(GENERATION, n_points - n_asked))]
        n_asked += len(trials)
        asked = [_settings(trial, request.axes) for trial in trials]
        points = sweep.evaluate(with_seeds(asked, seeds))
        for place, trial in enumerate(trials):
            own = points[place * len(seeds) : (place + 1) * len(seeds)]
            found |= {repr(point.settings): point for point in own if repr(point.settings) not in found}
            values = _objectives(own)
            study.tell(trial, values, state=optuna.trial.TrialState.FAIL if values is None else None)
    return list(found.values())


def _optuna() -> Any:
    try:
        return importlib.import_module("optuna")
    except ImportError as error:
        raise UserError("--method optuna: needs the package optuna; install neurochip[search]") from error


def _settings(trial: Any, axes: Sequence[SweepAxis]) -> Settings:
    """One value per axis: whole numbers at equal distances keep their order, all others are just different."""
    settings: Settings = {}
    for axis in axes:
        step = _step(axis.values)
        if step is not None:
            settings[axis.key] = trial.suggest_int(axis.key, axis.values[0], axis.values[-1], step=step)
        else:
            settings[axis.key] = axis.values[trial.suggest_categorical(axis.key, range(len(axis.values)))]
    return settings


def _step(values: Sequence[Any]) -> int | None:
    """The distance of ascending whole numbers that all have the same; None for any other values."""
    if len(values) < 2 or any(type(value) is not int for value in values):
        return None
    distances = {after - before for before, after in pairwise(values)}
    step = distances.pop()
    return int(step) if not distances and step > 0 else None


def _objectives(points: Sequence[SweepPoint]) -> list[float] | None:
    """Means over the seeds; a chip without areas has area 0 everywhere; None if a point has no accuracy or energy."""
    results = [point.computed.result for point in points]
    values = []
    for result in results:
        if result is None or result["energy_pj"] is None:
            return None
        values.append((result["accuracy"]["test"], result["energy_pj"], result["area_mm2"] or 0.0))
    return [fmean(column) for column in zip(*values, strict=True)]
