"""A readout after DELIVER: z into its sum, and the softmax unit that makes e of it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from neurochip.reference.clock.lanes import add_currents, carry_currents, clamp
from neurochip.reference.clock.layout import Region, halves
from neurochip.reference.clock.machine import Machine, Sequencer, Slot, Step
from neurochip.reference.clock.memory import Word
from neurochip.reference.core.arithmetic import leak, round_shift, signed_limits
from neurochip.reference.core.error import divide
from neurochip.spec import LEAK_NONE


class FireReadout(Sequencer[tuple[int, Word, bool]]):
    """A stream over z, into which i goes, and over its sum for the last layer: z is left as the next step needs it."""

    def __init__(self, machine: Machine, layer: int, step: int) -> None:
        self._z, self._sum = machine.layout.region("potential", layer), machine.layout.find("sum", layer)
        memory = self._z.space
        super().__init__(machine, "fire", machine.latency(memory), memory.interval)
        self._layer, self._spec = layer, machine.spec.layers[layer]
        self._is_first_step, self._is_last_step = step == 0, step == machine.spec.n_steps - 1
        self._is_read = step + 1 >= machine.spec.loss_start
        self._limits = signed_limits(machine.spec.readout_bits)
        self._held = [0] * self._z.n_columns  # z of the step: what the softmax unit starts from

    def program(self) -> Iterator[Step]:
        """z word 0, sum word 0, z word 1, ...; heads have no sum."""
        for word in range(self._z.n_words):
            yield self.work(partial(self._begin, self._z, word))
            if self._sum is not None:
                yield self.work(partial(self._begin, self._sum, word))
        yield from self.drain()

    def _begin(self, region: Region, word: int, now: int) -> None:
        values = region.space.read(now, region.base + word, region.tag("fire"))
        self.pipeline.enter(now, (word, values, region is not self._z))

    def finish(self, now: int, operands: tuple[int, Word, bool]) -> None:
        """Write z for the next step, or the sum with the z that came one slot before."""
        word, values, is_sum = operands
        columns = self._z.columns(word)
        if is_sum and self._sum is not None:
            z = [value if self._is_read else 0 for value in self._held[columns]]
            written = z if self._is_first_step else [a + b for a, b in zip(values, z, strict=True)]
            self._sum.space.write(now, self._sum.base + word, written, self._sum.tag("fire"))
            return
        currents: Word = []
        if self._z.pairs:
            values, currents = add_currents(self._spec, *halves(values), self._limits)
        self._held[columns] = self.machine.buffer.readout[self._layer][columns] = values
        kept = [0] * len(currents) if self._is_last_step else currents
        self._z.space.write(now, self._z.base + word, [self._kept(z) for z in values] + kept, self._z.tag("fire"))

    def _kept(self, z: int) -> int:
        """0, or a leaked z, which is 0 as well after the last step."""
        if self._is_last_step or self._spec.leak_kind == LEAK_NONE:
            return 0
        return leak(z, self._spec.leak_kind, self._spec.leak_value)


class Softmax(Sequencer[int]):
    """The softmax unit: maximum, table, sum, one divider, label; its z, E and p lie in registers of its own."""

    def __init__(self, machine: Machine, layer: int, label: int) -> None:
        super().__init__(machine, "error", machine.chip.pipeline_latency_cycles)
        spec = machine.spec
        self._spec, self._layer = spec, spec.layers[layer]
        self._region = machine.layout.region("signal", layer)
        self._z = machine.buffer.readout[layer]
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
        region, limits = self._region, signed_limits(spec.error_bits)
        columns = region.columns(word)
        if spec.mse_share_q > 0:
            errors = self._mixed[columns]
        else:
            errors = [p - y for p, y in zip(self._probabilities[columns], self._targets[columns], strict=True)]
        errors = [clamp(e, limits) for e in errors]
        buffer.error[region.layer][columns] = errors
        if spec.credit != "unroll":
            region.space.write(now, region.base + word, errors, region.tag("error"))
            buffer.set_signal(region.layer, word, errors)


class WriteError(Sequencer[int]):
    """Unroll: e of the step, read back from the history, is written to the error memory, a word a clock."""

    def __init__(self, machine: Machine, layer: int) -> None:
        super().__init__(machine, "error")
        self._region = machine.layout.region("signal", layer)

    def program(self) -> Iterator[Step]:
        """One clock per word."""
        for word in range(self._region.n_words):
            yield self.work(partial(self._write, word))

    def _write(self, word: int, now: int) -> None:
        region, buffer = self._region, self.machine.buffer
        errors = buffer.error[region.layer][region.columns(word)]
        region.space.write(now, region.base + word, errors, region.tag("error"))
        buffer.set_signal(region.layer, word, errors)


class CarryError(Sequencer[tuple[int, Word]]):
    """Unroll, leaky readout: delta[t] = sat(leak(delta[t + 1]) + e[t]), and epsilon of it, a stream over its words."""

    def __init__(self, machine: Machine, layer: int) -> None:
        self._region = machine.layout.region("signal", layer)
        memory = self._region.space
        super().__init__(machine, "error", machine.latency(memory), memory.interval)
        self._spec = machine.spec.layers[layer]
        self._limits = signed_limits(machine.spec.delta_bits)

    def program(self) -> Iterator[Step]:
        """One slot per word, and d."""
        for word in range(self._region.n_words):
            yield self.work(partial(self._begin, word))
        yield from self.drain()

    def _begin(self, word: int, now: int) -> None:
        region = self._region
        self.pipeline.enter(now, (word, region.space.read(now, region.base + word, region.tag("error"))))

    def finish(self, now: int, operands: tuple[int, Word]) -> None:
        """Write delta, or it beside epsilon; what a word holds whose valid bit is not set counts as 0."""
        (word, later), region, buffer = operands, self._region, self.machine.buffer
        errors = buffer.error[region.layer][region.columns(word)]
        if not buffer.valid_deltas[region.layer][word]:
            later = [0] * (2 * len(errors) if region.pairs else len(errors))
        epsilons, carried = halves(later) if region.pairs else ([], later)
        kind, value = self._spec.leak_kind, self._spec.leak_value
        written = [clamp(leak(x, kind, value) + e, self._limits) for x, e in zip(carried, errors, strict=True)]
        if region.pairs:
            written = carry_currents(self._spec, epsilons, written, self._limits) + written
        region.space.write(now, region.base + word, written, region.tag("error"))
        buffer.valid_deltas[region.layer][word] = True
        buffer.set_signal(region.layer, word, region.first(written))


def error_of_step(machine: Machine, layer: int) -> WriteError | CarryError:
    """Unroll: what puts the signal of a readout into the error memory, step after step of the reverse pass."""
    leaky = machine.spec.layers[layer].leak_kind != LEAK_NONE
    return CarryError(machine, layer) if leaky else WriteError(machine, layer)
