"""Which word lies where: the memories of a core, made from a specification and a chip (docs/microarchitecture.md)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from neurochip.errors import UserError
from neurochip.reference.clock.dram import DramSpace
from neurochip.reference.clock.fifo import EventFifo
from neurochip.reference.clock.memory import Memory, Tag, Word
from neurochip.reference.clock.plans import history_groups, make_plans
from neurochip.reference.clock.shapes import ChipShape, words_of
from neurochip.reference.core.memory import load_weights
from neurochip.spec import CoreSpec

Space = Memory | DramSpace
SPILLABLE = ("synapse", "gradient", "history")
MATRICES = ("synapse", "gradient")  # in DRAM only without a convolution


@dataclass(frozen=True)
class Region:
    """A matrix of `n_rows` rows of `n_columns` numbers in one memory, each row from a word of its own.

    A vector over the outputs of a layer has one row per block. With `pairs` every number has a second one, and a
    word holds the first ones of its columns, then the second ones: u and i, epsilon and delta.
    """

    space: Space
    base: int
    n_rows: int
    n_columns: int
    lanes: int
    layer: int
    width_bits: int  # of a whole word
    pairs: bool = False

    @property
    def row_words(self) -> int:
        """Words of a row."""
        return words_of(self.n_columns, self.lanes)

    @property
    def n_words(self) -> int:
        """Words of all rows."""
        return self.n_rows * self.row_words

    def tag(self, phase: str, layer: int | None = None) -> Tag:
        """What accesses of this region are counted under in a phase; `layer`: on behalf of another layer."""
        return (phase, self.layer if layer is None else layer, self.width_bits)

    def columns(self, word: int) -> slice:
        """The columns a word of a row holds."""
        return slice(word * self.lanes, min(self.n_columns, (word + 1) * self.lanes))

    def numbers(self, word: int) -> slice:
        """The numbers a word holds, out of all numbers of the region row by row."""
        row, word_of_row = divmod(word, self.row_words)
        columns = self.columns(word_of_row)
        return slice(row * self.n_columns + columns.start, row * self.n_columns + columns.stop)

    def word_of(self, number: int) -> int:
        """The word that holds a number of the region."""
        row, column = divmod(number, self.n_columns)
        return row * self.row_words + column // self.lanes

    def first(self, held: Word) -> Word:
        """The numbers of a word, of pairs the first ones."""
        return halves(held)[0] if self.pairs else held

    def load(self, rows: Sequence[Word]) -> None:
        """Put all rows in place before the clock runs; of pairs the first ones, beside 0."""
        for row, values in enumerate(rows):
            for word in range(self.row_words):
                numbers = list(values[self.columns(word)])
                beside = [0] * len(numbers) if self.pairs else []
                self.space.load(self.base + row * self.row_words + word, numbers + beside)

    def image(self) -> list[list[int]]:
        """All rows, of pairs the first ones, as they lie in the memory; a word that was never written reads as 0."""
        rows = []
        for row in range(self.n_rows):
            values: list[int] = []
            for word in range(self.row_words):
                columns = self.columns(word)
                held = self.space.peek(self.base + row * self.row_words + word)
                values += self.first(held) if held is not None else [0] * (columns.stop - columns.start)
            rows.append(values)
        return rows

    def flat(self) -> list[int]:
        """All numbers as they lie in the memory, row by row."""
        return [value for row in self.image() for value in row]


def halves(pairs: Word) -> tuple[Word, Word]:
    """The first and the second numbers of a word of pairs."""
    middle = len(pairs) // 2
    return pairs[:middle], pairs[middle:]


class Layout:
    """The memories of one core, and where in them each layer's words lie.

    Attributes:
        spaces: memory name -> its words, on the chip or in DRAM; only memories that hold something.
        fifo: the event FIFO.
        history_groups: (layer, bits) of the groups kept per step, in the order they lie in.
        given: the weights [layer][row][column] as they were loaded.
    """

    def __init__(self, spec: CoreSpec, weights: Sequence[Sequence[Sequence[int]]], chip: ChipShape) -> None:
        self.history_groups = history_groups(spec)
        self.spaces: dict[str, Space] = {}
        self._regions: dict[tuple[str, int], Region] = {}
        for name, plan in make_plans(spec, chip, self.history_groups).items():
            if plan.n_words == 0:
                continue
            space = self.spaces[name] = make_space(name, plan.n_words, chip)
            if space.spilled and name in MATRICES and any(layer.conv is not None for layer in spec.layers):
                raise UserError(
                    f"memories.{name} is too small, and a network with a convolution cannot have it in DRAM "
                    f"(it needs {plan.n_words} words)"
                )
            if space.spilled and name == "synapse" and spec.standardise_every > 0:
                raise UserError(
                    f"memories.synapse is too small, and with learning.standardise_every = {spec.standardise_every} "
                    f"(0 is allowed) it cannot lie in DRAM (it needs {plan.n_words} words)"
                )
            for content, layer, base, rows, columns, lanes, bits, pairs in plan.regions:
                self._regions[content, layer] = Region(space, base, rows, columns, lanes, layer, bits, pairs)
        if "event_fifo" not in chip.memories:
            raise UserError("memories.event_fifo is missing in the chip; ottt_core needs one of at least 1 word")
        self.fifo = EventFifo(chip.memories["event_fifo"].words)
        self.given = load_weights(spec, weights)
        self._load()

    def region(self, content: str, layer: int) -> Region:
        """Where "potential", "sum", "synapse", "gradient", "velocity", "trace", "filter", "psi", "signal", "history"
        or the x words of a layer lie.

        "potential" of a readout is z; "signal" is e, g, delta or epsilon, whatever the layer learns from.
        """
        return self._regions[content, layer]

    def find(self, content: str, layer: int) -> Region | None:
        """The same, None if the layer has nothing of it."""
        return self._regions.get((content, layer))

    def _load(self) -> None:
        """Weights, and the zeros that the first step, accumulation and trace find."""
        for (content, layer), region in self._regions.items():
            if content == "synapse":
                region.load(self.given[layer])
            elif content in ("potential", "gradient", "velocity", "trace", "filter"):
                region.load([[0] * region.n_columns] * region.n_rows)


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
