"""Neurons of NIR in steps of dt: what forward Euler or the exact solution makes of their differential equations.

LIF, LI     v = alpha v + f (v_leak + R I)             f = dt/tau (Euler) or 1 - exp(-dt/tau), alpha = 1 - f
IF, I       v = v + R I
CubaLIF     I = beta I + g w_in S,  v = alpha v + f (v_leak + R I)      g as f with tau_syn, beta = 1 - g

S and I of an IF, LI or LIF are the sum of what comes to the neuron in the step. Then it fires, and is reset.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurochip.network.nir_file import Graph
from neurochip.network.nir_leaks import SAME

Array = NDArray[np.float64]
UNIT = 1e-12  # R = tau/dt and w_in = tau/dt are meant to give 1, which their rounding may miss by a last place


@dataclass(frozen=True)
class Steps:
    """What a NIR file does not say; as in `[network.nir]`."""

    dt: float | None = None
    scheme: str = "euler"
    reset: str = "zero"
    comparator: str = "gt"


@dataclass(frozen=True, eq=False)
class Neurons:
    """A population in steps; every array has one value per neuron.

    Attributes:
        alpha: factor of v.
        gain: factor of I in v.
        drift: added to v in every step.
        beta: factor of the synaptic current; 0 where there is none.
        charge: factor of S in the synaptic current; 1 where there is none.
        threshold: None for a population that does not fire.
        v_reset: where a reset to zero ends.
    """

    alpha: Array
    gain: Array
    drift: Array
    beta: Array
    charge: Array
    threshold: Array | None
    v_reset: Array


def neurons_of(graph: Graph, name: str, n_neurons: int, steps: Steps) -> Neurons:
    """Discretise a population.

    Raises:
        UserError: no dt where time constants need one, or one that forward Euler cannot take.
    """
    node = graph.nodes[name]
    zeros, ones = np.zeros(n_neurons), np.ones(n_neurons)

    def values(key: str) -> Array:
        return np.broadcast_to(node[key].reshape(-1), (n_neurons,)).copy()

    threshold = values("v_threshold") if "v_threshold" in node.parameters else None
    v_reset = values("v_reset") if threshold is not None else zeros
    if node.kind in ("I", "IF"):
        return Neurons(ones, values("r"), zeros, zeros, ones, threshold, v_reset)
    is_current_based = node.kind.startswith("Cuba")
    alpha, f = _decay(graph, name, "tau_mem" if is_current_based else "tau", steps, values)
    beta, charge = zeros, ones
    if is_current_based:
        beta, g = _decay(graph, name, "tau_syn", steps, values)
        charge = g * values("w_in")
    gain = f * values("r")
    for product in (gain, charge):
        product[np.abs(product - 1.0) < UNIT] = 1.0
    return Neurons(alpha, gain, f * values("v_leak"), beta, charge, threshold, v_reset)


def _decay(graph: Graph, name: str, key: str, steps: Steps, values: Callable[[str], Array]) -> tuple[Array, Array]:
    """(factor per step, 1 - factor) of a time constant."""
    tau = values(key)
    if steps.dt is None:
        raise graph.refuse(
            name, f"has {key} = {tau[0]:g}, and NIR files hold no step; network.nir.dt gives it in the unit of {key}"
        )
    with np.errstate(over="ignore"):
        ratio = steps.dt / tau
    if steps.scheme == "exact":
        return np.exp(-ratio), -np.expm1(-ratio)
    if (ratio > 1 + SAME).any():
        raise graph.refuse(
            name,
            f"has {key} = {tau.min():g}, below network.nir.dt = {steps.dt:g}; forward Euler needs a dt up to {key}, or "
            "network.nir.scheme = 'exact'",
        )
    ratio = np.minimum(ratio, 1.0)
    return 1.0 - ratio, ratio


__all__ = ["Neurons", "Steps", "neurons_of"]
