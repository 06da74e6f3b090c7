"""Does a convolutional network learn real recordings on the chip? Three seeds of examples/conv-dvs.toml."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from neurochip.config import Experiment, load_experiment
from neurochip.listener import Silent
from neurochip.network.calibrate import epoch_order
from neurochip.rules.presets import find_rule
from neurochip.setup import Run, prepare_setup

pytestmark = [pytest.mark.recordings, pytest.mark.slow]
SEEDS = (1, 2, 3)


def final_accuracy(experiment: Experiment) -> float:
    """Test accuracy after all epochs of the fixed-point core alone: the float twin would take ten times as long."""
    rule, run = find_rule(experiment.learning.rule), Run(find_rule(experiment.learning.rule), "fixed", ".")
    setup = prepare_setup(experiment, [rule], Path(), "fast", Silent())
    core, task, halve_every = setup.core(run, None), setup.task, experiment.learning.halve_every
    for epoch in range(experiment.learning.epochs):
        if epoch and halve_every and epoch % halve_every == 0:
            before, core = core, setup.core(run, None, epoch)
            core.restore(before.weights, before.registers)
        order = epoch_order(experiment.run.seed, epoch, task.train.n_samples)
        core.run(task.train, order, learn=True, end_of_epoch=True, probe=())
    every = np.arange(task.test.n_samples)
    result = core.run(task.test, every, learn=False, end_of_epoch=True, probe=())
    return float((result.predictions == task.test.labels).mean())


def test_eight_bit_ottt_reaches_97_percent_with_convolutions(nmnist4_path: Path, source_tree: Path) -> None:
    example = source_tree / "examples" / "conv-dvs.toml"
    accuracies = [
        final_accuracy(load_experiment(example, [f"task.path={nmnist4_path}", f"run.seed={seed}"])) for seed in SEEDS
    ]
    print(f"\nconv-dvs, ottt-o 8 bit: {100 * np.mean(accuracies):.2f} % {accuracies}")
    assert np.mean(accuracies) >= 0.97
