"""Connections as tables: where an event of a source goes, and in which runs of neighbours (semantics section 3).

Events carry the storage address of their neuron: block times stride plus column. It differs from the address of the
page only where the columns of a convolution are padded; the maps here take the one and give the other.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from neurochip.core import columns as col
from neurochip.spec import NETWORK_INPUT, CoreSpec, LayerSpec
from neurochip.topology import Connection

DROPPED = -1
ROW_PAD = 16


def padded(columns: int) -> int:
    """Round a number of columns up to whole pads."""
    return -(-columns // ROW_PAD) * ROW_PAD


def storage_width(layer: LayerSpec) -> int:
    """Entries of the outputs of a layer: every block padded; a layer without neurons has none."""
    return 0 if layer.kind == "feedback" else layer.n_blocks * padded(layer.columns)


def network_inputs(spec: CoreSpec) -> int:
    """Addresses of the input of the network."""
    connections = [c for index in range(len(spec.layers)) for c in spec.connections(index)]
    return max((c.n_source for c in connections if c.source == NETWORK_INPUT), default=0)


@dataclass
class Routes:
    """Tables of the connections of all layers."""

    connections: list[list[int]] = field(default_factory=list)
    maps: list[NDArray[np.int32]] = field(default_factory=list)
    runs: list[NDArray[np.int64]] = field(default_factory=list)
    links: list[list[int]] = field(default_factory=list)
    first_of_layer: list[int] = field(default_factory=list)


def input_addresses(connection: Connection) -> NDArray[np.int32]:
    """Input address of every source address, DROPPED where the pool drops it; int32 [n_source]."""
    source = np.arange(connection.n_source)
    height, width, channels = connection.height, connection.width, connection.channels
    if connection.channels_first:
        c, y, x = np.unravel_index(source, (channels, height, width))
    else:
        y, x, c = np.unravel_index(source, (height, width, channels))
    rows, columns = height // connection.pool_height, width // connection.pool_width
    y, x = y // connection.pool_height, x // connection.pool_width
    address = connection.offset + (y * columns + x) * channels + c
    kept: NDArray[np.int32] = np.where((y < rows) & (x < columns), address, DROPPED).astype(np.int32)
    return kept


def storage_map(spec: CoreSpec, connection: Connection) -> NDArray[np.int32]:
    """Input address of every storage address of the source; int32 [storage width of the source]."""
    addresses = input_addresses(connection)
    if connection.source == NETWORK_INPUT:
        return addresses
    source = spec.layers[connection.source]
    blocks = np.full((source.n_blocks, padded(source.columns)), DROPPED, dtype=np.int32)
    blocks[:, : source.columns] = addresses.reshape(source.n_blocks, source.columns)
    return blocks.ravel()


def runs_of(addresses: NDArray[np.int32]) -> NDArray[np.int64]:
    """Longest stretches in which source and input address ascend together, int64 [n_runs, N_RUN_COLUMNS]."""
    kept = np.flatnonzero(addresses != DROPPED)
    if len(kept) == 0:
        return np.zeros((0, col.N_RUN_COLUMNS), dtype=np.int64)
    breaks = np.flatnonzero((np.diff(kept) != 1) | (np.diff(addresses[kept]) != 1)) + 1
    starts = np.concatenate([[0], breaks])
    lengths = np.diff(np.concatenate([starts, [len(kept)]]))
    return np.stack([kept[starts], addresses[kept[starts]], lengths], axis=1).astype(np.int64)


def carries(connection: Connection) -> bool:
    """Whether it brings its source the error of the same step."""
    return connection.carries_error and connection.delay == 0 and connection.source != NETWORK_INPUT


def is_identity(addresses: NDArray[np.int32], connection: Connection) -> bool:
    """Whether every neuron of the source keeps its storage address. addresses: the map of the connection."""
    kept = np.flatnonzero(addresses != DROPPED)
    return len(kept) == connection.n_source and bool((addresses[kept] == kept).all())


def build_routes(spec: CoreSpec, events_at: list[int], output_at: list[int]) -> Routes:
    """Tables of all connections. events_at: where the events of a slot begin; output_at: the outputs of a layer."""
    routes = Routes()
    map_at = run_at = 0
    for index in range(len(spec.layers)):
        routes.first_of_layer.append(len(routes.connections))
        for connection in spec.connections(index):
            addresses = storage_map(spec, connection)
            learns_by = carries(connection) or connection.delay == 1
            runs = runs_of(addresses) if learns_by else np.zeros((0, col.N_RUN_COLUMNS), dtype=np.int64)
            row = [0] * col.N_CONNECTION_COLUMNS
            row[col.SOURCE_SLOT], row[col.DELAY] = connection.source + 1, connection.delay
            row[col.EVENTS_AT], row[col.MAP_AT] = events_at[connection.source + 1], map_at
            row[col.FIRST_RUN], row[col.N_RUNS] = run_at, len(runs)
            row[col.CARRIES_ERROR] = carries(connection)
            row[col.PSI_AT] = output_at[connection.source] if connection.source != NETWORK_INPUT else 0
            routes.connections.append(row)
            routes.maps.append(addresses)
            routes.runs.append(runs)
            map_at += len(addresses)
            run_at += len(runs)
    routes.first_of_layer.append(len(routes.connections))
    return routes


def _is_direct(connections: tuple[Connection, ...], addresses: NDArray[np.int32]) -> bool:
    return len(connections) == 1 and connections[0].delay == 0 and is_identity(addresses, connections[0])


def connect_layer(spec: CoreSpec, index: int, routes: Routes, row: NDArray[np.int64]) -> None:
    """Fill the columns of the layer table that say where events and errors come from."""
    first, connections = routes.first_of_layer[index], spec.connections(index)
    row[[col.FIRST_CONNECTION, col.N_CONNECTIONS]] = first, len(connections)
    row[col.IS_DIRECT] = _is_direct(connections, routes.maps[first])
    row[col.BINARY_EVENTS] = spec.event_bits == 1 or all(c.source != NETWORK_INPUT for c in connections)
    row[col.RECURRENT] = -1
    row[col.FIRST_LINK] = len(routes.links)
    row[col.GIVES_ERROR] = any(carries(c) for c in connections)
    if spec.credit == "none" or not spec.layers[index].is_hidden:
        return
    delayed = [first + k for k, c in enumerate(connections) if c.delay == 1]
    if delayed and spec.credit == "unroll":
        layer = spec.layers[index]
        row[[col.RECURRENT, col.RECURRENT_SHIFT]] = delayed[0], layer.frac_weight + layer.frac_event
    for consumer in range(index + 1, len(spec.layers)):
        for k, connection in enumerate(spec.connections(consumer)):
            if connection.source == index and carries(connection):
                number = routes.first_of_layer[consumer] + k
                routes.links.append([number, consumer, spec.error_shift(index, consumer)])
    row[col.N_LINKS] = len(routes.links) - row[col.FIRST_LINK]


def fuse_links(spec: CoreSpec, routes: Routes, table: NDArray[np.int64]) -> None:
    """Mark the layers whose error comes straight from the rows of one other layer: sums need not be kept for it."""
    for index in range(len(spec.layers)):
        if table[index, col.N_LINKS] != 1 or table[index, col.RECURRENT] >= 0:
            continue
        number, consumer, _ = routes.links[table[index, col.FIRST_LINK]]
        carrying = [c for c in spec.connections(consumer) if carries(c)]
        is_dense = spec.layers[consumer].kind != "conv"
        if is_dense and len(carrying) == 1 and is_identity(routes.maps[number], carrying[0]):
            table[index, col.FUSED] = 1
            table[consumer, col.GIVES_ERROR] = 0
