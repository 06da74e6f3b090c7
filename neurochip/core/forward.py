"""Phases 1 to 3 of one step, all layers (semantics 3.1 to 3.3)."""

from __future__ import annotations

import numpy as np

from neurochip.activity import FIELD_INDEX
from neurochip.core._jit import jit
from neurochip.core.deliver import INT32_MAX, add_row, clamp, deliver_events
from neurochip.core.layout import (
    BINARY_EVENTS,
    CREDIT,
    CREDIT_TRACE,
    DELIVER_NEURON,
    DELIVER_SHIFT,
    FRAC_P,
    HAS_BIAS,
    INPUT_AT,
    KEEPS_TRACE,
    LAYERS,
    LEAK,
    LEAK_VALUE,
    MEMBRANE_HIGH,
    MEMBRANE_LOW,
    N_IN,
    N_OUT,
    OUTPUT_AT,
    PSI_SHIFT,
    READOUT_HIGH,
    READOUT_LOW,
    RESET_ZERO,
    ROW_PAD,
    STRIDE,
    THRESHOLD,
    TRACE_GATE,
    TRACE_HIGH,
    TRACE_LANES,
    TRACE_LEAK,
    TRACE_LEAK_VALUE,
    WEIGHT_AT,
)
from neurochip.core.neuron import fire, leak_magnitudes, surrogate_codes
from neurochip.rules.temporal.spike import list_event_rows
from neurochip.rules.temporal.trace import list_rows, update_trace

_EVENTS, _GRADED, _SPIKES = FIELD_INDEX["events"], FIELD_INDEX["graded_events"], FIELD_INDEX["spikes"]
_PSI, _TRACE_WORDS, _TRACE_NONZERO = (
    FIELD_INDEX["psi_nonzero"],
    FIELD_INDEX["trace_words"],
    FIELD_INDEX["trace_nonzero"],
)
_SAT_MEMBRANE, _SAT_READOUT = FIELD_INDEX["sat_membrane"], FIELD_INDEX["sat_readout"]
_SAT_TRACE = FIELD_INDEX["sat_trace"]


@jit
def integrate(layer, constants, state, addresses, magnitudes, binary):
    """Leak (readout: clear), add the bias and deliver the events; returns the saturations."""
    stride = layer[STRIDE]
    u = state.potential[layer[OUTPUT_AT] : layer[OUTPUT_AT] + stride]
    leak_magnitudes(u, layer[LEAK], layer[LEAK_VALUE])
    is_readout = layer[THRESHOLD] == 0
    low = np.int32(constants[READOUT_LOW] if is_readout else constants[MEMBRANE_LOW])
    high = np.int32(constants[READOUT_HIGH] if is_readout else constants[MEMBRANE_HIGH])
    wide = constants[DELIVER_NEURON] != 0 and not is_readout
    add_low, add_high = (np.int32(-INT32_MAX), np.int32(INT32_MAX)) if wide else (low, high)
    at = layer[WEIGHT_AT]
    rows = state.weights[at : at + (layer[N_IN] + 1) * stride]
    shift = layer[DELIVER_SHIFT]
    saturations = np.int64(0)
    if layer[HAS_BIAS]:
        bias = rows[layer[N_IN] * stride :]
        saturations += add_row(u, bias, np.int32(1), shift, add_low, add_high)
    saturations += deliver_events(u, rows, stride, addresses, magnitudes, binary, shift, add_low, add_high)
    if wide:
        saturations += clamp(u, low, high)
    return saturations


@jit
def follow_presynaptic(index, layer, constants, state, scratch, addresses, magnitudes, counts):
    """Update the trace if the layer keeps one, and list the rows with p != 0 (learning online)."""
    at = layer[INPUT_AT]
    n_in = layer[N_IN]
    list_at = at + index  # every layer has one entry more than inputs, for the bias
    rows, factors = scratch.rows[list_at : list_at + n_in + 1], scratch.factors[list_at : list_at + n_in + 1]
    if layer[KEEPS_TRACE] and constants[CREDIT] == CREDIT_TRACE:
        trace = state.trace[at : at + -(-n_in // ROW_PAD) * ROW_PAD]
        words, saturations = update_trace(
            trace,
            layer[TRACE_LEAK],
            layer[TRACE_LEAK_VALUE],
            addresses,
            magnitudes,
            layer[FRAC_P],
            constants[TRACE_HIGH],
            constants[TRACE_LANES],
            scratch.touched,
        )
        n_rows, nonzero = list_rows(trace[:n_in], constants[TRACE_GATE], rows, factors)
        counts[_TRACE_WORDS] += words
        counts[_TRACE_NONZERO] += nonzero
        counts[_SAT_TRACE] += saturations
        scratch.n_rows[index] = n_rows
    else:
        scratch.n_rows[index] = list_event_rows(addresses, magnitudes, rows, factors)


@jit
def forward_layer(index, slot, layout, state, history, counts, learn, probe_at, probes):
    """Phases 1 and 2 of one layer; its spikes become the events of the next."""
    layer, constants = layout.layers[index], layout.constants
    at = layer[INPUT_AT]
    n_events = history.n_events[slot, index]
    addresses = history.addresses[slot, at : at + n_events]
    magnitudes = history.magnitudes[slot, at : at + n_events]
    counts[_EVENTS] += n_events
    binary = index > 0 or constants[BINARY_EVENTS] != 0
    if not binary:
        for k in range(n_events):
            counts[_GRADED] += magnitudes[k] != 1
    saturations = integrate(layer, constants, state, addresses, magnitudes, binary)
    out = layer[OUTPUT_AT]
    n_out = layer[N_OUT]
    u = state.potential[out : out + layer[STRIDE]]
    if probe_at >= 0:
        for j in range(n_out):
            probes.potential[probe_at, out + j] = u[j]
    if index == constants[LAYERS] - 1:
        counts[_SAT_READOUT] += saturations
        return
    counts[_SAT_MEMBRANE] += saturations
    if learn:
        psi = history.psi[slot, out : out + layer[STRIDE]]
        counts[_PSI] += surrogate_codes(u, n_out, layer[THRESHOLD], layer[PSI_SHIFT], layout.surrogate, psi)
        if probe_at >= 0:
            for j in range(n_out):
                probes.psi[probe_at, out + j] = psi[j]
    next_at = layout.layers[index + 1][INPUT_AT]
    spikes = history.addresses[slot, next_at : next_at + n_out + 1]
    n_spikes = fire(u, n_out, np.int32(layer[THRESHOLD]), layer[RESET_ZERO], spikes)
    history.n_events[slot, index + 1] = n_spikes
    counts[_SPIKES] += n_spikes
    if probe_at >= 0:
        for k in range(n_spikes):
            probes.spike[probe_at, out + spikes[k]] = 1


@jit
def forward_step(slot, layout, state, history, scratch, totals, learn, online, probe_at, probes):
    """Phases 1 to 3 of every layer, first to last. totals: int64 [n_layers, N_FIELDS] of this step."""
    constants = layout.constants
    for index in range(constants[LAYERS]):
        counts = totals[index]
        forward_layer(index, slot, layout, state, history, counts, learn, probe_at, probes)
        if not online:
            continue
        layer = layout.layers[index]
        at = layer[INPUT_AT]
        n_events = history.n_events[slot, index]
        addresses = history.addresses[slot, at : at + n_events]
        magnitudes = history.magnitudes[slot, at : at + n_events]
        follow_presynaptic(index, layer, constants, state, scratch, addresses, magnitudes, counts)
        if probe_at >= 0:
            for i in range(layer[N_IN]):
                probes.trace[probe_at, at + i] = state.trace[at + i]
