"""Which weights an event reaches: connections, taps and blocks (docs/semantics.md, section 3)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from neurochip.spec import CoreSpec, LayerSpec
from neurochip.topology import Connection, Tap

Event = tuple[int, int]  # (address, magnitude)
Spikes = Mapping[int, Sequence[Event]]  # source -> its events of one step, addresses ascending; absent: none


class Wiring:
    """The taps and connections of every layer, written out once.

    Attributes:
        taps: [layer][input address] -> its taps.
        bias_taps: [layer][bias row] -> its taps; empty where the layer has no bias.
        connections: [layer] -> its connections in the order in which their events are delivered.
    """

    def __init__(self, spec: CoreSpec) -> None:
        self.taps = [[taps_of(layer, i) for i in range(layer.n_in)] for layer in spec.layers]
        self.bias_taps = [bias_taps_of(layer) for layer in spec.layers]
        self.connections = [spec.connections(index) for index in range(len(spec.layers))]

    def arrivals(self, index: int, now: Spikes, before: Spikes) -> list[Event]:
        """(input address, m) of every event that comes to a layer in a step, in the order of section 3.1.

        Args:
            index: the layer.
            now: events of this step.
            before: events of the step before, for connections with delay 1.
        """
        arrived = []
        for connection in self.connections[index]:
            spikes = before if connection.delay == 1 else now
            for source_address, m in spikes.get(connection.source, ()):
                address = connection.address(source_address)
                if address is not None:
                    arrived.append((address, m))
        return arrived


def taps_of(layer: LayerSpec, address: int) -> list[Tap]:
    """The taps (row, block) of an input address."""
    return [(address, 0)] if layer.conv is None else list(layer.conv.taps(address))


def bias_taps_of(layer: LayerSpec) -> list[list[Tap]]:
    """The taps of every bias row: one of a dense layer; for conv one row per group, with a tap for every position."""
    if not layer.bias:
        return []
    if layer.conv is None:
        return [[(layer.n_weight_rows, 0)]]
    groups, positions = layer.conv.groups, layer.conv.n_positions
    return [[(layer.n_weight_rows + group, q * groups + group) for q in range(positions)] for group in range(groups)]


def magnitudes(events: Iterable[Event]) -> dict[int, int]:
    """m_i: the sum of the magnitudes of the events that came to input address i."""
    sums: dict[int, int] = {}
    for address, m in events:
        sums[address] = sums.get(address, 0) + m
    return sums


def carries_error(connection: Connection) -> bool:
    """Section 3.4: delay 0, a hidden source, and not cut by the rule."""
    return connection.delay == 0 and connection.source >= 0 and connection.carries_error


def network_inputs(spec: CoreSpec) -> int:
    """Addresses of the input of the network, 0 if no layer takes events from it."""
    sizes = [c.n_source for index in range(len(spec.layers)) for c in spec.connections(index) if c.source < 0]
    return max(sizes, default=0)


def input_word(layer: LayerSpec, address: int, lanes: int) -> tuple[int, int]:
    """The M-word of an input address: (input block, word in it); a block is a group's channels at one position."""
    width = layer.n_in if layer.conv is None else layer.conv.channels // layer.conv.groups
    block, place = divmod(address, width)
    return block, place // lanes


def is_direct(spec: CoreSpec, index: int) -> bool:
    """Whether d of the source of layer `index` is formed without storing X (docs/microarchitecture.md, section 6)."""
    carrying = [c for c in spec.connections(index) if carries_error(c)]
    if len(carrying) != 1:
        return False
    source, pooled = carrying[0].source, carrying[0].pool_height * carrying[0].pool_width > 1
    recurrent = spec.credit == "unroll" and spec.recurrent_connection(source) is not None
    return not pooled and not recurrent and len(spec.error_connections(source)) == 1


def stores_partial_error(spec: CoreSpec, index: int, connection: Connection) -> bool:
    """Whether X of a connection of layer `index` lies in the error memory until all X of its source are there.

    It does where the connection carries error and is not direct, and, under unroll, where it is the delayed one.
    """
    if connection.delay == 1:
        return spec.credit == "unroll"
    return spec.credit != "none" and carries_error(connection) and not is_direct(spec, index)
