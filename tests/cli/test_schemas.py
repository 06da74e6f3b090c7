"""Do the published schemas hold for what the commands write, and refuse a value of a wrong type wherever one stands?"""

from __future__ import annotations

import copy
import dataclasses
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from exported_runs import CASES, finished_runs

from neurochip.cli import main
from neurochip.errors import UserError
from neurochip.export import read_npz, spec_of
from neurochip.export.c_header import CHOICES, VALUES
from neurochip.report import load_schema
from neurochip.report.schema import FILES
from neurochip.report.schema_check import first_problem
from neurochip.spec import CoreSpec, LayerSpec
from neurochip.topology import Connection, ConvShape

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
    r"^classes\.\[\]$": {"text", "number"},
    r"^rows\.\[\]\.\w+\.[\w.]+$": {"text", "number", "truth", "list"},  # keys of the experiment, as a sweep varies them
    r"^differs\.": {"text", "number", "truth", "list"},
    r"^axes\.\[\]\.(base|values\.\[\])$": {"text", "number", "truth"},  # of any axis of a map
    r"^(base|sheets\.\[\]|points\.\[\]\.settings|(\w+\.\[\]\.)+fixed)\.[\w.-]+(\.\[\])?$": {"text", "number", "truth"},
    r"^moves\.\[\]\.value$": {"text", "number", "truth"},
    r"^(\w+\.\[\]\.)+between\.\[\]$": {"number"},  # or a factor
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


AXES = ["--axis", "steps=2,8,4000", "--axis", "width=x0.5,8:4", "--axis", "psi=0.3", "--axis", "signal=0.4:0.3:0.2"]
MAPS = {
    "of the default axes": ["--network", "12-6-4-3", "--rules", "ottt-o,bptt-o,sltt"],
    "of axes of its own": ["--network", "40-20-8-4", *AXES, "--set", "chip.overflow=refuse"],
    "of keys": ["--network", "12-6-3", "--axis", "learning.surrogate=sigmoid,triangle", "--axis", "learning.batch=1,4"],
    "of rates of layers": ["--network", "12-6-3", "--axis", "rate=0.05:0.2,x0.5,0.1", "--axis", "steps=2,9"],
}


@pytest.mark.parametrize("name", MAPS)
def test_what_a_map_of_costs_writes_meets_its_schema(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cost", "--map", *MAPS[name], "--samples", "1", "--json", "--quiet"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "neurochip-map/1"
    check(document)
    long = {key: document[key] for key in ("points", "borders", "winner_changes", "moves")}
    check_every_leaf({**document, **{key: entries[:: len(entries) // 8 + 1] for key, entries in long.items()}})


def test_what_a_diagnosis_writes_meets_its_schema(
    finished: Path, networks: Mapping[str, Path], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of dense and convolutional layers, heads and feedback, with an advice and without."""
    floored = ["--set", "precision.weight.rounding=floor", "--out", str(folder / "floored")]
    assert (
        main(["learn", str(finished.parent / "small.toml"), "--quiet", "--set", 'run.rules=["ottt-o"]', *floored]) == 0
    )
    kinds, advised = set(), set()
    for run in (finished, folder / "floored", *networks.values()):
        capsys.readouterr()
        assert main(["diagnose", str(run), "--samples", "4", "--json", "--quiet"]) == 0
        document = json.loads(capsys.readouterr().out)
        assert document["schema"] == "neurochip-diagnosis/1"
        check(document)
        check_every_leaf(document)
        kinds |= {layer["kind"] for result in document["results"] for layer in result["layers"]}
        advised |= {result["advice"] is not None for result in document["results"]}
    assert (kinds, advised) == ({"dense", "conv", "readout", "feedback"}, {True, False})


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    return finished_runs(tmp_path_factory.mktemp("networks"))


@pytest.mark.parametrize(("network", "rule"), CASES)
def test_what_an_export_holds_meets_its_schema(
    network: str, rule: str, networks: Mapping[str, Path], folder: Path
) -> None:
    for form in ("npz", "readmemh"):
        words = ("export", networks[network], "--rule", rule, "--format", form, "--out", folder / form)
        assert main([str(word) for word in words]) == 0
    manifest = json.loads((folder / "readmemh" / "manifest.json").read_text(encoding="utf-8"))
    document = read_npz(folder / "npz" / "network.npz")[0]
    assert document.items() < manifest.items()
    for one in (document, manifest):
        assert one["schema"] == "neurochip-export/1"
        check(one)
        check_every_leaf(one)


def test_the_schema_of_an_export_has_the_fields_of_the_specification() -> None:
    """Their types of choices and their defaults; only what has none is required, so that older documents hold."""
    schema = load_schema("neurochip-export/1")
    core, layer = schema["properties"]["core"], schema["properties"]["layers"]["items"]
    words = {key: VALUES[choice] for key, choice in CHOICES.items()} | {"error_rounding": ("floor", "nearest")}
    shapes = [(core, CoreSpec), (layer, LayerSpec)]
    shapes += [(schema["$defs"][name], kind) for name, kind in (("connection", Connection), ("convolution", ConvShape))]
    for shape, kind in shapes:
        fields = {
            field.name: field for field in dataclasses.fields(kind) if field.name not in ("layers", "inputs", "conv")
        }
        assert fields.keys() <= shape["properties"].keys()
        for name, field in fields.items():
            here = shape["properties"][name]
            assert (name in shape["required"]) == (field.default is dataclasses.MISSING), name
            assert here.get("default", dataclasses.MISSING) == field.default, name
            assert set(here.get("enum", ())) == set(words.get(name, ())), name


def test_a_damaged_export_is_refused_by_its_key(networks: Mapping[str, Path], folder: Path) -> None:
    words = ("export", networks["dense"], "--rule", "bptt", "--format", "npz", "--out", folder / "npz")
    assert main([str(word) for word in words]) == 0
    whole = read_npz(folder / "npz" / "network.npz")[0]
    assert spec_of({**whole, "later": 1}) == spec_of(whole)
    older = [{key: value for key, value in layer.items() if key != "rate_boost"} for layer in whole["layers"]]
    assert spec_of({**whole, "layers": older}).layers[0].rate_boost == 0
    for damage, sentence in (
        ({"core": {**whole["core"], "batch": "many"}}, "key core.batch is 'many', not a whole number"),
        ({"layers": [{**whole["layers"][0], "kind": "dens"}]}, "key layers[0].kind is 'dens', not one of dense"),
        ({"core": {key: value for key, value in whole["core"].items() if key != "seed"}}, "key core.seed is missing"),
    ):
        with pytest.raises(UserError, match=re.escape(sentence)):
            spec_of({**whole, **damage})


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
