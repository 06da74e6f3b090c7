"""The workload of the benchmarks: `ottt-o` on four digits of N-MNIST, 2312-128-4, 20 steps, batch 1, 8-bit weights."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neurochip.activity import Activity
from neurochip.config import load_experiment
from neurochip.listener import Silent
from neurochip.network.calibrate import epoch_order
from neurochip.rules.presets import find_rule
from neurochip.setup import Run, Setup, prepare_setup

RULE = "ottt-o"
N_WARM_UP, N_TIMED = 400, 800


def nmnist_setup(path: Path) -> Setup:
    """The default experiment with these recordings as its task."""
    experiment = load_experiment(None, tables={"task": {"name": "events-h5", "path": str(path)}})
    return prepare_setup(experiment, [find_rule(RULE)], Path(), "fast", Silent())


@dataclass(frozen=True)
class Timed:
    """One timed pass: samples learned, seconds, and what happened in it."""

    n_samples: int
    seconds: float
    activity: Activity


class Trainer:
    """A core after some hundred samples of training; every timed pass starts from there, so all do the same work."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.rule = find_rule(RULE)
        self._core = setup.core(Run(self.rule, "fixed", "."), None)
        order = epoch_order(setup.resolved.run.seed, 0, setup.task.train.n_samples)
        self.timed: NDArray[np.int64] = order[N_WARM_UP : N_WARM_UP + N_TIMED]
        self._pricer = setup.pricer(self.rule)
        self._core.run(setup.task.train, order[:N_WARM_UP], learn=True, end_of_epoch=False, probe=())
        self._start = self._core.weights, self._core.registers

    def time_pass(self) -> Timed:
        """Learn the timed samples and count accesses, operations and cycles of what happened."""
        self._core.restore(*self._start)
        start = time.process_time()
        result = self._core.run(self.setup.task.train, self.timed, learn=True, end_of_epoch=True, probe=())
        counted = self._pricer.count(result.activity)
        seconds = time.process_time() - start
        assert counted.cycles > 0
        return Timed(len(self.timed), seconds, result.activity)
