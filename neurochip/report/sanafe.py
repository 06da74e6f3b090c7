"""Inference of one sample in the files, names and units of SANA-FE: perf.csv, spikes.csv and run_summary.yaml."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from neurochip.report.csv_format import csv_text
from neurochip.report.yaml_text import yaml_text

SUMS = {  # keys of the summary: those of the steps they sum
    "total_spikes": "spikes",
    "total_messages_sent": "packets",
    "total_neurons_updated": "updated",
    "total_neurons_fired": "fired",
    "sim_time": "time_s",
}


def sanafe_files(records: Mapping[str, Any]) -> dict[str, str]:
    """<rule>/perf.csv, spikes.csv, run_summary.yaml; `records`: as `neurochip.step_records` gives them."""
    files = {}
    for one in records["rules"]:
        files[f"{one['rule']}/perf.csv"] = csv_text([_step(step) for step in one["steps"]])
        files[f"{one['rule']}/spikes.csv"] = _spikes(one["spikes"])
        files[f"{one['rule']}/run_summary.yaml"] = _summary(records, one)
    return files


def _step(step: Mapping[str, Any]) -> dict[str, Any]:
    """A row of perf.csv; seconds and joules as SANA-FE has them."""
    return {
        "timestep": step["step"],
        **{name: step[name] for name in ("fired", "updated", "packets", "hops", "spikes")},
        "sim_time": step["time_s"],
        "total_energy": step["energy_j"],
    }


def _spikes(spikes: Sequence[Sequence[Any]]) -> str:
    lines = [f"{group}.{neuron},{step}" for group, neuron, step in spikes]
    return "\n".join(["neuron,timestep", *lines]) + "\n"


def _summary(records: Mapping[str, Any], one: Mapping[str, Any]) -> str:
    """run_summary.yaml without wall_time: a report holds no durations of the simulation."""
    content = {
        "build_git_version": f"neurochip {records['version']}",
        "timesteps_executed": len(one["steps"]),
        **{key: sum(step[name] for step in one["steps"]) for key, name in SUMS.items()},
        "energy": one["energy_j"],
    }
    what = (
        f"run {records['name']}, rule {one['rule']}, inference of sample {records['sample']} of the "
        f"{records['split']} split on {records['chip']}; seconds and joules; clock and leakage are keys of neurochip"
    )
    return yaml_text(content, [what])
