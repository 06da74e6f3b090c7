"""Drawn networks: maps, convolutions, pools, recurrences, residual adds, heads and feedback layers, without formats.

Hidden layers are drawn first, in the order in which they run, then the layers that the rule for the error in space adds
(`add_readouts`). What is drawn is small, since the golden core is slow, and crooked: pools that drop a remainder,
kernels that are no squares, padding wider than the kernel, sources that are seen as a map of another shape.
"""

from __future__ import annotations

import dataclasses
import math
import random
from dataclasses import dataclass

from property_strategies import chance, draw_leak

from neurochip.spec import NETWORK_INPUT
from neurochip.topology import Connection, ConvShape

MOST_NEURONS = 120
MOST_ROWS = 110
SPATIALS = ("backprop", "local", "feedback random", "feedback symmetric")


@dataclass
class Draft:
    """A layer before it has formats; fields as in LayerSpec, a map (height, width, channels) of its outputs beside."""

    kind: str
    n_in: int
    n_out: int
    inputs: list[Connection]
    shape: tuple[int, int, int]
    conv: ConvShape | None = None
    bias: bool = True
    frac_event: int = 0
    learns: bool = True
    signal_of: int | None = None
    leak: tuple[str, int] = ("none", 0)
    trace_leak: tuple[str, int] = ("shift", 1)
    filter_leak: tuple[str, int] = ("none", 0)
    keeps_trace: bool = False

    @property
    def is_hidden(self) -> bool:
        return self.kind in ("dense", "conv")

    @property
    def fan_in(self) -> int:
        """Weights that act on one neuron."""
        conv = self.conv
        return self.n_in if conv is None else conv.kernel_height * conv.kernel_width * conv.channels // conv.groups

    @property
    def windows(self) -> list[int]:
        """Sizes of the pooling windows of its connections."""
        return [connection.pool_height * connection.pool_width for connection in self.inputs]


Source = tuple[int, tuple[int, int, int], bool]  # index, (height, width, channels), channels_first


def draw_input(rng: random.Random) -> Source:
    """The input of the network: a map, its channels first or last, or plain addresses."""
    if chance(rng, 30):
        return NETWORK_INPUT, (1, 1, rng.randint(1, 20)), False
    height, width = rng.choice([4, 3, 5, 6, 2, 1]), rng.choice([4, 3, 5, 6, 2, 1])
    return NETWORK_INPUT, (height, width, rng.randint(1, 3)), chance(rng, 40)


def another_shape(rng: random.Random, shape: tuple[int, int, int]) -> tuple[int, int, int]:
    """The same addresses seen as some other map."""
    n = math.prod(shape)
    height = rng.choice([k for k in range(1, min(n, 6) + 1) if n % k == 0])
    width = rng.choice([k for k in range(1, min(n // height, 6) + 1) if n // height % k == 0])
    return height, width, n // height // width


def connect(rng: random.Random, source: Source, pool_percent: int = 35) -> Connection:
    """A connection from a source, often behind a pool."""
    index, shape, channels_first = source
    flat = shape[:2] == (1, 1)
    if chance(rng, 50 if flat else 5):
        shape = another_shape(rng, shape)
    pool = (1, 1)
    if chance(rng, pool_percent):
        pool = rng.choice([(2, 2), (2, 1), (1, 2), (3, 3), (3, 2), (1, 3), (4, 1)])
    return Connection(
        source=index,
        height=shape[0],
        width=shape[1],
        channels=shape[2],
        pool_height=min(pool[0], shape[0]),
        pool_width=min(pool[1], shape[1]),
        carries_error=index != NETWORK_INPUT or chance(rng, 50),  # of the input of the network it means nothing
        channels_first=channels_first,
    )


def pooled(connection: Connection) -> tuple[int, int, int]:
    """The map that a connection makes of its source."""
    return (
        connection.height // connection.pool_height,
        connection.width // connection.pool_width,
        connection.channels,
    )


def draw_conv(rng: random.Random, shape: tuple[int, int, int]) -> ConvShape:
    """A convolution over a map: plain, grouped or depthwise; one in three keeps the map as it is."""
    height, width, channels = shape
    groups = rng.choice([1, 1, channels, rng.choice([g for g in range(1, channels + 1) if channels % g == 0])])
    if chance(rng, 35):
        kernel_y, kernel_x = rng.choice([(3, 3), (1, 1), (3, 1), (1, 3)])
        return ConvShape(
            height, width, channels, channels, kernel_y, kernel_x, 1, 1, kernel_y // 2, kernel_x // 2, groups
        )
    padding_y, padding_x = rng.choice([0, 1, 2]), rng.choice([0, 1, 0, 2])
    return ConvShape(
        height,
        width,
        channels,
        out_channels=groups * rng.choice([1, 2, 3, 1, 4, 16, 17] if groups < 3 else [1, 2, 3]),
        kernel_height=min(rng.choice([2, 3, 1, 3, 4]), height + 2 * padding_y),
        kernel_width=min(rng.choice([3, 2, 1, 3]), width + 2 * padding_x),
        stride_y=rng.choice([1, 1, 2, 3]),
        stride_x=rng.choice([1, 1, 2]),
        padding_y=padding_y,
        padding_x=padding_x,
        groups=groups,
    )


def draw_hidden(rng: random.Random, index: int, sources: list[Source]) -> Draft:
    """A hidden layer after the last source, now and then after an earlier one."""
    connection = connect(rng, sources[-1] if chance(rng, 85) else rng.choice(sources))
    shape = pooled(connection)
    conv = draw_conv(rng, shape) if shape[2] <= 6 and chance(rng, 85 if shape[:2] != (1, 1) else 15) else None
    if conv is not None and conv.n_out <= MOST_NEURONS and conv.n_rows <= MOST_ROWS:
        out = (conv.out_height, conv.out_width, conv.out_channels)
        layer = Draft("conv", conv.n_in, conv.n_out, [connection], out, conv)
    else:
        n_out = rng.choice([rng.randint(1, 20), 4, 12, 16, rng.choice([17, 33])])
        layer = Draft("dense", connection.n_addresses, n_out, [connection], (1, 1, n_out))
    layer.bias, layer.leak = not chance(rng, 25), draw_leak(rng)
    if chance(rng, 35):
        add_second_source(rng, layer, sources)
    if chance(rng, 40):
        add_recurrence(rng, layer, index)
    if chance(rng, 20):
        rng.shuffle(layer.inputs)
    set_frac_event(rng, layer)
    return layer


def add_second_source(rng: random.Random, layer: Draft, sources: list[Source]) -> None:
    """A residual add (the same input addresses), or for a dense layer more inputs behind the others."""
    for source in rng.sample(sources, len(sources)):
        second = connect(rng, source, pool_percent=60)
        if layer.conv is not None:
            shape = (layer.conv.height, layer.conv.width, layer.conv.channels)
            second = dataclasses.replace(second, pool_height=1, pool_width=1)
            windows = [(1, 1), (second.height // shape[0] or 1, second.width // shape[1] or 1)]
            options = [dataclasses.replace(second, pool_height=h, pool_width=w) for h, w in windows]
            fitting = [option for option in options if pooled(option) == shape]
            if not fitting:
                continue
            second = rng.choice(fitting)
        elif second.n_addresses <= layer.n_in and chance(rng, 70):
            second = dataclasses.replace(second, offset=rng.choice([0, layer.n_in - second.n_addresses]))
        elif layer.n_in + second.n_addresses <= MOST_ROWS:
            second = dataclasses.replace(second, offset=layer.n_in)
            layer.n_in += second.n_addresses
        else:
            continue
        layer.inputs.append(second)
        return


def add_recurrence(rng: random.Random, layer: Draft, index: int) -> None:
    """The layer's own spikes of the step before: inputs of their own, or added to those of the other connections."""
    height, width, channels = layer.shape
    own = Connection(
        index, channels, height, width, delay=1, carries_error=not chance(rng, 10)
    )  # whether the rule cuts a connection says nothing of the delayed ones
    if layer.conv is None:
        if layer.n_out <= layer.n_in and chance(rng, 30):
            layer.inputs.append(own)
        elif layer.n_in + layer.n_out <= MOST_ROWS:
            layer.inputs.append(dataclasses.replace(own, offset=layer.n_in))
            layer.n_in += layer.n_out
    elif layer.shape == (layer.conv.height, layer.conv.width, layer.conv.channels):
        layer.inputs.append(own)


def set_frac_event(rng: random.Random, layer: Draft) -> None:
    """Make the pools average pools where that is legal: all connections behind the same power of two."""
    window = layer.windows[0]
    same = len(set(layer.windows)) == 1 and all(connection.delay == 0 for connection in layer.inputs)
    if same and window > 1 and window & (window - 1) == 0 and chance(rng, 60):
        layer.frac_event = window.bit_length() - 1


def draw_readout(rng: random.Random, source: Source, n_classes: int, pool_percent: int = 20) -> Draft:
    """A readout behind one source, memoryless or leaky."""
    connection = connect(rng, source, pool_percent)
    layer = Draft("readout", connection.n_addresses, n_classes, [connection], (1, 1, n_classes))
    layer.leak = draw_leak(rng) if chance(rng, 35) else ("none", 0)
    set_frac_event(rng, layer)
    return layer


def draw_hidden_layers(rng: random.Random) -> tuple[list[Draft], list[Source]]:
    """0 to 4 hidden layers, and the sources they and the input of the network make."""
    sources = [draw_input(rng)]
    hidden: list[Draft] = []
    for index in range(rng.choice([2, 3, 1, 2, 3, 4, 2, 1]) if chance(rng, 98) else 0):
        hidden.append(draw_hidden(rng, index, sources))
        sources.append((index, hidden[-1].shape, False))
    return hidden, sources


def cut(layer: Draft, keep: set[int]) -> None:
    """Let only the undelayed connections from the sources in `keep` carry error."""
    layer.inputs = [
        dataclasses.replace(one, carries_error=one.source in keep) if one.delay == 0 and one.source >= 0 else one
        for one in layer.inputs
    ]


def cut_into_blocks(rng: random.Random, hidden: list[Draft], readout: Draft, size: int, frozen: bool) -> list[Draft]:
    """local(size): cut connections between blocks; the heads of all blocks but the last."""
    heads = []
    for index, layer in enumerate(hidden):
        cut(layer, {other for other in range(len(hidden)) if other // size == index // size})
        if index % size == size - 1 and index < len(hidden) - 1:
            # A head is memoryless and has a bias.
            head = draw_readout(rng, (index, layer.shape, False), readout.n_out, pool_percent=50)
            head.leak, head.learns = ("none", 0), not frozen
            heads.append(head)
    last_block = (len(hidden) - 1) // size
    cut(readout, {other for other in range(len(hidden)) if other // size == last_block})
    return heads


def add_feedback(rng: random.Random, hidden: list[Draft], readout: Draft, symmetric: bool) -> dict[int, Draft]:
    """Cut all connections between layers; the feedback layer of each hidden layer that has no other error."""
    direct = {one.source for one in readout.inputs} if symmetric else set()
    cut(readout, direct)
    layers = {}
    for index, layer in enumerate(hidden):
        cut(layer, set())
        if index in direct:
            continue
        connection = Connection(index, layer.n_out)
        layers[index] = Draft(
            "feedback", layer.n_out, readout.n_out, [connection], (1, 1, readout.n_out), bias=False, learns=False
        )
    return layers


def number(hidden: list[Draft], behind: dict[int, Draft], after: list[Draft]) -> list[Draft]:
    """One list in the order in which the layers run: hidden ones, `behind` some of them another, then the rest."""
    layers: list[Draft] = []
    place = {NETWORK_INPUT: NETWORK_INPUT}
    for index, layer in enumerate(hidden):
        place[index] = len(layers)
        layers.append(layer)
        if index in behind:
            layers.append(behind[index])
    layers += after
    for layer in layers:
        layer.inputs = [dataclasses.replace(one, source=place[one.source]) for one in layer.inputs]
    return layers


def draw_layers(rng: random.Random, spatial: str) -> list[Draft]:
    """All layers of a network under a rule for the error in space, one of SPATIALS."""
    hidden, sources = draw_hidden_layers(rng)
    readout = draw_readout(rng, sources[-1], rng.choice([2, 3, 5, 10, 3]))
    readout.bias = not chance(rng, 20)
    if hidden and chance(rng, 20):
        add_second_source(rng, readout, sources)
        readout.frac_event = readout.frac_event if len(set(readout.windows)) == 1 else 0
    behind: dict[int, Draft] = {}
    between: list[Draft] = []
    if spatial == "local":
        size = rng.randint(1, max(1, len(hidden) - 1))
        between = cut_into_blocks(rng, hidden, readout, size, frozen=chance(rng, 35))
    elif spatial.startswith("feedback"):
        feedback = add_feedback(rng, hidden, readout, symmetric=spatial == "feedback symmetric")
        if chance(rng, 50):
            behind = feedback
        else:
            between = list(feedback.values())
    layers = number(hidden, behind, [*between, readout])
    for layer in layers:
        if layer.kind == "feedback":
            layer.signal_of = len(layers) - 1
    return layers
