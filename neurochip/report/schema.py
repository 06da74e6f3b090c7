"""The published JSON Schema of report.json."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

SCHEMA_NAME = "neurochip-report/1"


def load_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a report of the kind SCHEMA_NAME."""
    text = files("neurochip.report").joinpath("report.schema.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema
