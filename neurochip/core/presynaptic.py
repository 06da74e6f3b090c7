"""Phase 3 of one step: traces, and the presynaptic factor p of every layer that learns (semantics 3.3 and 3.5).

A dense layer lists its rows with p != 0; a convolution keeps p of all its inputs.
"""

from __future__ import annotations

import numpy as np

from neurochip.activity import FIELD_INDEX
from neurochip.core._jit import jit
from neurochip.core.columns import (
    CONV,
    CREDIT,
    CREDIT_UNROLL,
    FILTER_LEAK,
    FILTER_LEAK_VALUE,
    HAS_BIAS,
    INPUT_AT,
    INPUT_BLOCK,
    KEEPS_TRACE,
    KIND,
    LEAK_IS_NONE,
    N_IN,
    TRACE_GATE,
    TRACE_HIGH,
    TRACE_LANES,
    TRACE_LEAK,
    TRACE_LEAK_VALUE,
    TRACE_SHIFT,
)
from neurochip.core.convolution_counts import count_update
from neurochip.core.inputs import inputs_of
from neurochip.rules.temporal.spike import list_event_rows, spread_events
from neurochip.rules.temporal.trace import copy_gated, list_rows, update_filtered_trace, update_trace

_TRACE_WORDS, _TRACE_NONZERO = FIELD_INDEX["trace_words"], FIELD_INDEX["trace_nonzero"]
_PRESYNAPTIC_ROWS, _PRESYNAPTIC_TAPS = FIELD_INDEX["presynaptic_rows"], FIELD_INDEX["presynaptic_taps"]
_UPDATE_ROWS, _UPDATE_WORDS = FIELD_INDEX["update_rows"], FIELD_INDEX["update_words"]
_UPDATE_PRODUCTS, _UPDATE_TILES = FIELD_INDEX["update_products"], FIELD_INDEX["update_tiles"]
_SAT_TRACE = FIELD_INDEX["sat_trace"]


@jit
def follow_trace(layer, constants, state, scratch, addresses, magnitudes, counts):
    """Decay the traces of a layer and add the sums of its events."""
    at, n_in = layer[INPUT_AT], layer[N_IN]
    stop = at + -(-n_in // 16) * 16
    leak, leak_value, shift = layer[TRACE_LEAK], layer[TRACE_LEAK_VALUE], layer[TRACE_SHIFT]
    highest, width, block = constants[TRACE_HIGH], constants[TRACE_LANES], layer[INPUT_BLOCK]
    trace = state.trace[at:stop]
    if layer[FILTER_LEAK] == LEAK_IS_NONE:
        words, saturations = update_trace(
            trace, n_in, leak, leak_value, addresses, magnitudes, shift, highest, width, block, scratch.touched
        )
    else:
        leaks = (leak, leak_value, layer[FILTER_LEAK], layer[FILTER_LEAK_VALUE])
        words, saturations = update_filtered_trace(
            trace, state.filtered[at:stop], n_in, leaks, addresses, magnitudes, shift, highest, width, block,
            scratch.touched,
        )  # fmt: skip
    counts[_TRACE_WORDS] += words
    counts[_SAT_TRACE] += saturations


@jit
def follow_presynaptic(index, layer, constants, state, scratch, addresses, magnitudes, counts):
    """Update the trace if the layer keeps one, and list the rows with p != 0 (learning online).

    addresses, magnitudes: the inputs with m > 0, ascending. Of a convolution p of all inputs is kept, not a list.
    """
    at, n_in = layer[INPUT_AT], layer[N_IN]
    is_conv = layer[KIND] == CONV
    list_at = at + index  # every layer has one entry more than inputs, for the bias
    rows, factors = scratch.rows[list_at : list_at + n_in + 1], scratch.factors[list_at : list_at + n_in + 1]
    if layer[KEEPS_TRACE]:
        follow_trace(layer, constants, state, scratch, addresses, magnitudes, counts)
        trace = state.trace[at : at + n_in]
        if is_conv:
            counts[_TRACE_NONZERO] += copy_gated(trace, constants[TRACE_GATE], factors)
        else:
            n_rows, nonzero = list_rows(trace, constants[TRACE_GATE], rows, factors)
            counts[_TRACE_NONZERO] += nonzero
            scratch.n_rows[index] = n_rows
    elif is_conv:
        spread_events(addresses, magnitudes, factors[:n_in])
    else:
        scratch.n_rows[index] = list_event_rows(addresses, magnitudes, rows, factors)


@jit
def presynaptic_rows(index, slot, t, layout, history, scratch):
    """Rows of a dense layer with p != 0 and their factors, the bias row last."""
    layer = layout.layers[index]
    at = layer[INPUT_AT] + index  # every layer has one entry more than inputs, for the bias
    if layout.constants[CREDIT] == CREDIT_UNROLL:
        addresses, magnitudes = inputs_of(index, slot, layout, history, scratch)
        n_rows = list_event_rows(addresses, magnitudes, scratch.rows[at:], scratch.factors[at:])
    else:
        n_rows = np.int64(scratch.n_rows[index])
    if layer[HAS_BIAS]:
        scratch.rows[at + n_rows] = layer[N_IN]
        scratch.factors[at + n_rows] = layout.bias_factors[t, index]
        n_rows += 1
    return scratch.rows[at : at + n_rows], scratch.factors[at : at + n_rows]


@jit
def count_conv_update(index, slot, layout, history, scratch, counts):
    """Presynaptic factors of a convolution, and the activity of its update. Its signal has just been counted."""
    layer, constants = layout.layers[index], layout.constants
    at, n_in = layer[INPUT_AT] + index, layer[N_IN]
    p = scratch.factors[at : at + n_in]
    if layout.constants[CREDIT] == CREDIT_UNROLL:
        addresses, magnitudes = inputs_of(index, slot, layout, history, scratch)
        spread_events(addresses, magnitudes, p)
    nonzero = scratch.signal_nonzero[index]
    rows, taps, tiles, words, products = count_update(
        layout.geometry[index], p, layer[HAS_BIAS] != 0, constants[TRACE_LANES], scratch.signal_words[index], nonzero,
        scratch.reach, scratch.nonzero_at,
    )  # fmt: skip
    counts[_PRESYNAPTIC_ROWS] += rows
    counts[_PRESYNAPTIC_TAPS] += taps
    counts[_UPDATE_ROWS] += rows if nonzero > 0 else 0
    counts[_UPDATE_TILES] += tiles
    counts[_UPDATE_WORDS] += words
    counts[_UPDATE_PRODUCTS] += products
