"""Directions of gradients: OTTT and SLTT against BPTT and against the rate mapping, per layer and number of steps T.

Float twin, weights frozen over a sample; a network of three dense layers and one with a recurrent layer; weights as
drawn, and after three epochs of OTTT. The recordings of `digits-dvs` have 20 steps and are played again from their
beginning up to T, so that weights and events per step are the same for every T. Prints Markdown tables (means over
seeds ± their standard errors), writes direction.json and direction.png into OUT.

    python scripts/measure_gradient_direction.py OUT [--seeds 1,2,3,4,5] [--steps 1,2,...] [--samples 20]
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from measure_training_memory import save_small
from rate_mapping import Array, RateLayer, cosine, loop_radius, rate_gradient, unclamped, weighted_rates

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from neurochip.core.float_core import FloatCore
    from neurochip.events import EventDataset
    from neurochip.setup import Setup

STEPS, SEEDS, SAMPLES = (1, 2, 4, 8, 16, 32, 64), (1, 2, 3, 4, 5), 20
NETWORKS = {
    "dense": [{"neurons": 128}, {"neurons": 128}, {"neurons": 128}],
    "recurrent": [{"neurons": 128, "recurrent": True}],
}
LEAKS = {"1/2": 1, "15/16": 4}  # lambda = 1 - 2^-k
WEIGHTS = ("drawn", "drawn, own / 4", "trained")  # "own": the weights of a layer's own spikes
RECORDED_STEPS, EPOCHS = 20, 3
RULES = {  # credit and reset path of the float twin
    "OTTT": ("trace", "detached"),
    "SLTT": ("spike", "detached"),
    "BPTT": ("unroll", "detached"),
    "exact BPTT": ("unroll", "exact"),
}
RATE, LAST, CUT = "rates", "last rates", "rates, loop cut"  # the rate mapping, summed over all steps or at the last one
TARGETS = ("BPTT", "exact BPTT", RATE, LAST, CUT)
BLOCKS = ("1", "1 own", "2", "3", "readout")
NORMS = "log10 of the norm of BPTT over that of OTTT"
OTHERS = ("error of the mapping", "radius of the loop", NORMS)
PAIRS = [(rule, target) for target in TARGETS for rule in ("OTTT", "SLTT", "BPTT") if rule != target]


@dataclass(frozen=True)
class Sampled:
    """Gradients of one sample by rule, split into blocks "1", "1 own", ... "readout"; how well the mapping holds."""

    gradients: Mapping[str, Mapping[str, Array]]
    mapping: Mapping[str, float]


class Bench:
    """A prepared network with frozen weights: one float core per rule, and its layers for the rate mapping."""

    def __init__(self, setup: Setup, weights: Sequence[Array], data: EventDataset) -> None:
        from neurochip.core.float_core import FloatCore
        from neurochip.core.float_spec import FloatSpec
        from neurochip.network.resolve import float_layers

        self.leak = float_layers(setup.shapes, "none")[0].state_leak
        self.cores: dict[str, FloatCore] = {}
        for name, (credit, reset_path) in RULES.items():
            layers = float_layers(setup.shapes, credit)
            spec = FloatSpec(layers, data.n_steps, credit=credit, reset_path=reset_path)
            self.cores[name] = FloatCore(spec, weights)
        self.data = data
        self.layers = []
        for index, (shape, values) in enumerate(zip(setup.shapes, weights, strict=True)):
            n_own = sum(c.n_addresses for c in shape.connections(index) if c.delay == 1)
            self.layers.append(RateLayer(values[:-1], values[-1], shape.threshold or 1.0, n_own))

    def sample(self, index: int) -> Sampled:
        """Gradients, and how well the mapping holds, of one sample."""
        presynaptic, rates = self._rates(index)
        label = int(self.data.labels[index])
        found = {name: core.gradient(self.data, index) for name, core in self.cores.items()}
        gradients = {name: self._blocks([values[:-1] for values in per]) for name, per in found.items()}
        gradients[RATE] = self._blocks(rate_gradient(self.layers, presynaptic, label))
        if any(layer.n_own for layer in self.layers):
            gradients[CUT] = self._blocks(rate_gradient(self.layers, presynaptic, label, loop=False))
        gradients[LAST] = self._blocks(rate_gradient(self.layers, [r[-1:] for r in presynaptic], label))
        mapping = {}
        for number, (layer, given, real) in enumerate(zip(self.layers[:-1], presynaptic[:-1], rates, strict=True), 1):
            error = np.clip(unclamped(layer, given[-1:]), 0, 1) - real[-1]
            mapping[f"error of the mapping||{number}"] = float(np.abs(error).mean())
            if layer.n_own:
                mapping[f"radius of the loop||{number}"] = loop_radius(layer, given)
        return Sampled(gradients, mapping)

    def _rates(self, index: int) -> tuple[list[Array], list[Array]]:
        """Weighted rates [T, n] at every step: presynaptic ones per layer, those of hidden layers themselves."""
        run = self.cores["OTTT"].run(self.data, [index], learn=True, probe_slots=[0])
        rates = [
            weighted_rates(run.probes[f"spike/{number}"][0].astype(float), self.leak)
            for number in range(len(self.layers) - 1)
        ]
        weight = np.cumsum(self.leak ** np.arange(self.data.n_steps))[:, None]
        traces = [run.probes[f"trace/{number}"][0] / weight for number in range(len(self.layers) - 1)]
        return [*traces, rates[-1]], rates

    def _blocks(self, gradients: Sequence[Array]) -> dict[str, Array]:
        blocks: dict[str, Array] = {}
        for number, (layer, values) in enumerate(zip(self.layers, gradients, strict=True), start=1):
            name = "readout" if number == len(self.layers) else str(number)
            blocks[name] = values[: layer.n_in]
            if layer.n_own:
                blocks[f"{name} own"] = values[layer.n_in :]
        return blocks


def played(data: EventDataset, samples: Sequence[int], n_steps: int) -> EventDataset:
    """The first T steps of samples that begin again after their last step."""
    from neurochip.events import EventDataset

    cells = [sample * data.n_steps + t % data.n_steps for sample in samples for t in range(n_steps)]
    parts = [slice(data.step_offsets[cell], data.step_offsets[cell + 1]) for cell in cells]
    offsets = np.cumsum([0, *(part.stop - part.start for part in parts)])
    addresses, magnitudes = (np.concatenate([a[part] for part in parts]) for a in (data.addresses, data.magnitudes))
    return EventDataset(offsets, addresses, magnitudes, data.labels[list(samples)], data.n_inputs, n_steps)


def prepared(network: str, leak: str, seed: int) -> Setup:
    """The experiment with its weights drawn."""
    from neurochip.config import load_experiment
    from neurochip.listener import Silent
    from neurochip.rules.presets import find_rule
    from neurochip.setup import prepare_setup

    layers = [{"kind": "dense", "leak_shift": LEAKS[leak], **layer} for layer in NETWORKS[network]]
    tables: dict[str, Any] = {
        "task": {"name": "digits-dvs", "steps": RECORDED_STEPS},
        "network": {"layers": [*layers, {"kind": "readout"}]},
        "precision": {"arithmetic": "float"},
        "run": {"seed": seed},
    }
    rules = [find_rule("ottt-o")]
    return prepare_setup(load_experiment(None, (), tables=tables), rules, Path(), "fast", Silent())


def trained(setup: Setup, seed: int) -> tuple[list[Array], float]:
    """Weights after some epochs of `ottt-o`, and the accuracy on the test split."""
    from neurochip.network.calibrate import epoch_order

    core, train, test = setup.core(setup.runs[0], None), setup.task.train, setup.task.test
    for epoch in range(EPOCHS):
        core.run(train, epoch_order(seed, epoch, train.n_samples), learn=True, end_of_epoch=True, probe=())
    run = core.run(test, np.arange(test.n_samples), learn=False, end_of_epoch=False, probe=())
    return core.weights, float((run.predictions == test.labels).mean())


def quartered(setup: Setup, weights: Sequence[Array]) -> list[Array]:
    """The weights, those of the first layer's own spikes divided by 4."""
    first = weights[0].copy()
    first[setup.task.n_inputs : -1] /= 4
    return [first, *weights[1:]]


def measure(bench: Bench) -> dict[str, float]:
    """Means over samples: of cosines "rule|target|block", of how many are positive (|positive), and of the mapping."""
    values: dict[str, list[float]] = {}
    for index in range(bench.data.n_samples):
        sampled = bench.sample(index)
        for rule, target in PAIRS:
            for block, gradient in sampled.gradients.get(target, {}).items():
                value = cosine(sampled.gradients[rule][block], gradient)
                if np.isnan(value):  # a gradient of zeros has no direction
                    continue
                values.setdefault(f"{rule}|{target}|{block}", []).append(value)
                values.setdefault(f"{rule}|{target}|{block}|positive", []).append(float(value > 0))
        for block, gradient in sampled.gradients["BPTT"].items():
            norms = np.linalg.norm(gradient), np.linalg.norm(sampled.gradients["OTTT"][block])
            if min(norms) > 0:
                values.setdefault(f"{NORMS}||{block}", []).append(float(np.log10(norms[0] / norms[1])))
        for key, value in sampled.mapping.items():
            values.setdefault(key, []).append(value)
    return {key: float(np.mean(many)) for key, many in values.items()}


def points(steps: Sequence[int], seeds: Sequence[int], n_samples: int) -> Iterator[dict[str, Any]]:
    """One record per network, leak, seed, weights and T."""
    from neurochip.network.calibrate import epoch_order

    for network, leak, seed in itertools.product(NETWORKS, LEAKS, seeds):
        setup = prepared(network, leak, seed)
        learned, accuracy = trained(setup, seed)
        train = setup.task.train
        samples = epoch_order(seed, EPOCHS, train.n_samples)[:n_samples].tolist()
        drawn = list(setup.prepared.weights)
        kinds = {"drawn": drawn, "trained": learned}
        if network == "recurrent":
            kinds["drawn, own / 4"] = quartered(setup, drawn)
        for kind, weights in kinds.items():
            for n_steps in steps:
                found = measure(Bench(setup, weights, played(train, samples, n_steps)))
                place = {"network": network, "leak": leak, "weights": kind, "steps": n_steps, "seed": seed}
                yield place | {"accuracy": accuracy, "values": found}


def over_seeds(records: Sequence[Mapping[str, Any]], key: str) -> tuple[float, float]:
    """Mean over the seeds that have a value, and its standard error."""
    values = np.array([record["values"].get(key, float("nan")) for record in records])
    values = values[~np.isnan(values)]
    if len(values) == 0:
        return float("nan"), float("nan")
    return float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("nan")


def chosen(records: Sequence[dict[str, Any]], **place: Any) -> list[dict[str, Any]]:
    """The records of a place."""
    return [record for record in records if all(record[key] == value for key, value in place.items())]


def table(records: Sequence[dict[str, Any]], steps: Sequence[int], share: bool = False) -> list[str]:
    """Rows of pairs and blocks, columns of T: cosines and what else was measured, or percent of positive cosines."""
    lines = ["| | layer | " + " | ".join(f"T = {n}" for n in steps) + " |", "|---" * (2 + len(steps)) + "|"]
    names = {f"{rule}|{target}|": f"{rule}, {target}" for rule, target in PAIRS if not share or rule == "OTTT"}
    names |= {} if share else {f"{name}||": name for name in OTHERS}
    measured = {key for record in records for key in record["values"]}
    for (start, name), block in itertools.product(names.items(), BLOCKS):
        key = f"{start}{block}{'|positive' if share else ''}"
        if key in measured:
            found = [over_seeds(chosen(records, steps=n), key) for n in steps]
            cells = [f"{100 * mean:.0f} %" if share else f"{mean:.3f} ± {error:.3f}" for mean, error in found]
            lines.append(f"| {name} | {block} | " + " | ".join(c.replace("nan ± nan", "–") for c in cells) + " |")
    return [line.replace("nan %", "–") for line in lines]


def draw(records: Sequence[dict[str, Any]], steps: Sequence[int], path: Path) -> None:
    """Cosines against T at lambda = 1/2: above the dense network, below the recurrent one."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    from neurochip.report.plots import SETTINGS

    pictures = [("BPTT", "drawn"), ("BPTT", "trained"), (RATE, "trained")]
    with mpl.rc_context(SETTINGS):
        figure = Figure(figsize=(9.6, 6.6), layout="constrained")
        grid = figure.subplots(len(NETWORKS), len(pictures), squeeze=False, sharex=True, sharey=True)
        labels: dict[str, Any] = {}
        for network, row in zip(NETWORKS, grid, strict=True):
            for axes, (target, weights) in zip(row, pictures, strict=True):
                found = chosen(records, network=network, leak="1/2", weights=weights)
                labels |= draw_lines(axes, found, steps, target)
                axes.set(xscale="log", xticks=steps, xticklabels=steps, title=f"{network}, with {target}, {weights}")
                axes.minorticks_off()
                axes.grid(alpha=0.3)
            row[0].set_ylabel("cosine")
        for axes in grid[-1]:
            axes.set_xlabel("steps T")
        figure.legend(labels.values(), labels.keys(), loc="outside lower center", ncols=4, frameon=False)
        save_small(figure, path)


def draw_lines(axes: Axes, records: Sequence[dict[str, Any]], steps: Sequence[int], target: str) -> dict[str, Any]:
    """One line per rule and hidden layer; returns the lines by label."""
    colours = {"1": "#D55E00", "2": "#E69F00", "3": "#009E73", "1 own": "#0072B2"}
    lines = {}
    for (block, colour), (rule, style) in itertools.product(colours.items(), {"OTTT": "-", "SLTT": ":"}.items()):
        means = [over_seeds(chosen(records, steps=n), f"{rule}|{target}|{block}")[0] for n in steps]
        if not np.isnan(means).all():
            (line,) = axes.plot(steps, means, style, color=colour, marker=".")
            lines[f"{rule}, layer {block}"] = line
    return lines


def main() -> None:
    """Measure, print the tables, draw the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", default=",".join(map(str, SEEDS)))
    parser.add_argument("--steps", default=",".join(map(str, STEPS)))
    parser.add_argument("--samples", type=int, default=SAMPLES)
    arguments = parser.parse_args()
    for option in ("seeds", "steps"):
        if not all(word.isdecimal() and int(word) > 0 for word in getattr(arguments, option).split(",")):
            parser.error(f"--{option} {getattr(arguments, option)}: allowed are numbers above 0, for example 1,2,4")
    if arguments.samples < 1 or arguments.out.is_file():
        parser.error("--samples needs a whole number above 0, and OUT must be no file")
    arguments.out.mkdir(parents=True, exist_ok=True)
    seeds, steps = ([int(one) for one in text.split(",")] for text in (arguments.seeds, arguments.steps))
    records = list(points(steps, seeds, arguments.samples))
    (arguments.out / "direction.json").write_text(json.dumps(records) + "\n", encoding="utf-8")
    for network in NETWORKS:
        for leak in LEAKS:
            for weights in WEIGHTS:
                found = chosen(records, network=network, leak=leak, weights=weights)
                if not found:
                    continue
                accuracy = 100 * np.mean([one["accuracy"] for one in found])
                print(f"\n{network}, lambda = {leak}, weights {weights} (trained: {accuracy:.1f} % right)\n")
                print(*table(found, steps), "", *table(found, steps, share=True), sep="\n", flush=True)
    draw(records, steps, arguments.out / "direction.png")


if __name__ == "__main__":
    main()
