"""The tables of several runs side by side: numbers, settings that differ, and what must be said beside them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from neurochip.report.csv_format import cell
from neurochip.report.grid import Grid, Group, Head
from neurochip.report.table import NOTHING, number

Comparison = Mapping[str, Any]
RATE = "learning_rate"
NUMBERS = (  # key of a row, head, what one unit of the column is in units of the row
    ("accuracy_test", Head("test", "%", "test accuracy with the chip's arithmetic"), 0.01),
    ("accuracy_test_float", Head("float", "%", "test accuracy of the same rule without quantisation"), 0.01),
    ("accuracy_stream", Head("stream", "%", "samples of the stream predicted rightly before they were learned"), 0.01),
    ("energy_pj", Head("energy", "nJ", "energy per sample, learning on"), 1e3),
    ("energy_pj_over_first", Head("energy", "×first", "energy over that of the first run"), 1.0),
    ("energy_inference_pj", Head("inference", "nJ", "energy per sample of inference"), 1e3),
    ("latency_us", Head("latency", "µs", "time per sample, learning on"), 1.0),
    ("latency_us_over_first", Head("latency", "×first", "time over that of the first run"), 1.0),
    ("footprint_bits", Head("memory", "kbit", "bits that the rule's memories must hold"), 1e3),
    ("footprint_bits_over_first", Head("memory", "×first", "memory over that of the first run"), 1.0),
    ("memory_accesses_words", Head("accesses", "k", "words read and written per sample, learning on"), 1e3),
    ("area_mm2", Head("area", "mm²", "area of the chip with the memories of the rule"), 1.0),
    (RATE, Head("learning", "rate", "learning rate asked for, per sample"), 1.0),
)
PERCENT = 0.01
TITLE = "Runs side by side"


def shown_numbers(comparison: Comparison) -> list[tuple[str, Head, float]]:
    """The entries of NUMBERS that some row has."""
    return [one for one in NUMBERS if any(row.get(one[0]) is not None for row in comparison["rows"])]


def comparison_grid(comparison: Comparison) -> Grid:
    """The numbers: groups of one rule, rows of the runs."""
    rows, shown = comparison["rows"], shown_numbers(comparison)
    groups = [
        Group(
            rule,
            tuple(
                (row["run"], *(number_text(row[key], per) for key, _, per in shown))
                for row in rows
                if row["rule"] == rule
            ),
        )
        for rule in dict.fromkeys(row["rule"] for row in rows)
    ]
    return Grid((Head("run", is_word=True), *(head for _, head, _ in shown)), tuple(groups))


def settings_grid(comparison: Comparison) -> Grid:
    """The keys of the experiment that differ: a row per key, a column per run."""
    runs = [one["run"] for one in comparison["runs"]]
    rows = [(key, *(_word(values[run]) for run in runs)) for key, values in comparison["differs"].items()]
    return Grid(tuple(Head(name, is_word=True) for name in ("setting", *runs)), (Group("", tuple(rows)),))


def _word(value: Any) -> str:
    return NOTHING if value is None else str(cell(value))


def number_text(value: float | None, per: float) -> str:
    """A number of a row in the unit of its column."""
    if value is None:
        return NOTHING
    return f"{100 * value:.1f}" if per == PERCENT else number(value / per)


def sentences(comparison: Comparison) -> list[str]:
    """What the ratios are, and the notes."""
    first = comparison["runs"][0]["run"]
    return [f"Ratios (×first) are to {first}, rule by rule.", *comparison["notes"]]


def header(comparison: Comparison) -> list[tuple[str, str]]:
    """Name, task and chip of every run."""
    return [(one["run"], f"{one['name']}, task {one['task']}, chip {one['chip']}") for one in comparison["runs"]]
