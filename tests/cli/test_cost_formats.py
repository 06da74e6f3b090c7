"""`neurochip cost --format`: the same numbers in every format; what `report --compare` says to what is no run."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from neurochip.report.table import number

from .conftest import Command

ASKED = ("cost", "--network", "16-8-4", "--steps", "4", "--rules", "infer,ottt-o,bptt-o", "--quiet")


@pytest.fixture
def document(call: Command) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(call(*ASKED, "--json").out)
    return found


def test_json_is_that_of_the_option_and_csv_has_its_numbers(call: Command, document: dict[str, Any]) -> None:
    assert call(*ASKED, "--format", "json").out == call(*ASKED, "--json").out
    rows = list(csv.DictReader(io.StringIO(call(*ASKED, "--format", "csv").out)))
    assert [row["rule"] for row in rows] == ["infer", "ottt-o", "bptt-o"]
    for row, result in zip(rows, document["results"], strict=True):
        assert float(row["energy_pj"]) == result["per_sample"]["energy_pj"]["total"]
        assert int(row["footprint_bits"]) == result["footprint_bits"]["total"]
        assert row["accuracy_test"] == ""


def test_markdown_latex_and_text_have_the_headline_and_no_accuracies(call: Command, document: dict[str, Any]) -> None:
    energies = [number(result["per_sample"]["energy_pj"]["total"] / 1e3) for result in document["results"]]
    markdown, latex, text = (call(*ASKED, "--format", name).out for name in ("markdown", "latex", "text"))
    for energy, rule in zip(energies, ("infer", "ottt-o", "bptt-o"), strict=True):
        assert f"| {rule} | {energy} |" in markdown
        assert f"{rule} & {energy} &" in latex
        assert any(line.split()[:2] == [rule, energy] for line in text.splitlines())
    assert "drawn at 0.1, 0.1 events" in markdown and "drawn at 0.1, 0.1 events" in latex
    assert latex.count("\\begin{table}") == 1 and "test" not in latex


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--format", "html"], "of a cost allowed are text, json, csv, markdown, latex"),
        (["--format", "abacus"], "--format abacus is unknown"),
        (["--format", "csv", "--json"], "--format csv does not go with --json"),
        (["--format", "csv", "--map"], "--out DIR for map.csv"),
    ],
)
def test_what_does_not_go_together_is_refused_before_work(call: Command, options: list[str], said: str) -> None:
    assert said in call(*ASKED, *options).sentence()


def test_runs_are_compared_and_nothing_else(call: Command, finished: Path, folder: Path) -> None:
    (folder / "cost.json").write_text("{}", encoding="utf-8")
    (folder / "empty").mkdir()
    for other in ("cost.json", "empty", "missing"):
        said = call("report", str(finished), other, "--compare").sentence()
        assert said.startswith(
            f"{other}: is not a run directory; --compare takes the folders of two or more finished runs"
        )
        assert "no output of neurochip cost" in said
