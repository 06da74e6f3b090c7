"""Does 8-bit on-chip learning work on real event-camera recordings? Three seeds of examples/nmnist4.toml."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

import neurochip

SEEDS = (1, 2, 3)
EXPERIMENT = {
    "task": {"name": "events-h5", "steps": 20},
    "network": {"layers": [{"kind": "dense", "neurons": 128, "leak_shift": 1}, {"kind": "readout"}]},
    "learning": {"rule": "ottt-o", "epochs": 8},
    "precision": {"weight": {"bits": 8, "rounding": "stochastic"}},
}


@pytest.mark.slow
@pytest.mark.recordings
def test_ottt_learns_real_recordings_in_eight_bits(nmnist4_path: Path, tmp_path: Path) -> None:
    task = {**EXPERIMENT["task"], "path": str(nmnist4_path)}
    accuracies = []
    for seed in SEEDS:
        report = neurochip.learn({**EXPERIMENT, "task": task, "run": {"seed": seed}}, out=tmp_path / f"seed{seed}")
        accuracies.append(report.result("ottt-o")["accuracy"]["test"])
    mean, error = np.mean(accuracies), stats.sem(accuracies)
    print(f"\nottt-o 8 bit: {100 * mean:.2f} ± {100 * error:.2f} % {accuracies}")
    assert mean >= 0.955
