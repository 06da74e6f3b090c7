"""Do counts and tables, added up as Accelergy adds them, give the energy of the report, bit for bit?"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from exported_runs import CASES, finished_runs
from off_chip_run import RULES, off_chip_run

from neurochip.action_records import action_records
from neurochip.report.accelergy import accelergy_files
from neurochip.repricing import load_run, reprice

PASSES = ("per_sample", "per_sample_inference")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """Finished runs by network, and one with its weights in DRAM."""
    folder = tmp_path_factory.getbasetemp()
    return {**finished_runs(folder), "dram": off_chip_run(folder)}


def accelergy_energies(counts: str, tables: str) -> dict[str, float]:
    """What Accelergy 0.4 computes from the two files: per component, and "Total", in its order of operations."""
    ert, design = yaml.safe_load(tables)["ERT"], yaml.safe_load(counts)["action_counts"]
    assert (ert["version"], design["version"]) == (0.3, 0.2)
    by_name = {table["name"]: table["actions"] for table in ert["tables"]}
    found: dict[str, float] = {}
    total: float = 0
    (tree,) = design["subtree"]
    for component in tree["local"]:
        energy: float = 0
        for action in component["action_counts"]:
            entries = [one for one in by_name[f"{tree['name']}.{component['name']}"] if one["name"] == action["name"]]
            asked = action.get("arguments", {})
            matching = [one for one in entries if all(one["arguments"][key] == asked[key] for key in asked)]
            assert len(matching) == 1  # Accelergy takes the first
            energy = energy + matching[0]["energy"] * action["counts"]
        found[component["name"]] = energy
        total += energy
    return found | {"Total": total}


def energy_in_another_order(counts: str, tables: str) -> float:
    """Every count times its energy added to one sum, in the order of the file."""
    tree, total = yaml.safe_load(counts)["action_counts"]["subtree"][0], 0.0
    energies = {
        (table["name"], one["name"], *one["arguments"].items()): one["energy"]
        for table in yaml.safe_load(tables)["ERT"]["tables"]
        for one in table["actions"]
    }
    for component in tree["local"]:
        for action in component["action_counts"]:
            key = (f"{tree['name']}.{component['name']}", action["name"], *action.get("arguments", {}).items())
            total += energies[key] * action["counts"]
    return total


def energies_of(pass_: Mapping[str, Any]) -> dict[str, float]:
    """The same by report.json."""
    ours = pass_["energy_pj"]
    whole = {"clock": ours["clock"], "leakage": ours["leakage"], "Total": ours["total"]}
    return {**ours["by_memory"], **ours["by_operation"], **whole}


def check_every_entry(directory: Path, chip: str | None, report: Mapping[str, Any]) -> int:
    """Every component and the total of every rule and pass; returns how many passes there were."""
    files = accelergy_files(action_records(directory, chip))
    n_passes = 0
    for result in report["results"]:
        for name in PASSES:
            if result["precision"] == "fixed" and result[name] is not None:
                folder = f"{result['rule']}/{name}"
                found = accelergy_energies(files[f"{folder}/action_counts.yaml"], files[f"{folder}/ERT.yaml"])
                assert found == energies_of(result[name]), folder
                check_what_the_file_says(files[f"{folder}/action_counts.yaml"], found["Total"])
                n_passes += 1
    assert len(files) == 2 * n_passes
    return n_passes


def check_what_the_file_says(counts: str, total_pj: float) -> None:
    """The second comment has the total, and the order in which it is one."""
    comment = counts.splitlines()[1]
    assert "sum per component, then over components in the order of the file" in comment
    assert float(comment.removesuffix(" pJ").rsplit(" ", 1)[1]) == total_pj


def report_of(directory: Path) -> dict[str, Any]:
    report: dict[str, Any] = json.loads((directory / "report.json").read_text(encoding="utf-8"))
    return report


@pytest.mark.parametrize("network", ["dense", "conv", "dram"])
def test_counts_times_tables_are_the_energy_of_the_report_to_the_last_bit(
    network: str, runs: Mapping[str, Path]
) -> None:
    n_rules = len(RULES) if network == "dram" else sum(1 for case in CASES if case[0] == network)
    assert check_every_entry(runs[network], None, report_of(runs[network])) == n_rules * len(PASSES)


def test_one_sum_over_all_entries_may_differ_in_the_last_place_only(runs: Mapping[str, Path]) -> None:
    totals = []
    for name in ("dense", "conv", "dram"):
        files, report = accelergy_files(action_records(runs[name], None)), report_of(runs[name])
        for result in report["results"]:
            if result["precision"] == "fixed":
                folder = f"{result['rule']}/per_sample"
                found = energy_in_another_order(files[f"{folder}/action_counts.yaml"], files[f"{folder}/ERT.yaml"])
                totals.append((found, result["per_sample"]["energy_pj"]["total"]))
    assert all(abs(found - total) <= 1e-15 * total for found, total in totals)
    assert any(found != total for found, total in totals)  # why the order has to be said


@pytest.mark.parametrize(
    ("network", "chip"), [("dense", "ottt-core-28nm"), ("conv", "ottt-core-28nm"), ("dense", "ottt-mesh-28nm")]
)
def test_on_another_chip_they_are_the_energy_of_the_report_on_that_chip(
    network: str, chip: str, runs: Mapping[str, Path]
) -> None:
    assert check_every_entry(runs[network], chip, reprice(load_run(runs[network]), chip)) > 0


def test_words_of_another_width_are_in_the_counts_and_in_the_report_alike(
    runs: Mapping[str, Path], tmp_path: Path
) -> None:
    chip = tmp_path / "narrow.toml"
    text = (runs["dram"].parent / "dram.toml").read_text(encoding="utf-8")
    chip.write_text(text.replace("\nlanes = 16", "\nlanes = 3").replace("trace_lanes = 16", "trace_lanes = 5"))
    assert check_every_entry(runs["dram"], str(chip), reprice(load_run(runs["dram"]), str(chip))) > 0


def test_the_weights_of_the_run_in_dram_are_read_there(runs: Mapping[str, Path]) -> None:
    for result in report_of(runs["dram"])["results"]:
        if result["precision"] == "fixed":
            memories = result["per_sample_inference"]["energy_pj"]["by_memory"]
            assert memories["dram"] > 0 and memories.get("synapse", 0) == 0
