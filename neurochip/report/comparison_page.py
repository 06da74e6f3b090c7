"""Several runs side by side as a page: ratios and numbers, bars, what differs, the runs; nothing fetched, no script."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from neurochip.report.comparison_tables import (
    TITLE,
    Comparison,
    header,
    number_text,
    sentences,
    settings_grid,
    shown_numbers,
)
from neurochip.report.grid import Head
from neurochip.report.origins import tip
from neurochip.report.page import render
from neurochip.report.sweep_series import STYLES
from neurochip.report.table import NOTHING

OVER_FIRST = "_over_first"
BARS = ("energy_pj", "latency_us", "footprint_bits", "accuracy_stream", "accuracy_test")
ACCURACY = "accuracy"
GIVEN = "given"
Cell = tuple[str, str]  # text, and what stands behind it
Behind = tuple[str, str, str]  # meaning, source, kind
COUNTED = "counted exactly"
SHAPE = ("layers of the experiment, on this task", "calculated, exact")


def comparison_html(comparison: Comparison) -> str:
    """A page of its own."""
    runs = comparison["runs"]
    shown = [(key, head) for key, head, _ in shown_numbers(comparison)]
    content = {
        "title": TITLE,
        "command": comparison["command"],
        "commands": [(one["run"], command) for one in runs for command in one["commands"]],
        "header": header(comparison),
        "sentences": sentences(comparison),
        "colours": {one["run"]: STYLES[place % len(STYLES)][0] for place, one in enumerate(runs)},
        "heads": [head for _, head in shown],
        "groups": [{"title": rule, "rows": rows} for rule, rows in _groups(comparison).items()],
        "bars": _bars(comparison),
        "settings": _settings(comparison),
        "about": _about(comparison),
    }
    return render("comparison.html.j2", content)


def _groups(comparison: Comparison) -> dict[str, list[tuple[str, list[Cell]]]]:
    """Rule -> rows of its runs, the run and its cells."""
    groups: dict[str, list[tuple[str, list[Cell]]]] = {}
    for row in comparison["rows"]:
        cells = [_cell(comparison, row, key, head, per) for key, head, per in shown_numbers(comparison)]
        groups.setdefault(row["rule"], []).append((row["run"], cells))
    return groups


def _cell(comparison: Comparison, row: Any, key: str, head: Head, per: float) -> Cell:
    text = number_text(row.get(key), per)
    if text == NOTHING:
        return text, ""
    said = tip(
        f"{row['run']}, {row['rule']}, {head.name}", text, head.unit, head.meaning, _origin(comparison, row, key)
    )
    return text, said


def _origin(comparison: Comparison, row: Any, key: str) -> tuple[str, str]:
    """(source, kind) of a number; of a ratio those of both numbers, said once where they are the same."""
    name, run, rule = key.removesuffix(OVER_FIRST), row["run"], row["rule"]
    own = comparison["origins"][run][rule][name]
    if name == key:
        return own["source"], own["kind"]
    first = comparison["runs"][0]["run"]
    other = comparison["origins"][first][rule][name]
    how = own["source"].partition(";")[0]  # the spread of one energy is not that of the ratio
    kind = own["kind"] if own["kind"] == other["kind"] else f"{run} {own['kind']}; {first} {other['kind']}"
    return f"{run} ÷ {first}; of each, {how}", kind


def _bars(comparison: Comparison) -> list[dict[str, Any]]:
    """A chart per cost and accuracy: rules, and for each a bar per run, as wide as its share of the longest; from 0."""
    charts = []
    for key, head, per in shown_numbers(comparison):
        if key not in BARS:
            continue
        rows = [row for row in comparison["rows"] if row[key] is not None]
        longest = 1.0 if key.startswith(ACCURACY) else max(row[key] for row in rows) or 1.0
        groups: dict[str, list[dict[str, str]]] = {}
        for row in rows:
            text, said = _cell(comparison, row, key, head, per)
            bar = {"run": row["run"], "width": f"{100 * row[key] / longest:.1f}", "text": text, "tip": said}
            groups.setdefault(row["rule"], []).append(bar)
        charts.append({"title": head.name, "unit": head.unit, "meaning": head.meaning, "groups": groups})
    return charts


def _settings(comparison: Comparison) -> list[tuple[str, list[Cell]]]:
    """Keys that differ, each with a cell per run."""
    runs = [one["run"] for one in comparison["runs"]]
    (group,) = settings_grid(comparison).groups
    return [
        (key, [(text, tip(f"{run}, {key}", text, "", "", (f"experiment of the run {run}", GIVEN)))
               for run, text in zip(runs, texts, strict=True)])
        for key, *texts in group.rows
    ]  # fmt: skip


def _about(comparison: Comparison) -> list[tuple[str, list[Cell]]]:
    """What ran where: a row per property, a cell per run; what has digits says where they come from."""
    runs = comparison["runs"]
    rows = [(name, [_told(one, name, text(one), *behind(one)) for one in runs]) for name, text, behind in ABOUT]
    libraries = dict.fromkeys(name for one in runs for name in one["versions"])
    return [*rows, *((name, [_told(one, name, *_version(one, name)) for one in runs]) for name in libraries)]


def _told(one: Any, name: str, text: str, meaning: str, source: str, kind: str) -> Cell:
    has_digits = any(letter.isdigit() for letter in text)
    return text, tip(f"{one['run']}, {name}", text, "", meaning, (source, kind)) if has_digits else ""


def _version(one: Any, name: str) -> tuple[str, str, str, str]:
    return str(one["versions"].get(name, NOTHING)), "version", f"report of the run {one['run']}", "as it was installed"


def _of_task(meaning: str) -> Callable[[Any], Behind]:
    return lambda one: (meaning, f"task {one['task']}, as it was loaded", COUNTED)


def _of_experiment(meaning: str) -> Callable[[Any], Behind]:
    return lambda one: (meaning, f"experiment of the run {one['run']}", GIVEN)


def _of_chip(meaning: str) -> Callable[[Any], Behind]:
    return lambda one: (meaning, f"chip file {one['chip']}", GIVEN)


def _listed(key: str, meaning: str) -> Callable[[Any], Behind]:
    """A physical number, which has a source and a kind of its own."""
    return lambda one: (meaning, *(one["chip_origins"][key][said] for said in ("source", "kind")))


ABOUT: tuple[tuple[str, Callable[[Any], str], Callable[[Any], Behind]], ...] = (
    ("task", lambda one: one["task"], _of_experiment("name of the task")),
    ("T", lambda one: f"{one['n_steps']:,} steps", _of_task("steps of a sample")),
    ("training", lambda one: f"{one['n_train']:,} samples", _of_task("samples learned in an epoch or a stream")),
    ("test", lambda one: f"{one['n_test']:,} samples", _of_task("samples on which accuracy is tested")),
    ("learning", lambda one: one["learning"], _of_experiment("mode of learning")),
    ("network", lambda one: one["network"], lambda one: ("shape, inputs first", *SHAPE)),
    ("chip", lambda one: one["chip"], _of_chip("name of the chip")),
    ("technology", lambda one: one["technology"], _of_chip("name of the technology file")),
    ("clock", lambda one: f"{one['clock_mhz']:g} MHz", _listed("clock_mhz", "frequency of the clock")),
    ("supply", lambda one: f"{one['voltage_v']:g} V", _listed("voltage_v", "voltage of the supply")),
    ("overflow", lambda one: one["overflow"], _of_chip("what happens where a memory is too small")),
    (
        "physical numbers",
        lambda one: ", ".join(f"{n} {kind}" for kind, n in one["physical_numbers"].items()),
        lambda one: ("how many are of which kind", f"files of the chip {one['chip']} and its technology", COUNTED),
    ),
    ("rules", lambda one: ", ".join(one["rules"]), _of_experiment("rules of the run")),
)  # row, text of a run, what stands behind it
