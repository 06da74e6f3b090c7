"""The table of a sweep on a terminal: a line per setting, accuracies as mean and range over the seeds."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from rich.console import Console
from rich.table import Table

from neurochip.sweep.axes import SEED
from neurochip.sweep.run import SweepPoint

MOST_LINES = 200
ACCURACY = ("test %", "from", "to")
COLUMNS = (
    ("energy_pj", 1e-3, "nJ"),
    ("latency_us", 1.0, "µs"),
    ("area_mm2", 1.0, "mm²"),
    ("footprint_bits", 1e-3, "kbit"),
)
NONE = "-"


def print_sweep(points: Sequence[SweepPoint], console: Console) -> None:
    """Print one line per setting; only keys that vary have a column."""
    groups: dict[str, list[SweepPoint]] = {}
    for point in points:
        name = repr({key: value for key, value in point.settings.items() if key != SEED})
        groups.setdefault(name, []).append(point)
    keys = _varying(points)
    table = Table(box=None, pad_edge=False)
    for title in (*_titles(keys), *ACCURACY, *(title for *_, title in COLUMNS), "failed"):
        table.add_column(title, justify="right", overflow="fold")
    for group in list(groups.values())[:MOST_LINES]:
        table.add_row(*(_word(group[0].settings[key]) for key in keys), *_numbers(group))
    console.print(table)
    if len(groups) > MOST_LINES:
        console.print(f"and {len(groups) - MOST_LINES:,} more lines, which sweep.csv has")
    errors = list(dict.fromkeys(point.computed.error for point in points if point.computed.error is not None))
    for error in errors[:3]:
        console.print(f"failed: {error}", markup=False, highlight=False)


def _varying(points: Sequence[SweepPoint]) -> list[str]:
    keys = [key for key in points[0].settings if key != SEED]
    several = [key for key in keys if len({repr(point.settings[key]) for point in points}) > 1]
    return several or keys


def _titles(keys: Sequence[str]) -> list[str]:
    """Keys without their table, where they stay different."""
    short = [key.partition(".")[2] for key in keys]
    return [name if short.count(name) == 1 else key for key, name in zip(keys, short, strict=True)]


def _word(value: Any) -> str:
    return NONE if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _numbers(group: Sequence[SweepPoint]) -> list[str]:
    results = [point.computed.result for point in group if point.computed.result is not None]
    accuracies = [100 * result["accuracy"]["test"] for result in results]
    cells = _accuracy(accuracies)
    for key, scale, _ in COLUMNS:
        found = [result[key] * scale for result in results if result[key] is not None]
        cells.append(f"{fmean(found):.4g}" if found else NONE)
    n_failed = len(group) - len(results)
    return [*cells, str(n_failed) if n_failed else ""]


def _accuracy(percent: Sequence[float]) -> list[str]:
    if not percent:
        return [NONE] * len(ACCURACY)
    spread = [f"{min(percent):.1f}", f"{max(percent):.1f}"] if len(percent) > 1 else ["", ""]
    return [f"{fmean(percent):.1f}", *spread]
