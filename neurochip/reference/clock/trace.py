"""TRACE: leak the traces of a layer's inputs and add the events of the step."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from neurochip.reference.clock import lanes
from neurochip.reference.clock.machine import Machine, Sequencer, Step
from neurochip.reference.clock.memory import Word
from neurochip.reference.clock.step_buffer import windows
from neurochip.reference.core.arithmetic import unsigned_limits


class Trace(Sequencer[tuple[int, Word]]):
    """A stream over the trace words that hold something or are hit by an event."""

    def __init__(self, machine: Machine, layer: int, step: int) -> None:
        self._region = machine.layout.region("trace", layer)
        memory = self._region.space
        super().__init__(machine, "trace", machine.latency(memory), memory.interval)
        self._layer, self._starts_sample = layer, step == 0
        self._tag = self._region.tag("trace")
        self._limits = unsigned_limits(machine.spec.trace_bits)

    def program(self) -> Iterator[Step]:
        """At the start of a sample one clock that clears the valid bits; then window by window the words to touch."""
        buffer, layer = self.machine.buffer, self._layer
        if self._starts_sample:
            yield self.work(self._clear, clocks=1)
        for window in windows(self._region.row_words, self.machine.chip.scan_width):
            yield self.scan()
            for word in window:
                hit = any(buffer.magnitudes[layer][self._region.columns(word)])
                if hit or buffer.valid_traces[layer][word]:
                    yield self.work(partial(self._begin, word))
        yield from self.drain()

    def _clear(self, now: int) -> None:
        self.machine.buffer.clear_traces(self._layer)

    def _begin(self, word: int, now: int) -> None:
        traces = self._region.space.read(now, self._region.base + word, self._tag)
        if not self.machine.buffer.valid_traces[self._layer][word]:
            columns = self._region.columns(word)
            traces = [0] * (columns.stop - columns.start)
        self.pipeline.enter(now, (word, traces))

    def finish(self, now: int, operands: tuple[int, Word]) -> None:
        """Write the word, and its bits in the bitmaps of words that hold something and of rows with p != 0."""
        (word, traces), buffer, layer = operands, self.machine.buffer, self._layer
        columns, gate = self._region.columns(word), self.machine.spec.trace_gate
        magnitudes = buffer.magnitudes[layer][columns]
        written = lanes.decay_traces(self.machine.spec.layers[layer], traces, magnitudes, self._limits)
        self._region.space.write(now, self._region.base + word, written, self._tag)
        buffer.valid_traces[layer][word] = any(written)
        buffer.active_traces[layer][columns] = [a != 0 and a >= gate for a in written]
