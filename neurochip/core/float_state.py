"""State and results of the float twin, as its kernels see them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurochip.core.float_spec import FloatSpec
from neurochip.core.float_tables import INPUT_AT, KEEPS_TRACE, OUTPUT_AT, Array, Network
from neurochip.events import EventDataset

# First axis of State.history: u before the reset (z of a readout), psi, d, and g (e of a readout, or delta). With a
# synaptic current the signal is epsilon, and i and delta stand behind; without any in the network they are not there.
POTENTIAL, PSI, BACK, SIGNAL, CURRENT, CARRIED = range(6)
# Entries of State.counters: number of the current memo, steps that formed gradients in this sample, steps since the
# last apply, learned samples since the last standardisation.
MEMO, FORMED, SINCE_APPLY, SINCE_STANDARDISE = range(4)


class Events(NamedTuple):
    """The arrays of an EventDataset."""

    step_offsets: Array
    addresses: Array
    magnitudes: Array
    labels: Array


class State(NamedTuple):
    """State and history of one sample; N = outputs, I = inputs, A = addresses of the sources, of all layers."""

    residual: Array  # [N] u after reset, z of leaky readouts
    trace: Array  # [I] a
    filtered: Array  # [I] f, the first of the two leaks of a filtered trace
    history: Array  # [4 or 6, T, N]
    spikes: Array  # int32 [T, N], addresses of the spikes of layer l, ascending, from OUTPUT_AT on
    n_spikes: Array  # int64 [T, L]
    arrived: Array  # int64 [T, A], input addresses of the events of layer l, in their order, from EVENT_AT on
    values: Array  # [T, A], their magnitudes in real numbers
    n_arrived: Array  # int64 [T, L]
    totals: Array  # float64 [largest N_out], d of one layer
    memo: Array  # float64 [largest N_in], X of one layer
    memo_of: Array  # int64 [largest N_in], number of the memo that an entry belongs to
    taps: Array  # int64 [2, largest kernel], rows and blocks of the taps of one address
    moments: Array  # float64 [2, most columns], mean and factor of the columns of standardised weights
    counters: Array  # int64 [4]


class Results(NamedTuple):
    """What a run hands back: n samples, P of them probed."""

    readout_sums: Array  # [n, C]
    losses: Array  # float64 [n]
    spike_totals: Array  # int64 [L]
    event_totals: Array  # int64 [L]
    probe_slots: Array  # int64 [n], -1 = not probed
    trace: Array  # [P, T, I]
    history: Array  # [P, 4 or 6, T, N]
    fired: Array  # uint8 [P, T, N]


def new_state(spec: FloatSpec, dtype: np.dtype[np.floating]) -> State:
    """Allocate the state of one sample."""
    steps, n_layers = spec.n_steps, len(spec.layers)
    n_outputs, n_inputs = sum(layer.n_out for layer in spec.layers), sum(layer.n_in for layer in spec.layers)
    n_sources = sum(source.n_source for index in range(n_layers) for source in spec.connections(index))
    most_inputs, most_outputs = max(layer.n_in for layer in spec.layers), max(layer.n_out for layer in spec.layers)
    has_current = any(layer.current_leak is not None for layer in spec.layers)
    kernels = [layer.conv.kernel_height * layer.conv.kernel_width for layer in spec.layers if layer.conv is not None]
    return State(
        residual=np.zeros(n_outputs, dtype),
        trace=np.zeros(n_inputs, dtype),
        filtered=np.zeros(n_inputs, dtype),
        history=np.zeros((6 if has_current else 4, steps, n_outputs), dtype),
        spikes=np.zeros((steps, n_outputs), np.int32),
        n_spikes=np.zeros((steps, n_layers), np.int64),
        arrived=np.zeros((steps, n_sources), np.int64),
        values=np.zeros((steps, n_sources), dtype),
        n_arrived=np.zeros((steps, n_layers), np.int64),
        totals=np.zeros(most_outputs),
        memo=np.zeros(most_inputs),
        memo_of=np.zeros(most_inputs, np.int64),
        taps=np.zeros((2, max(kernels, default=1)), np.int64),
        moments=np.zeros((2, max(layer.columns for layer in spec.layers))),
        counters=np.zeros(4, np.int64),
    )


def new_results(spec: FloatSpec, state: State, slots: NDArray[np.int64]) -> Results:
    """Allocate the results of a run with one entry of `slots` per sample."""
    n_probed = int(slots.max(initial=-1)) + 1
    n_outputs, dtype = state.residual.size, state.residual.dtype
    return Results(
        readout_sums=np.zeros((slots.size, spec.layers[-1].n_out), dtype),
        losses=np.zeros(slots.size),
        spike_totals=np.zeros(len(spec.layers), np.int64),
        event_totals=np.zeros(len(spec.layers), np.int64),
        probe_slots=slots,
        trace=np.zeros((n_probed, spec.n_steps, state.trace.size), dtype),
        history=np.zeros((n_probed, *state.history.shape), dtype),
        fired=np.zeros((n_probed, spec.n_steps, n_outputs), np.uint8),
    )


def probes_by_name(spec: FloatSpec, network: Network, results: Results, learn: bool) -> dict[str, Array]:
    """Split the probe arrays by signal and layer."""
    probes: dict[str, Array] = {}
    for index, layer in enumerate(spec.layers):
        low, start = int(network.sizes[index, OUTPUT_AT]), int(network.sizes[index, INPUT_AT])
        signals = results.history[..., low : low + layer.n_out]
        if layer.kind != "feedback":
            probes[f"potential/{index}"] = signals[:, POTENTIAL]
        if layer.current_leak is not None:
            probes[f"current/{index}"] = signals[:, CURRENT]
        if layer.is_hidden:
            probes[f"spike/{index}"] = results.fired[..., low : low + layer.n_out]
        if learn:
            probes[f"signal/{index}"] = signals[:, SIGNAL]
        if learn and layer.is_hidden:
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
