"""How a `CoreSpec` becomes integer tables for the kernels: one row per layer, flat state arrays with offsets.

Rows of the weight memory are padded to a multiple of `ROW_PAD` columns. Padding columns hold zero weights and get
zero learning signals, so they never change and never count. Traces are padded likewise; padding traces stay 0.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurochip.fixed_point import QFormat
from neurochip.spec import LEAK_CONSTANT, LEAK_SHIFT, CoreSpec

ROW_PAD = 16

# Columns of the layer table.
N_IN, N_OUT, STRIDE, HAS_BIAS = 0, 1, 2, 3
WEIGHT_AT, OUTPUT_AT, INPUT_AT = 4, 5, 6
LEAK, LEAK_VALUE, TRACE_LEAK, TRACE_LEAK_VALUE = 7, 8, 9, 10
THRESHOLD, RESET_ZERO, KEEPS_TRACE, FRAC_P = 11, 12, 13, 14
DELIVER_SHIFT, PSI_SHIFT, ERROR_SHIFT, UPDATE_SHIFT, GRADIENT_SHIFT, APPLY_SHIFT = 15, 16, 17, 18, 19, 20
WIDE_DOT, WIDE_PRODUCT, RESET_PATH_SHIFT = 21, 22, 23
N_LAYER_COLUMNS = 24

# Entries of the global table.
STEPS, LAYERS, CREDIT, UPDATE, BATCH = 0, 1, 2, 3, 4
RATE, WEIGHT_LOW, WEIGHT_HIGH, WEIGHT_ROUNDING = 5, 6, 7, 8
MEMBRANE_LOW, MEMBRANE_HIGH, TRACE_HIGH, TRACE_GATE = 9, 10, 11, 12
ERROR_LOW, ERROR_HIGH, ERROR_NEAREST, DELTA_LOW, DELTA_HIGH = 13, 14, 15, 16, 17
SURROGATE_BITS, GRADIENT_LOW, GRADIENT_HIGH, READOUT_LOW, READOUT_HIGH = 18, 19, 20, 21, 22
MSE_SHARE, SOFTMAX_SHIFT, ERROR_FRAC_READOUT, READOUT_FRAC = 23, 24, 25, 26
DELIVER_NEURON, RESET_EXACT, RNG_LANES, SYNAPSE_LANES, TRACE_LANES, BINARY_EVENTS = 27, 28, 29, 30, 31, 32
TOTAL_IN, TOTAL_OUT, HISTORY_STEPS = 33, 34, 35
N_GLOBALS = 36

CREDIT_NONE, CREDIT_TRACE, CREDIT_SPIKE, CREDIT_UNROLL = 0, 1, 2, 3
UPDATE_NONE, UPDATE_IMMEDIATE, UPDATE_ACCUMULATE = 0, 1, 2
ROUND_FLOOR, ROUND_NEAREST, ROUND_STOCHASTIC = 0, 1, 2
LEAK_IS_NONE, LEAK_IS_SHIFT, LEAK_IS_CONSTANT = 0, 1, 2

_CREDIT = {"none": CREDIT_NONE, "trace": CREDIT_TRACE, "spike": CREDIT_SPIKE, "unroll": CREDIT_UNROLL}
_UPDATE = {"none": UPDATE_NONE, "immediate": UPDATE_IMMEDIATE, "accumulate": UPDATE_ACCUMULATE}
_ROUNDING = {"floor": ROUND_FLOOR, "nearest": ROUND_NEAREST, "stochastic": ROUND_STOCHASTIC}
_LEAK = {"none": LEAK_IS_NONE, LEAK_SHIFT: LEAK_IS_SHIFT, LEAK_CONSTANT: LEAK_IS_CONSTANT}


class Layout(NamedTuple):
    """Integer description of a core: everything the kernels read and never write."""

    layers: NDArray[np.int64]  # [n_layers, N_LAYER_COLUMNS]
    constants: NDArray[np.int64]  # [N_GLOBALS]
    surrogate: NDArray[np.int32]  # [64]
    exponential: NDArray[np.int64]  # [256]


def padded(columns: int) -> int:
    """Round a number of columns up to whole pads."""
    return -(-columns // ROW_PAD) * ROW_PAD


def build_layout(spec: CoreSpec) -> Layout:
    """Return the tables of a checked specification."""
    table = np.zeros((len(spec.layers), N_LAYER_COLUMNS), dtype=np.int64)
    weight_at = output_at = input_at = 0
    for index, layer in enumerate(spec.layers):
        stride = padded(layer.n_out)
        row = table[index]
        row[[N_IN, N_OUT, STRIDE, HAS_BIAS]] = layer.n_in, layer.n_out, stride, layer.bias
        row[[WEIGHT_AT, OUTPUT_AT, INPUT_AT]] = weight_at, output_at, input_at
        row[[LEAK, LEAK_VALUE]] = _LEAK[layer.leak_kind], layer.leak_value
        row[[TRACE_LEAK, TRACE_LEAK_VALUE]] = _LEAK[layer.trace_leak_kind], layer.trace_leak_value
        row[[THRESHOLD, RESET_ZERO]] = layer.threshold_q, layer.reset == "zero"
        row[[KEEPS_TRACE, FRAC_P]] = layer.keeps_trace, layer.frac_presynaptic
        row[[DELIVER_SHIFT, PSI_SHIFT]] = layer.deliver_shift, layer.frac_potential - 4
        row[RESET_PATH_SHIFT] = spec.surrogate_bits + layer.frac_potential
        row[[WIDE_DOT, WIDE_PRODUCT]] = _needs_wide_dot(spec, layer.n_out), _needs_wide_product(spec)
        if spec.credit != "none":
            if index + 1 < len(spec.layers):
                row[ERROR_SHIFT] = spec.error_shift(index)
            row[[UPDATE_SHIFT, GRADIENT_SHIFT, APPLY_SHIFT]] = (
                spec.update_shift(index),
                spec.gradient_shift(index),
                spec.apply_shift(index),
            )
        weight_at += (layer.n_in + 1) * stride
        output_at += stride
        input_at += padded(layer.n_in)
    return Layout(table, _constants(spec, input_at, output_at), _surrogate_table(spec), _exponential_table())


def _signal_bits(spec: CoreSpec) -> int:
    return spec.delta_bits if spec.credit == "unroll" else spec.error_bits


def _presynaptic_bits(spec: CoreSpec) -> int:
    bias_bits = max(layer.frac_presynaptic for layer in spec.layers) + 1
    return max(spec.trace_bits, spec.event_bits, bias_bits)


def _needs_wide_dot(spec: CoreSpec, n_out: int) -> bool:
    return spec.weight_bits - 1 + _signal_bits(spec) - 1 + math.ceil(math.log2(n_out + 1)) > 30


def _needs_wide_product(spec: CoreSpec) -> bool:
    return spec.rate_multiplier.bit_length() + _presynaptic_bits(spec) + _signal_bits(spec) - 1 > 30


def _constants(spec: CoreSpec, total_in: int, total_out: int) -> NDArray[np.int64]:
    weight, membrane = QFormat(spec.weight_bits, 0, True), QFormat(spec.membrane_bits, 0, True)
    error, delta = QFormat(spec.error_bits, 0, True), QFormat(spec.delta_bits, 0, True)
    gradient, readout = QFormat(spec.gradient_bits, 0, True), QFormat(spec.readout_bits, 0, True)
    last = spec.layers[-1]
    values = {
        STEPS: spec.n_steps,
        LAYERS: len(spec.layers),
        CREDIT: _CREDIT[spec.credit],
        UPDATE: _UPDATE[spec.update],
        BATCH: spec.batch,
        RATE: spec.rate_multiplier,
        WEIGHT_LOW: weight.lowest,
        WEIGHT_HIGH: weight.highest,
        WEIGHT_ROUNDING: _ROUNDING[spec.weight_rounding],
        MEMBRANE_LOW: membrane.lowest,
        MEMBRANE_HIGH: membrane.highest,
        TRACE_HIGH: QFormat(spec.trace_bits, 0, False).highest,
        TRACE_GATE: max(1, spec.trace_gate),
        ERROR_LOW: error.lowest,
        ERROR_HIGH: error.highest,
        ERROR_NEAREST: spec.error_rounding == "nearest",
        DELTA_LOW: delta.lowest,
        DELTA_HIGH: delta.highest,
        SURROGATE_BITS: spec.surrogate_bits,
        GRADIENT_LOW: gradient.lowest,
        GRADIENT_HIGH: gradient.highest,
        READOUT_LOW: readout.lowest,
        READOUT_HIGH: readout.highest,
        MSE_SHARE: spec.mse_share_q,
        SOFTMAX_SHIFT: last.frac_potential - 4,
        ERROR_FRAC_READOUT: last.frac_error,
        READOUT_FRAC: last.frac_potential,
        DELIVER_NEURON: spec.deliver == "neuron",
        RESET_EXACT: spec.reset_path == "exact",
        RNG_LANES: spec.rng_lanes,
        SYNAPSE_LANES: spec.synapse_lanes,
        TRACE_LANES: spec.trace_lanes,
        BINARY_EVENTS: spec.event_bits == 1,
        TOTAL_IN: total_in,
        TOTAL_OUT: total_out,
        HISTORY_STEPS: spec.n_steps if spec.credit == "unroll" else 1,
    }
    table = np.zeros(N_GLOBALS, dtype=np.int64)
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
