"""Training memory against the number of steps T: bits on the chip, and peak memory of a process that really learns.

One process per network, rule and T learns one sample on the integer core, and for one rule also on its float twin:
random weights, independent random events at a rate of 0.1. Every process holds the same 64 steps of events, cut into
samples of T steps, so that what grows with T is the trainer's own. Prints Markdown tables, writes memory.json and
memory.png into OUT. Linux only (/proc).

    python scripts/measure_training_memory.py OUT [--networks vgg-sws,2312-800-10]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # this process stays small: its children inherit nothing from it
    from matplotlib.figure import Figure

    from neurochip.events import EventDataset
    from neurochip.network.named import NamedNetwork
    from neurochip.network.shape import LayerShape
    from neurochip.spec import CoreSpec

STEPS = (1, 2, 4, 8, 16, 32, 64)
RULES = ("ottt-o", "ottt-a", "bptt-o", "bptt")
NETWORKS = ("vgg-sws", "2312-800-10")
RATE, SEED = 0.1, 1
INIT_GAIN = 1.0  # so that spikes and learning reach every layer of vgg-sws: neurons fire in 13 to 44 % of the steps
TWIN = "ottt-o, float twin"
MIB = 2**20
Point = dict[str, Any]


def network_at(name: str, n_steps: int) -> tuple[NamedNetwork, tuple[LayerShape, ...]]:
    """A named network with T steps, and its layers."""
    from neurochip.network.named import named_network
    from neurochip.network.shape import layer_shapes

    network = named_network(name, [f"task.steps={n_steps}", f"network.init_gain={INIT_GAIN}"])
    if network.n_inputs is None or network.n_classes is None:
        raise SystemExit(f"{name}: a network with known inputs and classes is needed")
    return network, layer_shapes(network.experiment, network.n_inputs, network.n_classes)


def spec_of(name: str, rule: str, n_steps: int) -> CoreSpec:
    """The integer specification of a rule on a named network; its formats are those of all rules at this T."""
    import numpy as np

    from neurochip.network.calibrate import assumed_fracs
    from neurochip.network.resolve import Lanes, core_spec
    from neurochip.rules.presets import find_rule

    network, shapes = network_at(name, n_steps)
    rules = [find_rule(one) for one in RULES]
    rates, traces = (RATE,) * len(shapes), [np.ones(1)] * len(shapes)
    fracs = assumed_fracs(network.experiment, shapes, rates, traces, rules)
    return core_spec(network.experiment, find_rule(rule), shapes, fracs, Lanes(16, 8))


def on_chip(spec: CoreSpec) -> dict[str, Any]:
    """Bits per memory, and T* of the network."""
    from neurochip.microarch.footprint import footprint_bits, steps_where_history_equals_weights

    bits = footprint_bits(spec)
    return {"bits": {**bits, "total": sum(bits.values())}, "t_star": steps_where_history_equals_weights(spec)}


def dataset_of(n_inputs: int, n_steps: int) -> EventDataset:
    """The same independent events whatever T is: max(STEPS) steps, cut into samples of T."""
    import numpy as np

    from neurochip.events import EventDataset

    most = max(STEPS)
    step, address = np.nonzero(np.random.default_rng(SEED).random((most, n_inputs)) < RATE)
    offsets = np.searchsorted(step, np.arange(most + 1))
    return EventDataset(offsets, address, np.ones_like(address), np.arange(most // n_steps) % 2, n_inputs, n_steps)


def integer_weights_of(name: str, spec: CoreSpec) -> list[Any]:
    """Normal weights of the usual spread, quantised, biases 0; drawn in narrow types, layer by layer."""
    import numpy as np

    from neurochip.network.initial import mean_fan_in, spread

    network, shapes = network_at(name, spec.n_steps)
    rng, highest, weights = np.random.default_rng(SEED), 2 ** (spec.weight_bits - 1) - 1, []
    for index, (layer, shape) in enumerate(zip(spec.layers, shapes, strict=True)):
        scale = spread(network.experiment, RATE * mean_fan_in(shape, index)) * 2.0**layer.frac_weight
        values = np.zeros((layer.n_weight_rows + layer.n_bias_rows, layer.columns), np.int8)
        for row in values[: layer.n_weight_rows]:
            row[:] = np.clip(np.rint(scale * rng.standard_normal(layer.columns)), -highest, highest)
        weights.append(values)
    return weights


def resident_bytes(key: str) -> int:
    """`VmRSS`, memory of this process in RAM, or `VmHWM`, the most it ever had (what getrusage calls ru_maxrss)."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(f"{key}:"))


def float_core_of(name: str, rule: str, n_steps: int) -> Any:
    """The float twin of a rule with random weights."""
    from neurochip.core.float_core import FloatCore
    from neurochip.network.formats import Fracs
    from neurochip.network.resolve import float_spec
    from neurochip.rules.presets import find_rule

    network, shapes = network_at(name, n_steps)
    none = (0,) * len(shapes)
    spec = float_spec(network.experiment, find_rule(rule), shapes, Fracs(none, none[1:], none, none, 0))
    integers = integer_weights_of(name, integer := spec_of(name, rule, n_steps))
    return FloatCore(spec, [w * 2.0**-layer.frac_weight for w, layer in zip(integers, integer.layers, strict=True)])


def learn_one_sample(name: str, rule: str, n_steps: int, engine: str) -> Point:
    """Learn one sample in this process and say how much memory that took."""
    import tracemalloc

    import numpy as np

    from neurochip.core.engine import Engine

    spec = spec_of(name, rule, n_steps)
    n_inputs = network_at(name, n_steps)[0].n_inputs
    assert n_inputs is not None
    data, weights, order = dataset_of(n_inputs, n_steps), integer_weights_of(name, spec), np.zeros(1, np.int64)
    small = spec_of("8-8-2", rule, 2)  # kernels are compiled, or loaded, before the measurement
    Engine(small, integer_weights_of("8-8-2", small)).run(dataset_of(8, 2), order, learn=True)
    if engine == "float":
        float_core_of("8-8-2", rule, 2).run(dataset_of(8, 2), order, learn=True)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # VmHWM starts again at VmRSS
    before = resident_bytes("VmRSS")
    tracemalloc.start()
    if engine == "float":
        run = float_core_of(name, rule, n_steps).run(data, order, learn=True)
        spikes = int(run.spikes_per_layer.sum())
    else:
        spikes = int(Engine(spec, weights).run(data, order, learn=True).activity.total("spikes"))
    arrays, peak = tracemalloc.get_traced_memory()[1], resident_bytes("VmHWM")
    neurons = sum(layer.n_out for layer in spec.layers if layer.is_hidden)
    return {"peak": peak, "own": peak - before, "arrays": arrays, "spike_rate": spikes / (neurons * n_steps)}


def measure(name: str, rule: str, n_steps: int, engine: str = "fast") -> Point:
    """One point: bits on the chip, and bytes of a process of its own."""
    words = [sys.executable, __file__, "--point", name, rule, str(n_steps), engine]
    done = subprocess.run(words, check=True, stdout=subprocess.PIPE)
    found: Point = json.loads(done.stdout)
    return found


def slope(steps: Sequence[int], values: Sequence[float]) -> float:
    """Growth per step between the first and the last T."""
    return (values[-1] - values[0]) / (steps[-1] - steps[0])


def chip_table(points: Mapping[str, list[Point]]) -> list[str]:
    """Kilobits per rule and T, and what grows."""
    lines = ["| rule | " + " | ".join(f"T = {n}" for n in STEPS) + " | history, kbit per step |", "|---" * 9 + "|"]
    for rule, row in points.items():
        bits = [point["bits"]["total"] for point in row]
        history = slope(STEPS, [point["bits"]["history"] for point in row])
        lines.append(f"| `{rule}` | " + " | ".join(f"{b / 1e3:,.1f}" for b in bits) + f" | {history / 1e3:,.1f} |")
    return lines


def process_table(points: Mapping[str, list[Point]]) -> list[str]:
    """MiB above the process before it learns, growth per step, and the same of the arrays alone."""
    head = " | ".join(f"T = {n}" for n in STEPS)
    lines = [f"| rule | {head} | KiB per step | arrays, KiB per step | whole process, T = 64 |", "|---" * 11 + "|"]
    for rule, row in points.items():
        grows, arrays = (slope(STEPS, [point[key] for point in row]) / 1024 for key in ("own", "arrays"))
        own = " | ".join(f"{point['own'] / MIB:,.1f}" for point in row)
        lines.append(f"| `{rule}` | {own} | {grows:,.1f} | {arrays:,.1f} | {row[-1]['peak'] / MIB:,.0f} |")
    return lines


def draw(results: Mapping[str, Mapping[str, list[Point]]], path: Path) -> None:
    """Growth since T = 1: above the chip, below the process (dotted: its arrays alone); one column per network."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    from neurochip.report.plots import SETTINGS, rule_style

    def grown(values: Sequence[float], unit: float) -> list[float]:
        return [(value - values[0]) / unit for value in values]

    with mpl.rc_context(SETTINGS):
        figure = Figure(figsize=(8.0, 6.0), layout="constrained")
        grid = figure.subplots(2, len(results), squeeze=False, sharex=True)
        for column, (name, points) in enumerate(results.items()):
            chip, process = grid[:, column]
            for place, (rule, row) in enumerate(points.items()):
                colour, marker = rule_style(rule, RULES)
                width = 1.2 + 0.8 * (len(points) - 1 - place)  # rules of equal growth overlap: all stay visible
                look: dict[str, Any] = {"color": colour, "marker": marker, "markersize": 4, "linewidth": width}
                label = rule if column == 0 else None
                chip.plot(STEPS, grown([point["bits"]["total"] for point in row], 1e6), label=label, **look)
                process.plot(STEPS, grown([point["own"] for point in row], MIB), **look)
                process.plot(STEPS, grown([point["arrays"] for point in row], MIB), ":", color=colour)
            chip.set(title=name, ylabel="on chip, above T = 1 (Mbit)")
            process.set(xlabel="steps T", ylabel="process, above T = 1 (MiB)", xticks=STEPS[3:])
            for axes in (chip, process):
                axes.grid(alpha=0.3)
        figure.legend(loc="outside lower center", ncols=4, frameon=False)
        save_small(figure, path)


def save_small(figure: Figure, path: Path) -> None:
    """Save as PNG in 32 colours, without date or version."""
    from io import BytesIO

    from PIL import Image

    stream = BytesIO()
    figure.savefig(stream, dpi=90)
    Image.open(stream).convert("RGB").quantize(32).save(path, optimize=True)


def main(out: Path, networks: Sequence[str]) -> None:
    """Measure every point, print the tables, draw the picture."""
    out.mkdir(parents=True, exist_ok=True)
    results: dict[str, dict[str, list[Point]]] = {}
    for name in networks:
        measure(name, RULES[0], 1)  # fills the cache of compiled kernels
        chip = {rule: [on_chip(spec_of(name, rule, n)) for n in STEPS] for rule in RULES}
        results[name] = {}
        for rule in RULES:
            results[name][rule] = [a | measure(name, rule, n) for a, n in zip(chip[rule], STEPS, strict=True)]
        measure(name, RULES[0], 1, "float")
        twin = {TWIN: [measure(name, RULES[0], n, "float") for n in STEPS]}
        t_star = chip["bptt"][0]["t_star"]
        print(f"\n{name}, on the chip, kbit; T* = {t_star:.1f}\n", *chip_table(results[name]), sep="\n")
        print(f"\n{name}, process, MiB\n", *process_table(results[name] | twin), sep="\n", flush=True)
    (out / "memory.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    draw(results, out / "memory.png")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--point"]:
        print(json.dumps(learn_one_sample(sys.argv[2], sys.argv[3], int(sys.argv[4]), sys.argv[5])))
    else:
        parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
        parser.add_argument("out", type=Path)
        parser.add_argument("--networks", default=",".join(NETWORKS))
        arguments = parser.parse_args()
        main(arguments.out, arguments.networks.split(","))
