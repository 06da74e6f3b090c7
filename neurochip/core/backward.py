"""Phases 4 and 5 of one step, all layers (semantics 3.4 to 3.7)."""

from __future__ import annotations

import numpy as np

from neurochip.activity import FIELD_INDEX
from neurochip.core._jit import jit
from neurochip.core.lanes import N_LANES
from neurochip.core.layout import (
    APPLY_SHIFT,
    DELTA_HIGH,
    DELTA_LOW,
    ERROR_HIGH,
    ERROR_LOW,
    ERROR_NEAREST,
    ERROR_SHIFT,
    FRAC_P,
    GRADIENT_HIGH,
    GRADIENT_LOW,
    GRADIENT_SHIFT,
    HAS_BIAS,
    INPUT_AT,
    LAYERS,
    LEAK,
    LEAK_VALUE,
    N_IN,
    N_OUT,
    OUTPUT_AT,
    RATE,
    RESET_EXACT,
    RESET_PATH_SHIFT,
    RNG_LANES,
    ROUND_NEAREST,
    ROUND_STOCHASTIC,
    STRIDE,
    SURROGATE_BITS,
    SYNAPSE_LANES,
    THRESHOLD,
    UPDATE,
    UPDATE_IMMEDIATE,
    UPDATE_SHIFT,
    WEIGHT_AT,
    WEIGHT_HIGH,
    WEIGHT_LOW,
    WEIGHT_ROUNDING,
    WIDE_DOT,
    WIDE_PRODUCT,
)
from neurochip.rules.spatial.backprop import backproject
from neurochip.rules.temporal.unroll import carry_error
from neurochip.rules.update.accumulate import accumulate_rows, apply_row, count_words
from neurochip.rules.update.immediate import (
    find_words,
    update_rows_any,
    update_rows_constant,
    update_rows_stochastic,
)

_SIGNAL_NONZERO, _SIGNAL_WORDS = FIELD_INDEX["signal_nonzero"], FIELD_INDEX["signal_words"]
_ERROR_ROWS = FIELD_INDEX["error_rows"]
_ERROR_WORDS, _ERROR_PRODUCTS = FIELD_INDEX["error_words"], FIELD_INDEX["error_products"]
_SIGNAL_STEPS, _PRESYNAPTIC_ROWS = FIELD_INDEX["signal_steps"], FIELD_INDEX["presynaptic_rows"]
_UPDATE_ROWS, _UPDATE_WORDS = FIELD_INDEX["update_rows"], FIELD_INDEX["update_words"]
_UPDATE_PRODUCTS, _ADVANCES = FIELD_INDEX["update_products"], FIELD_INDEX["random_advances"]
_SAT_ERROR, _SAT_DELTA = FIELD_INDEX["sat_error"], FIELD_INDEX["sat_delta"]
_SAT_GRADIENT, _SAT_WEIGHT = FIELD_INDEX["sat_gradient"], FIELD_INDEX["sat_weight"]
_UNDERFLOW = FIELD_INDEX["underflow_error"]


@jit
def error_step(slot, layout, state, history, scratch, totals, unroll):
    """Phase 4: errors of all hidden layers, last to first. The signal of the readout is already in `state`."""
    constants = layout.constants
    nearest = constants[ERROR_NEAREST] != 0
    lanes = constants[SYNAPSE_LANES]
    low, high = constants[ERROR_LOW], constants[ERROR_HIGH]
    for index in range(constants[LAYERS] - 1, -1, -1):
        layer = layout.layers[index]
        out = layer[OUTPUT_AT]
        signal = state.signal[out : out + layer[STRIDE]]
        if index < constants[LAYERS] - 1:
            n_out = layer[N_OUT]
            after = layout.layers[index + 1]
            next_signal = state.signal[after[OUTPUT_AT] : after[OUTPUT_AT] + after[STRIDE]]
            rows_at = after[WEIGHT_AT]
            weights = state.weights[rows_at : rows_at + (after[N_IN] + 1) * after[STRIDE]]
            psi = history.psi[slot, out : out + n_out]
            g = scratch.learning_signal[out : out + n_out] if unroll else signal[:n_out]
            rows, saturations, underflows = backproject(
                weights, after[STRIDE], next_signal, psi, after[WIDE_DOT], layer[ERROR_SHIFT],
                constants[SURROGATE_BITS], nearest, low, high, state.error[out : out + n_out], g,
            )  # fmt: skip
            totals[index, _SAT_ERROR] += saturations
            totals[index, _UNDERFLOW] += underflows
            next_words, next_nonzero = count_words(next_signal, after[N_OUT], lanes)
            totals[index + 1, _ERROR_ROWS] += rows if next_nonzero > 0 else 0
            totals[index + 1, _ERROR_WORDS] += rows * next_words
            totals[index + 1, _ERROR_PRODUCTS] += rows * next_nonzero
            if unroll:
                totals[index, _SAT_DELTA] += carry_error(
                    signal[:n_out], g, psi, layer[LEAK], layer[LEAK_VALUE], constants[RESET_EXACT] != 0,
                    layer[THRESHOLD], layer[RESET_PATH_SHIFT], nearest, constants[DELTA_LOW], constants[DELTA_HIGH],
                )  # fmt: skip
        words, nonzero = count_words(signal, layer[N_OUT], lanes)
        totals[index, _SIGNAL_WORDS] += words
        totals[index, _SIGNAL_NONZERO] += nonzero


@jit
def update_weights(index, layout, state, scratch, rows, factors, counts):
    """Immediate update of one layer: rows ascending, bias row last (semantics 3.5)."""
    layer, constants = layout.layers[index], layout.constants
    stride, n_out = layer[STRIDE], layer[N_OUT]
    signal = state.signal[layer[OUTPUT_AT] : layer[OUTPUT_AT] + stride]
    scaled = scratch.scaled_signal[:stride]
    for j in range(stride):
        scaled[j] = -constants[RATE] * signal[j]
    rounding = constants[WEIGHT_ROUNDING]
    n_words = find_words(scaled, n_out, constants[RNG_LANES], scratch.words)
    if rounding == ROUND_STOCHASTIC:
        counts[_ADVANCES] += rows.shape[0] * n_words
    shift = layer[UPDATE_SHIFT]
    low, high = constants[WEIGHT_LOW], constants[WEIGHT_HIGH]
    words, registers = scratch.words[:n_words], state.registers[index]
    at = layer[WEIGHT_AT]
    weights = state.weights[at : at + (layer[N_IN] + 1) * stride]
    narrow = layer[WIDE_PRODUCT] == 0
    if narrow and rounding == ROUND_STOCHASTIC and constants[RNG_LANES] == N_LANES:
        counts[_SAT_WEIGHT] += update_rows_stochastic(
            weights, stride, rows, factors, scaled, words, shift, low, high, registers
        )
    elif narrow and rounding != ROUND_STOCHASTIC:
        half = np.int32(1 << (shift - 1)) if rounding == ROUND_NEAREST and shift > 0 else np.int32(0)
        counts[_SAT_WEIGHT] += update_rows_constant(
            weights, stride, rows, factors, scaled, shift, half, np.int32(low), np.int32(high)
        )
    else:
        counts[_SAT_WEIGHT] += update_rows_any(
            weights, stride, rows, factors, scaled, words, n_out, shift, rounding, low, high, registers
        )


@jit
def accumulate_gradients(index, layout, state, rows, factors, counts):
    """Accumulate one layer: rows ascending, bias row last (semantics 3.6)."""
    layer, constants = layout.layers[index], layout.constants
    stride = layer[STRIDE]
    signal = state.signal[layer[OUTPUT_AT] : layer[OUTPUT_AT] + stride]
    at = layer[WEIGHT_AT]
    gradients = state.gradients[at : at + (layer[N_IN] + 1) * stride]
    counts[_SAT_GRADIENT] += accumulate_rows(
        gradients, stride, rows, factors, signal, layer[GRADIENT_SHIFT], constants[ERROR_NEAREST] != 0,
        constants[GRADIENT_LOW], constants[GRADIENT_HIGH],
    )  # fmt: skip


@jit
def apply_gradients(layout, state, totals):
    """Apply and clear the accumulated gradients of all layers, last to first (semantics 3.6)."""
    constants = layout.constants
    for index in range(constants[LAYERS] - 1, -1, -1):
        layer = layout.layers[index]
        stride, n_out = layer[STRIDE], layer[N_OUT]
        for i in range(layer[N_IN] + layer[HAS_BIAS]):
            at = layer[WEIGHT_AT] + i * stride
            gradient = state.gradients[at : at + stride]
            words, nonzero = count_words(gradient, n_out, constants[SYNAPSE_LANES])
            if nonzero == 0:
                continue
            saturations, advances = apply_row(
                state.weights[at : at + stride], gradient, n_out, constants[RATE], layer[APPLY_SHIFT],
                constants[WEIGHT_ROUNDING], constants[WEIGHT_LOW], constants[WEIGHT_HIGH], state.registers[index],
            )  # fmt: skip
            totals[index, _UPDATE_WORDS] += words
            totals[index, _UPDATE_PRODUCTS] += nonzero
            totals[index, _SAT_WEIGHT] += saturations
            if constants[WEIGHT_ROUNDING] == ROUND_STOCHASTIC:
                totals[index, _ADVANCES] += advances


@jit
def presynaptic_rows(index, slot, layout, history, scratch, unroll):
    """Rows with p != 0 and their factors, the bias row last."""
    layer = layout.layers[index]
    at = layer[INPUT_AT] + index  # every layer has one entry more than inputs, for the bias
    if unroll:
        n_rows = history.n_events[slot, index]
        inputs = layer[INPUT_AT]
        for k in range(n_rows):
            scratch.rows[at + k] = history.addresses[slot, inputs + k]
            scratch.factors[at + k] = history.magnitudes[slot, inputs + k]
    else:
        n_rows = scratch.n_rows[index]
    if layer[HAS_BIAS]:
        scratch.rows[at + n_rows] = layer[N_IN]
        scratch.factors[at + n_rows] = 1 << layer[FRAC_P]
        n_rows += 1
    return scratch.rows[at : at + n_rows], scratch.factors[at : at + n_rows]


@jit
def change_step(slot, layout, state, history, scratch, totals, unroll):
    """Phase 5: update or accumulate all layers, last to first."""
    constants = layout.constants
    for index in range(constants[LAYERS] - 1, -1, -1):
        layer = layout.layers[index]
        rows, factors = presynaptic_rows(index, slot, layout, history, scratch, unroll)
        counts = totals[index]
        signal = state.signal[layer[OUTPUT_AT] : layer[OUTPUT_AT] + layer[STRIDE]]
        words, nonzero = count_words(signal, layer[N_OUT], constants[SYNAPSE_LANES])
        counts[_PRESYNAPTIC_ROWS] += rows.shape[0]
        if nonzero == 0:
            continue
        counts[_SIGNAL_STEPS] += 1
        counts[_UPDATE_ROWS] += rows.shape[0]
        counts[_UPDATE_WORDS] += rows.shape[0] * words
        counts[_UPDATE_PRODUCTS] += rows.shape[0] * nonzero
        if constants[UPDATE] == UPDATE_IMMEDIATE:
            update_weights(index, layout, state, scratch, rows, factors, counts)
        else:
            accumulate_gradients(index, layout, state, rows, factors, counts)
