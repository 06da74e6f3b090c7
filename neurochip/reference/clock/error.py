"""ERROR: the signal of a layer goes back through its weights, to neurons at once or into x words."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from functools import partial

from neurochip.reference.clock.learned import LearningSignal
from neurochip.reference.clock.machine import Machine, Pipeline, Sequencer, Step
from neurochip.reference.clock.network import Way, carries_delta, x_addresses
from neurochip.reference.clock.plans import x_content
from neurochip.reference.core.arithmetic import round_shift
from neurochip.topology import Connection, Tap

RowWord = tuple[int, int, int]  # word of the synapse row, row, word of the signal


class ClearDeltas(Sequencer[None]):
    """Start of the way back over a window: one clock per layer that carries delta clears its valid bits."""

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine, "error")

    def program(self) -> Iterator[Step]:
        """One clock per hidden layer, and per leaky readout."""
        for index, layer in enumerate(self.machine.spec.layers):
            if carries_delta(self.machine.spec, layer):
                yield self.work(partial(self._clear, index))

    def _clear(self, layer: int, now: int) -> None:
        self.machine.buffer.clear_deltas(layer)


class BackInSpace(Sequencer[tuple[int, int, bool]]):
    """Row words beside signal words, tap by tap; a row's sum X leaves the adder tree.

    The rows are input addresses. Every slot stands for a word that their sums go into, and its rows follow it;
    `pipeline` is lanes and adder tree, `after_tree` the clocks from there to the value of the word.
    """

    def __init__(
        self, machine: Machine, way: Way, connections: list[Connection], slots: list[list[int]], after_tree: int
    ) -> None:
        layout, self._way, self._slots = machine.layout, way, slots
        self._synapse, self._signal = layout.region("synapse", way.layer), layout.region("signal", way.signal)
        self._connections = connections
        rho = max(self._synapse.space.read_latency_cycles, self._signal.space.read_latency_cycles)
        tree = (machine.chip.lanes - 1).bit_length()
        latency = rho + machine.chip.pipeline_latency_cycles + tree
        super().__init__(machine, "error", latency, self._signal.space.interval)
        self._behind = -(-(latency + after_tree) // self.interval)  # q: from a word's slot to the one that writes it
        self._synapse_tag = self._synapse.tag("error")
        self._signal_tag = self._signal.tag("error", way.layer)
        self._sums: dict[int, int] = {}  # X of the addresses whose words are in the adder tree, or through it
        self._slot_of = {address: slot for slot, addresses in enumerate(slots) for address in addresses}
        self._n_open = [0] * len(slots)  # rows of a slot whose value is not there yet

    @abstractmethod
    def _read(self, slot: int, now: int) -> None:
        """The first clock of a slot."""

    @abstractmethod
    def _summed(self, address: int, now: int) -> None:
        """X of an address has left the adder tree."""

    @abstractmethod
    def _write(self, slot: int, now: int) -> None:
        """Write the word of a slot."""

    def program(self) -> Iterator[Step]:
        """Slot by slot its rows; at the end as many slots as words are collected."""
        n_slots, behind, n_seen = len(self._slots), self._behind, 0
        active = self._active_addresses()
        for slot, addresses in enumerate(self._slots):
            end = partial(self._end, slot - behind) if slot >= behind else None
            yield self.work(partial(self._read, slot), end=end)
            for address in addresses:
                if n_seen % self.machine.chip.scan_width == 0:
                    yield self.scan(clocks=1)
                n_seen += 1
                if address in active or not self.machine.gates.zero_surrogate:
                    yield from self._row(address)
        for flushed in range(n_slots - behind, n_slots):
            yield self.wait(self.interval, partial(self._end, flushed) if flushed >= 0 else None)

    def _active_addresses(self) -> set[int]:
        """The bitmap of input addresses to which some neuron with psi != 0 leads."""
        active = set()
        for connection in self._connections:
            for neuron, code in enumerate(self.machine.buffer.psi[connection.source]):
                address = connection.address(neuron) if code else None
                if address is not None:
                    active.add(address)
        return active

    def _row(self, address: int) -> Iterator[Step]:
        """The words of the taps of a row, in order."""
        words = [word for tap in self.machine.taps(self._way.layer, address) for word in self._words(tap)]
        if words and self._synapse.space.spilled:
            yield self.burst(self._synapse, address, False)
        for number, word in enumerate(words):
            yield self.work(partial(self._begin, address, word, number == len(words) - 1), clocks=1)

    def _words(self, tap: Tap) -> list[RowWord]:
        row, block = tap
        first, bitmap = block * self._signal.row_words, self.machine.buffer.signal_words[self._way.signal]
        kept = [w for w in range(self._signal.row_words) if bitmap[first + w] or not self.machine.gates.zero_error]
        return [(w, row, first + w) for w in kept]

    def _begin(self, address: int, word: RowWord, is_last: bool, now: int) -> None:
        synapse, signal = self._synapse, self._signal
        row_word, row, signal_word = word
        place = synapse.base + row * synapse.row_words + row_word
        weights = synapse.space.read(now, place, self._synapse_tag)
        signals = signal.first(signal.space.read(now, signal.base + signal_word, self._signal_tag))
        self._n_open[self._slot_of[address]] += is_last
        self.pipeline.enter(now, (address, sum(w * g for w, g in zip(weights, signals, strict=True)), is_last))

    def finish(self, now: int, operands: tuple[int, int, bool]) -> None:
        """Add the sum of a word to its row."""
        address, partial_sum, is_last = operands
        self._sums[address] = self._sums.get(address, 0) + partial_sum
        if is_last:
            self._summed(address, now)

    def _close(self, address: int) -> None:
        """The value of a row has come to its word."""
        self._n_open[self._slot_of[address]] -= 1

    def _end(self, slot: int, now: int) -> None:
        if self._n_open[slot] > 0:
            raise RuntimeError(f"word {slot} of {self._way} is written before {self._n_open[slot]} of its rows")
        self._write(slot, now)


class DirectError(BackInSpace):
    """d and g are formed in the flow: every slot is that of a word of the one source."""

    def __init__(self, machine: Machine, way: Way) -> None:
        connection = machine.spec.connections(way.layer)[way.numbers[0]]
        self._below = connection.source
        self._learned = LearningSignal(machine, self._below)
        addresses, region = x_addresses(connection), self._learned.region
        self._neuron_of = {address: neuron for neuron, address in enumerate(addresses) if address is not None}
        slots = [[a for a in addresses[region.numbers(word)] if a is not None] for word in range(region.n_words)]
        self._pipeline_cycles = machine.chip.pipeline_latency_cycles
        super().__init__(machine, way, [connection], slots, self._pipeline_cycles)
        self._product: Pipeline[tuple[int, int]] = Pipeline(self._pipeline_cycles)
        self._g = [0] * len(addresses)

    def tick(self, now: int) -> None:
        """One clock: a product leaves for its collector, then a sum leaves the adder tree, then the program goes on."""
        product = self._product.leave(now)
        if product is not None:
            address, g = product
            self._g[self._neuron_of[address]] = g
            self._close(address)
        super().tick(now)

    def _read(self, slot: int, now: int) -> None:
        self._learned.read(slot, now)

    def _summed(self, address: int, now: int) -> None:
        """X makes d, and d times psi enters the lanes."""
        spec, learned = self.machine.spec, self._learned
        shift = spec.error_shift(self._below, self._way.layer)
        d = learned.d(round_shift(self._sums[address], shift, spec.error_rounding))
        self._product.enter(now, (address, learned.g(d, learned.code(self._neuron_of[address]))))

    def _write(self, slot: int, now: int) -> None:
        self._learned.write(slot, self._g[self._learned.region.numbers(slot)], now)

    def check_empty(self) -> None:
        """Raise if something is still under way."""
        super().check_empty()
        self._product.check_empty()


class ErrorToWords(BackInSpace):
    """X goes into x words, connection by connection; a row is summed for the first one that has its address."""

    def __init__(self, machine: Machine, way: Way) -> None:
        connections = [machine.spec.connections(way.layer)[number] for number in way.numbers]
        self._targets = []  # (region, word, addresses of its numbers)
        slots, seen = [], set()
        for number, connection in zip(way.numbers, connections, strict=True):
            region, addresses = machine.layout.region(x_content(number), way.layer), x_addresses(connection)
            for word in range(region.n_words):
                held = addresses[region.numbers(word)]
                slots.append([a for a in held if a is not None and a not in seen])
                seen.update(slots[-1])
                self._targets.append((region, word, held))
        super().__init__(machine, way, connections, slots, 0)

    def _read(self, slot: int, now: int) -> None:
        """Nothing is read in the slots of x words."""

    def _summed(self, address: int, now: int) -> None:
        self._close(address)

    def _write(self, slot: int, now: int) -> None:
        """Write X of the addresses of the word; of those whose row was not read it is 0."""
        region, word, addresses = self._targets[slot]
        sums = [self._sums.get(address, 0) if address is not None else 0 for address in addresses]
        region.space.write(now, region.base + word, sums, region.tag("error"))


def back_in_space(machine: Machine, way: Way) -> BackInSpace:
    """The unit that gives the error of a layer to those before it."""
    return DirectError(machine, way) if way.direct else ErrorToWords(machine, way)
