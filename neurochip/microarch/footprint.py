"""Footprint: bits and words of every memory from shapes, rule and T; and T*, where the history catches up.

The bits are those the golden core allocates (docs/decisions/0002-footprint.md).
"""

from __future__ import annotations

from neurochip.errors import UserError
from neurochip.microarch.interface import ChipTiming
from neurochip.microarch.shapes import (
    ceil_div,
    fifo_bits,
    history_groups_bits,
    keeps_trace,
    learns,
    n_rows,
    readout_sum_bits,
)
from neurochip.spec import CoreSpec

SPILLS = ("history", "gradient", "synapse")  # memories that overflow mode "dram" moves off the chip


def footprint_bits(spec: CoreSpec) -> dict[str, int]:
    """Bits stored per memory (0 where the rule stores nothing); their sum is the footprint of the network."""
    hidden, readout = spec.layers[:-1], spec.layers[-1]
    n_hidden = sum(layer.n_out for layer in hidden)
    synapses = sum(n_rows(layer) * layer.n_out for layer in spec.layers)
    traces = sum(layer.n_in for index, layer in enumerate(spec.layers) if keeps_trace(spec, index))
    per_neuron = spec.delta_bits if spec.credit == "unroll" else spec.surrogate_bits + spec.error_bits
    error = n_hidden * per_neuron + readout.n_out * spec.error_bits
    accumulates = learns(spec) and spec.update == "accumulate"
    return {
        "synapse": synapses * spec.weight_bits,
        "neuron": n_hidden * spec.membrane_bits + readout.n_out * (spec.readout_bits + readout_sum_bits(spec)),
        "trace": traces * spec.trace_bits,
        "error": error if learns(spec) else 0,
        "gradient": synapses * spec.gradient_bits if accumulates else 0,
        "history": history_bits_per_step(spec) * spec.n_steps if spec.credit == "unroll" else 0,
    }


def history_bits_per_step(spec: CoreSpec) -> int:
    """Bits that unrolling this network keeps per step, whatever the rule of `spec`."""
    return sum(bits for _, bits in history_groups_bits(spec))


def history_words_per_step(spec: CoreSpec, chip: ChipTiming) -> int:
    """History words that unrolling this network keeps per step, each group in words of its own."""
    return sum(ceil_div(bits, chip.history_word_bits) for _, bits in history_groups_bits(spec))


def footprint_words(spec: CoreSpec, chip: ChipTiming) -> dict[str, int]:
    """Words per memory when every row and every vector starts at a word of its own."""
    words = [ceil_div(layer.n_out, chip.lanes) for layer in spec.layers]
    hidden_words, readout_words = sum(words[:-1]), words[-1]
    synapse_words = sum(n_rows(layer) * per_row for layer, per_row in zip(spec.layers, words, strict=True))
    error_words = hidden_words * (1 if spec.credit == "unroll" else 2) + readout_words
    accumulates = learns(spec) and spec.update == "accumulate"
    return {
        "synapse": synapse_words,
        "neuron": hidden_words + 2 * readout_words,
        "trace": sum(
            ceil_div(layer.n_in, chip.trace_lanes)
            for index, layer in enumerate(spec.layers)
            if keeps_trace(spec, index)
        ),
        "error": error_words if learns(spec) else 0,
        "gradient": synapse_words if accumulates else 0,
        "history": history_words_per_step(spec, chip) * spec.n_steps if spec.credit == "unroll" else 0,
    }


def spilled_memories(spec: CoreSpec, chip: ChipTiming) -> frozenset[str]:
    """Memories that lie in DRAM as a whole: with overflow = "dram", those of SPILLS that do not fit, or are missing."""
    if chip.overflow != "dram":
        return frozenset()
    words = footprint_words(spec, chip)
    held = {name: chip.memories[name].words for name in SPILLS if name in chip.memories}
    return frozenset(name for name in SPILLS if words[name] > held.get(name, 0))


def word_bits(spec: CoreSpec, chip: ChipTiming) -> dict[str, int]:
    """Bits of a word of each memory: of the widest word stored there, since a memory has one width."""
    lanes = chip.lanes
    has_hidden = len(spec.layers) > 1
    potentials = [readout_sum_bits(spec)] + ([spec.membrane_bits] if has_hidden else [])
    errors = [spec.error_bits]
    if has_hidden:
        errors.append(spec.delta_bits if spec.credit == "unroll" else spec.surrogate_bits)
    return {
        "event_fifo": max(fifo_bits(spec, index) for index in range(len(spec.layers))),
        "synapse": lanes * spec.weight_bits,
        "neuron": lanes * max(potentials),
        "trace": chip.trace_lanes * spec.trace_bits,
        "error": lanes * max(errors),
        "gradient": lanes * spec.gradient_bits,
        "history": chip.history_word_bits,
    }


def steps_where_history_equals_weights(spec: CoreSpec) -> float:
    """T*: the number of steps at which unrolling this network keeps as many bits as its weights and biases have.

    T* = synapse bits / history bits per step, whatever the rule of `spec`.
    """
    return footprint_bits(spec)["synapse"] / history_bits_per_step(spec)


def steps_where_history_leaves_chip(spec: CoreSpec, chip: ChipTiming) -> int | None:
    """The smallest T whose history does not fit the chip's history memory; None if the chip has none.

    Raises:
        UserError: if history_word_bits is not positive.
    """
    if chip.history_word_bits < 1:
        raise UserError(f"history_word_bits of the chip is {chip.history_word_bits}; it must be at least 1")
    if "history" not in chip.memories:
        return None
    return chip.memories["history"].words // history_words_per_step(spec, chip) + 1
