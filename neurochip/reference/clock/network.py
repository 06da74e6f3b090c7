"""How the network is worked: taps, groups of the forward phase, and ways of the error (docs/microarchitecture.md)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from neurochip.errors import UserError
from neurochip.spec import LEAK_NONE, NETWORK_INPUT, CoreSpec, LayerSpec
from neurochip.topology import Connection, Tap


class Gates(Protocol):
    """Which zeros the core skips."""

    @property
    def zero_trace(self) -> bool: ...
    @property
    def zero_error(self) -> bool: ...
    @property
    def zero_surrogate(self) -> bool: ...


@dataclass(frozen=True)
class Way:
    """Connections along which a layer gives its error back in one pass.

    Attributes:
        layer: whose weights are read.
        signal: layer whose signal words are read.
        numbers: which of the connections of the layer, in order.
        direct: whether d and g are formed in the flow; else X goes into x words.
    """

    layer: int
    signal: int
    numbers: tuple[int, ...]
    direct: bool


def is_head(spec: CoreSpec, layer: int) -> bool:
    """Whether a layer is a readout but not that of the network."""
    return spec.layers[layer].kind == "readout" and layer < len(spec.layers) - 1


def runs(spec: CoreSpec, layer: int, learn: bool) -> bool:
    """Whether a layer takes part in the forward phase."""
    return spec.layers[layer].kind != "feedback" and (learn or not is_head(spec, layer))


def learning_layers(spec: CoreSpec) -> list[int]:
    """Layers whose weights the rule changes; none if the rule does not learn."""
    layers = enumerate(spec.layers)
    return [index for index, layer in layers if spec.credit != "none" and layer.learns and layer.kind != "feedback"]


def readouts(spec: CoreSpec) -> list[int]:
    """The readout of the network and the heads, in order."""
    return [index for index, layer in enumerate(spec.layers) if layer.kind == "readout"]


def hidden_layers(spec: CoreSpec) -> list[int]:
    """Layers of neurons, in order."""
    return [index for index, layer in enumerate(spec.layers) if layer.is_hidden]


def carries_delta(spec: CoreSpec, layer: LayerSpec) -> bool:
    """Whether the signal of a layer is delta: hidden layers and leaky readouts under unroll."""
    leaky = layer.kind == "readout" and layer.leak_kind != LEAK_NONE
    return spec.credit == "unroll" and (layer.is_hidden or leaky)


def unrolls_recurrence(spec: CoreSpec, layer: int) -> bool:
    """Whether the error of a layer comes back along its own delayed connection."""
    return spec.credit == "unroll" and spec.recurrent_connection(layer) is not None


def n_network_inputs(spec: CoreSpec) -> int:
    """Addresses of the input of the network."""
    everything = (one for index in range(len(spec.layers)) for one in spec.connections(index))
    return max((one.n_source for one in everything if one.source == NETWORK_INPUT), default=0)


def taps_of(layer: LayerSpec, address: int) -> list[Tap]:
    """The taps of an input address."""
    return [(address, 0)] if layer.conv is None else list(layer.conv.taps(address))


def bias_taps(layer: LayerSpec) -> list[Tap]:
    """The taps of the bias as DELIVER takes them: all blocks in order, with the bias row of their group."""
    return [(layer.n_weight_rows + block % layer.n_bias_rows, block) for block in range(layer.n_blocks)]


def n_rows(layer: LayerSpec) -> int:
    """Rows of the weight matrix with those of the bias if there is one."""
    return layer.n_weight_rows + layer.n_bias_rows * int(layer.bias)


def groups(spec: CoreSpec, learn: bool) -> list[tuple[int, int | None]]:
    """(layer of DELIVER, layer of FIRE beside it) of the forward phase, in order.

    Raises:
        UserError: if a hidden layer never fires, or a layer needs its spikes before it does.
    """
    found: list[tuple[int, int | None]] = []
    fired: set[int] = set()
    for index in range(len(spec.layers)):
        if not runs(spec, index, learn):
            continue
        connections = spec.connections(index)
        first = connections[0]
        fires = first.source if first.delay == 0 and first.source >= 0 and first.source not in fired else None
        if fires is not None:
            fired.add(fires)
        found.append((index, fires))
        for one in connections:
            if one.delay == 0 and one.source >= 0 and one.source not in fired:
                raise UserError(
                    f"layer {index} takes spikes of layer {one.source} before that fires; ottt_core needs an earlier "
                    f"layer, or this one, to have layer {one.source} as the source of its first connection"
                )
    silent = [index for index in hidden_layers(spec) if index not in fired]
    if silent:
        raise UserError(
            f"layer {silent[0]} is not the source of the first connection of any later layer"
            f"{'' if learn else ' that runs without learning'}; ottt_core needs one to fire it beside"
        )
    return found


def error_ways(spec: CoreSpec) -> dict[int, Way]:
    """By layer the way in which it gives its error to the layers before; those that give none are left out."""
    ways = {}
    for index, layer in enumerate(spec.layers):
        connections = spec.connections(index)
        numbers = tuple(
            k for k, one in enumerate(connections) if one.delay == 0 and one.source >= 0 and one.carries_error
        )
        if numbers:
            signal = index if layer.signal_of is None else layer.signal_of
            ways[index] = Way(index, signal, numbers, _is_direct(spec, [connections[k] for k in numbers]))
    return ways


def _is_direct(spec: CoreSpec, carrying: Sequence[Connection]) -> bool:
    one = carrying[0]
    alone = len(carrying) == 1 and len(spec.error_connections(one.source)) == 1
    return alone and not is_pooled(one) and not unrolls_recurrence(spec, one.source)


def recurrent_way(spec: CoreSpec, layer: int) -> Way | None:
    """The way of a recurrent layer's own error of the step after, under unroll."""
    if not unrolls_recurrence(spec, layer):
        return None
    number = next(k for k, one in enumerate(spec.connections(layer)) if one.delay == 1)
    return Way(layer, layer, (number,), False)


def is_pooled(connection: Connection) -> bool:
    """Whether several neurons may share an input address, or have none."""
    return connection.pool_height * connection.pool_width > 1


def x_shape(spec: CoreSpec, connection: Connection) -> tuple[int, int]:
    """(rows, columns) of the x words of a connection, in the words of its source: pooled positions times groups.

    Raises:
        UserError: if the connection pools its source as a map that the source is not.
    """
    source = spec.layers[connection.source]
    if not is_pooled(connection):
        return source.n_blocks, source.columns
    conv = source.conv
    shape = (1, 1, source.n_out) if conv is None else (conv.out_height, conv.out_width, conv.out_channels)
    if (connection.height, connection.width, connection.channels) != shape or connection.channels_first:
        raise UserError(
            f"a connection pools layer {connection.source} as a map of {connection.height} x {connection.width} x "
            f"{connection.channels} and carries error; ottt_core does that only for the map it is, {shape}"
        )
    return connection.n_addresses // source.columns, source.columns


def x_addresses(connection: Connection) -> list[int | None]:
    """Input addresses of the numbers of the x words of a connection, in order."""
    if is_pooled(connection):
        return list(range(connection.offset, connection.offset + connection.n_addresses))
    return [connection.address(neuron) for neuron in range(connection.n_source)]


def check_network(spec: CoreSpec, gates: Gates) -> None:
    """Refuse networks that docs/microarchitecture.md does not know.

    Raises:
        UserError: naming the layer and what is allowed.
    """
    groups(spec, learn=False)
    if spec.credit == "none":
        return
    groups(spec, learn=True)
    recurrent = [index for index in range(len(spec.layers)) if unrolls_recurrence(spec, index)]
    if recurrent and not (gates.zero_trace and gates.zero_error and gates.zero_surrogate):
        raise UserError(
            f"layer {recurrent[0]} is recurrent and the rule unrolls it; ottt_core then needs all gates (zero_trace, "
            "zero_error, zero_surrogate) on"
        )
