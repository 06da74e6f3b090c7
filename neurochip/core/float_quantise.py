"""Kernels of the quantisers of the float twin (docs/semantics.md, section 6): after a phase, its signal goes on a grid.

A signal x of format F is `codes / unit`, unit = 2^frac. In float64 codes and their products are exact.
"""

from __future__ import annotations

import numpy as np

from neurochip.core._jit import jit
from neurochip.core.columns import ROUND_NEAREST, ROUND_STOCHASTIC
from neurochip.core.float_grid import (
    DELTA,
    ERROR,
    ERROR_NEAREST,
    GRADIENT,
    MSE_SHARE,
    TRACE,
    UPDATE_SHIFT,
    WEIGHT,
    WEIGHT_ROUNDING,
    Grid,
)
from neurochip.core.float_rows import clear
from neurochip.core.float_state import BACK, CARRIED, PSI, SIGNAL, State
from neurochip.core.float_tables import (
    COLUMNS,
    CURRENT_LEAK,
    EVENT_AT,
    FILTER_LEAK,
    HAS_CURRENT,
    HAS_FILTER,
    INPUT_AT,
    KIND,
    LEAK,
    N_IN,
    N_OUT,
    OUTPUT_AT,
    READOUT,
    THRESHOLD,
    TRACE_LEAK,
    WEIGHT_AT,
    Array,
    Network,
    Rule,
)
from neurochip.rules.update.immediate import advance

MAX_SQUARED_ERROR_CODE = 2.0**40  # an error of this size saturates at any share; what is larger would not fit 64 bits


@jit
def rounded(x: float, is_nearest: int) -> float:
    """A whole number: the nearest, ties away from zero, or the next below."""
    magnitude: float = np.floor(abs(x) + 0.5)
    below: float = np.floor(x)
    if not is_nearest:
        return below
    return magnitude if x >= 0 else -magnitude


@jit
def clamped(x: float, low: float, high: float) -> float:
    """sat(x)."""
    return low if x < low else (high if x > high else x)


@jit
def leaked(x: float, leak: float) -> float:
    """leak x towards zero, of whole numbers."""
    magnitude: float = np.floor(leak * abs(x))
    return magnitude if x >= 0 else -magnitude


@jit
def leak_on_grid(out: Array, values: Array, leak: float, unit: float) -> None:
    """out_j = leak values_j, truncated towards zero."""
    for j in range(out.size):
        out[j] = leaked(values[j] * unit, leak) / unit


@jit
def snap(values: Array, grid: Grid, signal: int, layer: int) -> None:
    """values_j = sat(round(values_j)), to the nearest."""
    unit, low, high = grid.units[layer, signal], grid.low[signal], grid.high[signal]
    for j in range(values.size):
        values[j] = clamped(rounded(values[j] * unit, 1), low, high) / unit


@jit
def surrogate_from_table(u: Array, threshold: float, table: Array, psi: Array) -> None:
    """psi_j = table[clamp(floor(16 (u_j - threshold)), -32, 31)]."""
    for j in range(u.size):
        place = np.floor((u[j] - threshold) * 16.0)
        index = 63
        if not place >= 31.0:
            index = int(place) + 32 if place >= -32.0 else 0
        psi[j] = table[index]


@jit
def trace_on_grid(net: Network, state: State, t: int, layer: int) -> None:
    """a = sat(leak a + m), with a filter f = sat(leak f + m) and a = sat(filter_leak a + f)."""
    size, real, grid = net.sizes[layer], net.reals[layer], net.grid
    low, high, start = size[INPUT_AT], size[INPUT_AT] + size[N_IN], size[EVENT_AT]
    trace, filtered = state.trace[low:high], state.filtered[low:high]
    first, unit = filtered if size[HAS_FILTER] else trace, grid.units[layer, TRACE]
    leak_on_grid(first, first, real[TRACE_LEAK], unit)
    for k in range(start, start + state.n_arrived[t, layer]):
        first[state.arrived[t, k]] += state.values[t, k]
    snap(first, grid, TRACE, layer)
    if size[HAS_FILTER]:
        leak_on_grid(trace, trace, real[FILTER_LEAK], unit)
        for i in range(trace.size):
            trace[i] += filtered[i]
        snap(trace, grid, TRACE, layer)


@jit
def exponential_code(distance: float, table: Array) -> int:
    """E[min(255, floor(16 distance))], distance >= 0."""
    place = distance * 16.0
    code: int = table[int(place) if place < 255.0 else 255]
    return code


@jit
def error_from_tables(z: Array, label: int, grid: Grid, layer: int, error: Array) -> None:
    """Write e by the integer softmax of semantics 3.4, and its share of squared error."""
    share, is_nearest = grid.numbers[MSE_SHARE], grid.numbers[ERROR_NEAREST]
    unit, low, high = grid.units[layer, ERROR], grid.low[ERROR], grid.high[ERROR]
    one, divisor = np.int64(unit), np.int64(256 * z.size)
    highest, total = z[0], np.int64(0)
    for c in range(1, z.size):
        if z[c] > highest:
            highest = z[c]
    for c in range(z.size):
        total += exponential_code(highest - z[c], grid.exponential)
    for c in range(z.size):
        target = one if c == label else np.int64(0)
        x = (exponential_code(highest - z[c], grid.exponential) * one + total // 2) // total - target
        if share > 0:
            q = clamped(rounded(z[c] * unit, is_nearest), -MAX_SQUARED_ERROR_CODE, MAX_SQUARED_ERROR_CODE)
            mixed = (256 - share) * z.size * x + 2 * share * (np.int64(q) - target)
            if is_nearest:
                magnitude = (abs(mixed) + divisor // 2) // divisor
                x = magnitude if mixed >= 0 else -magnitude
            else:
                x = mixed // divisor
        error[c] = clamped(float(x), low, high) / unit


@jit
def hidden_errors_on_grid(net: Network, state: State, t: int, layer: int) -> None:
    """d_i = sat of the sum of what is rounded already, g_i = sat(round(d_i psi_i))."""
    grid, at, n = net.grid, net.sizes[layer, OUTPUT_AT], net.sizes[layer, N_OUT]
    unit, low, high = grid.units[layer, ERROR], grid.low[ERROR], grid.high[ERROR]
    is_nearest = grid.numbers[ERROR_NEAREST]
    for i in range(n):
        d = clamped(state.totals[i] * unit, low, high)
        state.history[BACK, t, at + i] = d / unit
        g = rounded(d * state.history[PSI, t, at + i], is_nearest)
        state.history[SIGNAL, t, at + i] = clamped(g, low, high) / unit


@jit
def carry_on_grid(net: Network, rule: Rule, state: State, t: int, end: int, layer: int) -> None:
    """delta[t] = sat(v - round(theta psi v) + g[t]), v = leak(delta[t+1]); the middle term with an exact reset path."""
    size, real, grid = net.sizes[layer], net.reals[layer], net.grid
    is_readout, is_nearest = size[KIND] == READOUT, grid.numbers[ERROR_NEAREST]
    if is_readout and real[LEAK] == 0:
        return  # e itself
    unit, low, high = grid.units[layer, DELTA], grid.low[DELTA], grid.high[DELTA]
    source = CARRIED if size[HAS_CURRENT] else SIGNAL
    for k in range(size[OUTPUT_AT], size[OUTPUT_AT] + size[N_OUT]):
        carried = leaked(state.history[source, t + 1, k] * unit, real[LEAK]) if t + 1 < end else 0.0
        x = carried + state.history[SIGNAL, t, k] * unit
        if rule.reset_exact and not is_readout:
            x -= rounded(real[THRESHOLD] * state.history[PSI, t, k] * carried, is_nearest)
        state.history[SIGNAL, t, k] = clamped(rounded(x, is_nearest), low, high) / unit


@jit
def carry_current_on_grid(net: Network, state: State, t: int, end: int, layer: int) -> None:
    """epsilon[t] = sat(current_leak(epsilon[t+1]) + delta[t]), the signal; delta, on the grid already, is kept."""
    size, grid, leak = net.sizes[layer], net.grid, net.reals[layer, CURRENT_LEAK]
    unit, low, high = grid.units[layer, DELTA], grid.low[DELTA], grid.high[DELTA]
    for k in range(size[OUTPUT_AT], size[OUTPUT_AT] + size[N_OUT]):
        state.history[CARRIED, t, k] = state.history[SIGNAL, t, k]
        carried = leaked(state.history[SIGNAL, t + 1, k] * unit, leak) if t + 1 < end else 0.0
        state.history[SIGNAL, t, k] = clamped(carried + state.history[SIGNAL, t, k] * unit, low, high) / unit


@jit
def weight_range(net: Network, layer: int) -> tuple[int, int]:
    """Where the weights of a layer begin and end."""
    end = net.sizes[layer + 1, WEIGHT_AT] if layer + 1 < net.sizes.shape[0] else net.weights.size
    return net.sizes[layer, WEIGHT_AT], end


@jit
def count_nonzero(values: Array) -> int:
    """Entries that are not 0."""
    n = 0
    for k in range(values.size):
        n += values[k] != 0
    return n


@jit
def accumulate_on_grid(net: Network, layer: int) -> None:
    """G = sat(G + round(D)) row by row, D in the products, which are cleared."""
    grid, (start, end), n = net.grid, weight_range(net, layer), net.sizes[layer, COLUMNS]
    unit, low, high = grid.units[layer, GRADIENT], grid.low[GRADIENT], grid.high[GRADIENT]
    step, is_nearest = 1.0 / unit, grid.numbers[ERROR_NEAREST]
    for row in range(start, end, n):
        products, gradients = grid.products[row : row + n], net.gradients[row : row + n]
        if count_nonzero(products) == 0:
            continue
        for k in range(n):
            x = gradients[k] * unit + rounded(products[k] * unit, is_nearest)
            gradients[k] = clamped(x, low, high) * step
            products[k] = 0


@jit
def follow_on_grid(net: Network, momentum: float) -> None:
    """V = sat(leak(V) + G) of all layers, with momentum; without, nothing."""
    grid = net.grid
    for layer in range(net.sizes.shape[0] if net.velocity.size > 0 else 0):
        start, end = weight_range(net, layer)
        unit, low, high = grid.units[layer, GRADIENT], grid.low[GRADIENT], grid.high[GRADIENT]
        for k in range(start, end):
            x = leaked(net.velocity[k] * unit, momentum) + net.gradients[k] * unit
            net.velocity[k] = clamped(x, low, high) / unit


@jit
def random_share(register: int, shift: int) -> float:
    """A number from 0 to below 1: r of semantics 3.5, the low `shift` bits of a register, then its other bits."""
    number = np.int64(register)
    r = number & ((np.int64(1) << shift) - 1)
    return ((r << (32 - shift)) | (number >> shift)) * 2.0**-32


@jit
def advance_all(registers: Array) -> None:
    """Every register of a layer one step on."""
    for q in range(registers.size):
        registers[q] = advance(registers[q])


@jit
def apply_on_grid(net: Network, layer: int, rate: float, steps: Array) -> None:
    """W = sat(round(W - rate step)), rows ascending, the words with a step that is not 0 drawing random numbers."""
    grid, (start, end), n = net.grid, weight_range(net, layer), net.sizes[layer, COLUMNS]
    unit, low, high = grid.units[layer, WEIGHT], grid.low[WEIGHT], grid.high[WEIGHT]
    rounding, shift, registers = grid.numbers[WEIGHT_ROUNDING], grid.shifts[layer, UPDATE_SHIFT], grid.registers[layer]
    scale, code, offset = rate * unit, 1.0 / unit, 0.5 if rounding == ROUND_NEAREST else 0.0
    width = registers.size if rounding == ROUND_STOCHASTIC else n
    for row in range(start, end, n):
        if count_nonzero(steps[row : row + n]) == 0:
            continue
        for first in range(row, row + n, width):
            stop = min(first + width, row + n)
            weights, changes = net.weights[first:stop], steps[first:stop]
            if rounding != ROUND_STOCHASTIC:
                for k in range(weights.size):
                    x = np.floor(weights[k] * unit - scale * changes[k] + offset)
                    weights[k] = clamped(x, low, high) * code
            elif count_nonzero(changes) > 0:
                advance_all(registers)
                for k in range(weights.size):
                    x = np.floor(weights[k] * unit - scale * changes[k] + random_share(registers[k], shift))
                    weights[k] = clamped(x, low, high) * code


@jit
def finish_step(net: Network, layer: int, rate: float, immediate: bool) -> None:
    """Apply D of a step, or add it to the gradients, and clear it."""
    if immediate:
        apply_on_grid(net, layer, rate, net.grid.products)
        start, end = weight_range(net, layer)
        clear(net.grid.products[start:end])
    else:
        accumulate_on_grid(net, layer)
