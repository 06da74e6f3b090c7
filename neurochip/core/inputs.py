"""Events at the input of a layer: the lists of its sources, renamed by its connections (semantics section 3)."""

from __future__ import annotations

import numpy as np

from neurochip.core import lanes
from neurochip.core._jit import jit
from neurochip.core.columns import (
    DELAY,
    EVENTS_AT,
    FIRST_CONNECTION,
    IS_DIRECT,
    MAP_AT,
    N_CONNECTIONS,
    N_IN,
    SOURCE_SLOT,
)
from neurochip.core.neuron import FOUR, append_places


@jit
def gather_events(index, slot, layout, history, addresses, magnitudes):
    """List the events of all connections of a layer in the order of delivery; returns their number."""
    layer = layout.layers[index]
    count = 0
    first = layer[FIRST_CONNECTION]
    for number in range(first, first + layer[N_CONNECTIONS]):
        connection = layout.connections[number]
        step = slot - connection[DELAY]
        at, n_events = connection[EVENTS_AT], history.n_events[step, connection[SOURCE_SLOT]]
        sources = history.addresses[step, at : at + n_events]
        source_magnitudes = history.magnitudes[step, at : at + n_events]
        renamed = layout.maps[connection[MAP_AT] :]
        for k in range(n_events):
            address = renamed[sources[k]]
            addresses[count] = address
            magnitudes[count] = source_magnitudes[k]
            count += address >= 0
    return count


@jit
def events_of(index, slot, layout, history, scratch):
    """Events at the input of a layer in the order of delivery: (addresses, magnitudes), int32 [n_events]."""
    layer = layout.layers[index]
    if layer[IS_DIRECT]:
        connection = layout.connections[layer[FIRST_CONNECTION]]
        at, n_events = connection[EVENTS_AT], history.n_events[slot, connection[SOURCE_SLOT]]
        return history.addresses[slot, at : at + n_events], history.magnitudes[slot, at : at + n_events]
    n_events = gather_events(index, slot, layout, history, scratch.event_addresses, scratch.event_magnitudes)
    return scratch.event_addresses[:n_events], scratch.event_magnitudes[:n_events]


@jit
def sum_events(addresses, magnitudes, summed, n_in, unique, sums):
    """List the addresses hit, ascending, with m, the sum of their magnitudes; returns their number.

    summed: int32 [n_in], all 0 before and after; unique, sums: int32 [n_in + 1].
    """
    for k in range(addresses.shape[0]):
        summed[addresses[k]] += magnitudes[k]
    count = np.int64(0)
    whole = n_in & ~(lanes.N_LANES - 1)
    for first in range(0, whole, FOUR):
        bits = np.int64(0)
        for start in range(first, min(first + FOUR, whole), lanes.N_LANES):
            bits |= lanes.different_bits(lanes.load(summed, start), lanes.splat(0)) << (start - first)
        if bits != 0:
            count = append_places(bits, first, unique, count)
    for i in range(whole, n_in):
        unique[count] = i
        count += summed[i] != 0
    for k in range(count):
        i = unique[k]
        sums[k] = summed[i]
        summed[i] = 0
    return count


@jit
def inputs_of(index, slot, layout, history, scratch):
    """Input addresses of a layer with m > 0, ascending, and m: int32 [n]."""
    layer = layout.layers[index]
    addresses, magnitudes = events_of(index, slot, layout, history, scratch)
    if layer[IS_DIRECT]:
        return addresses, magnitudes
    count = sum_events(
        addresses, magnitudes, scratch.summed, layer[N_IN], scratch.input_addresses, scratch.input_magnitudes
    )
    return scratch.input_addresses[:count], scratch.input_magnitudes[:count]


@jit
def keep_previous(slot, layout, history):
    """Copy the events of delayed sources from the last slot to slot 0, the step before the next one."""
    for number in range(layout.connections.shape[0]):
        connection = layout.connections[number]
        if connection[DELAY] == 0:
            continue
        at, n_events = connection[EVENTS_AT], history.n_events[slot, connection[SOURCE_SLOT]]
        history.n_events[0, connection[SOURCE_SLOT]] = n_events
        for k in range(n_events):
            history.addresses[0, at + k] = history.addresses[slot, at + k]
            history.magnitudes[0, at + k] = history.magnitudes[slot, at + k]
