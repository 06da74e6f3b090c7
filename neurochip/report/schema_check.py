"""Whether a value has the keys and types that a JSON Schema asks for: the keywords the schemas here use, no package.

Keys that a schema does not name are let pass, so that a file with a key of a later version can still be read.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from typing import Any

Schema = Mapping[str, Any]
Problems = Iterator[str]
TYPES: Mapping[str, tuple[str, Callable[[Any], bool]]] = {  # name in the schema -> in words, and whether a value is one
    "object": ("a table", lambda value: isinstance(value, Mapping)),
    "array": ("a list", lambda value: isinstance(value, list)),
    "string": ("a text", lambda value: isinstance(value, str)),
    "boolean": ("true or false", lambda value: isinstance(value, bool)),
    "null": ("null", lambda value: value is None),
    "number": ("a number", lambda value: _is_number(value)),
    "integer": ("a whole number", lambda value: _is_number(value) and value == int(value)),
}
LIMITS: Mapping[str, tuple[str, Callable[[Any, Any], bool]]] = {
    "minimum": ("at least", lambda value, limit: value >= limit),
    "maximum": ("at most", lambda value, limit: value <= limit),
    "exclusiveMinimum": ("more than", lambda value, limit: value > limit),
}
ANNOTATIONS = frozenset({"$schema", "$id", "$defs", "title", "description", "default"})
NOT_ASKED = frozenset({"propertyNames"})  # which keys there may be, besides those that must
CHECKED = frozenset(
    {"$ref", "type", "const", "enum", "pattern", "required", "properties", "additionalProperties", "items", "minItems",
     "oneOf", "if", "then", "not", *LIMITS}
)  # fmt: skip


def first_problem(value: Any, schema: Schema) -> str | None:
    """Say what is the first thing wrong with a value, by the keys that lead to it; None if nothing is."""
    return next(_problems(value, schema, schema, ""), None)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _problems(value: Any, schema: Schema, root: Schema, path: str) -> Problems:
    if "$ref" in schema:
        found: Any = root
        for key in schema["$ref"].removeprefix("#/").split("/"):
            found = found[key]
        yield from _problems(value, found, root, path)
    mistyped = _mistyped(value, schema, path)
    if mistyped:
        yield mistyped
        return
    yield from _of_number_or_text(value, schema, path)
    if isinstance(value, Mapping):
        yield from _of_table(value, schema, root, path)
    if isinstance(value, list):
        yield from _of_list(value, schema, root, path)
    yield from _of_cases(value, schema, root, path)


def _mistyped(value: Any, schema: Schema, path: str) -> str | None:
    names = schema.get("type", list(TYPES))
    names = [names] if isinstance(names, str) else names
    if any(TYPES[name][1](value) for name in names):
        return None
    return f"key {path} is {_shown(value)}, not {' or '.join(TYPES[name][0] for name in names)}"


def _of_number_or_text(value: Any, schema: Schema, path: str) -> Problems:
    if "const" in schema and value != schema["const"]:
        yield f"key {path} is {_shown(value)}, not {schema['const']!r}"
    if "enum" in schema and value not in schema["enum"]:
        yield f"key {path} is {_shown(value)}, not one of {', '.join(map(str, schema['enum']))}"
    if "pattern" in schema and isinstance(value, str) and not re.search(schema["pattern"], value):
        yield f"key {path} is {_shown(value)}, not of the form {schema['pattern']}"
    for name, (words, holds) in LIMITS.items():
        if name in schema and _is_number(value) and not holds(value, schema[name]):
            yield f"key {path} is {_shown(value)}, not {words} {schema[name]}"


def _of_table(value: Mapping[str, Any], schema: Schema, root: Schema, path: str) -> Problems:
    named, others = schema.get("properties", {}), schema.get("additionalProperties", True)
    for key in schema.get("required", ()):
        if key not in value:
            yield f"key {_joined(path, key)} is missing"
    for key, one in value.items():
        shape = named.get(key, others)
        if isinstance(shape, Mapping):
            yield from _problems(one, shape, root, _joined(path, key))


def _of_list(value: list[Any], schema: Schema, root: Schema, path: str) -> Problems:
    if len(value) < schema.get("minItems", 0):
        yield f"key {path} has {len(value)} entries, not at least {schema['minItems']}"
    if isinstance(schema.get("items"), Mapping):
        entries = (_problems(one, schema["items"], root, f"{path}[{place}]") for place, one in enumerate(value))
        yield from chain.from_iterable(entries)


def _of_cases(value: Any, schema: Schema, root: Schema, path: str) -> Problems:
    """`oneOf` is here one of null and a shape, so that what is wrong with the last case is said."""
    cases = [list(_problems(value, case, root, path)) for case in schema.get("oneOf", ())]
    if cases and all(cases):
        yield from cases[-1]
    if "not" in schema and not list(_problems(value, schema["not"], root, path)):
        yield f"key {path} holds what it must not"
    if "if" in schema and not list(_problems(value, schema["if"], root, path)):
        yield from _problems(value, schema.get("then", {}), root, path)


def _joined(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _shown(value: Any) -> str:
    """A value in a sentence; a long one only by what it is."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str | int | float):
        return repr(value) if len(repr(value)) < 60 else "a long text"
    return "a table" if isinstance(value, Mapping) else "a list"


__all__ = ["first_problem"]
