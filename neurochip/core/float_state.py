"""Tables, state and results of the float twin, as its kernels see them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurochip.core.float_spec import CREDITS, SURROGATES, UPDATES, FloatLayerSpec, FloatSpec
from neurochip.errors import UserError
from neurochip.events import EventDataset

Array = NDArray[Any]
Reals = NDArray[np.floating[Any]]

# Columns of Network.sizes.
N_IN, N_OUT, WEIGHT_AT, OUTPUT_AT, INPUT_AT, KEEPS_TRACE, HAS_BIAS, RESET_ZERO = range(8)
# Columns of Network.reals.
LEAK, THRESHOLD, TRACE_LEAK, TRACE_GATE, STATE_FLOOR, TRACE_FLOOR = range(6)
# First axis of State.history: u before the reset (z of the readout), psi, d, and g (e of the readout, or delta).
POTENTIAL, PSI, BACK, SIGNAL = range(4)
CREDIT_NONE, CREDIT_TRACE, CREDIT_SPIKE, CREDIT_UNROLL = range(len(CREDITS))
UPDATE_NONE, UPDATE_IMMEDIATE, UPDATE_ACCUMULATE = range(len(UPDATES))
SIGMOID, TRIANGLE, RECTANGLE = range(len(SURROGATES))

# Floors keep denormal numbers, which are slow, out of the loops. A trace starts at 1 or more, so what is dropped is
# below the rounding error of its first value; 2^-100 is far above the denormals of float32.
MEMBRANE_FLOOR = 2.0**-100
PRESYNAPTIC_FLOOR = 2.0**-60


class Events(NamedTuple):
    """The arrays of an EventDataset."""

    step_offsets: Array
    addresses: Array
    magnitudes: Array
    labels: Array


class Network(NamedTuple):
    """The layers: int64 `sizes` [L, 8], `reals` [L, 6], and flat weights and gradients, row = presynaptic address."""

    sizes: Array
    reals: Array
    weights: Array
    gradients: Array


class Rule(NamedTuple):
    """The learning rule as codes and numbers; batch = 0 leaves accumulated gradients where they are."""

    credit: int
    update: int
    batch: int
    surrogate: int
    reset_exact: int
    rate: float
    mse_share: float


class State(NamedTuple):
    """State and history of one sample; N = outputs of all layers, I = inputs of all layers."""

    residual: Array  # [N] u after reset
    trace: Array  # [I]
    history: Array  # [4, T, N]
    spikes: Array  # int32 [T, N], addresses of the spikes of layer l, ascending, from OUTPUT_AT on
    n_spikes: Array  # int64 [T, L]
    ones: Array  # int32 [N], magnitudes of spikes


class Results(NamedTuple):
    """What a run hands back: n samples, P of them probed."""

    readout_sums: Array  # [n, C]
    losses: Array  # float64 [n]
    spike_totals: Array  # int64 [L]
    probe_slots: Array  # int64 [n], -1 = not probed
    trace: Array  # [P, T, I]
    history: Array  # [P, 4, T, N]
    fired: Array  # uint8 [P, T, N]


def flat_views(spec: FloatSpec, dtype: np.dtype[Any]) -> tuple[Reals, list[Reals]]:
    """Return one zeroed flat array and, per layer, a view of shape (n_in + 1, n_out) into it."""
    sizes = [(layer.n_in + 1) * layer.n_out for layer in spec.layers]
    flat = np.zeros(sum(sizes), dtype)
    parts = np.split(flat, np.cumsum(sizes)[:-1])
    return flat, [part.reshape(-1, layer.n_out) for part, layer in zip(parts, spec.layers, strict=True)]


def new_network(spec: FloatSpec, weights: Reals, gradients: Reals) -> Network:
    """Describe the layers by tables."""
    rows: list[tuple[int, ...]] = []
    weight_at = output_at = input_at = 0
    for layer in spec.layers:
        flags = layer.keeps_trace and spec.credit == "trace", layer.bias, layer.reset == "zero"
        rows.append((layer.n_in, layer.n_out, weight_at, output_at, input_at, *map(int, flags)))
        weight_at += (layer.n_in + 1) * layer.n_out
        output_at += layer.n_out
        input_at += layer.n_in
    reals = np.array([_real_row(layer) for layer in spec.layers], weights.dtype)
    return Network(np.array(rows, np.int64), reals, weights, gradients)


def _real_row(layer: FloatLayerSpec) -> tuple[float, ...]:
    leak = 0.0 if layer.kind == "readout" else layer.leak
    return leak, layer.threshold, layer.trace_leak, layer.trace_gate, MEMBRANE_FLOOR, PRESYNAPTIC_FLOOR


def new_rule(spec: FloatSpec) -> Rule:
    """Turn the names of a rule into codes."""
    return Rule(
        credit=CREDITS.index(spec.credit),
        update=UPDATES.index(spec.update),
        batch=int(spec.batch),
        surrogate=SURROGATES.index(spec.surrogate),
        reset_exact=int(spec.reset_path == "exact"),
        rate=float(spec.rate),
        mse_share=float(spec.mse_share),
    )


def new_state(spec: FloatSpec, dtype: np.dtype[Any]) -> State:
    """Allocate the state of one sample."""
    n_outputs = sum(layer.n_out for layer in spec.layers)
    return State(
        residual=np.zeros(n_outputs, dtype),
        trace=np.zeros(sum(layer.n_in for layer in spec.layers), dtype),
        history=np.zeros((4, spec.n_steps, n_outputs), dtype),
        spikes=np.zeros((spec.n_steps, n_outputs), np.int32),
        n_spikes=np.zeros((spec.n_steps, len(spec.layers)), np.int64),
        ones=np.ones(n_outputs, np.int32),
    )


def new_results(spec: FloatSpec, state: State, slots: NDArray[np.int64]) -> Results:
    """Allocate the results of a run with one entry of `slots` per sample."""
    n_probed = int(slots.max(initial=-1)) + 1
    n_outputs, dtype = state.residual.size, state.residual.dtype
    return Results(
        readout_sums=np.zeros((slots.size, spec.layers[-1].n_out), dtype),
        losses=np.zeros(slots.size),
        spike_totals=np.zeros(len(spec.layers), np.int64),
        probe_slots=slots,
        trace=np.zeros((n_probed, spec.n_steps, state.trace.size), dtype),
        history=np.zeros((n_probed, 4, spec.n_steps, n_outputs), dtype),
        fired=np.zeros((n_probed, spec.n_steps, n_outputs), np.uint8),
    )


def probes_by_name(spec: FloatSpec, network: Network, results: Results, learn: bool) -> dict[str, Array]:
    """Split the probe arrays by signal and layer."""
    probes: dict[str, Array] = {}
    for index, layer in enumerate(spec.layers):
        low, start = int(network.sizes[index, OUTPUT_AT]), int(network.sizes[index, INPUT_AT])
        signals = results.history[..., low : low + layer.n_out]
        probes[f"potential/{index}"] = signals[:, POTENTIAL]
        if layer.kind == "dense":
            probes[f"spike/{index}"] = results.fired[..., low : low + layer.n_out]
        if learn:
            probes[f"signal/{index}"] = signals[:, SIGNAL]
        if learn and layer.kind == "dense":
            probes[f"psi/{index}"] = signals[:, PSI]
            probes[f"d/{index}"] = signals[:, BACK]
        if learn and network.sizes[index, KEEPS_TRACE]:
            probes[f"trace/{index}"] = results.trace[..., start : start + layer.n_in]
    return probes


def event_arrays(dataset: EventDataset) -> Events:
    """Return the arrays as the kernels are compiled for: contiguous, writeable, one integer type each."""
    return Events(
        np.require(dataset.step_offsets, np.int64, ["C", "W"]),
        np.require(dataset.addresses, np.int32, ["C", "W"]),
        np.require(dataset.magnitudes, np.int32, ["C", "W"]),
        np.require(dataset.labels, np.int32, ["C", "W"]),
    )


def check_weights(spec: FloatSpec, weights: Sequence[Any]) -> None:
    """Raise UserError unless there is one (n_in + 1, n_out) array per layer."""
    if len(weights) != len(spec.layers):
        raise UserError(f"{len(weights)} weight arrays were given for {len(spec.layers)} layers")
    for index, (layer, values) in enumerate(zip(spec.layers, weights, strict=True)):
        shape = layer.n_in + 1, layer.n_out
        if np.shape(values) != shape:
            raise UserError(f"weights of layer {index} have shape {np.shape(values)}; it must be {shape}")
