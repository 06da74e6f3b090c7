"""APPLY: accumulated gradients go into the weights, by way of a velocity if there is momentum, and are cleared."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from neurochip.reference.clock import lanes
from neurochip.reference.clock.layout import Region
from neurochip.reference.clock.machine import Machine, Sequencer, Step
from neurochip.reference.clock.memory import Word
from neurochip.reference.clock.step_buffer import windows


class Apply(Sequencer[tuple[int, Word | None, Word, Word]]):
    """A stream over gradient and synapse words at the same time; with either in DRAM, row by row.

    With momentum a slot for the gradient word comes before that of velocity and synapse word.
    """

    def __init__(self, machine: Machine, layer: int) -> None:
        self._synapse, self._gradient = (machine.layout.region(name, layer) for name in ("synapse", "gradient"))
        self._velocity = machine.layout.find("velocity", layer)
        spaces = self._synapse.space, self._gradient.space
        interval = max(space.interval for space in spaces)
        super().__init__(machine, "apply", machine.latency(*spaces, interval=interval), interval)
        self._layer = layer
        regions = [self._synapse, self._gradient] + ([self._velocity] if self._velocity is not None else [])
        self._spilled = [region for region in regions if region.space.spilled]
        self._held: Word = []  # G of the word under way, for the slot of its velocity

    def program(self) -> Iterator[Step]:
        """The words whose bit is set: found by a scanner, or in turn through all rows if those come from DRAM."""
        row_words = self._synapse.row_words
        self.machine.random[self._layer].start_pass()
        if not self._spilled:
            for window in windows(self._synapse.n_words, self.machine.chip.scan_width):
                yield self.scan()
                for address in window:
                    yield from self._word(address)
            yield from self.drain()
            return
        for row in range(self._synapse.n_rows):
            for region in self._spilled:
                yield self.burst(region, row, False, beside=region is self._velocity)
            for address in range(row * row_words, (row + 1) * row_words):
                yield from self._word(address)
            yield from self.drain()
            yield from (self.burst(region, row, True) for region in self._spilled)

    def _word(self, address: int) -> Iterator[Step]:
        buffer, momentum = self.machine.buffer, self._velocity is not None
        moves = momentum and buffer.valid_velocities[self._layer][address]
        if not moves and not buffer.valid_gradients[self._layer][address]:
            return
        if momentum:
            yield self.work(partial(self._fetch, address))
        yield self.work(partial(self._begin, address))

    def _fetch(self, address: int, now: int) -> None:
        """Momentum: the gradient of the word, which is cleared."""
        self._held = self._read(self._gradient, address, now)
        self.pipeline.enter(now, (address, None, self._held, []))

    def _begin(self, address: int, now: int) -> None:
        weights = self._read(self._synapse, address, now)
        if self._velocity is None:
            self.pipeline.enter(now, (address, weights, self._read(self._gradient, address, now), []))
        else:
            self.pipeline.enter(now, (address, weights, self._held, self._read(self._velocity, address, now)))

    def _read(self, region: Region, address: int, now: int) -> Word:
        return region.space.read(now, region.base + address, region.tag("apply"))

    def finish(self, now: int, operands: tuple[int, Word | None, Word, Word]) -> None:
        """Write the weights with P = -m_eta G, or the velocity and P = -m_eta V; and 0 into the gradients."""
        address, weights, gradients, velocities = operands
        buffer, spec = self.machine.buffer, self.machine.spec
        if weights is None or self._velocity is None:
            self._write(self._gradient, address, [0] * len(gradients), now)
            buffer.valid_gradients[self._layer][address] = False
        if weights is None:
            return
        taken = gradients
        if self._velocity is not None:
            taken = lanes.accelerate(spec, velocities, gradients)
            self._write(self._velocity, address, taken, now)
            buffer.valid_velocities[self._layer][address] = any(taken)
        row, word = divmod(address, self._synapse.row_words)
        products = [-spec.rate_multiplier * g for g in taken]
        shift, first = spec.apply_shift(self._layer), word * self._synapse.lanes
        random = self.machine.random[self._layer]
        written = lanes.write_weights(spec, weights, products, shift, random, row, first)
        self._write(self._synapse, address, written, now)

    def _write(self, region: Region, address: int, word: Word, now: int) -> None:
        region.space.write(now, region.base + address, word, region.tag("apply"))
