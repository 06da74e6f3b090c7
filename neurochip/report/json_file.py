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
        UserError: no such file, not JSON, not a report of this kind, or a top-level key is missing.
    """
    place = Path(path)
    if not place.is_file():
        raise UserError(f"{place}: there is no such file; give the report.json of a finished run")
    try:
        report = json.loads(place.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{place}: cannot be read as JSON ({error}); give the report.json of a finished run") from error
    found = report.get("schema") if isinstance(report, dict) else None
    if found != SCHEMA_NAME:
        raise UserError(f"{place}: schema is {found!r}; only reports with schema {SCHEMA_NAME!r} can be read")
    for key in load_schema()["required"]:
        if key not in report:
            raise UserError(f"{place}: key {key} is missing; a report with schema {SCHEMA_NAME!r} has it")
    return dict(report)


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
