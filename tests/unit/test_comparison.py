"""Does a report hold what was run: the same bytes from the same experiment, and numbers that follow from each other?"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import jsonschema
import numpy as np
import pytest
import tiny_experiment as tiny

from neurochip import experiment as story
from neurochip.activity import Activity
from neurochip.chip import load_chip
from neurochip.errors import UserError
from neurochip.experiment import Report
from neurochip.fixed_point import QFormat, quantise
from neurochip.microarch.interface import Gates
from neurochip.network import calibrate
from neurochip.network.resolve import Lanes, core_spec
from neurochip.network.shape import Fracs, layer_shapes
from neurochip.pricing import RATIO_KEYS, Pricer
from neurochip.report import load_schema
from neurochip.rules.presets import find_rule
from neurochip.run_directory import read_activity, read_experiment

CHIP_TOO_SMALL = r"memories\.\w+ holds \d+ words .* but \d+ are needed"


Start = Callable[..., Report]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tiny")
    tiny.write_tiny_task(path)
    return path


@pytest.fixture
def start(folder: Path, tmp_path: Path) -> Start:
    """Run the tiny experiment in a new directory."""

    def run(*arguments: Any, **changes: Any) -> Report:
        report: Report = tiny.run_tiny(folder, tmp_path / f"run{len(list(tmp_path.iterdir()))}", *arguments, **changes)
        return report

    return run


@pytest.fixture(scope="module")
def every_rule(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Report:
    report: Report = tiny.run_tiny(folder, tmp_path_factory.mktemp("runs") / "every")
    return report


def report_bytes(report: Report) -> bytes:
    return (report.directory / "report.json").read_bytes()


def test_the_same_experiment_gives_the_same_bytes(every_rule: Report, start: Start) -> None:
    assert report_bytes(start(command="another command")) == report_bytes(every_rule)


def test_golden_core_and_tick_model_give_the_same_bytes_when_all_samples_are_recorded(start: Start) -> None:
    fast, reference = (start(engine=engine, run__activity_samples=1000) for engine in ("fast", "reference"))
    assert report_bytes(reference) == report_bytes(fast)
    costs = fast.result("ottt-o")["per_sample"]
    assert costs["cycles_sampled"] is None
    assert costs["stalls"]["event_wait"] > 0


def test_the_tick_model_counts_all_samples_and_the_estimate_from_few_is_close(every_rule: Report, start: Start) -> None:
    ticked = start(engine="reference")  # records 4 of 18 samples, as every_rule does
    for rule in tiny.ALL_RULES:
        exact, estimate = (report.result(rule)["per_sample"] for report in (ticked, every_rule))
        assert exact["counts"] == estimate["counts"]
        assert exact["cycles_sampled"] is None
        assert estimate["cycles_sampled"]["n_recorded"] == 4
        assert abs(estimate["cycles"] - exact["cycles"]) <= 2 * estimate["cycles_sampled"]["half_width"]
        assert estimate["cycles"] != exact["cycles"]


def test_another_seed_gives_another_report(start: Start) -> None:
    one, other = start(["ottt-o"]), start(["ottt-o"], run__seed=4)
    assert one.result("ottt-o")["per_sample"]["counts"] != other.result("ottt-o")["per_sample"]["counts"]


def test_the_resolved_experiment_gives_the_same_bytes_without_a_calibration(
    every_rule: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibrate, "_float_core", lambda *_: pytest.fail("it calibrated again"))
    resolved = read_experiment(every_rule.directory)
    again = story.compare(resolved, base_dir=Path("/nowhere"), out=tmp_path / "again")
    assert report_bytes(again) == report_bytes(every_rule)


def test_a_report_holds_no_path_of_the_machine_and_no_time(every_rule: Report, folder: Path, start: Start) -> None:
    absolute = start(task__path=str(folder / "tiny.h5"))
    assert report_bytes(absolute) == report_bytes(every_rule)
    text = report_bytes(absolute).decode()
    assert str(folder) not in text
    assert str(absolute.directory) not in text
    assert not re.search(r"\d\d:\d\d:\d\d|20\d\d-\d\d-\d\d", text)


@pytest.mark.parametrize("kind", ["compare", "learn", "infer", "float", "float32 with infer"])
def test_every_kind_of_report_follows_the_schema(kind: str, every_rule: Report, start: Start) -> None:
    reports: dict[str, Callable[[], Report]] = {
        "compare": lambda: every_rule,
        "learn": lambda: start(["ottt-a"], "learn"),
        "infer": lambda: start(["infer"], "learn"),
        "float": lambda: start(["bptt"], "learn", precision="float"),
        "float32 with infer": lambda: start(["infer", "sltt-o"], precision="float32"),
    }
    data = reports[kind]().data
    jsonschema.validate(data, load_schema())
    expected = ["float"] if kind.startswith("float") else ["fixed", "float"]
    rules = data["experiment"]["run"]["rules"]
    assert [(r["rule"], r["precision"]) for r in data["results"]] == [(rule, p) for rule in rules for p in expected]


def stored(report: Report, group: str, folder: Path) -> tuple[Pricer, list[Activity], list[Activity]]:
    """Pricer and activities of one rule, built from experiment.toml and activity.h5 alone."""
    experiment = read_experiment(report.directory)
    precision = experiment.precision
    names = ("weight", "membrane", "trace", "error")
    fracs = Fracs(*(tuple(getattr(precision, name).frac) for name in names), precision.readout.frac)
    chip = load_chip(experiment.chip.name)
    spec = core_spec(experiment, find_rule(group), layer_shapes(experiment, 50, 3), fracs,
                     Lanes(chip.lanes, chip.trace_lanes))  # fmt: skip
    with h5py.File(report.directory / "activity.h5") as file:

        def read(part: str) -> list[Activity]:
            item, attrs = file[group][part], file[group][part].attrs
            rest = bool(attrs["learning"]), int(attrs["synapse_lanes"]), int(attrs["trace_lanes"])
            columns = zip(item["totals"], item["n_samples"], item["n_applies"], strict=True)
            return [Activity(totals, int(n), int(a), *rest) for totals, n, a in columns]

        return Pricer(chip, Gates(), spec), read("train"), read("test")


@pytest.mark.parametrize("rule", tiny.ALL_RULES)
def test_the_stored_activity_gives_the_costs_of_the_report(rule: str, every_rule: Report, folder: Path) -> None:
    pricer, train, test = stored(every_rule, rule, folder)
    result = every_rule.result(rule)
    assert len(train) == (1 if rule == "infer" else 2)
    assert [a.n_samples for a in (*train, *test)] == [18] * len(train) + [9]
    recorded = read_activity(every_rule.directory)[rule]
    assert result["per_sample"] == pricer.per_sample(train[-1], recorded.subset)
    assert result["per_sample_inference"] == pricer.per_sample(test[0], recorded.test_subset)
    assert result["footprint_bits"] == pricer.footprint()
    if rule != "infer":
        assert result["per_sample"] != pricer.per_sample(train[0])
        spent = sum(pricer.energy(pricer.count(activity)).total_pj for activity in train) * 1e-6
        reached = result["energy_to_accuracy"]
        first = next((e["epoch"] for e in result["accuracy"]["per_epoch"] if e["validation"] >= 0.9), None)
        assert reached["epoch"] == first
        assert reached["energy_uj"] is None or reached["energy_uj"] <= spent


def test_the_energy_to_a_target_reached_at_once_is_that_of_the_first_epoch(start: Start, folder: Path) -> None:
    report = start(["ottt-o", "bptt"], run__target_accuracy=1e-9)
    for rule in ("ottt-o", "bptt"):
        pricer, train, _ = stored(report, rule, folder)
        subset = read_activity(report.directory)[rule].subset
        first = pricer.energy(pricer.count(train[0], subset)).total_pj * 1e-6
        assert report.result(rule)["energy_to_accuracy"] == {"target": 1e-9, "energy_uj": first, "epoch": 1}


def test_as_many_samples_as_asked_are_recorded_for_fixed_point_alone(every_rule: Report) -> None:
    with h5py.File(every_rule.directory / "activity.h5") as file:
        assert sorted(file) == sorted(tiny.ALL_RULES)
        for rule in tiny.ALL_RULES:
            assert file[rule]["subset/sample_indices"].shape == (4,)
            assert file[rule]["subset/event/0"].shape[:2] == (4, 4)


def quotient(one: dict[str, Any], base: dict[str, Any], key: str) -> float | None:
    values = [
        {"energy": r["per_sample"]["energy_pj"]["total"], "latency": r["per_sample"]["latency_us"],
         "footprint": r["footprint_bits"]["total"], **r["per_sample"]["totals"]}[key]
        for r in (one, base)
    ]  # fmt: skip
    return values[0] / values[1] if values[1] else None


BASELINES = {"infer": None, "sltt-o": "bptt-o", "ottt-o": "bptt-o", "bptt-o": "bptt-o", "sltt": "bptt",
             "ottt-a": "bptt", "bptt": "bptt"}  # fmt: skip


@pytest.mark.parametrize("rule", BASELINES)
def test_ratios_are_to_the_bptt_of_the_group_and_to_inference(rule: str, every_rule: Report) -> None:
    result, baseline = every_rule.result(rule), BASELINES[rule]
    if baseline is None:
        assert result["ratio_to_bptt"] is None
        assert result["ratio_to_inference"] is None
        return
    for ratio, base in (("ratio_to_bptt", baseline), ("ratio_to_inference", "infer")):
        expected = {key: quotient(result, every_rule.result(base), key) for key in RATIO_KEYS}
        assert result[ratio] == {"baseline": base, **expected}


def test_a_rule_alone_has_no_bptt_to_compare_with_and_is_its_own_inference(start: Start) -> None:
    result = start(["ottt-o"], "learn").result("ottt-o")
    assert result["ratio_to_bptt"] is None
    ratio = result["ratio_to_inference"]
    energies = [result[key]["energy_pj"]["total"] for key in ("per_sample", "per_sample_inference")]
    assert (ratio["baseline"], ratio["energy"]) == ("own inference", energies[0] / energies[1])
    bits = result["footprint_bits"]
    assert ratio["footprint"] == bits["total"] / (bits["synapse"] + bits["neuron"])


@pytest.mark.parametrize("rules", [["infer", "bptt"], ["infer", "ottt-o"]], ids=["bptt is run", "bptt is only loaded"])
def test_inference_loads_the_weights_of_the_float_bptt(rules: list[str], start: Start, every_rule: Report) -> None:
    report = start(rules)
    expected = every_rule.result("bptt", "float")["accuracy"]["test"]
    assert report.result("infer", "float")["accuracy"]["test"] == expected
    teacher = "bptt/float" if "bptt" in rules else "teacher"
    formats = read_experiment(report.directory).precision.weight
    for index, frac in enumerate(formats.frac):
        real = weight(report, teacher, index)
        assert np.array_equal(weight(report, "infer/float", index), real)
        assert np.array_equal(weight(report, "infer", index), quantise(real, QFormat(formats.bits, frac, True)))


def weight(report: Report, group: str, layer: int) -> np.ndarray:
    with h5py.File(report.directory / "checkpoint.h5") as file:
        return np.array(file[f"{group}/layers/{layer}/weight"])


@pytest.mark.parametrize("gate", ["gate_zero_trace", "gate_zero_error", "gate_zero_surrogate"])
def test_a_gate_that_is_off_costs_more_and_changes_no_accuracy(gate: str, every_rule: Report, start: Start) -> None:
    report = start(["ottt-o", "bptt"], **{f"chip__{gate}": False})
    for rule in ("ottt-o", "bptt"):
        on, off = every_rule.result(rule), report.result(rule)
        assert off["accuracy"] == on["accuracy"]
        assert off["numerics"] == on["numerics"]
        assert off["per_sample_inference"] == on["per_sample_inference"]
        assert off["per_sample"]["energy_pj"]["total"] > on["per_sample"]["energy_pj"]["total"]
        for index in range(3):
            assert np.array_equal(weight(report, rule, index), weight(every_rule, rule, index))


WIDE = [{"kind": "dense", "neurons": 3000}, {"kind": "dense", "neurons": 300}, {"kind": "readout"}]


def test_a_network_too_large_for_the_chip_is_refused_before_anything_is_written(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=CHIP_TOO_SMALL):
        tiny.run_tiny(folder, tmp_path / "run", ["infer", "ottt-o"], network__layers=WIDE)
    assert list(tmp_path.iterdir()) == []


def test_a_chip_that_grows_says_so(start: Start) -> None:
    changes = {"network__layers": WIDE, "chip__overflow": "grow", "learning__epochs": 1, "run__activity_samples": 0}
    report = start(["ottt-o"], "learn", **changes)
    assert report.data["chip"]["overflow"] == "grow"
    assert any(
        re.match(r"ottt-o: the synapse memory was enlarged by \d+ banks", n) for n in report.data["chip"]["notes"]
    )
    assert report.result("ottt-o")["per_sample"]["energy_pj"]["leakage"] > 0


def test_a_rule_that_is_not_run_cannot_refuse_the_report(start: Start) -> None:
    """bptt-o is illegal here: an exact reset path needs a soft reset."""
    layers = [{"kind": "dense", "neurons": 6, "reset": "zero"}, {"kind": "readout"}]
    changes = {"network__layers": layers, "learning__reset_path": "exact"}
    assert start(["ottt-o"], "learn", **changes).data["history"]["steps_history_equals_weights"] > 0
    with pytest.raises(UserError, match="reset_path"):
        start(["bptt-o"], "learn", **changes)


def test_a_batch_holds_for_rules_that_accumulate_and_a_note_says_so(start: Start, every_rule: Report) -> None:
    report = start(["ottt-o", "bptt-o", "bptt"], learning__batch=4)
    for rule in ("ottt-o", "bptt-o"):
        assert report.result(rule)["per_sample"] == every_rule.result(rule)["per_sample"]
    assert report.result("bptt")["per_sample"] != every_rule.result("bptt")["per_sample"]
    assert [note for note in report.data["notes"] if note.startswith("ottt-o, bptt-o: batch 1")]
    assert not [note for note in every_rule.data["notes"] if "batch 1" in note]
