"""A task small enough for the golden core, and experiments on it: what the tests of whole runs share."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np

from neurochip import experiment as story
from neurochip.config import Experiment, parse_experiment
from neurochip.events import Recordings, write_recordings
from neurochip.experiment import Report

WIDTH, N_CLASSES, N_STEPS, DURATION_US = 5, 3, 4, 4000
SPLITS = {"train": 18, "validation": 6, "test": 9}
ALL_RULES = ["infer", "sltt-o", "ottt-o", "bptt-o", "sltt", "ottt-a", "bptt"]

TABLES: dict[str, Any] = {
    "task": {"name": "events-h5", "path": "tiny.h5", "steps": N_STEPS},
    "network": {
        "layers": [
            {"kind": "dense", "neurons": 7, "leak_shift": 1},
            {"kind": "dense", "neurons": 5, "leak_constant": 40000, "bias": False},
            {"kind": "readout"},
        ]
    },
    "learning": {"epochs": 2, "learning_rate": 0.25},
    "run": {"seed": 3, "calibration_samples": 8, "activity_samples": 4},
}


def tiny_recordings(n_samples: int, seed: int, classes: tuple[int, ...] = (2, 4, 7)) -> Recordings:
    """Recordings whose class shows in the rows that are hit; the first sample of a split has no event at all."""
    rng = np.random.default_rng(seed)
    labels = np.array([classes[i % len(classes)] for i in range(n_samples)])
    columns: list[list[np.ndarray]] = [[], [], [], []]
    offsets = [0]
    for index, label in enumerate(labels):
        n_events = 0 if index == 0 else int(rng.integers(20, 40))
        row = classes.index(int(label))
        y = np.where(rng.random(n_events) < 0.8, row, rng.integers(0, WIDTH, n_events))
        t = np.sort(rng.integers(0, DURATION_US, n_events))
        x, p = rng.integers(0, WIDTH, n_events), rng.integers(0, 2, n_events)
        for column, values in zip(columns, (x, y, p, t), strict=True):
            column.append(values.astype(np.int64))
        offsets.append(offsets[-1] + n_events)
    x, y, p, t = (np.concatenate(column) for column in columns)
    return Recordings(x, y, p, t, np.array(offsets), labels, (WIDTH, WIDTH, 2))


def write_tiny_task(folder: Path, splits: dict[str, int] | None = None, classes: tuple[int, ...] = (2, 4, 7)) -> Path:
    """Write `tiny.h5` and return its path."""
    path = folder / "tiny.h5"
    sizes = SPLITS if splits is None else splits
    write_recordings(path, {name: tiny_recordings(n, seed, classes) for seed, (name, n) in enumerate(sizes.items())})
    return path


def tiny_tables(**changes: Any) -> dict[str, Any]:
    """The tables of the tiny experiment; a change is given as learning__epochs=1."""
    tables = copy.deepcopy(TABLES)
    for key, value in changes.items():
        *path, last = key.split("__")
        table = tables
        for part in path:
            table = table.setdefault(part, {})
        table[last] = value
    return tables


def tiny_experiment(**changes: Any) -> Experiment:
    """The checked tiny experiment."""
    return parse_experiment(tiny_tables(**changes), "the test")


def run_tiny(folder: Path, out: Path, rules: list[str] | None = None, verb: str = "compare", **changes: Any) -> Report:
    """Compare `rules` (or learn one) on the task in `folder`, with the listener and engine of `changes`."""
    options = {key: changes.pop(key) for key in ("listener", "engine", "command") if key in changes}
    if verb == "learn":
        experiment = tiny_experiment(learning__rule=(rules or ["ottt-o"])[0], **changes)
        return story.learn(experiment, base_dir=folder, out=out, **options)
    experiment = tiny_experiment(run__rules=rules or ALL_RULES, **changes)
    return story.compare(experiment, base_dir=folder, out=out, **options)
