"""Is docs/golden/tiny-network.json what the golden core computes today, and does its page explain it?"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from neurochip.activity import FIELDS


@pytest.fixture(scope="module")
def vector_file(source_tree: Path) -> Path:
    return source_tree / "docs" / "golden" / "tiny-network.json"


@pytest.fixture(scope="module")
def script(source_tree: Path) -> ModuleType:
    path = source_tree / "scripts" / "make_golden_vector.py"
    spec = importlib.util.spec_from_file_location("make_golden_vector", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def stored(vector_file: Path) -> Any:
    return json.loads(vector_file.read_text(encoding="utf-8"))


def test_the_script_reproduces_the_stored_file_byte_for_byte(script: ModuleType, vector_file: Path) -> None:
    assert (script.render(script.make_vector()) + "\n").encode() == vector_file.read_bytes()


def test_the_layout_on_lines_keeps_the_content(script: ModuleType) -> None:
    vector = script.make_vector()
    assert json.loads(script.render(vector)) == json.loads(json.dumps(vector))
    assert max(len(line) for line in script.render(vector).splitlines()) <= 120


def test_a_rule_that_teaches_nothing_is_refused(script: ModuleType, stored: Any) -> None:
    rule = stored["rules"]["ottt-o"]
    rule["samples"][-1]["weights"][1] = stored["initial_weights"][1]
    with pytest.raises(RuntimeError, match="layer 1: unchanged=True"):
        script.require_learning(rule, "trace", "immediate")


def test_every_key_is_explained_on_the_page(source_tree: Path, stored: Any) -> None:
    page = (source_tree / "docs" / "golden" / "README.md").read_text(encoding="utf-8")
    rule = stored["rules"]["ottt-a"]
    keys = {*stored, *stored["rules"], *rule, *rule["samples"][0]}
    names = {key.split("/")[0] + "/l" if "/" in key else key for key in keys}
    assert {name for name in names if f"`{name}`" not in page} == set()


def test_activity_agrees_with_the_recorded_values(stored: Any) -> None:
    """Count the recorded spikes, codes, signals and draws with nothing but `!= 0`."""
    for rule in stored["rules"].values():
        lanes = rule["spec"]["rng_lanes"]
        for sample in rule["samples"]:
            activity = sample["activity"]
            for layer in range(2):
                for name, field in (("spike", "spikes"), ("psi", "psi_nonzero"), ("signal", "signal_nonzero")):
                    counted = [step[layer][FIELDS.index(field)] for step in activity[:-1]]
                    recorded = [sum(1 for v in values if v) for values in sample[f"{name}/{layer}"]]
                    assert counted == recorded
            for layer, width in enumerate((5, 4, 3)):
                # 5 columns are two words of 4 lanes; a draw of column 0 or 4 stands for one advance of all lanes.
                advances = sum(step[layer][FIELDS.index("random_advances")] for step in activity)
                firsts = range(0, width, lanes)
                assert advances == sum(
                    1 for index, _, column, _ in sample["drawn"] if index == layer and column in firsts
                )
