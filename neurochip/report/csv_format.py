"""A report as CSV: one row per rule and precision (`neurochip.report.rows`)."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

from neurochip.report.rows import rows_of


def report_csv(report: Mapping[str, Any]) -> str:
    """The rows of a report; numbers so that they read back exactly, nothing for None, lines that end in \\n."""
    return csv_text(rows_of(report))


def csv_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows of the same columns as CSV; lists and tables as JSON."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(rows[0])
    writer.writerows([cell(value) for value in row.values()] for row in rows)
    return text.getvalue()


def cell(value: Any) -> Any:
    """A value as csv.writer takes it."""
    if value is None:
        return ""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, bool | list | dict) else value
