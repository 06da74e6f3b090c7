"""Phase 4 of one step, the errors of all layers (semantics 3.4 and 3.7)."""

from __future__ import annotations

import numpy as np

from neurochip.activity import FIELD_INDEX
from neurochip.core._jit import jit, jit_inline
from neurochip.core.carry import carry_hidden, readout_signals
from neurochip.core.columns import (
    CARRIES_ERROR,
    CONV,
    CREDIT,
    CREDIT_UNROLL,
    ERROR_HIGH,
    ERROR_LOW,
    ERROR_NEAREST,
    FEEDBACK,
    FIRST_CONNECTION,
    FIRST_LINK,
    FIRST_RUN,
    FUSED,
    GIVES_ERROR,
    INPUT_AT,
    KIND,
    LAYERS,
    LEARNS,
    LINK_CONNECTION,
    LINK_LAYER,
    LINK_SHIFT,
    N_BIAS_ROWS,
    N_CONNECTIONS,
    N_IN,
    N_LINKS,
    N_OUT,
    N_ROWS,
    N_RUNS,
    OUTPUT_AT,
    PSI_AT,
    READOUT,
    RECURRENT,
    RECURRENT_SHIFT,
    SIGNAL_AT,
    STRIDE,
    SURROGATE_BITS,
    SYNAPSE_LANES,
    WEIGHT_AT,
    WIDE_DOT,
    WIDTH,
)
from neurochip.core.convolution_counts import count_error, count_signal
from neurochip.core.convolution_errors import error_conv
from neurochip.core.presynaptic import count_conv_update
from neurochip.rules.spatial.backprop import backproject
from neurochip.rules.spatial.routed import (
    dense_error,
    gather_sums,
    mark_needed,
    round_sums,
    sat_sums,
    signals_from_one,
    signals_from_sums,
)
from neurochip.rules.update.accumulate import count_words

_SIGNAL_NONZERO, _SIGNAL_WORDS = FIELD_INDEX["signal_nonzero"], FIELD_INDEX["signal_words"]
_SIGNAL_STEPS = FIELD_INDEX["signal_steps"]
_ALL_TAP_WORDS, _ALL_TAP_PRODUCTS = FIELD_INDEX["all_tap_words"], FIELD_INDEX["all_tap_products"]
_PSI_ROWS, _PSI_TAPS, _ERROR_ROWS = FIELD_INDEX["psi_rows"], FIELD_INDEX["psi_taps"], FIELD_INDEX["error_rows"]
_ERROR_WORDS, _ERROR_PRODUCTS = FIELD_INDEX["error_words"], FIELD_INDEX["error_products"]
_SAT_ERROR, _UNDERFLOW = FIELD_INDEX["sat_error"], FIELD_INDEX["underflow_error"]


@jit
def rows_range(layer):
    """Where the rows of a layer, those of the bias included, begin and end in arrays like the weights."""
    at = layer[WEIGHT_AT]
    return at, at + (layer[N_ROWS] + layer[N_BIAS_ROWS]) * layer[STRIDE]


@jit
def runs_range(layout, number):
    """First and last run, exclusive, of a connection."""
    connection = layout.connections[number]
    return connection[FIRST_RUN], connection[FIRST_RUN] + connection[N_RUNS]


@jit
def signal_range(layer):
    """Where the signal of the outputs of a layer begins and ends; of feedback that of its readout."""
    width = layer[STRIDE] if layer[KIND] == FEEDBACK else layer[WIDTH]
    return layer[SIGNAL_AT], layer[SIGNAL_AT] + width


@jit
def form_sums(index, layout, state, scratch, sums, counts):
    """X of the needed inputs of a layer from its signal as it stands, and the activity of that.

    The counts of the signal of a convolution are in the scratch already.
    """
    layer = layout.layers[index]
    first, stop = signal_range(layer)
    signal = state.signal[first:stop]
    first, stop = rows_range(layer)
    weights, needed = state.weights[first:stop], scratch.needed[: layer[N_IN]]
    if layer[KIND] == CONV:
        geometry = layout.geometry[index]
        rows, taps, words, products = count_error(geometry, needed, scratch.reach, scratch.nonzero_at)
        copies = (scratch.signals_16, scratch.rows_16, scratch.tile)
        error_conv(weights, geometry, signal, needed, scratch.nonzero_at, layer[WIDE_DOT] != 0, copies, sums)
    else:
        rows = dense_error(weights, layer[STRIDE], signal, needed, layer[WIDE_DOT] != 0, sums)
        taps, words, products = rows, rows * scratch.signal_words[index], rows * scratch.signal_nonzero[index]
    counts[_PSI_ROWS] += rows
    counts[_PSI_TAPS] += taps
    counts[_ERROR_ROWS] += rows if scratch.signal_nonzero[index] > 0 else 0
    counts[_ERROR_WORDS] += words
    counts[_ERROR_PRODUCTS] += products


@jit
def give_error(index, slot, layout, state, history, scratch, counts):
    """X of a layer at all the inputs to which a neuron with psi != 0 leads along a connection that carries error."""
    layer = layout.layers[index]
    at, n_in = layer[INPUT_AT], layer[N_IN]
    scratch.needed[:n_in] = 0
    for number in range(layer[FIRST_CONNECTION], layer[FIRST_CONNECTION] + layer[N_CONNECTIONS]):
        connection = layout.connections[number]
        if connection[CARRIES_ERROR]:
            psi = history.psi[slot, connection[PSI_AT] :]
            first, stop = runs_range(layout, number)
            mark_needed(psi, layout.runs[first:stop], scratch.needed)
    form_sums(index, layout, state, scratch, scratch.sums[at : at + n_in], counts)


@jit
def add_sums(number, shift, layer, layout, nearest, scratch):
    """Add what a connection of a layer brings its source, each term rounded."""
    at, n_in = layer[INPUT_AT], layer[N_IN]
    rounded, is_nonzero = scratch.rounded[:n_in], scratch.is_nonzero[:n_in]
    round_sums(scratch.sums[at : at + n_in], shift, nearest, rounded, is_nonzero)
    first, stop = runs_range(layout, number)
    gather_sums(layout.runs[first:stop], rounded, is_nonzero, scratch.error_sum, scratch.some_nonzero)


@jit_inline
def add_delayed(index, slot, layout, state, history, scratch, nearest, counts):
    """The term of a recurrent layer from its own signal of the next step."""
    layer = layout.layers[index]
    out, width, n_in, number = layer[OUTPUT_AT], layer[WIDTH], layer[N_IN], layer[RECURRENT]
    count_signals(index, layout, state, scratch)
    scratch.needed[:n_in] = 0
    first, stop = runs_range(layout, number)
    mark_needed(history.psi[slot, out : out + width], layout.runs[first:stop], scratch.needed)
    form_sums(index, layout, state, scratch, scratch.sums[layer[INPUT_AT] : layer[INPUT_AT] + n_in], counts)
    add_sums(number, layer[RECURRENT_SHIFT], layer, layout, nearest, scratch)


@jit
def fits_lanes(low, high, surrogate_bits, codes):
    """Whether 4 d and the rounded product of any d and any surrogate code fit 31 bits."""
    largest_code = np.int64(4)
    for k in range(codes.shape[0]):
        largest_code = max(largest_code, np.int64(codes[k]))
    return max(-low, high) * largest_code + (np.int64(1) << surrogate_bits) < 1 << 31


@jit
def one_link_error(link, layout, scratch, psi, d, g):
    """d and g of a hidden layer from the sums of the only connection that leads from it; returns as routed_error's."""
    constants = layout.constants
    after, nearest = layout.layers[link[LINK_LAYER]], constants[ERROR_NEAREST] != 0
    low, high = constants[ERROR_LOW], constants[ERROR_HIGH]
    at, n_in = after[INPUT_AT], after[N_IN]
    packed = scratch.is_nonzero[:n_in]
    sat_sums(scratch.sums[at : at + n_in], link[LINK_SHIFT], nearest, low, high, packed)
    first, stop = runs_range(layout, link[LINK_CONNECTION])
    return signals_from_one(layout.runs[first:stop], packed, psi, constants[SURROGATE_BITS], nearest, low, high, d, g)


@jit
def routed_error(index, slot, layout, state, history, scratch, counts, d, g):
    """d and g of a hidden layer from the sums of the layers it leads to."""
    layer, constants = layout.layers[index], layout.constants
    width = layer[WIDTH]
    nearest = constants[ERROR_NEAREST] != 0
    psi = history.psi[slot, layer[OUTPUT_AT] : layer[OUTPUT_AT] + width]
    low, high = constants[ERROR_LOW], constants[ERROR_HIGH]
    one_link = layer[N_LINKS] == 1 and layer[RECURRENT] < 0
    if one_link and fits_lanes(low, high, constants[SURROGATE_BITS], layout.surrogate):
        saturations, underflows = one_link_error(layout.links[layer[FIRST_LINK]], layout, scratch, psi, d, g)
        counts[_SAT_ERROR] += saturations
        counts[_UNDERFLOW] += underflows
        return
    error_sum, some_nonzero = scratch.error_sum[:width], scratch.some_nonzero[:width]
    error_sum[:] = 0
    some_nonzero[:] = 0
    for k in range(layer[FIRST_LINK], layer[FIRST_LINK] + layer[N_LINKS]):
        link = layout.links[k]
        add_sums(link[LINK_CONNECTION], link[LINK_SHIFT], layout.layers[link[LINK_LAYER]], layout, nearest, scratch)
    if layer[RECURRENT] >= 0:
        add_delayed(index, slot, layout, state, history, scratch, nearest, counts)
    saturations, underflows = signals_from_sums(
        error_sum, some_nonzero, psi, constants[SURROGATE_BITS], nearest, low, high, d, g
    )
    counts[_SAT_ERROR] += saturations
    counts[_UNDERFLOW] += underflows


@jit
def fused_error(index, slot, layout, state, history, scratch, totals, d, g):
    """d and g of a hidden layer straight from the rows of the only layer it leads to."""
    layer, constants = layout.layers[index], layout.constants
    link = layout.links[layer[FIRST_LINK]]
    consumer = link[LINK_LAYER]
    after = layout.layers[consumer]
    psi = history.psi[slot, layer[OUTPUT_AT] : layer[OUTPUT_AT] + d.shape[0]]
    first, stop = rows_range(after)
    signal_first, signal_stop = signal_range(after)
    rows, saturations, underflows = backproject(
        state.weights[first:stop], after[STRIDE], state.signal[signal_first:signal_stop], psi, after[WIDE_DOT],
        link[LINK_SHIFT],
        constants[SURROGATE_BITS], constants[ERROR_NEAREST] != 0, constants[ERROR_LOW], constants[ERROR_HIGH], d, g,
    )  # fmt: skip
    totals[index, _SAT_ERROR] += saturations
    totals[index, _UNDERFLOW] += underflows
    counts = totals[consumer]
    counts[_PSI_ROWS] += rows
    counts[_PSI_TAPS] += rows
    counts[_ERROR_ROWS] += rows if scratch.signal_nonzero[consumer] > 0 else 0
    counts[_ERROR_WORDS] += rows * scratch.signal_words[consumer]
    counts[_ERROR_PRODUCTS] += rows * scratch.signal_nonzero[consumer]


@jit_inline
def hidden_signal(index, slot, layout, state, history, scratch, totals):
    """The signal of a hidden layer: g, carried under unroll."""
    layer, constants = layout.layers[index], layout.constants
    unroll = constants[CREDIT] == CREDIT_UNROLL
    out = layer[OUTPUT_AT]
    stop = out + (layer[N_OUT] if layer[FUSED] else layer[WIDTH])
    signal, d = state.signal[out:stop], state.error[out:stop]
    g = scratch.learning_signal[: stop - out] if unroll else signal
    if layer[FUSED]:
        fused_error(index, slot, layout, state, history, scratch, totals, d, g)
    else:
        routed_error(index, slot, layout, state, history, scratch, totals[index], d, g)
    if unroll:
        carry_hidden(layer, constants, state, g, history.psi[slot, out:stop], totals[index])


@jit
def count_signals(index, layout, state, scratch):
    """Count a signal; returns (L-words with some of it, those over all taps, products over all taps)."""
    layer, lanes = layout.layers[index], layout.constants[SYNAPSE_LANES]
    first, stop = signal_range(layer)
    signal = state.signal[first:stop]
    if layer[KIND] == CONV:
        words, nonzero, all_words, all_products = count_signal(
            layout.geometry[index], signal, lanes, scratch.blocks, scratch.columns, scratch.reach
        )
    else:
        words, nonzero = count_words(signal, layer[N_OUT], lanes)
        all_words, all_products = layer[N_IN] * words, layer[N_IN] * nonzero
    scratch.signal_words[index], scratch.signal_nonzero[index] = words, nonzero
    return all_words, all_products


@jit_inline
def error_step(slot, layout, state, history, scratch, totals):
    """Phase 4: signals of all layers, those of the readouts first, then last to first."""
    readout_signals(slot, layout, state, history, totals)
    for index in range(layout.constants[LAYERS] - 1, -1, -1):
        layer, counts = layout.layers[index], totals[index]
        if layer[KIND] != READOUT and layer[KIND] != FEEDBACK:
            hidden_signal(index, slot, layout, state, history, scratch, totals)
        all_words, all_products = count_signals(index, layout, state, scratch)
        counts[_SIGNAL_WORDS] += scratch.signal_words[index]
        counts[_SIGNAL_NONZERO] += scratch.signal_nonzero[index]
        counts[_SIGNAL_STEPS] += scratch.signal_nonzero[index] > 0
        counts[_ALL_TAP_WORDS] += all_words
        counts[_ALL_TAP_PRODUCTS] += all_products
        if layer[KIND] == CONV and layer[LEARNS]:
            count_conv_update(index, slot, layout, history, scratch, counts)
        if layer[GIVES_ERROR]:
            give_error(index, slot, layout, state, history, scratch, counts)
