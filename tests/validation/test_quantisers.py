"""Does a run of the float twin with all quantisers on learn what the run in fixed point learns, to the last bit?

tests/property/test_quantisers_equal.py compares the cores themselves, signal by signal, over drawn networks and rules.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
import tiny_experiment as tiny

from neurochip.config import Experiment
from neurochip.core.float_formats import QUANTISERS
from neurochip.listener import Silent
from neurochip.rules.presets import find_rule
from neurochip.setup import prepare_setup

PLAIN: dict[str, Any] = {"precision": {"arithmetic": "float"}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("quantisers")
    tiny.write_tiny_task(found)
    return found


@pytest.mark.parametrize("rule", ["infer", "ottt-o", "sltt", "bptt-o", "bptt", "tbptt", "e-prop", "decolle"])
def test_a_whole_run_of_an_experiment_is_equal(rule: str, folder: Path) -> None:
    """The formats of the quantisers are those that calibration gives the core; rates may be halved in between."""
    changes: dict[str, Any] = {
        "learning__deliver": "neuron",
        "learning__epochs": 3,
        "learning__rule": rule,
        "learning__halve_every": 2,
    }
    if rule == "tbptt":
        changes |= {"learning__unroll": 2, "learning__window": 2}
    fixed, twin, real = (
        learned(tiny.tiny_experiment(**changes, **precision), folder)
        for precision in ({}, {"precision": {"arithmetic": "float", "quantisers": list(QUANTISERS)}}, PLAIN)
    )
    assert twin == fixed
    assert real[0] != fixed[0]


def learned(experiment: Experiment, folder: Path) -> tuple[list[list[float]], float | None, list[float | None]]:
    """Final weights in real numbers, test accuracy and accuracies while training of the run of an experiment."""
    rule = find_rule(experiment.learning.rule)
    setup = prepare_setup(experiment, [rule], folder, "fast", Silent())
    weights, stop = None, threading.Event()
    if rule.name == "infer":
        weights = setup.job(setup.teacher, None, None, stop, Silent())().weights
    run = setup.runs[0]
    outcome = setup.job(run, weights, None, stop, Silent())()
    units = [2.0**-layer.frac_weight if run.precision == "fixed" else 1.0 for layer in setup.spec(rule).layers]
    values = [(rows * unit).ravel().tolist() for rows, unit in zip(outcome.weights, units, strict=True)]
    return values, outcome.test, [epoch.train for epoch in outcome.epochs]
