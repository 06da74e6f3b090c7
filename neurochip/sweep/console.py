"""The table of a sweep on a terminal: a line per setting, accuracies as mean and range over the seeds."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from neurochip.printable import printable
from neurochip.report.sweep_sentences import outstanding_lines, word
from neurochip.sweep.summary import Setting, Summary

MOST_LINES = 200
ACCURACY = (("mean", "test %"), ("min", "lowest"), ("max", "highest"))  # over the seeds
COLUMNS = (
    ("energy_pj", 1e-3, "nJ"),
    ("latency_us", 1.0, "µs"),
    ("area_mm2", 1.0, "mm²"),
    ("footprint_bits", 1e-3, "kbit"),
)
NONE = "-"
ANY_WIDTH = 10_000


def print_sweep(summary: Summary, console: Console) -> None:
    """Print a line per setting, with columns for keys that vary, then the settings that stand out, and the errors."""
    settings, n_costs = summary["settings"], len(COLUMNS)
    table = _table(summary, n_costs)
    unbound = console.options.update(width=ANY_WIDTH)
    while n_costs > 1 and console.measure(table, options=unbound).maximum > console.width:
        n_costs -= 1
        table = _table(summary, n_costs)
    console.print(table)
    if n_costs < len(COLUMNS):
        left_out = ", ".join(title for *_, title in COLUMNS[n_costs:])
        console.print(f"left out for want of width: {left_out}; sweep.csv has them")
    if len(settings) > MOST_LINES:
        console.print(f"and {len(settings) - MOST_LINES:,} more lines, which sweep.csv has")
    for label, sentence in outstanding_lines(summary):
        console.print(f"{label}: {sentence}", markup=False, highlight=False)
    for failure in summary["failures"][:3]:
        console.print(f"failed: {failure['error']}", markup=False, highlight=False)


def _table(summary: Summary, n_costs: int) -> Table:
    """The lines, with the first `n_costs` of COLUMNS; words break between letters where nothing else helps."""
    keys, settings = summary["keys"], summary["settings"]
    n_failed = sum(setting["n_failed"] for setting in settings)
    table = Table(box=None, pad_edge=False)
    for key in keys:
        table.add_column(key["title"], justify="right", overflow="fold")
    titles = [title for _, title in ACCURACY] + [title for *_, title in COLUMNS[:n_costs]] + ["failed"] * bool(n_failed)
    for title in titles:
        table.add_column(title, justify="right", no_wrap=True)
    for setting in settings[:MOST_LINES]:
        failed = [str(setting["n_failed"] or "")] * bool(n_failed)
        words = (_word(setting["values"][key["key"]]) for key in keys)
        table.add_row(*words, *_numbers(setting, n_costs), *failed)
    return table


def _word(value: Any) -> str:
    return NONE if value is None else printable(word(value))  # before the width is measured


def _numbers(setting: Setting, n_costs: int) -> list[str]:
    test, is_range = setting["test"], len(setting["seeds"]) - setting["n_failed"] > 1
    cells = [NONE if test is None else f"{100 * test[name]:.1f}" for name, _ in ACCURACY]
    if test is not None and not is_range:
        cells[1:] = ["", ""]
    for key, scale, _ in COLUMNS[:n_costs]:
        cells.append(NONE if setting[key] is None else f"{setting[key] * scale:.4g}")
    return cells
