"""The arrays of an export by name, each in the narrowest C type that holds its format."""

from __future__ import annotations

import numpy as np

from neurochip.export.load import Integers, Learned
from neurochip.reference.core.arithmetic import exponential_table, surrogate_table

WIDTHS = (8, 16, 32)


def arrays_of(learned: Learned) -> dict[str, Integers]:
    """Name the arrays of a network.

    `weight_<l>` [N_w, columns]; `bias_<l>` [bias rows, columns] where there is a bias; `threshold` [layers] (0 for
    readouts); `random_registers` [layers, lanes]; `surrogate_table` [64]; `exponential_table` [256]; with momentum
    `velocity_<l>` and `bias_velocity_<l>`, shaped like the weights of layers that learn.
    """
    spec = learned.spec
    arrays: dict[str, Integers] = {}
    for index, weights in enumerate(learned.weights):
        arrays |= _rows(learned, index, weights, ("weight", "bias"), spec.weight_bits)
    for index, velocity in enumerate(learned.velocities):
        if spec.layers[index].learns and spec.layers[index].kind != "feedback":
            arrays |= _rows(learned, index, velocity, ("velocity", "bias_velocity"), spec.gradient_bits)
    thresholds = np.array([layer.threshold_q for layer in spec.layers])
    arrays["threshold"] = thresholds.astype(integer_type(spec.membrane_bits, True))
    surrogates = np.array(surrogate_table(spec.surrogate, spec.surrogate_bits))
    arrays["surrogate_table"] = surrogates.astype(integer_type(spec.surrogate_bits, False))
    arrays["exponential_table"] = np.array(exponential_table()).astype(np.uint16)
    arrays["random_registers"] = learned.registers.astype(np.uint32)
    return arrays


def integer_type(bits: int, signed: bool) -> np.dtype[np.integer]:
    """The narrowest of int8_t, int16_t, int32_t (unsigned: uint...) for numbers of so many bits."""
    width = next(width for width in WIDTHS if bits <= width)
    return np.dtype(f"{'int' if signed else 'uint'}{width}")


def _rows(learned: Learned, index: int, rows: Integers, names: tuple[str, str], bits: int) -> dict[str, Integers]:
    """The rows of weights and of the bias as arrays of their own."""
    layer, (name, bias_name) = learned.spec.layers[index], names
    typed = rows.astype(integer_type(bits, True))
    found: dict[str, Integers] = {f"{name}_{index}": typed[: layer.n_weight_rows]}
    if layer.bias:
        found[f"{bias_name}_{index}"] = typed[layer.n_weight_rows :]
    return found


__all__ = ["arrays_of", "integer_type"]
