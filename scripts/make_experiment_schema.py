"""Write the JSON Schema of the tables of an experiment, as reports hold them, from the class that reads them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from neurochip.config import Experiment

PATH = Path(__file__).resolve().parent.parent / "neurochip" / "report" / "experiment.schema.json"
REQUIRED = {  # what a reader of a report relies on
    (): ["chip", "precision"],
    ("chip",): ["name"],
    ("precision",): ["weight"],
    ("precision", "weight"): ["bits", "rounding"],
}
Shape = dict[str, Any]


def make_schema() -> Shape:
    """Types and words of every key; ranges are checked where an experiment is read.

    A report leaves out keys without a value, so that nothing is null, and a later version may add keys.
    """
    whole = Experiment.model_json_schema()
    tables = _shape(whole, whole["$defs"])
    for path, keys in REQUIRED.items():
        node = tables
        for key in path:
            node = node["properties"][key]
        node["required"] = keys
    tables["description"] = "the resolved experiment: keys without a value are left out"
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "experiment.schema.json",
        "title": "tables of an experiment",
        "$defs": {"experiment": tables},
    }


def _shape(node: Shape, definitions: Shape) -> Shape:
    if "$ref" in node:
        return _shape(definitions[node["$ref"].rsplit("/", 1)[1]], definitions)
    cases = [case for case in (*node.get("anyOf", ()), *node.get("oneOf", ())) if case.get("type") != "null"]
    made = _merged([_shape(case, definitions) for case in cases]) if cases else _plain(node, definitions)
    if "unit" in node:
        made["description"] = f"unit: {node['unit']}"
    return made


def _plain(node: Shape, definitions: Shape) -> Shape:
    made: Shape = {"type": node["type"]}
    words = [node["const"]] if "const" in node else node.get("enum")
    if words is not None:
        made["enum"] = words
    if "properties" in node:
        made["properties"] = {key: _shape(one, definitions) for key, one in node["properties"].items()}
    if "items" in node:
        made["items"] = _shape(node["items"], definitions)
    if isinstance(node.get("additionalProperties"), dict):
        made["additionalProperties"] = _shape(node["additionalProperties"], definitions)
    return made


def _merged(shapes: list[Shape]) -> Shape:
    """What any of the shapes allows; a key of several keeps all that its types allow in one of them."""
    if all(one == shapes[0] for one in shapes):
        return dict(shapes[0])
    types = [name for one in shapes for name in ([one["type"]] if isinstance(one["type"], str) else one["type"])]
    made: Shape = {"type": list(dict.fromkeys(types)) if len(set(types)) > 1 else types[0]}
    if all("enum" in one for one in shapes):
        made["enum"] = list(dict.fromkeys(word for one in shapes for word in one["enum"]))
    keys = dict.fromkeys(key for one in shapes for key in one.get("properties", ()))
    if keys:
        tables = [one.get("properties", {}) for one in shapes]
        made["properties"] = {key: _merged([table[key] for table in tables if key in table]) for key in keys}
    for key in ("items", "additionalProperties"):
        found = [one[key] for one in shapes if key in one]
        if found:
            made[key] = _merged(found)
    return made


if __name__ == "__main__":
    PATH.write_text(json.dumps(make_schema(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
