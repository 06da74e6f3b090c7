"""Several finished runs side by side: rows of runs times rules, what differs between the experiments, ratios."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from neurochip.errors import UserError
from neurochip.report.origins import LEARNED, energy_origin, origin_of, prices_with
from neurochip.report.table import HEADLINE, KINDS, PRICE, RuleResults, by_rule, look_up

SCHEMA = "neurochip-comparison/1"
Report = Mapping[str, Any]
Row = dict[str, Any]
# Shown by the rows themselves, or decided by calibration: no settings that somebody chose.
SHOWN_OTHERWISE = ("run.rules", "learning.rule", "learning.rates.")
CALIBRATED = ("network.weight_std", "precision.calibrated.")
RATE = "learning_rate"
METRICS: Mapping[str, tuple[str, ...]] = {  # column -> keys into a result in fixed point
    "accuracy_test": ("accuracy", "test"),
    "accuracy_stream": ("stream", "accuracy"),
    "energy_pj": ("per_sample", "energy_pj", "total"),
    "energy_inference_pj": ("per_sample_inference", "energy_pj", "total"),
    "latency_us": ("per_sample", "latency_us"),
    "footprint_bits": ("footprint_bits", "total"),
    "memory_accesses_words": ("per_sample", "totals", "memory_accesses"),
    "area_mm2": ("area_mm2", "total"),
}
RATIOS = ("energy_pj", "latency_us", "footprint_bits")
ORIGINS: Mapping[str, tuple[str, str]] = {  # column -> that of a report's tables which says where its numbers are from
    "accuracy_test": ("test", "%"),
    "accuracy_test_float": ("float", "%"),
    "energy_pj": ("energy", "nJ"),
    "latency_us": ("latency", "µs"),
    "footprint_bits": ("memory", "kbit"),
    "memory_accesses_words": ("accesses", "k"),
    "area_mm2": ("area", "mm²"),
}
STREAMED, EPOCHS = "stream", "epochs"


def runs_compared(
    reports: Mapping[str, Report], command: str | None = None, commands: Mapping[str, Sequence[str]] | None = None
) -> dict[str, Any]:
    """Set reports side by side.

    Args:
        reports: label -> content of report.json, two or more; ratios are to the first.
        command: what sets these runs side by side.
        commands: label -> what made the run.

    Returns:
        `schema`; `command`; `runs` (label, name, task, network, chip with kinds of its numbers, versions, commands);
        `differs` (key of the experiment -> value per run, None where it has none); `rows`: one per run and rule with
        `run`, `rule`, the keys that differ, METRICS in fixed point (`accuracy_test_float` in floating point) and, over
        the first run that is listed, `<metric>_over_first`; `origins`: run -> rule -> column -> `source` and `kind` of
        its number; `notes`: sentences.

    Raises:
        UserError: fewer than two runs.
    """
    if len(reports) < 2:
        raise UserError("--compare needs two runs or more")
    differs = differing_keys({label: report["experiment"] for label, report in reports.items()})
    rows = [row for label, report in reports.items() for row in _rows(label, report, differs)]
    _without_equal_rates(rows)
    _add_ratios(rows, next(iter(reports)))
    return {
        "schema": SCHEMA,
        "command": command,
        "runs": [_about(label, report, (commands or {}).get(label, ())) for label, report in reports.items()],
        "differs": differs,
        "rows": rows,
        "origins": {
            label: _origins(report, [row for row in rows if row["run"] == label]) for label, report in reports.items()
        },
        "notes": _notes(reports, rows),
    }


def labels_of(directories: Sequence[Path]) -> list[str]:
    """Names for runs: those of the folders, or where two are alike the paths as given.

    Raises:
        UserError: a run is given twice.
    """
    resolved = [directory.resolve() for directory in directories]
    for place, path in enumerate(resolved):
        if path in resolved[:place]:
            raise UserError(f"{directories[place]}: the run is given twice; give every run once")
    names = [path.name for path in resolved]
    return [
        name if names.count(name) == 1 else str(directory) for name, directory in zip(names, directories, strict=True)
    ]


def differing_keys(experiments: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Keys of resolved experiments that somebody chose and that are not the same in all: key -> value per label."""
    flat = {label: dict(_flat(tables)) for label, tables in experiments.items()}
    keys = dict.fromkeys(key for settings in flat.values() for key in settings)
    found = {}
    for key in keys:
        values = {label: settings.get(key) for label, settings in flat.items()}
        first = next(iter(values.values()))
        if any(value != first for value in values.values()) and _is_chosen(key, flat.values()):
            found[key] = values
    return found


def _flat(tables: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys; lists of tables by their index, other lists as one value."""
    if isinstance(tables, Mapping):
        items: Any = tables.items()
    elif isinstance(tables, list) and tables and all(isinstance(entry, Mapping) for entry in tables):
        items = enumerate(tables)
    else:
        yield prefix, tables
        return
    for key, value in items:
        yield from _flat(value, f"{prefix}.{key}" if prefix else str(key))


def _is_chosen(key: str, experiments: Iterable[Mapping[str, Any]]) -> bool:
    """Whether somebody set it: calibration writes down its fractions, which follow from the rest."""
    if key.startswith((*SHOWN_OTHERWISE, *CALIBRATED)):
        return False
    if key.startswith("precision.") and key.endswith(".frac"):
        signal = key.split(".")[1]
        return not all(_is_calibrated(one, signal) for one in experiments)
    return True


def _is_calibrated(settings: Mapping[str, Any], signal: str) -> bool:
    """Whether the fractions of a signal are those that calibration found, or there are none."""
    found = f"precision.calibrated.{signal}"
    given, calibrated = settings.get(f"precision.{signal}.frac"), settings.get(f"{found}.frac")
    if given is None:
        return True
    entries = given if isinstance(given, list) else [given] * len(calibrated or ())
    return entries == calibrated and "given" not in settings.get(f"{found}.origin", ())


def _about(label: str, report: Report, commands: Sequence[str]) -> dict[str, Any]:
    task, chip = report["task"], report["chip"]
    kinds = [entry["kind"] for entry in chip["provenance"]]
    return {
        "run": label,
        "name": report["name"],
        "task": task["name"],
        "n_steps": task["n_steps"],
        "n_train": task["n_train"],
        "n_test": task["n_test"],
        "learning": STREAMED if _is_stream(report) else EPOCHS,
        "network": report["network"]["shape"],
        "chip": chip["name"],
        **{key: chip[key] for key in ("technology", "clock_mhz", "voltage_v", "overflow")},
        "chip_origins": {
            key: dict(zip(("source", "kind"), prices_with(start, report), strict=True))
            for key, start in (("clock_mhz", "clock"), ("voltage_v", "voltage"))
        },
        "physical_numbers": {kind: kinds.count(kind) for kind in KINDS if kind in kinds},
        "rules": list(dict.fromkeys(result["rule"] for result in report["results"])),
        "versions": report["versions"],
        "commands": list(commands),
    }


def _is_stream(report: Report) -> bool:
    return any("stream" in result for result in report["results"])


def _origins(report: Report, rows: Sequence[Row]) -> dict[str, dict[str, dict[str, str]]]:
    """Source and kind of every number of the rows: rule -> column -> both."""
    rules = {results.rule: results for results in by_rule(report)}
    return {row["rule"]: dict(_of_row(report, row, rules[row["rule"]])) for row in rows}


def _of_row(report: Report, row: Row, results: RuleResults) -> Iterator[tuple[str, dict[str, str]]]:
    columns = {column.title: column for column in (*PRICE, *HEADLINE)}
    found = {name: origin_of(columns[title], results, report) for name, title in ORIGINS.items() if _has(row, name)}
    if _has(row, "energy_inference_pj"):
        found["energy_inference_pj"] = energy_origin(look_up(results.fixed, "per_sample_inference"))
    if _has(row, "accuracy_stream"):
        n_samples = look_up(results.fixed, "stream", "n_samples")
        found["accuracy_stream"] = f"the {n_samples:,} samples of the stream, each predicted before its label", LEARNED
    if _has(row, RATE):
        found[RATE] = "experiment, learning.rate", "given"
    for name, (source, kind) in found.items():
        yield name, {"source": source, "kind": kind}


def _has(row: Row, name: str) -> bool:
    return row.get(name) is not None


def _rows(label: str, report: Report, differs: Mapping[str, Mapping[str, Any]]) -> list[Row]:
    settings = {key: values[label] for key, values in differs.items()}
    by_rule: dict[str, dict[str, Any]] = {}
    for result in report["results"]:
        by_rule.setdefault(result["rule"], {})[result["precision"]] = result
    rows = []
    for rule, results in by_rule.items():
        fixed = results.get("fixed")
        rate = next(iter(results.values()))["learning_rate"]["asked"]
        metrics = {name: look_up(fixed, *keys) for name, keys in METRICS.items()}
        float_accuracy = {"accuracy_test_float": look_up(results.get("float"), *METRICS["accuracy_test"])}
        rows.append({"run": label, "rule": rule, **settings, RATE: rate, **float_accuracy, **metrics})
    return rows


def _without_equal_rates(rows: list[Row]) -> None:
    """Leave the learning rate out where no rule has two."""
    rates: dict[str, set[Any]] = {}
    for row in rows:
        rates.setdefault(row["rule"], set()).add(row[RATE])
    if all(len(found) == 1 for found in rates.values()):
        for row in rows:
            del row[RATE]


def _add_ratios(rows: list[Row], first: str) -> None:
    base = {row["rule"]: row for row in rows if row["run"] == first}
    for row in rows:
        for name in RATIOS:
            below = base.get(row["rule"], {}).get(name)
            row[f"{name}_over_first"] = row[name] / below if below and row[name] is not None else None


def _notes(reports: Mapping[str, Report], rows: Sequence[Row]) -> list[str]:
    """What a reader must know before dividing one run by another."""
    labels, first = list(reports), next(iter(reports))
    notes = []
    tasks = {label: report["task"]["name"] for label, report in reports.items()}
    if len(set(tasks.values())) > 1:
        named = ", ".join(f"{label}: {task}" for label, task in tasks.items())
        notes.append(f"The runs have different tasks ({named}): ratios are between different work.")
    elif _differ(reports, lambda report: report["task"]["provenance"]):
        notes.append("The samples of the runs come from different files or splits, though the tasks have one name.")
    modes = {label: STREAMED if _is_stream(report) else EPOCHS for label, report in reports.items()}
    if len(set(modes.values())) > 1:
        named = ", ".join(f"{label}: {mode}" for label, mode in modes.items())
        notes.append(
            f"Some runs learned from a stream, others in epochs ({named}). The accuracy of a stream is that of samples "
            "predicted before they were learned, once each; its costs are per learned sample."
        )
    if len({report["chip"]["name"] for report in reports.values()}) == 1 and _differ(
        reports, lambda report: (report["chip"]["provenance"], report["chip"]["clock_mhz"], report["chip"]["overflow"])
    ):
        notes.append("The chips of the runs have one name and different numbers; the reports list them.")
    if _differ(reports, lambda report: report["versions"].get("neurochip")):
        versions = ", ".join(f"{label}: {reports[label]['versions'].get('neurochip')}" for label in labels)
        notes.append(f"The runs were made by different versions of neurochip ({versions}).")
    if any("repriced" in report for report in reports.values()):
        notes.append("Costs were priced again on another chip; the report of a single run says how.")
    rules = {row["rule"] for row in rows if row["run"] == first}
    missing = list(dict.fromkeys(row["rule"] for row in rows if row["rule"] not in rules))
    if missing:
        notes.append(f"{', '.join(missing)}: not in {first}, so there is no ratio.")
    return notes


def _differ(reports: Mapping[str, Report], part: Any) -> bool:
    parts = [part(report) for report in reports.values()]
    return any(one != parts[0] for one in parts)


__all__ = ["labels_of", "runs_compared"]
