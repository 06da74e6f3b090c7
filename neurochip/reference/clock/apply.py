"""APPLY: accumulated gradients go into the weights and are cleared."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from neurochip.reference.clock import lanes
from neurochip.reference.clock.machine import Machine, Sequencer, Step
from neurochip.reference.clock.memory import Word
from neurochip.reference.clock.step_buffer import windows


class Apply(Sequencer[tuple[int, Word, Word]]):
    """A stream over gradient and synapse words at the same time; with either in DRAM, row by row."""

    def __init__(self, machine: Machine, layer: int) -> None:
        self._synapse, self._gradient = (machine.layout.region(name, layer) for name in ("synapse", "gradient"))
        spaces = self._synapse.space, self._gradient.space
        interval = max(space.interval for space in spaces)
        super().__init__(machine, "apply", machine.latency(*spaces, interval=interval), interval)
        self._layer = layer
        self._tags = self._synapse.tag("apply"), self._gradient.tag("apply")
        self._spilled = [region for region in (self._synapse, self._gradient) if region.space.spilled]

    def program(self) -> Iterator[Step]:
        """The words whose bit is set: found by a scanner, or in turn through all rows if those come from DRAM."""
        valid, row_words = self.machine.buffer.valid_gradients[self._layer], self._synapse.row_words
        self.machine.random[self._layer].start_pass()
        if not self._spilled:
            for window in windows(len(valid), self.machine.chip.scan_width):
                yield self.scan()
                yield from (self.work(partial(self._begin, address)) for address in window if valid[address])
            yield from self.drain()
            return
        for row in range(self._synapse.n_rows):
            yield from (self.burst(region, row, False) for region in self._spilled)
            for address in range(row * row_words, (row + 1) * row_words):
                if valid[address]:
                    yield self.work(partial(self._begin, address))
            yield from self.drain()
            yield from (self.burst(region, row, True) for region in self._spilled)

    def _begin(self, address: int, now: int) -> None:
        weights = self._synapse.space.read(now, self._synapse.base + address, self._tags[0])
        gradients = self._gradient.space.read(now, self._gradient.base + address, self._tags[1])
        self.pipeline.enter(now, (address, weights, gradients))

    def finish(self, now: int, operands: tuple[int, Word, Word]) -> None:
        """Write the weights with P = -m_eta G, and 0 into the gradients."""
        (address, weights, gradients), spec = operands, self.machine.spec
        row, word = divmod(address, self._synapse.row_words)
        products = [-spec.rate_multiplier * g for g in gradients]
        shift, first = spec.apply_shift(self._layer), word * self._synapse.lanes
        written = lanes.write_weights(spec, weights, products, shift, self.machine.random[self._layer], row, first)
        self._synapse.space.write(now, self._synapse.base + address, written, self._tags[0])
        self._gradient.space.write(now, self._gradient.base + address, [0] * len(gradients), self._tags[1])
        self.machine.buffer.valid_gradients[self._layer][address] = False
