"""A NIR graph run in real numbers with plain numpy: what imported networks are held against.

Nodes outside of cycles run over all steps at once. In a cycle, what comes from a population of the same cycle is its
output of the step before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurochip.network.nir_file import POPULATIONS, Graph, Node
from neurochip.network.nir_neurons import Neurons, Steps, neurons_of
from neurochip.network.nir_shapes import Shape, infer_shapes, order_of, padding_of

Array = NDArray[np.float64]
CHUNK_STEPS = 64  # of a convolution, so that its patches stay small


@dataclass(frozen=True, eq=False)
class NirRun:
    """Outputs [steps, ...] of the nodes of a graph; spikes are 0 or 1.

    Attributes:
        outputs: of every node.
        potentials: of every population, [steps, neurons], before the reset.
    """

    outputs: Mapping[str, Array]
    potentials: Mapping[str, Array]


class NirRunner:
    """Runs one graph on many inputs.

    Raises:
        UserError: a graph whose shapes do not fit, a dt that does not, or a cycle without a population.
    """

    def __init__(self, graph: Graph, steps: Steps) -> None:
        self.graph, self.steps = graph, steps
        self.shapes = infer_shapes(graph)
        self._groups = order_of(graph)
        self._neurons: dict[str, Neurons] = {
            name: neurons_of(graph, name, int(np.prod(self.shapes[name])), steps)
            for name, node in graph.nodes.items()
            if node.kind in POPULATIONS
        }
        self._before = {name: graph.before(name) for name in graph.nodes}
        for group in self._groups:
            if self._is_cycle(group):
                _check_cycle(graph, group)

    def run(self, inputs: Array) -> NirRun:
        """Run from potentials of 0.

        Args:
            inputs: [steps, ...], the rest as many values as the Input has.
        """
        n_steps = len(inputs)
        start = self.graph.only("Input")
        outputs: dict[str, Array] = {start: np.asarray(inputs, dtype=np.float64).reshape(n_steps, *self.shapes[start])}
        potentials: dict[str, Array] = {}
        for group in self._groups:
            if self._is_cycle(group):
                self._run_cycle(group, n_steps, outputs, potentials)
            elif group[0] != start:
                name = group[0]
                given = sum(outputs[before] for before in self._before[name])
                outputs[name], held = self._all_steps(name, np.asarray(given))
                if held is not None:
                    potentials[name] = held
        return NirRun(outputs, potentials)

    def _is_cycle(self, group: Sequence[str]) -> bool:
        return len(group) > 1 or group[0] in self._before[group[0]]

    def _all_steps(self, name: str, given: Array) -> tuple[Array, Array | None]:
        """Output of a node for all steps, and the potentials if it has some."""
        if name not in self._neurons:
            return apply_node(self.graph, name, given, self.shapes[name]), None
        state = _State(self._neurons[name], self.steps)
        flat = given.reshape(len(given), -1)
        spikes, potentials = np.empty_like(flat), np.empty_like(flat)
        for t in range(len(flat)):
            spikes[t], potentials[t] = state.step(flat[t])
        return spikes.reshape(given.shape), potentials

    def _run_cycle(
        self, group: Sequence[str], n_steps: int, outputs: dict[str, Array], potentials: dict[str, Array]
    ) -> None:
        for name in group:
            outputs[name] = np.zeros((n_steps, *self.shapes[name]))
        states = {name: _State(self._neurons[name], self.steps) for name in group if name in self._neurons}
        potentials |= {name: np.zeros((n_steps, int(np.prod(self.shapes[name])))) for name in states}
        order = _without_populations(self.graph, group)
        for t in range(n_steps):
            for name in (*order, *states):
                given = np.zeros(self.shapes[self._before[name][0]])
                for before in self._before[name]:
                    delayed = before in states
                    if not delayed:
                        given = given + outputs[before][t]
                    elif t > 0:
                        given = given + outputs[before][t - 1]
                if name in states:
                    spikes, potentials[name][t] = states[name].step(given.reshape(-1))
                    outputs[name][t] = spikes.reshape(self.shapes[name])
                else:
                    outputs[name][t] = apply_node(self.graph, name, given[None], self.shapes[name])[0]


class _State:
    """v and I of a population."""

    def __init__(self, neurons: Neurons, steps: Steps) -> None:
        self._neurons, self._subtracts, self._at = neurons, steps.reset == "subtract", steps.comparator == "ge"
        self._v = np.zeros(len(neurons.alpha))
        self._i = np.zeros(len(neurons.alpha))

    def step(self, given: Array) -> tuple[Array, Array]:
        """(output, potential before the reset) of one step."""
        n = self._neurons
        self._i = n.beta * self._i + n.charge * given
        v = n.alpha * self._v + (n.gain * self._i + n.drift)
        self._v = v
        if n.threshold is None:
            return v, v
        fires = v >= n.threshold if self._at else v > n.threshold
        self._v = v - n.threshold * fires if self._subtracts else np.where(fires, n.v_reset, v)
        return fires.astype(np.float64), v


def apply_node(graph: Graph, name: str, given: Array, shape: Shape) -> Array:
    """Output [steps, *shape] of a node without memory; `given` is the sum of what comes to it."""
    node = graph.nodes[name]
    if node.kind in ("Linear", "Affine"):
        product = given.reshape(len(given), -1) @ node["weight"].T
        return product + node["bias"].reshape(-1) if node.kind == "Affine" else product
    if node.kind == "Conv2d":
        parts = [given[t : t + CHUNK_STEPS] for t in range(0, len(given), CHUNK_STEPS)]
        return np.concatenate([_convolve(node, part, padding_of(graph, name)) for part in parts])
    if node.kind in ("SumPool2d", "AvgPool2d"):
        return _pool(node, given)
    return given.reshape(len(given), *shape)  # Flatten and Output


def _windows(given: Array, kernel: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int]) -> Array:
    """[steps, channels, height', width', kernel height, kernel width]."""
    padded = np.pad(given, ((0, 0), (0, 0), (padding[0],) * 2, (padding[1],) * 2))
    windows = np.lib.stride_tricks.sliding_window_view(padded, kernel, axis=(2, 3))
    return windows[:, :, :: stride[0], :: stride[1]]


def _convolve(node: Node, given: Array, padding: tuple[int, int]) -> Array:
    weight, groups = node["weight"], int(node["groups"].reshape(-1)[0])
    kernel = (int(weight.shape[2]), int(weight.shape[3]))
    windows = _windows(given, kernel, node.pair("stride"), padding)
    n_in, n_out = windows.shape[1] // groups, weight.shape[0] // groups
    parts = []
    for group in range(groups):
        own = windows[:, group * n_in : (group + 1) * n_in].transpose(0, 2, 3, 1, 4, 5)
        patches = own.reshape(*own.shape[:3], -1)
        parts.append(patches @ weight[group * n_out : (group + 1) * n_out].reshape(n_out, -1).T)
    found: Array = np.concatenate(parts, axis=3).transpose(0, 3, 1, 2)
    biased: Array = found + node["bias"].reshape(-1, 1, 1)
    return biased


def _pool(node: Node, given: Array) -> Array:
    kernel = node.pair("kernel_size")
    sums: Array = _windows(given, kernel, node.pair("stride"), node.pair("padding")).sum(axis=(4, 5))
    divisor = kernel[0] * kernel[1] if node.kind == "AvgPool2d" else 1
    found: Array = sums / divisor
    return found


def _check_cycle(graph: Graph, group: Sequence[str]) -> None:
    """Every cycle needs a population, whose output of the step before it takes."""
    _without_populations(graph, group)


def _without_populations(graph: Graph, group: Sequence[str]) -> list[str]:
    """The other nodes of a cycle, each after those it takes from in the same step."""
    others = [name for name in group if graph.nodes[name].kind not in POPULATIONS]
    placed: list[str] = []
    while len(placed) < len(others):
        ready = [n for n in others if n not in placed and all(b in placed or b not in others for b in graph.before(n))]
        if not ready:
            stuck = next(name for name in others if name not in placed)
            raise graph.refuse(stuck, "lies in a cycle without a population; allowed are cycles through neurons")
        placed += ready
    return placed


__all__ = ["NirRun", "NirRunner", "apply_node"]
