"""The report as one self-contained page: inline style and pictures, no script, nothing fetched."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from neurochip.counters import COUNTERS, MEMORIES, PHASES
from neurochip.report.diagnosis import diagnosed, limits, table_rows
from neurochip.report.json_file import write_text
from neurochip.report.page import render
from neurochip.report.plots import plots, rule_style
from neurochip.report.sentences import hanging_on, header, verdict
from neurochip.report.stream import stream_plots, stream_tables
from neurochip.report.table import (
    NOTHING,
    Column,
    RuleResults,
    by_group,
    by_rule,
    group_title,
    look_up,
    number,
    tables,
)
from neurochip.report.tornado import tornado_plots

Table = dict[str, Any]  # head: list of texts; rows: list of lists of texts


def write_report_html(report: Mapping[str, Any], path: str | Path, command: str | None = None) -> None:
    """Write the page of a report; the same report gives the same bytes.

    Args:
        report: the content of report.json.
        path: the file to write, replaced at once.
        command: what made the report, shown for the reader who wants to repeat it.
    """
    write_text(path, render("report.html.j2", _content(report, command)))


def _content(report: Mapping[str, Any], command: str | None) -> dict[str, Any]:
    """Everything the template shows, as texts."""
    names = [results.rule for results in by_rule(report)]
    return {
        "report": report,
        "command": command,
        "header": header(report),
        "verdict": verdict(report),
        "tables": [_headline(columns, report) for columns in (*tables(report), *stream_tables(report))],
        "basis": _basis(report),
        "colours": {name: rule_style(name, names)[0] for name in names},
        "plots": [*stream_plots(report), *plots(report)],
        "hanging_on": hanging_on(report),
        "tornados": tornado_plots(report.get("sensitivity")),
        "measured": list(_pairs(report["task"]["provenance"])),
        "limits": limits(report),
        "diagnoses": [_diagnosis(rule, section) for rule, section in diagnosed(report).items()],
        "formats": _formats(report),
        "rules": [_detail(results) for results in by_rule(report) if results.fixed is not None],
        "summaries": [(results.rule, results.any["summary"]) for results in by_rule(report)],
        "gates": list(_pairs(report["chip"]["gates"])),
        "experiment": json.dumps(report["experiment"], indent=1, ensure_ascii=False),
        "number": number,
    }


def _basis(report: Mapping[str, Any]) -> str:
    """What the costs of the tables are means of."""
    if any("stream" in result for result in report["results"]):
        return "Costs are means per learned sample of the stream, learning on."
    return "Costs are means per training sample of the last epoch, learning on."


def _pairs(table: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """Keys and values of a flat table as texts."""
    for key, value in table.items():
        yield key, {True: "on", False: "off"}[value] if isinstance(value, bool) else str(value)


def _headline(columns: tuple[Column, ...], report: Mapping[str, Any]) -> Table:
    """One of the two tables of the console: columns, and the rows of every group."""
    groups = [
        {"title": group_title(rows), "rows": [(row.rule, [column.text(row) for column in columns]) for row in rows]}
        for rows in by_group(report).values()
    ]
    return {"columns": columns, "groups": groups}


def _diagnosis(rule: str, section: Mapping[str, Any]) -> dict[str, Any]:
    head, *rows = table_rows(section)
    return {"rule": rule, "n_samples": section["n_samples"], "table": {"head": head, "rows": rows}}


def _formats(report: Mapping[str, Any]) -> Table:
    """Format, range and origin of every signal and layer; rules with the same ones share a row."""
    shared: dict[tuple[str, ...], list[str]] = {}
    for results in by_rule(report):
        formats, ranges = look_up(results.fixed, "formats") or {}, look_up(results.fixed, "ranges") or {}
        for signal, layers in formats.items():
            for place, text in enumerate(layers):
                rules = shared.setdefault((signal, *_range(ranges[signal][place] if ranges else {}, text)), [])
                rules += [results.rule] if results.rule not in rules else []
    signals = list(dict.fromkeys(row[0] for row in shared))
    rows = [[*row, ", ".join(rules)] for name in signals for row, rules in shared.items() if row[0] == name]
    return {"head": ["signal", "layer", "format", "range", "last bit", "to hold", "from", "rules"], "rows": rows}


def _range(found: Mapping[str, Any], text: str) -> tuple[str, ...]:
    """The cells of a format behind its signal."""
    if not found:  # a report of an earlier version
        return NOTHING, text, NOTHING, NOTHING, NOTHING, NOTHING
    layer, frac = "all" if found["layer"] is None else str(found["layer"]), text.split(".")[1]
    ends = f"{number(found['lowest'], 4)} … {number(found['highest'], 4)}"
    return layer, text, ends, f"2^-{frac}" if frac != "0" else "1", number(found["magnitude"]), found["origin"]


def _detail(results: RuleResults) -> dict[str, Any]:
    fixed: Mapping[str, Any] = results.fixed or {}
    passes = (fixed["per_sample"], fixed["per_sample_inference"])
    return {
        "rule": results.rule,
        "summary": fixed["summary"],
        "accuracy": _accuracy(results),
        "phases": _phases(passes),
        "counts": _counts(passes),
        "energy": _energy(passes),
        "footprint": _footprint(fixed["footprint_bits"]),
        "numerics": _numerics(fixed["numerics"]),
        "ratios": _ratios(fixed),
        "rate": _rate(fixed["learning_rate"]),
    }


def _rate(rate: Mapping[str, Any]) -> str:
    if rate["asked"] is None:
        return "none"
    text = f"{number(rate['asked'])} asked per sample"
    if rate["realised_per_step"] is not None:
        text += f", {number(rate['realised_per_step'])} realised per step"
    if rate["multiplier"] is not None:
        text += f" = {rate['multiplier']} · 2^-{rate['shift']}"
    return text


def _accuracy(results: RuleResults) -> Table:
    rows = []
    for name, result in (("chip's arithmetic", results.fixed), ("float twin", results.float_twin)):
        if result is not None:
            shares = [result["accuracy"][split] for split in ("train", "validation", "test")]
            rows.append([name, *(NOTHING if share is None else f"{100 * share:.2f}" for share in shares)])
    return {"head": ["accuracy (%)", "train", "validation", "test"], "rows": rows}


def _phases(passes: tuple[Mapping[str, Any], ...]) -> Table:
    """Energy and cycles of every phase that did anything, learning on and inference alone."""
    rows = []
    for phase in PHASES:
        found = [one["by_phase"].get(phase, {"energy_pj": 0.0, "cycles": 0.0}) for one in passes]
        if any(part["energy_pj"] or part["cycles"] for part in found):
            texts = [text for part in found for text in (number(part["energy_pj"] / 1e3), number(part["cycles"], 4))]
            rows.append([phase, *texts])
    head = ["phase", "learning: nJ", "learning: cycles", "inference: nJ", "inference: cycles"]
    return {"head": head, "rows": rows}


def _counts(passes: tuple[Mapping[str, Any], ...]) -> Table:
    rows = []
    for counter in COUNTERS:
        values = [one["counts"].get(counter.key, 0) for one in passes]
        if any(values):
            bits = passes[0]["bits_moved"].get(counter.key)
            moved = NOTHING if bits is None else number(bits / 1e3)
            rows.append([counter.key, counter.unit, *(number(v, 4) for v in values), moved, counter.meaning])
    head = ["counter", "unit", "learning", "inference", "learning: kbit moved", "one of it is"]
    return {"head": head, "rows": rows}


def _energy(passes: tuple[Mapping[str, Any], ...]) -> Table:
    """Every part of the energy that is not zero, then the total again by kind of number."""
    rows = []
    for group in ("by_memory", "by_operation"):
        names = dict.fromkeys(name for one in passes for name in one["energy_pj"][group])
        for name in names:
            values = [one["energy_pj"][group].get(name, 0) for one in passes]
            if any(values):
                rows.append([f"{name} accesses" if name in MEMORIES else name, *(number(v / 1e3) for v in values)])
    for name, key in (("clock and control", "clock"), ("leakage", "leakage"), ("total", "total")):
        rows.append([name, *(number(one["energy_pj"][key] / 1e3) for one in passes)])
    for kind in passes[0]["energy_pj"]["by_kind"]:
        texts = [number(one["energy_pj"]["by_kind"][kind] / 1e3) for one in passes]
        rows.append([f"of the total, resting on numbers of kind {kind}", *texts])
    return {"head": ["energy per sample (nJ)", "learning", "inference"], "rows": rows}


def _footprint(bits: Mapping[str, int]) -> Table:
    rows = [[name, f"{value:,}"] for name, value in bits.items() if value]
    return {"head": ["memory", "bits"], "rows": rows}


def _numerics(numerics: Mapping[str, Mapping[str, float]]) -> Table:
    rows = [
        [event, name, number(value, 4)]
        for event in ("saturation", "underflow", "gated")
        for name, value in numerics[event].items()
    ]
    return {"head": ["event", "signal or gate", "number"], "rows": rows}


def _ratios(fixed: Mapping[str, Any]) -> Table:
    """Costs over those of BPTT of the group and over inference."""
    names = ("energy", "latency", "footprint", "memory_accesses", "bits_moved", "macs", "acs")
    rows = []
    for key in ("ratio_to_bptt", "ratio_to_inference"):
        if fixed[key] is not None:
            rows.append([f"over {fixed[key]['baseline']}", *(number(fixed[key][name]) for name in names)])
    return {"head": ["ratio", *(name.replace("_", " ") for name in names)], "rows": rows}
