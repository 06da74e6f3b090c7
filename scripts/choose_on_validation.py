"""Choose epochs and learning rate of an experiment on its validation split, then test once at the choice.

    python scripts/choose_on_validation.py EXPERIMENT.toml [--seeds 1,2,3] [--rates 0.0625,0.125,0.25]

Every rate and number of epochs up to learning.epochs is scored by its validation accuracy in fixed point, averaged
over the seeds; an epoch's order does not depend on how many follow, so one run per rate and seed scores all of them.
Ties go to fewer epochs, then to the smaller rate. The test split is read only at the end, for the choice.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from scipy import stats

import neurochip


def main() -> None:
    """Print the choice and the test accuracy it gives."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", type=Path)
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--rates", default="0.03125,0.0625,0.125,0.25")
    arguments = parser.parse_args()
    seeds = [int(seed) for seed in arguments.seeds.split(",")]
    rates = sorted(float(rate) for rate in arguments.rates.split(","))
    with tempfile.TemporaryDirectory() as scratch:

        def run(seed: int, rate: float, *more: str) -> dict:
            overrides = [f"run.seed={seed}", f"learning.learning_rate={rate}", *more]
            out = Path(scratch) / "-".join(map(str, (seed, rate, *more)))
            return neurochip.learn(arguments.experiment, overrides=overrides, out=out).results[0]

        curves = {
            rate: np.mean(
                [[e["validation"] for e in run(seed, rate)["accuracy"]["per_epoch"]] for seed in seeds], axis=0
            )
            for rate in rates
        }
        best = max(curve.max() for curve in curves.values())
        epochs, rate = min((int(np.argmax(curve)) + 1, rate) for rate, curve in curves.items() if curve.max() == best)
        tests = [run(seed, rate, f"learning.epochs={epochs}")["accuracy"]["test"] for seed in seeds]
    for shown, curve in curves.items():
        print(f"rate {shown:g}: validation per epoch {' '.join(f'{100 * value:.1f}' for value in curve)}")
    print(f"chosen: rate {rate:g}, {epochs} epochs (validation {100 * best:.2f} %)")
    print(f"test: {100 * np.mean(tests):.2f} ± {100 * stats.sem(tests):.2f} % {tests}")


if __name__ == "__main__":
    main()
