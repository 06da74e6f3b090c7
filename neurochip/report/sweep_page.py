"""The page of a sweep: what was varied, what stands out, plots, all settings, formats, failures; nothing fetched."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from neurochip.report.origins import tip
from neurochip.report.page import render
from neurochip.report.sweep_page_tips import origin_of, sentence_tip
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
from neurochip.report.sweep_series import row_label
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
NAMED = {"best": "best", "cheapest within 1 point": "cheapest", "knee of the front": "knee"}
Summary = Mapping[str, Any]
Setting = Mapping[str, Any]


@dataclass(frozen=True)
class Cell:
    """A cell of the table: what is shown, what it is sorted by, whether that is a word, and what stands behind it."""

    text: str
    value: str
    is_word: bool = False
    tip: str = ""


@dataclass(frozen=True)
class Column:
    """A column of the table: title, unit, meaning, what makes the cell of a setting, and what it is to its origin."""

    title: str
    unit: str
    meaning: str
    cell: Callable[[Setting], Cell]
    what: str


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
            "outstanding": [(label, text, _behind(summary, label)) for label, text in outstanding_lines(summary)],
            "pictures": pictures,
            "columns": _columns(summary),
            "rows": _rows(summary, chosen),
            "never": ", ".join(_never(summary["settings"])),
            "all_rows": _rows(summary, places) if is_long else [],
            "same_formats": [
                (signal, text, _format_tip(summary, summary["settings"][0], signal, text))
                for signal, text in _same_formats(summary["settings"])
            ],
            "formats": _formats(summary),
            "failures": [_failure(failure) for failure in summary["failures"]],
            "command": summary["command"],
            "versions": summary["versions"],
            "experiment": json.dumps(summary["experiment"], indent=1, ensure_ascii=False),
        },
    )


def _rows(summary: Summary, places: Iterable[int]) -> list[list[Cell]]:
    columns = _columns(summary)
    return [[_with_tip(summary, summary["settings"][place], column) for column in columns] for place in places]


def _with_tip(summary: Summary, setting: Setting, column: Column) -> Cell:
    cell = column.cell(setting)
    if column.what == "setting":
        return cell
    name = f"{setting_text(summary, setting)}; {column.title}"
    origin = origin_of(summary, setting, column.what)
    return replace(cell, tip=tip(name, cell.text, column.unit, column.meaning, origin))


def _behind(summary: Summary, label: str) -> str:
    """What stands behind the sentence of a setting that has a name."""
    place = summary.get(NAMED.get(label, ""))
    return "" if place is None else sentence_tip(summary, summary["settings"][place])


def _columns(summary: Summary) -> list[Column]:
    """Columns of the table of settings: a name for each, its results, and where there are several its keys to sort by.

    Columns without numbers are absent.
    """
    keys = [Column(key["title"], "", key["key"], partial(_swept, key["key"]), key["key"]) for key in summary["keys"]]
    if len(keys) == 1:
        return [*keys, *_results(summary)]
    places = {id(setting): place for place, setting in enumerate(summary["settings"])}
    name = Column("setting", "", "values of the keys that vary", partial(_named, summary, places), "setting")
    return [name, *_results(summary), *keys]


def _named(summary: Summary, places: Mapping[int, int], setting: Setting) -> Cell:
    return Cell(row_label(summary, setting), str(places[id(setting)]), is_word=True)


def _results(summary: Summary) -> list[Column]:
    settings = summary["settings"]
    columns = [
        Column(title, "%", f"accuracy on the test split, {meaning} over the seeds", partial(_test, name), "test")
        for name, title, meaning in ACCURACIES
    ]
    columns += [
        Column(title, unit, meaning, partial(_cost, key, scale), key)
        for key, scale, title, unit, meaning in COSTS
        if any(setting[key] is not None for setting in settings)
    ]
    columns += [
        Column("front", unit, meaning, partial(_membership, [settings[place] for place in summary[key]]), "front")
        for key, unit, meaning in FRONTS
        if summary[key]
    ]
    for key in settings[0]["shares"]:
        if any(setting["shares"][key] for setting in settings):
            event, _, signal = key.partition("_")
            meaning = f"share of {signal} that was {EVENTS[event]} in the last epoch"
            columns.append(Column(signal, f"% {EVENTS[event]}", meaning, partial(_share, key), "share"))
    if any(any(setting["limits"]) for setting in settings):
        columns.append(Column("limit", "", "what limits accuracy, as `neurochip diagnose` finds it", _limits, "limit"))
    if any(setting["n_failed"] for setting in settings):
        columns.append(Column("failed", "seeds", "seeds without a result", _failed, "failed"))
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
    tips = [[_format_tip(summary, setting, signal, text) for signal, text in zip(signals, row[1:], strict=True)]
            for setting, row in zip(settings, rows, strict=True)]  # fmt: skip
    return {"head": ["setting", *signals], "rows": rows if signals else [], "tips": tips}


def _format_tip(summary: Summary, setting: Setting, signal: str, text: str) -> str:
    name = f"{setting_text(summary, setting)}; format of {signal}"
    return tip(name, text, "", "", origin_of(summary, setting, "formats"))


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
