"""The formats of the quantisers of the float twin as tables of numbers, the form in which its kernels read them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurochip.core import columns as col
from neurochip.core.float_formats import QUANTISERS, Quantisers
from neurochip.core.layout import Layout, build_layout, initial_registers
from neurochip.fixed_point import QFormat
from neurochip.spec import CoreSpec, LayerSpec

Array = NDArray[Any]

# Places in the tables of Grid.
WEIGHT, MEMBRANE, SURROGATE, TRACE, ERROR, DELTA, GRADIENT, READOUT_SUM = range(len(QUANTISERS))
# Entries of Grid.numbers.
ERROR_NEAREST, WEIGHT_ROUNDING, MSE_SHARE = range(3)
# Columns of Grid.shifts: S or S_G, C and p of 3.8.
UPDATE_SHIFT, STANDARDISE_CONSTANT, STANDARDISE_SHIFT = range(3)


class Grid(NamedTuple):
    """Formats of the signals that are quantised; of `registers` and `products` the kernels change the content."""

    on: Array  # int64 [8], by signal
    low: Array  # float64 [8], lowest code
    high: Array  # float64 [8], highest code
    units: Array  # float64 [L, 8], codes per 1: 2^frac
    numbers: Array  # int64 [3]
    shifts: Array  # int64 [L, 3]
    surrogate: Array  # float64 [64], psi
    exponential: Array  # int64 [256]
    bias: Array  # float64 [T, L], p of the bias rows
    registers: Array  # uint32 [L, R]
    products: Array  # like the weights: D of a step; 0 between steps


def new_grid(quantisers: Quantisers | None, gradients: Array) -> Grid:
    """Return the tables; all quantisers are off without `quantisers`.

    Args:
        quantisers: what is quantised.
        gradients: the flat gradients of the network, which an immediate rule leaves unused.
    """
    if quantisers is None:
        return _no_grid(gradients.dtype)
    spec = quantisers.formats
    layout = build_layout(spec)
    on = _switches(quantisers)
    low, high = _limits(spec)
    accumulates = spec.update == "accumulate"
    products = gradients if not accumulates else np.zeros(gradients.size if on[GRADIENT] else 0, gradients.dtype)
    frac_p = np.array([layer.frac_presynaptic for layer in spec.layers])
    return Grid(
        on=on,
        low=low,
        high=high,
        units=2.0 ** np.array([_fracs(layer, spec) for layer in spec.layers], np.float64),
        numbers=layout.constants[[col.ERROR_NEAREST, col.WEIGHT_ROUNDING, col.MSE_SHARE]],
        shifts=_shifts(layout, accumulates),
        surrogate=layout.surrogate * 2.0**-spec.surrogate_bits,
        exponential=layout.exponential,
        bias=layout.bias_factors * 2.0**-frac_p,
        registers=initial_registers(spec),
        products=products,
    )


def _no_grid(dtype: np.dtype[Any]) -> Grid:
    n = len(QUANTISERS)
    return Grid(
        on=np.zeros(n, np.int64),
        low=np.zeros(n),
        high=np.zeros(n),
        units=np.zeros((0, n)),
        numbers=np.zeros(3, np.int64),
        shifts=np.zeros((0, 3), np.int64),
        surrogate=np.zeros(0),
        exponential=np.zeros(0, np.int64),
        bias=np.zeros((0, 0)),
        registers=np.zeros((0, 0), np.uint32),
        products=np.zeros(0, dtype),
    )


def _switches(quantisers: Quantisers) -> Array:
    """On are the named signals that the rule has: delta with `unroll`, gradients where they are accumulated."""
    spec = quantisers.formats
    missing = {"delta": spec.credit != "unroll", "gradient": spec.update != "accumulate"}
    return np.array([name in quantisers.names and not missing.get(name, False) for name in QUANTISERS], np.int64)


def _limits(spec: CoreSpec) -> tuple[Array, Array]:
    bits = {
        WEIGHT: spec.weight_bits,
        MEMBRANE: spec.membrane_bits,
        SURROGATE: spec.surrogate_bits,
        TRACE: spec.trace_bits,
        ERROR: spec.error_bits,
        DELTA: spec.delta_bits,
        GRADIENT: spec.gradient_bits,
        READOUT_SUM: spec.readout_bits,
    }
    formats = [QFormat(bits[signal], 0, signal not in (SURROGATE, TRACE)) for signal in range(len(QUANTISERS))]
    return np.array([one.lowest for one in formats], float), np.array([one.highest for one in formats], float)


def _fracs(layer: LayerSpec, spec: CoreSpec) -> tuple[int, ...]:
    """Fracs of the signals of a layer, in the order of QUANTISERS."""
    potential, error = layer.frac_potential, layer.frac_error
    codes = layer.frac_weight, potential, spec.surrogate_bits, layer.frac_trace
    return *codes, error, error, layer.frac_gradient, potential


def _shifts(layout: Layout, accumulates: bool) -> Array:
    columns = col.APPLY_SHIFT if accumulates else col.UPDATE_SHIFT, col.STANDARDISE_CONSTANT, col.STANDARDISE_SHIFT
    return layout.layers[:, columns].copy()
