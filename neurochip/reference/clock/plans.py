"""What lies in which memory, in the order of the tables of docs/microarchitecture.md, section 1."""

from __future__ import annotations

from neurochip.reference.clock.network import (
    carries_delta,
    error_ways,
    hidden_layers,
    learning_layers,
    n_network_inputs,
    n_rows,
    readouts,
    recurrent_way,
    runs,
    x_shape,
)
from neurochip.reference.clock.shapes import ChipShape, words_of
from neurochip.reference.core.memory import keeps_trace
from neurochip.spec import LEAK_NONE, CoreSpec, LayerSpec

PARTIAL_SUM_BITS = 32  # of an x word


class Plan:
    """Regions of one memory, appended one after the other before its size is known."""

    def __init__(self) -> None:
        self.n_words = 0
        self.regions: list[tuple[str, int, int, int, int, int, int, bool]] = []

    def add(
        self, content: str, layer: int, shape: tuple[int, int], lanes: int, number_bits: int, pairs: bool = False
    ) -> None:
        """Append a matrix of (rows, columns) numbers of `number_bits`, or of pairs of them."""
        rows, columns = shape
        bits = number_bits * lanes * (2 if pairs else 1)
        self.regions.append((content, layer, self.n_words, rows, columns, lanes, bits, pairs))
        self.n_words += rows * words_of(columns, lanes)


def x_content(number: int) -> str:
    """Name of the x words of connection `number` of a layer."""
    return f"x{number}"


def history_groups(spec: CoreSpec) -> list[tuple[int, int]]:
    """Section 9: (layer, bits) of the input events, of every hidden layer, of every e; empty unless rule unrolls."""
    if spec.credit != "unroll":
        return []
    hidden = [(index, spec.layers[index].n_out * (1 + spec.surrogate_bits)) for index in hidden_layers(spec)]
    errors = [(index, spec.layers[index].n_out * spec.error_bits) for index in readouts(spec)]
    return [(0, n_network_inputs(spec) * spec.event_bits), *hidden, *errors]


def make_plans(spec: CoreSpec, chip: ChipShape, groups: list[tuple[int, int]]) -> dict[str, Plan]:
    """Lay out every memory, within a table layer by layer."""
    plans = {
        "synapse": Plan(),
        "neuron": _neurons(spec, chip),
        "trace": _traces(spec, chip),
        "error": _errors(spec, chip),
        "gradient": Plan(),
        "history": Plan(),
    }
    learning = learning_layers(spec) if spec.update == "accumulate" else []
    for index, layer in enumerate(spec.layers):
        if spec.credit != "none" or runs(spec, index, learn=False):
            matrix = (n_rows(layer), layer.columns)
            plans["synapse"].add("synapse", index, matrix, chip.lanes, spec.weight_bits)
    for content in ("gradient", "velocity") if spec.momentum_shift > 0 else ("gradient",):
        for index in learning:
            matrix = (n_rows(spec.layers[index]), spec.layers[index].columns)
            plans["gradient"].add(content, index, matrix, chip.lanes, spec.gradient_bits)
    step_words = sum(words_of(bits, chip.history_word_bits) for _, bits in groups)
    if groups:
        plans["history"].add("history", 0, (spec.window_steps, step_words), 1, chip.history_word_bits)
    return plans


def _outputs(layer: LayerSpec) -> tuple[int, int]:
    return layer.n_blocks, layer.columns


def _neurons(spec: CoreSpec, chip: ChipShape) -> Plan:
    """u of hidden layers, z of readouts, each beside i if there is one; the sum of z of the last."""
    plan, last = Plan(), len(spec.layers) - 1
    for index in hidden_layers(spec):
        layer = spec.layers[index]
        plan.add("potential", index, _outputs(layer), chip.lanes, spec.membrane_bits, layer.has_current)
    for index in readouts(spec):
        if runs(spec, index, spec.credit != "none"):
            layer = spec.layers[index]
            plan.add("potential", index, _outputs(layer), chip.lanes, spec.readout_bits, layer.has_current)
    sum_bits = spec.readout_bits + (spec.n_steps - 1).bit_length()
    plan.add("sum", last, _outputs(spec.layers[last]), chip.lanes, sum_bits)
    return plan


def _traces(spec: CoreSpec, chip: ChipShape) -> Plan:
    """f and a per layer; for a convolution a row per position and group."""
    plan = Plan()
    for index, layer in enumerate(spec.layers):
        if not keeps_trace(spec, layer):
            continue
        conv = layer.conv
        shape = (1, layer.n_in)
        if conv is not None:
            shape = (conv.height * conv.width * conv.groups, conv.channels // conv.groups)
        if layer.filter_leak_kind != LEAK_NONE:
            plan.add("filter", index, shape, chip.trace_lanes, spec.trace_bits)
        plan.add("trace", index, shape, chip.trace_lanes, spec.trace_bits)
    return plan


def _errors(spec: CoreSpec, chip: ChipShape) -> Plan:
    """psi, then e and g, then delta (epsilon beside it where there is a current), then x words."""
    plan = Plan()
    if spec.credit == "none":
        return plan
    signals = [index for index, layer in enumerate(spec.layers) if layer.kind != "feedback"]
    deltas = [index for index in signals if carries_delta(spec, spec.layers[index])]
    if spec.credit != "unroll":
        for index in hidden_layers(spec):
            plan.add("psi", index, _outputs(spec.layers[index]), chip.lanes, spec.surrogate_bits)
    for index in signals:
        if index not in deltas:
            plan.add("signal", index, _outputs(spec.layers[index]), chip.lanes, spec.error_bits)
    for index in deltas:
        layer = spec.layers[index]
        plan.add("signal", index, _outputs(layer), chip.lanes, spec.delta_bits, layer.has_current)
    ways = error_ways(spec)
    for index in range(len(spec.layers)):
        for way in (ways.get(index), recurrent_way(spec, index)):
            for number in way.numbers if way is not None and not way.direct else ():
                shape = x_shape(spec, spec.connections(index)[number])
                plan.add(x_content(number), index, shape, chip.lanes, PARTIAL_SUM_BITS)
    return plan
