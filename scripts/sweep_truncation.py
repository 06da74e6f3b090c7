"""Window length K and block size b of truncated local BPTT on a named network, against end-to-end BPTT: a table.

Synthetic activity (independent events at a rate of 0.1), nothing is trained. MACs are counted twice: those of errors
going back through weights (two numbers of several bits), and all. Accesses are words of the chip, a row word read once
per tap; memory is all that the rule stores for one sample, and that without weights and gradients.

    python scripts/sweep_truncation.py alexnet-cifar 10
"""

from __future__ import annotations

import sys

import numpy as np

from neurochip.counters import Count, is_memory
from neurochip.microarch.interface import ALL_GATES
from neurochip.network.calibrate import assumed_fracs
from neurochip.network.named import NamedNetwork, named_network
from neurochip.network.resolve import Lanes, core_spec
from neurochip.network.shape import layer_shapes
from neurochip.pricing import Pricer
from neurochip.rules.presets import Rule, find_rule
from neurochip.setup import chip_of
from neurochip.synthetic import Assumed, activity_of_drawing, draw_trace

WINDOWS, BLOCKS = (1, 2, 5), (1, 2, 4)
RATE, SEED = 0.1, 1


def rule_names(n_steps: int) -> list[str]:
    """End-to-end BPTT first; every K and b, updated once per sample and once per window."""
    windows = [*(k for k in WINDOWS if k < n_steps), n_steps]
    spatial = [*(f"local({b})" for b in BLOCKS), "backprop"]
    names = [f"unroll({k})/{way}/sample" for k in windows for way in spatial]
    names += [f"unroll({k})/local(1)/window({k})" for k in windows]
    return ["bptt", *(name for name in names if name != f"unroll({n_steps})/backprop/sample")]


def numbers(counts: tuple[Count, ...], footprint: dict[str, int]) -> list[float]:
    """MACs of errors, all MACs, ACs, accesses, memory, memory without weights and gradients."""
    macs = [(count.phase, count.number) for count in counts if count.key == "mac"]
    return [
        sum(number for phase, number in macs if phase == "error"),
        sum(number for _, number in macs),
        sum(count.number for count in counts if count.key == "ac"),
        sum(count.number for count in counts if is_memory(count.key)),
        footprint["total"],
        footprint["total"] - footprint["synapse"] - footprint["gradient"],
    ]


def costs_of(network: NamedNetwork, rules: list[Rule], rule: Rule) -> list[float]:
    """The numbers of one rule; formats are those of all of them."""
    experiment, n_inputs, n_classes = network.experiment, network.n_inputs, network.n_classes
    if n_inputs is None or n_classes is None:
        raise SystemExit("a named network is needed")
    shapes = layer_shapes(experiment, n_inputs, n_classes)
    rates = (RATE,) * len(shapes)
    fracs = assumed_fracs(experiment, shapes, rates, [np.ones(1)] * len(shapes), rules)
    chip = chip_of(experiment)
    spec = core_spec(experiment, rule, shapes, fracs, Lanes(chip.lanes, chip.trace_lanes))
    pricer, trace = Pricer(chip, ALL_GATES, spec), draw_trace(Assumed(rates), spec, 1, SEED)
    activity = activity_of_drawing(trace, spec, chip.lanes, chip.trace_lanes)
    return numbers(pricer.count(activity, trace).counts, pricer.footprint())


def main(name: str, n_steps: int) -> None:
    """Print the table."""
    rules = [find_rule(rule) for rule in rule_names(n_steps)]
    network = named_network(name, [f"task.steps={n_steps}", "chip.overflow=grow"])
    base = costs_of(network, rules, rules[0])
    print("| rule | MACs of errors | all MACs | ACs | accesses | memory | without weights and gradients |")
    print("|---|---|---|---|---|---|---|")
    for rule in rules[1:]:
        row = costs_of(network, rules, rule)
        changes = " | ".join(f"{100 * (value / of - 1):+.2f} %" for value, of in zip(row, base, strict=True))
        print(f"| `{rule.name}` | {changes} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
