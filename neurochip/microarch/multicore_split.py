"""How a network is split over the cores of a mesh: slices of neurons, and what a core keeps (docs/multicore.md)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from neurochip.errors import UserError
from neurochip.microarch.interface import ChipTiming
from neurochip.microarch.shapes import (
    ceil_div,
    event_bits,
    keeps_trace,
    learns,
    n_rows,
    readout_sum_bits,
)
from neurochip.spec import CoreSpec


@dataclass(frozen=True)
class Slice:
    """Output neurons `first` to `last` − 1 of a layer, with all their synapses."""

    layer: int
    first: int
    last: int

    @property
    def n_out(self) -> int:
        return self.last - self.first


Core = tuple[Slice, ...]  # at most one slice of a layer, layers ascending


@dataclass(frozen=True)
class Split:
    """The cores in use, in order: cores[k] are the slices of core k."""

    cores: tuple[Core, ...]

    def of_layer(self, layer: int) -> list[tuple[int, Slice]]:
        """(core, slice) of every slice of a layer, neurons ascending."""
        return [(core, part) for core, held in enumerate(self.cores) for part in held if part.layer == layer]

    def share_a_core(self, lower: int, upper: int) -> bool:
        """Whether two layers lie entirely on the same core."""
        below, above = self.of_layer(lower), self.of_layer(upper)
        return len(below) == len(above) == 1 and below[0][0] == above[0][0]


def split_network(spec: CoreSpec, chip: ChipTiming) -> Split:
    """Split a network over as many cores as it needs, layers in order; the mesh may be too small for them.

    A layer that fits one core is not split: it joins the last core if it fits beside what is there, else it opens a new
    one. A layer that does not is split into as few slices as fit, as equal as whole words of L neurons allow.

    Raises:
        UserError: a readout, or one word of L neurons of a layer, that does not fit one core.
    """
    cores: list[list[Slice]] = [[]]
    for index, layer in enumerate(spec.layers):
        whole = Slice(index, 0, layer.n_out)
        parts = [whole] if misfit([whole], spec, chip) is None else _slices(index, spec, chip)
        for part in parts:
            alone = len(parts) > 1 and cores[-1]
            if alone or misfit([*cores[-1], part], spec, chip) is not None:
                cores.append([])
            cores[-1].append(part)
    return Split(tuple(tuple(core) for core in cores))


def _slices(index: int, spec: CoreSpec, chip: ChipTiming) -> list[Slice]:
    layer, lanes = spec.layers[index], chip.lanes
    n_words = ceil_div(layer.n_out, lanes)
    is_readout = index == len(spec.layers) - 1
    least = misfit([Slice(index, 0, layer.n_out if is_readout else min(lanes, layer.n_out))], spec, chip)
    if least is not None:
        memory, words, held = least
        part = f"the readout of {layer.n_out} classes" if is_readout else f"a word of {lanes} neurons of layer {index}"
        raise UserError(
            f"{_name(chip)}: {part} does not fit one core, and cannot be split further: it needs {words} "
            f"words of memories.{memory}, a core has {held}; use a smaller network or larger memories"
        )
    fitting, failing = 1, n_words
    while failing - fitting > 1:
        middle = (fitting + failing) // 2
        if misfit([Slice(index, 0, min(middle * lanes, layer.n_out))], spec, chip) is None:
            fitting = middle
        else:
            failing = middle
    n_slices = ceil_div(n_words, fitting)
    edges = [min(ceil_div(k * n_words, n_slices) * lanes, layer.n_out) for k in range(n_slices + 1)]
    return [Slice(index, first, last) for first, last in itertools.pairwise(edges)]


def misfit(core: Sequence[Slice], spec: CoreSpec, chip: ChipTiming) -> tuple[str, int, int] | None:
    """The first memory too small for these slices: (name, words needed, words there are); None if all fit.

    Raises:
        UserError: a memory that is needed and missing.
    """
    for name, words in core_words(core, spec, chip).items():
        if words and name not in chip.memories:
            raise UserError(f"{_name(chip)}: memories.{name} is missing, but {words} words of it are needed; add it")
        if words and words > chip.memories[name].words:
            return name, words, chip.memories[name].words
    return None


def core_words(core: Sequence[Slice], spec: CoreSpec, chip: ChipTiming) -> dict[str, int]:
    """Words per memory that a core with these slices needs; for a whole network those of `footprint_words`."""
    readout = len(spec.layers) - 1
    vectors = [(part, ceil_div(part.n_out, chip.lanes)) for part in core]
    synapse = sum(n_rows(spec.layers[part.layer]) * words for part, words in vectors)
    per_hidden_error = 1 if spec.credit == "unroll" else 2
    traces = [
        ceil_div(spec.layers[part.layer].n_in, chip.trace_lanes) for part in core if keeps_trace(spec, part.layer)
    ]
    accumulates = learns(spec) and spec.update == "accumulate"
    per_step = sum(ceil_div(bits, chip.history_word_bits) for _, bits in history_groups(core, spec))
    error = sum(words * (1 if part.layer == readout else per_hidden_error) for part, words in vectors)
    return {
        "synapse": synapse,
        "neuron": sum(words * (2 if part.layer == readout else 1) for part, words in vectors),
        "trace": sum(traces),
        "error": error if learns(spec) else 0,
        "gradient": synapse if accumulates else 0,
        "history": per_step * spec.n_steps,
    }


def core_bits(core: Sequence[Slice], spec: CoreSpec) -> dict[str, int]:
    """Bits stored per memory of a core with these slices; for a whole network those of `footprint_bits`."""
    readout = len(spec.layers) - 1
    synapses = sum(n_rows(spec.layers[part.layer]) * part.n_out for part in core)
    hidden = sum(part.n_out for part in core if part.layer != readout)
    classes = sum(part.n_out for part in core if part.layer == readout)
    traces = sum(spec.layers[part.layer].n_in for part in core if keeps_trace(spec, part.layer))
    per_neuron = spec.delta_bits if spec.credit == "unroll" else spec.surrogate_bits + spec.error_bits
    accumulates = learns(spec) and spec.update == "accumulate"
    return {
        "synapse": synapses * spec.weight_bits,
        "neuron": hidden * spec.membrane_bits + classes * (spec.readout_bits + readout_sum_bits(spec)),
        "trace": traces * spec.trace_bits,
        "error": hidden * per_neuron + classes * spec.error_bits if learns(spec) else 0,
        "gradient": synapses * spec.gradient_bits if accumulates else 0,
        "history": sum(bits for _, bits in history_groups(core, spec)) * spec.n_steps,
    }


def history_groups(core: Sequence[Slice], spec: CoreSpec) -> list[tuple[int, int]]:
    """(layer, bits) per step that a core keeps under `unroll`, each group in words of its own.

    Input events of every slice whose layer below is not on this core as a whole; codes ψ of its hidden neurons, with
    the spikes beside where the next layer lies here as a whole too; e of the readout.
    """
    if spec.credit != "unroll":
        return []
    whole = {part.layer for part in core if part.n_out == spec.layers[part.layer].n_out}
    groups = []
    for part in core:
        layer = spec.layers[part.layer]
        if not {part.layer - 1, part.layer} <= whole:
            groups.append((part.layer, layer.n_in * event_bits(spec, part.layer)))
        if part.layer == len(spec.layers) - 1:
            groups.append((part.layer, part.n_out * spec.error_bits))
        else:
            spike_bits = 1 if {part.layer, part.layer + 1} <= whole else 0
            groups.append((part.layer, part.n_out * (spike_bits + spec.surrogate_bits)))
    return groups


def _name(chip: ChipTiming) -> str:
    return str(getattr(chip, "file", "") or "the chip")
