"""Phase 5 of one step: weights change at once, or gradients accumulate (semantics 3.5 and 3.6)."""

from __future__ import annotations

import numpy as np

from neurochip.activity import FIELD_INDEX
from neurochip.core._jit import jit, jit_inline
from neurochip.core.backward import rows_range
from neurochip.core.columns import (
    COLUMNS,
    CONV,
    ERROR_NEAREST,
    GRADIENT_HIGH,
    GRADIENT_LOW,
    GRADIENT_SHIFT,
    HAS_BIAS,
    INPUT_AT,
    KEEPS_TRACE,
    KIND,
    LAYERS,
    LEARNS,
    N_BIAS_ROWS,
    N_IN,
    N_ROWS,
    OUTPUT_AT,
    RATE,
    RNG_LANES,
    ROUND_NEAREST,
    ROUND_STOCHASTIC,
    ROW_AT,
    STRIDE,
    SYNAPSE_LANES,
    TRACE_GATE,
    TRACE_LANES,
    UPDATE,
    UPDATE_IMMEDIATE,
    UPDATE_SHIFT,
    WEIGHT_HIGH,
    WEIGHT_LOW,
    WEIGHT_ROUNDING,
    WIDE_PRODUCT,
    WIDTH,
)
from neurochip.core.convolution_counts import are_whole, count_whole_words, count_words, first_bits
from neurochip.core.convolution_products import sum_products_conv
from neurochip.core.lanes import N_LANES
from neurochip.core.presynaptic import presynaptic_rows
from neurochip.rules.temporal.trace import count_row_words, count_trace_words
from neurochip.rules.update.accumulate import accumulate_row, accumulate_rows
from neurochip.rules.update.immediate import (
    find_words,
    update_products_stochastic,
    update_rows_any,
    update_rows_constant,
    update_rows_stochastic,
)

_PRESYNAPTIC_ROWS, _PRESYNAPTIC_TAPS = FIELD_INDEX["presynaptic_rows"], FIELD_INDEX["presynaptic_taps"]
_UPDATE_ROWS, _UPDATE_WORDS = FIELD_INDEX["update_rows"], FIELD_INDEX["update_words"]
_UPDATE_PRODUCTS, _UPDATE_TILES = FIELD_INDEX["update_products"], FIELD_INDEX["update_tiles"]
_WEIGHT_WORDS, _ADVANCES = FIELD_INDEX["weight_words"], FIELD_INDEX["random_advances"]
_SAT_GRADIENT, _SAT_WEIGHT = FIELD_INDEX["sat_gradient"], FIELD_INDEX["sat_weight"]


@jit
def update_rows(weights, stride, rows, factors, scaled, columns, layer, constants, registers, words):
    """Add the rounded, shifted factor * scaled to the listed rows; returns (saturations, advances).

    weights: the rows of this layer; rows, factors: int32 [n_rows], ascending; scaled: int32 [stride].
    """
    rounding = constants[WEIGHT_ROUNDING]
    shift = layer[UPDATE_SHIFT]
    low, high = constants[WEIGHT_LOW], constants[WEIGHT_HIGH]
    n_words = find_words(scaled, columns, constants[RNG_LANES], words)
    advances = rows.shape[0] * n_words if rounding == ROUND_STOCHASTIC else 0
    narrow = layer[WIDE_PRODUCT] == 0
    if narrow and rounding == ROUND_STOCHASTIC and constants[RNG_LANES] == N_LANES:
        saturations = update_rows_stochastic(
            weights, stride, rows, factors, scaled, words[:n_words], shift, low, high, registers
        )
    elif narrow and rounding != ROUND_STOCHASTIC:
        half = np.int32(1 << (shift - 1)) if rounding == ROUND_NEAREST and shift > 0 else np.int32(0)
        saturations = np.int64(
            update_rows_constant(weights, stride, rows, factors, scaled, shift, half, np.int32(low), np.int32(high))
        )
    else:
        saturations = update_rows_any(
            weights, stride, rows, factors, scaled, words[:n_words], columns, shift, rounding, low, high, registers
        )
    return saturations, advances


@jit
def update_dense(index, layout, state, scratch, rows, factors, signal, counts):
    """Immediate update of the listed rows: D = p * signal (semantics 3.5)."""
    layer, constants = layout.layers[index], layout.constants
    scaled = scratch.scaled_signal[: layer[STRIDE]]
    for j in range(scaled.shape[0]):
        scaled[j] = -constants[RATE] * signal[j]
    first, stop = rows_range(layer)
    saturations, advances = update_rows(
        state.weights[first:stop], layer[STRIDE], rows, factors, scaled, layer[COLUMNS], layer, constants,
        state.registers[index], scratch.words,
    )  # fmt: skip
    counts[_SAT_WEIGHT] += saturations
    counts[_ADVANCES] += advances


@jit
def count_rows(products, stride, columns, lanes, changed):
    """Note the rows with some D != 0; returns the words of `lanes` columns of them all."""
    firsts = first_bits(lanes)
    whole = are_whole(columns, firsts)
    words = np.int64(0)
    for row in range(products.shape[0] // stride):
        if whole:
            here, _ = count_whole_words(products, row * stride, row * stride + columns, lanes, firsts)
        else:
            here, _ = count_words(products, row * stride, columns, lanes, firsts)
        changed[row] |= here > 0
        words += here
    return words


@jit
def draws_by_lanes(layer, constants):
    """Whether `update_products_stochastic` updates a convolution: every word with some D != 0 draws once."""
    narrow = layer[WIDE_PRODUCT] == 0
    return narrow and constants[WEIGHT_ROUNDING] == ROUND_STOCHASTIC and constants[RNG_LANES] == N_LANES


@jit
def update_products(weights, products, layer, constants, registers, words, all_rows, factor, changed, scaled):
    """Immediate update of all rows with some D != 0; returns (saturations, advances).

    products: int32 [n_rows * stride], D; factor: int32 [1]; changed: uint8 [n_rows]; scaled: int32 [stride].
    """
    stride, columns = layer[STRIDE], layer[COLUMNS]
    # A product with m_eta that may not fit 32 bits is formed row by row in 64.
    wide = layer[WIDE_PRODUCT] != 0
    if draws_by_lanes(layer, constants):
        return update_products_stochastic(
            weights, products, constants[RATE], layer[UPDATE_SHIFT], constants[WEIGHT_LOW], constants[WEIGHT_HIGH],
            registers,
        )  # fmt: skip
    saturations = advances = np.int64(0)
    factor[0] = -constants[RATE] if wide else 1
    for row in range(products.shape[0] // stride):
        if changed[row] == 0:
            continue
        d = products[row * stride : (row + 1) * stride]
        for j in range(stride):
            scaled[j] = d[j] if wide else -constants[RATE] * d[j]
        row_saturations, row_advances = update_rows(
            weights, stride, all_rows[row : row + 1], factor, scaled, columns, layer, constants, registers, words
        )
        saturations += row_saturations
        advances += row_advances
    return saturations, advances


@jit
def accumulate_products(gradients, products, layer, constants, changed):
    """Accumulate all rows with some D != 0, or noted before; returns the saturations."""
    stride = layer[STRIDE]
    saturations = np.int64(0)
    for row in range(products.shape[0] // stride):
        if changed[row] != 0:
            saturations += accumulate_row(
                gradients[row * stride : (row + 1) * stride], products[row * stride : (row + 1) * stride], 1,
                layer[GRADIENT_SHIFT], constants[ERROR_NEAREST] != 0, constants[GRADIENT_LOW],
                constants[GRADIENT_HIGH],
            )  # fmt: skip
    return saturations


@jit_inline
def change_dense(index, slot, t, layout, state, history, scratch, counts):
    """Update or accumulate one dense layer: rows ascending, bias row last."""
    layer, constants = layout.layers[index], layout.constants
    rows, factors = presynaptic_rows(index, slot, t, layout, history, scratch)
    n_rows = rows.shape[0]
    counts[_PRESYNAPTIC_ROWS] += n_rows
    counts[_PRESYNAPTIC_TAPS] += n_rows
    words, nonzero = scratch.signal_words[index], scratch.signal_nonzero[index]
    if nonzero == 0:
        return
    counts[_UPDATE_ROWS] += n_rows
    at, n_in, inputs = layer[INPUT_AT], layer[N_IN], rows[: n_rows - layer[HAS_BIAS]]
    if layer[KEEPS_TRACE]:
        trace = state.trace[at : at + ((n_in + 15) & ~15)]
        tiles = count_trace_words(trace, constants[TRACE_GATE], inputs, constants[TRACE_LANES])
    else:
        tiles = count_row_words(inputs, constants[TRACE_LANES])
    counts[_UPDATE_TILES] += tiles * words
    counts[_UPDATE_WORDS] += n_rows * words
    counts[_WEIGHT_WORDS] += n_rows * words
    counts[_UPDATE_PRODUCTS] += n_rows * nonzero
    stride = layer[STRIDE]
    signal = state.signal[layer[OUTPUT_AT] : layer[OUTPUT_AT] + stride]
    first, stop = rows_range(layer)
    if constants[UPDATE] == UPDATE_IMMEDIATE:
        update_dense(index, layout, state, scratch, rows, factors, signal, counts)
    else:
        counts[_SAT_GRADIENT] += accumulate_rows(
            state.gradients[first:stop], stride, rows, factors, signal, layer[GRADIENT_SHIFT],
            constants[ERROR_NEAREST] != 0, constants[GRADIENT_LOW], constants[GRADIENT_HIGH],
            state.changed_rows[layer[ROW_AT] :],
        )  # fmt: skip


@jit_inline
def change_conv(index, t, layout, state, scratch, counts):
    """Update or accumulate one convolution: D of all rows, then rows ascending, bias rows last."""
    layer, constants = layout.layers[index], layout.constants
    if scratch.signal_nonzero[index] == 0:
        return
    at, stride = layer[INPUT_AT] + index, layer[STRIDE]
    products = scratch.products[: (layer[N_ROWS] + layer[N_BIAS_ROWS]) * stride]
    signal = state.signal[layer[OUTPUT_AT] : layer[OUTPUT_AT] + layer[WIDTH]]
    sum_products_conv(
        layout.geometry[index], scratch.factors[at : at + layer[N_IN]], signal, layer[HAS_BIAS] != 0,
        layout.bias_factors[t, index], scratch.p_pairs, scratch.signal_pairs, scratch.tile, products,
    )  # fmt: skip
    first, stop = rows_range(layer)
    changed = state.changed_rows[layer[ROW_AT] : layer[ROW_AT] + layer[N_ROWS] + layer[N_BIAS_ROWS]]
    immediate = constants[UPDATE] == UPDATE_IMMEDIATE
    # Where a word that is written draws once, the draws are the count.
    counts_draws = immediate and constants[SYNAPSE_LANES] == N_LANES and draws_by_lanes(layer, constants)
    if immediate and not counts_draws:
        changed[:] = 0
    if not counts_draws:
        counts[_WEIGHT_WORDS] += count_rows(products, stride, layer[COLUMNS], constants[SYNAPSE_LANES], changed)
    if immediate:
        saturations, advances = update_products(
            state.weights[first:stop], products, layer, constants, state.registers[index], scratch.words,
            scratch.all_rows, scratch.factor, changed, scratch.scaled_signal[:stride],
        )  # fmt: skip
        counts[_SAT_WEIGHT] += saturations
        counts[_ADVANCES] += advances
        counts[_WEIGHT_WORDS] += advances if counts_draws else 0
    else:
        counts[_SAT_GRADIENT] += accumulate_products(state.gradients[first:stop], products, layer, constants, changed)


@jit_inline
def change_step(slot, t, layout, state, history, scratch, totals):
    """Phase 5 of step t, kept in a slot: update or accumulate all layers that learn, last to first."""
    for index in range(layout.constants[LAYERS] - 1, -1, -1):
        layer = layout.layers[index]
        if not layer[LEARNS]:
            continue
        if layer[KIND] == CONV:
            change_conv(index, t, layout, state, scratch, totals[index])
        else:
            change_dense(index, slot, t, layout, state, history, scratch, totals[index])
