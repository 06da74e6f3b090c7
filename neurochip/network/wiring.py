"""Events on their way from one layer with weights to the next: pools, flatten and adds fold into connections."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from neurochip.config_layers import is_power_of_two
from neurochip.errors import UserError
from neurochip.spec import NETWORK_INPUT
from neurochip.topology import Connection, ConvShape

MapSize = tuple[int, int, int]  # channels, height, width


@dataclass(frozen=True)
class Stream:
    """What the next layer with weights takes its events from.

    Attributes:
        connections: the sources, all with the same map behind their pools.
        frac_event: frac_m of the events, log2 of the windows of the average pools.
        scale: f of the events, the spike_scale of their source; 1 for the input of the network.
        has_map: whether positions are known; not behind a dense layer or a flatten.
    """

    connections: tuple[Connection, ...]
    frac_event: int = 0
    has_map: bool = True
    scale: float = 1.0

    @property
    def map_size(self) -> MapSize:
        """Channels, height and width behind the pools."""
        first = self.connections[0]
        return first.channels, first.height // first.pool_height, first.width // first.pool_width

    @property
    def n_addresses(self) -> int:
        """Input addresses of the next layer."""
        return self.connections[0].n_addresses

    def pooled(self, kernel: tuple[int, int] | None, averages: bool) -> Stream:
        """The stream behind a pool; windows of pools behind each other multiply.

        Args:
            kernel: height and width; None: of the whole map.
            averages: whether the events count 1 / window.

        Raises:
            UserError: if there is no map, the window is larger than it, or that of an average no power of two.
        """
        self.need_map()
        _, map_height, map_width = self.map_size
        height, width = kernel or (map_height, map_width)
        if height > map_height or width > map_width:
            raise UserError(f"kernel {height} x {width} is larger than its map of {map_height} x {map_width}")
        if averages and not is_power_of_two(height, width):
            raise UserError(f"an average over {height} x {width} is no shift; allowed are powers of two, or a sumpool")
        connections = tuple(
            replace(c, pool_height=c.pool_height * height, pool_width=c.pool_width * width) for c in self.connections
        )
        divided = (height * width).bit_length() - 1 if averages else 0
        return replace(self, connections=connections, frac_event=self.frac_event + divided)

    def with_events_of(self, other: Stream, name: str) -> Stream:
        """The stream of a residual add.

        Raises:
            UserError: if the maps or the scales differ, or one of the two has passed an average pool.
        """
        if self.map_size != other.map_size or self.has_map != other.has_map:
            raise UserError(
                f"layer = {name!r} has {_map_text(other)}, the layer before has {_map_text(self)}; allowed is one map"
            )
        if self.frac_event != other.frac_event:
            raise UserError(
                f"layer = {name!r}: its events count 1, those of the layer before 1 / {1 << self.frac_event} behind an "
                "average pool; place the add before the pool"
            )
        if self.scale != other.scale:
            raise UserError(
                f"layer = {name!r} has events of scale {other.scale:g}, the layer before of scale {self.scale:g}; "
                "allowed is one spike_scale for all events of a layer (that of the input is 1)"
            )
        return replace(self, connections=(*self.connections, *other.connections))

    def need_map(self) -> None:
        """Refuse a layer that needs positions where there are none.

        Raises:
            UserError: saying how a map comes to be known.
        """
        if not self.has_map:
            raise UserError(
                f"it needs a map, and its {self.n_addresses} inputs are a list (behind a dense layer or flatten, or of "
                "a task without one); network.input_shape = [channels, height, width] states the map of the input"
            )

    @property
    def for_dense(self) -> tuple[Connection, ...]:
        """The connections of a dense layer; one without a pool keeps the addresses of its source."""
        first = self.connections[0]
        if len(self.connections) > 1 or first.pool_height > 1 or first.pool_width > 1:
            return self.connections
        return (flat(first.source, first.n_source),)


def flat(source: int, n_source: int) -> Connection:
    """All of a source as one position."""
    return Connection(source=source, channels=n_source, carries_error=source != NETWORK_INPUT)


def _map_text(stream: Stream) -> str:
    channels, height, width = stream.map_size
    return f"{channels} x {height} x {width}" if stream.has_map else f"{stream.n_addresses} neurons"


def addresses_of(connection: Connection) -> NDArray[np.int64]:
    """Input address of every address of the source, [n_source]; -1 where the pool drops it (`Connection.address`)."""
    index = np.arange(connection.n_source)
    if connection.channels_first:
        rest, x = np.divmod(index, connection.width)
        c, y = np.divmod(rest, connection.height)
    else:
        rest, c = np.divmod(index, connection.channels)
        y, x = np.divmod(rest, connection.width)
    height, width = connection.height // connection.pool_height, connection.width // connection.pool_width
    y, x = y // connection.pool_height, x // connection.pool_width
    found = connection.offset + (y * width + x) * connection.channels + c
    kept: NDArray[np.int64] = np.where((y < height) & (x < width), found, -1)
    return kept


def taps_per_address(n_in: int, conv: ConvShape | None) -> NDArray[np.int64]:
    """Number of taps of every input address, [n_in]: 1, or the outputs (y', x') whose kernel covers it."""
    if conv is None:
        return np.ones(n_in, dtype=np.int64)
    rows = _covered(conv.height, conv.out_height, conv.kernel_height, conv.stride_y, conv.padding_y)
    columns = _covered(conv.width, conv.out_width, conv.kernel_width, conv.stride_x, conv.padding_x)
    return np.repeat(np.outer(rows, columns).ravel(), conv.channels)


def _covered(size: int, n_out: int, kernel: int, stride: int, padding: int) -> NDArray[np.int64]:
    place = np.arange(size)[:, None] + padding - stride * np.arange(n_out)[None, :]
    count: NDArray[np.int64] = ((place >= 0) & (place < kernel)).sum(axis=1)
    return count


def taps_per_source(connection: Connection, n_in: int, conv: ConvShape | None) -> NDArray[np.int64]:
    """Number of taps that an event of every address of the source reaches, [n_source]."""
    addresses = addresses_of(connection)
    taps = taps_per_address(n_in, conv)
    reached: NDArray[np.int64] = np.where(addresses >= 0, taps[addresses], 0)
    return reached
