"""The first screen of the page: every rule against the BPTT of its group, as ratios and as bars."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from neurochip.report.origins import column_tips, origin_of, tip
from neurochip.report.stream import STREAM
from neurochip.report.table import BASELINES, HEADLINE, NOTHING, Column, RuleResults, by_rule, look_up, number

Value = Callable[[RuleResults], float | None]
SAME = 0.005  # of a ratio: what is not seen in three digits


@dataclass(frozen=True)
class Measure:
    """One thing that is compared: its word and unit, the column of the headline table, and its number."""

    name: str
    column: Column
    value: Value
    ratio: str | None  # key of ratio_to_bptt; None: a difference in points


def _column(*title: str, columns: Sequence[Column] = HEADLINE) -> Column:
    return next(column for column in columns if column.title == title)


def _at(*keys: str) -> Value:
    return lambda results: look_up(results.fixed, *keys)


MEASURES: tuple[Measure, ...] = (
    Measure("energy", _column("energy", "nJ"), _at("per_sample", "energy_pj", "total"), "energy"),
    Measure("latency", _column("latency", "µs"), _at("per_sample", "latency_us"), "latency"),
    Measure("memory", _column("memory", "kbit"), _at("footprint_bits", "total"), "footprint"),
    Measure("test accuracy", _column("test", "%"), _at("accuracy", "test"), None),
)
# What a stream is about, in place of the accuracy that its last weights happen to have on the test split.
IN_STREAM = Measure(
    "accuracy in the stream", _column("predicted", "%", columns=STREAM), _at("stream", "accuracy"), None
)


def _measures(report: Mapping[str, Any]) -> tuple[Measure, ...]:
    is_stream = any("stream" in result for result in report["results"])
    return (*MEASURES[:-1], IN_STREAM) if is_stream else MEASURES


def pairs(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Each rule that has a BPTT beside it: a cell per measure; OTTT stands first."""
    rules = {results.rule: results for results in by_rule(report)}
    found = []
    for results in rules.values():
        baseline = rules.get(look_up(results.fixed, "ratio_to_bptt", "baseline") or "")
        if baseline is None or results.rule in BASELINES:
            continue
        cells = [_cell(measure, results, baseline, report) for measure in _measures(report)]
        found.append(
            {
                "rule": results.rule,
                "baseline": baseline.rule,
                "group": results.group,
                "cells": cells,
            }
        )
    return sorted(found, key=lambda pair: not pair["rule"].startswith("ottt"))


def _cell(measure: Measure, results: RuleResults, baseline: RuleResults, report: Mapping[str, Any]) -> dict[str, str]:
    """Ratio or difference in large, the two numbers in small, which of the two is better, and what is behind it."""
    own, other = measure.column.text(results), measure.column.text(baseline)
    unit, name = measure.column.title[1], measure.name
    if measure.ratio is None:
        first, second = measure.value(results), measure.value(baseline)
        change = None if first is None or second is None else 100 * (first - second)
        large = NOTHING if change is None else f"{change:+.1f} pt".replace("-", "−")
        better = 0.0 if change is None or abs(change) < 0.05 else change
        meaning = f"difference in {name}, in points: {own} % against {other} %"
    else:
        ratio = look_up(results.fixed, "ratio_to_bptt", measure.ratio)
        large = f"{number(ratio)} ×"
        better = 0.0 if ratio is None or abs(ratio - 1) < SAME else 1 - ratio
        meaning = f"{name} of {results.rule} over that of {baseline.rule}: {own} {unit} against {other} {unit}"
    return {
        "name": name,
        "large": large,
        "small": f"{own} against {other} {unit}",
        "class": "better" if better > 0 else "worse" if better < 0 else "",
        "tip": tip(
            f"{results.rule} against {baseline.rule}", large, "", meaning, _origin(measure, results, baseline, report)
        ),
    }


def _origin(
    measure: Measure, results: RuleResults, baseline: RuleResults, report: Mapping[str, Any]
) -> tuple[str, str]:
    """(source, kind) of two numbers of the same measure; said once where it is the same."""
    (source, kind), (_, other) = (origin_of(measure.column, one, report) for one in (results, baseline))
    how = source.partition(";")[0]  # the spread of one energy is not that of the ratio
    return f"of each, {how}", kind if kind == other else f"{results.rule} {kind}; {baseline.rule} {other}"


def bars(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One small bar chart per measure: a bar per rule with costs, as wide as its share of the longest; from 0."""
    rules = [results for results in by_rule(report) if look_up(results.fixed, "per_sample") is not None]
    charts = []
    for measure in _measures(report):
        values = {results.rule: measure.value(results) or 0.0 for results in rules}
        longest = 1.0 if measure.ratio is None else max(values.values(), default=0.0) or 1.0
        charts.append(
            {
                "title": measure.name,
                "unit": measure.column.title[1],
                "bars": [
                    {
                        "rule": results.rule,
                        "width": f"{100 * values[results.rule] / longest:.1f}",
                        "text": measure.column.text(results),
                        "tip": column_tips([measure.column], results, report)[0],
                    }
                    for results in rules
                ],
            }
        )
    return charts if rules else []
