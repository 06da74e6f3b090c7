"""D of semantics 3.5 in numpy, from what a pass probed: presynaptic factors and signals of every layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from neurochip.spec import NETWORK_INPUT
from neurochip.topology import Connection, LayerGeometry

if TYPE_CHECKING:
    from neurochip.events import EventDataset

Probes = Mapping[str, NDArray[Any]]
Array = NDArray[Any]
MAX_CONV_CELLS = 1 << 26  # positions x rows of one layer, above which its patches are not formed


class Network(Protocol):
    """What an integer and a real-valued specification have in common."""

    def connections(self, layer: int) -> tuple[Connection, ...]: ...


def event_magnitudes(data: EventDataset) -> NDArray[np.int64]:
    """The events of a data set as an array, [samples, steps, inputs]."""
    cells = np.zeros((data.n_samples * data.n_steps, data.n_inputs), dtype=np.int64)
    of_event = np.repeat(np.arange(len(cells)), np.diff(data.step_offsets))
    cells[of_event, data.addresses] = data.magnitudes
    return cells.reshape(data.n_samples, data.n_steps, data.n_inputs)


def input_magnitudes(network: Network, layer: int, n_in: int, events: Array, probes: Probes) -> NDArray[np.int64]:
    """m of the inputs of a layer, [samples, steps, n_in]: the events of its connections, summed per input address.

    Args:
        network: its connections.
        layer, n_in: the layer and its input addresses.
        events: those of the input of the network, [samples, steps, inputs].
        probes: "spike/l" of the layers it takes events from, [samples, steps, n_out].
    """
    found = np.zeros((n_in, *events.shape[:2]), dtype=np.int64)
    for connection in network.connections(layer):
        source = connection.source
        values = events if source == NETWORK_INPUT else np.asarray(probes[f"spike/{source}"], dtype=np.int64)
        if connection.delay:
            values = np.concatenate([np.zeros_like(values[:, :1]), values[:, :-1]], axis=1)
        pairs = [(one, connection.address(one)) for one in range(connection.n_source)]
        kept = [(one, address) for one, address in pairs if address is not None]
        sources, addresses = np.array(kept, dtype=np.int64).reshape(-1, 2).T
        np.add.at(found, addresses, np.moveaxis(values[:, :, sources], 2, 0))
    return np.moveaxis(found, 0, 2)


class Taps:
    """The taps of a layer as an index, so that D is a product of matrices."""

    def __init__(self, layer: LayerGeometry) -> None:
        """Read the taps of a layer; a dense one has one position, at which row r belongs to input r."""
        conv = layer.conv
        self.is_dense = conv is None
        self.columns = layer.columns
        self.n_rows = layer.n_weight_rows
        self.groups = conv.groups if conv is not None else 1
        self.n_positions = conv.n_positions if conv is not None else 1
        self._input_of = np.arange(layer.n_in)[None]
        self._group_of = np.zeros(self.n_rows, dtype=np.int64)
        if conv is not None:
            self._input_of = np.full((self.n_positions, self.n_rows), layer.n_in)  # n_in: the padding
            for address in range(layer.n_in):
                for row, block in conv.taps(address):
                    self._input_of[block // self.groups, row] = address
            kernel = conv.kernel_height * conv.kernel_width
            self._group_of = np.arange(self.n_rows) // kernel // (conv.channels // conv.groups)

    def products(self, p: Array, bias: float, signal: Array) -> NDArray[np.float64]:
        """D, [n_weight_rows + n_bias_rows, columns]; exact for integers, which have less than 2^53.

        Args:
            p: presynaptic factors of the inputs, [n_in].
            bias: that of the bias rows; 0: none.
            signal: [n_out].
        """
        if self.is_dense:
            return self._dense_products(np.asarray(p), bias, np.asarray(signal))
        patches = np.append(np.asarray(p, dtype=np.float64), 0.0)[self._input_of]
        signals = np.asarray(signal, dtype=np.float64).reshape(self.n_positions, self.groups, self.columns)
        found = np.empty((self.n_rows + self.groups, self.columns))
        for group in range(self.groups):
            rows = np.flatnonzero(self._group_of == group)
            found[rows] = patches[:, rows].T @ signals[:, group]
        found[self.n_rows :] = bias * signals.sum(axis=0)
        return found

    def _dense_products(self, p: Array, bias: float, signal: Array) -> NDArray[np.float64]:
        """The same of a dense layer; most inputs of a step have no event, and their rows stay 0."""
        found = np.zeros((self.n_rows + 1, self.columns))
        rows = np.flatnonzero(p)
        found[rows] = np.multiply.outer(p[rows].astype(np.float64), signal)
        found[self.n_rows] = bias * signal
        return found


def is_small_enough(layer: LayerGeometry) -> bool:
    """Whether D of a layer can be formed here: its patches fit the memory of an ordinary machine."""
    return layer.conv is None or layer.conv.n_positions * layer.n_weight_rows <= MAX_CONV_CELLS


def learning_layers(spec: Any) -> list[int]:
    """Layers whose weights change."""
    return [i for i, layer in enumerate(spec.layers) if layer.learns and layer.kind != "feedback"]
