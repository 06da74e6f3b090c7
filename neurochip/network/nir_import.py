"""From a NIR graph to the layers of `[network]` and their real weights, in the order of rows and columns of the core.

What the core does not have is refused with the name of the node; what is only near is kept in `ImportedLayer.notes`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurochip.config_nir import NirTable
from neurochip.network.nir_chain import Link, chain_of
from neurochip.network.nir_file import POOLS, Graph
from neurochip.network.nir_imported import Imported, ImportedLayer, formats_of, steps_of
from neurochip.network.nir_leaks import SAME
from neurochip.network.nir_neurons import Steps
from neurochip.network.nir_shapes import Shape, channels_last_order, infer_shapes, padding_of
from neurochip.network.nir_states import State, state_of

Array = NDArray[np.float64]


def import_graph(graph: Graph, table: NirTable) -> Imported:
    """Make the layers of a graph.

    Raises:
        UserError: naming the node that the core does not have.
    """
    steps, shapes = steps_of(graph, table), infer_shapes(graph)
    building = _Building(graph, steps, shapes, table)
    for link in chain_of(graph):
        building.add(link)
    start = shapes[graph.only("Input")]
    return Imported(
        graph=graph,
        steps=steps,
        tables=tuple(building.tables),
        layers=tuple(building.layers),
        input_shape=(start[0], start[1], start[2]) if len(start) == 3 else None,
        n_inputs=math.prod(start),
        n_outputs=building.layers[-1].weights.shape[1],
        formats=formats_of(graph, table),
    )


class _Building:
    """The layers so far."""

    def __init__(self, graph: Graph, steps: Steps, shapes: Mapping[str, Shape], table: NirTable) -> None:
        self.tables: list[dict[str, Any]] = []
        self.layers: list[ImportedLayer] = []
        self._graph, self._steps, self._shapes, self._table = graph, steps, shapes, table
        self._is_own = "neurochip" in graph.metadata
        self._last = graph.only("Input")
        self._place: dict[str, int] = {}  # population -> its entry of `tables`

    def add(self, link: Link) -> None:
        """Add a layer and what lies before it."""
        with np.errstate(over="ignore", invalid="ignore"):
            self._add(link)

    def _add(self, link: Link) -> None:
        channels_last = self._add_path(link)
        if link.is_last:
            layer = self._readout(link, channels_last)
        else:
            layer = self._hidden(link, channels_last)
            self._place[str(link.population)] = len(self.tables)
            self._last = str(link.population)
        if not np.isfinite(layer.weights).all():
            raise self._graph.refuse(
                link.weights, "has weights that are beyond all numbers with the R and tau behind it"
            )
        self.tables.append(layer.table)
        self.layers.append(layer)

    def _add_path(self, link: Link) -> bool:
        """Write pools, flattens and adds; returns whether a map has its channels last."""
        graph = self._graph
        changed = self._last != graph.only("Input")
        for name, added in link.path:
            for other in added:
                self.tables.append({"kind": "add", "layer": self._name_of(other)})
                changed = True
            node = graph.nodes[name]
            if node.kind in POOLS:
                kernel = node.pair("kernel_size")
                if node.pair("stride") != kernel or node.pair("padding") != (0, 0):
                    raise graph.refuse(name, "has windows that overlap or stand apart, or padding; allowed is stride = "
                                             "kernel_size without padding")  # fmt: skip
                if node.kind == "AvgPool2d" and (kernel[0] * kernel[1]).bit_count() != 1:
                    raise graph.refuse(name, f"averages {kernel[0]} x {kernel[1]} values; allowed are powers of two")
                kind = "avgpool" if node.kind == "AvgPool2d" else "sumpool"
                self.tables.append({"kind": kind, "kernel": list(kernel)})
                changed = changed or kernel != (1, 1)
            elif node.kind == "Flatten":
                self.tables.append({"kind": "flatten"})
        return changed

    def _name_of(self, node: str) -> str:
        if node == self._graph.only("Input"):
            return "input"
        name = f"nir {node}"
        self.tables[self._place[node]]["name"] = name
        return name

    def _hidden(self, link: Link, channels_last: bool) -> ImportedLayer:
        graph, name = self._graph, str(link.population)
        shape, state = self._shapes[name], self._state(link)
        if state.threshold is None:
            raise graph.refuse(name, "never fires and is not the last; allowed there are IF, LIF and CubaLIF")
        if self._steps.reset == "zero" and state.v_reset.any():
            raise graph.refuse(name, "has a v_reset other than 0; the core resets to 0 or subtracts the threshold")
        # Learning starts from thresholds of 1, whatever the unit of the file; our own files stay as they are.
        threshold = float(state.threshold.max()) if self._is_own else 1.0
        scale = threshold / state.threshold
        factor, drift, notes = state.factor * scale, state.drift * scale, state.notes
        if not _same(state.threshold):
            notes += ("the thresholds of its neurons differ; each has its weights in thresholds of its own",)
        node = graph.nodes[link.weights]
        table: dict[str, Any]
        if node.kind == "Conv2d":
            weights = self._convolution(link, factor, drift, shape)
            kernel, padding = node["weight"].shape[2:], padding_of(graph, link.weights)
            table = {
                "kind": "conv2d", "channels": shape[0], "kernel": [int(k) for k in kernel],
                "stride": list(node.pair("stride")), "padding": list(padding), "groups": int(node["groups"].item()),
            }  # fmt: skip
            n_bias = table["groups"]
        else:
            rows, bias = self._matrix(link.weights, channels_last)
            if link.recurrent is not None:
                own, own_bias = self._matrix(link.recurrent, False)
                rows, bias = np.concatenate([rows, own]), bias + own_bias
            weights = np.concatenate([rows * factor, (bias * factor + drift)[None]])
            table = {"kind": "dense", "neurons": shape[0], "recurrent": link.recurrent is not None}
            n_bias = 1
        has_bias = _has_bias(graph.nodes[name].metadata, weights[-n_bias:])
        table |= state.leaks() | {
            "threshold": threshold, "reset": self._steps.reset, "bias": has_bias, "comparator": self._steps.comparator,
        }  # fmt: skip
        unit = None if self._is_own else _unit(state.threshold)
        return ImportedLayer(link.weights, name, table, weights, state.potential, state.current, notes, unit)

    def _readout(self, link: Link, channels_last: bool) -> ImportedLayer:
        """The last weights; neurons behind them become the leak of the readout, their threshold its unit."""
        graph, name = self._graph, link.population
        if graph.nodes[link.weights].kind == "Conv2d":
            raise graph.refuse(link.weights, "is the last with weights; the readout needs a Linear or Affine")
        if link.recurrent is not None:
            raise graph.refuse(str(name), "is the last and takes its own spikes back; allowed are hidden layers")
        rows, bias = self._matrix(link.weights, channels_last)
        state = None if name is None else self._state(link)
        notes: tuple[str, ...] = () if state is None else state.notes
        unit = None
        if state is not None:
            factor, drift = state.factor, state.drift
            if state.threshold is not None:
                notes = ("its neurons became the readout: potentials without reset, summed, not counted spikes", *notes)
                scale, unit = 1.0 / state.threshold, _unit(state.threshold)
                factor, drift = factor * scale, drift * scale
            rows, bias = rows * factor, bias * factor + drift
        weights = self._chosen(np.concatenate([rows, bias[None]]))
        table: dict[str, Any] = {"kind": "readout"} | ({} if state is None else state.leaks())
        table["bias"] = _has_bias(graph.nodes[name or link.weights].metadata, weights[-1:])
        potential, current = (None, None) if state is None else (state.potential, state.current)
        return ImportedLayer(link.weights, name, table, weights, potential, current, notes, unit)

    def _chosen(self, weights: Array) -> Array:
        chosen = self._table.outputs
        if chosen is None:
            return weights
        n_outputs = weights.shape[1]
        if max(chosen) >= n_outputs or len(set(chosen)) < len(chosen):
            raise self._graph.refuse(
                self._graph.only("Output"),
                f"has {n_outputs} values; network.nir.outputs = {chosen} needs different numbers from 0 to "
                f"{n_outputs - 1}",
            )
        return np.ascontiguousarray(weights[:, chosen])

    def _state(self, link: Link) -> State:
        name = str(link.population)
        synapse, is_last = self._table.synapse, link.is_last
        return state_of(self._graph, name, self._shapes[name], self._steps, synapse, is_last=is_last)

    def _matrix(self, name: str, channels_last: bool) -> tuple[Array, Array]:
        """([inputs, outputs], bias) of a Linear or Affine; inputs of a flattened map in the order of our addresses."""
        node = self._graph.nodes[name]
        rows = node["weight"].T
        bias = np.zeros(rows.shape[1])
        if node.kind == "Affine":
            bias = np.broadcast_to(node["bias"].reshape(-1), bias.shape)
        if channels_last:
            rows = rows[channels_last_order(self._map_before(name))]
        return rows, bias

    def _map_before(self, name: str) -> Shape:
        """The shape of the input of a weight, before it was flattened."""
        graph = self._graph
        while True:
            before = graph.before(name)[0]
            if graph.nodes[before].kind != "Flatten":
                return self._shapes[before]
            name = before

    def _convolution(self, link: Link, factor: Array, drift: Array, shape: Shape) -> Array:
        """Rows (c k_h + k_y) k_w + k_x, columns: channels of a group; then one bias row per group."""
        graph, node = self._graph, self._graph.nodes[link.weights]
        per_channel = []
        for what, values in (("gains and thresholds", factor), ("v_leak", drift)):
            by_channel = values.reshape(shape[0], -1)
            if not all(_same(row) for row in by_channel):
                raise graph.refuse(
                    str(link.population), f"has {what} that differ within a channel; allowed is one per channel"
                )
            per_channel.append(by_channel[:, 0])
        gain, drifts = per_channel
        weight, groups = node["weight"] * gain[:, None, None, None], int(node["groups"].item())
        bias = np.broadcast_to(node["bias"].reshape(-1), gain.shape) * gain + drifts
        n_columns = shape[0] // groups
        rows = [part.reshape(n_columns, -1).T for part in np.split(weight, groups)]
        return np.concatenate([*rows, bias.reshape(groups, n_columns)])


def _unit(values: Array) -> tuple[float, float]:
    """Lowest and highest of some values."""
    return float(values.min()), float(values.max())


def _has_bias(noted: Mapping[str, Any], bias: Array) -> bool:
    """As neurochip noted it; else whether some bias is not 0."""
    return bool(bias.any()) or bool(noted.get("bias", False))


def _same(values: Array) -> bool:
    return bool(np.ptp(values) <= SAME * np.abs(values).max())


__all__ = ["import_graph"]
