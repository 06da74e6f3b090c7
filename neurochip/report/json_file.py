"""report.json: written the same way every time, and read back with errors a user can act on."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from neurochip.errors import UserError
from neurochip.report.schema import SCHEMA_NAME, load_schema
from neurochip.report.schema_check import first_problem


def write_report_json(report: Mapping[str, Any], path: str | Path) -> None:
    """Write a report as JSON: keys in the report's order, floats that read back exactly, the file replaced at once.

    Raises:
        ValueError: a number is NaN or infinite, which JSON cannot hold; nothing is written.
        OSError: the folder cannot be written.
    """
    write_text(path, report_json(report))


def report_json(report: Mapping[str, Any]) -> str:
    """The text of report.json; ValueError for a number that JSON cannot hold."""
    return json.dumps(report, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def read_report_json(path: str | Path) -> dict[str, Any]:
    """Read a report written by `write_report_json`.

    Raises:
        UserError: no such file, not JSON, not a report of this kind, or a key is missing or of another type.
    """
    place = Path(path)
    if not place.is_file():
        raise UserError(f"{place}: there is no such file; give the report.json of a finished run")
    try:
        report = json.loads(place.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{place}: cannot be read as JSON ({error}); give the report.json of a finished run") from error
    found = report.get("schema") if isinstance(report, dict) else None
    if found != SCHEMA_NAME:
        raise UserError(f"{place}: schema is {found!r}; only reports with schema {SCHEMA_NAME!r} can be read")
    problem = first_problem(report, load_schema()) or _disagreement(report)
    if problem is not None:
        raise UserError(
            f"{place}: {problem}; allowed is a report as neurochip writes it, with schema {SCHEMA_NAME!r}, so run the "
            "experiment again"
        )
    return dict(report)


def _disagreement(report: Mapping[str, Any]) -> str | None:
    """Say which lists do not go with each other, as no schema can; None if all do."""
    steps = report["history"]["footprint_by_steps"]
    entries = {f"history.footprint_by_steps.rules.{rule}": bits for rule, bits in steps["rules"].items()}
    pairs = [(key, bits, "history.footprint_by_steps.steps", steps["steps"]) for key, bits in entries.items()]
    for place, result in enumerate(report["results"]):
        formats, ranges = result.get("formats"), result.get("ranges")
        for signal, layers in (formats or {}).items() if ranges else ():
            key = f"results[{place}].ranges.{signal}"
            pairs.append((key, ranges.get(signal, []), f"results[{place}].formats.{signal}", layers))
    for place, pair in enumerate((report.get("sensitivity") or {}).get("pairs", [])):
        of = f"sensitivity.pairs[{place}]"
        pairs.append((f"{of}.steps.ratio", pair["steps"]["ratio"], f"{of}.steps.steps", pair["steps"]["steps"]))
        if missing := {flip["knob"] for flip in pair["flips"]} - {bar["knob"] for bar in pair["tornado"]}:
            return f"key {of}.flips names {min(missing)}, which is no knob of {of}.tornado"
    for key, one, other_key, other in pairs:
        if len(one) != len(other):
            return f"key {key} has {len(one)} entries, and {other_key} has {len(other)}"
    return None


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no number that JSON has")


def write_text(path: str | Path, text: str) -> None:
    """Write a UTF-8 text file so that a reader sees the old content or the new one, never a part."""
    target = Path(path)
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8", newline="\n")
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
