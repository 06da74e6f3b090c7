"""The readout after DELIVER: z into its sum, and the softmax unit that makes e of it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from neurochip.reference.clock.lanes import clamp
from neurochip.reference.clock.machine import Machine, Sequencer, Slot, Step
from neurochip.reference.clock.memory import Word
from neurochip.reference.core.arithmetic import round_shift, signed_limits
from neurochip.reference.core.error import divide


class FireReadout(Sequencer[tuple[int, Word, bool]]):
    """A stream over z and its sum: z is set to 0 for the next step, the sum takes it in."""

    def __init__(self, machine: Machine, step: int) -> None:
        last = len(machine.spec.layers) - 1
        self._z, self._sum = machine.layout.region("potential", last), machine.layout.region("sum", last)
        self._tags = self._z.tag("fire"), self._sum.tag("fire")
        memory = self._z.space
        super().__init__(machine, "fire", machine.latency(memory), memory.interval)
        self._is_first_step = step == 0
        self._held = [0] * self._z.n_columns  # z of the step: what the softmax unit starts from

    def program(self) -> Iterator[Step]:
        """z word 0, sum word 0, z word 1, ..."""
        for word in range(self._z.row_words):
            yield self.work(partial(self._begin, word, False))
            yield self.work(partial(self._begin, word, True))
        yield from self.drain()

    def _begin(self, word: int, is_sum: bool, now: int) -> None:
        region = self._sum if is_sum else self._z
        values = region.space.read(now, region.base + word, self._tags[is_sum])
        self.pipeline.enter(now, (word, values, is_sum))

    def finish(self, now: int, operands: tuple[int, Word, bool]) -> None:
        """Write z = 0, or the sum with the z that came one slot before."""
        word, values, is_sum = operands
        columns, region = self._z.columns(word), self._sum if is_sum else self._z
        if is_sum:
            z = self._held[columns]
            written = z if self._is_first_step else [a + b for a, b in zip(values, z, strict=True)]
        else:
            self._held[columns] = self.machine.buffer.readout[columns] = values
            written = [0] * len(values)
        region.space.write(now, region.base + word, written, self._tags[is_sum])


class Softmax(Sequencer[int]):
    """The softmax unit: maximum, table, sum, one divider, label; its z, E and p lie in registers of its own."""

    def __init__(self, machine: Machine, label: int) -> None:
        super().__init__(machine, "error", machine.chip.pipeline_latency_cycles)
        spec = machine.spec
        self._spec, self._layer = spec, spec.layers[-1]
        last = len(spec.layers) - 1
        self._region = machine.layout.region("signal", last)
        self._tag = self._region.tag("error")
        self._z = machine.buffer.readout
        n_classes = self._layer.n_out
        self._targets = [(1 << self._layer.frac_error) if c == label else 0 for c in range(n_classes)]
        self._highest: int | None = None
        self._exponentials = [0] * n_classes
        self._sum = 0
        self._probabilities = [0] * n_classes
        self._mixed = [0] * n_classes

    def program(self) -> Iterator[Step]:
        """Three passes over the words, the divider class by class (once or twice), a pass that takes off the label."""
        words, division = range(self._region.row_words), self.machine.chip.div_cycles
        for action in (self._find_highest, self._look_up, self._add_up):
            for word in words:
                yield self.work(partial(action, word))
        dividends = [self._divide] + ([self._divide_mixed] if self._spec.mse_share_q > 0 else [])
        for divide_class in dividends:
            for c in range(self._layer.n_out):
                yield Slot(self.machine.stalls, division, None, partial(divide_class, c), "", "")
        for word in words:
            yield self.work(partial(self._enter, word))
        yield self.wait(self.pipeline.latency)

    def _find_highest(self, word: int, now: int) -> None:
        highest = max(self._z[self._region.columns(word)])
        self._highest = highest if self._highest is None else max(self._highest, highest)

    def _look_up(self, word: int, now: int) -> None:
        columns, frac, table = self._region.columns(word), self._layer.frac_potential, self.machine.exponential_table
        for c in range(columns.start, columns.stop):
            distance = (self._highest or 0) - self._z[c]
            k = distance >> (frac - 4) if frac >= 4 else distance << (4 - frac)
            self._exponentials[c] = table[min(255, k)]

    def _add_up(self, word: int, now: int) -> None:
        self._sum += sum(self._exponentials[self._region.columns(word)])

    def _divide(self, c: int, now: int) -> None:
        numerator = (self._exponentials[c] << self._layer.frac_error) + self._sum // 2
        self._probabilities[c] = numerator // self._sum

    def _divide_mixed(self, c: int, now: int) -> None:
        """A share A / 256 of squared error: X / (256 C)."""
        spec, layer, target = self._spec, self._layer, self._targets[c]
        share, shift = spec.mse_share_q, layer.frac_potential - layer.frac_error
        q = round_shift(self._z[c], shift, spec.error_rounding) if shift >= 0 else self._z[c] << -shift
        mixed = (256 - share) * layer.n_out * (self._probabilities[c] - target) + 2 * share * (q - target)
        self._mixed[c] = divide(mixed, 256 * layer.n_out, spec.error_rounding)

    def _enter(self, word: int, now: int) -> None:
        self.pipeline.enter(now, word)

    def finish(self, now: int, operands: int) -> None:
        """e of a word into the error memory; under unroll into the step buffer, from where it goes to the history."""
        word, buffer, spec = operands, self.machine.buffer, self._spec
        columns, limits = self._region.columns(word), signed_limits(spec.error_bits)
        if spec.mse_share_q > 0:
            errors = self._mixed[columns]
        else:
            errors = [p - y for p, y in zip(self._probabilities[columns], self._targets[columns], strict=True)]
        errors = [clamp(e, limits) for e in errors]
        buffer.error[columns] = errors
        if spec.credit != "unroll":
            self._region.space.write(now, self._region.base + word, errors, self._tag)
            buffer.set_signal(self._region.layer, word, errors)


class WriteError(Sequencer[int]):
    """Unroll: e of the step, read back from the history, is written to the error memory, a word a clock."""

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine, "error")
        self._region = machine.layout.region("signal", len(machine.spec.layers) - 1)
        self._tag = self._region.tag("error")

    def program(self) -> Iterator[Step]:
        """One clock per word."""
        for word in range(self._region.row_words):
            yield self.work(partial(self._write, word))

    def _write(self, word: int, now: int) -> None:
        errors = self.machine.buffer.error[self._region.columns(word)]
        self._region.space.write(now, self._region.base + word, errors, self._tag)
        self.machine.buffer.set_signal(self._region.layer, word, errors)
