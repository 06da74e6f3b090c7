"""Drawn cases over the whole rule space: a drawn network, formats that are legal for it, a rule, weights and samples.

A rule here is "temporal / spatial / update". Every case is legal by construction. Three in four have sensible formats,
in which layers spike and learn; the others are hostile: everything saturates.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray
from property_later_options import draw_later_options
from property_network_formats import Fracs, draw_fracs, draw_rate, fit_sums
from property_network_topology import SPATIALS, Draft, draw_layers
from property_strategies import Case, chance, clip, draw_bits, draw_leak, draw_pass, fill_samples

from neurochip.fixed_point import MAX_FRAC
from neurochip.spec import CoreSpec, LayerSpec

TEMPORALS = ("trace", "spike", "unroll")
MORE_UNROLL = (*TEMPORALS, "unroll")  # it has more to get wrong
UPDATES = ("immediate", "sample", "deferred", "window")


@dataclass(frozen=True)
class Rule:
    """Where a case lies on the axes of semantics section 4; temporal "none" is inference."""

    temporal: str
    spatial: str
    update: str

    @property
    def name(self) -> str:
        return " / ".join((self.temporal, self.spatial, self.update))


def draw_rule(rng: random.Random) -> Rule:
    if chance(rng, 4):
        return Rule("none", rng.choice(SPATIALS), "none")
    temporal = rng.choice(MORE_UNROLL)
    update = rng.choice([*UPDATES, "window"] if temporal == "unroll" else UPDATES[:-1])
    return Rule(temporal, rng.choice(["backprop", *SPATIALS]), update)


def draw_traces(rng: random.Random, layers: list[Draft], temporal: str) -> None:
    """Which layers learn from a trace, its leak and its filter; the first layer and memoryless readouts by option."""
    readout_trace, from_input = chance(rng, 40), chance(rng, 25)
    filter_leak = draw_leak(rng) if chance(rng, 35) else ("none", 0)
    before = ("shift", 1)
    for layer in layers:
        if layer.is_hidden:
            before = layer.leak
        memoryless = layer.leak[0] == "none"
        layer.trace_leak = before if memoryless else layer.leak
        takes_input = layer.is_hidden and any(one.source < 0 for one in layer.inputs)
        wanted = not (takes_input and from_input) and (not memoryless or readout_trace)
        layer.keeps_trace = temporal == "trace" and layer.learns and wanted
        if layer.keeps_trace:
            layer.filter_leak = filter_leak


def layer_specs(
    rng: random.Random, layers: list[Draft], fracs: Fracs, membrane_bits: int, exact: bool
) -> tuple[LayerSpec, ...]:
    specs = []
    highest = (1 << (membrane_bits - 1)) - 1
    for k, layer in enumerate(layers):
        threshold = int(rng.choice([1.0, 0.25, 0.5, 0.5]) * 2 ** fracs.potential[k])
        feedback = layer.kind == "feedback"
        specs.append(
            LayerSpec(
                kind=layer.kind,
                n_in=layer.n_in,
                n_out=layer.n_out,
                bias=layer.bias,
                leak_kind=layer.leak[0],
                leak_value=layer.leak[1],
                threshold_q=clip(threshold, 1, highest) if layer.is_hidden else 0,
                reset="zero" if not exact and chance(rng, 40) else "subtract",
                keeps_trace=layer.keeps_trace,
                trace_leak_kind=layer.trace_leak[0],
                trace_leak_value=layer.trace_leak[1],
                frac_weight=fracs.weight[k],
                frac_potential=0 if feedback else fracs.potential[k],
                frac_trace=fracs.trace[k],
                frac_error=fracs.error[k],
                frac_gradient=min(MAX_FRAC, fracs.gradient[k]),
                frac_event=layer.frac_event,
                inputs=tuple(layer.inputs),
                conv=layer.conv,
                learns=layer.learns,
                signal_of=layer.signal_of,
                filter_leak_kind=layer.filter_leak[0],
                filter_leak_value=layer.filter_leak[1],
            )
        )
    return tuple(specs)


def draw_schedule(rng: random.Random, rule: Rule, n_steps: int) -> dict[str, Any]:
    """Windows of unroll, when gradients are applied, momentum, steps without a loss."""
    unroll_steps = rng.choice([0, 1, 2, 2, 3, rng.randint(1, n_steps), n_steps, n_steps + rng.randint(1, 3)])
    window = min(unroll_steps or n_steps, n_steps) if rule.temporal == "unroll" else 1
    accumulates = rule.update not in ("immediate", "none")
    every = {"deferred": rng.randint(1, n_steps + 1), "window": window + rng.choice([0, 0, 1, 2])}
    schedule = {
        "update": "accumulate" if accumulates else rule.update,
        "unroll_steps": unroll_steps if rule.temporal == "unroll" else 0,
        "apply_when": rule.update if accumulates else "sample",
        "apply_every": every.get(rule.update, 1),
        "batch": rng.choice([1, 2, 3]) if rule.update == "sample" else 1,
        "momentum_shift": rng.choice([1, 2, 3, 15]) if accumulates and chance(rng, 40) else 0,
        "loss_start": rng.choice([min(2, n_steps), n_steps // 2 + 1, n_steps]) if chance(rng, 25) else 1,
        "update_every": rng.choice([2, 2, 3]) if n_steps > 2 and chance(rng, 20) else 1,
    }
    if chance(rng, 3):
        schedule["loss_start"] = n_steps + 1
    return schedule


def draw_gate(rng: random.Random, trace_bits: int) -> int:
    """No gate, any, or a power of two, which a trace of one event can meet exactly."""
    highest = max(0, trace_bits - 2)
    return rng.choice([0, 0, rng.randint(1, 1 << highest), 1 << rng.randint(highest // 2, highest)])


def draw_spec(rng: random.Random, rule: Rule, hostile: bool, layers: list[Draft], n_steps: int) -> CoreSpec:
    """Formats and options for these layers."""
    draw_traces(rng, layers, rule.temporal)
    bits = draw_bits(rng, hostile)
    deliver = "neuron" if chance(rng, 20) else "synapse"
    if deliver == "neuron":
        bits["weight_bits"] = min(bits["weight_bits"], 12)
    if chance(rng, 30):
        bits["delta_bits"] = bits["error_bits"]  # delta saturates
    most_p = fit_sums(layers, bits, rule.temporal == "unroll")
    accumulates = rule.update not in ("immediate", "none")
    fracs = draw_fracs(rng, hostile, bits, layers, accumulates, deliver, most_p)
    low, high = fracs.rate_shifts(layers)
    if low > high:  # no s serves all layers
        fracs = draw_fracs(rng, False, bits, layers, accumulates, deliver, most_p)
    multiplier, shift = draw_rate(rng, hostile, fracs, layers)
    widest = max([4, *(fracs.potential[k] for k, layer in enumerate(layers) if layer.is_hidden)])
    membrane_bits = rng.choice([6, 8, 12, 16, 24]) if hostile else clip(widest + rng.choice([3, 2, 5]), 6, 24)
    exact = rule.temporal == "unroll" and chance(rng, 35)
    return CoreSpec(
        layers=layer_specs(rng, layers, fracs, membrane_bits, exact),
        n_steps=n_steps,
        weight_rounding=rng.choice(["stochastic", "stochastic", "nearest", "floor"]),
        membrane_bits=membrane_bits,
        trace_gate=draw_gate(rng, bits["trace_bits"]),
        error_rounding=rng.choice(["nearest", "nearest", "floor"]),
        surrogate=rng.choice(["sigmoid", "triangle", "rectangle"]),
        credit=rule.temporal,
        rate_multiplier=multiplier,
        rate_shift=shift,
        mse_share_q=rng.choice([0, 0, 0, rng.randint(1, 256)]),
        deliver=deliver,
        reset_path="exact" if exact else "detached",
        rng_lanes=rng.choice([16, 16, 16, 1, 5, 64, rng.randint(1, 64)]),
        seed=rng.choice([0, 1, rng.randint(0, 2**40)]),
        synapse_lanes=rng.choice([16, 4, 1, 2, rng.randint(1, 32)]),
        trace_lanes=rng.choice([16, 4, 1, 2, rng.randint(1, 32)]),
        **draw_schedule(rng, rule, n_steps),
        **bits,
    )


def events_of_a_neuron(layer: LayerSpec) -> int:
    """The largest number of events of the first connection that a neuron can get."""
    rows = layer.n_in if layer.conv is None else layer.conv.n_rows // layer.conv.groups
    return rows * layer.inputs[0].pool_height * layer.inputs[0].pool_width if layer.inputs else rows


def fill_weights(spec: CoreSpec, hostile: bool, rng: np.random.Generator) -> list[NDArray[np.int64]]:
    """Weights over the whole range if hostile, else a fan-in that makes all layers spike."""
    low, high = -(1 << (spec.weight_bits - 1)), (1 << (spec.weight_bits - 1)) - 1
    weights = []
    for layer in spec.layers:
        shape = (layer.n_weight_rows + layer.n_bias_rows, layer.columns)
        if hostile:
            values = rng.integers(low, high + 1, size=shape)
        else:
            deviation = 1.7 / math.sqrt(events_of_a_neuron(layer)) * 2.0**layer.frac_event
            values = np.rint(rng.normal(0.4 * deviation, deviation, size=shape) * 2.0**layer.frac_weight)
        values = np.clip(values, low, high).astype(np.int64)
        if not layer.bias:
            values[layer.n_weight_rows :] = 0
        weights.append(values)
    return weights


def draw_network_case(rng: random.Random, rule: Rule | None = None) -> Case:
    """One legal case: a pass that leaves the epoch open, sometimes inference, and a pass that ends it."""
    chosen = rule or draw_rule(rng)
    hostile = chance(rng, 25)
    spec = draw_spec(rng, chosen, hostile, draw_layers(rng, chosen.spatial), rng.choice([4, 5, 3, 6, 7, 5, 1, 2]))
    n_samples = rng.randint(1, 3)
    passes = [draw_pass(rng, n_samples, True, False, longest=2)]
    if chance(rng, 25):
        passes.append(draw_pass(rng, n_samples, False, True, longest=1))
    passes.append(draw_pass(rng, n_samples, True, True, longest=2))
    seed = rng.randint(0, 2**32 - 1)
    fill = np.random.default_rng(seed)
    rate = rng.choice([0.4, 0.2, 0.3, 0.8])
    weights, samples = fill_weights(spec, hostile, fill), fill_samples(spec, n_samples, rate, fill)
    spec = draw_later_options(rng, spec, hostile)  # last, so that it moves no other draw
    return Case(chosen.name, spec, hostile, seed, tuple(passes), weights, samples)


def fixed_network_case(seed: int, rule: Rule | None = None) -> Case:
    """The case of a seed, without hypothesis."""
    return draw_network_case(random.Random(seed), rule)


def network_cases() -> st.SearchStrategy[Case]:
    """Cases for hypothesis; each decision is drawn, and shrunk, by it."""
    return st.randoms(use_true_random=False).map(draw_network_case)
