"""Biases of a layer behind average pools: the real one, of the float twin, and the one that the integer core stores.

The integer core adds `W << sh`, so there a bias counts like an event, 1 / 2^frac_m (docs/semantics.md, section 6); the
float twin adds b. Real weights are those of the float twin everywhere.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurochip.spec import LayerSpec
from neurochip.topology import LayerGeometry


def as_stored(layer: LayerGeometry, frac_event: int, weights: NDArray[Any]) -> NDArray[np.float64]:
    """Real weights with the biases that the integer core stores, b 2^frac_m.

    Args:
        layer: its rows, [n_weight_rows + n_bias_rows, columns].
        frac_event: frac_m, log2 of the windows of the average pools before it.
        weights: those of the float twin.
    """
    found = np.array(weights, dtype=np.float64)
    found[layer.n_weight_rows :] *= 2.0**frac_event
    return found


def as_real(layer: LayerSpec, codes: NDArray[Any]) -> NDArray[np.float64]:
    """Return the real weights of stored ones, codes 2^-frac_w, biases 2^-frac_m times that."""
    found = codes * 2.0**-layer.frac_weight
    found[layer.n_weight_rows :] *= 2.0**-layer.frac_event
    return found


__all__ = ["as_real", "as_stored"]
