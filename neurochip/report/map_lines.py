"""The map in words: who is cheapest how often, the ratios to BPTT, the borders in T and what moves them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from neurochip.report.table import number

DRAW = 1.02  # ratios up to this factor on both sides of 1 are called equal, as `draw` of the document
NAMES = {
    "energy_pj": "energy",
    "latency_cycles": "latency",
    "memory_bits": "memory",
    "energy_delay_pj_us": "energy-delay",
}
STEPS = "steps"
Document = Mapping[str, Any]
Pair = tuple[str, str]


def family(rule: str) -> str:
    """OTTT of ottt-o; a point of the rule space keeps its name."""
    return rule if "/" in rule else rule.removesuffix("-o").removesuffix("-a").upper()


def pairs(document: Document) -> list[Pair]:
    """Rules with traces and the BPTT of their group; without such rules all that have a BPTT beside them."""
    names = {rule["name"] for rule in document["rules"]}
    found = [rule for rule in document["rules"] if rule["baseline"] in names - {rule["name"]}]
    shown = [rule for rule in found if rule["temporal"] == "trace"] or found
    return [(rule["name"], rule["baseline"]) for rule in shown]


def side(ratio: float | None) -> int | None:
    """-1: the rule is cheaper than its BPTT; 0: equal within 2 %; 1: BPTT is cheaper; None: one does not fit."""
    return None if ratio is None else int(ratio > DRAW) - int(ratio < 1 / DRAW)


def ratio_at(point: Mapping[str, Any], metric: str, rule: str) -> float | None:
    """Cost of a rule over that of its BPTT at a point."""
    found: float | None = point["cheapest"][metric]["ratio_to_bptt"].get(rule)
    return found


def value_text(value: Any) -> str:
    """A value of an axis: 0.05, x0.5, sigmoid, 0.05:0.2."""
    if isinstance(value, list):
        return ":".join(value_text(one) for one in value)
    return f"{value:g}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def winner_lines(document: Document) -> list[str]:
    """Per metric: which rule is cheapest at how many points, of all and of those that carry credit through time."""
    found = []
    for metric in document["metrics"]:
        parts = []
        for scope, words in (("overall", "of all rules"), ("through_time", "with credit through time")):
            verdicts = [point["cheapest"][metric][scope] for point in document["points"]]
            known = [verdict for verdict in verdicts if verdict is not None]
            counts = Counter(rule for verdict in known for rule in verdict["rules"])
            draws = sum(verdict["draw"] for verdict in known)
            shares = ", ".join(f"{rule} at {count}" for rule, count in counts.most_common())
            close = f" (at {draws} the next is within 2 %)" if draws else ""
            if shares:
                parts.append(f"{words} {shares} of {len(known)} points{close}")
        found.append(f"Cheapest in {NAMES[metric]}: {'; '.join(parts)}.")
    return found


def ratio_lines(document: Document) -> list[str]:
    """Per pair and metric: the range of the ratio, and at how many points which of the two is cheaper."""
    found = []
    for rule, base in pairs(document):
        parts = []
        for metric in document["metrics"]:
            ratios = [ratio_at(point, metric, rule) for point in document["points"]]
            known = [ratio for ratio in ratios if ratio is not None]
            if known:
                sides = Counter(map(side, known))
                parts.append(
                    f"{NAMES[metric]} {number(min(known))} to {number(max(known))} ({family(rule)} cheaper at "
                    f"{sides[-1]}, {family(base)} at {sides[1]}, equal within 2 % at {sides[0]})"
                )
        if parts:
            found.append(f"{rule} over {base}: {'; '.join(parts)}.")
    return found


def move_rows(document: Document, rule: str) -> list[list[str]]:
    """A table of the border in T: a row per value of every other axis, a column per metric."""
    metrics = list(document["metrics"])
    labels = {axis["key"]: axis["label"] for axis in document["axes"]}
    rows: dict[tuple[str, str], dict[str, str]] = {}
    for row in document["moves"]:
        if row["rule"] == rule:
            rows.setdefault((title(row, labels), value_text(row["value"])), {})[row["metric"]] = along_steps(row)
    table = [["", "", *(NAMES[metric] for metric in metrics)]]
    before = None
    for (key, value), cells in rows.items():
        table.append(["" if key == before else key, value, *(cells[metric] for metric in metrics)])
        before = key
    return table


def fixed_sheets(document: Document) -> list[tuple[int, str]]:
    """Number of every sheet but the first that holds an axis at another value than the base, and that value."""
    found = []
    for number_of, sheet in enumerate(document["sheets"]):
        held = [f"{key} = {value_text(values[0])}" for key, values in sheet.items() if len(values) == 1]
        if number_of and held:
            found.append((number_of, ", ".join(held)))
    return found


def title(row: Mapping[str, Any], labels: Mapping[str, str]) -> str:
    """The axis of a row, and what its sheet holds fixed: "rate, dram"."""
    return ", ".join([labels[row["axis"]], *map(value_text, row["fixed"].values())])


def along_steps(row: Mapping[str, Any]) -> str:
    """Who is cheaper from the smallest T to the largest, and the ratio farthest from 1: "= 1.3 BPTT (2.1)".

    A number between two names is the border in T; "=" stands for equal within 2 %, "x" for a rule that does not fit.
    """
    names, parts = _segments(row), []
    for index, name in enumerate(names):
        if index + 1 == len(names) or names[index + 1] != name:
            parts.append(name)
            parts += [_border_text(row["borders"][index])] if index + 1 < len(names) else []
    return f"{' '.join(parts)} ({_extreme(row)})"


def _border_text(border: Mapping[str, Any]) -> str:
    """The last T before a border: interpolated, exact, or the last that was asked for."""
    if border["how"] == "interpolated":
        return number(border["at"], 2)
    return value_text(border["between"][0] if border["at"] is None else border["at"] - 1)


def _segments(row: Mapping[str, Any]) -> list[str]:
    """Who is cheaper between two borders."""
    ratios: Sequence[float | None] = row["ratios"]
    cuts = _cuts(row)
    names = []
    for start, end in zip([0, *cuts], [*cuts, len(ratios)], strict=True):
        known = [ratio for ratio in ratios[start:end] if ratio is not None]
        if not known:
            names.append("x")
        elif all(side(ratio) == 0 for ratio in known):
            names.append("=")
        else:
            names.append(family(row["rule"] if known[0] < 1 else row["baseline"]))
    return names


def _cuts(row: Mapping[str, Any]) -> list[int]:
    """Indices of the points that follow a border."""
    ratios = row["ratios"]
    sides = [None if ratio is None else ratio < 1 for ratio in ratios]
    return [index for index in range(1, len(ratios)) if sides[index] != sides[index - 1]]


def _extreme(row: Mapping[str, Any]) -> str:
    """The ratio that is farthest from 1."""
    known = [ratio for ratio in row["ratios"] if ratio is not None]
    return number(max(known, key=lambda ratio: abs(math.log(ratio)))) if known else "none"
