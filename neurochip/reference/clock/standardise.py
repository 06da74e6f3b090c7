"""STANDARDISE: the columns of a layer are brought back to their mean and variance, word by word of a row."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from math import isqrt

from neurochip.reference.clock.lanes import clamp
from neurochip.reference.clock.machine import Machine, Pipeline, Sequencer, Slot, Step
from neurochip.reference.clock.memory import Word
from neurochip.reference.core.arithmetic import round_shift, signed_limits

LARGEST_QUOTIENT = (1 << 31) - 1


class Standardise(Sequencer[tuple[int, Word]]):
    """Per word: a pass of reads into the sums, the divider column by column, a stream that writes."""

    def __init__(self, machine: Machine, layer: int) -> None:
        self.layer = layer
        self._region = machine.layout.region("synapse", layer)
        memory = self._region.space
        super().__init__(machine, "standardise", machine.latency(memory), memory.interval)
        self._adders: Pipeline[Word] = Pipeline(memory.read_latency_cycles + machine.chip.pipeline_latency_cycles)
        self._spec, self._tag = machine.spec.layers[layer], self._region.tag("standardise")
        self._limits = signed_limits(machine.spec.weight_bits)
        # Registers of the columns of the word under way.
        self._s1: Word = []
        self._s2: Word = []
        self._root: Word = []
        self._factor: Word = []

    def program(self) -> Iterator[Step]:
        """The words of a row in turn; the bias rows are not visited."""
        rows, division = range(self._spec.n_weight_rows), self.machine.chip.div_cycles
        for word in range(self._region.row_words):
            columns = self._region.columns(word)
            n_columns = columns.stop - columns.start
            self._s1, self._s2, self._root, self._factor = ([0] * n_columns for _ in range(4))
            for row in rows:
                yield self.work(partial(self._read_to_add, row, word), clocks=1)
            yield self.wait(self._adders.latency)
            for c in range(n_columns):
                for divide in (self._extract_root, self._divide):
                    yield Slot(self.machine.stalls, division, None, partial(divide, c), "", "")
            for row in rows:
                yield self.work(partial(self._read_to_write, row, word))
            yield from self.drain()

    def tick(self, now: int) -> None:
        """One clock: what leaves the adders is in the sums, and the rest goes on."""
        weights = self._adders.leave(now)
        if weights is not None:
            self._s1 = [s + w for s, w in zip(self._s1, weights, strict=True)]
            self._s2 = [s + w * w for s, w in zip(self._s2, weights, strict=True)]
        super().tick(now)

    def check_empty(self) -> None:
        """Raise if something is still under way."""
        self._adders.check_empty()
        super().check_empty()

    def _address(self, row: int, word: int) -> int:
        return self._region.base + row * self._region.row_words + word

    def _read_to_add(self, row: int, word: int, now: int) -> None:
        self._adders.enter(now, self._region.space.read(now, self._address(row, word), self._tag))

    def _extract_root(self, c: int, now: int) -> None:
        """R = floor(sqrt(K S2 - S1^2))."""
        self._root[c] = isqrt(self._spec.n_weight_rows * self._s2[c] - self._s1[c] ** 2)

    def _divide(self, c: int, now: int) -> None:
        """F = min(2^31 - 1, floor(C / R)); where R is 0 it is not used."""
        if self._root[c] > 0:
            self._factor[c] = min(LARGEST_QUOTIENT, self._spec.standardise_constant // self._root[c])

    def _read_to_write(self, row: int, word: int, now: int) -> None:
        address = self._address(row, word)
        self.pipeline.enter(now, (address, self._region.space.read(now, address, self._tag)))

    def finish(self, now: int, operands: tuple[int, Word]) -> None:
        """Write sat(round((K W - S1) F, p)), or the weight again where R is 0."""
        address, weights = operands
        written = [self._brought_back(c, w) for c, w in enumerate(weights)]
        self._region.space.write(now, address, written, self._tag)

    def _brought_back(self, c: int, weight: int) -> int:
        if self._root[c] == 0:
            return weight
        product = (self._spec.n_weight_rows * weight - self._s1[c]) * self._factor[c]
        return clamp(round_shift(product, self._spec.standardise_shift, "nearest"), self._limits)
