"""NeuroBench's metrics of a run as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from neurochip.report.json_file import report_json

SCHEMA = "neurochip-neurobench/1"


def neurobench_json(records: Mapping[str, Any]) -> str:
    """The records of `neurochip.neurobench_records` under the name of their schema."""
    return report_json({"schema": SCHEMA, **records})
