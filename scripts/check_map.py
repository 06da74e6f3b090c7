"""The map of `neurochip cost --map` held against real simulated learning at points of its grid.

At every point the rules learn for an epoch on the integer core: on independent random events, or on digits-dvs. The
ratios of OTTT to BPTT in energy, cycles and memory of that run stand beside those of the map (nothing known of the run
but network, T and settings; hidden layers as active as the inputs) and those of `cost --rates-of` (its mean rates).

    python scripts/check_map.py OUT
"""

from __future__ import annotations

import json
import math
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from neurochip.cost_map import cost_map
from neurochip.estimate import Asked, cost_from_rates
from neurochip.event_file import write_recordings
from neurochip.events import Recordings
from neurochip.map_axes import Axis
from neurochip.map_borders import DRAW
from neurochip.network.named import named_network
from neurochip.repricing import load_run

N_INPUTS, N_CLASSES, STEP_US, N_SAMPLES = 512, 10, 1000, 40
MAP, FEW_SAMPLES = (2, 32, 32), 10  # of the convolution
RULES = ("sltt-o", "ottt-o", "bptt-o", "sltt", "ottt-a", "bptt")
PAIRS = (("ottt-o", "bptt-o"), ("ottt-a", "bptt"))
METRICS = {"energy_pj": "energy", "latency_cycles": "cycles", "memory_bits": "memory"}
Values = dict[str, dict[str, float]]  # rule -> metric -> value


@dataclass(frozen=True)
class Point:
    """A point of the map: `rate` None is digits-dvs, whose events are what they are."""

    steps: int
    rate: float | None
    width: int = 128
    settings: dict[str, Any] = field(default_factory=dict)
    network: str | None = None  # a convolution that comes with neurochip, in place of a dense layer of `width`

    @property
    def name(self) -> str:
        """As the table shows it."""
        events = "digits-dvs" if self.rate is None else f"rate {self.rate:g}"
        changed = [f"{key} = {value}" for key, value in self.settings.items()]
        return ", ".join([f"T = {self.steps}", events, self.network or f"width {self.width}", *changed])

    @property
    def text(self) -> str:
        """The network, as `cost --network` takes it."""
        return self.network or f"{N_INPUTS}-{self.width}-{N_CLASSES}"

    @property
    def overrides(self) -> list[str]:
        """KEY=VALUE of the network as a map prices it."""
        settings = {"chip.overflow": "grow", **self.settings}
        return [f"task.steps={self.steps}", *(f"{key}={value}" for key, value in settings.items())]


POINTS = (
    Point(1, 0.1),
    Point(5, 0.02),
    Point(20, 0.02),
    Point(20, 0.1),
    Point(20, 0.2),
    Point(50, 0.05),
    Point(20, 0.05, 32),
    Point(10, 0.1, 256),
    Point(20, 0.1, settings={"precision.trace.bits": 2}),
    Point(20, 0.05, settings={"precision.trace.bits": 4}),
    Point(20, 0.1, settings={"learning.surrogate": "rectangle"}),
    Point(20, 0.1, settings={"learning.surrogate": "triangle", "learning.batch": 4}),
    Point(450, 0.02, settings={"chip.overflow": "dram"}),
    Point(10, 0.1, network="conv-dvs"),
    Point(40, 0.1, network="conv-dvs"),
    Point(10, None),
    Point(20, None),
    Point(20, None, settings={"precision.trace.bits": 4, "learning.batch": 4}),
)
REFUSED = Point(450, 0.02, settings={"chip.overflow": "refuse"})


def random_recordings(steps: int, rate: float, seed: int, n_inputs: int, n_samples: int) -> Recordings:
    """Independent events; the sensor is one line of pixels. A recording's ends are its first and last step."""
    fired = np.random.default_rng(seed).random((n_samples, steps, n_inputs)) < rate
    fired[:, 0, 0] = fired[:, -1, 0] = True
    if steps == 1:
        fired[:, 0, 1] = True  # an event each for begin and end of the only step
    sample, step, address = np.nonzero(fired)
    times = step * STEP_US + np.where(step == steps - 1, STEP_US - 1, 0)
    if steps == 1:
        times = np.where(address == 0, 0, STEP_US - 1)
    offsets = np.searchsorted(sample, np.arange(n_samples + 1))
    nothing = np.zeros(len(address), np.uint8)
    labels = np.arange(n_samples) % N_CLASSES
    return Recordings(
        address.astype(np.int16), nothing.astype(np.int16), nothing, times, offsets, labels, (n_inputs, 1, 1)
    )


def compare_words(point: Point, folder: Path) -> list[str]:
    """The command that lets all rules learn for an epoch."""
    layers = f'[{{kind="dense",neurons={point.width}}},{{kind="readout"}}]'
    settings: dict[str, Any] = {
        "learning.epochs": 1, "learning.learning_rate": 0.1, "task.steps": point.steps,
        "run.activity_samples": 16, "chip.overflow": "grow", **point.settings,
    }  # fmt: skip
    n_inputs, n_samples, network = N_INPUTS, N_SAMPLES, ["--set", f"network.layers={layers}"]
    if point.network is not None:
        n_inputs, n_samples, network = math.prod(MAP), FEW_SAMPLES, ["--network", point.network]
        settings["network.input_shape"] = list(MAP)
    if point.rate is not None:
        folder.mkdir(parents=True)
        path = folder / "random.h5"
        parts = {
            name: random_recordings(point.steps, point.rate, seed, n_inputs, n_samples)
            for seed, name in enumerate(("train", "validation", "test"))
        }
        write_recordings(path, parts, {"title": "independent random events"})
        settings |= {
            "task.name": "events-h5",
            "task.path": str(path.resolve()),
            "run.calibration_samples": min(16, n_samples),
        }
    words = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    return ["compare", *network, "--rules", ",".join(RULES), *words, "--out", str(folder / "run"), "--quiet", "--json"]


def neurochip(*words: str) -> subprocess.CompletedProcess[str]:
    """Run the command line."""
    return subprocess.run([sys.executable, "-m", "neurochip", *words], check=False, capture_output=True, text=True)


def values_of(results: list[dict[str, Any]]) -> Values:
    """Costs of the rules in a report or the document of `cost`."""
    return {
        one["rule"]: {
            "energy_pj": one["per_sample"]["energy_pj"]["total"],
            "latency_cycles": one["per_sample"]["cycles"],
            "memory_bits": one["footprint_bits"]["total"],
        }
        for one in results
        if one["precision"] == "fixed"
    }


def of_map(point: Point, rate: float) -> dict[str, Any]:
    """The point of a map of one point."""
    rules = f"run.rules={json.dumps(RULES)}"
    axes = [Axis("rate", (rate,))]
    psi_axis = [Axis(key, (value,)) for key, value in point.settings.items() if key == "learning.surrogate"]
    overrides = [text for text in point.overrides if not text.startswith("learning.surrogate")]
    found: dict[str, Any] = cost_map(point.text, (*overrides, rules), [*axes, *psi_axis])["points"][0]
    return found


def of_rates(point: Point, run: Path) -> Values:
    """`cost` at the mean rates of the run."""
    network = named_network(point.text, (*point.overrides, f"run.rules={json.dumps(RULES)}"))
    return values_of(cost_from_rates(network, Asked(run=load_run(run)))["results"])


def ratio(values: Values, pair: tuple[str, str], metric: str) -> float:
    """OTTT over BPTT."""
    return values[pair[0]][metric] / values[pair[1]][metric]


def cheapest(values: Values, metric: str, through_time: bool) -> str:
    """The rule with the least value; with credit through time: without SLTT."""
    known = [rule for rule in values if not (through_time and rule.startswith("sltt"))]
    return min(known, key=lambda rule: values[rule][metric])


def side(value: float) -> str:
    """Which of a pair is cheaper, within what the map calls equal."""
    return "equal" if 1 / DRAW <= value <= DRAW else ("OTTT" if value < 1 else "BPTT")


class Tally:
    """Errors and agreements over all points."""

    def __init__(self) -> None:
        self.errors: dict[tuple[str, str], list[float]] = {}
        self.agree: dict[str, list[bool]] = {}
        self.values: list[float] = []

    def add(self, run: Values, mapped: Values, rated: Values) -> list[str]:
        """Take a point in; returns the cells of its rows."""
        cells = []
        for metric, name in METRICS.items():
            for pair in PAIRS:
                there = ratio(run, pair, metric)
                here = {"map": ratio(mapped, pair, metric), "rates": ratio(rated, pair, metric)}
                for source, value in here.items():
                    self.errors.setdefault((source, name), []).append(value / there - 1)
                self.agree.setdefault(f"cheaper of OTTT and BPTT, {name}", []).append(side(here["map"]) == side(there))
                if metric == "memory_bits":
                    cells.append(f"{there:.3f} | {here['map']:.3f}")
                else:
                    cells.append(f"{there:.2f} | {here['map']:.2f} | {here['rates']:.2f}")
            for through_time, words in ((False, "of all rules"), (True, "with credit through time")):
                best, claimed = (cheapest(values, metric, through_time) for values in (run, mapped))
                near = run[claimed][metric] <= DRAW * run[best][metric]
                self.agree.setdefault(f"cheapest {words}, {name}", []).append(near)
        return cells

    def print(self) -> None:
        """The summary."""
        for (source, name), errors in self.errors.items():
            sizes = [abs(error) for error in errors]
            print(
                f"{source}, ratio in {name}: median error {100 * statistics.median(sizes):.1f} %, largest "
                f"{100 * max(sizes):.1f} %, mean with its sign {100 * statistics.mean(errors):+.1f} %"
            )
        for what, agreed in self.agree.items():
            print(f"same verdict, {what}: {sum(agreed)} of {len(agreed)}")


def main(out: Path) -> None:
    """Run, price twice, compare."""
    tally, start = Tally(), time.monotonic()
    heads = [f"{name} {rule}: run | map | rates" for name in ("energy", "cycles") for rule, _ in PAIRS]
    print(" | ".join(["| point", *heads, *(f"memory {rule}: run | map" for rule, _ in PAIRS)]), "|")
    print("|---" * (1 + 3 * 4 + 2 * 2) + "|")
    for number, point in enumerate(POINTS):
        folder = out / f"point-{number}"
        done = neurochip(*compare_words(point, folder))
        if done.returncode:
            raise SystemExit(f"{point.name}: {done.stderr}")
        report = json.loads(done.stdout)
        run = values_of(report["results"])
        mapped = of_map(point, point.rate if point.rate is not None else input_rate(report))["rules"]
        print(
            " | ".join([f"| {point.name}", *tally.add(run, mapped, of_rates(point, folder / "run"))]), "|", flush=True
        )
    tally.print()
    done = neurochip(*compare_words(REFUSED, out / "refused"))
    refused = [rule for rule, entry in of_map(REFUSED, 0.02)["rules"].items() if entry["why_not"]]
    print(f"{REFUSED.name}: the map refuses {', '.join(refused)}; compare ends with {done.returncode}: {done.stderr}")
    print(f"{time.monotonic() - start:.0f} s")


def input_rate(report: dict[str, Any]) -> float:
    """Events per input and step of a task, from its report."""
    task = report["task"]
    return float(task["events_per_sample"] / (task["n_steps"] * task["n_inputs"]))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
