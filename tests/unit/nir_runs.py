"""Runs on the tiny task that begin with a NIR graph: what the tests of such runs share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np
import tiny_experiment as tiny
from nir_graphs import DT, chain, lif, write

from neurochip import experiment as story
from neurochip.config import load_experiment
from neurochip.experiment import Report

NIR: dict[str, Any] = {"file": "model.nir", "dt": DT, "reset": "subtract", "comparator": "ge"}


def model(path: Path, n_outputs: int = 3, n_inputs: int = 50, hidden: Any = None, k: float = 1.0) -> Path:
    """Two layers that tell the rows of the tiny task apart: hidden neuron c sees row c; its potential in units of k."""
    weight = np.zeros((6, 2, 5, 5))
    for c in range(6):
        weight[c, :, c % 3, :] = 0.75
    last = np.tile(np.eye(3), 2)[np.arange(n_outputs) % 3]
    nodes, edges = chain(
        nir.Flatten(np.array([1]), 0, -1), nir.Linear(k * weight.reshape(6, -1)[:, :n_inputs]),
        lif((6,), v_threshold=k) if hidden is None else hidden,
        nir.Affine(last, np.full(n_outputs, 0.25)), shape=(2, 5, 5),
    )  # fmt: skip
    return write(path, nodes, edges)


def tables(**changes: Any) -> dict[str, Any]:
    found = tiny.tiny_tables(**changes)
    found["network"] = {"nir": {**NIR, **found["network"].get("nir", {})}}
    return found


def learn(folder: Path, out: Path, **changes: Any) -> Report:
    experiment = load_experiment(None, tables=tables(**changes))
    return story.learn(experiment, base_dir=folder, out=out)


def weights_of(run: Path, key: str = ".") -> list[Any]:
    with h5py.File(run / "checkpoint.h5") as file:
        return [file[key][f"layers/{index}/weight"][()] for index in range(len(file[key]["layers"]))]
