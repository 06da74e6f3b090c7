"""The float twin of an integer specification, with any of its quantisers: what the tests of quantisers share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurochip.core.float_core import FloatCore
from neurochip.core.float_formats import QUANTISERS, Quantisers
from neurochip.core.float_spec import FloatLayerSpec, FloatSpec
from neurochip.events import EventDataset
from neurochip.spec import CoreSpec, LayerSpec

N_SAMPLES = 6
RULES = {  # temporal credit and update with which each quantiser does something
    "weight": ("spike", "immediate"),
    "membrane": ("spike", "accumulate"),
    "surrogate": ("spike", "accumulate"),
    "trace": ("trace", "accumulate"),
    "error": ("spike", "accumulate"),
    "delta": ("unroll", "accumulate"),
    "gradient": ("trace", "accumulate"),
    "readout": ("spike", "accumulate"),
}


def leak_of(kind: str, value: int) -> float:
    return {"none": 0.0, "shift": 1.0 - 2.0**-value, "constant": value / 65536}[kind]


def float_layer(layer: LayerSpec, spec: CoreSpec) -> FloatLayerSpec:
    """One layer in real numbers; g of its standardisation is that of the constant C."""
    k = layer.n_weight_rows
    unit = 2.0 ** (layer.frac_weight + layer.standardise_shift)
    gain = layer.standardise_constant * k / (unit * max(1.0, k - 1.0) ** 0.5)
    return FloatLayerSpec(
        kind=layer.kind,
        n_in=layer.n_in,
        n_out=layer.n_out,
        bias=layer.bias,
        leak=leak_of(layer.leak_kind, layer.leak_value),
        threshold=layer.threshold_q * 2.0**-layer.frac_potential,
        reset=layer.reset,
        keeps_trace=layer.keeps_trace,
        trace_leak=leak_of(layer.trace_leak_kind, layer.trace_leak_value),
        trace_gate=spec.trace_gate * 2.0**-layer.frac_trace,
        event_scale=2.0**-layer.frac_event,
        inputs=layer.inputs,
        conv=layer.conv,
        learns=layer.learns,
        signal_of=layer.signal_of,
        trace_filter=leak_of(layer.filter_leak_kind, layer.filter_leak_value)
        if layer.filter_leak_kind != "none"
        else None,
        gain=gain,
        rate_scale=2.0**layer.rate_boost,
        bias_trace=spec.bias_trace,
        current_leak=leak_of(layer.current_leak_kind, layer.current_leak_value) if layer.has_current else None,
    )


def float_spec_of(spec: CoreSpec, names: Sequence[str] = QUANTISERS) -> FloatSpec:
    """The twin's specification with some quantisers (default: all)."""
    return FloatSpec(
        layers=tuple(float_layer(layer, spec) for layer in spec.layers),
        n_steps=spec.n_steps,
        surrogate=spec.surrogate,
        credit=spec.credit,
        update=spec.update,
        batch=spec.batch,
        rate=spec.rate_multiplier * 2.0**-spec.rate_shift,
        mse_share=spec.mse_share_q / 256,
        reset_path=spec.reset_path,
        unroll_steps=spec.unroll_steps,
        apply_when=spec.apply_when,
        apply_every=spec.apply_every,
        loss_start=spec.loss_start,
        update_every=spec.update_every,
        momentum=1.0 - 2.0**-spec.momentum_shift if spec.momentum_shift else 0.0,
        standardise_every=spec.standardise_every,
        quantisers=Quantisers(tuple(names), spec) if names else None,
    )


def real_weights(spec: CoreSpec, codes: Sequence[NDArray[np.integer]]) -> list[NDArray[np.float64]]:
    return [rows * 2.0**-layer.frac_weight for rows, layer in zip(codes, spec.layers, strict=True)]


def twin_of(
    spec: CoreSpec, codes: Sequence[NDArray[np.integer]], names: Sequence[str] = QUANTISERS, dtype: str = "float64"
) -> FloatCore:
    """The twin with the weights of these codes."""
    return FloatCore(float_spec_of(spec, names), real_weights(spec, codes), dtype)


def small_spec(credit: str, update: str, **changes: Any) -> CoreSpec:
    """12 inputs, 9 hidden neurons, 3 classes, 7 steps, events of magnitudes 1 to 3; formats of few bits."""
    trace = credit == "trace"
    hidden = LayerSpec(
        "dense", 12, 9, True, "shift", 2, 80, "subtract", trace, "constant", 50000, 4, 6, 3, 5, 3 * trace + 4
    )
    readout = replace(
        hidden, kind="readout", n_in=9, n_out=3, leak_kind="shift", leak_value=1, threshold_q=0, frac_gradient=5,
    )  # fmt: skip
    fields: dict[str, Any] = {
        "layers": (hidden, readout), "n_steps": 7, "event_bits": 2, "weight_bits": 6, "weight_rounding": "stochastic",
        "membrane_bits": 9, "trace_bits": 6, "trace_gate": 0, "error_bits": 6, "error_rounding": "nearest",
        "delta_bits": 7, "surrogate_bits": 4, "surrogate": "sigmoid", "gradient_bits": 12, "readout_bits": 10,
        "credit": credit, "update": update, "batch": 4 if update == "accumulate" else 1, "rate_multiplier": 11,
        "rate_shift": 7, "mse_share_q": 0, "deliver": "neuron", "reset_path": "detached", "rng_lanes": 4, "seed": 5,
        "synapse_lanes": 4, "trace_lanes": 4,
    }  # fmt: skip
    return CoreSpec(**(fields | changes))


def data_of(spec: CoreSpec) -> tuple[EventDataset, np.ndarray]:
    """Samples of graded events, and their frames [samples, T, inputs]."""
    rng = np.random.default_rng(2)
    shape = N_SAMPLES, spec.n_steps, 12
    frames = rng.integers(1, 4, shape) * (rng.random(shape) < 0.4)
    rows, addresses = np.nonzero(frames.reshape(-1, 12))
    offsets = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=shape[0] * shape[1]))])
    magnitudes = frames.reshape(-1, 12)[rows, addresses]
    labels = np.arange(N_SAMPLES) % 3
    return EventDataset(offsets, addresses, magnitudes, labels, 12, spec.n_steps), frames.astype(float)


def core_of(spec: CoreSpec, *names: str) -> FloatCore:
    """The twin with real weights that lie on no grid."""
    rng = np.random.default_rng(3)
    weights = [rng.normal(0.15, 1.6 / math.sqrt(n), (n + 1, m)) for n, m in ((12, 9), (9, 3))]
    return FloatCore(float_spec_of(spec, names), weights)
