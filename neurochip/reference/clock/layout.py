"""Which word lies where: the memories of a core, made from a specification and a chip (docs/microarchitecture.md)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from neurochip.errors import UserError
from neurochip.reference.clock.dram import DramSpace
from neurochip.reference.clock.fifo import EventFifo
from neurochip.reference.clock.memory import Memory, Tag, Word
from neurochip.reference.core.memory import keeps_trace, load_weights
from neurochip.spec import CoreSpec

Space = Memory | DramSpace
SPILLABLE = ("synapse", "gradient", "history")


class MemoryShape(Protocol):
    """One memory of a chip."""

    @property
    def ports(self) -> str: ...
    @property
    def words(self) -> int: ...
    @property
    def bank_words(self) -> int: ...
    @property
    def read_latency_cycles(self) -> int: ...


class ChipShape(Protocol):
    """What the clock model takes from a chip."""

    @property
    def lanes(self) -> int: ...
    @property
    def trace_lanes(self) -> int: ...
    @property
    def scan_width(self) -> int: ...
    @property
    def history_word_bits(self) -> int: ...
    @property
    def div_cycles(self) -> int: ...
    @property
    def pipeline_latency_cycles(self) -> int: ...
    @property
    def memories(self) -> Mapping[str, Any]: ...  # name -> MemoryShape
    @property
    def overflow(self) -> str: ...
    @property
    def dram(self) -> Any: ...  # None, or an object with bus_bits and latency_cycles


class Gates(Protocol):
    """Which zeros the core skips."""

    @property
    def zero_trace(self) -> bool: ...
    @property
    def zero_error(self) -> bool: ...
    @property
    def zero_surrogate(self) -> bool: ...


def words_of(columns: int, lanes: int) -> int:
    """Words of a vector, the last one perhaps partial."""
    return -(-columns // lanes)


@dataclass(frozen=True)
class Region:
    """A matrix of `n_rows` rows of `n_columns` numbers in one memory, each row from a word of its own."""

    space: Space
    base: int
    n_rows: int
    n_columns: int
    lanes: int
    layer: int
    width_bits: int  # of a whole word

    @property
    def row_words(self) -> int:
        """Words of a row."""
        return words_of(self.n_columns, self.lanes)

    def tag(self, phase: str) -> Tag:
        """What accesses of this region are counted under in a phase."""
        return (phase, self.layer, self.width_bits)

    def columns(self, word: int) -> slice:
        """The columns a word of a row holds."""
        return slice(word * self.lanes, min(self.n_columns, (word + 1) * self.lanes))

    def load(self, rows: Sequence[Word]) -> None:
        """Put all rows in place before the clock runs."""
        for row, values in enumerate(rows):
            for word in range(self.row_words):
                self.space.load(self.base + row * self.row_words + word, list(values[self.columns(word)]))

    def image(self) -> list[list[int]]:
        """All rows as they lie in the memory; a word that was never written reads as 0."""
        rows = []
        for row in range(self.n_rows):
            values: list[int] = []
            for word in range(self.row_words):
                columns = self.columns(word)
                held = self.space.peek(self.base + row * self.row_words + word)
                values += held if held is not None else [0] * (columns.stop - columns.start)
            rows.append(values)
        return rows


class Plan:
    """Regions of one memory, appended one after the other before its size is known."""

    def __init__(self) -> None:
        self.n_words = 0
        self.regions: list[tuple[str, int, int, int, int, int, int]] = []

    def add(self, content: str, layer: int, n_rows: int, n_columns: int, lanes: int, number_bits: int) -> None:
        """Append a matrix of numbers of `number_bits`."""
        self.regions.append((content, layer, self.n_words, n_rows, n_columns, lanes, number_bits * lanes))
        self.n_words += n_rows * words_of(n_columns, lanes)


class Layout:
    """The memories of one core, and where in them each layer's words lie.

    Attributes:
        spaces: memory name -> its words, on the chip or in DRAM; only memories that hold something.
        fifo: the event FIFO.
        history_groups: (layer, bits) of the groups kept per step, in the order they lie in.
    """

    def __init__(self, spec: CoreSpec, weights: Sequence[Sequence[Sequence[int]]], chip: ChipShape) -> None:
        self.history_groups = history_groups(spec)
        self.spaces: dict[str, Space] = {}
        self._regions: dict[tuple[str, int], Region] = {}
        for name, plan in make_plans(spec, chip, self.history_groups).items():
            if plan.n_words == 0:
                continue
            space = self.spaces[name] = make_space(name, plan.n_words, chip)
            for content, layer, base, n_rows, n_columns, lanes, bits in plan.regions:
                region = Region(space, base, n_rows, n_columns, lanes, layer, bits)
                self._regions[content, layer] = region
        if "event_fifo" not in chip.memories:
            raise UserError("memories.event_fifo is missing in the chip; ottt_core needs one of at least 1 word")
        self.fifo = EventFifo(chip.memories["event_fifo"].words)
        self._load(spec, weights)

    def region(self, content: str, layer: int) -> Region:
        """Where "potential", "sum", "synapse", "gradient", "trace", "psi", "signal" or "history" of a layer lies.

        "potential" of the readout is z; "signal" is e, g or delta, whatever the layer learns from.
        """
        return self._regions[content, layer]

    def _load(self, spec: CoreSpec, weights: Sequence[Sequence[Sequence[int]]]) -> None:
        """Weights, and the zeros that the first step, accumulation and trace find."""
        for layer, rows in enumerate(load_weights(spec, weights)):
            self.region("synapse", layer).load(rows)
            for content in ("potential", "gradient", "trace"):
                if (content, layer) in self._regions:
                    region = self.region(content, layer)
                    region.load([[0] * region.n_columns] * region.n_rows)


def history_groups(spec: CoreSpec) -> list[tuple[int, int]]:
    """Section 9: (layer, bits) of the input events, of every hidden layer, and of e; empty unless rule unrolls."""
    if spec.credit != "unroll":
        return []
    hidden = [(index, layer.n_out * (1 + spec.surrogate_bits)) for index, layer in enumerate(spec.layers[:-1])]
    last = len(spec.layers) - 1
    return [(0, spec.layers[0].n_in * spec.event_bits), *hidden, (last, spec.layers[-1].n_out * spec.error_bits)]


def make_plans(spec: CoreSpec, chip: ChipShape, groups: list[tuple[int, int]]) -> dict[str, Plan]:
    """Lay out every memory in the order of the tables of section 1, within a memory layer by layer."""
    plans = {name: Plan() for name in ("synapse", "neuron", "trace", "error", "gradient", "history")}
    lanes, learns, unrolls = chip.lanes, spec.credit != "none", spec.credit == "unroll"
    last = len(spec.layers) - 1
    for index, layer in enumerate(spec.layers):
        n_rows = layer.n_in + int(layer.bias)
        plans["synapse"].add("synapse", index, n_rows, layer.n_out, lanes, spec.weight_bits)
        if learns and spec.update == "accumulate":
            plans["gradient"].add("gradient", index, n_rows, layer.n_out, lanes, spec.gradient_bits)
        potential_bits = spec.membrane_bits if index < last else spec.readout_bits
        plans["neuron"].add("potential", index, 1, layer.n_out, lanes, potential_bits)
        if keeps_trace(spec, layer):
            plans["trace"].add("trace", index, 1, layer.n_in, chip.trace_lanes, spec.trace_bits)
        if learns and not unrolls and index < last:
            plans["error"].add("psi", index, 1, layer.n_out, lanes, spec.surrogate_bits)
    n_classes = spec.layers[-1].n_out
    sum_bits = spec.readout_bits + (spec.n_steps - 1).bit_length()
    plans["neuron"].add("sum", last, 1, n_classes, lanes, sum_bits)
    if learns and not unrolls:
        for index, layer in enumerate(spec.layers):
            plans["error"].add("signal", index, 1, layer.n_out, lanes, spec.error_bits)
    if unrolls:
        plans["error"].add("signal", last, 1, n_classes, lanes, spec.error_bits)
        for index, layer in enumerate(spec.layers[:-1]):
            plans["error"].add("signal", index, 1, layer.n_out, lanes, spec.delta_bits)
    step_words = sum(words_of(bits, chip.history_word_bits) for _, bits in groups)
    plans["history"].add("history", 0, spec.n_steps, step_words, 1, chip.history_word_bits)
    return plans


def make_space(name: str, n_words: int, chip: ChipShape) -> Space:
    """A memory of the chip, enlarged if it may grow, or the same words in DRAM if it may spill and does not fit.

    Raises:
        UserError: if the words do not fit and the chip has no way out.
    """
    shape = chip.memories.get(name)
    available = 0 if shape is None else shape.words
    if n_words > available and chip.overflow == "dram" and name in SPILLABLE:
        if chip.dram is None:
            raise UserError('overflow is "dram", which needs dram.bus_bits and dram.latency_cycles of the chip')
        return DramSpace(name, n_words, chip.dram.bus_bits, chip.dram.latency_cycles)
    if shape is None:
        raise UserError(f"memories.{name} is missing in the chip; the network and its rule need {n_words} words of it")
    if n_words > available and chip.overflow != "grow":
        raise UserError(
            f"memories.{name} has {available} words; the network and its rule need {n_words} (overflow = "
            f'"{chip.overflow}"; allowed to exceed it are any memory with "grow", {", ".join(SPILLABLE)} with "dram")'
        )
    return Memory(name, shape.ports, shape.bank_words, n_words, shape.read_latency_cycles)
