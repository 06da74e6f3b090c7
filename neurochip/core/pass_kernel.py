"""The jitted pass: samples, steps and layers in one call (semantics section 3)."""

from __future__ import annotations

import numpy as np

from neurochip.core._jit import jit, jit_inline
from neurochip.core.apply import apply_gradients
from neurochip.core.backward import error_step
from neurochip.core.change import change_step
from neurochip.core.columns import (
    APPLY_DEFERRED,
    APPLY_EVERY,
    APPLY_SAMPLE,
    APPLY_WHEN,
    APPLY_WINDOW,
    BATCH,
    CREDIT,
    CREDIT_UNROLL,
    KEEPS_PREVIOUS,
    LAYERS,
    LOSS_START,
    N_LOSS_STEPS,
    N_OUT,
    OUTPUT_AT,
    STANDARDISE_EVERY,
    STEPS,
    STRIDE,
    UPDATE,
    UPDATE_ACCUMULATE,
    UPDATE_EVERY,
    WINDOW_STEPS,
)
from neurochip.core.forward import forward_step
from neurochip.core.inputs import keep_previous
from neurochip.core.readout import readout_errors
from neurochip.core.standardise import standardise_weights


@jit
def clear_sample(state, history, scratch):
    """Membranes, currents, traces, carried errors, spikes of the step before and readout sums start at 0."""
    state.potential[:] = 0
    state.current[:] = 0
    state.trace[:] = 0
    state.filtered[:] = 0
    state.signal[:] = 0
    state.error[:] = 0
    history.n_events[0, :] = 0
    scratch.readout_sums[:] = 0


@jit
def load_events(events, first, last, slot, history):
    """Copy one step's input events into a slot of the history."""
    n_events = last - first
    addresses, magnitudes = history.addresses[slot, :n_events], history.magnitudes[slot, :n_events]
    new_addresses, new_magnitudes = events.addresses[first:last], events.magnitudes[first:last]
    for k in range(n_events):
        addresses[k] = new_addresses[k]
    for k in range(n_events):
        magnitudes[k] = new_magnitudes[k]
    history.n_events[slot, 0] = n_events


@jit
def is_deferred_apply(constants, n_changes, n_changes_of_sample):
    """Whether `deferred` applies after this change of the sample."""
    if constants[UPDATE] != UPDATE_ACCUMULATE or constants[APPLY_WHEN] != APPLY_DEFERRED:
        return False
    return n_changes % constants[APPLY_EVERY] == 0 or n_changes == n_changes_of_sample


@jit_inline
def learn_window(first, n_steps, n_changes, layout, state, history, scratch, probes, output, first_probe):
    """Phases 4 and 5 of the steps kept in the slots 1 to n_steps, last to first; returns the changes so far.

    first: index of the first of these steps; n_changes: steps of the sample for which phase 5 was reached before.
    """
    constants = layout.constants
    unroll = constants[CREDIT] == CREDIT_UNROLL
    if unroll:
        state.signal[:] = 0
        state.delta[:] = 0
    for slot in range(n_steps, 0, -1):
        t = first + slot - 1
        error_step(slot, layout, state, history, scratch, output.totals[t])
        if first_probe >= 0:
            for j in range(state.signal.shape[0]):
                probes.signal[first_probe + t, j] = state.signal[j]
                probes.error[first_probe + t, j] = state.error[j]
        change_step(slot, t, layout, state, history, scratch, output.totals[t])
        n_changes += 1
        if is_deferred_apply(constants, n_changes, constants[STEPS] if unroll else constants[N_LOSS_STEPS]):
            apply_gradients(layout, state, output)
    return n_changes


@jit_inline
def run_sample(sample, slot_of_probe, events, layout, state, history, scratch, probes, output, learn):
    """One sample: T steps forward, with learning after every step or every window of steps."""
    constants = layout.constants
    n_steps = constants[STEPS]
    unroll = learn and constants[CREDIT] == CREDIT_UNROLL
    online = learn and not unroll
    window = constants[WINDOW_STEPS] if unroll else 1
    by_window = constants[UPDATE] == UPDATE_ACCUMULATE and constants[APPLY_WHEN] == APPLY_WINDOW
    readout = layout.layers[constants[LAYERS] - 1]
    z = state.potential[readout[OUTPUT_AT] : readout[OUTPUT_AT] + readout[STRIDE]]
    first_probe = slot_of_probe * n_steps if slot_of_probe >= 0 else -1
    n_changes, steps_since_apply = np.int64(0), np.int64(0)
    clear_sample(state, history, scratch)
    for t in range(n_steps):
        slot = t % window + 1
        if constants[KEEPS_PREVIOUS] and slot == 1 and t > 0:
            keep_previous(window, layout, history)
        probe_at = first_probe + t if first_probe >= 0 else -1
        cell = sample * n_steps + t
        load_events(events, events.step_offsets[cell], events.step_offsets[cell + 1], slot, history)
        totals = output.totals[t]
        forward_step(slot, layout, state, history, scratch, totals, learn, online, probe_at, probes)
        if t + 1 >= constants[LOSS_START]:
            for c in range(readout[N_OUT]):
                scratch.readout_sums[c] += z[c]
        has_loss = t + 1 >= constants[LOSS_START] and (t + 1) % constants[UPDATE_EVERY] == 0
        if unroll or (online and has_loss):
            readout_errors(slot, layout, state, history, events.labels[sample], has_loss, totals)
        is_last = t == n_steps - 1
        if (unroll and (slot == window or is_last)) or (online and has_loss):
            n_changes = learn_window(
                t + 1 - slot, slot, n_changes, layout, state, history, scratch, probes, output, first_probe
            )
        if unroll and (slot == window or is_last):
            steps_since_apply += slot
            if by_window and (steps_since_apply >= constants[APPLY_EVERY] or is_last):
                apply_gradients(layout, state, output)
                steps_since_apply = 0


@jit
def run_pass(order, events, layout, state, history, scratch, probes, output, learn, end_of_epoch):
    """Run the samples in order; `sample` applies gradients after every batch and at the end of an epoch.

    Standardised layers are brought back after every N-th sample and at the end of an epoch.
    """
    constants = layout.constants
    n_classes = scratch.readout_sums.shape[0]
    by_sample = learn and constants[UPDATE] == UPDATE_ACCUMULATE and constants[APPLY_WHEN] == APPLY_SAMPLE
    standardises = learn and constants[STANDARDISE_EVERY] > 0
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
        if by_sample:
            state.pending[0] += 1
            if state.pending[0] == constants[BATCH]:
                apply_gradients(layout, state, output)
                state.pending[0] = 0
        if standardises:
            state.pending[1] += 1
            # After the last sample of an epoch the rest of a batch is applied first, below.
            is_last = end_of_epoch and position == order.shape[0] - 1
            if state.pending[1] == constants[STANDARDISE_EVERY] and not is_last:
                standardise_weights(layout, state, scratch, output)
                state.pending[1] = 0
    if by_sample and end_of_epoch and state.pending[0] > 0:
        apply_gradients(layout, state, output)
        state.pending[0] = 0
    if standardises and end_of_epoch and state.pending[1] > 0:
        standardise_weights(layout, state, scratch, output)
        state.pending[1] = 0
