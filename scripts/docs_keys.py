"""Every key of the experiment file, as tables of docs/experiment.md: from the pydantic models and their docstrings."""

from __future__ import annotations

import ast
import inspect
import json
import re
import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from neurochip.config import Experiment

Model = type[BaseModel]
Schema = Mapping[str, Any]
HEAD = "| key | type | default | allowed | unit | what it is |\n|---|---|---|---|---|---|"
KIND = "kind"  # of a layer: the title of its table


@dataclass(frozen=True)
class Key:
    """One key of a table: dotted name as `--set` takes it, and the cells of its row."""

    name: str
    cells: tuple[str, ...]

    @property
    def row(self) -> str:
        return f"| `{self.name}` | {' | '.join(self.cells)} |"


def key_tables() -> str:
    """A section for every table of the experiment file, and for every kind of layer."""
    parts = []
    for name, field in Experiment.model_fields.items():
        (model,) = _models(field)
        parts += [f"## `[{name}]`", sentence(model).removeprefix(f"`[{name}]`: "), _table(keys_of(model, name))]
        parts += [part for layer in _kinds(model) for part in _layer(layer)]
    return "\n\n".join(["", *(_capital(part) for part in parts), ""])


def _layer(model: Model) -> list[str]:
    keys = keys_of(model, "")
    (kind,) = get_args(model.model_fields[KIND].annotation)
    return [f'### `kind = "{kind}"`', sentence(model), *([_table(keys)] if keys else [])]


def _table(keys: list[Key]) -> str:
    return "\n".join([HEAD, *(key.row for key in keys)])


def keys_of(model: Model, prefix: str) -> list[Key]:
    """The keys of a table and of the tables in it; tables of one kind that stand side by side are listed once."""
    found: list[Key] = []
    uses = Counter(sub for field in model.model_fields.values() for sub in _models(field))
    shared = {sub for sub, n in uses.items() if n > 1}
    for name, field in model.model_fields.items():
        if name == KIND:
            continue
        full = f"{prefix}.{name}".lstrip(".")
        found.append(Key(full, _cells(model, name, field)))
        for sub in _models(field):
            if sub not in shared and KIND not in sub.model_fields:
                found += keys_of(sub, f"{full}.LAYER" if _schema(model, name).get("additionalProperties") else full)
    for sub in sorted(shared, key=lambda one: one.__name__):
        if KIND not in sub.model_fields:
            found += keys_of(sub, f"{prefix}.SIGNAL")
    return found


def _cells(model: Model, name: str, field: FieldInfo) -> tuple[str, ...]:
    node = _schema(model, name)
    is_table = node.get("type") == "object" and "properties" in node
    allowed = "" if is_table else _allowed(node)
    cells = (_type(node), _default(field, is_table), allowed, str(_raw(model, name).get("unit", "")))
    return (*(cell.replace("|", "\\|") for cell in cells), _description(model, name, field))


def _description(model: Model, name: str, field: FieldInfo) -> str:
    text = descriptions(model).get(name) or " ".join(map(sentence, _models(field))) or _said_of(model, name, field)
    if not text:
        raise ValueError(f"{model.__name__}.{name} has no docstring under it")
    return " ".join(text.split()).replace("|", "\\|")


def _said_of(model: Model, name: str, field: FieldInfo) -> str:
    """The sentences about a key in the docstring of its table, which may describe its keys itself.

    The key that such a table needs is what its first sentence is about.
    """
    text = " ".join((inspect.getdoc(model) or "").split())
    first, *others = re.split(r"(?<=\.) (?=[`A-Z])", text)
    about = [part for part in others if f"`{name}`" in part]
    return " ".join(about) or (_capital(first.partition(": ")[2]) if others and field.is_required() else "")


def descriptions(model: Model) -> dict[str, str]:
    """The docstrings under the fields of a model and of the models it comes from."""
    found: dict[str, str] = {}
    for part in reversed(model.__mro__):
        if issubclass(part, BaseModel) and part is not BaseModel:
            found |= _own_descriptions(part)
    return found


@cache
def _own_descriptions(model: Model) -> dict[str, str]:
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(model))).body
    body = tree.body if isinstance(tree, ast.ClassDef) else []
    return {
        field.target.id: text.value.value
        for field, text in pairwise(body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant) and isinstance(text.value.value, str)
    }


def sentence(model: Model) -> str:
    """The first paragraph of the docstring of a table."""
    return " ".join((inspect.getdoc(model) or "").split("\n\n")[0].split())


def _models(field: FieldInfo) -> list[Model]:
    """The tables that a key holds, lists of, or tables of."""

    def walk(annotation: Any) -> Iterator[Model]:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield annotation
        for part in get_args(annotation):
            yield from walk(part)

    return list(dict.fromkeys(walk(field.annotation)))


def _kinds(model: Model) -> list[Model]:
    """The kinds of layers that a table lists."""
    found = [sub for field in model.model_fields.values() for sub in _models(field)]
    return [sub for sub in found if KIND in sub.model_fields]


@cache
def _whole() -> Schema:
    return Experiment.model_json_schema()


def _raw(model: Model, name: str) -> Schema:
    node = _whole()["$defs"][model.__name__]["properties"][name]
    return node if isinstance(node, dict) else {}


def _schema(model: Model, name: str) -> Schema:
    return _plain(_raw(model, name))


def _plain(node: Schema) -> Schema:
    """Without references, and without the null of an optional key."""
    if "$ref" in node:
        return _plain(_whole()["$defs"][node["$ref"].rsplit("/", 1)[1]])
    choices = [choice for choice in node.get("anyOf", ()) if choice.get("type") != "null"]
    if len(choices) == 1:
        return _plain(choices[0])
    return {**node, "anyOf": [_plain(choice) for choice in choices]} if choices else node


def _type(node: Schema) -> str:
    """In the words of TOML."""
    node = _plain(node)
    if "anyOf" in node:
        return " or ".join(dict.fromkeys(_type(choice) for choice in node["anyOf"]))
    if node.get("type") == "array":
        return f"array of {_plural(node['items'])}"
    if isinstance(node.get("additionalProperties"), dict):
        return f"table of {_plural(node['additionalProperties'])}"
    if "enum" in node or "const" in node:
        return "string"
    return {"number": "float", "object": "table"}.get(str(node.get("type")), str(node.get("type", "table")))


def _plural(node: Schema) -> str:
    return " or ".join(f"{one}s" for one in _type(node).split(" or "))


def _allowed(node: Schema) -> str:
    node = _plain(node)
    if "anyOf" in node:
        texts = [text for text in map(_allowed, node["anyOf"]) if text]
        return ("; or " if any("each" in text for text in texts) else " or ").join(texts)
    words = node.get("enum", [node["const"]] if "const" in node else [])
    if words:
        return ", ".join(f"`{json.dumps(word)}`" for word in words)
    if node.get("type") == "array":
        return _of_length(node, _allowed(node["items"]))
    if isinstance(node.get("additionalProperties"), dict):
        return _each(_allowed(node["additionalProperties"]))
    if "discriminator" in node:
        return ", ".join(f"`{kind}`" for kind in node["discriminator"]["mapping"])
    return _range(node)


def _each(text: str) -> str:
    return f"each {text}" if text else ""


def _of_length(node: Schema, item: str) -> str:
    least, most = node.get("minItems"), node.get("maxItems")
    length = f"{least} of them" if least is not None and least == most else "not empty" if least else ""
    return ", ".join(filter(None, (length, _each(item))))


def _range(node: Schema) -> str:
    low, high = node.get("minimum"), node.get("maximum")
    above, below = node.get("exclusiveMinimum"), node.get("exclusiveMaximum")
    if low is not None and high is not None:
        return f"{_number(low)} to {_number(high)}"
    words = (("from", low), ("above", above), ("up to", high), ("below", below))
    found = [f"{word} {_number(value)}" for word, value in words if value is not None]
    return ", ".join(found) if found else "not empty" if node.get("minLength") else ""


def _number(value: float) -> str:
    return "2^63" if value == 2**63 else f"{value:g}" if value < 1e6 else f"{value:.0f}"


def _default(field: FieldInfo, is_table: bool) -> str:
    if field.is_required():
        return "needed"
    value = field.get_default(call_default_factory=True)
    if is_table or value is None:
        return ""
    return f"`{_toml(value)}`"


def _toml(value: Any) -> str:
    """A value as it stands in a TOML file."""
    if isinstance(value, BaseModel):
        value = value.model_dump(exclude_unset=True)
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + " }" if value else "{}"
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
