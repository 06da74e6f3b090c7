"""The report as one self-contained page: inline style and pictures, no script, nothing fetched."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from neurochip.report.detail import Table, detail, table_of
from neurochip.report.diagnosis import diagnosed, limits, table_rows
from neurochip.report.glance import bars, pairs
from neurochip.report.json_file import write_text
from neurochip.report.layers import layer_texts
from neurochip.report.nir_import import nir_import
from neurochip.report.origins import LEARNED, column_tips, tip
from neurochip.report.page import render
from neurochip.report.plots import plots, rule_style, svg_file
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
from neurochip.report.told import all_told, always, header_told, of_changes, of_costs, told
from neurochip.report.tornado import tornado_plots

DIAGNOSED = ("neurochip diagnose on training samples, with the weights of the end", LEARNED)
WORDS = ("from", "rules")  # columns of the number formats without a number


def write_report_html(report: Mapping[str, Any], path: str | Path, commands: Sequence[str] = ()) -> None:
    """Write the page of a report, and beside it its plots as `<name>.svg`; the same report gives the same bytes.

    Args:
        report: the content of report.json.
        path: the file to write, replaced at once.
        commands: what made the report and what continued it, shown for the reader who wants to repeat it.
    """
    content = _content(report, commands)
    for plot in content["plots"]:
        write_text(Path(path).with_name(f"{plot['name']}.svg"), svg_file(plot["svg"]))
    write_text(path, render("report.html.j2", content))


def report_page(report: Mapping[str, Any], commands: Sequence[str] = ()) -> str:
    """The page as a text; arguments as for `write_report_html`."""
    return render("report.html.j2", _content(report, commands))


def page_of_records(records: Mapping[str, Any]) -> str:
    """The page of `neurochip.page_records.page_records`."""
    return report_page(records["report"], records["commands"])


def _content(report: Mapping[str, Any], commands: Sequence[str]) -> dict[str, Any]:
    """Everything the template shows, as texts."""
    names = [results.rule for results in by_rule(report)]
    return {
        "report": report,
        "commands": commands,
        "header": header_told(header(report), report),
        "verdict": all_told(verdict(report), "verdict", of_costs(report)),
        "pairs": pairs(report),
        "has_ottt": any(pair["rule"].startswith("ottt") for pair in pairs(report)),
        "bars": bars(report),
        "tables": [_headline(columns, report) for columns in (*tables(report), *stream_tables(report))],
        "basis": _basis(report),
        "colours": {name: rule_style(name, names)[0] for name in names},
        "plots": [*stream_plots(report), *plots(report)],
        "hanging_on": all_told(hanging_on(report), "what the order hangs on", of_changes(report)),
        "tornados": tornado_plots(report.get("sensitivity")),
        "nir": nir_import(report),
        "layers": layer_texts(report),
        "measured": list(_pairs(report["task"]["provenance"])),
        "limits": all_told(limits(report), "diagnosis", always(*DIAGNOSED)),
        "steps_tip": tip("T", str(report["task"]["n_steps"]), "steps", "", ("experiment, task.steps", "given")),
        "notes": all_told(report["notes"], "note", always("what this run did", LEARNED)),
        "chip_notes": all_told(report["chip"]["notes"], report["chip"]["name"], always("chip file", "as stated there")),
        "diagnoses": [_diagnosis(rule, section) for rule, section in diagnosed(report).items()],
        "formats": _formats(report),
        "rules": [detail(results, report) for results in by_rule(report) if look_up(results.fixed, "per_sample")],
        "summaries": [(results.rule, results.any["summary"]) for results in by_rule(report)],
        "physical": [_physical(entry) for entry in report["chip"]["provenance"]],
        "gates": list(_pairs(report["chip"]["gates"])),
        "experiment": _toml(report["experiment"]),
    }


def _toml(tables: Mapping[str, Any]) -> str:
    """The resolved experiment as the command takes it; TOML has no null."""
    import tomli_w

    def without_null(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: without_null(one) for key, one in value.items() if one is not None}
        return [without_null(one) for one in value if one is not None] if isinstance(value, list) else value

    return tomli_w.dumps(without_null(tables)).rstrip("\n")


def _physical(entry: Mapping[str, Any]) -> dict[str, str]:
    """A physical number of the chip as texts; the ends of its spread where it is a price."""
    ends = [number(entry.get(end), 4) for end in ("low", "high")]
    unit = "(a number)" if entry["unit"] == "1" else entry["unit"]
    spread = f"from {ends[0]} to {ends[1]} {unit}" if ends[0] != ends[1] else ""
    said = tip(entry["key"], str(entry["value"]), unit, spread, (entry["source"], entry["kind"]))
    texts = {name: str(entry[name]) for name in ("key", "value", "unit", "kind", "source")}
    return {**texts, "low": ends[0], "high": ends[1], "tip": said}


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
        {
            "title": group_title(rows),
            "rows": [(row.rule, _with_tips(columns, row, report)) for row in rows],
        }
        for rows in by_group(report).values()
    ]
    return {"columns": columns, "groups": groups}


def _with_tips(columns: tuple[Column, ...], row: RuleResults, report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Text of each cell of a row, and what stands behind it."""
    return list(zip((column.text(row) for column in columns), column_tips(columns, row, report), strict=True))


def _diagnosis(rule: str, section: Mapping[str, Any]) -> dict[str, Any]:
    head, *rows = table_rows(section)
    n_samples = section["n_samples"]
    origin = (f"{DIAGNOSED[0]}: {n_samples:,} of them", LEARNED)
    tips = [[tip(f"{rule}, {row[0]}", text, "", layer, origin) for layer, text in zip(head[1:], row[1:], strict=True)]
            for row in rows]  # fmt: skip
    measured = told(f"{n_samples:,} training samples", rule, always(*DIAGNOSED))
    return {"rule": rule, "n_samples": measured, "table": table_of(head, rows, tips)}


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
    head = ["signal", "layer", "format", "range", "last bit", "to hold", "from", "rules"]
    origin = ("calibration before learning, and the formats of the experiment", LEARNED)
    tips = [[tip(f"{row[0]}, {title}", text, "", "", origin) if title not in WORDS else ""
             for title, text in zip(head[1:], row[1:], strict=True)] for row in rows]  # fmt: skip
    return table_of(head, rows, tips)


def _range(found: Mapping[str, Any], text: str) -> tuple[str, ...]:
    """The cells of a format behind its signal."""
    if not found:  # a report of an earlier version
        return NOTHING, text, NOTHING, NOTHING, NOTHING, NOTHING
    layer, frac = "all" if found["layer"] is None else str(found["layer"]), text.split(".")[1]
    ends = f"{number(found['lowest'], 4)} … {number(found['highest'], 4)}"
    return layer, text, ends, f"2^-{frac}" if frac != "0" else "1", number(found["magnitude"]), found["origin"]
