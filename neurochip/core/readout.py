"""The errors of the readouts from integer softmax (semantics 3.4)."""

from __future__ import annotations

import numpy as np

from neurochip.activity import FIELD_INDEX
from neurochip.core._jit import jit
from neurochip.core.columns import (
    ERROR_AT,
    ERROR_HIGH,
    ERROR_LOW,
    ERROR_NEAREST,
    FRAC_ERROR,
    FRAC_READOUT,
    KIND,
    LAYERS,
    MSE_SHARE,
    N_OUT,
    OUTPUT_AT,
    READOUT,
    SOFTMAX_SHIFT,
    STRIDE,
)
from neurochip.core.neuron import rounded_shift

_SAT_ERROR = FIELD_INDEX["sat_error"]


@jit
def softmax_numerator(largest, z, shift, table):
    """E[min(255, (max z - z) >> shift)]; a negative shift goes left."""
    distance = np.int64(largest) - np.int64(z)
    index = distance >> shift if shift >= 0 else distance << -shift
    return table[min(255, index)]


@jit
def mix_squared_error(cross_entropy, z, target, n_classes, share, frac, readout_frac, nearest):
    """Mix a share of squared error into the error of one class (before sat)."""
    shift = readout_frac - frac
    scaled = rounded_shift(np.int64(z), shift, nearest) if shift >= 0 else np.int64(z) << -shift
    x = (256 - share) * n_classes * cross_entropy + 2 * share * (scaled - target)
    divisor = 256 * n_classes
    if nearest:
        m = (abs(x) + divisor // 2) // divisor
        return m if x >= 0 else -m
    return x // divisor


@jit
def readout_error(z, n_classes, label, layer, constants, table, e_out):
    """e_c = sat(p_c - y_c) in the error format; returns the saturations."""
    largest = z[0]
    for c in range(1, n_classes):
        largest = max(largest, z[c])
    shift = layer[SOFTMAX_SHIFT]
    total = np.int64(0)
    for c in range(n_classes):
        total += softmax_numerator(largest, z[c], shift, table)
    frac = layer[FRAC_ERROR]
    share = constants[MSE_SHARE]
    nearest = constants[ERROR_NEAREST] != 0
    saturations = 0
    for c in range(n_classes):
        numerator = softmax_numerator(largest, z[c], shift, table)
        probability = ((numerator << frac) + total // 2) // total
        target = np.int64(1) << frac if c == label else np.int64(0)
        x = probability - target
        if share > 0:
            x = mix_squared_error(x, z[c], target, n_classes, share, frac, layer[FRAC_READOUT], nearest)
        kept = max(constants[ERROR_LOW], min(constants[ERROR_HIGH], x))
        saturations += kept != x
        e_out[c] = kept
    return saturations


@jit
def readout_errors(slot, layout, state, history, label, has_loss, totals):
    """e of every readout into its slot of the history; 0 in a step without a loss."""
    constants = layout.constants
    for index in range(constants[LAYERS]):
        layer = layout.layers[index]
        if layer[KIND] != READOUT:
            continue
        at, n_classes, out = layer[ERROR_AT], layer[N_OUT], layer[OUTPUT_AT]
        e = history.readout_error[slot, at : at + n_classes]
        if not has_loss:
            e[:] = 0
            continue
        z = state.potential[out : out + layer[STRIDE]]
        totals[index, _SAT_ERROR] += readout_error(z, n_classes, label, layer, constants, layout.exponential, e)
