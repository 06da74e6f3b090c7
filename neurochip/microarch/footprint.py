"""Footprint: bits and words of every memory from shapes, rule and T; and T*, where the history catches up.

The bits are those the golden core allocates (docs/decisions/0002-footprint.md).
"""

from __future__ import annotations

from dataclasses import replace

from neurochip.errors import UserError
from neurochip.microarch.error_paths import ErrorPath, delayed_path, forward_paths, x_words
from neurochip.microarch.interface import ChipTiming
from neurochip.microarch.shapes import (
    carries_delta,
    ceil_div,
    fifo_bits,
    history_groups_bits,
    is_stored,
    layer_learns,
    learns,
    n_rows,
    potential_bits,
    readout_sum_bits,
    row_words,
    runs_forward,
    trace_words,
    values_per_potential,
    values_per_signal,
    values_per_trace,
    vector_words,
)
from neurochip.spec import CoreSpec

SPILLS = ("history", "gradient", "synapse")  # memories that overflow mode "dram" moves off the chip
PARTIAL_SUM_BITS = 32  # of a value X of an x word


def footprint_bits(spec: CoreSpec) -> dict[str, int]:
    """Bits stored per memory (0 where the rule stores nothing); their sum is the footprint of the network."""
    stored = _stored(spec)
    synapses = {index: n_rows(spec.layers[index]) * spec.layers[index].columns for index in stored}
    neurons = sum(spec.layers[index].n_out * _potential_bits(spec, index) for index in stored)
    traces = sum(values_per_trace(spec, index) * layer.n_in for index, layer in enumerate(spec.layers))
    partial_sums = sum(path.connection.n_addresses for path in _indirect_paths(spec))
    error = sum(spec.layers[index].n_out * sum(_error_bits(spec, index)) for index in stored)
    return {
        "synapse": sum(synapses.values()) * spec.weight_bits,
        "neuron": neurons + spec.layers[-1].n_out * readout_sum_bits(spec),
        "trace": traces * spec.trace_bits,
        "error": error + partial_sums * PARTIAL_SUM_BITS if learns(spec) else 0,
        "gradient": _per_gradient(spec) * sum(synapses[i] for i in _accumulating(spec)) * spec.gradient_bits,
        "history": history_bits_per_step(spec) * spec.window_steps if spec.credit == "unroll" else 0,
    }


def _stored(spec: CoreSpec) -> list[int]:
    return [index for index in range(len(spec.layers)) if is_stored(spec, index)]


def _accumulating(spec: CoreSpec) -> list[int]:
    """Layers with gradients."""
    return [i for i in range(len(spec.layers)) if spec.update == "accumulate" and layer_learns(spec, i)]


def _per_gradient(spec: CoreSpec) -> int:
    """Values kept per weight that accumulates: G, and V with momentum."""
    return 2 if spec.momentum_shift > 0 else 1


def _potential_bits(spec: CoreSpec, index: int) -> int:
    """Bits of u or z of one output, with those of i if there is a synaptic current; none in a `feedback` layer."""
    layer = spec.layers[index]
    return 0 if layer.kind == "feedback" else potential_bits(spec, index) * values_per_potential(layer)


def _error_bits(spec: CoreSpec, index: int) -> list[int]:
    """Widths of what the error memory holds for one output of a stored layer: δ, with ε or not; e; or ψ and g."""
    layer = spec.layers[index]
    if layer.kind == "feedback":
        return []
    if carries_delta(spec, index):
        return [spec.delta_bits * values_per_signal(spec, index)]
    return [spec.surrogate_bits, spec.error_bits] if layer.is_hidden else [spec.error_bits]


def _indirect_paths(spec: CoreSpec) -> list[ErrorPath]:
    """Connections whose X is kept in x words."""
    found: list[ErrorPath] = []
    for index in range(len(spec.layers)):
        delayed = delayed_path(spec, index)
        found += [path for path in forward_paths(spec, index) if not path.direct] + ([delayed] if delayed else [])
    return found


def bptt_beside(spec: CoreSpec) -> tuple[str, CoreSpec] | None:
    """Name and memories of the BPTT that a rule is compared with: the same network and widths, unrolled over all steps.

    None for inference, and for networks with heads or `feedback` layers, which BPTT does not have. The rate is not that
    of a run of BPTT, so the specification serves for its footprint only.
    """
    name = {"immediate": "bptt-o", "accumulate": "bptt"}.get(spec.update)
    if name is None or not learns(spec) or any(layer.kind in ("readout", "feedback") for layer in spec.layers[:-1]):
        return None
    return name, replace(spec, credit="unroll", unroll_steps=0)


def history_bits_per_step(spec: CoreSpec) -> int:
    """Bits that unrolling this network keeps per step, whatever the rule of `spec`."""
    return sum(bits for _, bits in history_groups_bits(spec))


def history_words_per_step(spec: CoreSpec, chip: ChipTiming) -> int:
    """History words that unrolling this network keeps per step, each group in words of its own."""
    return sum(ceil_div(bits, chip.history_word_bits) for _, bits in history_groups_bits(spec))


def footprint_words(spec: CoreSpec, chip: ChipTiming) -> dict[str, int]:
    """Words per memory when every row and every vector starts at a word of its own."""
    layers, lanes, stored = spec.layers, chip.lanes, _stored(spec)
    vectors = {index: vector_words(layers[index], lanes) for index in stored}
    synapses = {index: n_rows(layers[index]) * row_words(layers[index], lanes) for index in stored}
    error = sum(vectors[index] * len(_error_bits(spec, index)) for index in stored)
    error += sum(x_words(spec, path, lanes) for path in _indirect_paths(spec))
    traces = [values_per_trace(spec, i) * trace_words(layers[i], chip.trace_lanes) for i in range(len(layers))]
    return {
        "synapse": sum(synapses.values()),
        "neuron": sum(vectors[i] for i in stored if layers[i].kind != "feedback") + vectors[len(layers) - 1],
        "trace": sum(traces),
        "error": error if learns(spec) else 0,
        "gradient": _per_gradient(spec) * sum(synapses[index] for index in _accumulating(spec)),
        "history": history_words_per_step(spec, chip) * spec.window_steps if spec.credit == "unroll" else 0,
    }


def spilled_memories(spec: CoreSpec, chip: ChipTiming) -> frozenset[str]:
    """Memories that lie in DRAM as a whole: with overflow = "dram", those of SPILLS that do not fit, or are missing.

    Raises:
        UserError: weights or gradients of a network with a convolution, or weights that are standardised while
            learning, do not fit; they cannot lie there.
    """
    if chip.overflow != "dram":
        return frozenset()
    words = footprint_words(spec, chip)
    held = {name: chip.memories[name].words for name in SPILLS if name in chip.memories}
    spilled = frozenset(name for name in SPILLS if words[name] > held.get(name, 0))
    unmovable = sorted(spilled - {"history"}) if any(layer.conv is not None for layer in spec.layers) else []
    if "synapse" in spilled and learns(spec) and spec.standardise_every > 0:
        raise UserError(
            f"{getattr(chip, 'file', 'the chip')}: memories.synapse holds {held.get('synapse', 0)} words but "
            f'{words["synapse"]} are needed, and weights in DRAM (overflow = "dram") are not standardised '
            f"(learning.standardise_every = {spec.standardise_every}, allowed is 0); make this memory larger, or set "
            'chip.overflow = "grow"'
        )
    if unmovable:
        name = unmovable[0]
        raise UserError(
            f"{getattr(chip, 'file', 'the chip')}: memories.{name} holds {held.get(name, 0)} words but {words[name]} "
            f'are needed, and overflow = "dram" moves {name} only for networks without convolution; make this memory '
            'larger, or set chip.overflow = "grow"'
        )
    return spilled


def word_bits(spec: CoreSpec, chip: ChipTiming) -> dict[str, int]:
    """Bits of a word of each memory: of the widest word stored there, since a memory has one width."""
    lanes, stored = chip.lanes, _stored(spec)
    potentials = [readout_sum_bits(spec)] + [_potential_bits(spec, index) for index in stored]
    errors = [spec.error_bits] + [bits for index in stored for bits in _error_bits(spec, index)]
    if _indirect_paths(spec):
        errors.append(PARTIAL_SUM_BITS)
    delivering = [index for index in range(len(spec.layers)) if runs_forward(spec, index, learns(spec))]
    return {
        "event_fifo": max(fifo_bits(spec, index) for index in delivering),
        "synapse": lanes * spec.weight_bits,
        "neuron": lanes * max(potentials),
        "trace": chip.trace_lanes * spec.trace_bits,
        "error": lanes * max(errors),
        "gradient": lanes * spec.gradient_bits,
        "history": chip.history_word_bits,
    }


def steps_where_history_equals_weights(spec: CoreSpec) -> float:
    """T*: the number of steps at which unrolling this network keeps as many bits as its weights and biases have.

    T* = synapse bits / history bits per step, whatever the rule of `spec`; heads and `feedback` layers, which a rule
    adds, are left out.
    """
    network = _without_rule(spec)
    return footprint_bits(network)["synapse"] / history_bits_per_step(network)


def _without_rule(spec: CoreSpec) -> CoreSpec:
    """The network as inference runs it."""
    return replace(spec, credit="none", update="none")


def steps_where_history_leaves_chip(spec: CoreSpec, chip: ChipTiming) -> int | None:
    """The smallest T whose history does not fit the chip's history memory, as above; None if the chip has none.

    Raises:
        UserError: if history_word_bits is not positive.
    """
    if chip.history_word_bits < 1:
        raise UserError(f"history_word_bits of the chip is {chip.history_word_bits}; it must be at least 1")
    if "history" not in chip.memories:
        return None
    return chip.memories["history"].words // history_words_per_step(_without_rule(spec), chip) + 1
