"""The jitted pass: samples, steps and layers in one call (semantics section 3)."""

from __future__ import annotations

from neurochip.activity import FIELD_INDEX
from neurochip.core._jit import jit
from neurochip.core.backward import apply_gradients, change_step, error_step
from neurochip.core.forward import forward_step
from neurochip.core.layout import (
    BATCH,
    CREDIT,
    CREDIT_UNROLL,
    INPUT_AT,
    LAYERS,
    N_OUT,
    OUTPUT_AT,
    STEPS,
    STRIDE,
    UPDATE,
    UPDATE_ACCUMULATE,
)
from neurochip.core.readout import readout_error

_SAT_ERROR = FIELD_INDEX["sat_error"]


@jit
def clear_sample(state, scratch):
    """Membranes, traces, carried errors and readout sums start at 0."""
    state.potential[:] = 0
    state.trace[:] = 0
    state.signal[:] = 0
    state.error[:] = 0
    scratch.readout_sums[:] = 0


@jit
def load_events(events, first, last, slot, layout, history):
    """Copy one step's input events into the history slot of layer 0."""
    at = layout.layers[0, INPUT_AT]
    n_events = last - first
    addresses, magnitudes = history.addresses[slot, at : at + n_events], history.magnitudes[slot, at : at + n_events]
    new_addresses, new_magnitudes = events.addresses[first:last], events.magnitudes[first:last]
    for k in range(n_events):
        addresses[k] = new_addresses[k]
    for k in range(n_events):
        magnitudes[k] = new_magnitudes[k]
    history.n_events[slot, 0] = n_events


@jit
def learn_step(slot, layout, state, history, scratch, totals, unroll, probe_at, probes):
    """Phases 4 and 5 of one step, from the error of the readout kept in the history."""
    constants = layout.constants
    readout = layout.layers[constants[LAYERS] - 1]
    out = readout[OUTPUT_AT]
    for c in range(readout[N_OUT]):
        state.signal[out + c] = history.readout_error[slot, c]
    error_step(slot, layout, state, history, scratch, totals, unroll)
    if probe_at >= 0:
        for j in range(state.signal.shape[0]):
            probes.signal[probe_at, j] = state.signal[j]
            probes.error[probe_at, j] = state.error[j]
    change_step(slot, layout, state, history, scratch, totals, unroll)


@jit
def run_sample(sample, slot_of_probe, events, layout, state, history, scratch, probes, output, learn):
    """One sample: T steps forward, with learning in or after them."""
    constants = layout.constants
    n_steps = constants[STEPS]
    unroll = constants[CREDIT] == CREDIT_UNROLL
    readout = layout.layers[constants[LAYERS] - 1]
    out, n_classes = readout[OUTPUT_AT], readout[N_OUT]
    clear_sample(state, scratch)
    for t in range(n_steps):
        slot = t if unroll else 0
        probe_at = slot_of_probe * n_steps + t if slot_of_probe >= 0 else -1
        cell = sample * n_steps + t
        load_events(events, events.step_offsets[cell], events.step_offsets[cell + 1], slot, layout, history)
        totals = output.totals[t]
        forward_step(slot, layout, state, history, scratch, totals, learn, learn and not unroll, probe_at, probes)
        z = state.potential[out : out + readout[STRIDE]]
        for c in range(n_classes):
            scratch.readout_sums[c] += z[c]
        if learn:
            totals[constants[LAYERS] - 1, _SAT_ERROR] += readout_error(
                z, n_classes, events.labels[sample], constants, layout.exponential, history.readout_error[slot]
            )
            if not unroll:
                learn_step(slot, layout, state, history, scratch, totals, unroll, probe_at, probes)
    if learn and unroll:
        for t in range(n_steps - 1, -1, -1):
            probe_at = slot_of_probe * n_steps + t if slot_of_probe >= 0 else -1
            learn_step(t, layout, state, history, scratch, output.totals[t], unroll, probe_at, probes)


@jit
def apply_pending(layout, state, output):
    """Apply the gradients of the samples since the last apply."""
    apply_gradients(layout, state, output.totals[layout.constants[STEPS]])
    state.pending[0] = 0
    output.n_applies[0] += 1


@jit
def run_pass(order, events, layout, state, history, scratch, probes, output, learn, end_of_epoch):
    """Run the samples in order; accumulated gradients are applied after every batch and at the end of an epoch."""
    constants = layout.constants
    n_classes = scratch.readout_sums.shape[0]
    accumulate = learn and constants[UPDATE] == UPDATE_ACCUMULATE
    for position in range(order.shape[0]):
        run_sample(
            order[position], probes.slot_of[position], events, layout, state, history, scratch, probes, output, learn
        )
        best = 0
        for c in range(n_classes):
            total = scratch.readout_sums[c]
            output.readout_sums[position, c] = total
            if total > scratch.readout_sums[best]:
                best = c
        output.predictions[position] = best
        if accumulate:
            state.pending[0] += 1
            if state.pending[0] == constants[BATCH]:
                apply_pending(layout, state, output)
    if accumulate and end_of_epoch and state.pending[0] > 0:
        apply_pending(layout, state, output)
