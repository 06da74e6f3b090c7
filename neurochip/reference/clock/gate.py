"""GATE: adds the x words that came to a hidden layer, and makes g or delta of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from neurochip.reference.clock.layout import Region
from neurochip.reference.clock.learned import LearningSignal
from neurochip.reference.clock.machine import Machine, Sequencer, Step
from neurochip.reference.clock.memory import Word
from neurochip.reference.clock.network import error_ways, is_pooled, recurrent_way
from neurochip.reference.clock.plans import x_content
from neurochip.reference.core.arithmetic import round_shift
from neurochip.topology import Connection


@dataclass(frozen=True)
class Incoming:
    """A connection that brings error: its x words, and the shift from X to d."""

    connection: Connection
    words: Region
    shift: int

    def number(self, neuron: int) -> int | None:
        """Which number of the x words is that of a neuron; none where the pool drops it."""
        if not is_pooled(self.connection):
            return neuron
        address = self.connection.address(neuron)
        return None if address is None else address - self.connection.offset


def incoming(machine: Machine, layer: int) -> list[Incoming]:
    """The connections that bring hidden layer `layer` its error by x words, the recurrent one last."""
    spec, found = machine.spec, []
    for way in error_ways(spec).values():
        for number in way.numbers:
            connection = spec.connections(way.layer)[number]
            if connection.source == layer:
                words = machine.layout.region(x_content(number), way.layer)
                found.append(Incoming(connection, words, spec.error_shift(layer, way.layer)))
    own = recurrent_way(spec, layer)
    if own is not None:
        words = machine.layout.region(x_content(own.numbers[0]), layer)
        found.append(Incoming(spec.connections(layer)[own.numbers[0]], words, spec.layers[layer].frac_weight))
    return found


class Gate(Sequencer[int]):
    """Per word m clocks for the x words, then a slot in which psi (delta) is read and an earlier word is written."""

    def __init__(self, machine: Machine, layer: int) -> None:
        self._learned = LearningSignal(machine, layer)
        self._region, self._layer = self._learned.region, layer
        self._incoming = incoming(machine, layer)
        memory = self._region.space
        latency = memory.read_latency_cycles + 2 * machine.chip.pipeline_latency_cycles
        super().__init__(machine, "error", latency, memory.interval)
        slot_clocks = len(self._incoming) + self.interval
        self._behind = -(-latency // slot_clocks)  # q
        self._slot_clocks = slot_clocks
        self._x: list[list[tuple[int, Word]]] = [[] for _ in range(self._region.n_words)]  # (shift, X) by word
        self._g: list[Word | None] = [None] * self._region.n_words

    def program(self) -> Iterator[Step]:
        """Word by word; then as many slots as words are under way."""
        n_words, behind = self._region.n_words, self._behind
        for word in range(n_words):
            for one in self._incoming:
                yield self.work(partial(self._read_x, word, one), clocks=1)
            end = partial(self._write, word - behind) if word >= behind else None
            yield self.work(partial(self._begin, word), end=end)
        for flushed in range(n_words - behind, n_words):
            yield self.wait(self._slot_clocks, partial(self._write, flushed) if flushed >= 0 else None)

    def _read_x(self, word: int, one: Incoming, now: int) -> None:
        """Read the x word of one connection; a word at a place that the pool drops has none."""
        neurons = self._region.numbers(word)
        number = one.number(neurons.start)
        if number is None:
            return
        x_word = one.words.word_of(number)
        read = one.words.space.read(now, one.words.base + x_word, one.words.tag("error", self._layer))
        self._x[word].append((one.shift, read))

    def _begin(self, word: int, now: int) -> None:
        self._learned.read(word, now)
        self.pipeline.enter(now, word)

    def finish(self, now: int, operands: int) -> None:
        """d = sat(sum of round(X)), g = sat(round(d psi, b)); of a neuron with psi = 0 both come to nothing."""
        word, spec, learned = operands, self.machine.spec, self._learned
        neurons = self._region.numbers(word)
        values = []
        for column, neuron in enumerate(range(neurons.start, neurons.stop)):
            rounded = sum(round_shift(read[column], shift, spec.error_rounding) for shift, read in self._x[word])
            values.append(learned.g(learned.d(rounded), learned.code(neuron)))
        self._g[word] = values

    def _write(self, word: int, now: int) -> None:
        values = self._g[word]
        if values is None:
            raise RuntimeError(f"word {word} of layer {self._layer} is written before its values are there")
        self._learned.write(word, values, now)
