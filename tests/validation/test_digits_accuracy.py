"""Does 8-bit on-chip learning work on the default task? Five seeds, against a linear model and the float twin."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

import neurochip

SEEDS = (1, 2, 3, 4, 5)


@pytest.fixture(scope="module")
def accuracies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    """Test accuracy of ottt-o per seed, fixed point and float twin, everything else at its default."""
    fixed, floating = [], []
    for seed in SEEDS:
        out = tmp_path_factory.mktemp(f"seed{seed}") / "run"
        report = neurochip.learn(out=out, overrides=[f"run.seed={seed}", "learning.rule=ottt-o"])
        fixed.append(report.result("ottt-o", "fixed")["accuracy"]["test"])
        floating.append(report.result("ottt-o", "float")["accuracy"]["test"])
    return {"fixed": np.array(fixed), "float": np.array(floating)}


def linear_baseline() -> float:
    """LogisticRegression on log1p of the ON/OFF event counts per address of the same split."""
    from sklearn.linear_model import LogisticRegression

    from neurochip.config import load_experiment
    from neurochip.setup import task_settings
    from neurochip.tasks import load_task

    one_step = load_experiment(None, ["task.steps=1", "task.repeat=count", "precision.event.bits=8"])
    task = load_task(task_settings(one_step), Path(), 1)
    model = LogisticRegression(max_iter=2000)
    model.fit(np.log1p(task.train.counts()), task.train.labels)
    return float(model.score(np.log1p(task.test.counts()), task.test.labels))


@pytest.mark.slow
def test_eight_bit_ottt_matches_a_linear_model(accuracies: dict[str, np.ndarray]) -> None:
    baseline = linear_baseline()
    mean = accuracies["fixed"].mean()
    error = stats.sem(accuracies["fixed"])
    print(f"\nlinear {100 * baseline:.2f} %, ottt-o 8 bit {100 * mean:.2f} ± {100 * error:.2f} % {accuracies['fixed']}")
    assert baseline >= 0.90
    assert mean >= baseline


@pytest.mark.slow
def test_eight_bits_cost_less_than_a_point_against_the_float_twin(accuracies: dict[str, np.ndarray]) -> None:
    difference = 100 * (accuracies["fixed"] - accuracies["float"])
    low, high = stats.t.interval(0.95, len(SEEDS) - 1, difference.mean(), stats.sem(difference))
    print(f"\nfixed minus float: {difference.mean():.2f} points, 95 % interval {low:.2f} to {high:.2f}")
    assert high > -1.0
