"""A sweep by setting: means and ranges over the seeds, and what stands out, as plain data for plots and page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

from neurochip.config import Experiment
from neurochip.rules.presets import NO_LEARNING
from neurochip.sweep.axes import SEED
from neurochip.sweep.front import best, cheapest_within, knee, non_dominated, pareto_front
from neurochip.sweep.run import SweepPoint
from neurochip.sweep.table import METRICS, rows_of
from neurochip.versions import versions

ARITHMETIC, QUANTISERS = "precision.arithmetic", "precision.quantisers"
TWIN = "+twin"  # behind a method: float twins stand beside its points
FIXED, FLOAT, PARTLY = "fixed", "float", "partly"
Summary = dict[str, Any]
Setting = dict[str, Any]


def summary_of(points: Sequence[SweepPoint], base: Experiment, strategy: str, command: str | None = None) -> Summary:
    """What plots and page of a sweep show.

    Args:
        points: of the sweep, in order.
        base: the experiment around which keys vary.
        strategy: how the points were chosen, as `SweepRequest.strategy`.
        command: what made the sweep.

    Returns:
        `keys` that vary with `title` and `values`; `settings`, each with the values of those keys, its `arithmetic`
        (fixed, float, or partly: the float twin with some quantisers), whether its rule `learns`, its seeds, `test`
        (mean, min, max over the seeds that went well) and mean costs, also `by_kind` of number; places in `settings` of
        the `front` by rising energy, and of `best`, `cheapest` and `knee`, or None; `failures`; where it came from.
    """
    keys = varying_keys(points)
    settings = [_setting(group, keys, base) for group in by_setting(points)]
    # Twins beside the points have no formats, and so no values of those keys.
    swept = [one for one in settings if one["arithmetic"] == FIXED] if strategy.endswith(TWIN) else settings
    return {
        "name": base.run.name or base.task.name,
        "task": base.task.name,
        "rules": _found(points, "rule") or [base.learning.rule],
        "chips": _found(points, "chip") or [base.chip.name],
        "strategy": strategy,
        "keys": [
            {"key": key, "title": title, "values": _distinct(one["values"][key] for one in swept)}
            for key, title in zip(keys, titles_of(keys), strict=True)
        ],
        "seeds": _distinct(seed for setting in settings for seed in setting["seeds"]),
        "n_points": len(points),
        "settings": settings,
        **_outstanding(settings),
        "failures": _failures(points),
        "command": command,
        "versions": versions(),
        "experiment": base.to_tables(),
    }


def by_setting(points: Iterable[SweepPoint]) -> list[list[SweepPoint]]:
    """The points grouped by all that they vary but the seed, in the order of the settings."""
    groups: dict[str, list[SweepPoint]] = {}
    for point in points:
        name = repr({key: value for key, value in point.settings.items() if key != SEED})
        groups.setdefault(name, []).append(point)
    return list(groups.values())


def varying_keys(points: Sequence[SweepPoint]) -> list[str]:
    """The keys with more than one value, without the seed; all keys of the sweep if there is none."""
    keys = [key for key in points[0].settings if key != SEED]
    several = [key for key in keys if len({repr(point.settings[key]) for point in points}) > 1]
    return several or keys


def titles_of(keys: Sequence[str]) -> list[str]:
    """Keys without their table, where they stay different."""
    short = [key.partition(".")[2] for key in keys]
    return [name if short.count(name) == 1 else key for key, name in zip(keys, short, strict=True)]


def _distinct(values: Iterable[Any]) -> list[Any]:
    found = {repr(value): value for value in values}
    return list(found.values())


def _found(points: Sequence[SweepPoint], key: str) -> list[str]:
    return _distinct(point.computed.result[key] for point in points if point.computed.result is not None)


def _setting(group: Sequence[SweepPoint], keys: Sequence[str], base: Experiment) -> Setting:
    rows = rows_of(group)
    done = [row for row in rows if row["error"] is None]
    tests = [row["accuracy_test"] for row in done]
    shares = [name for name in rows[0] if name.endswith("_share")]
    return {
        "values": {key: group[0].settings[key] for key in keys},
        "seeds": [row["seed"] for row in rows],
        "test_by_seed": [row["accuracy_test"] for row in rows],
        "test": {"mean": fmean(tests), "min": min(tests), "max": max(tests)} if tests else None,
        "arithmetic": _arithmetic(group[0], base),
        "learns": NO_LEARNING not in {row["rule"] for row in rows},
        "n_failed": len(rows) - len(done),
        **{name: _mean(done, name) for name in METRICS},
        "by_kind": _by_kind(group),
        "shares": {name.removesuffix("_share"): _mean(done, name) for name in shares},
        "formats": [
            {"seed": row["seed"], "formats": point.computed.result["formats"]}
            for row, point in zip(rows, group, strict=True)
            if point.computed.result is not None and point.computed.result.get("formats") is not None
        ],
        "limits": _distinct(point.computed.result.get("limit") for point in group if point.computed.result is not None),
    }


def _arithmetic(point: SweepPoint, base: Experiment) -> str:
    if point.settings.get(ARITHMETIC, base.precision.arithmetic) == FIXED:
        return FIXED
    return PARTLY if point.settings.get(QUANTISERS, base.precision.quantisers) else FLOAT


def _mean(rows: Sequence[Mapping[str, Any]], name: str) -> float | None:
    values = [row[name] for row in rows if row[name] is not None]
    return fmean(values) if values else None


def _by_kind(group: Sequence[SweepPoint]) -> dict[str, dict[str, float]]:
    """Energies and area by the kind of number that they rest on, means over the points that have them."""
    results = [point.computed.result for point in group if point.computed.result is not None]
    found: dict[str, dict[str, float]] = {}
    for name in {name: None for result in results for name in result.get("by_kind") or ()}:
        tables = [table for result in results if (table := (result.get("by_kind") or {}).get(name)) is not None]
        found[name] = {kind: fmean(table[kind] for table in tables) for kind in tables[0]} if tables else {}
    return found


def _outstanding(settings: Sequence[Setting]) -> dict[str, Any]:
    """The front and the settings that have a name; only settings of which no seed failed can be any of them."""
    whole = [place for place, setting in enumerate(settings) if setting["test"] and not setting["n_failed"]]
    whole = [place for place in whole if settings[place]["arithmetic"] == FIXED] or whole
    whole = [place for place in whole if settings[place]["learns"]] or whole  # what does not learn has no learning cost
    accuracies = [settings[place]["test"]["mean"] for place in whole]
    energies = [settings[place]["energy_pj"] for place in whole]
    named = {"best": best(accuracies, energies), "cheapest": cheapest_within(accuracies, energies)}
    found: dict[str, Any] = {name: None if place is None else whole[place] for name, place in named.items()}
    priced = [place for place in whole if (settings[place]["energy_pj"] or 0) > 0]
    accuracies = [settings[place]["test"]["mean"] for place in priced]
    energies = [settings[place]["energy_pj"] for place in priced]
    at_knee = knee(accuracies, energies)
    found["knee"] = None if at_knee is None else priced[at_knee]
    found["front"] = [priced[place] for place in pareto_front(accuracies, energies)]
    found["area_front"] = _area_front(settings, priced)
    return found


def _area_front(settings: Sequence[Setting], priced: Sequence[int]) -> list[int]:
    """Places that no other beats in accuracy, energy and area together, of those that have an area."""
    sized = [place for place in priced if settings[place]["area_mm2"] is not None]
    costs = [
        (-settings[place]["test"]["mean"], settings[place]["energy_pj"], settings[place]["area_mm2"])
        for place in sized
    ]  # fmt: skip
    return [place for place, stays in zip(sized, non_dominated(costs), strict=True) if stays]


def _failures(points: Sequence[SweepPoint]) -> list[dict[str, Any]]:
    """Every error with the settings of the points that have it."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for point in points:
        if point.computed.error is not None:
            groups.setdefault(point.computed.error, []).append(dict(point.settings))
    return [{"error": error, "settings": settings} for error, settings in groups.items()]
