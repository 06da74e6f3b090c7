"""What `ottt_core` counts, as tables of docs/microarchitecture.md: got by running the count, on made-up activity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from neurochip.config import load_experiment
from neurochip.counters import COUNTER_KEYS, PHASES, Count
from neurochip.estimate import Asked, draw_point
from neurochip.network.named import NamedNetwork
from neurochip.priced import PricedRule
from neurochip.pricing import eventful_activity, eventful_trace
from neurochip.rules.presets import DEFAULT_COMPARISON

Place = tuple[str, str]  # phase, counter
Widths = tuple[int, ...]
Counted = dict[Place, dict[Widths, set[str]]]  # the rules that count it at these widths

READOUT = {"kind": "readout"}
DENSE = {"kind": "dense", "neurons": 128}
N_INPUTS, N_CLASSES = 512, 10
# What is chosen otherwise than by default, and may be counted then: layers, settings.
OPTIONS: Mapping[str, tuple[Sequence[Mapping[str, Any]], Sequence[str]]] = {
    "`leak_constant` of a layer": ([DENSE | {"leak_constant": 60000}, READOUT], ()),
    "`current_leak_constant` of a layer": ([DENSE | {"current_leak_constant": 60000}, READOUT], ()),
    "a leaky readout": ([DENSE, READOUT | {"leak_shift": 3}], ()),
    "`precision.event.bits` > 1": ([DENSE, READOUT], ["precision.event.bits=4"]),
    "`precision.trace.gate` > 0": ([DENSE, READOUT], ["precision.trace.gate=1"]),
    "`learning.trace_filter`": ([DENSE, READOUT], ["learning.trace_filter=3"]),
    "`learning.mse_share` > 0": ([DENSE, READOUT], ["learning.mse_share=0.5"]),
    '`learning.reset_path = "exact"`': ([DENSE, READOUT], ['learning.reset_path="exact"']),
    "`learning.momentum_shift` > 0": ([DENSE, READOUT], ["learning.momentum_shift=3"]),
    "`precision.gradient.frac` by hand": ([DENSE, READOUT], ["precision.gradient.frac=4"]),
    "`learning.standardise_every` > 0": (
        [DENSE | {"standardise": True}, READOUT],
        ["learning.standardise_every=1"],
    ),
    "a recurrent layer": ([DENSE | {"recurrent": True}, READOUT], ()),
    "several connections of one layer": ([DENSE | {"name": "a"}, DENSE, {"kind": "add", "layer": "a"}, READOUT], ()),
    "a convolution": (
        [{"kind": "conv2d", "channels": 8, "kernel": 3, "padding": 1}, {"kind": "sumpool", "kernel": 2}, READOUT],
        ["network.input_shape=[2,16,16]"],
    ),
    # So large that weights, gradients and history do not fit.
    '`chip.overflow = "dram"`': ([DENSE | {"neurons": 1000}, READOUT], ['chip.overflow="dram"', "task.steps=100"]),
}


@cache
def default_counted() -> Counted:
    """What the default rules count on 512-128-10 with default formats and chip."""
    return _counted([DENSE, READOUT], ())


@cache
def option_counted(option: str) -> Counted:
    """What they count where one thing of OPTIONS is chosen."""
    return _counted(*OPTIONS[option])


def counted_kinds() -> set[Place]:
    """Every (phase, counter) that some choice leads to."""
    return set(default_counted()).union(*(option_counted(option) for option in OPTIONS))


def _counted(layers: Sequence[Mapping[str, Any]], settings: Sequence[str]) -> Counted:
    tables = {"network": {"layers": [dict(layer) for layer in layers]}}
    experiment = load_experiment(None, settings, tables=tables)
    network = NamedNetwork(experiment, N_INPUTS, N_CLASSES, "docs", Path())
    _, priced, refused = draw_point(network, Asked(n_samples=1))
    if refused:
        raise ValueError(f"{settings}: {refused}")
    found: Counted = {}
    for rule, one in priced.items():
        for count in _everything(one):
            widths = found.setdefault((count.phase, count.key), {})
            widths.setdefault(count.widths_bits, set()).add(rule)
    return found


def _everything(rule: PricedRule) -> list[Count]:
    """The counts of a drawn sample, and of one in which everything happens somewhere."""
    eventful = eventful_activity(rule.pricer.spec, rule.pricer.chip, learning=True)
    return [
        *rule.pricer.count(rule.activity, rule.trace).counts,
        *rule.pricer.count(eventful, eventful_trace(rule.pricer.spec)).counts,
    ]


def counted_table() -> str:
    """Phase, counter, widths in bits, and the default rules that count it."""
    rows = []
    for phase, key in _in_order(default_counted()):
        by_rules: dict[str, list[str]] = {}
        for widths, rules in sorted(default_counted()[phase, key].items()):
            by_rules.setdefault(_rules(rules), []).append(_text(widths))
        rows += [f"| {phase} | `{key}` | {', '.join(texts)} | {rules} |" for rules, texts in by_rules.items()]
    return "\n".join(["| phase | counter | widths, bits | rules |", "|---|---|---|---|", *rows])


def option_table() -> str:
    """Per option the counters that no default rule has in that phase."""
    rows = []
    for option in OPTIONS:
        new = _in_order(set(option_counted(option)) - set(default_counted()))
        texts = [f"{phase}: " + ", ".join(f"`{key}`" for p, key in new if p == phase) for phase, _ in new]
        if new:
            rows.append(f"| {option} | {'; '.join(dict.fromkeys(texts))} |")
    return "\n".join(["| with | also counted |", "|---|---|", *rows])


def _in_order(places: Any) -> list[Place]:
    return sorted(places, key=lambda place: (PHASES.index(place[0]), COUNTER_KEYS.index(place[1])))


def _text(widths: Widths) -> str:
    return f"({', '.join(map(str, widths))})"


def _rules(rules: set[str]) -> str:
    missing = [rule for rule in DEFAULT_COMPARISON if rule not in rules]
    if not missing:
        return "all"
    if len(missing) == 1:
        return f"all but `{missing[0]}`"
    return ", ".join(f"`{rule}`" for rule in DEFAULT_COMPARISON if rule in rules)
