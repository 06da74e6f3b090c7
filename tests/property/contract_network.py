"""One small network, a convolution, a pool, a recurrent layer, a dense one and a readout, under every rule."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from property_network_cases import fill_weights
from property_network_topology import Draft, add_feedback, cut_into_blocks, number
from property_strategies import Case, Pass, fill_samples

from neurochip.spec import NETWORK_INPUT, CoreSpec, LayerSpec
from neurochip.topology import Connection, ConvShape

N_STEPS, N_HIDDEN = 5, 3
UNROLLS = {"unroll(1)": 1, "unroll(2)": 2, "unroll(T)": N_STEPS}
TEMPORALS = ("trace", "spike", *UNROLLS)
SPATIALS = ("backprop", "local(1)", "local(2)", "local(all)", "feedback random", "feedback symmetric")
UPDATES = ("immediate", "deferred", "window", "sample", "batch")
LEAK = ("shift", 2)
FRAC_WEIGHT, FRAC_POTENTIAL, FRAC_TRACE, FRAC_ERROR, RATE_SHIFT = 6, 7, 6, 6, 8


@dataclass(frozen=True)
class Axes:
    """A point of the rule space."""

    temporal: str
    spatial: str
    update: str

    def __str__(self) -> str:
        return f"{self.temporal}-{self.spatial}-{self.update}"


def legal_axes() -> Iterator[Axes]:
    """Every legal combination: windows only for rules that unroll."""
    for temporal, spatial, update in itertools.product(TEMPORALS, SPATIALS, UPDATES):
        if update != "window" or temporal in UNROLLS:
            yield Axes(temporal, spatial, update)


def hidden_layers() -> list[Draft]:
    """Convolution 3 x 3 over 4 x 4 x 2; sum pool and recurrent dense; dense."""
    conv = ConvShape(4, 4, 2, 3, 3, 3, 1, 1, 1, 1)
    return [
        Draft("conv", 32, 48, [Connection(NETWORK_INPUT, 2, 4, 4)], (4, 4, 3), conv, leak=LEAK),
        Draft(
            "dense", 19, 7, [Connection(0, 3, 4, 4, 2, 2), Connection(1, 7, delay=1, offset=12)], (1, 1, 7), leak=LEAK
        ),
        Draft("dense", 7, 6, [Connection(1, 7)], (1, 1, 6), leak=LEAK),
    ]


def layers_of(spatial: str, leaky: bool) -> list[Draft]:
    """The layers with the connections, heads and feedback layers of a rule for the error in space."""
    hidden = hidden_layers()
    readout = Draft("readout", 6, 3, [Connection(2, 6)], (1, 1, 3), leak=LEAK if leaky else ("none", 0))
    behind: dict[int, Draft] = {}
    between: list[Draft] = []
    if spatial.startswith("local"):
        size = {"local(1)": 1, "local(2)": 2, "local(all)": N_HIDDEN}[spatial]
        between = cut_into_blocks(random.Random(1), hidden, readout, size, frozen=False)
    elif spatial.startswith("feedback"):
        behind = add_feedback(random.Random(1), hidden, readout, symmetric=spatial == "feedback symmetric")
    layers = number(hidden, behind, [*between, readout])
    for layer in layers:
        if layer.kind == "feedback":
            layer.signal_of = len(layers) - 1
    return layers


def layer_spec(layer: Draft, trace: bool) -> LayerSpec:
    """A layer with the formats that all layers have here."""
    keeps = trace and layer.learns and (layer.is_hidden or layer.leak[0] != "none")
    return LayerSpec(
        kind=layer.kind, n_in=layer.n_in, n_out=layer.n_out, bias=layer.bias, leak_kind=layer.leak[0],
        leak_value=layer.leak[1], threshold_q=64 if layer.is_hidden else 0, reset="subtract", keeps_trace=keeps,
        trace_leak_kind=LEAK[0], trace_leak_value=LEAK[1], frac_weight=FRAC_WEIGHT,
        frac_potential=0 if layer.kind == "feedback" else FRAC_POTENTIAL, frac_trace=FRAC_TRACE,
        frac_error=FRAC_ERROR, frac_gradient=FRAC_ERROR + FRAC_TRACE * keeps, inputs=tuple(layer.inputs),
        conv=layer.conv, learns=layer.learns, signal_of=layer.signal_of,
    )  # fmt: skip


def contract_spec(axes: Axes, leaky: bool = False, **changes: Any) -> CoreSpec:
    """The specification of the network under a rule."""
    trace = axes.temporal == "trace"
    accumulates = axes.update != "immediate"
    values: dict[str, Any] = {
        "layers": tuple(layer_spec(layer, trace) for layer in layers_of(axes.spatial, leaky)), "n_steps": N_STEPS,
        "event_bits": 1, "weight_bits": 8, "weight_rounding": "stochastic", "membrane_bits": 12, "trace_bits": 8,
        "trace_gate": 0, "error_bits": 8, "error_rounding": "nearest", "delta_bits": 12, "surrogate_bits": 4,
        "surrogate": "sigmoid", "gradient_bits": 24, "readout_bits": 24,
        "credit": "unroll" if axes.temporal in UNROLLS else axes.temporal,
        "update": "accumulate" if accumulates else "immediate", "batch": 2 if axes.update == "batch" else 1,
        "rate_multiplier": 11, "rate_shift": RATE_SHIFT, "mse_share_q": 0, "deliver": "synapse",
        "reset_path": "detached", "rng_lanes": 4, "seed": 3, "synapse_lanes": 4, "trace_lanes": 4,
        "unroll_steps": UNROLLS.get(axes.temporal, 0),
        "apply_when": axes.update if axes.update in ("deferred", "window") else "sample",
        "apply_every": {"deferred": 2, "window": max(2, UNROLLS.get(axes.temporal, 0))}.get(axes.update, 1),
    }  # fmt: skip
    return CoreSpec(**(values | changes))


def contract_case(spec: CoreSpec, seed: int = 1) -> Case:
    """Three samples in two passes that learn, the first of which leaves the epoch open, and one of inference."""
    fill = np.random.default_rng(seed)
    weights, samples = fill_weights(spec, False, fill), fill_samples(spec, 2, 0.4, fill)
    passes = (Pass((0, 1), True, False, (0, 1)), Pass((1,), True, True, (0,)), Pass((0,), False, True, (0,)))
    return Case("contract", spec, False, seed, passes, weights, samples)
