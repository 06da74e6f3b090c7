"""What only `ottt_core` can run: the other microarchitectures take chains of dense layers with a memoryless readout."""

from __future__ import annotations

from collections.abc import Iterator

from neurochip.errors import UserError
from neurochip.microarch.shapes import learns
from neurochip.spec import LEAK_NONE, NETWORK_INPUT, CoreSpec


def require_chain(spec: CoreSpec, microarchitecture: str) -> None:
    """Refuse what is no chain of dense layers, or learns by a rule that needs more than a chain.

    Raises:
        UserError: naming the first thing that `microarchitecture` does not support.
    """
    for reason in _unsupported(spec):
        raise UserError(
            f"the microarchitecture {microarchitecture} takes chains of dense layers with a memoryless readout, not "
            f'{reason}; choose a chip with microarchitecture = "ottt_core", or another network or rule'
        )


def _unsupported(spec: CoreSpec) -> Iterator[str]:
    last = len(spec.layers) - 1
    for index, layer in enumerate(spec.layers):
        if layer.kind != ("readout" if index == last else "dense"):
            what = "a head" if layer.kind == "readout" else f"of kind {layer.kind!r}"
            yield f"a network whose layer {index} is {what}"
        if layer.has_current:
            yield f"a synaptic current in layer {index}"
        if layer.kind == "readout" and layer.leak_kind != LEAK_NONE:
            yield "a leaky readout"
        if not _takes_layer_before(spec, index):
            yield f"the connections of layer {index} (a pool, a recurrence, several sources, a skipped or cut layer)"
    if not learns(spec):
        return
    if any(layer.filter_leak_kind != LEAK_NONE for layer in spec.layers):
        yield "learning.trace_filter"
    if not all(layer.learns for layer in spec.layers):
        yield "layers whose weights are frozen"
    if spec.credit == "unroll" and spec.window_steps < spec.n_steps:
        yield f"unroll over windows of {spec.window_steps} steps"
    if spec.update == "accumulate" and spec.apply_when != "sample":
        yield f"update {spec.apply_when}({spec.apply_every})"
    if spec.momentum_shift > 0:
        yield f"learning.momentum_shift = {spec.momentum_shift}"
    if spec.standardise_every > 0:
        yield f"learning.standardise_every = {spec.standardise_every}"
    if spec.n_loss_steps < spec.n_steps:
        yield "steps without a loss (learning.loss_start, learning.update_every)"


def _takes_layer_before(spec: CoreSpec, index: int) -> bool:
    """Whether the events of a layer are those of the layer before, each at its own address (so with no offset)."""
    connections = spec.connections(index)
    first = connections[0]
    positions = first.height * first.width
    return (
        len(connections) == 1
        and first.source == (index - 1 if index else NETWORK_INPUT)
        and first.delay == 0
        and first.pool_height * first.pool_width == 1
        and first.n_addresses == spec.layers[index].n_in
        and not (first.channels_first and positions > 1)
        and (first.carries_error or index == 0 or not learns(spec))
    )
