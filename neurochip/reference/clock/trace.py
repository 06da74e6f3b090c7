"""TRACE: leak the traces of a layer's inputs and add the events of the step."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from neurochip.reference.clock import lanes
from neurochip.reference.clock.layout import Region
from neurochip.reference.clock.machine import Machine, Sequencer, Step
from neurochip.reference.clock.memory import Word
from neurochip.reference.clock.step_buffer import windows
from neurochip.reference.core.arithmetic import unsigned_limits


class Trace(Sequencer[tuple[Region, int, Word]]):
    """A stream over the trace words that hold something or are hit by an event; with a filter f, then a of each."""

    def __init__(self, machine: Machine, layer: int, step: int) -> None:
        self._region = machine.layout.region("trace", layer)
        self._filter = machine.layout.find("filter", layer)
        memory = self._region.space
        super().__init__(machine, "trace", machine.latency(memory), memory.interval)
        self._layer, self._starts_sample = layer, step == 0
        self._limits = unsigned_limits(machine.spec.trace_bits)
        self._new_f: Word = []  # on its way from the slot of f to that of a

    def program(self) -> Iterator[Step]:
        """At the start of a sample one clock that clears the valid bits; then window by window the words to touch."""
        buffer, layer = self.machine.buffer, self._layer
        if self._starts_sample:
            yield self.work(self._clear, clocks=1)
        if self.machine.spec.bias_trace:
            self._decay_bias()
        for window in windows(self._region.n_words, self.machine.chip.scan_width):
            yield self.scan()
            for word in window:
                hit = any(buffer.magnitudes[layer][self._region.numbers(word)])
                if not hit and not buffer.valid_traces[layer][word]:
                    continue
                if self._filter is not None:
                    yield self.work(partial(self._begin, self._filter, word))
                yield self.work(partial(self._begin, self._region, word))
        yield from self.drain()

    def _clear(self, now: int) -> None:
        self.machine.buffer.clear_traces(self._layer)

    def _decay_bias(self) -> None:
        """The trace of the bias rows: an event of magnitude 1 << frac_m in every step, in a register."""
        buffer, layer = self.machine.buffer, self._layer
        spec = self.machine.spec.layers[layer]
        held, one = [buffer.bias_factors[layer]], [1 << spec.frac_event]
        if self._filter is None:
            (buffer.bias_factors[layer],) = lanes.decay_traces(spec, held, one, self._limits)
            return
        new_f = lanes.decay_traces(spec, [buffer.bias_filters[layer]], one, self._limits)
        (buffer.bias_filters[layer],) = new_f
        (buffer.bias_factors[layer],) = lanes.filter_traces(spec, held, new_f, self._limits)

    def _begin(self, region: Region, word: int, now: int) -> None:
        values = region.space.read(now, region.base + word, region.tag("trace"))
        if not self.machine.buffer.valid_traces[self._layer][word]:
            numbers = region.numbers(word)
            values = [0] * (numbers.stop - numbers.start)
        self.pipeline.enter(now, (region, word, values))

    def finish(self, now: int, operands: tuple[Region, int, Word]) -> None:
        """Write the word; with a the bits in the bitmaps of words that hold something and of rows with p != 0."""
        (region, word, values), buffer, layer = operands, self.machine.buffer, self._layer
        numbers, gate = region.numbers(word), self.machine.spec.trace_gate
        spec = self.machine.spec.layers[layer]
        if region is self._region and self._filter is not None:
            written = lanes.filter_traces(spec, values, self._new_f, self._limits)
        else:
            written = lanes.decay_traces(spec, values, buffer.magnitudes[layer][numbers], self._limits)
        region.space.write(now, region.base + word, written, region.tag("trace"))
        if region is not self._region:
            self._new_f = written
            return
        buffer.valid_traces[layer][word] = any(written)  # a is at least f
        buffer.active_traces[layer][numbers] = [a != 0 and a >= gate for a in written]
