"""Is a damaged report.json refused in one sentence that names the key, or else shown in every format?"""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import report_fixture as given

import neurochip.report.html
from neurochip.errors import UserError
from neurochip.report import load_schema, read_report_json
from neurochip.report.comparison import comparison_text
from neurochip.report.csv_format import report_csv
from neurochip.report.html import report_page
from neurochip.report.latex import report_latex
from neurochip.report.markdown import report_markdown
from neurochip.report.schema import FILES
from neurochip.report.schema_check import ANNOTATIONS, CHECKED, NOT_ASKED, first_problem
from neurochip.report.text_format import report_text
from neurochip.runs_compared import runs_compared

Keys = tuple[Any, ...]
EDITS: dict[str, Any] = {"null": None, "text": "bogus", "list": [], "table": {"bogus": []}, "number": -3, "yes": True}
REMOVED = "removed"
N_EDITS, EVERY = 600, 12  # edits tried; one in EVERY of those that are shown is shown with its pictures


def keys_of(node: Any, before: Keys = ()) -> Iterator[Keys]:
    """The keys to every table, list and value; of a list only the first two entries."""
    entries = node.items() if isinstance(node, dict) else enumerate(node[:2]) if isinstance(node, list) else ()
    for key, value in entries:
        yield (*before, key)
        yield from keys_of(value, (*before, key))


def edited(report: dict[str, Any], keys: Keys, edit: str) -> dict[str, Any]:
    made = copy.deepcopy(report)
    node: Any = made
    for key in keys[:-1]:
        node = node[key]
    if edit == REMOVED:
        del node[keys[-1]]
    else:
        node[keys[-1]] = EDITS[edit]
    return made


@pytest.fixture(scope="module")
def whole() -> dict[str, Any]:
    """A report with every section."""
    made: dict[str, Any] = given.make_report(sensitivity=given.sensitivity())
    for result in made["results"]:
        if result["per_sample"]:
            result["per_sample"]["energy_pj"] |= {"low": 1.0, "high": 2.0, "calibrated": 3.0}
            result["per_sample"]["cycles_sampled"] = {"n_recorded": 8, "n_samples": 90, "half_width": 1.0}
    return made


def test_a_single_edit_is_refused_by_its_key_or_shown_in_every_format(
    whole: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, shown = tmp_path / "report.json", 0
    refused: list[tuple[Keys, str]] = []
    pictures = {name: getattr(neurochip.report.html, name) for name in ("plots", "tornado_plots", "stream_plots")}
    every = [(keys, edit) for keys in keys_of(whole) for edit in (*EDITS, REMOVED)]
    for keys, edit in random.Random(3).sample(every, N_EDITS):
        path.write_text(json.dumps(edited(whole, keys, edit)), encoding="utf-8")
        try:
            report = read_report_json(path)
        except UserError as error:
            refused.append((keys, str(error)))
            continue
        shown += 1
        for name, draw in pictures.items():
            monkeypatch.setattr(neurochip.report.html, name, draw if shown % EVERY == 0 else lambda _: [])
        for write in (report_text, report_csv, report_markdown, report_latex, report_page):
            assert write(report), (keys, edit)
        assert comparison_text(runs_compared({"damaged": report, "whole": whole})), (keys, edit)
    assert len(refused) > N_EDITS // 3 and shown > N_EDITS // 15
    assert [said for keys, said in refused if str(keys[0]) not in said or "\n" in said] == []


@pytest.mark.parametrize(
    ("keys", "edit", "sentence"),
    [
        (("results", 0, "per_sample", "energy_pj", "total"), REMOVED, "per_sample.energy_pj.total is missing"),
        (("results", 0, "per_sample", "energy_pj", "total"), "text", "energy_pj.total is 'bogus', not a number"),
        (("results", 2, "per_sample", "energy_pj", "total"), "yes", "energy_pj.total is true, not a number"),
        (("results", 0, "per_sample", "cycles"), "number", "cycles is -3, not at least 0"),
        (("results", 0, "per_sample"), "null", "results[0].per_sample is null, not a table"),
        (("chip", "provenance", 0, "kind"), "text", "kind is 'bogus', not one of measured, simulated"),
        (("results", 0, "formats", "weight", 1), "text", "formats.weight[1] is 'bogus', not of the form"),
        (("history", "footprint_by_steps", "steps", 0), REMOVED, "has 6 entries, and history"),
        (("sensitivity", "pairs", 0, "flips", 0, "knob"), "text", "flips names bogus"),
        (("experiment", "chip"), REMOVED, "experiment.chip is missing"),
    ],
)
def test_the_sentence_names_key_value_and_what_is_allowed(
    keys: Keys, edit: str, sentence: str, whole: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "report.json"
    path.write_text(json.dumps(edited(whole, keys, edit)), encoding="utf-8")
    with pytest.raises(UserError) as caught:
        read_report_json(path)
    assert sentence in str(caught.value)


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity"])
def test_a_number_that_json_does_not_have_is_refused(text: str, whole: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text(json.dumps(whole).replace('"target_accuracy": 0.9', f'"target_accuracy": {text}'), "utf-8")
    with pytest.raises(UserError, match=f"{text} is no number that JSON has"):
        read_report_json(path)


def test_a_key_of_a_later_version_is_let_pass(whole: dict[str, Any]) -> None:
    whole = copy.deepcopy(whole)
    whole["results"][0]["per_sample"]["later"] = whole["later"] = 1
    assert first_problem(whole, load_schema()) is None


@pytest.mark.parametrize("name", FILES)
def test_every_keyword_of_a_schema_is_checked_or_known_not_to_be(name: str) -> None:
    used: set[str] = set()

    def collect(shape: Any) -> None:
        if not isinstance(shape, dict):
            return
        used.update(shape)
        for name in ("properties", "$defs"):
            for one in shape.get(name, {}).values():
                collect(one)
        for name in ("items", "additionalProperties", "if", "then", "not"):
            collect(shape.get(name))
        for one in shape.get("oneOf", ()):
            collect(one)

    collect(load_schema(name))
    assert used <= CHECKED | ANNOTATIONS | NOT_ASKED


def test_it_says_what_the_package_says(whole: dict[str, Any]) -> None:
    """Of edits that make no key that is not in the schema."""
    validator, differ = jsonschema.Draft202012Validator(load_schema()), []
    every = [(keys, edit) for keys in keys_of(whole) for edit in (*EDITS, REMOVED) if edit != "table"]
    for keys, edit in random.Random(4).sample(every, 150):
        made = edited(whole, keys, edit)
        if validator.is_valid(made) != (first_problem(made, load_schema()) is None):
            differ.append((keys, edit))
    assert differ == []
