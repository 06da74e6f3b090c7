"""The presynaptic factor of bias rows in every step (semantics 3.3): a constant, or the trace of a constant input."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from neurochip.spec import LEAK_CONSTANT, LEAK_NONE, CoreSpec, LayerSpec


def bias_factors(spec: CoreSpec) -> NDArray[np.int64]:
    """Return p of the bias rows, [n_steps, n_layers].

    It is 1 << frac_p; with `bias_trace`, in layers that learn from a trace, b: the trace after each step of an address
    with m = 1 << frac_m in every step.
    """
    factors = np.empty((spec.n_steps, len(spec.layers)), dtype=np.int64)
    for index, layer in enumerate(spec.layers):
        traced = spec.bias_trace and spec.credit == "trace" and layer.keeps_trace
        factors[:, index] = _traces(layer, spec) if traced else 1 << layer.frac_presynaptic
    return factors


def _traces(layer: LayerSpec, spec: CoreSpec) -> list[int]:
    highest = (1 << spec.trace_bits) - 1
    first = second = 0
    values = []
    for _ in range(spec.n_steps):
        first = min(highest, _leak(first, layer.trace_leak_kind, layer.trace_leak_value) + (1 << layer.frac_trace))
        second = min(highest, _leak(second, layer.filter_leak_kind, layer.filter_leak_value) + first)
        values.append(first if layer.filter_leak_kind == LEAK_NONE else second)
    return values


def _leak(m: int, kind: str, value: int) -> int:
    """L(m) of semantics section 2 for m >= 0; a trace without leak (memoryless) is 0."""
    if kind == LEAK_NONE:
        return 0
    return (m * value) >> 16 if kind == LEAK_CONSTANT else m - ((m + (1 << value) - 1) >> value)
