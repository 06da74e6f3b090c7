"""How the error comes back to a layer: directly, or through x words (docs/microarchitecture.md, section 6)."""

from __future__ import annotations

from dataclasses import dataclass

from neurochip.errors import UserError
from neurochip.microarch.shapes import learns, row_words, vector_words
from neurochip.microarch.taps import address_map, reach
from neurochip.spec import CoreSpec
from neurochip.topology import Connection


@dataclass(frozen=True)
class ErrorPath:
    """One connection through which error goes from layer `consumer` to hidden layer `source`.

    Attributes:
        consumer: layer n, whose weights are read; the source itself for a delayed connection under unroll.
        connection: of layer n, from the source.
        direct: whether d and g of the source are formed in the flow, without x words.
    """

    consumer: int
    connection: Connection
    direct: bool

    @property
    def source(self) -> int:
        """The hidden layer that gets the error."""
        return self.connection.source


def forward_paths(spec: CoreSpec, consumer: int) -> list[ErrorPath]:
    """The connections of a layer that carry error with delay 0."""
    if not learns(spec):
        return []
    carrying = [c for c in spec.connections(consumer) if c.delay == 0 and c.source >= 0 and c.carries_error]
    direct = (
        len(carrying) == 1
        and not _is_pooled(carrying[0])
        and len(spec.error_connections(carrying[0].source)) == 1
        and delayed_path(spec, carrying[0].source) is None
    )
    return [ErrorPath(consumer, connection, direct) for connection in carrying]


def delayed_path(spec: CoreSpec, index: int) -> ErrorPath | None:
    """The way back in time of a layer that is recurrent under unroll."""
    connection = spec.recurrent_connection(index)
    return ErrorPath(index, connection, False) if spec.credit == "unroll" and connection is not None else None


def paths_to(spec: CoreSpec, source: int) -> list[ErrorPath]:
    """Every path that brings a hidden layer its error, the delayed one last."""
    found = [path for n in range(source + 1, len(spec.layers)) for path in forward_paths(spec, n)]
    delayed = delayed_path(spec, source)
    return [path for path in found if path.source == source] + ([delayed] if delayed else [])


def is_gated_apart(spec: CoreSpec, source: int) -> bool:
    """Whether g of a hidden layer is formed by GATE, out of x words."""
    return not any(path.direct for path in paths_to(spec, source))


def input_addresses(paths: list[ErrorPath]) -> set[int]:
    """The input addresses of layer n along some of its paths, each once; n′ is their number."""
    found: set[int] = set()
    for path in paths:
        connection = path.connection
        found |= set(range(connection.offset, connection.offset + connection.n_addresses))
    return found


def n_taps(spec: CoreSpec, consumer: int, addresses: set[int]) -> int:
    """τ′, taps of these input addresses."""
    conv = spec.layers[consumer].conv
    if conv is None:
        return len(addresses)
    per_position = reach(conv).reshape(-1)
    return sum(int(per_position[address // conv.channels]) for address in addresses)


def x_words(spec: CoreSpec, path: ErrorPath, lanes: int) -> int:
    """Ω_κ, x words of a connection that is not direct: those of its source, or of the positions a pool makes of it.

    Raises:
        UserError: a pool over the source seen as another map than it is: its words would not be those of positions.
    """
    connection, source = path.connection, spec.layers[path.source]
    if not _is_pooled(connection):
        return vector_words(source, lanes)
    conv = source.conv
    own = (1, 1, source.n_out) if conv is None else (conv.out_height, conv.out_width, conv.out_channels)
    seen = (connection.height, connection.width, connection.channels)
    if seen != own:
        raise UserError(
            f"a connection of layer {path.consumer} pools layer {path.source} as a map of "
            f"{' x '.join(map(str, seen))} and carries error; a core does that only for the map it is, "
            f"{' x '.join(map(str, own))}"
        )
    positions = connection.n_addresses // connection.channels
    return positions * (conv.groups if conv is not None else 1) * row_words(source, lanes)


def kept_words(spec: CoreSpec, path: ErrorPath, lanes: int) -> int:
    """Words of the source that its pool does not drop: those with a neuron that has an input address."""
    source = spec.layers[path.source]
    if not _is_pooled(path.connection):
        return vector_words(source, lanes)
    kept = (address_map(path.connection) >= 0).nonzero()[0]
    block, column = kept // source.columns, kept % source.columns
    return len(set(zip(block.tolist(), (column // lanes).tolist(), strict=True)))


def _is_pooled(connection: Connection) -> bool:
    return connection.pool_height * connection.pool_width > 1
