"""Which layers and connections a `CoreSpec` may have (docs/semantics.md, sections 3 and 4)."""

from __future__ import annotations

from neurochip.errors import UserError
from neurochip.spec import KINDS, LEAK_CONSTANT, LEAK_NONE, NETWORK_INPUT, CoreSpec
from neurochip.topology import Connection


def check_network(spec: CoreSpec) -> None:
    """Refuse layers that do not fit their kind, their map or each other.

    Raises:
        UserError: naming the layer, the value and what is allowed.
    """
    for index in range(len(spec.layers)):
        _check_shape(spec, index)
        _check_outputs(spec, index)
        _check_recurrence(spec, index)
    sizes = {c.n_source for index in range(len(spec.layers)) for c in spec.connections(index) if c.source < 0}
    if len(sizes) != 1:
        raise UserError(f"the input of the network is seen with {sorted(sizes)} addresses; allowed is one number")


def _check_shape(spec: CoreSpec, index: int) -> None:
    layer = spec.layers[index]
    if layer.kind not in KINDS or (layer.kind == "conv") != (layer.conv is not None):
        raise UserError(f"layer {index} is of kind {layer.kind!r}; allowed are {', '.join(KINDS)}, conv with a shape")
    if (layer.kind == "readout") < (index == len(spec.layers) - 1):
        raise UserError(f"the last layer is of kind {layer.kind!r}; allowed is 'readout'")
    conv = layer.conv
    if conv is not None:
        if conv.channels % conv.groups or conv.out_channels % conv.groups:
            raise UserError(
                f"groups = {conv.groups} of layer {index} must divide its {conv.channels} input and "
                f"{conv.out_channels} output channels"
            )
        if min(conv.out_height, conv.out_width) < 1:
            raise UserError(
                f"the kernel of layer {index}, {conv.kernel_height} x {conv.kernel_width}, is larger than its padded "
                f"input of {conv.height} x {conv.width}"
            )
        if (conv.n_in, conv.n_out) != (layer.n_in, layer.n_out):
            raise UserError(f"layer {index} has {layer.n_in} x {layer.n_out}; its map has {conv.n_in} x {conv.n_out}")
    memoryless = (layer.leak_kind, layer.leak_value) in ((LEAK_NONE, 0), (LEAK_CONSTANT, 0))
    if layer.has_current and (layer.kind == "feedback" or (layer.kind == "readout" and memoryless)):
        raise UserError(f"layer {index} has a synaptic current; allowed is that of neurons and leaky readouts")
    for connection in spec.connections(index):
        _check_connection(spec, index, connection)


def _check_connection(spec: CoreSpec, index: int, connection: Connection) -> None:
    layer, source = spec.layers[index], connection.source
    first = index if connection.delay else 0
    if connection.delay not in (0, 1) or not (
        source == NETWORK_INPUT or (first <= source < index + connection.delay and spec.layers[source].is_hidden)
    ):
        raise UserError(
            f"layer {index} takes events from layer {source} with delay {connection.delay}; allowed are hidden layers "
            "before it, the input of the network, and itself with delay 1"
        )
    if source != NETWORK_INPUT and connection.n_source != spec.layers[source].n_out:
        raise UserError(
            f"layer {index} sees layer {source} as {connection.n_source} neurons; it has {spec.layers[source].n_out}"
        )
    if connection.n_addresses < 1 or connection.offset + connection.n_addresses > layer.n_in:
        raise UserError(
            f"{connection.n_addresses} addresses from {connection.offset} on of a connection of layer {index} do not "
            f"fit its {layer.n_in} inputs"
        )


def _check_outputs(spec: CoreSpec, index: int) -> None:
    """Readouts have one output per class, feedback layers one per output of a readout after them, and no bias."""
    layer, n_classes = spec.layers[index], spec.layers[-1].n_out
    if layer.kind == "feedback":
        named = layer.signal_of
        if named is None or not index < named < len(spec.layers) or spec.layers[named].kind != "readout" or layer.bias:
            raise UserError(f"feedback layer {index} must name a readout after it (signal_of) and have no bias")
        n_classes = spec.layers[named].n_out
        if layer.frac_error != spec.layers[named].frac_error:
            raise UserError(
                f"precision.error.frac of feedback layer {index} is {layer.frac_error}; allowed is that of its "
                f"readout, {spec.layers[named].frac_error}"
            )
    if not layer.is_hidden and layer.n_out != n_classes:
        raise UserError(f"layer {index}, a {layer.kind}, has {layer.n_out} outputs; allowed is {n_classes}")


def _check_recurrence(spec: CoreSpec, index: int) -> None:
    delayed = [connection for connection in spec.connections(index) if connection.delay == 1]
    if len(delayed) > 1:
        raise UserError(f"layer {index} has {len(delayed)} connections with delay 1; allowed is one, from itself")
    if delayed and (delayed[0].source != index or not spec.layers[index].is_hidden):
        raise UserError(f"layer {index} takes events with delay 1 from {delayed[0].source}; allowed is a hidden layer")
