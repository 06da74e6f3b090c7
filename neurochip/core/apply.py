"""The apply of accumulated gradients (semantics 3.6)."""

from __future__ import annotations

import numpy as np

from neurochip.activity import FIELD_INDEX
from neurochip.core._jit import jit
from neurochip.core.columns import (
    APPLY_SHIFT,
    COLUMNS,
    GRADIENT_HIGH,
    GRADIENT_LOW,
    HAS_BIAS,
    LAYERS,
    LEARNS,
    MOMENTUM_SHIFT,
    N_BIAS_ROWS,
    N_ROWS,
    RATE,
    ROUND_STOCHASTIC,
    ROW_AT,
    STEPS,
    STRIDE,
    SYNAPSE_LANES,
    WEIGHT_AT,
    WEIGHT_HIGH,
    WEIGHT_LOW,
    WEIGHT_ROUNDING,
)
from neurochip.rules.update.accumulate import apply_row, count_either, count_words, follow_momentum

_UPDATE_WORDS, _UPDATE_PRODUCTS = FIELD_INDEX["update_words"], FIELD_INDEX["update_products"]
_WEIGHT_WORDS, _ADVANCES = FIELD_INDEX["weight_words"], FIELD_INDEX["random_advances"]
_SAT_GRADIENT, _SAT_WEIGHT = FIELD_INDEX["sat_gradient"], FIELD_INDEX["sat_weight"]


@jit
def apply_layer_row(index, row, layout, state, counts):
    """Apply one row of a layer, its gradient or, with momentum, its velocity; the gradient is cleared."""
    layer, constants = layout.layers[index], layout.constants
    at, stride, columns = layer[WEIGHT_AT] + row * layer[STRIDE], layer[STRIDE], layer[COLUMNS]
    gradient = state.gradients[at : at + stride]
    applied = gradient
    visited = np.int64(0)
    if constants[MOMENTUM_SHIFT] > 0:
        applied = state.velocities[at : at + stride]
        visited = count_either(gradient, applied, columns, constants[SYNAPSE_LANES])
        counts[_SAT_GRADIENT] += follow_momentum(
            applied, gradient, constants[MOMENTUM_SHIFT], constants[GRADIENT_LOW], constants[GRADIENT_HIGH]
        )
    words, nonzero = count_words(applied, columns, constants[SYNAPSE_LANES])
    # A velocity that leaks to 0 is visited too.
    words = visited if constants[MOMENTUM_SHIFT] > 0 else words
    counts[_UPDATE_WORDS] += words
    counts[_WEIGHT_WORDS] += words
    if nonzero > 0:
        saturations, advances = apply_row(
            state.weights[at : at + stride], applied, columns, constants[RATE], layer[APPLY_SHIFT],
            constants[WEIGHT_ROUNDING], constants[WEIGHT_LOW], constants[WEIGHT_HIGH], state.registers[index],
        )  # fmt: skip
        counts[_UPDATE_PRODUCTS] += nonzero
        counts[_SAT_WEIGHT] += saturations
        counts[_ADVANCES] += advances if constants[WEIGHT_ROUNDING] == ROUND_STOCHASTIC else 0
    gradient[:] = 0


@jit
def apply_gradients(layout, state, output):
    """Apply and clear the accumulated gradients of all layers that learn, last to first, rows ascending."""
    constants = layout.constants
    totals = output.totals[constants[STEPS]]
    has_momentum = constants[MOMENTUM_SHIFT] > 0
    for index in range(constants[LAYERS] - 1, -1, -1):
        layer = layout.layers[index]
        if not layer[LEARNS]:
            continue
        n_rows = layer[N_ROWS] + (layer[N_BIAS_ROWS] if layer[HAS_BIAS] else 0)
        changed = state.changed_rows[layer[ROW_AT] : layer[ROW_AT] + n_rows]
        for row in range(n_rows):
            if changed[row] or has_momentum:
                apply_layer_row(index, row, layout, state, totals[index])
            changed[row] = 0
    output.n_applies[0] += 1
