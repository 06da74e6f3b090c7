"""The layers of a network under a rule: what spatial credit adds and cuts, and the filter of the traces.

Heads come after all hidden layers and before the readout, as do the feedback layers (semantics section 4).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from neurochip.config import Experiment
from neurochip.config_layers import pair
from neurochip.errors import UserError
from neurochip.network.shape import NO_LEAK, LayerShape
from neurochip.network.wiring import Stream, flat
from neurochip.rules.presets import READOUT_LEAK, Rule
from neurochip.spec import LEAK_SHIFT
from neurochip.topology import Connection


def concrete(experiment: Experiment, rule: Rule) -> Rule:
    """The rule with every parameter that comes from `[learning]`."""
    learning = experiment.learning
    unroll = learning.unroll if rule.unroll is None else rule.unroll
    every = rule.every
    if every is None:
        every = learning.window if learning.window is not None else unroll
    given = learning.trace_filter
    return replace(
        rule,
        unroll=unroll,
        block=learning.block if rule.block is None else rule.block,
        every=every,
        feedback=learning.feedback if rule.feedback is None else rule.feedback,
        train_heads=learning.train_heads and rule.train_heads is not False,
        trace_filter=rule.trace_filter if given is None else given,
    )


def rule_layers(experiment: Experiment, rule: Rule, shapes: tuple[LayerShape, ...]) -> tuple[LayerShape, ...]:
    """Return the layers that a core runs under a rule: those of the network, heads and feedback layers.

    Args:
        experiment: its `[learning]` says what the rule leaves open.
        rule: as `find_rule` gives it.
        shapes: the layers of the network, as `layer_shapes` gives them.

    Raises:
        UserError: for the head of an average pool whose window is no power of two, or a filter of traces beside a
            synaptic current.
    """
    rule = concrete(experiment, rule)
    layers = _filtered(rule, shapes)
    if rule.spatial == "local":
        return _local(experiment, rule, layers)
    if rule.spatial == "feedback":
        return _feedback(rule, layers)
    return layers


def _filtered(rule: Rule, shapes: tuple[LayerShape, ...]) -> tuple[LayerShape, ...]:
    """A second leak for the traces of hidden layers; that of a leaky readout is its trace already.

    Layers that learn from events (`learning.first_layer` = "input") keep no trace, and are not concerned.
    """
    filtered = [shape for shape in shapes if shape.is_hidden and shape.keeps_trace]
    if rule.temporal != "trace" or rule.trace_filter is None or not filtered:
        return shapes
    leak = shapes[-1].leak if rule.trace_filter == READOUT_LEAK else (LEAK_SHIFT, int(rule.trace_filter))
    if leak == NO_LEAK:
        return shapes
    if rule.trace_filter == READOUT_LEAK and shapes[-1].has_current:
        raise UserError(
            f"the traces of {rule.name} are filtered as the readout filters (learning.trace_filter = "
            f"{READOUT_LEAK!r}), and a readout with a synaptic current has two leaks, which a trace cannot have as its "
            "filter; allowed there is a rule without trace_filter, such as ottt-o, or a readout without a current"
        )
    if any(shape.has_current for shape in filtered):
        raise UserError(
            f"the traces of {rule.name} have a filter (learning.trace_filter), and those of a layer with a synaptic "
            "current have two leaks already; allowed there is a rule without trace_filter, such as ottt-o"
        )
    return tuple(
        replace(shape, filter_leak=leak) if shape.is_hidden and shape.keeps_trace else shape for shape in shapes
    )


def _local(experiment: Experiment, rule: Rule, layers: tuple[LayerShape, ...]) -> tuple[LayerShape, ...]:
    size = rule.block or 1
    n_hidden = len(layers) - 1
    last_block = (n_hidden - 1) // size
    if last_block <= 0:
        return layers
    block_of = [*(index // size for index in range(n_hidden)), last_block]  # the readout heads the last block

    def cut(index: int) -> LayerShape:
        return _cut(layers[index], index, lambda source: block_of[source] == block_of[index])

    ends = [index for index in range(n_hidden) if index % size == size - 1 and index // size < last_block]
    heads = [_head(experiment, rule, layers, index) for index in ends]
    return (*map(cut, range(n_hidden)), *heads, cut(n_hidden))


def _feedback(rule: Rule, layers: tuple[LayerShape, ...]) -> tuple[LayerShape, ...]:
    n_hidden = len(layers) - 1
    if n_hidden == 0:
        return layers
    hidden = [_cut(layer, index, lambda _: False) for index, layer in enumerate(layers[:-1])]
    readout = _cut(layers[-1], n_hidden, lambda _: rule.feedback == "symmetric")
    direct = {c.source for c in readout.inputs if c.carries_error}
    sent = [index for index in range(n_hidden) if index not in direct]
    n_classes = readout.n_out
    carriers = [
        LayerShape(
            "feedback", hidden[index].n_out, n_classes, False, NO_LEAK, NO_LEAK, False, 0.0, "subtract",
            inputs=(flat(index, hidden[index].n_out),), learns=False, signal_of=n_hidden + len(sent), attached=index,
        )
        for index in sent
    ]  # fmt: skip
    return (*hidden, *carriers, readout)


def _cut(layer: LayerShape, index: int, carries: Callable[[int], bool]) -> LayerShape:
    """The layer with its connections written out; those from hidden layers carry error only where `carries(source)`."""
    inputs = tuple(
        c if c.source < 0 or c.delay else replace(c, carries_error=carries(c.source)) for c in layer.connections(index)
    )
    return layer if inputs == layer.connections(index) and layer.is_hidden else replace(layer, inputs=inputs)


def _head(experiment: Experiment, rule: Rule, layers: tuple[LayerShape, ...], index: int) -> LayerShape:
    layer, learning = layers[index], experiment.learning
    stream = _head_stream(experiment, layer, index)
    keeps = learning.readout_trace
    return LayerShape(
        "readout", stream.n_addresses, layers[-1].n_out, True, NO_LEAK, layer.leak if keeps else NO_LEAK, keeps, 0.0,
        "subtract", inputs=stream.for_dense, frac_event=stream.frac_event, learns=rule.train_heads is not False,
        attached=index,
    )  # fmt: skip


def _head_stream(experiment: Experiment, layer: LayerShape, index: int) -> Stream:
    learning = experiment.learning
    if learning.head_pool == "none" or layer.out_map is None:
        return Stream((flat(index, layer.n_out),), has_map=False)
    _, height, width = layer.out_map
    asked = pair(learning.head_pool_kernel) if learning.head_pool_kernel is not None else (height, width)
    kernel = min(height, asked[0]), min(width, asked[1])
    try:
        return Stream((Connection(index, *layer.out_map),)).pooled(kernel, learning.head_pool == "average")
    except UserError as error:
        raise UserError(f"learning.head_pool at hidden layer {index} (head_pool_kernel): {error}") from error
