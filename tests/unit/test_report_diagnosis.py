"""Does a report say what limits the accuracy of its rules, in every form, and the same as `neurochip diagnose`?"""

from __future__ import annotations

import copy
import io
import re
import shlex
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import report_fixture as given
import tiny_experiment as tiny
from rich.console import Console
from sweep_request import results_of, sweep_tiny

from neurochip.diagnosis.of_run import diagnose_run
from neurochip.diagnosis.of_setup import limit_of
from neurochip.experiment import Report, resume
from neurochip.report import load_schema, print_report
from neurochip.report.diagnosis import diagnosed, limits, table_rows
from neurochip.report.html import write_report_html
from neurochip.repricing import load_run, reprice
from neurochip.run_directory import REPORT_JSON

FLOOR = {"precision__weight__rounding": "floor"}
ADVICE: dict[str, Any] = {
    "cause": "rounding",
    "signal": "weight",
    "layer": 1,
    "sentence": "62 % of the updates of layer 1 <b> round to no change: use stochastic rounding.",
    "overrides": ["precision.weight.rounding=stochastic"],
}
HIDDEN = {
    "kind": "dense",
    "saturation": {"membrane": 0.0123, "trace": 0.0},
    "underflow": 0.25,
    "weights_at_limit": 0.0,
    "unused_bits": 1.25,
    "rounding": {"n_updates": 9, "unchanged_share": 0.62, "rate_lost": 0.5, "bias_lsb": 0.01, "bias_share": 0.1},
    "snr_db": {"potential": 41.23, "trace": None},
    "divergence": {"samples_share": 0.5, "first_step": 3, "median_step": 4.0, "spikes_share": 0.01},
    "neurons": {"silent": 0.1, "dead": 0.05, "saturated": 0.0, "peak": 1.5},
}
READOUT = {
    "kind": "readout",
    "saturation": {"readout": 0.0},
    "underflow": None,
    "weights_at_limit": 0.0,
    "unused_bits": 0.5,
    "rounding": None,
    "snr_db": {"potential": None},
    "divergence": None,
    "neurons": None,
}


def section(advice: dict[str, Any] | None) -> dict[str, Any]:
    return {"n_samples": 8, "layers": copy.deepcopy([HIDDEN, READOUT]), "advice": copy.deepcopy(advice)}


@pytest.fixture
def report() -> dict[str, Any]:
    """A report in which ottt-o has an advice, bptt-o and bptt have none, and infer was not diagnosed."""
    made: dict[str, Any] = given.make_report()
    sections = {"ottt-o": section(ADVICE), "bptt-o": section(None), "bptt": section(None)}
    for result in made["results"]:
        result["diagnosis"] = sections.get(result["rule"]) if result["precision"] == "fixed" else None
    return made


def printed(report: dict[str, Any], width: int = 400) -> list[str]:
    stream = io.StringIO()
    print_report(report, Console(file=stream, width=width))
    return stream.getvalue().splitlines()


def problems(report: dict[str, Any]) -> list[str]:
    return [error.json_path for error in jsonschema.Draft202012Validator(load_schema()).iter_errors(report)]


def page(report: dict[str, Any], folder: Path) -> str:
    write_report_html(report, folder / "report.html")
    return (folder / "report.html").read_text(encoding="utf-8")


# --- forms of one report


def test_the_console_has_a_sentence_per_advice_and_one_for_the_healthy(report: dict[str, Any]) -> None:
    lines = printed(report)
    place = lines.index(f"ottt-o: {ADVICE['sentence']} Add:")
    assert lines[place + 1 : place + 4] == [
        "  --set precision.weight.rounding=stochastic",
        "bptt-o, bptt: no number format found that limits accuracy.",
        "",
    ]
    assert limits(report) == [
        f"ottt-o: {ADVICE['sentence']} Add --set precision.weight.rounding=stochastic",
        lines[place + 2],
    ]


def test_options_to_type_are_one_line_on_any_console(report: dict[str, Any]) -> None:
    (result,) = [one for one in report["results"] if (one["rule"], one["precision"]) == ("ottt-o", "fixed")]
    layers = ", ".join('{kind = "dense", neurons = 20, threshold = 3.9}' for _ in range(4))
    override = f'network.layers=[{layers}, {{kind = "readout"}}]'
    result["diagnosis"]["advice"]["overrides"] = [override, "precision.weight.bits=9"]
    lines = printed(report, width=60)
    (typed,) = [line for line in lines if "network.layers" in line]
    assert shlex.split(typed) == ["--set", override, "--set", "precision.weight.bits=9"]


def test_the_page_has_the_sentences_escaped_and_a_table_with_units(report: dict[str, Any], tmp_path: Path) -> None:
    text = page(report, tmp_path)
    _, found = text.split("<h2>What limits accuracy</h2>")
    found = re.sub(r"</?span[^>]*>", "", found.partition("<h2>")[0])
    assert "layer 1 &lt;b&gt; round" in found and "<b> round" not in found
    cells = dict(re.findall(r'<tr><th scope="row">(.*?)</th><td[^>]*>(.*?)</td>', found))
    assert cells["saturated: membrane"] == "1.23 %"
    assert cells["SNR: potential"] == "41.2 dB"
    assert cells["first step that differs"] == "3"
    assert cells["bits that weights leave empty"] == "1.2"
    assert cells["updates without a change"] == "62 %"
    assert "SNR: trace" not in cells  # never differs
    assert found.count("<details>") == 3


def test_a_report_without_a_diagnosis_says_nothing_of_it(report: dict[str, Any], tmp_path: Path) -> None:
    older = copy.deepcopy(report)
    for result in older["results"]:
        del result["diagnosis"]
    for result in report["results"]:
        result["diagnosis"] = None
    for one in (older, report):
        assert problems(one) == []
        assert (diagnosed(one), limits(one)) == ({}, [])
        assert "What limits accuracy" not in page(one, tmp_path)


@pytest.mark.parametrize(
    "damage",
    [
        lambda diagnosis: diagnosis.pop("advice"),
        lambda diagnosis: diagnosis.update(n_samples=0),
        lambda diagnosis: diagnosis["advice"].update(cause="bad luck"),
        lambda diagnosis: diagnosis["layers"][0].pop("snr_db"),
        lambda diagnosis: diagnosis["layers"][0]["neurons"].update(dead=1.5),
    ],
)
def test_the_schema_knows_the_section(report: dict[str, Any], damage: Any) -> None:
    assert problems(report) == []
    (result,) = [one for one in report["results"] if (one["rule"], one["precision"]) == ("ottt-o", "fixed")]
    damage(result["diagnosis"])
    assert problems(report)


def test_a_limit_in_short_names_signal_cause_and_layer() -> None:
    assert limit_of(ADVICE) == "weight rounding in layer 1"
    assert limit_of({**ADVICE, "cause": "dead neurons", "signal": None, "layer": 0}) == "dead neurons in layer 0"
    assert limit_of(None) == "none"


def test_rows_without_any_number_are_left_out() -> None:
    head, *rows = table_rows(section(None))
    assert head == ["", "layer 0 (dense)", "layer 1 (readout)"]
    assert ["errors rounded to 0", "25 %", "–"] in rows
    assert all(len(row) == 3 and set(row[1:]) != {"–"} for row in rows)


# --- runs


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tiny.write_tiny_task(tmp_path)
    return tmp_path


def test_every_rule_that_learns_in_fixed_point_is_diagnosed_as_by_the_command(folder: Path) -> None:
    rules = ["infer", "ottt-o", "bptt", "trace/feedback/sample"]
    run: Report = tiny.run_tiny(folder, folder / "run", rules, learning__momentum_shift=0, **FLOOR)
    assert problems(run.data) == []
    by_command = {result.pop("rule"): result for result in diagnose_run(folder / "run")["results"]}
    for result in run.results:
        is_diagnosed = result["precision"] == "fixed" and result["rule"] != "infer"
        assert result["diagnosis"] == (by_command[result["rule"]] if is_diagnosed else None)
    assert run.result("ottt-o")["diagnosis"]["advice"]["cause"] == "rounding"
    assert any(line.startswith("ottt-o: ") and "use stochastic rounding" in line for line in limits(run.data))


def test_samples_are_those_of_the_experiment_and_none_is_no_diagnosis(folder: Path) -> None:
    few, none = (
        tiny.run_tiny(folder, folder / f"run{n}", ["ottt-o"], "learn", run__diagnosis_samples=n) for n in (5, 0)
    )
    assert few.result("ottt-o")["diagnosis"]["n_samples"] == 5
    assert none.result("ottt-o")["diagnosis"] is None
    assert few.result("ottt-o")["accuracy"] == none.result("ottt-o")["accuracy"]


def test_a_run_that_stopped_before_its_report_gets_the_same_one(folder: Path) -> None:
    changes = {"learning__momentum_shift": 2, "learning__halve_every": 1}
    run: Report = tiny.run_tiny(folder, folder / "run", ["ottt-a"], "learn", **changes)
    before = (run.directory / REPORT_JSON).read_bytes()
    (run.directory / REPORT_JSON).unlink()
    resume(run.directory)
    assert (run.directory / REPORT_JSON).read_bytes() == before


def test_the_diagnosis_is_kept_on_another_chip(folder: Path) -> None:
    run: Report = tiny.run_tiny(folder, folder / "run", ["ottt-o"], "learn", **FLOOR)
    again = reprice(load_run(run.directory), "ottt-core-28nm")
    assert problems(again) == []
    assert limits(again) == limits(run.data) != []


def test_a_stream_that_drifts_is_diagnosed_with_its_last_labels(folder: Path) -> None:
    changes = {"learning__mode": "stream", "stream__samples": 40, "stream__window": 4}
    drifting = {"stream__drift": "classes", "stream__drift_every": 20}
    same: Report = tiny.run_tiny(folder, folder / "same", ["ottt-o"], "learn", **changes)
    run: Report = tiny.run_tiny(folder, folder / "run", ["ottt-o"], "learn", **changes, **drifting)
    assert problems(run.data) == []
    assert all(one.result("ottt-o")["diagnosis"]["n_samples"] == 18 for one in (same, run))


def test_real_numbers_have_no_diagnosis(folder: Path) -> None:
    run: Report = tiny.run_tiny(folder, folder / "run", ["ottt-o"], "learn", precision="float")
    assert [result["diagnosis"] for result in run.results] == [None]


# --- points of a sweep


def test_a_point_has_the_limit_that_its_run_reports(folder: Path) -> None:
    points = sweep_tiny(folder, "out", "precision.weight.rounding=floor,stochastic", "run.diagnosis_samples=0,18")
    found = {(p.settings["precision.weight.rounding"], p.settings["run.diagnosis_samples"]): r
             for p, r in zip(points, results_of(points), strict=True)}  # fmt: skip
    for rounding in ("floor", "stochastic"):
        assert (found[rounding, 0]["limit"], found[rounding, 0]["advice"]) == (None, None)
        run: Report = tiny.run_tiny(
            folder, folder / rounding, ["ottt-o"], "learn", precision__weight__rounding=rounding
        )
        advice = run.result("ottt-o")["diagnosis"]["advice"]
        assert found[rounding, 18]["advice"] == advice
        assert found[rounding, 18]["limit"] == limit_of(advice)
    assert found["floor", 18]["limit"].startswith("weight rounding in layer ")
