"""How a `CoreSpec` becomes integer tables for the kernels: one row per layer, flat state arrays with offsets.

Rows of the weight memory and blocks of outputs are padded to a multiple of `ROW_PAD` columns. Padding columns hold zero
weights and get zero learning signals, so they never change and never count. Traces are padded likewise; padding traces
stay 0. The columns of the tables are named in `columns`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurochip.core import columns as col
from neurochip.core.bias import bias_factors
from neurochip.core.columns import ROUND_STOCHASTIC, WIDE_DOT, WIDE_PRODUCT
from neurochip.core.convolution_geometry import N_GEOMETRY_COLUMNS, conv_row
from neurochip.core.routes import (
    ROW_PAD,
    Routes,
    build_routes,
    connect_layer,
    fuse_links,
    network_inputs,
    padded,
    storage_width,
)
from neurochip.fixed_point import QFormat
from neurochip.spec import LEAK_CONSTANT, LEAK_SHIFT, CoreSpec, LayerSpec

__all__ = [
    "ROUND_STOCHASTIC",
    "ROW_PAD",
    "WIDE_DOT",
    "WIDE_PRODUCT",
    "Layout",
    "build_layout",
    "initial_registers",
    "padded",
    "splitmix64",
]

WEIGHT_PAD = 64  # so that the weights of every layer begin a cache line

_KIND = {"dense": col.DENSE, "conv": col.CONV, "readout": col.READOUT, "feedback": col.FEEDBACK}
_CREDIT = {
    "none": col.CREDIT_NONE,
    "trace": col.CREDIT_TRACE,
    "spike": col.CREDIT_SPIKE,
    "unroll": col.CREDIT_UNROLL,
}
_UPDATE = {"none": col.UPDATE_NONE, "immediate": col.UPDATE_IMMEDIATE, "accumulate": col.UPDATE_ACCUMULATE}
_APPLY = {"sample": col.APPLY_SAMPLE, "deferred": col.APPLY_DEFERRED, "window": col.APPLY_WINDOW}
_ROUNDING = {"floor": col.ROUND_FLOOR, "nearest": col.ROUND_NEAREST, "stochastic": ROUND_STOCHASTIC}
_LEAK = {"none": col.LEAK_IS_NONE, LEAK_SHIFT: col.LEAK_IS_SHIFT, LEAK_CONSTANT: col.LEAK_IS_CONSTANT}


class Layout(NamedTuple):
    """Integer description of a core: everything the kernels read and never write."""

    layers: NDArray[np.int64]  # [n_layers, N_LAYER_COLUMNS]
    constants: NDArray[np.int64]  # [N_GLOBALS]
    connections: NDArray[np.int64]  # [n_connections, N_CONNECTION_COLUMNS], layer by layer
    links: NDArray[np.int64]  # [n_links, N_LINK_COLUMNS], layer by layer
    runs: NDArray[np.int64]  # [n_runs, N_RUN_COLUMNS], connection by connection
    maps: NDArray[np.int32]  # source address -> input address or -1, connection by connection
    geometry: NDArray[np.int64]  # [n_layers, N_GEOMETRY_COLUMNS], of convolutions
    surrogate: NDArray[np.int32]  # [64]
    exponential: NDArray[np.int64]  # [256]
    bias_factors: NDArray[np.int64]  # [n_steps, n_layers], p of the bias rows


def build_layout(spec: CoreSpec) -> Layout:
    """Return the tables of a checked specification."""
    table = np.zeros((len(spec.layers), col.N_LAYER_COLUMNS), dtype=np.int64)
    geometry = np.zeros((len(spec.layers), N_GEOMETRY_COLUMNS), dtype=np.int64)
    constants = _constants(spec)
    events_at = _place_layers(spec, table, constants)
    routes = build_routes(spec, events_at, [int(at) for at in table[:, col.OUTPUT_AT]])
    for index, layer in enumerate(spec.layers):
        _describe_neuron(spec, layer, table[index])
        if spec.credit != "none":
            _describe_learning(spec, index, table[index])
        connect_layer(spec, index, routes, table[index])
        if layer.conv is not None:
            geometry[index] = conv_row(layer.conv, padded(layer.columns))
    fuse_links(spec, routes, table)
    constants[col.KEEPS_PREVIOUS] = any(row[col.DELAY] for row in routes.connections)
    tables = geometry, _surrogate_table(spec), _exponential_table(), bias_factors(spec)
    return Layout(table, constants, *_route_tables(routes), *tables)


def _route_tables(routes: Routes) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int32]]:
    links = np.array(routes.links, dtype=np.int64).reshape(-1, col.N_LINK_COLUMNS)
    connections = np.array(routes.connections, dtype=np.int64)
    return connections, links, np.concatenate(routes.runs), np.concatenate(routes.maps)


def _place_layers(spec: CoreSpec, table: NDArray[np.int64], constants: NDArray[np.int64]) -> list[int]:
    """Give every layer its part of the flat arrays; returns where the events of every slot begin."""
    weight_at = row_at = output_at = input_at = error_at = 0
    events_at, events_stop = [0], padded(network_inputs(spec)) + ROW_PAD
    for index, layer in enumerate(spec.layers):
        stride, width, n_rows = padded(layer.columns), storage_width(layer), layer.n_weight_rows + layer.n_bias_rows
        row = table[index]
        row[[col.KIND, col.N_IN, col.N_OUT]] = _KIND[layer.kind], layer.n_in, layer.n_out
        row[[col.COLUMNS, col.STRIDE, col.N_BLOCKS, col.WIDTH]] = layer.columns, stride, layer.n_blocks, width
        row[[col.N_ROWS, col.N_BIAS_ROWS, col.HAS_BIAS]] = layer.n_weight_rows, layer.n_bias_rows, layer.bias
        row[[col.WEIGHT_AT, col.ROW_AT, col.OUTPUT_AT]] = weight_at, row_at, output_at
        row[[col.SIGNAL_AT, col.INPUT_AT, col.ERROR_AT]] = output_at, input_at, error_at
        row[col.RUNS_ALWAYS] = layer.is_hidden or index == len(spec.layers) - 1
        row[col.LEARNS] = layer.learns and layer.kind != "feedback"
        row[col.SPIKES_AT] = events_stop
        events_at.append(events_stop)
        weight_at += -(-n_rows * stride // WEIGHT_PAD) * WEIGHT_PAD
        row_at += n_rows
        output_at += width
        input_at += padded(layer.n_in)
        error_at += stride if layer.kind == "readout" else 0
        events_stop += width + ROW_PAD if layer.is_hidden else 0
    for index, layer in enumerate(spec.layers):
        if layer.kind == "feedback":
            carried = layer.signal_of if layer.signal_of is not None else len(spec.layers) - 1
            table[index, col.SIGNAL_AT] = table[carried, col.OUTPUT_AT]
    constants[[col.TOTAL_WEIGHTS, col.TOTAL_ROWS, col.TOTAL_OUT, col.TOTAL_IN]] = weight_at, row_at, output_at, input_at
    constants[[col.TOTAL_ERRORS, col.TOTAL_EVENTS]] = error_at, events_stop
    return events_at


def _describe_neuron(spec: CoreSpec, layer: LayerSpec, row: NDArray[np.int64]) -> None:
    row[[col.LEAK, col.LEAK_VALUE]] = _LEAK[layer.leak_kind], layer.leak_value
    row[[col.CURRENT_LEAK, col.CURRENT_LEAK_VALUE]] = _LEAK[layer.current_leak_kind], layer.current_leak_value
    row[[col.THRESHOLD, col.RESET_ZERO]] = layer.threshold_q, layer.reset == "zero"
    row[[col.DELIVER_SHIFT, col.PSI_SHIFT]] = layer.deliver_shift, layer.frac_potential - 4
    row[[col.SOFTMAX_SHIFT, col.FRAC_READOUT, col.FRAC_ERROR]] = (
        layer.frac_potential - 4,
        layer.frac_potential,
        layer.frac_error,
    )
    row[col.RESET_PATH_SHIFT] = spec.surrogate_bits + layer.frac_potential
    row[col.KEEPS_TRACE] = layer.keeps_trace and spec.credit == "trace" and bool(row[col.LEARNS])
    row[[col.TRACE_LEAK, col.TRACE_LEAK_VALUE]] = _LEAK[layer.trace_leak_kind], layer.trace_leak_value
    row[[col.FILTER_LEAK, col.FILTER_LEAK_VALUE]] = _LEAK[layer.filter_leak_kind], layer.filter_leak_value
    row[col.TRACE_SHIFT] = layer.trace_shift
    row[col.INPUT_BLOCK] = layer.conv.channels // layer.conv.groups if layer.conv is not None else layer.n_in


def _describe_learning(spec: CoreSpec, index: int, row: NDArray[np.int64]) -> None:
    row[[WIDE_DOT, WIDE_PRODUCT]] = _needs_wide_dot(spec, index), _needs_wide_product(spec, index)
    if row[col.LEARNS]:
        row[[col.UPDATE_SHIFT, col.GRADIENT_SHIFT, col.APPLY_SHIFT]] = (
            spec.update_shift(index),
            spec.gradient_shift(index),
            spec.apply_shift(index),
        )
    if row[col.LEARNS] and spec.is_standardised(index):
        layer = spec.layers[index]
        row[[col.STANDARDISE_CONSTANT, col.STANDARDISE_SHIFT]] = layer.standardise_constant, layer.standardise_shift


def _signal_bits(spec: CoreSpec) -> int:
    return spec.delta_bits if spec.credit == "unroll" else spec.error_bits


def _presynaptic_bits(spec: CoreSpec, index: int) -> int:
    bias_bits = spec.layers[index].frac_presynaptic + 1
    return max(spec.trace_bits, spec.highest_magnitude(index).bit_length(), bias_bits)


def _needs_wide_dot(spec: CoreSpec, index: int) -> bool:
    layer = spec.layers[index]
    terms = layer.columns * (layer.conv.kernel_height * layer.conv.kernel_width if layer.conv is not None else 1)
    return spec.weight_bits - 1 + _signal_bits(spec) - 1 + math.ceil(math.log2(terms + 1)) > 30


def _needs_wide_product(spec: CoreSpec, index: int) -> bool:
    conv = spec.layers[index].conv
    positions_bits = math.ceil(math.log2(conv.n_positions)) if conv is not None else 0
    factor_bits = spec.rate_multiplier.bit_length() + _presynaptic_bits(spec, index) + positions_bits
    return factor_bits + _signal_bits(spec) - 1 > 30


def _constants(spec: CoreSpec) -> NDArray[np.int64]:
    weight, membrane = QFormat(spec.weight_bits, 0, True), QFormat(spec.membrane_bits, 0, True)
    error, delta = QFormat(spec.error_bits, 0, True), QFormat(spec.delta_bits, 0, True)
    gradient, readout = QFormat(spec.gradient_bits, 0, True), QFormat(spec.readout_bits, 0, True)
    values = {
        col.STEPS: spec.n_steps,
        col.LAYERS: len(spec.layers),
        col.CREDIT: _CREDIT[spec.credit],
        col.UPDATE: _UPDATE[spec.update],
        col.BATCH: spec.batch,
        col.WINDOW_STEPS: spec.window_steps if spec.credit == "unroll" else 1,
        col.APPLY_WHEN: _APPLY[spec.apply_when],
        col.APPLY_EVERY: spec.apply_every,
        col.LOSS_START: spec.loss_start,
        col.UPDATE_EVERY: spec.update_every,
        col.N_LOSS_STEPS: spec.n_loss_steps,
        col.MOMENTUM_SHIFT: spec.momentum_shift,
        col.STANDARDISE_EVERY: spec.standardise_every,
        col.RATE: spec.rate_multiplier,
        col.WEIGHT_LOW: weight.lowest,
        col.WEIGHT_HIGH: weight.highest,
        col.WEIGHT_ROUNDING: _ROUNDING[spec.weight_rounding],
        col.MEMBRANE_LOW: membrane.lowest,
        col.MEMBRANE_HIGH: membrane.highest,
        col.TRACE_HIGH: QFormat(spec.trace_bits, 0, False).highest,
        col.TRACE_GATE: max(1, spec.trace_gate),
        col.ERROR_LOW: error.lowest,
        col.ERROR_HIGH: error.highest,
        col.ERROR_NEAREST: spec.error_rounding == "nearest",
        col.DELTA_LOW: delta.lowest,
        col.DELTA_HIGH: delta.highest,
        col.SURROGATE_BITS: spec.surrogate_bits,
        col.GRADIENT_LOW: gradient.lowest,
        col.GRADIENT_HIGH: gradient.highest,
        col.READOUT_LOW: readout.lowest,
        col.READOUT_HIGH: readout.highest,
        col.MSE_SHARE: spec.mse_share_q,
        col.DELIVER_NEURON: spec.deliver == "neuron",
        col.RESET_EXACT: spec.reset_path == "exact",
        col.RNG_LANES: spec.rng_lanes,
        col.SYNAPSE_LANES: spec.synapse_lanes,
        col.TRACE_LANES: spec.trace_lanes,
    }
    table = np.zeros(col.N_GLOBALS, dtype=np.int64)
    for key, value in values.items():
        table[key] = int(value)
    return table


def _surrogate_table(spec: CoreSpec) -> NDArray[np.int32]:
    x = (np.arange(-32, 32) + 0.5) / 16.0
    if spec.surrogate == "sigmoid":
        sigma = 1.0 / (1.0 + np.exp(-4.0 * x))
        psi = 4.0 * sigma * (1.0 - sigma)
    elif spec.surrogate == "triangle":
        psi = np.maximum(0.0, 1.0 - np.abs(x))
    else:
        psi = (np.abs(x) <= 0.5).astype(np.float64)
    highest = float((1 << spec.surrogate_bits) - 1)
    table: NDArray[np.int32] = np.minimum(highest, np.floor(psi * (1 << spec.surrogate_bits) + 0.5)).astype(np.int32)
    return table


def _exponential_table() -> NDArray[np.int64]:
    return np.floor(2.0**15 * np.exp(-np.arange(256) / 16.0) + 0.5).astype(np.int64)


def splitmix64(x: int) -> int:
    """One output of SplitMix64 from state x (semantics section 2)."""
    mask = (1 << 64) - 1
    z = (x + 0x9E3779B97F4A7C15) & mask
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
    return z ^ (z >> 31)


def initial_registers(spec: CoreSpec) -> NDArray[np.uint32]:
    """Random registers at the start of a run, [n_layers, rng_lanes]."""
    mask = (1 << 64) - 1
    rows = [
        [
            (splitmix64((splitmix64((splitmix64(spec.seed & mask) + index) & mask) + lane) & mask) & 0xFFFFFFFF) or 1
            for lane in range(spec.rng_lanes)
        ]
        for index in range(len(spec.layers))
    ]
    return np.array(rows, dtype=np.uint32).reshape(len(spec.layers), spec.rng_lanes)
