"""The page of a sweep: what was varied, what stands out, plots, all settings, formats, failures; nothing fetched."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from neurochip.report.page import render
from neurochip.report.sweep_plots import Picture
from neurochip.report.sweep_sentences import (
    around_sentence,
    outstanding_lines,
    percent,
    plural,
    setting_text,
    swept_sentence,
    word,
)
from neurochip.report.table import NOTHING, number

FOLDED_FROM = 200  # settings; more stand in a fold, the front alone above it
LEAST_SHARE = 1e-5  # that is shown as a number
MOST_FAILED = 20  # settings listed per error
COSTS = (
    ("energy_pj", 1e-3, "energy", "nJ", "per learned sample, mean over the seeds"),
    ("energy_inference_pj", 1e-3, "inference", "nJ", "energy per sample without learning, mean over the seeds"),
    ("latency_us", 1.0, "latency", "µs", "per learned sample, mean over the seeds"),
    ("area_mm2", 1.0, "area", "mm²", "of the chip, mean over the seeds"),
    ("footprint_bits", 1e-3, "memory", "kbit", "that must be held on the chip, mean over the seeds"),
)
EVENTS = {"saturation": "saturated", "underflow": "rounded to 0"}
FRONTS = (
    ("front", "", "no setting is as good in accuracy and energy, and better in one"),
    ("area_front", "with area", "no setting is as good in accuracy, energy and area, and better in one"),
)
ACCURACIES = (("mean", "test", "mean"), ("min", "lowest", "lowest"), ("max", "highest", "highest"))
Summary = Mapping[str, Any]
Setting = Mapping[str, Any]


@dataclass(frozen=True)
class Cell:
    """A cell of the table: what is shown, what it is sorted by, and whether that is a word."""

    text: str
    value: str
    is_word: bool = False


@dataclass(frozen=True)
class Column:
    """A column of the table: title, unit, meaning, and what makes the cell of a setting."""

    title: str
    unit: str
    meaning: str
    cell: Callable[[Setting], Cell]


def page_text(summary: Summary, pictures: Sequence[Picture]) -> str:
    """The page; the same summary and pictures give the same text."""
    places = range(len(summary["settings"]))
    is_long = len(places) > FOLDED_FROM
    named = {summary[name] for name in ("best", "cheapest", "knee")} - {None}
    chosen = sorted(named | set(summary["front"])) if is_long else places
    return render(
        "sweep.html.j2",
        {
            "name": summary["name"],
            "swept": swept_sentence(summary),
            "around": around_sentence(summary),
            "outstanding": outstanding_lines(summary),
            "pictures": pictures,
            "columns": _columns(summary),
            "rows": _rows(summary, chosen),
            "never": ", ".join(_never(summary["settings"])),
            "all_rows": _rows(summary, places) if is_long else [],
            "same_formats": _same_formats(summary["settings"]),
            "formats": _formats(summary),
            "failures": [_failure(failure) for failure in summary["failures"]],
            "command": summary["command"],
            "versions": summary["versions"],
            "experiment": json.dumps(summary["experiment"], indent=1, ensure_ascii=False),
        },
    )


def _rows(summary: Summary, places: Iterable[int]) -> list[list[Cell]]:
    columns = _columns(summary)
    return [[column.cell(summary["settings"][place]) for column in columns] for place in places]


def _columns(summary: Summary) -> list[Column]:
    """Columns of the table of settings; those without numbers are absent."""
    settings = summary["settings"]
    columns = [Column(key["title"], "", key["key"], partial(_swept, key["key"])) for key in summary["keys"]]
    columns += [
        Column(title, "%", f"accuracy on the test split, {meaning} over the seeds", partial(_test, name))
        for name, title, meaning in ACCURACIES
    ]
    columns += [
        Column(title, unit, meaning, partial(_cost, key, scale))
        for key, scale, title, unit, meaning in COSTS
        if any(setting[key] is not None for setting in settings)
    ]
    columns += [
        Column("front", unit, meaning, partial(_membership, [settings[place] for place in summary[key]]))
        for key, unit, meaning in FRONTS
        if summary[key]
    ]
    for key in settings[0]["shares"]:
        if any(setting["shares"][key] for setting in settings):
            event, _, signal = key.partition("_")
            meaning = f"share of {signal} that was {EVENTS[event]} in the last epoch"
            columns.append(Column(signal, f"% {EVENTS[event]}", meaning, partial(_share, key)))
    if any(any(setting["limits"]) for setting in settings):
        columns.append(Column("limit", "", "what limits accuracy, as `neurochip diagnose` finds it", _limits))
    if any(setting["n_failed"] for setting in settings):
        columns.append(Column("failed", "seeds", "seeds without a result", _failed))
    return columns


def _never(settings: Sequence[Setting]) -> list[str]:
    """Shares that are 0 in every setting that has one, which have no column."""
    keys = settings[0]["shares"]
    found = {key: {setting["shares"][key] for setting in settings} - {None} for key in keys}
    return [f"{key.partition('_')[2]} {EVENTS[key.partition('_')[0]]}" for key in keys if found[key] == {0}]


def _swept(key: str, setting: Setting) -> Cell:
    value = setting["values"][key]
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return Cell(word(value), repr(float(value))) if is_number else Cell(word(value), word(value), is_word=True)


def _test(name: str, setting: Setting) -> Cell:
    test = setting["test"]
    return Cell(NOTHING, "") if test is None else Cell(percent(test[name]), repr(test[name]))


def _cost(key: str, scale: float, setting: Setting) -> Cell:
    value = setting[key]
    return Cell(NOTHING, "") if value is None else Cell(number(value * scale, 4), repr(float(value)))


def _membership(front: Sequence[Setting], setting: Setting) -> Cell:
    return Cell("yes", "1") if any(setting is other for other in front) else Cell("", "0")


def _share(key: str, setting: Setting) -> Cell:
    share = setting["shares"][key]
    if share is None:
        return Cell(NOTHING, "")
    if 0 < share < LEAST_SHARE:
        return Cell(f"<{100 * LEAST_SHARE:g}", repr(share))
    return Cell(number(100 * share) if share < 0.1 else percent(share), repr(share))


def _limits(setting: Setting) -> Cell:
    text = ", ".join(limit or NOTHING for limit in setting["limits"])
    return Cell(text, text, is_word=True)


def _failed(setting: Setting) -> Cell:
    return Cell(str(setting["n_failed"] or ""), str(setting["n_failed"]))


def _same_formats(settings: Sequence[Setting]) -> list[tuple[str, str]]:
    """(signal, formats of its layers) of the signals that have the same in every setting and with every seed."""
    found = [_texts(run["formats"]) for setting in settings for run in setting["formats"]]
    signals = dict.fromkeys(signal for formats in found for signal in formats)
    texts = {signal: {formats.get(signal) for formats in found} for signal in signals}
    return [(signal, found[0][signal]) for signal in signals if len(texts[signal]) == 1]


def _texts(formats: Mapping[str, Sequence[str]]) -> dict[str, str]:
    return {signal: ", ".join(layers) for signal, layers in formats.items()}


def _formats(summary: Summary) -> dict[str, Any]:
    """A row per setting with the formats of the signals that differ somewhere; seeds with other formats are named."""
    settings = [setting for setting in summary["settings"] if setting["formats"]]
    same = {signal for signal, _ in _same_formats(settings)}
    signals = list(dict.fromkeys(name for s in settings for run in s["formats"] for name in run["formats"]))
    signals = [signal for signal in signals if signal not in same]
    rows = [[setting_text(summary, s), *(_by_seed(s["formats"], signal) for signal in signals)] for s in settings]
    return {"head": ["setting", *signals], "rows": rows if signals else []}


def _by_seed(runs: Sequence[Mapping[str, Any]], signal: str) -> str:
    seeds: dict[str, list[str]] = {}
    for run in runs:
        seeds.setdefault(_texts(run["formats"]).get(signal, NOTHING), []).append(str(run["seed"]))
    if len(seeds) == 1:
        return next(iter(seeds))
    return "; ".join(f"{text} (seed {', '.join(own)})" for text, own in seeds.items())


def _failure(failure: Mapping[str, Any]) -> dict[str, Any]:
    texts = [", ".join(f"{key} = {word(value)}" for key, value in one.items()) for one in failure["settings"]]
    rest = len(texts) - MOST_FAILED
    return {
        "error": failure["error"],
        "count": plural(len(texts), "point"),
        "settings": texts[:MOST_FAILED] + ([f"and {rest:,} more, which sweep.csv has"] if rest > 0 else []),
    }
