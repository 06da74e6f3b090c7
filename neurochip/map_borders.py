"""Which rule is cheapest at a point, and between which points that changes.

Points are those of docs/map.md: `settings` and, per rule, its metrics (None: the rule cannot run there).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise, product
from typing import Any

from neurochip.map_axes import STEPS, Axis

NO_TIME = "spike"  # temporal credit of rules that drop it
DRAW = 1.02  # a factor below which two rules are called equal: what other seeds of the drawing move
Numbers = dict[str, Any]
Sheet = tuple[Axis, ...]


def cheapest(values: Mapping[str, float | None]) -> Numbers | None:
    """The rule with the least value, the next, and the factor between them; None if no rule has a value.

    Rules with the very same value share the first place; `factor` is that of the next value, None if there is none.
    """
    known = {rule: value for rule, value in values.items() if value is not None}
    if not known:
        return None
    least = min(known.values())
    others = {rule: value for rule, value in known.items() if value != least}
    following = min(others, key=lambda rule: others[rule]) if others else None
    by = others[following] / least if following is not None and least > 0 else None
    return {
        "rules": [rule for rule, value in known.items() if value == least],
        "value": least,
        "next": following,
        "factor": by,
        "draw": len(known) - len(others) > 1 or (by is not None and by < DRAW),
    }


def verdicts(entries: Mapping[str, Numbers], metric: str) -> Numbers:
    """The cheapest rule: of all, of those that carry credit through time, of every group; and ratios to BPTT."""
    groups: dict[str, dict[str, float | None]] = {}
    for rule, entry in entries.items():
        groups.setdefault(entry["group"], {})[rule] = _value(entry, metric)
    return {
        "overall": cheapest({rule: _value(entry, metric) for rule, entry in entries.items()}),
        "through_time": cheapest(
            {rule: _value(entry, metric) for rule, entry in entries.items() if entry["temporal"] != NO_TIME}
        ),
        "groups": {group: cheapest(values) for group, values in groups.items()},
        "ratio_to_bptt": {
            rule: ratio(entries, rule, entry["baseline"], metric)
            for rule, entry in entries.items()
            if has_baseline(entries, rule)
        },
    }


def has_baseline(entries: Mapping[str, Numbers], rule: str) -> bool:
    """Whether the back-propagation through time that a rule is compared with is there and another rule."""
    baseline = entries[rule]["baseline"]
    return baseline is not None and baseline != rule and baseline in entries


def ratio(entries: Mapping[str, Numbers], rule: str, other: str, metric: str) -> float | None:
    """Cost of a rule over that of another at a point; None where one of them cannot run."""
    one, two = _value(entries[rule], metric), _value(entries[other], metric)
    return one / two if one is not None and two else None


def _value(entry: Mapping[str, Any], metric: str) -> float | None:
    """A metric; the memory of a rule that does not fit its chip is known but does not count."""
    value: float | None = None if entry["why_not"] else entry[metric]
    return value


def crossings(places: Sequence[float], ratios: Sequence[float | None]) -> list[Numbers]:
    """Where a ratio passes 1 along an axis, and where it begins or ends because one rule does not fit its chip.

    Args:
        places: the values of the axis as positive numbers.
        ratios: one per value; None where one of the two rules cannot run.

    Returns:
        `index`: the value after which it happens; `before`, `after`: the ratios on both sides; `how`: "interpolated",
        with `at` on the log-linear line between the two, or "fits": one of the ratios is None, and so is `at`.
    """
    found: list[Numbers] = []
    for index, (before, after) in enumerate(pairwise(ratios)):
        change = {"index": index, "before": before, "after": after}
        if before is not None and after is not None and (before < 1) != (after < 1):
            at = interpolated(places[index], places[index + 1], before, after)
            found.append({**change, "at": at, "how": "interpolated"})
        elif (before is None) != (after is None):
            found.append({**change, "at": None, "how": "fits"})
    return found


def interpolated(x: float, y: float, ratio_x: float, ratio_y: float) -> float:
    """Where log(ratio) is 0 on the straight line over log(x) through two points on both sides of it."""
    share = math.log(ratio_x) / (math.log(ratio_x) - math.log(ratio_y))
    return math.exp(math.log(x) + share * (math.log(y) - math.log(x)))


def lines(sheet: Sheet, axis: Axis, base: Mapping[str, Any]) -> list[tuple[Numbers, list[Numbers]]]:
    """All lines of a sheet along an axis: the settings of the other axes, and those of every point of the line."""
    others = [other for other in sheet if other is not axis]
    found = []
    for values in product(*(other.values for other in others)):
        fixed = {other.key: value for other, value in zip(others, values, strict=True)}
        found.append((fixed, [{**base, **fixed, axis.key: value} for value in axis.values]))
    return found


def borders(
    sheets: Iterable[Sheet], base: Mapping[str, Any], find: Callable[[Numbers], Numbers], metrics: Iterable[str]
) -> list[Numbers]:
    """Every change of order between a rule and its BPTT along every axis of every sheet.

    Args:
        sheets: the grids; base: settings of the axes that a sheet does not vary.
        find: the point with these settings.
    """
    found: list[Numbers] = []
    for sheet, metric in product(sheets, metrics):
        for axis in (axis for axis in sheet if axis.positions is not None):
            for fixed, settings in lines(sheet, axis, base):
                points = [find(one) for one in settings]
                found += _borders_of_line(axis, fixed, points, metric)
    return found


def _borders_of_line(
    axis: Axis, fixed: Numbers, points: Sequence[Numbers], metric: str, rules: Iterable[str] | None = None
) -> list[Numbers]:
    """Those of one line, for some rules (default: all with a baseline)."""
    found: list[Numbers] = []
    entries, places = points[0]["rules"], axis.positions
    if places is None:
        return found
    for rule in rules or [rule for rule in entries if has_baseline(entries, rule)]:
        baseline = entries[rule]["baseline"]
        ratios = [ratio(point["rules"], rule, baseline, metric) for point in points]
        for one in crossings(places, ratios):
            index = one.pop("index")
            if axis.key == STEPS:
                one |= _exact(points[index], points[index + 1], rule, metric, one["how"])
            between = [axis.values[index], axis.values[index + 1]]
            found.append(
                {"metric": metric, "rule": rule, "baseline": baseline, "axis": axis.key, "fixed": fixed}
                | {"between": between, **one}
            )
    return found


def _exact(here: Numbers, there: Numbers, rule: str, metric: str, how: str) -> Numbers:
    """The first T after a border that is no matter of interpolation, because shapes and memories say it."""
    less = here["rules"][rule]["steps_memory_below_bptt"]
    if how == "interpolated" and metric == "memory_bits" and less is not None:
        return {"at": less, "how": "exact"}
    leaves, baseline = here["steps_history_leaves_chip"], here["rules"][rule]["baseline"]
    if leaves is None or not here["settings"][STEPS] < leaves <= there["settings"][STEPS]:
        return {}
    if how == "fits":
        return {"at": leaves}
    moved = here["rules"][baseline]["off_chip"] != there["rules"][baseline]["off_chip"]
    return {"at": leaves, "how": "leaves chip"} if moved else {}


def winner_changes(
    sheets: Iterable[Sheet], base: Mapping[str, Any], find: Callable[[Numbers], Numbers], metrics: Iterable[str]
) -> list[Numbers]:
    """Every change of the cheapest rule, of all and of a group, along every axis; interpolated as `crossings`."""
    found: list[Numbers] = []
    for sheet, metric in product(sheets, metrics):
        for axis in (axis for axis in sheet if axis.positions is not None):
            for fixed, settings in lines(sheet, axis, base):
                points = [find(one) for one in settings]
                groups = points[0]["cheapest"][metric]["groups"]
                for group in ("overall", "through_time", *groups):
                    found += _changes_of_line(axis, fixed, points, metric, group)
    return found


def _changes_of_line(axis: Axis, fixed: Numbers, points: Sequence[Numbers], metric: str, group: str) -> list[Numbers]:
    found = []
    for index, (here, there) in enumerate(pairwise(points)):
        first, second = _winner(here, metric, group), _winner(there, metric, group)
        if first is None or second is None or set(first) & set(second):
            continue
        before, after = (ratio(point["rules"], first[0], second[0], metric) for point in (here, there))
        places, at = axis.positions, None
        if places is not None and before is not None and after is not None:
            at = interpolated(places[index], places[index + 1], before, after)
        found.append(
            {"metric": metric, "group": group, "axis": axis.key, "fixed": fixed}
            | {"between": [axis.values[index], axis.values[index + 1]], "from": first, "to": second, "at": at}
        )
    return found


def _winner(point: Numbers, metric: str, group: str) -> list[str] | None:
    one = point["cheapest"][metric]
    found = one[group] if group in ("overall", "through_time") else one["groups"].get(group)
    return None if found is None else found["rules"]


def moves(
    sheets: Iterable[Sheet], base: Mapping[str, Any], find: Callable[[Numbers], Numbers], metrics: Iterable[str]
) -> list[Numbers]:
    """The border in T per value of every other axis: what moves it.

    Returns:
        One entry per sheet with the steps and one other axis of several values, metric, rule and value of that axis:
        the `ratios` at every T, the `lowest` and `highest` of them, and `borders` as in `borders`.
    """
    found = []
    for sheet, metric in product(sheets, metrics):
        steps = next((axis for axis in sheet if axis.key == STEPS), None)
        others = [axis for axis in sheet if axis is not steps and len(axis.values) > 1]
        if steps is None or len(others) != 1 or steps.positions is None:
            continue
        other = others[0]
        for fixed, settings in lines(sheet, steps, base):
            points = [find(one) for one in settings]
            entries = points[0]["rules"]
            for rule in (rule for rule in entries if has_baseline(entries, rule)):
                ratios = [ratio(point["rules"], rule, entries[rule]["baseline"], metric) for point in points]
                known = [value for value in ratios if value is not None]
                found.append(
                    {
                        "metric": metric,
                        "rule": rule,
                        "baseline": entries[rule]["baseline"],
                        "axis": other.key,
                        "value": fixed[other.key],
                        "fixed": {key: value for key, value in fixed.items() if key != other.key},
                        "ratios": ratios,
                        "lowest": min(known) if known else None,
                        "highest": max(known) if known else None,
                        "borders": _borders_of_line(steps, fixed, points, metric, [rule]),
                    }
                )
    return found
