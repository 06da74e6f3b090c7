"""The published JSON Schemas of what neurochip writes as JSON: one file each, beside this one."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

SCHEMA_NAME = "neurochip-report/1"
FILES: Mapping[str, str] = {  # what a document says under `schema` -> file
    SCHEMA_NAME: "report.schema.json",
    "neurochip-cost/1": "cost.schema.json",
    "neurochip-map/1": "map.schema.json",
    "neurochip-sweep/1": "sweep.schema.json",
    "neurochip-point/1": "point.schema.json",
    "neurochip-comparison/1": "comparison.schema.json",
    "neurochip-neurobench/1": "neurobench.schema.json",
    "neurochip-diagnosis/1": "diagnosis.schema.json",
    "neurochip-export/1": "export.schema.json",
    "neurochip-nir-import/1": "nir_import.schema.json",
}


def load_schema(name: str = SCHEMA_NAME) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a kind of document; what it takes from other files is put into `$defs`.

    Args:
        name: what the documents say under `schema`, "neurochip-report/1" for example.

    Raises:
        KeyError: there is none of this name.
    """
    schema = _read(FILES[name])
    definitions: dict[str, Any] = schema.setdefault("$defs", {})
    _take_in(schema, definitions)
    return schema


def _read(file: str) -> dict[str, Any]:
    text = files("neurochip.report").joinpath(file).read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


def _take_in(node: Any, definitions: dict[str, Any]) -> None:
    """Put what `file.json#/$defs/name` refers to, and all it refers to itself, among the definitions."""
    if isinstance(node, list):
        for one in node:
            _take_in(one, definitions)
    if not isinstance(node, dict):
        return
    file, _, name = str(node.get("$ref", "")).partition("#/$defs/")
    if file:
        node["$ref"] = f"#/$defs/{name}"
        if name not in definitions:
            others = _read(file)["$defs"]
            definitions[name] = copy.deepcopy(others[name])
            _name_file(definitions[name], file)
    for value in list(node.values()):
        _take_in(value, definitions)


def _name_file(node: Any, file: str) -> None:
    """References within a file, as seen from another one."""
    if isinstance(node, list):
        for one in node:
            _name_file(one, file)
    if isinstance(node, dict):
        if str(node.get("$ref", "")).startswith("#/"):
            node["$ref"] = file + node["$ref"]
        for value in node.values():
            _name_file(value, file)


__all__ = ["FILES", "SCHEMA_NAME", "load_schema"]
