"""Phases 1 to 3 of one step, all layers (semantics 3.1 to 3.3)."""

from __future__ import annotations

import numpy as np

from neurochip.activity import FIELD_INDEX
from neurochip.core._jit import jit, jit_inline
from neurochip.core.columns import (
    BINARY_EVENTS,
    COLUMNS,
    CONV,
    CURRENT_LEAK,
    CURRENT_LEAK_VALUE,
    DELIVER_NEURON,
    DELIVER_SHIFT,
    HAS_BIAS,
    INPUT_AT,
    KEEPS_TRACE,
    KIND,
    LAYERS,
    LEAK,
    LEAK_IS_NONE,
    LEAK_VALUE,
    LEARNS,
    MEMBRANE_HIGH,
    MEMBRANE_LOW,
    N_BIAS_ROWS,
    N_BLOCKS,
    N_IN,
    N_OUT,
    N_ROWS,
    OUTPUT_AT,
    PSI_SHIFT,
    READOUT,
    READOUT_HIGH,
    READOUT_LOW,
    RESET_ZERO,
    RUNS_ALWAYS,
    SPIKES_AT,
    STRIDE,
    THRESHOLD,
    WEIGHT_AT,
    WIDTH,
)
from neurochip.core.convolution import deliver_bias_conv, deliver_conv
from neurochip.core.convolution_counts import count_delivered
from neurochip.core.deliver import INT32_MAX, add_current, add_row, clamp, deliver_events
from neurochip.core.inputs import events_of, inputs_of
from neurochip.core.neuron import fire, leak_magnitudes, surrogate_codes
from neurochip.core.presynaptic import follow_presynaptic

_EVENTS, _GRADED, _SPIKES = FIELD_INDEX["events"], FIELD_INDEX["graded_events"], FIELD_INDEX["spikes"]
_TAPS, _PSI = FIELD_INDEX["deliver_taps"], FIELD_INDEX["psi_nonzero"]
_SAT_MEMBRANE, _SAT_READOUT = FIELD_INDEX["sat_membrane"], FIELD_INDEX["sat_readout"]


@jit_inline
def integrate(index, layout, state, addresses, magnitudes):
    """Leak (memoryless readout: clear), add the bias and deliver the events; returns the saturations.

    With a synaptic current all this is done to i in place of u.
    """
    layer, constants = layout.layers[index], layout.constants
    first, stop, stride = layer[OUTPUT_AT], layer[OUTPUT_AT] + layer[WIDTH], layer[STRIDE]
    u, leak, leak_value = state.potential[first:stop], layer[LEAK], layer[LEAK_VALUE]
    if layer[CURRENT_LEAK] != LEAK_IS_NONE:
        u, leak, leak_value = state.current[first:stop], layer[CURRENT_LEAK], layer[CURRENT_LEAK_VALUE]
    leak_magnitudes(u, leak, leak_value)
    is_readout = layer[KIND] == READOUT
    low = np.int32(constants[READOUT_LOW] if is_readout else constants[MEMBRANE_LOW])
    high = np.int32(constants[READOUT_HIGH] if is_readout else constants[MEMBRANE_HIGH])
    wide = constants[DELIVER_NEURON] != 0 and not is_readout
    add_low, add_high = (np.int32(-INT32_MAX), np.int32(INT32_MAX)) if wide else (low, high)
    at = layer[WEIGHT_AT]
    rows = state.weights[at : at + (layer[N_ROWS] + layer[N_BIAS_ROWS]) * stride]
    shift = layer[DELIVER_SHIFT]
    saturations = np.int64(0)
    if layer[KIND] == CONV:
        geometry = layout.geometry[index]
        if layer[HAS_BIAS]:
            saturations += deliver_bias_conv(u, rows, geometry, shift, add_low, add_high)
        saturations += deliver_conv(u, rows, geometry, addresses, magnitudes, shift, add_low, add_high)
    else:
        if layer[HAS_BIAS]:
            saturations += add_row(u, rows[layer[N_IN] * stride :], np.int32(1), shift, add_low, add_high)
        binary = layer[BINARY_EVENTS] != 0
        saturations += deliver_events(u, rows, stride, addresses, magnitudes, binary, shift, add_low, add_high)
    if wide:
        saturations += clamp(u, low, high)
    return saturations


@jit
def follow_current(layer, constants, state):
    """u <- sat(leak(u) + i), or z, of a layer whose current i is that of this step; returns the saturations."""
    first, stop = layer[OUTPUT_AT], layer[OUTPUT_AT] + layer[WIDTH]
    u, current = state.potential[first:stop], state.current[first:stop]
    leak_magnitudes(u, layer[LEAK], layer[LEAK_VALUE])
    is_readout = layer[KIND] == READOUT
    low = np.int32(constants[READOUT_LOW] if is_readout else constants[MEMBRANE_LOW])
    high = np.int32(constants[READOUT_HIGH] if is_readout else constants[MEMBRANE_HIGH])
    return add_current(u, current, low, high)


@jit
def fire_layer(index, slot, layout, state, history, counts, learn, probe_at, probes):
    """Phase 2 of one layer: its spikes become events of this step. Padded blocks go one by one."""
    layer = layout.layers[index]
    out, threshold = layer[OUTPUT_AT], np.int32(layer[THRESHOLD])
    is_whole = layer[N_BLOCKS] == 1 or layer[COLUMNS] == layer[STRIDE]
    n_spans, span = (1, layer[N_OUT]) if is_whole else (layer[N_BLOCKS], layer[COLUMNS])
    at = layer[SPIKES_AT]
    n_spikes = nonzero = 0
    for block in range(n_spans):
        first = block * layer[STRIDE]
        u = state.potential[out + first : out + first + span]
        if learn:
            psi = history.psi[slot, out + first : out + first + span]
            nonzero += surrogate_codes(u, span, threshold, layer[PSI_SHIFT], layout.surrogate, psi)
        spikes = history.addresses[slot, at + n_spikes : at + n_spikes + span + 1]
        count = fire(u, span, threshold, layer[RESET_ZERO], spikes)
        if first > 0:
            for k in range(count):
                spikes[k] += first
        n_spikes += count
    counts[_PSI] += nonzero
    counts[_SPIKES] += n_spikes
    history.n_events[slot, index + 1] = n_spikes
    if probe_at >= 0:
        for k in range(n_spikes):
            probes.spike[probe_at, out + history.addresses[slot, at + k]] = 1
        for j in range(layer[WIDTH] if learn else 0):
            probes.psi[probe_at, out + j] = history.psi[slot, out + j]


@jit
def keep_potentials(layer, state, probe_at, probes):
    """Record u or z of a layer, and its current if it has one."""
    first, stop = layer[OUTPUT_AT], layer[OUTPUT_AT] + layer[WIDTH]
    for j in range(first, stop):
        probes.potential[probe_at, j] = state.potential[j]
    if layer[CURRENT_LEAK] != LEAK_IS_NONE:
        for j in range(first, stop):
            probes.current[probe_at, j] = state.current[j]


@jit_inline
def forward_layer(index, slot, layout, state, history, scratch, counts, learn, probe_at, probes):
    """Phases 1 and 2 of one layer; its spikes become events of other layers."""
    layer = layout.layers[index]
    addresses, magnitudes = events_of(index, slot, layout, history, scratch)
    n_events = addresses.shape[0]
    counts[_EVENTS] += n_events
    if layer[BINARY_EVENTS] == 0:
        for k in range(n_events):
            counts[_GRADED] += magnitudes[k] != 1
    counts[_TAPS] += count_delivered(layout.geometry[index], addresses) if layer[KIND] == CONV else n_events
    saturations = integrate(index, layout, state, addresses, magnitudes)
    if layer[CURRENT_LEAK] != LEAK_IS_NONE:
        saturations += follow_current(layer, layout.constants, state)
    if probe_at >= 0:
        keep_potentials(layer, state, probe_at, probes)
    if layer[KIND] == READOUT:
        counts[_SAT_READOUT] += saturations
    else:
        counts[_SAT_MEMBRANE] += saturations
        fire_layer(index, slot, layout, state, history, counts, learn, probe_at, probes)


@jit_inline
def forward_step(slot, layout, state, history, scratch, totals, learn, online, probe_at, probes):
    """Phases 1 to 3 of every layer, first to last. totals: int64 [n_layers, N_FIELDS] of this step."""
    constants = layout.constants
    for index in range(constants[LAYERS]):
        layer = layout.layers[index]
        if not (layer[RUNS_ALWAYS] or (learn and layer[KIND] == READOUT)):
            continue
        counts = totals[index]
        forward_layer(index, slot, layout, state, history, scratch, counts, learn, probe_at, probes)
        if not online or not layer[LEARNS]:
            continue
        addresses, magnitudes = inputs_of(index, slot, layout, history, scratch)
        follow_presynaptic(index, layer, constants, state, scratch, addresses, magnitudes, counts)
        if probe_at >= 0 and layer[KEEPS_TRACE]:
            at = layer[INPUT_AT]
            for i in range(layer[N_IN]):
                probes.trace[probe_at, at + i] = state.trace[at + i]
