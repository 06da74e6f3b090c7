"""Does recurrence give memory? A task in which nothing at the input tells the class any more when it is asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from neurochip.config import load_experiment
from neurochip.listener import Silent
from neurochip.network.calibrate import epoch_order
from neurochip.rules.presets import find_rule
from neurochip.setup import Run, prepare_setup

N_EPOCHS = 8
STEPS, LOSS_START = 12, 10


def best_accuracy(rule: str, recurrent: bool, neurons: int = 128) -> float:
    """The best test accuracy of 8 epochs in 8-bit fixed point."""
    layers = [{"kind": "dense", "neurons": neurons, "recurrent": recurrent}, {"kind": "readout"}]
    tables = {
        "task": {"name": "delayed-recall", "steps": STEPS},
        "network": {"layers": layers, "init_gain": 1.0},
        "learning": {"learning_rate": 0.06, "epochs": N_EPOCHS, "loss_start": LOSS_START},
        "chip": {"overflow": "grow"},
    }
    chosen = find_rule(rule)
    setup = prepare_setup(load_experiment(None, tables=tables), [chosen], Path(), "fast", Silent())
    core, task = setup.core(Run(chosen, "fixed", "."), None), setup.task
    best = 0.0
    for epoch in range(N_EPOCHS):
        core.run(task.train, epoch_order(1, epoch, task.train.n_samples), learn=True, end_of_epoch=True, probe=())
        every = np.arange(task.test.n_samples)
        result = core.run(task.test, every, learn=False, end_of_epoch=True, probe=())
        best = max(best, float((result.predictions == task.test.labels).mean()))
    return best


@pytest.mark.parametrize("rule", ["ottt-o", "bptt-o", "bptt"])
def test_a_feedforward_network_cannot_recall(rule: str) -> None:
    assert best_accuracy(rule, recurrent=False) < 0.6


@pytest.mark.parametrize("rule", ["bptt-o", "bptt"])
def test_a_recurrent_network_solves_it_by_back_propagation_through_time(rule: str) -> None:
    assert best_accuracy(rule, recurrent=True) > 0.97


def test_a_recurrent_network_learns_most_of_it_online() -> None:
    """OTTT sends no error back through the recurrent weights, so it uses the memory it finds and does not build one."""
    assert best_accuracy("ottt-o", recurrent=True, neurons=256) > 0.85
