"""Do the published schemas hold for what the commands write, and refuse a value of a wrong type wherever one stands?"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from neurochip.cli import main
from neurochip.report import load_schema
from neurochip.report.schema import FILES
from neurochip.report.schema_check import first_problem

Keys = tuple[Any, ...]
OF_TYPE: dict[str, Any] = {
    "text": "bogus",
    "truth": True,
    "number": 0.5,
    "table": {"bogus": []},
    "list": [{"bogus": []}],
}
FREE = {  # places whose values are of several types, as a pattern of the path -> the types
    r"(^|\.)experiment\.precision\.(\w+\.)?\w+\.frac(\.\[\])?$": {"text", "number", "list"},  # "auto" or a number
    r"^task\.classes\.\[\]$": {"text", "number"},
    r"^rows\.\[\]\.\w+\.[\w.]+$": {"text", "number", "truth", "list"},  # keys of the experiment, as a sweep varies them
    r"^differs\.": {"text", "number", "truth", "list"},
}  # fmt: skip
MOST_FREE = 8  # of different places in a document, columns of a sweep or comparison counted once


@pytest.fixture(scope="module")
def documents(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    """Real outputs of the commands by the name of their schema."""
    folder = tmp_path_factory.mktemp("documents")
    found: dict[str, list[dict[str, Any]]] = {}
    found["neurochip-report/1"] = [json.loads((finished / "report.json").read_text(encoding="utf-8"))]

    def written(*words: str | Path) -> dict[str, Any]:
        assert main(["report", *map(str, words), "--out", str(folder / "file.json")]) == 0
        content: dict[str, Any] = json.loads((folder / "file.json").read_text(encoding="utf-8"))
        return content

    other = folder / "other"
    assert main(["learn", str(finished.parent / "small.toml"), "--quiet", "--set", "run.rules=[\"ottt-o\"]",
                 "--set", "learning.mode=stream", "--set", "stream.samples=40", "--set", "stream.window=10",
                 "--out", str(other)]) == 0  # fmt: skip
    found["neurochip-report/1"] += [
        json.loads((other / "report.json").read_text(encoding="utf-8")),
        written(finished, "--format", "json", "--chip", "ottt-mesh-28nm"),
    ]
    found["neurochip-comparison/1"] = [written(finished, other, "--compare", "--format", "json")]
    found["neurochip-neurobench/1"] = [written(run, "--format", "neurobench") for run in (finished, other)]
    return found


def check(document: dict[str, Any]) -> None:
    """It meets the schema that it names, for the package and for the one that reads reports."""
    schema = load_schema(document["schema"])
    jsonschema.validate(document, schema, jsonschema.Draft202012Validator)
    assert first_problem(document, schema) is None


def leaves(node: Any, before: Keys = ()) -> Iterator[Keys]:
    """Paths to every value that is no table or list, and to empty ones."""
    inner = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    if not inner:
        yield before
    for key, value in inner:
        yield from leaves(value, (*before, key))


def type_of(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return "truth"
    return {str: "text", int: "number", float: "number", dict: "table", list: "list"}[type(value)]


def accepted(document: dict[str, Any]) -> tuple[int, dict[str, set[str]]]:
    """How many different leaves there are, and which of them may also be of which other types."""
    schema = load_schema(document["schema"])
    made, seen, found = copy.deepcopy(document), set(), {}
    for path in leaves(document):
        name = ".".join("[]" if isinstance(key, int) else key for key in path)
        *before, last = path
        node = made
        for key in before:
            node = node[key]
        own = type_of(node[last])
        if (name, own) in seen:
            continue
        seen.add((name, own))
        kept = node[last]
        others = set()
        for word, value in OF_TYPE.items():
            node[last] = value
            if word != own and first_problem(made, schema) is None:
                others.add(word)
        node[last] = kept
        if len(others) > (own is None):  # what may be null is else of one type
            found[name] = others
    return len(seen), found


def check_every_leaf(document: dict[str, Any]) -> None:
    n_leaves, found = accepted(document)
    free = {}
    for name, others in found.items():
        pattern = next((one for one in FREE if re.search(one, name)), None)
        assert pattern is not None and others <= FREE[pattern], (name, others)
        free[name if pattern.startswith((r"(^", r"^task")) else pattern] = others
    assert len(free) <= MOST_FREE < n_leaves, free


@pytest.mark.parametrize("name", ["neurochip-report/1", "neurochip-comparison/1", "neurochip-neurobench/1"])
def test_what_reports_write_meets_its_schema_and_no_value_of_a_wrong_type_does(
    name: str, documents: dict[str, list[dict[str, Any]]]
) -> None:
    for document in documents[name]:
        assert document["schema"] == name
        check(document)
        check_every_leaf(document)


def test_what_cost_writes_meets_its_schema(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shape = ["--network", "64-16-4", "--steps", "4", "--samples", "2"]
    of_run = ["--network", str(finished.parent / "small.toml"), "--steps", "6", "--samples", "2"]
    for words in (shape, [*shape, "--psi", "0.3", "--rules", "ottt-o"], ["--activity", str(finished)],
                  [*of_run, "--rates-of", str(finished)]):  # fmt: skip
        assert main(["cost", *words, "--json"]) == 0
        document = json.loads(capsys.readouterr().out)
        assert document["schema"] == "neurochip-cost/1"
        check(document)
        check_every_leaf(document)


def test_what_a_sweep_writes_meets_its_schemas(
    finished: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A healthy point, one that cannot be, and a float twin."""
    axes = ("--sweep", "precision.weight.bits=6,8", "--sweep", "network.layers.0.leak_shift=1,16", "--twin")
    words = ("precision", str(finished.parent / "small.toml"), *axes, "--workers", "1", "--quiet", "--json")
    assert main([*words, "--out", str(folder / "sweep")]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "neurochip-sweep/1"
    assert {row["error"] is None for row in document["rows"]} == {True, False}
    assert {row["arithmetic"] for row in document["rows"]} == {"fixed", "float", None}
    check(document)
    check_every_leaf(document)
    points = sorted((folder / "sweep" / "points").glob("*.json"))
    assert len(points) > 2
    for path in points:
        point = json.loads(path.read_text(encoding="utf-8"))
        assert point["schema"] == "neurochip-point/1"
        check(point)
        check_every_leaf(point)


@pytest.mark.parametrize("name", FILES)
def test_a_schema_is_one_and_whole(name: str) -> None:
    schema = load_schema(name)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert re.findall(r'"\$ref": "[^#]', json.dumps(schema)) == []
    assert schema["properties"]["schema"] == {"const": name}
    assert load_schema(name) == schema is not load_schema(name)


def test_the_schema_of_an_experiment_is_what_its_class_says(source_tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib

    monkeypatch.syspath_prepend(str(source_tree / "scripts"))
    script = importlib.import_module("make_experiment_schema")
    assert json.loads(script.PATH.read_text(encoding="utf-8")) == script.make_schema()
