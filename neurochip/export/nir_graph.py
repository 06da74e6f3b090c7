"""A network as a NIR graph of real numbers q 2^-frac, with formats, rule and the meaning of time beside (docs/nir.md).

Weights stay what they are: R = tau/dt, and w_in = tau_syn/dt, make a spike count its weight. Heads and feedback
layers of a rule are no part of the network and are left out.
"""

from __future__ import annotations

import io
import json
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurochip._version import __version__
from neurochip.errors import UserError
from neurochip.export.document import document_of
from neurochip.export.load import Learned
from neurochip.network.bias_rows import as_real
from neurochip.spec import LEAK_NONE, LEAK_SHIFT, NETWORK_INPUT, LayerSpec
from neurochip.topology import Connection

FILE = "network.nir"
DEFAULT_DT = 1e-3  # seconds; time constants are in steps of it
FOREVER = 2.0**60  # steps, a time constant without leak: 1 - 1 / FOREVER is 1 in floating point
NOT_HERE = "--format nir"
Shape = tuple[int, ...]
Array = NDArray[np.float64]


def nir_files(learned: Learned) -> dict[str, bytes]:
    """The file `network.nir`.

    Raises:
        UserError: the package nir is not installed, or the network has what a NIR graph cannot say.
    """
    nir = _package()
    written = io.BytesIO()
    nir.write(written, graph_of(learned))
    return {FILE: written.getvalue()}


def graph_of(learned: Learned) -> Any:
    """The nir.NIRGraph of a network; errors as `nir_files`."""
    return _Graph(_package(), learned).graph()


def _package() -> Any:
    try:
        import nir
    except ImportError as error:
        raise UserError(f"{NOT_HERE} needs the package nir; install neurochip[nir]") from error
    return nir


class _Graph:
    """The nodes and edges so far."""

    def __init__(self, nir: Any, learned: Learned) -> None:
        self._nir, self._learned, self._spec = nir, learned, learned.spec
        self._dt = learned.dt or DEFAULT_DT
        self._nodes: dict[str, Any] = {}
        self._edges: list[tuple[str, str]] = []
        self._own = [*(i for i, layer in enumerate(self._spec.layers) if layer.is_hidden), len(self._spec.layers) - 1]
        self._input = self._input_shape()

    def graph(self) -> Any:
        """All layers of the network between an Input and an Output."""
        nir, spec = self._nir, self._spec
        resets = sorted({layer.reset for layer in spec.layers if layer.is_hidden}) or ["subtract"]
        if len(resets) > 1:
            raise UserError(f"{NOT_HERE}: the layers have the resets subtract and zero; allowed is one for all")
        self._nodes["input"] = nir.Input(input_type=np.array(self._input))
        for index in self._own:
            self._add_layer(index)
        n_outputs = spec.layers[-1].n_out
        self._nodes["output"] = nir.Output(output_type=np.array([n_outputs]))
        formats = {
            "weight_bits": spec.weight_bits,
            "weight_frac": [spec.layers[index].frac_weight for index in self._own],
            "membrane_frac": [spec.layers[index].frac_potential for index in self._own[:-1]],
            "readout_frac": spec.layers[-1].frac_potential,
        }
        metadata = {
            "neurochip": __version__,
            "dt": self._dt,
            "scheme": "euler",
            "reset": resets[0],
            "comparator": "ge",
            "rule": self._learned.rule,
            "classes": json.dumps(list(self._learned.classes)),
            "formats": json.dumps(formats),
            "document": json.dumps(document_of(self._learned), ensure_ascii=False, allow_nan=False),
        }
        return nir.NIRGraph(nodes=self._nodes, edges=self._edges, metadata=metadata, type_check=False)

    def _input_shape(self) -> Shape:
        """[channels, height, width] where some layer sees the input as a map, else the number of its addresses."""
        spec = self._spec
        every = [c for index in self._own for c in spec.connections(index) if c.source == NETWORK_INPUT]
        maps = {(c.channels, c.height, c.width) for c in every if c.height * c.width > 1 or c.channels_first}
        if len(maps) > 1:
            raise UserError(f"{NOT_HERE}: the input is seen as the maps {sorted(maps)}; allowed is one")
        return maps.pop() if maps else (spec.n_inputs,)

    def _shape_of(self, source: int) -> Shape:
        """The output of the input or of a hidden layer: a map, channels first, or (n,)."""
        if source == NETWORK_INPUT:
            return self._input
        conv = self._spec.layers[source].conv
        layer = self._spec.layers[source]
        return (layer.n_out,) if conv is None else (conv.out_channels, conv.out_height, conv.out_width)

    def _add_layer(self, index: int) -> None:
        spec, layer = self._spec, self._spec.layers[index]
        connections = spec.connections(index)
        inputs = [c for c in connections if c.delay == 0]
        here, shape = self._add_inputs(index, layer, inputs)
        weights, bias = self._real(index)
        name = f"layer{index}_weights"
        if layer.conv is not None:
            self._nodes[name] = self._convolution(layer, weights, bias, shape)
        else:
            n_rows = inputs[0].n_addresses
            order = _rows_of(self._channels_last(inputs), shape)
            own = np.empty_like(weights[:n_rows])
            own[order] = weights[:n_rows]
            self._nodes[name] = self._matrix(own, bias if layer.bias else None)
        self._connect(here, name)
        neurons = self._neurons(index, layer)
        if neurons is None:
            self._nodes[name].metadata = {"bias": layer.bias}
            self._edges.append((name, "output"))
            return
        self._nodes[f"layer{index}_neurons"] = neurons
        self._edges.append((name, f"layer{index}_neurons"))
        if not layer.is_hidden:
            self._edges.append((f"layer{index}_neurons", "output"))
        recurrent = spec.recurrent_connection(index)
        if recurrent is not None:
            if layer.conv is not None or recurrent.pool_height * recurrent.pool_width > 1:
                raise UserError(f"{NOT_HERE}: layer {index} is recurrent and no dense one; allowed is dense")
            back = f"layer{index}_recurrent"
            own = weights[recurrent.offset : recurrent.offset + layer.n_out]
            self._nodes[back] = self._matrix(own, None)
            self._edges += [(f"layer{index}_neurons", back), (back, f"layer{index}_neurons")]

    def _add_inputs(self, index: int, layer: LayerSpec, inputs: list[Connection]) -> tuple[list[str], Shape]:
        """Pools and a flatten before a layer: (nodes that lead to it, shape of what comes, before a flatten)."""
        first = inputs[0]
        here = ["input" if c.source == NETWORK_INPUT else f"layer{c.source}_neurons" for c in inputs]
        shape = self._shape_of(first.source)
        if any(self._shape_of(c.source) != shape or c.offset for c in inputs) or len(set(here)) < len(here):
            raise UserError(f"{NOT_HERE}: layer {index} takes events of maps that differ, or twice; allowed is one sum")
        for number, (kind, kernel) in enumerate(_pools(index, layer, first)):
            name = f"layer{index}_pool{number}"
            size = np.array(kernel)
            self._nodes[name] = getattr(self._nir, kind)(kernel_size=size, stride=size, padding=np.zeros(2, int))
            self._connect(here, name)
            here, shape = [name], (shape[0], shape[1] // kernel[0], shape[2] // kernel[1])
        if layer.conv is None and len(shape) == 3:
            name = f"layer{index}_flatten"
            self._nodes[name] = self._nir.Flatten(input_type=np.array(shape), start_dim=0, end_dim=-1)
            self._connect(here, name)
            here = [name]
        return here, shape

    def _connect(self, here: list[str], name: str) -> None:
        self._edges += [(before, name) for before in here]

    @staticmethod
    def _channels_last(inputs: list[Connection]) -> bool:
        """Whether the addresses of a map that becomes a list have the channels last."""
        first = inputs[0]
        return first.source != NETWORK_INPUT or len(inputs) > 1 or first.channels_first

    def _real(self, index: int) -> tuple[Array, Array]:
        """(rows of weights, bias rows) as real numbers."""
        layer = self._spec.layers[index]
        rows = as_real(layer, self._learned.weights[index])
        return rows[: layer.n_weight_rows], rows[layer.n_weight_rows :] * layer.bias

    def _matrix(self, rows: Array, bias: Array | None) -> Any:
        weight = np.ascontiguousarray(rows.T)
        return self._nir.Linear(weight=weight) if bias is None else self._nir.Affine(weight=weight, bias=bias[0])

    def _convolution(self, layer: LayerSpec, rows: Array, bias: Array, shape: Shape) -> Any:
        conv = layer.conv
        if conv is None or shape != (conv.channels, conv.height, conv.width):
            raise UserError(f"{NOT_HERE}: a convolution sees its input as another map than {shape}; allowed is that")
        kernel = (conv.kernel_height, conv.kernel_width)
        parts = [p.T.reshape(conv.columns, -1, *kernel) for p in np.split(rows, conv.groups)]
        return self._nir.Conv2d(
            input_shape=(conv.height, conv.width),
            weight=np.ascontiguousarray(np.concatenate(parts)),
            stride=(conv.stride_y, conv.stride_x),
            padding=(conv.padding_y, conv.padding_x),
            dilation=(1, 1),
            groups=conv.groups,
            bias=bias.reshape(-1),
        )

    def _neurons(self, index: int, layer: LayerSpec) -> Any:
        """The population of a layer; None for a readout without memory."""
        if not layer.is_hidden and layer.leak_kind == LEAK_NONE:
            return None
        shape = self._shape_of(index) if layer.is_hidden else (layer.n_out,)
        noted = {"leak_kind": layer.leak_kind, "leak_value": layer.leak_value, "bias": layer.bias}
        if layer.has_current:
            noted |= {"current_leak_kind": layer.current_leak_kind, "current_leak_value": layer.current_leak_value}
        leak = _factor(layer.leak_kind, layer.leak_value)

        def all_neurons(value: float) -> Array:
            return np.full(shape, value)

        given: dict[str, Any] = {"metadata": noted}
        if layer.is_hidden:
            given["v_threshold"] = all_neurons(layer.threshold_q * 2.0**-layer.frac_potential)
        if leak == 1.0 and not layer.has_current:
            return getattr(self._nir, "IF" if layer.is_hidden else "I")(r=all_neurons(1.0), **given)
        tau = self._tau(leak)
        given |= {"r": all_neurons(tau / self._dt), "v_leak": all_neurons(0.0)}
        if not layer.has_current:
            return getattr(self._nir, "LIF" if layer.is_hidden else "LI")(tau=all_neurons(tau), **given)
        tau_syn = self._tau(_factor(layer.current_leak_kind, layer.current_leak_value))
        given |= {"tau_mem": all_neurons(tau), "tau_syn": all_neurons(tau_syn), "w_in": all_neurons(tau_syn / self._dt)}
        return getattr(self._nir, "CubaLIF" if layer.is_hidden else "CubaLI")(**given)

    def _tau(self, leak: float) -> float:
        """The time constant of a factor per step, with forward Euler."""
        return self._dt * FOREVER if leak == 1.0 else self._dt / (1.0 - leak)


def _factor(kind: str, value: int) -> float:
    return 1.0 - 2.0**-value if kind == LEAK_SHIFT else value / 65536.0


def _pools(index: int, layer: LayerSpec, connection: Connection) -> list[tuple[str, tuple[int, int]]]:
    """The pools of a connection: an average over 2^frac_m places, then a sum over the rest of the window."""
    window = (connection.pool_height, connection.pool_width)
    if window == (1, 1):
        return []
    averaged = 1 << layer.frac_event
    fitting = [
        (high, averaged // high)
        for high in range(1, averaged + 1)
        if averaged % high == 0 and window[0] % high == 0 and window[1] % (averaged // high) == 0
    ]
    if not fitting:
        raise UserError(f"{NOT_HERE}: layer {index} averages {averaged} places of a window {window}; allowed is a part")
    high, wide = fitting[len(fitting) // 2]
    pools = [("AvgPool2d", (high, wide)), ("SumPool2d", (window[0] // high, window[1] // wide))]
    return [(kind, kernel) for kind, kernel in pools if kernel != (1, 1)]


def _rows_of(channels_last: bool, shape: Shape) -> NDArray[np.int64]:
    """Position in the flattened (channels, height, width) of every address."""
    order: NDArray[np.int64] = np.arange(math.prod(shape)).reshape(shape)
    return order.transpose(1, 2, 0).reshape(-1) if channels_last and len(shape) == 3 else order.reshape(-1)


__all__ = ["DEFAULT_DT", "FILE", "graph_of", "nir_files"]
