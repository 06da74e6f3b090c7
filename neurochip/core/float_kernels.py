"""Kernels of the float twin: the loops over samples, windows and steps, in float64 or float32.

All layers share flat arrays, cut up by the tables of `float_tables`. Every signal of a sample is kept for all steps,
so that unrolled rules and probes read what the forward pass wrote.
"""

from __future__ import annotations

from neurochip.core._jit import jit
from neurochip.core.float_backward import apply_gradients, clear_signals, learn_step
from neurochip.core.float_forward import forward_step
from neurochip.core.float_rows import clear
from neurochip.core.float_standardise import standardise
from neurochip.core.float_state import (
    FORMED,
    POTENTIAL,
    SINCE_APPLY,
    SINCE_STANDARDISE,
    Events,
    Results,
    State,
)
from neurochip.core.float_tables import (
    APPLY_SAMPLE,
    APPLY_WINDOW,
    CREDIT_NONE,
    CREDIT_UNROLL,
    OUTPUT_AT,
    UPDATE_ACCUMULATE,
    Array,
    Network,
    Rule,
)


@jit
def record_step(state: State, results: Results, z: Array, place: int, slot: int, t: int, loss_start: int) -> None:
    """Add z, events and spikes of step t to the results; copy the traces of a probed sample."""
    if t + 1 >= loss_start:
        for c in range(z.size):
            results.readout_sums[place, c] += z[c]
    for layer in range(results.spike_totals.size):
        results.spike_totals[layer] += state.n_spikes[t, layer]
        results.event_totals[layer] += state.n_arrived[t, layer]
    if slot >= 0:
        for i in range(state.trace.size):
            results.trace[slot, t, i] = state.trace[i]


@jit
def store_probes(sizes: Array, state: State, results: Results, slot: int) -> None:
    """Copy the history of the sample that has just run."""
    n_signals, n_steps, n_outputs = state.history.shape
    for t in range(n_steps):
        for signal in range(n_signals):
            for k in range(n_outputs):
                results.history[slot, signal, t, k] = state.history[signal, t, k]
        for layer in range(sizes.shape[0] - 1):
            low = sizes[layer, OUTPUT_AT]
            for k in range(state.n_spikes[t, layer]):
                results.fired[slot, t, low + state.spikes[t, low + k]] = 1


@jit
def has_loss(rule: Rule, t: int) -> bool:
    """Whether step t, from 0, has a loss."""
    return t + 1 >= rule.loss_start and (t + 1) % rule.update_every == 0


@jit
def count_loss_steps(rule: Rule, n_steps: int) -> int:
    """Steps of a sample that have a loss."""
    n = 0
    for t in range(n_steps):
        n += has_loss(rule, t)
    return n


@jit
def start_sample(state: State) -> None:
    """Membranes, leaky readouts and traces are 0."""
    clear(state.residual)
    clear(state.trace)
    clear(state.filtered)
    state.counters[FORMED] = 0
    state.counters[SINCE_APPLY] = 0


@jit
def reverse_window(net: Network, rule: Rule, state: State, start: int, end: int, n_losses: int) -> None:
    """Errors and updates of the steps of a window, last to first, and the apply of `window`."""
    n_steps, unroll = state.history.shape[1], rule.credit == CREDIT_UNROLL
    for t in range(end - 1, start - 1, -1):
        if unroll or has_loss(rule, t):
            learn_step(net, rule, state, t, end, n_steps if unroll else n_losses)
        else:
            clear_signals(state, t)
    state.counters[SINCE_APPLY] += end - start
    due = end == n_steps or state.counters[SINCE_APPLY] >= rule.apply_every
    if rule.update == UPDATE_ACCUMULATE and rule.apply_when == APPLY_WINDOW and due:
        apply_gradients(net, rule, state)


@jit
def run_sample(
    events: Events, net: Network, rule: Rule, state: State, results: Results, sample: int, place: int
) -> None:
    """One sample, window by window: forward in time and, while learning, back again."""
    n_steps, low = state.history.shape[1], net.sizes[net.sizes.shape[0] - 1, OUTPUT_AT]
    row, label, slot = sample * n_steps, events.labels[sample], results.probe_slots[place]
    n_losses = count_loss_steps(rule, n_steps)
    start_sample(state)
    loss = 0.0
    for start in range(0, n_steps, rule.window):
        end = min(start + rule.window, n_steps)
        for t in range(start, end):
            loss += forward_step(events, net, rule, state, row, t, label, has_loss(rule, t))
            record_step(state, results, state.history[POTENTIAL, t, low:], place, slot, t, rule.loss_start)
        if rule.credit != CREDIT_NONE:
            reverse_window(net, rule, state, start, end, n_losses)
    results.losses[place] = loss / max(1, n_losses)
    if slot >= 0:
        store_probes(net.sizes, state, results, slot)


@jit
def run_samples(
    events: Events,
    net: Network,
    rule: Rule,
    state: State,
    results: Results,
    order: Array,
    pending: int,
    ends_epoch: int,
) -> int:
    """Run the samples of `order`; return how many (with `pending` from before) are accumulated and not applied.

    The weights are standardised when it is due, but not after the last sample of an epoch: an apply may come before.
    """
    for place in range(order.size):
        run_sample(events, net, rule, state, results, order[place], place)
        if rule.update == UPDATE_ACCUMULATE and rule.apply_when == APPLY_SAMPLE:
            pending += 1
            if pending == rule.batch:
                apply_gradients(net, rule, state)
                pending = 0
        if rule.standardise_every > 0:
            state.counters[SINCE_STANDARDISE] += 1
            is_last = ends_epoch and place == order.size - 1
            if state.counters[SINCE_STANDARDISE] == rule.standardise_every and not is_last:
                standardise(net, state)
    return pending
