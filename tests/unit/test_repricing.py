"""Does a saved run, priced again, hold what a run on that chip would have reported?"""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import jsonschema
import numpy as np
import pytest
import tiny_experiment as tiny

from neurochip._data import data_folder
from neurochip.activity import SampleTrace
from neurochip.chip import load_chip
from neurochip.errors import UserError
from neurochip.experiment import Report
from neurochip.intervals import half_widths, half_widths_of_ratio, half_widths_of_samples
from neurochip.microarch.interface import ALL_GATES
from neurochip.microarch.replay import activities_of_samples, at_word_widths
from neurochip.network.resolve import Lanes
from neurochip.pricing import Pricer
from neurochip.report import load_schema
from neurochip.repricing import SavedRun, load_run, reprice
from neurochip.setup import chip_of

CHIP = "ottt-core-28nm"
ALL = 99  # more recorded samples than there are
IMMEDIATE = ["infer", "sltt-o", "ottt-o", "bptt-o"]
OF_THE_CHIP = ("footprint_bits", "per_sample", "per_sample_inference", "numerics", "formats", "ratio_to_bptt",
               "ratio_to_inference", "energy_to_accuracy")  # fmt: skip

MakeChip = Callable[..., Path]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tiny")
    tiny.write_tiny_task(path)
    return path


@pytest.fixture(scope="module")
def complete(folder: Path) -> Report:
    """A run of every rule with all samples recorded."""
    return tiny.run_tiny(folder, folder / "complete", run__activity_samples=ALL, run__target_accuracy=0.4)


@pytest.fixture(scope="module")
def partial(folder: Path) -> Report:
    """The same with few samples recorded."""
    return tiny.run_tiny(folder, folder / "partial", run__activity_samples=5)


@pytest.fixture
def make_chip(tmp_path: Path) -> MakeChip:
    """Write the default chip with some lines changed, key -> value, and return its path."""

    def make(**changes: Any) -> Path:
        lines = (data_folder("hw_models") / "chips" / f"{CHIP}.toml").read_text(encoding="utf-8").splitlines()
        for key, value in changes.items():
            at = next(number for number, line in enumerate(lines) if line.startswith(f"{key} ="))  # not in a table
            lines[at] = f"{key} = {json.dumps(value)}"
        path = tmp_path / "other.toml"
        path.write_text("\n".join(lines), encoding="utf-8")
        return path

    return make


def contents(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in path.iterdir()}


def chip_entries(result: dict[str, Any]) -> dict[str, Any]:
    return {key: result.get(key) for key in OF_THE_CHIP}


def pricer_of(run: SavedRun, rule: str, chip_path: Path) -> Pricer:
    table = run.experiment.chip.model_copy(update={"name": str(chip_path)})
    chip = chip_of(run.experiment.model_copy(update={"chip": table}))
    return Pricer(chip, ALL_GATES, run.spec(rule, Lanes(chip.lanes, chip.trace_lanes)))


@pytest.mark.parametrize("report", ["complete", "partial"])
def test_the_same_chip_gives_the_same_numbers_and_leaves_the_run_as_it_is(
    report: str, request: pytest.FixtureRequest
) -> None:
    saved: Report = request.getfixturevalue(report)
    before = contents(saved.directory)
    again = reprice(load_run(saved.directory), CHIP)
    assert contents(saved.directory) == before
    assert {entry["method"] for entry in again["repriced"]["results"]} == {"totals"}
    for key in again.keys() - {"notes", "repriced"}:
        assert again[key] == saved.data[key], key
    assert again.keys() - saved.data.keys() == {"repriced"}


@pytest.mark.parametrize(("lanes", "trace_lanes"), [(3, 5), (1, 1), (16, 2), (32, 16)])
def test_other_lanes_equal_a_run_on_that_chip_where_all_samples_are_recorded(
    lanes: int, trace_lanes: int, complete: Report, folder: Path, tmp_path: Path, make_chip: MakeChip
) -> None:
    chip = make_chip(lanes=lanes, trace_lanes=trace_lanes)
    again = reprice(load_run(complete.directory), str(chip))
    direct = tiny.run_tiny(folder, tmp_path / "direct", IMMEDIATE, chip__name=str(chip), run__activity_samples=ALL,
                           run__target_accuracy=0.4)  # fmt: skip
    found = {result["rule"]: result for result in again["results"] if result["precision"] == "fixed"}
    some_epoch = False
    for rule in IMMEDIATE:
        expected, result = direct.result(rule), found[rule]
        some_epoch |= expected["energy_to_accuracy"] is not None and expected["energy_to_accuracy"]["epoch"] == 1
        # Only the last epoch is recorded: energy of earlier ones is estimated.
        for key in OF_THE_CHIP[:-1]:
            assert result[key] == expected[key], (rule, key)
    assert some_epoch
    for key in ("chip", "task", "network"):
        assert again[key] == direct.data[key]
    assert again["experiment"]["chip"] == direct.data["experiment"]["chip"]


def test_energy_to_accuracy_on_other_lanes_is_near_that_of_a_run_on_that_chip(
    complete: Report, folder: Path, tmp_path: Path, make_chip: MakeChip
) -> None:
    chip = make_chip(lanes=3, trace_lanes=5)
    again = reprice(load_run(complete.directory), str(chip))
    direct = tiny.run_tiny(folder, tmp_path / "direct", ["ottt-o", "bptt-o"], chip__name=str(chip),
                           run__activity_samples=ALL, run__target_accuracy=0.4)  # fmt: skip
    found = {result["rule"]: result for result in again["results"] if result["precision"] == "fixed"}
    for rule in ("ottt-o", "bptt-o"):
        here, there = found[rule]["energy_to_accuracy"], direct.result(rule)["energy_to_accuracy"]
        assert here["epoch"] == there["epoch"] is not None
        assert here["energy_uj"] == pytest.approx(there["energy_uj"], rel=0.02)


def test_gradient_words_of_other_lanes_are_marked_as_approximate_and_near(
    complete: Report, folder: Path, tmp_path: Path, make_chip: MakeChip
) -> None:
    chip = make_chip(lanes=3, trace_lanes=5)
    again = reprice(load_run(complete.directory), str(chip))
    direct = tiny.run_tiny(folder, tmp_path / "direct", ["ottt-a", "bptt"], chip__name=str(chip),
                           run__activity_samples=ALL)  # fmt: skip
    entries = {entry["rule"]: entry for entry in again["repriced"]["results"]}
    found = {result["rule"]: result for result in again["results"] if result["precision"] == "fixed"}
    for rule in ("ottt-a", "bptt"):
        assert len(entries[rule]["approximate"]) == 1
        here, there = found[rule]["per_sample"], direct.result(rule)["per_sample"]
        assert here["energy_pj"]["total"] == pytest.approx(there["energy_pj"]["total"], rel=0.03)
        assert any(rule in note.partition(":")[0].split(", ") and "approximate" in note for note in again["notes"])
    assert entries["ottt-o"]["approximate"] == []


def test_other_prices_and_clocks_keep_the_counts(partial: Report, make_chip: MakeChip) -> None:
    again = reprice(load_run(partial.directory), str(make_chip(scan_width=8, technology="28nm")))
    for result in again["results"]:
        if result["precision"] == "fixed":
            before = partial.result(result["rule"])
            assert result["per_sample"]["counts"] == before["per_sample"]["counts"]
            if result["rule"] != "infer":
                assert result["per_sample"]["cycles"] > before["per_sample"]["cycles"]
                assert result["per_sample"]["energy_pj"]["total"] > before["per_sample"]["energy_pj"]["total"]


def test_few_recorded_samples_give_an_interval(partial: Report, make_chip: MakeChip) -> None:
    again = reprice(load_run(partial.directory), str(make_chip(lanes=3, trace_lanes=5)))
    jsonschema.validate(again, load_schema())
    entries = {entry["rule"]: entry for entry in again["repriced"]["results"]}
    assert entries["infer"]["method"] == "totals"
    for rule in ("ottt-o", "bptt"):
        entry = entries[rule]
        assert (entry["method"], entry["n_recorded"], entry["n_samples"]) == ("ratio", 5, tiny.SPLITS["train"])
        assert all(width > 0 for width in entry["half_width"].values())
        (result,) = (r for r in again["results"] if (r["rule"], r["precision"]) == (rule, "fixed"))
        sampled = result["per_sample"]["cycles_sampled"]
        assert sampled == {"n_recorded": 5, "n_samples": 18, "half_width": entry["half_width"]["cycles"]}
        share = entry["half_width"]["energy_pj"] / result["per_sample"]["energy_pj"]["total"]
        (note,) = (note for note in again["notes"] if rule in note.partition(":")[0].split(", "))
        assert "5 recorded of 18 samples" in note
        assert f"±{100 * share:.2g} % ({rule})" in note
    # What is true of several rules is said once, and the clocks of the first chip are not those of this one.
    assert sum("recorded of 18 samples" in note for note in again["notes"]) == 2
    assert sum(note.startswith("Cycles and stalls") for note in again["notes"]) == 1


def test_intervals_hold_the_truth_as_often_as_they_say(complete: Report, make_chip: MakeChip) -> None:
    chip = make_chip(lanes=3, trace_lanes=5)
    run = load_run(complete.directory)
    pricer, recorded = pricer_of(run, "ottt-o", chip), run.recorded_of("ottt-o")
    whole, trace = recorded.epochs[-1], recorded.subset
    assert trace is not None
    truth = pricer.per_sample(at_word_widths(whole, trace, pricer.spec, 3, 5), trace)["energy_pj"]["total"]
    rng = np.random.default_rng(0)
    errors: dict[str, list[float]] = {"ratio": [], "samples": []}
    widths: dict[str, list[float]] = {"ratio": [], "samples": []}
    n_draws = 30
    for _ in range(n_draws):
        chosen = np.sort(rng.choice(len(trace.sample_indices), 6, replace=False))
        few = SampleTrace(trace.sample_indices[chosen], {name: bits[chosen] for name, bits in trace.bitmaps.items()})
        ratio = pricer.per_sample(at_word_widths(whole, few, pricer.spec, 3, 5), few)["energy_pj"]["total"]
        parts = activities_of_samples(few, pricer.spec, 3, 5, True)
        mean = np.mean([pricer.per_sample(*part)["energy_pj"]["total"] for part in parts])
        for name, estimate, interval in (
            ("ratio", ratio, half_widths_of_ratio(pricer, whole, few)),
            ("samples", mean, half_widths_of_samples(pricer, few, whole)),
        ):
            assert interval is not None
            widths[name].append(interval["energy_pj"])
            errors[name].append(float(estimate - truth))
    for name in ("ratio", "samples"):
        assert np.mean(np.abs(errors[name]) <= widths[name]) >= 0.85
        # t = 2.57 for six samples: the half width is as many standard deviations of the estimate.
        assert 1.5 < np.mean(widths[name]) / np.sqrt(np.mean(np.square(errors[name]))) < 4
    assert np.mean(widths["ratio"]) < 0.5 * np.mean(widths["samples"])


def test_half_widths_follow_students_t() -> None:
    values = [
        dict.fromkeys(("energy_pj", "cycles", "latency_us", "memory_accesses", "bits_moved"), x) for x in (1.0, 3.0)
    ]
    assert half_widths(values, 4)["cycles"] == pytest.approx(12.7062 * np.sqrt(2 / 2 * (1 - 2 / 4)))
    assert half_widths(values, 2)["cycles"] == 0.0
    assert half_widths(values[:1], 2) is None


def test_one_recorded_sample_gives_no_interval(folder: Path, tmp_path: Path, make_chip: MakeChip) -> None:
    run = tiny.run_tiny(folder, tmp_path / "one", ["ottt-o"], run__activity_samples=1)
    again = reprice(load_run(run.directory), str(make_chip(lanes=3)))
    (entry,) = again["repriced"]["results"]
    assert entry["half_width"] is None
    assert again["results"][0]["per_sample"]["cycles_sampled"]["half_width"] is None
    jsonschema.validate(again, load_schema())


def test_no_recorded_sample_prices_the_same_words_and_refuses_others(
    folder: Path, tmp_path: Path, make_chip: MakeChip
) -> None:
    run = tiny.run_tiny(folder, tmp_path / "none", ["infer", "ottt-o"], run__activity_samples=0)
    again = reprice(load_run(run.directory), CHIP)
    assert [chip_entries(r) for r in again["results"]] == [chip_entries(r) for r in run.results]
    other = reprice(load_run(run.directory), str(make_chip(lanes=3)))
    jsonschema.validate(other, load_schema())
    costs = {r["rule"]: r for r in other["results"] if r["precision"] == "fixed"}
    assert costs["infer"]["per_sample"]["counts"]["ac"] > 0
    assert "activity_samples" in costs["ottt-o"]["refused"]
    assert costs["ottt-o"]["per_sample"] is None
    assert costs["ottt-o"]["ratio_to_inference"] is None
    assert costs["ottt-o"]["numerics"] == run.result("ottt-o")["numerics"]
    assert any(note.startswith("ottt-o has no cost on this chip: ") for note in other["notes"])


def test_a_chip_that_no_rule_fits_is_refused(partial: Report, make_chip: MakeChip) -> None:
    chip = make_chip()
    chip.write_text(chip.read_text().replace("banks = 32\nbank_words = 1024", "banks = 1\nbank_words = 2"))
    with pytest.raises(UserError, match=r"no rule of this run can be priced again: .*memories\.synapse"):
        reprice(load_run(partial.directory), str(chip))


def test_another_microarchitecture_gives_means_over_the_recorded_samples(folder: Path, tmp_path: Path) -> None:
    layers = [{"kind": "dense", "neurons": 9, "bias": False}, {"kind": "readout", "bias": False}]
    run = tiny.run_tiny(folder, tmp_path / "small", ["infer", "bptt"], network__layers=layers, run__activity_samples=5)
    again = reprice(load_run(run.directory), "reckon-28nm")
    jsonschema.validate(again, load_schema())
    costs = {r["rule"]: r for r in again["results"] if r["precision"] == "fixed"}
    assert "unroll" in costs["bptt"]["refused"]
    (entry,) = again["repriced"]["results"]
    assert (entry["rule"], entry["method"], entry["n_recorded"]) == ("infer", "samples", 5)
    assert entry["half_width"]["energy_pj"] > 0
    assert entry["inference_half_width"]["energy_pj"] > 0
    # ReckOn reads a word of weights per event and per block of neurons.
    recorded = load_run(run.directory).recorded_of("infer")
    assert recorded.subset is not None and recorded.test_subset is not None
    for key, trace in (("per_sample", recorded.subset), ("per_sample_inference", recorded.test_subset)):
        events = trace.bitmaps["event/0"].sum() + 2 * trace.bitmaps["event/1"].sum()
        assert costs["infer"][key]["counts"]["synapse_read"] == pytest.approx(events / 5)


def test_a_chip_with_a_fit_to_silicon_gives_both_figures_and_never_adds_them(folder: Path, tmp_path: Path) -> None:
    layers = [{"kind": "dense", "neurons": 9, "bias": False}, {"kind": "readout", "bias": False}]
    run = tiny.run_tiny(folder, tmp_path / "fit", ["ottt-o"], network__layers=layers, run__activity_samples=5)
    again = reprice(load_run(run.directory), "reckon-28nm")
    jsonschema.validate(again, load_schema())
    (cost,) = (r for r in again["results"] if r["precision"] == "fixed")
    fit = load_chip("reckon-28nm").calibrated
    assert fit is not None
    for key, per_cycle in (("per_sample", fit.learning), ("per_sample_inference", fit.inference)):
        energy = cost[key]["energy_pj"]
        assert energy["calibrated"] == pytest.approx(cost[key]["cycles"] * per_cycle.value)
        parts = [*energy["by_memory"].values(), *energy["by_operation"].values(), energy["clock"], energy["leakage"]]
        assert energy["total"] == pytest.approx(sum(parts))
    assert run.result("ottt-o")["per_sample"]["energy_pj"]["calibrated"] is None


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: (path / "activity.h5").unlink(), r"activity\.h5: there is no such file"),
        (lambda path: (path / "activity.h5").write_bytes(b"not HDF5"), r"activity\.h5: is damaged"),
        (lambda path: (path / "experiment.toml").unlink(), "is not a run directory"),
        (lambda path: (path / "report.json").unlink(), r"report\.json: there is no such file"),
        (lambda path: edit(path, lambda file: file.attrs.__delitem__("fields")), "is damaged"),
        (lambda path: edit(path, lambda file: file.attrs.update(fields=["events"])), "another version"),
        (lambda path: edit(path, lambda file: file.__delitem__("ottt-o")), "has no activity of ottt-o"),
        (lambda path: edit(path, lambda file: file.__delitem__("ottt-o/train/totals")), "is damaged"),
    ],
)
def test_what_is_missing_or_damaged_is_named(
    damage: Callable[[Path], Any], message: str, partial: Report, tmp_path: Path
) -> None:
    copied = tmp_path / "copied"
    shutil.copytree(partial.directory, copied)
    damage(copied)
    with pytest.raises(UserError, match=message):
        reprice(load_run(copied), CHIP)["repriced"]


def edit(path: Path, change: Callable[[Any], Any]) -> None:
    with h5py.File(path / "activity.h5", "a") as file:
        change(file)


def test_a_run_in_real_numbers_has_nothing_to_price(folder: Path, tmp_path: Path) -> None:
    run = tiny.run_tiny(folder, tmp_path / "float", ["ottt-o"], precision__arithmetic="float")
    with pytest.raises(UserError, match="no fixed-point results"):
        load_run(run.directory)


def test_one_rule_alone_is_priced_again(folder: Path, tmp_path: Path) -> None:
    run = tiny.run_tiny(folder, tmp_path / "alone", ["ottt-o"], "learn")
    again = reprice(load_run(run.directory), CHIP)
    expected = copy.deepcopy(run.data["results"])
    assert again["results"] == expected


def test_memories_that_do_not_fit_are_named_and_lie_in_dram(partial: Report, make_chip: MakeChip) -> None:
    chip = make_chip(overflow="dram")
    text = chip.read_text(encoding="utf-8")
    start = text.index("[memories.history]")
    history = text[start:].replace("banks = 4\nbank_words = 1024", "banks = 1\nbank_words = 1")
    chip.write_text(text[:start] + history, encoding="utf-8")
    again = reprice(load_run(partial.directory), str(chip))
    unrolled = {r["rule"] for r in again["results"] if r["precision"] == "fixed" and r["rule"].startswith("bptt")}
    assert set(again["chip"]["notes"]) == {f"{rule}: history in DRAM" for rule in unrolled} != set()
    for result in again["results"]:
        if result["precision"] == "fixed":
            words = result["per_sample"]["counts"]["dram_write"]
            assert (words > 0) == (result["per_sample"]["stalls"]["dram"] > 0) == (result["rule"] in unrolled)
