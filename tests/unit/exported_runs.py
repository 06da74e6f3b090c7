"""Finished runs of dense and convolutional networks under several rules, for the tests of what they export."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import tiny_experiment as tiny

RULES = ["infer", "ottt-o", "bptt", "ottt-local", "e-prop"]
DENSE: dict[str, Any] = {"learning__momentum_shift": 2, "learning__halve_every": 1, "precision__weight": {"bits": 6}}
CONV: dict[str, Any] = {
    "network__layers": [
        {"kind": "conv2d", "channels": 4, "kernel": 2, "groups": 2, "padding": 1, "spike_scale": 2.0},
        {"kind": "avgpool", "kernel": 2},
        {"kind": "dense", "neurons": 18, "bias": False},
        {"kind": "dense", "neurons": 5, "recurrent": True},
        {"kind": "readout", "leak_shift": 2},
    ],
    "precision__weight": {"bits": 11, "rounding": "nearest"},
    "precision__event": {"bits": 3},
    "task__repeat": "count",
    "learning__standardise_every": 0,
}
# Synaptic currents. e-prop filters traces by the leak of the readout, and those of a current have two leaks already.
CURRENT: dict[str, Any] = {
    "network__layers": [
        {"kind": "dense", "neurons": 11, "recurrent": True, "current_leak_shift": 1, "threshold": 0.5},
        {"kind": "dense", "neurons": 6, "leak_shift": 2, "current_leak_constant": 40000, "threshold": 0.5},
        {"kind": "readout", "leak_shift": 2, "current_leak_constant": 50000},
    ],
    "precision__weight": {"bits": 11, "rounding": "nearest"},
}
NETWORKS = {"dense": DENSE, "conv": CONV, "current": CURRENT}
RULES_OF = {network: [rule for rule in RULES if (network, rule) != ("current", "e-prop")] for network in NETWORKS}
CASES = [(network, rule) for network in NETWORKS for rule in RULES_OF[network]]


@cache
def finished_runs(folder: Path) -> Mapping[str, Path]:
    """Finished runs of all rules, by network; made once for every folder."""
    folder = folder / "exported_runs"
    folder.mkdir()
    tiny.write_tiny_task(folder)
    for name, changes in NETWORKS.items():
        tiny.run_tiny(folder, folder / name, RULES_OF[name], **changes)
    return {name: folder / name for name in NETWORKS}
