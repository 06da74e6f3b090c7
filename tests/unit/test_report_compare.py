"""Runs side by side: rows, the settings that differ and no others, ratios to the first run, what must be said."""

from __future__ import annotations

import copy
import csv
import html
import io
import json
from pathlib import Path
from typing import Any

import pytest
from report_fixture import make_report

from neurochip.errors import UserError
from neurochip.report.comparison import (
    comparison_csv,
    comparison_html,
    comparison_json,
    comparison_latex,
    comparison_markdown,
    comparison_text,
)
from neurochip.report.comparison_tables import comparison_grid, settings_grid
from neurochip.runs_compared import differing_keys, labels_of, runs_compared


def second_report() -> dict[str, Any]:
    """Another seed and more bits, half the energy and without `bptt`."""
    report = copy.deepcopy(make_report(name="other"))
    report["experiment"]["run"]["seed"] = 2
    report["experiment"]["precision"]["weight"]["bits"] = 12
    report["results"] = [result for result in report["results"] if result["rule"] != "bptt"]
    for result in report["results"]:
        if result["per_sample"] is not None:
            result["per_sample"]["energy_pj"]["total"] /= 2
    return report


@pytest.fixture
def compared() -> dict[str, Any]:
    return runs_compared({"a": make_report(), "b": second_report()})


def test_rows_are_runs_times_rules_with_the_keys_that_differ(compared: dict[str, Any]) -> None:
    rules = ["infer", "ottt-o", "bptt-o", "ottt-a", "bptt"]
    assert [(row["run"], row["rule"]) for row in compared["rows"]] == [
        *(("a", rule) for rule in rules), *(("b", rule) for rule in rules[:-1]),
    ]  # fmt: skip
    assert compared["differs"] == {"precision.weight.bits": {"a": 8, "b": 12}, "run.seed": {"a": 1, "b": 2}}
    for row in compared["rows"]:
        assert (row["run.seed"], row["precision.weight.bits"]) == {"a": (1, 8), "b": (2, 12)}[row["run"]]
        assert "task.steps" not in row and "learning_rate" not in row
    ottt = compared["rows"][6]
    assert (ottt["accuracy_test"], ottt["accuracy_test_float"]) == (0.942, 0.956)
    assert ottt["energy_pj"] == 312_600.0 / 2
    assert ottt["footprint_bits"] == 549_100


def test_ratios_are_to_the_same_rule_of_the_first_run(compared: dict[str, Any]) -> None:
    for row in compared["rows"]:
        assert row["energy_pj_over_first"] == {"a": 1.0, "b": 0.5}[row["run"]]
        assert row["latency_us_over_first"] == 1.0
    turned = runs_compared({"b": second_report(), "a": make_report()})
    by_place = {(row["run"], row["rule"]): row for row in turned["rows"]}
    assert by_place["a", "ottt-a"]["energy_pj_over_first"] == 2.0
    assert by_place["a", "bptt"]["energy_pj_over_first"] is None
    assert "bptt: not in b, so there is no ratio." in turned["notes"]


def test_different_tasks_are_said() -> None:
    other = second_report()
    other["task"]["name"] = "poker-dvs"
    notes = runs_compared({"a": make_report(), "b": other})["notes"]
    assert notes == ["The runs have different tasks (a: digits-dvs, b: poker-dvs): ratios are between different work."]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda report: report["task"]["provenance"].update(images="others"), "different files or splits"),
        (lambda report: report["chip"].update(clock_mhz=100.0), "one name and different numbers"),
        (lambda report: report["versions"].update(neurochip="9"), "(a: 0.1.0, b: 9)"),
        (lambda report: report.update(repriced={}), "priced again"),
    ],
)
def test_what_makes_runs_unlike_is_said(change: Any, said: str) -> None:
    report = make_report()
    assert runs_compared({"a": make_report(), "b": copy.deepcopy(report)})["notes"] == []
    report = copy.deepcopy(report)
    change(report)
    (note,) = runs_compared({"a": make_report(), "b": report})["notes"]
    assert said in note


def test_learning_rates_are_a_column_where_they_differ() -> None:
    other = second_report()
    other["experiment"]["learning"]["rates"] = {"ottt-o": 0.25}
    next(result for result in other["results"] if result["rule"] == "ottt-o")["learning_rate"]["asked"] = 0.25
    rows = runs_compared({"a": make_report(), "b": other})["rows"]
    assert [row["learning_rate"] for row in rows if row["rule"] == "ottt-o"] == [0.5, 0.25]


def experiment(**changes: Any) -> dict[str, Any]:
    calibrated = {"frac": [7, 6], "origin": ["automatic", "automatic"]}
    tables = {
        "network": {"layers": [{"neurons": 8}, {"kind": "readout"}], "weight_std": [0.1, 0.2]},
        "precision": {"weight": {"bits": 8, "frac": [7, 6]}, "calibrated": {"weight": calibrated}},
        "learning": {"rates": {"bptt": 1.0}, "rule": "bptt"},
        "run": {"rules": ["bptt"], "seed": 1},
    }
    for key, value in changes.items():
        place: Any = tables
        *path, last = [int(word) if word.isdigit() else word for word in key.split("__")]
        for word in path:
            place = place[word]
        place[last] = value
    return tables


def test_what_calibration_decides_is_no_setting() -> None:
    calibrated = {
        "precision__weight__frac": [6, 6],
        "precision__calibrated__weight__frac": [6, 6],
        "network__weight_std": [0.3, 0.2],
        "run__seed": 2,
        "run__rules": ["bptt", "ottt-o"],
    }
    assert list(differing_keys({"a": experiment(), "b": experiment(**calibrated)})) == ["run.seed"]
    given = calibrated | {"precision__calibrated__weight__origin": ["given", "automatic"]}
    assert "precision.weight.frac" in differing_keys({"a": experiment(), "b": experiment(**given)})
    later = {"precision__weight__frac": [6, 6]}
    assert list(differing_keys({"a": experiment(), "b": experiment(**later)})) == ["precision.weight.frac"]


def test_keys_of_lists_have_an_index_and_absent_ones_are_none() -> None:
    other = experiment(network__layers__0__neurons=16, network__layers__0__recurrent=True)
    assert differing_keys({"a": experiment(), "b": other}) == {
        "network.layers.0.neurons": {"a": 8, "b": 16},
        "network.layers.0.recurrent": {"a": None, "b": True},
    }


def test_one_run_is_not_side_by_side() -> None:
    with pytest.raises(UserError, match="two runs or more"):
        runs_compared({"a": make_report()})


def test_labels_are_the_names_of_the_folders_or_the_paths(tmp_path: Path) -> None:
    assert labels_of([tmp_path / "x" / "one", tmp_path / "y" / "two"]) == ["one", "two"]
    alike = [tmp_path / "x" / "one", tmp_path / "y" / "one", tmp_path / "two"]
    assert labels_of(alike) == [str(alike[0]), str(alike[1]), "two"]
    with pytest.raises(UserError, match="given twice"):
        labels_of([tmp_path / "one", tmp_path / "x" / ".." / "one"])


def test_the_numbers_stand_by_rule_and_the_settings_that_differ_in_a_table_of_their_own(
    compared: dict[str, Any],
) -> None:
    grid = comparison_grid(compared)
    assert [head.text for head in grid.heads][:5] == ["run", "test (%)", "float (%)", "energy (nJ)", "energy (×first)"]
    assert [(group.title, len(group.rows)) for group in grid.groups] == [
        ("infer", 2), ("ottt-o", 2), ("bptt-o", 2), ("ottt-a", 2), ("bptt", 1),
    ]  # fmt: skip
    assert grid.groups[1].rows[1][:5] == ("b", "94.2", "95.6", "156", "0.500")
    assert "area" not in [head.name for head in grid.heads]  # a column without numbers
    settings = settings_grid(compared)
    assert [head.text for head in settings.heads] == ["setting", "a", "b"]
    assert settings.groups[0].rows == (("precision.weight.bits", "8", "12"), ("run.seed", "1", "2"))


def streamed_report() -> dict[str, Any]:
    """The same as a stream, whose own accuracy is another than that on the test split."""
    report = copy.deepcopy(make_report(name="stream"))
    for place, result in enumerate(report["results"]):
        result["stream"] = {"accuracy": 0.501 + place / 100, "n_samples": 300, "n_labelled": 150, "segments": []}
    return report


def test_the_accuracy_of_a_stream_is_its_own_and_beside_epochs_that_is_said() -> None:
    comparison = runs_compared({"a": make_report(), "s": streamed_report()})
    by_place = {(row["run"], row["rule"]): row for row in comparison["rows"]}
    assert (by_place["s", "infer"]["accuracy_stream"], by_place["s", "infer"]["accuracy_test"]) == (0.501, 0.911)
    assert by_place["a", "infer"]["accuracy_stream"] is None
    (note,) = comparison["notes"]
    assert "(a: epochs, s: stream)" in note
    grid = comparison_grid(comparison)
    place = [head.text for head in grid.heads].index("stream (%)")
    assert [row[place] for row in grid.groups[0].rows] == ["–", "50.1"]
    assert "stream" in comparison["origins"]["s"]["infer"]["accuracy_stream"]["source"]
    alike = runs_compared({"t": streamed_report(), "s": streamed_report()})
    assert alike["notes"] == []
    assert "stream (%)" not in [head.text for head in comparison_grid(runs_compared(two_runs())).heads]


def two_runs() -> dict[str, dict[str, Any]]:
    return {"a": make_report(), "b": second_report()}


def test_every_number_of_a_run_has_a_source_and_a_kind(compared: dict[str, Any]) -> None:
    settings = (*compared["differs"], "run", "rule")
    for row in compared["rows"]:
        origins = compared["origins"][row["run"]][row["rule"]]
        numbers = {key for key, value in row.items() if key not in settings and value is not None}
        assert set(origins) == {key for key in numbers if not key.endswith("_over_first")}
        assert all(origin["source"] and origin["kind"] for origin in origins.values())
    first, second = (compared["origins"][run]["ottt-o"]["energy_pj"] for run in "ab")
    assert first["kind"] == "66.4 % model, 25.2 % simulated, 6.3 % assumed, 2.1 % measured"
    assert second["kind"] != first["kind"]  # half the energy of the same parts


def test_the_runs_say_chip_kinds_versions_and_how_to_have_them_again() -> None:
    comparison = runs_compared(two_runs(), "neurochip report a b --compare")
    about = comparison["runs"][0]
    assert (about["network"], about["clock_mhz"], about["overflow"]) == ("512-128-10", 150.0, "refuse")
    assert about["physical_numbers"] == {"model": 2, "assumed": 1}
    page = comparison_html(comparison)
    for said in ("512-128-10", "2 model, 1 assumed", "0.63.0", "neurochip report a b --compare"):
        assert said in page


def test_every_format_has_the_numbers_and_the_notes(compared: dict[str, Any]) -> None:
    assert json.loads(comparison_json(compared)) == compared
    rows = list(csv.DictReader(io.StringIO(comparison_csv(compared))))
    assert [float(row["energy_pj"]) for row in rows] == [row["energy_pj"] for row in compared["rows"]]
    assert rows[5]["precision.weight.bits"] == "12"
    assert "| ottt-o | b | 94.2 | 95.6 | 156 | 0.500 |" in comparison_markdown(compared)
    assert "| precision.weight.bits | 8 | 12 |" in comparison_markdown(compared)
    assert "b & 94.2 & 95.6 & 156 & 0.500 &" in comparison_latex(compared)
    assert "& 8 & 12 \\tabularnewline" in comparison_latex(compared)
    text = comparison_text(compared)
    assert text == comparison_text(compared)
    assert max(map(len, text.splitlines())) <= 120
    for shown in (text, comparison_markdown(compared), comparison_html(compared)):
        assert "Ratios (×first) are to a, rule by rule." in shown
        assert "other, task digits-dvs, chip ottt-core-28nm" in shown


def test_no_name_becomes_markup() -> None:
    comparison = runs_compared({"<b>_a|": make_report(), "b": second_report()})
    assert "<b>_a" not in comparison_html(comparison)
    assert "&lt;b&gt;_a|" in comparison_html(comparison)
    assert "\\<b\\>\\_a\\|" in comparison_markdown(comparison)
    assert "\\textless{}b\\textgreater{}\\_a\\textbar{}" in comparison_latex(comparison)


def test_what_a_run_was_says_unit_source_and_kind() -> None:
    page = html.unescape(comparison_html(runs_compared(two_runs())))
    first = runs_compared(two_runs())["runs"][0]
    run, task = first["run"], first["task"]
    for said in (
        f"{run}, training: {first['n_train']:,} samples. Samples learned in an epoch or a stream. "
        f"Source: task {task}, as it was loaded. Kind: counted exactly.",
        f"{run}, T: {first['n_steps']} steps. Steps of a sample. Source: task {task}, as it was loaded.",
        f"{run}, clock: 150 MHz. Frequency of the clock. Source: {first['chip_origins']['clock_mhz']['source']}",
        f"{run}, network: 512-128-10. Shape, inputs first. Source: layers of the experiment, on this task.",
        f"{run}, physical numbers: 2 model, 1 assumed. How many are of which kind.",
        f"{run}, numba: 0.63.0. Version. Source: report of the run {run}. Kind: as it was installed.",
    ):
        assert f'data-tip="{said}' in page, said
    assert f'data-tip="{run}, overflow' not in page  # a word
