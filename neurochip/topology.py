"""How layers are connected: where input events come from, and which weights they reach (semantics section 3)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

Tap = tuple[int, int]  # (row of the weights, block of outputs)


@dataclass(frozen=True)
class Connection:
    """Events of a source on their way to the input of a layer; a pool only renames their addresses.

    Attributes:
        source: layer whose spikes they are; -1: the input of the network.
        channels, height, width: the map that the source is seen as.
        pool_height, pool_width: window of the pool.
        delay: 0: spikes of this step; 1: of the step before (the layer itself).
        offset: first input address.
        carries_error: whether the error of the layer goes back to the source.
        channels_first: whether source addresses are (c * height + y) * width + x (else (y * width + x) * channels + c).
    """

    source: int
    channels: int
    height: int = 1
    width: int = 1
    pool_height: int = 1
    pool_width: int = 1
    delay: int = 0
    offset: int = 0
    carries_error: bool = True
    channels_first: bool = False

    @property
    def n_source(self) -> int:
        """Addresses of the source."""
        return self.height * self.width * self.channels

    @property
    def n_addresses(self) -> int:
        """Input addresses that its events come to."""
        return (self.height // self.pool_height) * (self.width // self.pool_width) * self.channels

    def address(self, source: int) -> int | None:
        """Input address of an event of the source, None where the pool drops it."""
        if self.channels_first:
            rest, x = divmod(source, self.width)
            c, y = divmod(rest, self.height)
        else:
            rest, c = divmod(source, self.channels)
            y, x = divmod(rest, self.width)
        pooled_y, pooled_x, pooled_width = y // self.pool_height, x // self.pool_width, self.width // self.pool_width
        if pooled_y >= self.height // self.pool_height or pooled_x >= pooled_width:
            return None
        return self.offset + (pooled_y * pooled_width + pooled_x) * self.channels + c


@dataclass(frozen=True)
class ConvShape:
    """A convolution over a map of height x width x channels."""

    height: int
    width: int
    channels: int
    out_channels: int
    kernel_height: int
    kernel_width: int
    stride_y: int = 1
    stride_x: int = 1
    padding_y: int = 0
    padding_x: int = 0
    groups: int = 1

    @property
    def out_height(self) -> int:
        """H'."""
        return (self.height + 2 * self.padding_y - self.kernel_height) // self.stride_y + 1

    @property
    def out_width(self) -> int:
        """W'."""
        return (self.width + 2 * self.padding_x - self.kernel_width) // self.stride_x + 1

    @property
    def n_positions(self) -> int:
        """Positions of the output map."""
        return self.out_height * self.out_width

    @property
    def n_in(self) -> int:
        """Input addresses."""
        return self.height * self.width * self.channels

    @property
    def n_out(self) -> int:
        """Outputs."""
        return self.n_positions * self.out_channels

    @property
    def n_rows(self) -> int:
        """Rows of weights, without those of the bias."""
        return self.channels * self.kernel_height * self.kernel_width

    @property
    def columns(self) -> int:
        """o, columns of a row and of a block."""
        return self.out_channels // self.groups

    @property
    def n_blocks(self) -> int:
        """Blocks of outputs."""
        return self.n_positions * self.groups

    def taps(self, address: int) -> Iterator[Tap]:
        """The taps of an input address, in the order of the semantics."""
        rest, c = divmod(address, self.channels)
        y, x = divmod(rest, self.width)
        group = c // (self.channels // self.groups)
        for out_y in range(self.out_height):
            k_y = y + self.padding_y - self.stride_y * out_y
            if not 0 <= k_y < self.kernel_height:
                continue
            for out_x in range(self.out_width):
                k_x = x + self.padding_x - self.stride_x * out_x
                if 0 <= k_x < self.kernel_width:
                    row = (c * self.kernel_height + k_y) * self.kernel_width + k_x
                    yield row, (out_y * self.out_width + out_x) * self.groups + group


class LayerGeometry:
    """Rows, columns and blocks that follow from the shape of a layer; every description of a layer inherits them."""

    kind: str
    n_in: int
    n_out: int
    conv: ConvShape | None

    @property
    def is_hidden(self) -> bool:
        """Whether its outputs are neurons that fire."""
        return self.kind in ("dense", "conv")

    @property
    def n_weight_rows(self) -> int:
        """N_w, rows of weights without those of the bias."""
        return self.conv.n_rows if self.conv is not None else self.n_in

    @property
    def n_bias_rows(self) -> int:
        """Rows that the bias has, or would have."""
        return self.conv.groups if self.conv is not None else 1

    @property
    def columns(self) -> int:
        """o, columns of a row of weights and of a block of outputs."""
        return self.conv.columns if self.conv is not None else self.n_out

    @property
    def n_blocks(self) -> int:
        """Blocks of outputs."""
        return self.conv.n_blocks if self.conv is not None else 1
