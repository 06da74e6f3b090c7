"""Does `neurochip report --format F` write what the run says, as others read it, and refuse in one sentence?"""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import yaml

from neurochip.cli.report import FORMAT_HELP
from neurochip.export.load import load_learned
from neurochip.microarch.replay import activity_of_trace
from neurochip.recorded_passes import pricers_of
from neurochip.report.formats import FORMATS
from neurochip.repricing import load_run
from neurochip.step_records import step_records

from .conftest import Command

RULES = ("ottt-o", "bptt-o")
PASSES = ("per_sample", "per_sample_inference")
TEXTS = [name for name, entry in FORMATS.items() if not (entry.is_folder or entry.takes_sample or name == "text")]


def report_of(run: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((run / "report.json").read_text(encoding="utf-8"))
    return content


def fixed(run: Path, rule: str) -> dict[str, Any]:
    results = report_of(run)["results"]
    return next(result for result in results if (result["rule"], result["precision"]) == (rule, "fixed"))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_action_counts_and_tables_are_files_of_every_rule_and_pass(call: Command, run: Path, folder: Path) -> None:
    for chip in ((), ("--chip", "ottt-mesh-28nm")):
        out = f"out{len(chip)}"
        assert call("report", "run", *chip, "--format", "accelergy", "--out", out).code == 0
        names = {f"{rule}/{name}/{file}.yaml" for rule in RULES for name in PASSES for file in ("ERT", "action_counts")}
        assert set(contents(folder / out)) == names


def bitmap(run: Path, rule: str, name: str) -> Any:
    with h5py.File(run / "activity.h5") as file:
        packed = file[rule]["test_subset"][name]
        return np.unpackbits(packed[()], axis=-1, count=int(packed.attrs["width"]))


def recorded(run: Path, rule: str) -> list[int]:
    """Indices of the test samples whose events are in activity.h5."""
    with h5py.File(run / "activity.h5") as file:
        indices: list[int] = file[rule]["test_subset"]["sample_indices"][()].tolist()
    return indices


def test_sanafe_files_tell_a_sample_step_by_step(call: Command, run: Path, folder: Path) -> None:
    index = recorded(run, RULES[0])[2]
    assert call("report", "run", "--format", "sanafe", "--split", "test", "--sample", index, "--out", "out").code == 0
    assert set(contents(folder / "out")) == {
        f"{rule}/{name}" for rule in RULES for name in ("perf.csv", "spikes.csv", "run_summary.yaml")
    }
    for rule in RULES:
        place = folder / "out" / rule
        rows = list(csv.DictReader((place / "perf.csv").read_text(encoding="utf-8").splitlines()))
        assert list(rows[0]) == [
            "timestep", "fired", "updated", "packets", "hops", "spikes", "sim_time", "total_energy",
        ]  # fmt: skip
        events, spikes = bitmap(run, rule, "event/0")[2], bitmap(run, rule, "event/1")[2]
        assert [int(row["timestep"]) for row in rows] == list(range(1, 7))
        assert [int(row["fired"]) for row in rows] == spikes.sum(axis=1).tolist()
        assert [int(row["packets"]) for row in rows] == (events.sum(axis=1) + spikes.sum(axis=1)).tolist()
        assert [int(row["spikes"]) for row in rows] == (12 * events.sum(axis=1) + 3 * spikes.sum(axis=1)).tolist()
        assert {(row["updated"], row["hops"]) for row in rows} == {(str(12 + 3), "0")}
        assert all(float(row["sim_time"]) > 0 and float(row["total_energy"]) > 0 for row in rows)
        expected = {("input", int(n), int(t) + 1) for t, n in np.argwhere(events)}
        expected |= {("layer0", int(n), int(t) + 1) for t, n in np.argwhere(spikes)}
        lines = (place / "spikes.csv").read_text(encoding="utf-8").splitlines()
        found = [line.replace(".", ",").split(",") for line in lines[1:]]
        assert lines[0] == "neuron,timestep"
        head = (place / "run_summary.yaml").read_text(encoding="utf-8").splitlines()[0]
        assert f"inference of sample {index} of the test split" in head
        assert found == sorted(found, key=lambda one: (int(one[2]), one[0], int(one[1])))  # as they happen
        assert {(group, int(n), int(t)) for group, n, t in found} == expected and len(found) == len(expected)
        summary = yaml.safe_load((place / "run_summary.yaml").read_text(encoding="utf-8"))
        energy = summary["energy"]
        assert sum(float(row["total_energy"]) for row in rows) == pytest.approx(energy["total"], rel=1e-9)
        assert sum(value for key, value in energy.items() if key != "total") == pytest.approx(energy["total"], rel=1e-9)
        assert summary["sim_time"] == pytest.approx(sum(float(row["sim_time"]) for row in rows))
        assert summary["total_neurons_fired"] == spikes.sum()
        assert summary["timesteps_executed"] == 6


def test_time_and_energy_of_sanafe_samples_have_the_mean_of_a_pass_over_them(run: Path) -> None:
    saved = load_run(run)
    pricer, trace = pricers_of(saved, None)["ottt-o"], saved.recorded_of("ottt-o").test_subset
    assert trace is not None
    activity = activity_of_trace(trace, pricer.spec, pricer.chip.lanes, pricer.chip.trace_lanes, learning=False)
    cost = pricer.per_sample(activity, trace)
    picked = [step_records(run, None, index, split="test")["rules"][0] for index in recorded(run, "ottt-o")]
    assert np.mean([one["energy_j"]["total"] for one in picked]) * 1e12 == pytest.approx(cost["energy_pj"]["total"])
    times = [sum(step["time_s"] for step in one["steps"]) for one in picked]
    assert np.mean(times) * 1e6 == pytest.approx(cost["latency_us"], rel=1e-9)
    additions = sum(step["spikes"] for one in picked for step in one["steps"])
    assert additions == 4 * cost["totals"]["acs"]


def test_neurobench_metrics_are_those_of_their_definitions(call: Command, run: Path) -> None:
    content = json.loads(call("report", "run", "--format", "neurobench").out)
    assert content["schema"] == "neurochip-neurobench/1"
    for result in content["results"]:
        rule, metrics = result["rule"], result["metrics"]
        known = fixed(run, rule)
        weights = [layer[:-1] for layer in load_learned(run, rule).weights]
        inputs = [bitmap(run, rule, "event/0"), bitmap(run, rule, "event/1")]
        n_samples, n_steps = inputs[0].shape[:2]
        effective = sum(int((x @ (w != 0).astype(int)).sum()) for x, w in zip(inputs, weights, strict=True))
        assert metrics["SynapticOperations"] == {
            "Effective_MACs": 0.0,
            "Effective_ACs": effective / n_samples,
            "Dense": float(n_steps * sum(w.size for w in weights)),
        }
        assert 0 < effective < metrics["SynapticOperations"]["Dense"] * n_samples
        assert result["n_recorded"] == n_samples == 4
        assert result["n_samples"] == report_of(run)["task"]["n_test"]
        zeros = sum(int((w == 0).sum()) for w in weights) / sum(w.size for w in weights)
        assert metrics["ConnectionSparsity"] == round(zeros, 4)
        with h5py.File(run / "activity.h5") as file:
            fields = list(file.attrs["fields"])
            spikes = file[rule]["test/totals"][0, :, 0, fields.index("spikes")].sum()
            n_test = int(file[rule]["test/n_samples"][0])
        assert metrics["ActivationSparsity"] == pytest.approx(1 - spikes / (n_test * n_steps * 12), rel=1e-12)
        assert metrics["ClassificationAccuracy"] == known["accuracy"]["test"]
        assert metrics["Footprint"] * 8 == known["footprint_bits"]["synapse"] + known["footprint_bits"]["neuron"]
        assert metrics["ParameterCount"] == report_of(run)["network"]["n_weights"]
        assert {name for name, value in metrics.items() if value is None} == set(result["null"])
        assert set(result["null"]) == {"MembraneUpdates", "NeuronOperations"}
        assert result["chip"]["learning"]["energy_pj"] == known["per_sample"]["energy_pj"]["total"]
        assert (
            result["chip"]["inference"]["memory_accesses"] == known["per_sample_inference"]["totals"]["memory_accesses"]
        )


def test_without_recorded_samples_a_metric_is_null_with_its_reason(call: Command, run: Path, folder: Path) -> None:
    with h5py.File(run / "activity.h5", "a") as file:
        for rule in RULES:
            del file[rule]["test_subset"]
    metrics = json.loads(call("report", "run", "--format", "neurobench").out)["results"][0]
    assert metrics["metrics"]["SynapticOperations"] is None
    assert "activity_samples = 0" in metrics["null"]["SynapticOperations"]
    assert metrics["n_recorded"] == 0
    assert call("report", "run", "--format", "sanafe", "--out", "out").code == 0  # it goes through its sample anew


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_goes_to_standard_output_or_the_same_bytes_to_a_file(
    name: str, call: Command, run: Path, folder: Path
) -> None:
    before = contents(run)
    shown = call("report", "run", "--format", name)
    assert (shown.code, shown.err) == (0, "")
    assert call("report", "run", "--format", name, "--out", "file").out == ""
    assert (folder / "file").read_text(encoding="utf-8") == shown.out
    for rule in RULES:
        assert rule in shown.out
    assert contents(run) == before


@pytest.mark.parametrize("name", [name for name, entry in FORMATS.items() if entry.is_folder])
def test_a_folder_has_the_same_bytes_every_time(name: str, call: Command, run: Path, folder: Path) -> None:
    (folder / "second").mkdir()
    assert call("report", "run", "--format", name, "--out", "first").code == 0
    assert call("report", "run", "--format", name, "--out", "second").code == 0
    assert contents(folder / "first") == contents(folder / "second") != {}


def test_formats_of_another_chip_have_its_numbers(call: Command, run: Path) -> None:
    again = json.loads(call("report", "run", "--chip", "ottt-mesh-28nm", "--format", "json").out)
    rows = csv.DictReader(io.StringIO(call("report", "run", "--chip", "ottt-mesh-28nm", "--format", "csv").out))
    energies = {row["rule"]: float(row["energy_pj"]) for row in rows if row["precision"] == "fixed"}
    assert energies == {
        result["rule"]: result["per_sample"]["energy_pj"]["total"]
        for result in again["results"]
        if result["precision"] == "fixed"
    }


def test_the_page_of_a_run_is_its_report_html_without_the_command(call: Command, run: Path) -> None:
    page, written = call("report", "run", "--format", "html").out, (run / "report.html").read_text(encoding="utf-8")
    for rule in RULES:
        assert page.count(rule) == written.count(rule)


def test_two_runs_side_by_side_in_every_format(call: Command, run: Path, folder: Path) -> None:
    shutil.copytree(run, folder / "other")
    report = report_of(run)
    report["experiment"]["run"]["seed"] = 7
    (folder / "other" / "report.json").write_text(json.dumps(report), encoding="utf-8")
    content = json.loads(call("report", "run", "other", "--compare", "--format", "json").out)
    assert content["differs"] == {"run.seed": {"run": 1, "other": 7}}
    assert [(row["run"], row["rule"]) for row in content["rows"]] == [
        (r, rule) for r in ("run", "other") for rule in RULES
    ]
    assert {row["energy_pj_over_first"] for row in content["rows"]} == {1.0}
    for name, entry in FORMATS.items():
        done = call("report", "run", "other", "--compare", "--format", name)
        if entry.comparison is None:
            assert "with --compare allowed are text, json, csv, markdown, latex, html" in done.sentence()
        else:
            assert (done.code, done.err) == (0, "")
            assert "other" in done.out and "seed" in done.out
    again = call("report", "run", "other", "--compare", "--format", "json", "--chip", "ottt-mesh-28nm")
    assert {one["chip"] for one in json.loads(again.out)["runs"]} == {"ottt-mesh-28nm"}


def test_bad_input_ends_in_one_sentence(call: Command, run: Path, folder: Path) -> None:
    shutil.copytree(run, folder / "other")
    (folder / "full").mkdir()
    (folder / "full" / "file").write_text("x", encoding="utf-8")

    def sentence(*words: str) -> str:
        return call("report", *words).sentence()

    assert "give one run, or --compare" in sentence("run", "other")
    assert "two runs or more" in sentence("run", "--compare")
    assert "given twice" in sentence("run", "run", "--compare")
    assert "is not a run directory" in sentence("run", "nowhere", "--compare")
    assert "allowed are text, json, csv" in sentence("run", "--format", "pdf")
    assert "is several files; give --out a new or empty folder" in sentence("run", "--format", "accelergy")
    assert "new or empty folder" in sentence("run", "--format", "accelergy", "--out", "full")
    assert "new or empty folder" in sentence("run", "--format", "accelergy", "--out", "full/file")
    assert "lies in the run directory" in sentence("run", "--format", "sanafe", "--out", "run/new")
    assert "lies in the run directory" in sentence("run", "other", "--compare", "--out", "other/new")
    assert "--sample does not go with --format csv" in sentence("run", "--format", "csv", "--sample", "0")
    assert "--split does not go with --format csv" in sentence("run", "--format", "csv", "--split", "test")
    assert "known are" in sentence("run", "--format", "neurobench", "--chip", "abacus")
    (run / "checkpoint.h5").unlink()
    assert "checkpoint.h5" in sentence("run", "--format", "neurobench")
    assert not (folder / "new").exists()
    assert contents(folder / "full") == {"file": b"x"}


def test_the_help_names_every_format() -> None:
    assert [name for name in FORMATS if name not in FORMAT_HELP] == []
