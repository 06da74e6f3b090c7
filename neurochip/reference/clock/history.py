"""HISTORY: what unroll keeps of every step, packed into words of H bits, written forward and read in reverse."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from neurochip.reference.clock.dram import Burst, DramSpace
from neurochip.reference.clock.machine import Machine, Sequencer, Step
from neurochip.reference.clock.memory import Tag
from neurochip.reference.clock.network import hidden_layers, readouts, unrolls_recurrence
from neurochip.reference.clock.shapes import words_of


def pack(values: Sequence[int], bits: int) -> int:
    """Put values side by side, the first one lowest, each in two's complement of `bits`."""
    packed = 0
    for index, value in enumerate(values):
        packed |= (value & ((1 << bits) - 1)) << (index * bits)
    return packed


def unpack(packed: int, n_values: int, bits: int) -> list[int]:
    """The values, unsigned."""
    return [(packed >> (index * bits)) & ((1 << bits) - 1) for index in range(n_values)]


class History(Sequencer[tuple[int, int]]):
    """Writes or reads the groups of one step, a word a clock; from and to DRAM in one burst."""

    def __init__(self, machine: Machine, step_of_window: int, is_write: bool, is_window_end: bool = False) -> None:
        self._is_window_end = is_window_end
        self._region = machine.layout.region("history", 0)
        self._space = self._region.space
        super().__init__(machine, "history", 0 if is_write else self._space.read_latency_cycles)
        self._is_write, self._base = is_write, self._region.base + step_of_window * self._region.row_words
        self._word_bits = machine.chip.history_word_bits
        self._tags: list[Tag] = []  # per word of the step
        for layer, bits in machine.layout.history_groups:
            self._tags += [("history", layer, self._word_bits)] * words_of(bits, self._word_bits)
        self._words = [0] * len(self._tags)

    def program(self) -> Iterator[Step]:
        """Pack and write, or read and unpack."""
        if self._is_write:
            self._pack_step()
        if isinstance(self._space, DramSpace):
            yield from self._move(self._space)
        else:
            for word in range(len(self._words)):
                yield self.work(partial(self._write if self._is_write else self._begin, word))
            if self.pipeline.latency > 0:
                yield self.wait(self.pipeline.latency)
        if not self._is_write:
            self._unpack_step()

    def _move(self, space: DramSpace) -> Iterator[Step]:
        addresses = range(self._base, self._base + len(self._words))
        if self._is_write:
            space.row = {address: [word] for address, word in zip(addresses, self._words, strict=True)}
        yield Burst(space, self._base, self._tags, self._is_write, self.machine.stalls)
        self._words = [space.row[address][0] for address in addresses]

    def _write(self, word: int, now: int) -> None:
        self._space.write(now, self._base + word, [self._words[word]], self._tags[word])

    def _begin(self, word: int, now: int) -> None:
        read = self._space.read(now, self._base + word, self._tags[word])
        if self.pipeline.latency == 0:
            self._words[word] = read[0]
        else:
            self.pipeline.enter(now, (word, read[0]))

    def finish(self, now: int, operands: tuple[int, int]) -> None:
        """A word that was read is at hand."""
        word, read = operands
        self._words[word] = read

    def _pack_step(self) -> None:
        """A recurrent layer keeps its spikes of the step before, which only it needs, beside its psi of this one."""
        spec, buffer = self.machine.spec, self.machine.buffer
        groups = [pack(buffer.network_input, spec.event_bits)]
        for index in hidden_layers(spec):
            kept = buffer.spikes_before if unrolls_recurrence(spec, index) else buffer.spikes
            neurons = [s | (code << 1) for s, code in zip(kept[index], buffer.psi[index], strict=True)]
            groups.append(pack(neurons, 1 + spec.surrogate_bits))
        groups += [pack(buffer.error[index], spec.error_bits) for index in readouts(spec)]
        self._words = []
        for (_, bits), group in zip(self.machine.layout.history_groups, groups, strict=True):
            self._words += unpack(group, words_of(bits, self._word_bits), self._word_bits)

    def _unpack_step(self) -> None:
        spec, buffer, layers = self.machine.spec, self.machine.buffer, self.machine.spec.layers
        groups, words = [], iter(self._words)
        for _, bits in self.machine.layout.history_groups:
            groups.append(pack([next(words) for _ in range(words_of(bits, self._word_bits))], self._word_bits))
        group = iter(groups)
        buffer.network_input[:] = unpack(next(group), len(buffer.network_input), spec.event_bits)
        for index in hidden_layers(spec):
            neurons = unpack(next(group), layers[index].n_out, 1 + spec.surrogate_bits)
            kept = [neuron & 1 for neuron in neurons]
            if unrolls_recurrence(spec, index):
                # The spikes of this step came with the step after it; those of the last one are still there.
                if not self._is_window_end:
                    buffer.spikes[index][:] = buffer.spikes_before[index]
                buffer.spikes_before[index][:] = kept
            else:
                buffer.spikes[index][:] = kept
            buffer.psi[index][:] = [neuron >> 1 for neuron in neurons]
        half = 1 << (spec.error_bits - 1)
        for index in readouts(spec):
            errors = unpack(next(group), layers[index].n_out, spec.error_bits)
            buffer.error[index][:] = [(e ^ half) - half for e in errors]
        buffer.restore_magnitudes()
