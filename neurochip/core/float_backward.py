"""Kernels of the float twin for the learning phases of a step: errors back in space and time, updates, applies."""

from __future__ import annotations

from neurochip.core._jit import jit
from neurochip.core.float_grid import DELTA, ERROR, ERROR_NEAREST, GRADIENT, TRACE, WEIGHT
from neurochip.core.float_maps import add_map_outer, add_map_outer_trace, map_product
from neurochip.core.float_quantise import (
    apply_on_grid,
    carry_current_on_grid,
    carry_on_grid,
    finish_step,
    follow_on_grid,
    hidden_errors_on_grid,
    rounded,
    weight_range,
)
from neurochip.core.float_rows import add_bias_outer, add_outer, add_outer_trace, clear, product
from neurochip.core.float_state import BACK, CARRIED, FORMED, MEMO, POTENTIAL, PSI, SIGNAL, SINCE_APPLY, State
from neurochip.core.float_tables import (
    APPLY_DEFERRED,
    BIAS_TRACE,
    COLUMNS,
    CONSUMER,
    CONV,
    CURRENT_LEAK,
    ERROR_DELAY,
    ERROR_MAP_AT,
    ERRORS_AT,
    ERRORS_END,
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
    LEARNS,
    N_IN,
    N_OUT,
    OUTPUT_AT,
    RATE_SCALE,
    READOUT,
    RESET_ZERO,
    SIGNAL_OF,
    STATE_FLOOR,
    THRESHOLD,
    TRACE_GATE,
    TRACE_LEAK,
    UPDATE_IMMEDIATE,
    UPDATE_NONE,
    WEIGHT_AT,
    Array,
    Network,
    Rule,
)


@jit
def add_error(net: Network, state: State, path: Array, t: int, size: Array, unit: float) -> None:
    """totals_i += event_scale X_i' along one connection, the consumer's signal being that of step t + delay.

    unit: codes per 1 to which event_scale X is rounded; 0: it is not.
    """
    of, shape = net.sizes[path[CONSUMER]], net.shapes[path[CONSUMER]]
    low, n, start = of[OUTPUT_AT], of[COLUMNS], of[WEIGHT_AT]
    is_map, scale = of[KIND] == CONV, net.reals[path[CONSUMER], EVENT_SCALE]
    psi = state.history[PSI, t, size[OUTPUT_AT] : size[OUTPUT_AT] + size[N_OUT]]
    signal = state.history[SIGNAL, t + path[ERROR_DELAY], low : low + of[N_OUT]]
    addresses = net.maps[path[ERROR_MAP_AT] : path[ERROR_MAP_AT] + size[N_OUT]]
    totals, memo, memo_of = state.totals, state.memo, state.memo_of
    number = state.counters[MEMO] + 1
    state.counters[MEMO] = number  # behind a pool several neurons share an address: its X is formed once
    for i in range(psi.size):
        address = addresses[i]
        if psi[i] == 0 or address < 0:
            continue
        if memo_of[address] != number:
            memo_of[address] = number
            if is_map:
                memo[address] = map_product(net.weights, signal, of, shape, state.taps, address)
            else:
                memo[address] = product(net.weights[start + address * n : start + (address + 1) * n], signal)
            if unit > 0:
                codes = rounded(scale * memo[address] * unit, net.grid.numbers[ERROR_NEAREST])
                memo[address] = codes / unit / scale
        totals[i] += scale * memo[address]


@jit
def spatial_errors(net: Network, state: State, t: int, end: int, layer: int) -> None:
    """d_i = sum of the errors of the layers that i feeds, g_i = d_i psi_i; `end` is the end of the window."""
    size = net.sizes[layer]
    low, n = size[OUTPUT_AT], size[N_OUT]
    on_grid = net.grid.on[ERROR]
    unit = net.grid.units[layer, ERROR] if on_grid else 0.0
    clear(state.totals[:n])
    for k in range(size[ERRORS_AT], size[ERRORS_END]):
        if t + net.errors[k, ERROR_DELAY] < end:
            add_error(net, state, net.errors[k], t, size, unit)
    if on_grid:
        hidden_errors_on_grid(net, state, t, layer)
        return
    for i in range(n):
        state.history[BACK, t, low + i] = state.totals[i]
        state.history[SIGNAL, t, low + i] = state.totals[i] * state.history[PSI, t, low + i]


@jit
def carry_errors(net: Network, rule: Rule, state: State, t: int, layer: int) -> None:
    """delta[t] = g[t] + leak delta[t+1] du_after/du, with du_after/du = 1 if the reset path is detached."""
    size, real = net.sizes[layer], net.reals[layer]
    reset_exact = rule.reset_exact and size[KIND] != READOUT
    source = CARRIED if size[HAS_CURRENT] else SIGNAL
    for k in range(size[OUTPUT_AT], size[OUTPUT_AT] + size[N_OUT]):
        carried = real[LEAK] * state.history[source, t + 1, k]
        if reset_exact and size[RESET_ZERO]:
            silent = 0.0 if state.history[POTENTIAL, t, k] >= real[THRESHOLD] else 1.0
            carried *= silent - state.history[POTENTIAL, t, k] * state.history[PSI, t, k]
        elif reset_exact:
            carried *= 1.0 - real[THRESHOLD] * state.history[PSI, t, k]
        if abs(carried) >= real[STATE_FLOOR]:
            state.history[SIGNAL, t, k] += carried


@jit
def carry_current(net: Network, state: State, t: int, end: int, layer: int) -> None:
    """epsilon[t] = delta[t] + current_leak epsilon[t+1], the error of i; it becomes the signal, delta is kept."""
    size, real = net.sizes[layer], net.reals[layer]
    for k in range(size[OUTPUT_AT], size[OUTPUT_AT] + size[N_OUT]):
        state.history[CARRIED, t, k] = state.history[SIGNAL, t, k]
        carried = real[CURRENT_LEAK] * state.history[SIGNAL, t + 1, k] if t + 1 < end else 0.0
        if abs(carried) >= real[STATE_FLOOR]:
            state.history[SIGNAL, t, k] += carried


@jit
def copy_signal(net: Network, state: State, t: int, layer: int) -> None:
    """The signal of a feedback layer is that of the readout it names."""
    to, source = net.sizes[layer, OUTPUT_AT], net.sizes[net.sizes[layer, SIGNAL_OF], OUTPUT_AT]
    for c in range(net.sizes[layer, N_OUT]):
        state.history[SIGNAL, t, to + c] = state.history[SIGNAL, t, source + c]


@jit
def backward_step(net: Network, rule: Rule, state: State, t: int, end: int) -> None:
    """Phase 4 of step t, in a window that ends before step `end`: the signals of all layers, last to first."""
    for layer in range(net.sizes.shape[0] - 1, -1, -1):
        kind = net.sizes[layer, KIND]
        if kind == FEEDBACK:
            copy_signal(net, state, t, layer)
            continue
        if kind != READOUT:
            spatial_errors(net, state, t, end, layer)
        if net.grid.on[DELTA]:
            carry_on_grid(net, rule, state, t, end, layer)
        elif t + 1 < end:
            carry_errors(net, rule, state, t, layer)
        if net.sizes[layer, HAS_CURRENT]:
            if net.grid.on[DELTA]:
                carry_current_on_grid(net, state, t, end, layer)
            else:
                carry_current(net, state, t, end, layer)


@jit
def bias_presynaptic(size: Array, real: Array, t: int) -> float:
    """p of the bias rows: 1, or the trace in step t (from 0) of an address with an event of value 1 in every step."""
    if not size[BIAS_TRACE]:
        return 1.0
    first = trace = 0.0
    for _ in range(t + 1):
        first = real[TRACE_LEAK] * first + 1.0
        trace = real[FILTER_LEAK] * trace + first if size[HAS_FILTER] else first
    return trace


@jit
def update_layer(net: Network, target: Array, factor: float, state: State, t: int, layer: int) -> None:
    """target_rj += factor sum_i p_i signal_{b o + j} over the taps (r, b) of the inputs, the bias rows last."""
    size, shape = net.sizes[layer], net.shapes[layer]
    is_map, start = size[KIND] == CONV, size[WEIGHT_AT]
    signal = state.history[SIGNAL, t, size[OUTPUT_AT] : size[OUTPUT_AT] + size[N_OUT]]
    if size[KEEPS_TRACE]:
        gate = net.reals[layer, TRACE_GATE]
        trace = state.trace[size[INPUT_AT] : size[INPUT_AT] + size[N_IN]]
        if is_map:
            add_map_outer_trace(target, factor, signal, size, shape, state.taps, trace, gate)
        else:
            add_outer_trace(target, start, factor, signal, trace, gate)
    else:
        first, end = size[EVENT_AT], size[EVENT_AT] + state.n_arrived[t, layer]
        addresses, values = state.arrived[t, first:end], state.values[t, first:end]
        if is_map:
            add_map_outer(target, factor, signal, size, shape, state.taps, addresses, values)
        else:
            add_outer(target, start, factor, signal, addresses, values)
    if size[HAS_BIAS]:
        on_grid = net.grid.on[TRACE]
        p = net.grid.bias[t, layer] if on_grid else bias_presynaptic(size, net.reals[layer], t)
        add_bias_outer(target, signal, size, shape, factor * p)


@jit
def apply_gradients(net: Network, rule: Rule, state: State) -> None:
    """W -= rate G and G = 0, the rate being that of the layer; with momentum V = beta V + G first, and W -= rate V."""
    if net.grid.on[GRADIENT]:
        follow_on_grid(net, rule.momentum)
    for k in range(0 if net.grid.on[GRADIENT] else net.velocity.size):
        net.velocity[k] = rule.momentum * net.velocity[k] + net.gradients[k]
    step = net.velocity if net.velocity.size > 0 else net.gradients
    for layer in range(net.sizes.shape[0]):
        rate = rule.rate * net.reals[layer, RATE_SCALE]
        start, end = weight_range(net, layer)
        if net.grid.on[WEIGHT]:
            apply_on_grid(net, layer, rate, step)
            clear(net.gradients[start:end])
            continue
        for k in range(start, end):
            net.weights[k] -= rate * step[k]
            net.gradients[k] = 0
    state.counters[SINCE_APPLY] = 0


@jit
def learn_step(net: Network, rule: Rule, state: State, t: int, end: int, n_formed: int) -> None:
    """Phases 4 and 5 of step t, all layers last to first; n_formed steps of the sample form gradients."""
    backward_step(net, rule, state, t, end)
    if rule.update == UPDATE_NONE:
        return
    immediate = rule.update == UPDATE_IMMEDIATE
    on_grid = net.grid.on[WEIGHT if immediate else GRADIENT]
    target = net.weights if immediate else net.gradients
    for layer in range(net.sizes.shape[0] - 1, -1, -1):
        if net.sizes[layer, LEARNS] and net.sizes[layer, KIND] != FEEDBACK:
            rate = rule.rate * net.reals[layer, RATE_SCALE]
            if on_grid:
                update_layer(net, net.grid.products, 1.0, state, t, layer)
                finish_step(net, layer, rate, immediate)
            else:
                update_layer(net, target, -rate if immediate else 1.0, state, t, layer)
    state.counters[FORMED] += 1
    formed = state.counters[FORMED]
    due = formed % rule.apply_every == 0 or formed == n_formed
    if due and not immediate and rule.apply_when == APPLY_DEFERRED:
        apply_gradients(net, rule, state)


@jit
def clear_signals(state: State, t: int) -> None:
    """No layer has a signal in a step without a loss."""
    clear(state.history[BACK, t])
    clear(state.history[SIGNAL, t])
