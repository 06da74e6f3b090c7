"""The rate mapping (spike representation) of networks of LIF neurons, its gradient, and the cosine of two gradients.

A layer u[t] = L (u[t-1] - theta s[t-1]) + W x[t] + b, summed up over the steps with the weights L^(T-t), is exactly

    r = (W r_x + b) / theta - (u[T] - theta s[T]) / (theta A),    A = sum_t L^(T-t),    r = sum_t L^(T-t) s[t] / A.

Without the last term, the potential that is left over, r is taken to be clamp((W r_x + b) / theta, 0, 1). A recurrent
layer adds V r', r' being the rates of the steps before; its gradient is that of the fixed point r' = r, or, with the
loop cut, that of the last round alone. Training by spike representation: Meng et al., CVPR 2022; its relation to OTTT:
Xiao et al., NeurIPS 2022; recurrent networks: Xiao et al., NeurIPS 2021.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class RateLayer:
    """A layer of the rate mapping: weights [n_in + n_own, n], the rows of its own rates last (n_own = 0 or n)."""

    weights: Array
    bias: Array
    threshold: float = 1.0
    n_own: int = 0

    @property
    def n_in(self) -> int:
        """Rows of the rates of other layers."""
        return len(self.weights) - self.n_own


def cosine(one: Array, other: Array) -> float:
    """Cosine of the angle between two arrays taken as vectors; NaN if one of them is 0."""
    norms = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(np.vdot(one, other)) / norms if norms > 0 else float("nan")


def weighted_rates(spikes: Array, leak: float) -> Array:
    """r[t] = sum over k <= t of leak^(t-k) s[k] / sum of leak^(t-k), for spikes [T, n]."""
    sums, rates, weight = np.zeros(spikes.shape[1]), np.zeros(spikes.shape), 0.0
    for t, fired in enumerate(spikes):
        sums, weight = leak * sums + fired, leak * weight + 1.0
        rates[t] = sums / weight
    return rates


def unclamped(layer: RateLayer, presynaptic: Array) -> Array:
    """(W r + b) / theta for rates [K, n_in + n_own]: what the mapping clamps to 0 ... 1."""
    return (presynaptic @ layer.weights + layer.bias) / layer.threshold


def slope_of(layer: RateLayer, presynaptic: Array) -> Array:
    """D = 1[0 < (W r + b) / theta < 1] / theta, [K, n]."""
    reached = unclamped(layer, presynaptic)
    return ((reached > 0) & (reached < 1)) / layer.threshold


def loop_radius(layer: RateLayer, presynaptic: Array) -> float:
    """Largest |eigenvalue| of V D at the last rates: the fixed point of a recurrent layer is stable below 1."""
    loop = layer.weights[layer.n_in :] * slope_of(layer, presynaptic[-1:])
    return float(np.abs(np.linalg.eigvals(loop)).max())


def rate_gradient(
    layers: Sequence[RateLayer], presynaptic: Sequence[Array], label: int, loop: bool = True
) -> list[Array]:
    """Gradients of the cross-entropy of a readout that sees rates, summed over K sets of rates; without biases.

    With d = dL/dr, D of `slope_of`, and r' = r at the fixed point: g = D (I - V D)^-1 d, without `loop` g = D d;
    dW = r g, dV = r' g, and d of the layer before is W g. Rates that are given need not be those of the mapping: those
    of a simulation give the gradient that training by spike representation uses.

    Args:
        layers: hidden layers, then the readout, whose threshold is not used.
        presynaptic: per layer rates [K, n_in + n_own].
        label: the class.
    """
    *hidden, readout = layers
    logits = presynaptic[-1] @ readout.weights + readout.bias
    signal = np.exp(logits - logits.max(axis=1, keepdims=True))
    signal /= signal.sum(axis=1, keepdims=True)
    signal[:, label] -= 1.0
    gradients, back = [presynaptic[-1].T @ signal], signal @ readout.weights.T
    for layer, rates in zip(reversed(hidden), reversed(presynaptic[:-1]), strict=True):
        slope = slope_of(layer, rates)
        if layer.n_own and loop:
            loops = np.eye(layer.n_own) - layer.weights[layer.n_in :] * slope[:, None, :]
            back = np.linalg.solve(loops, back[..., None])[..., 0]
        signal = slope * back
        gradients.insert(0, rates.T @ signal)
        back = signal @ layer.weights[: layer.n_in].T
    return gradients
