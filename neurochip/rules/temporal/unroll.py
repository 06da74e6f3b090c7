"""`unroll`: back-propagation through time. The error is carried back over the steps (semantics 3.7).

    delta[t] = sat(leak(delta[t+1]) + g[t]),   p_i = m_i[t]

The error of a leaky readout is carried in the same way, and with a synaptic current a second time, by its leak:

    epsilon[t] = sat(current_leak(epsilon[t+1]) + delta[t])

is then what other layers and the weights get. With `reset_path = "exact"` the carried part of delta is multiplied by
(1 - theta * psi), the derivative of the soft reset.
"""

from __future__ import annotations

from neurochip.core._jit import jit
from neurochip.core.neuron import leak_magnitudes, rounded_shift


@jit
def carry_error(delta, g, psi, leak, leak_value, exact, threshold, reset_shift, nearest, low, high):
    """delta <- sat(leak(delta) [- theta psi leak(delta)] + g). All int32 [n]; returns the saturations."""
    leak_magnitudes(delta, leak, leak_value)
    saturations = 0
    for j in range(delta.shape[0]):
        x = delta[j] + g[j]
        if exact:
            x -= rounded_shift(threshold * psi[j] * delta[j], reset_shift, nearest)
        kept = max(low, min(high, x))
        saturations += kept != x
        delta[j] = kept
    return saturations


@jit
def leak_and_add(values, inputs, leak, leak_value, low, high):
    """values <- sat(leak(values) + inputs). Both int32 [n]; returns the saturations."""
    leak_magnitudes(values, leak, leak_value)
    saturations = 0
    for j in range(values.shape[0]):
        x = values[j] + inputs[j]
        kept = max(low, min(high, x))
        saturations += kept != x
        values[j] = kept
    return saturations
