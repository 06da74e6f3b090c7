"""One sentence from a pydantic error: key, value, and what is allowed, read from the schema of the experiment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

Schema = Mapping[str, Any]
_ORDER = ("extra_forbidden", "missing")  # a misspelt key explains the missing one, so it is told first


def sentence(error: ValidationError, model: type[BaseModel]) -> str:
    """Describe the first error: "key = value is not allowed; allowed is ..."."""
    errors = error.errors()
    first = next((e for kind in _ORDER for e in errors if e["type"] == kind), errors[0])
    schema = model.model_json_schema()
    node, key = _resolve(schema, first["loc"])
    value = first["input"]
    if first["type"] == "extra_forbidden":
        allowed = ", ".join(sorted(node.get("properties", {})))
        return f"{key} = {value!r} is not a known key; allowed here are {allowed}"
    if first["type"] == "missing":
        return f"{key} is missing; allowed is {_allowed(node, schema)}"
    if first["type"] == "value_error":
        return f"{key or 'the experiment'}: {first['msg'].removeprefix('Value error, ')}"
    if first["type"] == "union_tag_invalid":
        tags = ", ".join(repr(tag) for tag in node.get("discriminator", {}).get("mapping", {}))
        return f"{key}.kind = {value.get('kind')!r} is not allowed; allowed are {tags}"
    if first["type"] == "union_tag_not_found":
        tags = ", ".join(repr(tag) for tag in node.get("discriminator", {}).get("mapping", {}))
        return f"{key}.kind is missing; allowed are {tags}"
    return f"{key} = {value!r} is not allowed; allowed is {_allowed(node, schema)}"


def _resolve(schema: Schema, location: tuple[int | str, ...]) -> tuple[Schema, str]:
    """Follow a location through the schema; returns the deepest node found and the key as the user would write it."""
    node = _plain(schema, schema)
    parts: list[str] = []
    for part in location:
        mapping = node.get("discriminator", {}).get("mapping", {})
        if part in mapping:
            node = _plain({"$ref": mapping[part]}, schema)
            continue
        if isinstance(part, int):
            parts.append(str(part))
            node = _plain(node.get("items", {}), schema)
            continue
        if part in node.get("properties", {}):
            parts.append(part)
            node = _plain(node["properties"][part], schema)
        elif isinstance(node.get("additionalProperties"), dict):
            parts.append(part)
            node = _plain(node["additionalProperties"], schema)
        elif "properties" in node:
            parts.append(part)  # an unknown key: the node stays the table it stands in
        # else: a name pydantic gives to a member of a union, which the user never wrote
    return node, ".".join(parts)


def _plain(node: Schema, schema: Schema) -> Schema:
    """Resolve references and leave out the null of an optional key."""
    while True:
        if "$ref" in node:
            node = schema["$defs"][str(node["$ref"]).rsplit("/", 1)[1]]
        elif len(node.get("allOf", ())) == 1:
            node = node["allOf"][0]
        elif "anyOf" in node:
            choices = [choice for choice in node["anyOf"] if choice.get("type") != "null"]
            if len(choices) != 1:
                return {"anyOf": choices}
            node = choices[0]
        else:
            return node


def _allowed(node: Schema, schema: Schema) -> str:
    node = _plain(node, schema)
    if "anyOf" in node:
        return " or ".join(_allowed(choice, schema) for choice in node["anyOf"])
    if "enum" in node:
        return " or ".join(repr(value) for value in node["enum"])
    if "const" in node:
        return repr(node["const"])
    kind = node.get("type")
    if kind in ("integer", "number"):
        return ("a whole number" if kind == "integer" else "a number") + _range(node)
    if kind == "array":
        return f"a list, each entry {_allowed(node.get('items', {}), schema)}"
    if kind == "object" or "properties" in node:
        keys = ", ".join(sorted(node.get("properties", {})))
        return f"a table with the keys {keys}" if keys else "a table"
    if "discriminator" in node:
        return "a table with kind = " + " or ".join(repr(tag) for tag in node["discriminator"]["mapping"])
    return {"string": "a text", "boolean": "true or false"}.get(str(kind), "another value")


def _range(node: Schema) -> str:
    parts = []
    for key, word in (
        ("minimum", "from"),
        ("exclusiveMinimum", "above"),
        ("maximum", "up to"),
        ("exclusiveMaximum", "below"),
    ):
        if key in node:
            parts.append(f"{word} {node[key]:g}" if node[key] < 1e6 else f"{word} {node[key]}")
    return " " + " ".join(parts) if parts else ""
