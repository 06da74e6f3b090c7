"""Kernels of the float twin for the forward pass of a step: deliver, fire, trace, and the error of readouts."""

from __future__ import annotations

import math

from neurochip.core._jit import jit
from neurochip.core.float_grid import ERROR, MEMBRANE, READOUT_SUM, SURROGATE, TRACE
from neurochip.core.float_maps import add_map_rows
from neurochip.core.float_quantise import error_from_tables, leak_on_grid, snap, surrogate_from_table, trace_on_grid
from neurochip.core.float_rows import add_bias, add_rows, clear, leak_into
from neurochip.core.float_state import CURRENT, POTENTIAL, PSI, SIGNAL, Events, State
from neurochip.core.float_tables import (
    CONNECTIONS_AT,
    CONNECTIONS_END,
    CONV,
    CREDIT_NONE,
    CURRENT_LEAK,
    DELAY,
    EVENT_AT,
    EVENT_SCALE,
    FEEDBACK,
    FILTER_LEAK,
    HAS_BIAS,
    HAS_CURRENT,
    HAS_FILTER,
    INPUT_AT,
    KEEPS_TRACE,
    KIND,
    LEAK,
    MAP_AT,
    N_IN,
    N_OUT,
    OUTPUT_AT,
    READOUT,
    RESET_ZERO,
    SIGMOID,
    SOURCE,
    STATE_FLOOR,
    THRESHOLD,
    TRACE_FLOOR,
    TRACE_LEAK,
    TRIANGLE,
    WEIGHT_AT,
    Array,
    Network,
    Rule,
)


@jit
def gather_events(events: Events, net: Network, state: State, row: int, t: int, layer: int) -> None:
    """List the input events of a layer at step t, connection by connection, under the addresses they come to."""
    size, scale = net.sizes[layer], net.reals[layer, EVENT_SCALE]
    start = size[EVENT_AT]
    n = 0
    for k in range(size[CONNECTIONS_AT], size[CONNECTIONS_END]):
        source, since = net.connections[k, SOURCE], t - net.connections[k, DELAY]
        to = net.connections[k, MAP_AT]
        if source < 0:
            for event in range(events.step_offsets[row + t], events.step_offsets[row + t + 1]):
                address = net.maps[to + events.addresses[event]]
                if address >= 0:
                    state.arrived[t, start + n] = address
                    state.values[t, start + n] = events.magnitudes[event] * scale
                    n += 1
        elif since >= 0:
            low = net.sizes[source, OUTPUT_AT]
            for spike in range(low, low + state.n_spikes[since, source]):
                address = net.maps[to + state.spikes[since, spike]]
                if address >= 0:
                    state.arrived[t, start + n] = address
                    state.values[t, start + n] = scale
                    n += 1
    state.n_arrived[t, layer] = n


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
def update_trace(net: Network, state: State, t: int, layer: int) -> None:
    """a = leak a + m, or with a filter f = leak f + m and a = filter_leak a + f."""
    size, real = net.sizes[layer], net.reals[layer]
    low, high, start = size[INPUT_AT], size[INPUT_AT] + size[N_IN], size[EVENT_AT]
    trace, filtered = state.trace[low:high], state.filtered[low:high]
    first = filtered if size[HAS_FILTER] else trace
    leak_into(first, first, real[TRACE_LEAK], real[TRACE_FLOOR])
    for k in range(start, start + state.n_arrived[t, layer]):
        first[state.arrived[t, k]] += state.values[t, k]
    if size[HAS_FILTER]:
        leak_into(trace, trace, real[FILTER_LEAK], real[TRACE_FLOOR])
        for i in range(trace.size):
            trace[i] += filtered[i]


@jit
def decay(net: Network, out: Array, values: Array, leak: float, signal: int, layer: int) -> None:
    """out_j = leak values_j, of potentials and currents."""
    if net.grid.on[signal]:
        leak_on_grid(out, values, leak, net.grid.units[layer, signal])
    else:
        leak_into(out, values, leak, net.reals[layer, STATE_FLOOR])


@jit
def deliver(net: Network, state: State, t: int, layer: int, signal: int) -> None:
    """u = leak u + b + W m; with a synaptic current i = current_leak i + b + W m, then u = leak u + i."""
    size, real, shape = net.sizes[layer], net.reals[layer], net.shapes[layer]
    low, high = size[OUTPUT_AT], size[OUTPUT_AT] + size[N_OUT]
    start, end = size[EVENT_AT], size[EVENT_AT] + state.n_arrived[t, layer]
    u = target = state.history[POTENTIAL, t, low:high]
    decay(net, u, state.residual[low:high], real[LEAK], signal, layer)
    if size[HAS_CURRENT]:
        target = state.history[CURRENT, t, low:high]
        if t == 0:
            clear(target)
        else:
            decay(net, target, state.history[CURRENT, t - 1, low:high], real[CURRENT_LEAK], signal, layer)
    if size[HAS_BIAS]:
        add_bias(target, net.weights, size, shape)
    addresses, values = state.arrived[t, start:end], state.values[t, start:end]
    if size[KIND] == CONV:
        add_map_rows(target, net.weights, size, shape, state.taps, addresses, values)
    else:
        add_rows(target, net.weights, size[WEIGHT_AT], addresses, values)
    if net.grid.on[signal]:
        snap(target, net.grid, signal, layer)
    if size[HAS_CURRENT]:
        for j in range(u.size):
            u[j] += target[j]
        if net.grid.on[signal]:
            snap(u, net.grid, signal, layer)


@jit
def forward_layer(net: Network, rule: Rule, state: State, t: int, layer: int) -> None:
    """Phases 1 to 3 of one layer at step t."""
    size, real = net.sizes[layer], net.reals[layer]
    low, high = size[OUTPUT_AT], size[OUTPUT_AT] + size[N_OUT]
    u, residual = state.history[POTENTIAL, t, low:high], state.residual[low:high]
    deliver(net, state, t, layer, READOUT_SUM if size[KIND] == READOUT else MEMBRANE)
    if size[KIND] != READOUT:
        state.n_spikes[t, layer] = fire(u, residual, state.spikes[t], low, real[THRESHOLD], size[RESET_ZERO])
        if rule.credit != CREDIT_NONE:
            psi = state.history[PSI, t, low:high]
            if net.grid.on[SURROGATE]:
                surrogate_from_table(u, real[THRESHOLD], net.grid.surrogate, psi)
            else:
                surrogate_derivative(u, real[THRESHOLD], rule.surrogate, psi)
    elif real[LEAK] != 0:
        for j in range(u.size):
            residual[j] = u[j]
    if rule.credit != CREDIT_NONE and size[KEEPS_TRACE]:
        if net.grid.on[TRACE]:
            trace_on_grid(net, state, t, layer)
        else:
            update_trace(net, state, t, layer)


@jit
def forward_step(
    events: Events, net: Network, rule: Rule, state: State, row: int, t: int, label: int, has_loss: bool
) -> float:
    """Phases 1 to 3 of all layers and the errors of the readouts; return the cross-entropy of the last one."""
    n_layers = net.sizes.shape[0]
    cross_entropy = 0.0
    for layer in range(n_layers):
        gather_events(events, net, state, row, t, layer)
        kind, low, high = net.sizes[layer, KIND], net.sizes[layer, OUTPUT_AT], 0
        high = low + net.sizes[layer, N_OUT]
        z, error = state.history[POTENTIAL, t, low:high], state.history[SIGNAL, t, low:high]
        if kind == FEEDBACK or (rule.credit == CREDIT_NONE and kind == READOUT and layer < n_layers - 1):
            clear(z)
            clear(error)
            if net.sizes[layer, HAS_CURRENT]:
                clear(state.history[CURRENT, t, low:high])
            continue
        forward_layer(net, rule, state, t, layer)
        if kind == READOUT and has_loss:
            cross_entropy = output_error(z, label, rule.mse_share, error)
            if net.grid.on[ERROR]:
                error_from_tables(z, label, net.grid, layer, error)
        elif kind == READOUT:
            clear(error)
    return cross_entropy
