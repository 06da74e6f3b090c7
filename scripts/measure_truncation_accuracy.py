"""Accuracy of truncated local BPTT on recordings of an event camera, against window length K and block size b.

    python scripts/measure_truncation_accuracy.py OUT --data nmnist_digits6789.h5 [--seeds 1,2,3,4]

Four convolutions learn on the integer core under `unroll(K)/local(b)/window(K)`, whose weights change after every
window, and beside them the rules with one update per sample and those of traces. The learning rate of a rule is chosen
from powers of two by the validation accuracy of the first seed; the test split is only reported. Formats and initial
weights are the same for all rules of a seed. Every run is one JSON file in OUT, and a rerun skips those that are there.
"""

from __future__ import annotations

import argparse
import json
import os
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neurochip.config import Experiment
from neurochip.errors import UserError
from neurochip.listener import Silent
from neurochip.rules.presets import Rule, find_rule

if TYPE_CHECKING:
    from neurochip.setup import Setup
    from neurochip.training import Outcome

STEPS, EPOCHS, RECORDED_SAMPLES = 10, 3, 8
VALIDATION = 0.5  # of the training recordings: so many keep the choice of a rate from being one of chance
WINDOWS, BLOCKS = (1, 2, 5, STEPS), (1, 2, 4)
ALL_LAYERS = max(BLOCKS)
BASELINE = f"unroll({STEPS})/backprop/sample"  # end-to-end BPTT: the preset bptt, written as a point
RATES = (2**-4, 2**-3, 2**-2)
LOWEST_RATE, HIGHEST_RATE = 2**-9, 2.0
Point = dict[str, Any]


def rule_of(unroll: int, block: int, *, every_window: bool) -> str:
    """The point of K and b, with an update after every window or one after the sample."""
    spatial = "backprop" if block == ALL_LAYERS else f"local({block})"
    update = f"window({unroll})" if every_window and unroll < STEPS else "sample"  # one window is the sample
    return f"unroll({unroll})/{spatial}/{update}"


MAIN = {(k, b): rule_of(k, b, every_window=True) for k in WINDOWS for b in BLOCKS}
PER_SAMPLE = {(k, b): rule_of(k, b, every_window=False) for k, b in ((1, 4), (1, 1))}
TRACES = ("ottt-o", "ottt-local", "ottt-a")
NAMES = (*MAIN.values(), *TRACES, *PER_SAMPLE.values())


def convolution(channels: int, **more: Any) -> dict[str, Any]:
    """A 3 x 3 convolution that keeps the size of the map unless it has a stride."""
    return {"kind": "conv2d", "channels": channels, "kernel": 3, "padding": 1, "leak_shift": 1, **more}


def experiment(data: Path, seed: int, epochs: int = EPOCHS) -> Experiment:
    """Four convolutions on the middle 32 x 32 pixels; the learning rate is halved after every epoch."""
    pool = {"kind": "avgpool", "kernel": 2}
    hidden = [convolution(8, stride=2), pool, convolution(16), pool, convolution(16), convolution(16)]
    return Experiment.model_validate(
        {
            "task": {
                "name": "events-h5",
                "path": str(data.resolve()),
                "steps": STEPS,
                "crop": [32, 32],
                "validation": VALIDATION,
            },
            "network": {"layers": [*hidden, {"kind": "readout"}]},
            "learning": {"epochs": epochs, "halve_every": 1},
            "precision": {"weight": {"bits": 8, "rounding": "stochastic"}},
            "chip": {"overflow": "grow"},
            "run": {"seed": seed},
        }
    )


def prepared(data: Path, seed: int, names: Sequence[str] = NAMES, epochs: int = EPOCHS) -> Setup:
    """Task, initial weights and formats of a seed, shared by all rules."""
    from neurochip.setup import prepare_setup

    return prepare_setup(experiment(data, seed, epochs), [find_rule(name) for name in names], Path(), "fast", Silent())


def trained(setup: Setup, name: str, rate: float) -> Outcome:
    """Learn in fixed point, all epochs, and test.

    Raises:
        UserError: a rate that no shift of the chip realises.
    """
    from neurochip.setup import Run
    from neurochip.training import Training, train

    setup = setup.with_rates({find_rule(name).name: rate})
    run, learning = Run(find_rule(name), "fixed", "."), setup.resolved.learning
    training = Training(
        key=run.key,
        label=name,
        task=setup.task,
        n_epochs=learning.epochs,
        seed=setup.resolved.run.seed,
        learn=True,
        subset_samples=RECORDED_SAMPLES,
        listener=Silent(),
        on_epoch=lambda state: None,
        stop=threading.Event(),
        halve_every=learning.halve_every,
        core_at=lambda epoch: setup.core(run, None, epoch),
    )
    setup.spec(run.rule, learning.epochs - 1)
    return train(setup.core(run, None), training, None)


def measured(setup: Setup, name: str, rate: float) -> Point:
    """One run: accuracies as fractions, energy and accesses of one training sample of the last epoch, bits stored."""
    try:
        outcome = trained(setup, name, rate)
    except UserError as error:  # the search for a rate ends there
        return {"rule": name, "rate": rate, "validation": [-1.0], "refused": str(error)}
    rule: Rule = find_rule(name)
    pricer = setup.pricer(rule)
    cost = pricer.per_sample(outcome.recorded.epochs[-1], outcome.recorded.subset)
    return {
        "rule": name,
        "rate": rate,
        "seed": setup.resolved.run.seed,
        "validation": [epoch.validation for epoch in outcome.epochs],
        "train": [epoch.train for epoch in outcome.epochs],
        "test": outcome.test,
        "energy_pj": cost["energy_pj"]["total"],
        "memory_accesses": cost["totals"]["memory_accesses"],
        "footprint_bits": pricer.footprint(),
    }


class Runs:
    """The runs of a folder; what is not there yet is done and written at once."""

    def __init__(self, out: Path, data: Path) -> None:
        self.out, self.data = out, data
        self.setup = cache(lambda seed: prepared(data, seed))
        out.mkdir(parents=True, exist_ok=True)
        asked = experiment(data, 0).model_dump(mode="json") | {"rules": list(NAMES)}
        asked["task"].pop("path")
        stored = self._stored("experiment.json", lambda: asked)
        if stored != asked:
            raise SystemExit(f"{out} holds runs of another experiment; name an empty folder")

    def run(self, name: str, rate: float, seed: int) -> Point:
        """The run of a rule at a learning rate."""
        file = f"{find_rule(name).key}-rate{rate:g}-seed{seed}.json"
        point: Point = self._stored(file, lambda: measured(self.setup(seed), name, rate))
        return point

    def _stored(self, name: str, work: Any) -> Any:
        path = self.out / name
        if not path.exists():
            part = path.with_suffix(".part")
            part.write_text(json.dumps(work(), indent=1), encoding="utf-8")
            os.replace(part, path)
        return json.loads(path.read_text(encoding="utf-8"))

    def chosen_rate(self, name: str, seed: int) -> float:
        """The rate with the highest validation accuracy after the last epoch; ties go to the smaller rate.

        Beyond an end of `RATES` the search goes on while that end is the best.
        """
        scores = {rate: self._validation(name, rate, seed) for rate in RATES}
        while True:
            best = max(sorted(scores), key=scores.__getitem__)
            further = {min(scores): best / 2, max(scores): best * 2}.get(best)
            if further is None or not LOWEST_RATE <= further <= HIGHEST_RATE:
                return best
            scores[further] = self._validation(name, further, seed)

    def _validation(self, name: str, rate: float, seed: int) -> float:
        accuracy: float = self.run(name, rate, seed)["validation"][-1]
        return accuracy


def percent(values: Sequence[float], sign: str = "") -> str:
    """Mean and standard error over the seeds, in percent."""
    error = np.std(values, ddof=1) / np.sqrt(len(values)) if len(values) > 1 else float("nan")
    return f"{100 * np.mean(values):{sign}.2f} ± {100 * error:.2f}"


def row(points: Sequence[Point], base: Sequence[Point]) -> str:
    """Cells of a rule: rate, test accuracy, difference to BPTT per seed, energy, accesses and memory against BPTT."""

    def ratio(key: str) -> float:
        return float(np.mean([one[key] / other[key] for one, other in zip(points, base, strict=True)]))

    paired = [one["test"] - other["test"] for one, other in zip(points, base, strict=True)]
    bits = points[0]["footprint_bits"], base[0]["footprint_bits"]
    small = [of["total"] - of["synapse"] - of["gradient"] for of in bits]
    cells = [
        f"{points[0]['rate']:g}",
        percent([one["test"] for one in points]),
        "" if points[0]["rule"] == BASELINE else percent(paired, "+"),
        f"{ratio('energy_pj'):.2f}",
        f"{ratio('memory_accesses'):.2f}",
        f"{bits[0]['total'] / bits[1]['total']:.2f}",
        f"{small[0] / small[1]:.2f}",
    ]
    return " | ".join(cells)


def differences(points: Mapping[str, Sequence[Point]]) -> list[str]:
    """What K, b and updates at every window change, in points of test accuracy paired by seed."""
    test = {name: np.array([point["test"] for point in runs]) for name, runs in points.items()}
    lines = []
    for k in WINDOWS[:-1]:
        apart = [test[MAIN[k, b]] - test[MAIN[STEPS, b]] for b in BLOCKS]
        lines.append(f"K = {k} against {STEPS}, mean over b: {percent(list(np.mean(apart, axis=0)), '+')}")
    for b in BLOCKS[:-1]:
        apart = [test[MAIN[k, b]] - test[MAIN[k, ALL_LAYERS]] for k in WINDOWS]
        lines.append(f"b = {b} against {ALL_LAYERS}, mean over K: {percent(list(np.mean(apart, axis=0)), '+')}")
    for (k, b), name in PER_SAMPLE.items():
        apart = test[MAIN[k, b]] - test[name]
        lines.append(f"K = {k}, b = {b}, update per window against per sample: {percent(list(apart), '+')}")
    return lines


def main() -> None:
    """Do what is missing in OUT and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="recordings in the project's HDF5 event format")
    parser.add_argument("--seeds", default="1,2,3,4", help="the first one chooses the learning rates")
    arguments = parser.parse_args()
    if not all(seed.isdecimal() for seed in arguments.seeds.split(",")):
        parser.error(f"--seeds {arguments.seeds}: allowed are whole numbers, for example 1,2,3")
    if not arguments.data.is_file():
        parser.error(f"--data {arguments.data}: is no file")
    seeds = [int(seed) for seed in arguments.seeds.split(",")]
    runs = Runs(arguments.out, arguments.data)
    rates = {name: runs.chosen_rate(name, seeds[0]) for name in NAMES}
    points: dict[str, list[Point]] = {name: [] for name in NAMES}
    for seed in seeds:  # seed by seed, so that an interrupted run has whole seeds
        for name in NAMES:
            points[name].append(runs.run(name, rates[name], seed))
    print(
        "| rule | rate | test accuracy, % | against BPTT | energy | accesses | memory | without weights and gradients |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for name in NAMES:
        print(f"| `{name}` | {row(points[name], points[BASELINE])} |")
    print("\n".join(differences(points)))


if __name__ == "__main__":
    main()
