"""Kernels of the float twin: the loops over samples, steps, layers and events, in float64 or float32.

All layers share flat arrays, cut up by the tables of `float_state`. Every signal of a sample is kept for all steps,
so that unrolled rules and probes read what the forward pass wrote.
"""

from __future__ import annotations

import math
from typing import Any

from neurochip.core._jit import jit
from neurochip.core.float_state import (
    BACK,
    CREDIT_NONE,
    CREDIT_UNROLL,
    HAS_BIAS,
    INPUT_AT,
    KEEPS_TRACE,
    LEAK,
    N_IN,
    N_OUT,
    OUTPUT_AT,
    POTENTIAL,
    PSI,
    RESET_ZERO,
    SIGMOID,
    SIGNAL,
    STATE_FLOOR,
    THRESHOLD,
    TRACE_FLOOR,
    TRACE_GATE,
    TRACE_LEAK,
    TRIANGLE,
    UPDATE_ACCUMULATE,
    UPDATE_IMMEDIATE,
    WEIGHT_AT,
    Array,
    Events,
    Network,
    Results,
    Rule,
    State,
)


@jit
def layer_events(events: Events, sizes: Array, state: State, row: int, t: int, layer: int) -> Any:
    """Return (addresses, magnitudes, first, last): the input events of a layer at step t."""
    if layer == 0:
        return events.addresses, events.magnitudes, events.step_offsets[row + t], events.step_offsets[row + t + 1]
    first = sizes[layer - 1, OUTPUT_AT]
    return state.spikes[t], state.ones, first, first + state.n_spikes[t, layer - 1]


@jit
def leak_into(out: Array, values: Array, leak: float, floor: float) -> None:
    """out_j = leak * values_j, or 0 below the floor."""
    for j in range(out.size):
        value = leak * values[j]
        out[j] = 0 if abs(value) < floor else value


@jit
def clear(values: Array) -> None:
    """values_k = 0."""
    for k in range(values.size):
        values[k] = 0


@jit
def add_rows(out: Array, weights: Array, start: int, inputs: Any) -> None:
    """out_j += sum_i m_i W_ij over the events (i, m_i), ascending."""
    addresses, magnitudes, first, last = inputs
    n = out.size
    for k in range(first, last):
        at = start + addresses[k] * n
        row = weights[at : at + n]
        magnitude = out.dtype.type(magnitudes[k])
        for j in range(n):
            out[j] += magnitude * row[j]


@jit
def add_outer(target: Array, start: int, factor: float, signal: Array, inputs: Any) -> None:
    """target_ij += factor m_i signal_j for the events (i, m_i)."""
    addresses, magnitudes, first, last = inputs
    n = signal.size
    for k in range(first, last):
        at = start + addresses[k] * n
        row = target[at : at + n]
        scale = target.dtype.type(factor * magnitudes[k])
        for j in range(n):
            row[j] += scale * signal[j]


@jit
def add_outer_trace(target: Array, start: int, factor: float, signal: Array, trace: Array, gate: float) -> None:
    """target_ij += factor a_i signal_j for the rows with a nonzero trace that is not below the gate."""
    n = signal.size
    for i in range(trace.size):
        if trace[i] != 0 and trace[i] >= gate:
            at = start + i * n
            row = target[at : at + n]
            scale = target.dtype.type(factor * trace[i])
            for j in range(n):
                row[j] += scale * signal[j]


@jit
def fire(u: Array, residual: Array, spikes: Array, first: int, threshold: float, reset_zero: int) -> int:
    """Fire where u >= threshold, reset, list the spikes from `first` on and return their number."""
    n = 0
    for j in range(u.size):
        residual[j] = u[j]
        if u[j] >= threshold:
            residual[j] = 0 if reset_zero else u[j] - threshold
            spikes[first + n] = j
            n += 1
    return n


@jit
def surrogate_derivative(u: Array, threshold: float, kind: int, psi: Array) -> None:
    """psi_j = psi(u_j - threshold): 4 sigma(4x)(1 - sigma(4x)), max(0, 1 - |x|), or [|x| <= 1/2]."""
    for j in range(u.size):
        distance = abs(u[j] - threshold)
        if kind == SIGMOID:
            power = math.exp(-4.0 * distance)
            psi[j] = 4.0 * power / ((1.0 + power) * (1.0 + power))
        elif kind == TRIANGLE:
            psi[j] = 1.0 - distance if distance < 1.0 else 0.0
        else:
            psi[j] = 1.0 if distance <= 0.5 else 0.0


@jit
def output_error(z: Array, label: int, mse_share: float, error: Array) -> float:
    """Write e = (1 - alpha)(softmax(z) - y) + alpha 2 (z - y) / C and return the cross-entropy."""
    highest, total = z[0], 0.0
    for c in range(1, z.size):
        if z[c] > highest:
            highest = z[c]
    for c in range(z.size):
        total += math.exp(z[c] - highest)
    for c in range(z.size):
        y = 1.0 if c == label else 0.0
        probability = math.exp(z[c] - highest) / total
        error[c] = (1.0 - mse_share) * (probability - y) + mse_share * 2.0 * (z[c] - y) / z.size
    cross_entropy: float = math.log(total) - (z[label] - highest)
    return cross_entropy


@jit
def forward_layer(net: Network, rule: Rule, state: State, inputs: Any, t: int, layer: int) -> None:
    """Phases 1 to 3 of one layer at step t."""
    size, real = net.sizes[layer], net.reals[layer]
    low, high = size[OUTPUT_AT], size[OUTPUT_AT] + size[N_OUT]
    u, residual = state.history[POTENTIAL, t, low:high], state.residual[low:high]
    leak_into(u, residual, real[LEAK], real[STATE_FLOOR])
    if size[HAS_BIAS]:
        bias = size[WEIGHT_AT] + size[N_IN] * size[N_OUT]
        for j in range(u.size):
            u[j] += net.weights[bias + j]
    add_rows(u, net.weights, size[WEIGHT_AT], inputs)
    if layer < net.sizes.shape[0] - 1:  # the residual of the memoryless readout stays 0
        state.n_spikes[t, layer] = fire(u, residual, state.spikes[t], low, real[THRESHOLD], size[RESET_ZERO])
        if rule.credit != CREDIT_NONE:
            surrogate_derivative(u, real[THRESHOLD], rule.surrogate, state.history[PSI, t, low:high])
    if rule.credit != CREDIT_NONE and size[KEEPS_TRACE]:
        trace = state.trace[size[INPUT_AT] : size[INPUT_AT] + size[N_IN]]
        addresses, magnitudes, first, last = inputs
        leak_into(trace, trace, real[TRACE_LEAK], real[TRACE_FLOOR])
        for k in range(first, last):
            trace[addresses[k]] += magnitudes[k]


@jit
def spatial_errors(sizes: Array, layer: int, weights: Array, state: State, t: int) -> None:
    """d_i = sum_j W_ij g_j and g_i = d_i psi_i for hidden layer `layer`, from the signal of the next one."""
    low, n = sizes[layer, OUTPUT_AT], sizes[layer + 1, N_OUT]
    signal = state.history[SIGNAL, t, sizes[layer + 1, OUTPUT_AT] : sizes[layer + 1, OUTPUT_AT] + n]
    for i in range(sizes[layer, N_OUT]):
        at = sizes[layer + 1, WEIGHT_AT] + i * n
        row = weights[at : at + n]
        d = 0.0
        if state.history[PSI, t, low + i] != 0:
            for j in range(n):
                d += row[j] * signal[j]
        state.history[BACK, t, low + i] = d
        state.history[SIGNAL, t, low + i] = d * state.history[PSI, t, low + i]


@jit
def carry_errors(size: Array, real: Array, reset_exact: int, state: State, t: int) -> None:
    """delta[t] = g[t] + leak delta[t+1] du_after/du, with du_after/du = 1 if the reset path is detached."""
    if t + 1 == state.history.shape[1]:
        return
    for k in range(size[OUTPUT_AT], size[OUTPUT_AT] + size[N_OUT]):
        carried = real[LEAK] * state.history[SIGNAL, t + 1, k]
        if reset_exact and size[RESET_ZERO]:
            silent = 0.0 if state.history[POTENTIAL, t, k] >= real[THRESHOLD] else 1.0
            carried *= silent - state.history[POTENTIAL, t, k] * state.history[PSI, t, k]
        elif reset_exact:
            carried *= 1.0 - real[THRESHOLD] * state.history[PSI, t, k]
        if abs(carried) >= real[STATE_FLOOR]:
            state.history[SIGNAL, t, k] += carried


@jit
def backward_step(net: Network, rule: Rule, state: State, t: int) -> None:
    """Phase 4 of step t: the learning signals of all hidden layers, last to first."""
    for layer in range(net.sizes.shape[0] - 2, -1, -1):
        spatial_errors(net.sizes, layer, net.weights, state, t)
        if rule.credit == CREDIT_UNROLL:
            carry_errors(net.sizes[layer], net.reals[layer], rule.reset_exact, state, t)


@jit
def update_step(events: Events, net: Network, target: Array, factor: float, state: State, row: int, t: int) -> None:
    """Phase 5 of step t: target_ij += factor p_i g_j for all layers, last to first, the bias row (p = 1) last."""
    for layer in range(net.sizes.shape[0] - 1, -1, -1):
        size = net.sizes[layer]
        start = size[WEIGHT_AT]
        signal = state.history[SIGNAL, t, size[OUTPUT_AT] : size[OUTPUT_AT] + size[N_OUT]]
        if size[KEEPS_TRACE]:
            trace = state.trace[size[INPUT_AT] : size[INPUT_AT] + size[N_IN]]
            add_outer_trace(target, start, factor, signal, trace, net.reals[layer, TRACE_GATE])
        else:
            add_outer(target, start, factor, signal, layer_events(events, net.sizes, state, row, t, layer))
        if size[HAS_BIAS]:
            bias = start + size[N_IN] * size[N_OUT]
            for j in range(signal.size):
                target[bias + j] += factor * signal[j]


@jit
def learn_step(events: Events, net: Network, rule: Rule, state: State, row: int, t: int) -> None:
    """Phases 4 and 5 of step t."""
    backward_step(net, rule, state, t)
    if rule.update == UPDATE_IMMEDIATE:
        update_step(events, net, net.weights, -rule.rate, state, row, t)
    elif rule.update == UPDATE_ACCUMULATE:
        update_step(events, net, net.gradients, 1.0, state, row, t)


@jit
def apply_gradients(net: Network, rate: float) -> None:
    """W -= rate G and G = 0."""
    for k in range(net.weights.size):
        net.weights[k] -= rate * net.gradients[k]
        net.gradients[k] = 0


@jit
def record_step(state: State, results: Results, z: Array, place: int, slot: int, t: int) -> None:
    """Add z and the spikes of step t to the results; copy the traces of a probed sample."""
    for c in range(z.size):
        results.readout_sums[place, c] += z[c]
    for layer in range(results.spike_totals.size):
        results.spike_totals[layer] += state.n_spikes[t, layer]
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
def run_sample(
    events: Events, net: Network, rule: Rule, state: State, results: Results, sample: int, place: int
) -> None:
    """One sample: forward in time and, for unrolled rules, back again."""
    n_layers, n_steps = net.sizes.shape[0], state.history.shape[1]
    row, label, slot = sample * n_steps, events.labels[sample], results.probe_slots[place]
    learn, unroll = rule.credit != CREDIT_NONE, rule.credit == CREDIT_UNROLL
    low = net.sizes[n_layers - 1, OUTPUT_AT]
    clear(state.residual)
    clear(state.trace)
    loss = 0.0
    for t in range(n_steps):
        for layer in range(n_layers):
            forward_layer(net, rule, state, layer_events(events, net.sizes, state, row, t, layer), t, layer)
        z = state.history[POTENTIAL, t, low:]
        loss += output_error(z, label, rule.mse_share, state.history[SIGNAL, t, low:])
        record_step(state, results, z, place, slot, t)
        if learn and not unroll:
            learn_step(events, net, rule, state, row, t)
    results.losses[place] = loss / n_steps
    if unroll:
        for t in range(n_steps - 1, -1, -1):
            learn_step(events, net, rule, state, row, t)
    if slot >= 0:
        store_probes(net.sizes, state, results, slot)


@jit
def run_samples(
    events: Events, net: Network, rule: Rule, state: State, results: Results, order: Array, pending: int
) -> int:
    """Run the samples of `order`; return how many (with `pending` from before) are accumulated and not applied."""
    for place in range(order.size):
        run_sample(events, net, rule, state, results, order[place], place)
        if rule.update == UPDATE_ACCUMULATE and rule.batch > 0:
            pending += 1
            if pending == rule.batch:
                apply_gradients(net, rule.rate)
                pending = 0
    return pending
