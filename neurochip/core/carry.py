"""Signals of the readouts, and errors carried back over the steps of a window under unroll (semantics 3.7).

With a synaptic current delta, the error of the potential, has an array of its own, and the signal is epsilon, that of
the current. Without one delta is the signal.
"""

from __future__ import annotations

from neurochip.activity import FIELD_INDEX
from neurochip.core._jit import jit
from neurochip.core.columns import (
    CREDIT,
    CREDIT_UNROLL,
    CURRENT_LEAK,
    CURRENT_LEAK_VALUE,
    DELTA_HIGH,
    DELTA_LOW,
    ERROR_AT,
    ERROR_NEAREST,
    KIND,
    LAYERS,
    LEAK,
    LEAK_IS_NONE,
    LEAK_VALUE,
    N_OUT,
    OUTPUT_AT,
    READOUT,
    RESET_EXACT,
    RESET_PATH_SHIFT,
    THRESHOLD,
)
from neurochip.rules.temporal.unroll import carry_error, leak_and_add

_SAT_DELTA = FIELD_INDEX["sat_delta"]


@jit
def follow_delta(layer, constants, epsilon, delta, counts):
    """The signal of a layer with a synaptic current from a delta just formed and its own of the next step."""
    counts[_SAT_DELTA] += leak_and_add(
        epsilon, delta, layer[CURRENT_LEAK], layer[CURRENT_LEAK_VALUE], constants[DELTA_LOW], constants[DELTA_HIGH]
    )


@jit
def carry_hidden(layer, constants, state, g, psi, counts):
    """The signal of a hidden layer from that of the next step. g, psi: int32 [n], of its first n outputs."""
    first, stop = layer[OUTPUT_AT], layer[OUTPUT_AT] + g.shape[0]
    has_current = layer[CURRENT_LEAK] != LEAK_IS_NONE
    delta = state.delta[first:stop] if has_current else state.signal[first:stop]
    counts[_SAT_DELTA] += carry_error(
        delta, g, psi, layer[LEAK], layer[LEAK_VALUE], constants[RESET_EXACT] != 0, layer[THRESHOLD],
        layer[RESET_PATH_SHIFT], constants[ERROR_NEAREST] != 0, constants[DELTA_LOW], constants[DELTA_HIGH],
    )  # fmt: skip
    if has_current:
        follow_delta(layer, constants, state.signal[first:stop], delta, counts)


@jit
def carry_readout(layer, constants, state, e, counts):
    """The signal of a leaky readout from that of the next step. e: int32 [n_out]."""
    first, stop = layer[OUTPUT_AT], layer[OUTPUT_AT] + e.shape[0]
    has_current = layer[CURRENT_LEAK] != LEAK_IS_NONE
    delta = state.delta[first:stop] if has_current else state.signal[first:stop]
    counts[_SAT_DELTA] += leak_and_add(
        delta, e, layer[LEAK], layer[LEAK_VALUE], constants[DELTA_LOW], constants[DELTA_HIGH]
    )
    if has_current:
        follow_delta(layer, constants, state.signal[first:stop], delta, counts)


@jit
def readout_signals(slot, layout, state, history, totals):
    """Signals of all readouts: e, carried under unroll."""
    constants = layout.constants
    unroll = constants[CREDIT] == CREDIT_UNROLL
    for index in range(constants[LAYERS]):
        layer = layout.layers[index]
        if layer[KIND] != READOUT:
            continue
        n_out, at, out = layer[N_OUT], layer[ERROR_AT], layer[OUTPUT_AT]
        e = history.readout_error[slot, at : at + n_out]
        if unroll and layer[LEAK] != LEAK_IS_NONE:
            carry_readout(layer, constants, state, e, totals[index])
        else:
            signal = state.signal[out : out + n_out]
            for c in range(n_out):
                signal[c] = e[c]
