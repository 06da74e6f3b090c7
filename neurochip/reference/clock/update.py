"""UPDATE: p times the signal into the weights, or into the gradients of accumulating rules."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from neurochip.reference.clock import lanes
from neurochip.reference.clock.machine import Machine, Sequencer, Step
from neurochip.reference.clock.memory import Word
from neurochip.reference.clock.step_buffer import windows

Operands = tuple[int, int, Word, Word, int]  # row, word, weights or gradients, signals, p


class Update(Sequencer[Operands]):
    """Dense layers and readouts: a stream over the words of the rows with p != 0; from DRAM, row by row."""

    def __init__(self, machine: Machine, layer: int) -> None:
        spec, layout = machine.spec, machine.layout
        self._accumulates = spec.update == "accumulate"
        self._region = layout.region("gradient" if self._accumulates else "synapse", layer)
        self._signal = layout.region("signal", layer)
        self._trace = layout.find("trace", layer)
        beside = [self._signal.space] + ([self._trace.space] if self._trace is not None else [])
        memory = self._region.space
        super().__init__(machine, "update", machine.latency(memory, *beside), memory.interval)
        self._layer, self._spec = layer, spec.layers[layer]
        self._tag, self._signal_tag = self._region.tag("update"), self._signal.tag("update")
        self._p = 0  # of the row under way

    def program(self) -> Iterator[Step]:
        """Nothing without a signal; else window by window the active rows, and of each the words with a signal."""
        gates, bitmap = self.machine.gates, self.machine.buffer.signal_words[self._layer]
        if gates.zero_error and not any(bitmap):
            return
        words = [word for word, some in enumerate(bitmap) if some or not gates.zero_error]
        self.machine.random[self._layer].start_pass()
        for window in windows(self._region.n_rows, self.machine.chip.scan_width):
            yield self.scan()
            for row in window:
                if self._is_active(row) or not gates.zero_trace:
                    yield from self._row(row, words)
        if not self._region.space.spilled:
            yield from self.drain()

    def _row(self, row: int, words: list[int]) -> Iterator[Step]:
        spilled = self._region.space.spilled
        if spilled:
            yield self.burst(self._region, row, False)
        for word in words:
            yield self.work(partial(self._begin, row, word, word == words[0]))
        if spilled:
            yield self.wait(self.pipeline.latency)
            yield self.burst(self._region, row, True)

    def _is_active(self, row: int) -> bool:
        """Whether p of a row is not 0, from the bitmaps of traces or events."""
        if row == self._spec.n_weight_rows:
            return True
        buffer = self.machine.buffer
        return buffer.active_traces[self._layer][row] if self._trace else buffer.magnitudes[self._layer][row] != 0

    def _begin(self, row: int, word: int, is_first: bool, now: int) -> None:
        region, signal = self._region, self._signal
        numbers = region.space.read(now, region.base + row * region.row_words + word, self._tag)
        signals = signal.first(signal.space.read(now, signal.base + word, self._signal_tag))
        if is_first:
            self._p = self._presynaptic(row, now)
        self.pipeline.enter(now, (row, word, numbers, signals, self._p))

    def _presynaptic(self, row: int, now: int) -> int:
        """p: that of the bias row from its register, a trace read beside the first word of its row, or the event."""
        if row == self._spec.n_weight_rows:
            return self.machine.buffer.bias_factors[self._layer]
        if self._trace is None:
            return self.machine.buffer.magnitudes[self._layer][row]
        word, column = divmod(row, self._trace.lanes)
        traces = self._trace.space.read(now, self._trace.base + word, self._trace.tag("update"))
        return traces[column] if self._is_active(row) else 0

    def finish(self, now: int, operands: Operands) -> None:
        """Write the new word."""
        row, word, numbers, signals, p = operands
        region, machine, spec = self._region, self.machine, self.machine.spec
        address = row * region.row_words + word
        if self._accumulates:
            written = lanes.accumulate(machine.spec, self._layer, numbers, [p * g for g in signals])
            machine.buffer.valid_gradients[self._layer][address] = any(written)
        else:
            products = [-spec.rate_multiplier * p * g for g in signals]
            shift, first = spec.update_shift(self._layer), word * region.lanes
            written = lanes.write_weights(spec, numbers, products, shift, machine.random[self._layer], row, first)
        region.space.write(now, region.base + address, written, self._tag)
