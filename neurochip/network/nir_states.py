"""The neurons of a NIR population as a layer of the core has them: potentials, and perhaps synaptic currents.

    I <- beta I + g w_in S, v <- alpha v + f (v_leak + R I)
    i <- current_leak(i) + f R g w_in S, u <- leak(u) + i         in the core, both in thresholds

Where beta is 0 events go straight into u.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurochip.network.nir_file import Graph
from neurochip.network.nir_leaks import Decay, nearest_leak
from neurochip.network.nir_neurons import Neurons, Steps, neurons_of
from neurochip.network.nir_shapes import Shape

Array = NDArray[np.float64]
NO_STATE = 2.0**-17  # of alpha and beta, below half of the smallest leak


@dataclass(frozen=True, eq=False)
class State:
    """What a population remembers, and what weights are multiplied by.

    Attributes:
        factor, drift: per neuron, of weights and biases, and what is added to the bias; threshold and v_reset beside,
            all in the units of the graph.
        threshold: None for a population that does not fire.
        potential: its leak; None for a readout without memory.
        current: the leak of its synaptic current; None without.
        notes: what of the population is not used.
    """

    factor: Array
    drift: Array
    threshold: Array | None
    v_reset: Array
    potential: Decay | None
    current: Decay | None
    notes: tuple[str, ...]

    def leaks(self) -> dict[str, int]:
        """The leaks as keys of network.layers."""
        found = {} if self.potential is None else {self.potential.key: self.potential.value}
        return found if self.current is None else found | {f"current_{self.current.key}": self.current.value}


def state_of(graph: Graph, name: str, shape: Shape, steps: Steps, synapse: str, *, is_last: bool) -> State:
    """The state of a population.

    Args:
        graph, name, shape: which one.
        steps: how time goes on in it.
        synapse: as `network.nir.synapse`.
        is_last: whether it becomes the readout, which needs no neurons.

    Raises:
        UserError: no dt, leaks that differ, a v_leak beside a synaptic current, or thresholds that are not above 0.
    """
    neurons, node = neurons_of(graph, name, math.prod(shape), steps), graph.nodes[name]
    if neurons.threshold is not None and (neurons.threshold <= 0).any():
        raise graph.refuse(name, f"has v_threshold = {neurons.threshold.min():g}; allowed are numbers above 0")
    charge, notes = neurons.charge, []
    if synapse == "instant" and _filters(neurons):
        charge = np.broadcast_to(node["w_in"].reshape(-1), charge.shape)
        notes.append(f"the filter of its synapses ({neurons.beta.max():.3g} per step) is dropped, its charge kept")
    if neurons.v_reset.any() and (is_last or steps.reset != "zero"):
        values = dict.fromkeys(f"{value:g}" for value in (neurons.v_reset.min(), neurons.v_reset.max()))
        notes.append(f"its v_reset of {' to '.join(values)} is not used")
    current = None if synapse == "instant" else _current(graph, name, neurons)
    potential = _potential(graph, name, neurons, is_last)
    if is_last and current is not None and _is_zero(neurons.alpha):
        potential, current = current, None  # v = I: a sum with one leak
    return State(
        neurons.gain * charge, neurons.drift, neurons.threshold, neurons.v_reset, potential, current, tuple(notes)
    )


def _current(graph: Graph, name: str, neurons: Neurons) -> Decay | None:
    """The synaptic current; None where events go straight into the potential."""
    node = graph.nodes[name]
    # What beta does not tell: neurochip wrote a current that is 0 again in every step.
    is_noted = node.kind.startswith("Cuba") and node.metadata.get("current_leak_kind") == "constant"
    if not _filters(neurons) and not is_noted:
        return None
    if neurons.drift.any():
        value = node["v_leak"][node["v_leak"] != 0][0]
        raise graph.refuse(
            name,
            f"has v_leak = {value:g} and a synaptic current, through which alone the core adds constants; allowed are "
            "v_leak = 0, and network.nir.synapse = 'instant', which drops the current",
        )
    return _one_decay(graph, name, "synaptic currents with leaks", neurons.beta, node.metadata, "current_")


def _potential(graph: Graph, name: str, neurons: Neurons, is_last: bool) -> Decay | None:
    """The leak of the potential; None for a readout that sums nothing over time."""
    node = graph.nodes[name]
    if is_last and (node.kind == "IF" or (_is_zero(neurons.alpha) and "leak_kind" not in node.metadata)):
        return None
    return _one_decay(graph, name, "leaks", neurons.alpha, node.metadata, "")


def _one_decay(graph: Graph, name: str, what: str, factors: Array, noted: Mapping[str, Any], prefix: str) -> Decay:
    """The leak of a population whose neurons have the same."""
    codes = {nearest_leak(float(factor), noted.get(f"{prefix}leak_kind")) for factor in np.unique(factors)}
    if len(codes) > 1:
        raise graph.refuse(
            name,
            f"has {what} from {factors.min():.6g} to {factors.max():.6g} per step; allowed is one for all neurons of a "
            "layer",
        )
    return Decay(float(factors.mean()), codes.pop())


def _filters(neurons: Neurons) -> bool:
    return bool((neurons.beta > NO_STATE).any())


def _is_zero(factors: Array) -> bool:
    return bool((np.abs(factors) < NO_STATE).all())


__all__ = ["State", "state_of"]
