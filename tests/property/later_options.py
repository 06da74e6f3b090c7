"""Standardisation, scaled events, traces of biases, synaptic currents (semantics 1, 3) drawn on top of a legal spec."""

from __future__ import annotations

import dataclasses
import math
import random

from property_strategies import draw_leak

from neurochip.spec import MAX_SHIFT, CoreSpec, LayerSpec
from neurochip.spec_rule import MAX_STANDARDISE_CONSTANT, MAX_STANDARDISED

BOOSTS = range(-2, 4)


def draw_later_options(rng: random.Random, spec: CoreSpec, hostile: bool) -> CoreSpec:
    """What came to the page after the other draws, which so stay what they were for a seed."""
    spec = _draw_standardisation(rng, spec, hostile)
    spec = dataclasses.replace(spec, bias_trace=spec.credit == "trace" and rng.randint(0, 99) < 40)
    return _draw_currents(rng, spec)


def _draw_currents(rng: random.Random, spec: CoreSpec) -> CoreSpec:
    """Synaptic currents, in half of the networks, for about six in ten of the layers that may have one."""
    if rng.randint(0, 1):
        return spec
    layers = tuple(_with_current(rng, layer) if rng.randint(0, 99) < 60 else layer for layer in spec.layers)
    return dataclasses.replace(spec, layers=layers)


def _with_current(rng: random.Random, layer: LayerSpec) -> LayerSpec:
    """The layer with a current, whose trace mostly has the leak of the current and then that of before."""
    memoryless = (layer.leak_kind, layer.leak_value) in (("none", 0), ("constant", 0))
    if layer.kind == "feedback" or (layer.kind == "readout" and memoryless):
        return layer
    kind, value = draw_leak(rng)
    layer = dataclasses.replace(layer, current_leak_kind=kind, current_leak_value=value)
    if rng.randint(0, 99) < 25:
        return layer
    before = layer.trace_leak_kind, layer.trace_leak_value
    return dataclasses.replace(
        layer,
        trace_leak_kind=kind,
        trace_leak_value=value,
        filter_leak_kind=before[0],
        filter_leak_value=before[1],
    )


def _draw_standardisation(rng: random.Random, spec: CoreSpec, hostile: bool) -> CoreSpec:
    """Sometimes rates per layer, sometimes layers that are standardised after every first to third sample."""
    if spec.credit == "none":
        return spec
    if rng.randint(0, 99) >= 60:
        layers = tuple(_with_boost(rng, spec, index) for index in range(len(spec.layers)))
        spec = dataclasses.replace(spec, layers=layers)
    if rng.randint(0, 99) < 60:
        return spec
    able = [k for k, layer in enumerate(spec.layers) if layer.learns and can_be_standardised(spec, layer)]
    if not able:
        return spec
    chosen = {rng.choice(able), *(k for k in able if rng.randint(0, 99) < 50)}
    layers = tuple(
        dataclasses.replace(layer, standardise_constant=_draw_constant(rng, spec, layer, hostile))
        if k in chosen
        else layer
        for k, layer in enumerate(spec.layers)
    )
    return dataclasses.replace(spec, layers=layers, standardise_every=rng.choice([1, 2, 3, 2]))


def can_be_standardised(spec: CoreSpec, layer: LayerSpec) -> bool:
    return layer.kind != "feedback" and 2 <= layer.n_weight_rows <= MAX_STANDARDISED >> spec.weight_bits


def _with_boost(rng: random.Random, spec: CoreSpec, index: int) -> LayerSpec:
    layer = spec.layers[index]
    if not layer.learns:
        return layer
    shift = spec.apply_shift(index) if spec.update == "accumulate" else spec.update_shift(index)
    boosts = [boost for boost in BOOSTS if 0 <= shift - boost <= MAX_SHIFT]
    return dataclasses.replace(layer, rate_boost=rng.choice(boosts))


def _draw_constant(rng: random.Random, spec: CoreSpec, layer: LayerSpec, hostile: bool) -> int:
    """C for a standard deviation like that of drawn weights, in hostile cases of any size."""
    if hostile and rng.randint(0, 1):
        return rng.randint(1, (1 << rng.randint(1, 62)) - 1)
    k = layer.n_weight_rows
    deviation = rng.choice([1.0, 0.5, 2.0, 1.3]) * 2.0 ** min(layer.frac_weight, spec.weight_bits - 2) / math.sqrt(k)
    constant = math.floor(deviation * 2.0**layer.standardise_shift * math.sqrt((k - 1) / k) + 0.5)
    return min(max(1, constant), MAX_STANDARDISE_CONSTANT - 1)
