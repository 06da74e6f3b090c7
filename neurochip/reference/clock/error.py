"""ERROR: the signal of a layer goes back through its weights to the neurons of the layer below."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from neurochip.reference.clock.lanes import clamp
from neurochip.reference.clock.machine import Machine, Pipeline, Sequencer, Step
from neurochip.reference.clock.memory import Word
from neurochip.reference.core.arithmetic import leak, round_shift, signed_limits


class ClearDeltas(Sequencer[None]):
    """Start of the reverse pass: one clock per hidden layer clears the valid bits of delta."""

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine, "error")

    def program(self) -> Iterator[Step]:
        """One clock per hidden layer."""
        for layer in range(len(self.machine.spec.layers) - 1):
            yield self.work(partial(self._clear, layer))

    def _clear(self, layer: int, now: int) -> None:
        self.machine.buffer.clear_deltas(layer)


class BackInSpace(Sequencer[tuple[int, int, bool]]):
    """Row words of W[l] beside signal words; a row's sum d leaves the adder tree, is multiplied by psi and becomes g.

    The rows are the neurons of layer l - 1. `pipeline` is lanes and adder tree, `_product` what follows it.
    """

    def __init__(self, machine: Machine, layer: int) -> None:
        spec, layout = machine.spec, machine.layout
        self._synapse, self._signal = layout.region("synapse", layer), layout.region("signal", layer)
        self._below, self._layer = layer - 1, layer
        self._unrolls = spec.credit == "unroll"
        self._target = layout.region("signal", layer - 1)  # g, or delta when unrolling
        self._held = self._target if self._unrolls else layout.region("psi", layer - 1)  # read in a word's slot
        self._pipeline_cycles = machine.chip.pipeline_latency_cycles
        rho = max(self._synapse.space.read_latency_cycles, self._signal.space.read_latency_cycles)
        tree = (machine.chip.lanes - 1).bit_length()
        super().__init__(machine, "error", rho + self._pipeline_cycles + tree, self._signal.space.interval)
        self._product: Pipeline[tuple[int, int]] = Pipeline(self._pipeline_cycles)
        self._tags = {region: region.tag("error") for region in (self._synapse, self._signal, self._target, self._held)}
        n_below = spec.layers[self._below].n_out
        self._sums = [0] * n_below  # of the rows whose words are in the adder tree
        self._g = [0] * n_below
        self._n_open = [0] * self._target.row_words  # rows of a word whose g is not there yet
        self._held_words: list[Word] = [[] for _ in range(self._target.row_words)]
        self._error_limits = signed_limits(spec.error_bits)
        self._delta_limits = signed_limits(spec.delta_bits)

    def program(self) -> Iterator[Step]:
        """Per word of the layer below its slot, then its rows; at the end as many slots as words are collected."""
        words, behind = self._target.row_words, self._slots_behind()
        signal = self._words_of_a_row()
        for word in range(words):
            end = partial(self._write, word - behind) if word >= behind else None
            yield self.work(partial(self._read_held, word), end=end)
            columns = self._target.columns(word)
            for row in range(columns.start, columns.stop):
                if row % self.machine.chip.scan_width == 0:
                    yield self.scan(clocks=1)
                if not self.machine.buffer.psi[self._below][row] and self.machine.gates.zero_surrogate:
                    continue
                if signal and self._synapse.space.spilled:
                    yield self.burst(self._synapse, row, False)
                for number, signal_word in enumerate(signal):
                    yield self.work(partial(self._begin, row, signal_word, number == len(signal) - 1), clocks=1)
        for flushed in range(words - behind, words):
            end = partial(self._write, flushed) if flushed >= 0 else None
            yield self.wait(self.interval, end)

    def _slots_behind(self) -> int:
        """q: slots from that of a word to the one that writes it, so that its last row has gone through."""
        latency = self.pipeline.latency + self._pipeline_cycles
        return -(-latency // self.interval)

    def _words_of_a_row(self) -> list[int]:
        bitmap = self.machine.buffer.signal_words[self._layer]
        return [word for word, some in enumerate(bitmap) if some or not self.machine.gates.zero_error]

    def _read_held(self, word: int, now: int) -> None:
        region = self._held
        self._held_words[word] = region.space.read(now, region.base + word, self._tags[region])

    def _begin(self, row: int, word: int, is_last: bool, now: int) -> None:
        synapse, signal = self._synapse, self._signal
        address = synapse.base + row * synapse.row_words + word
        weights = synapse.space.read(now, address, self._tags[synapse])
        signals = signal.space.read(now, signal.base + word, self._tags[signal])
        partial_sum = sum(w * g for w, g in zip(weights, signals, strict=True))
        self._n_open[row // self._target.lanes] += is_last
        self.pipeline.enter(now, (row, partial_sum, is_last))

    def tick(self, now: int) -> None:
        """One clock: a product leaves for its collector, then a sum leaves the adder tree, then the program goes on."""
        product = self._product.leave(now)
        if product is not None:
            row, g = product
            self._g[row] = g
            self._n_open[row // self._target.lanes] -= 1
        super().tick(now)

    def finish(self, now: int, operands: tuple[int, int, bool]) -> None:
        """Add the sum of a word to its row; the last word of a row makes d, and d times psi enters the lanes."""
        row, partial_sum, is_last = operands
        self._sums[row] += partial_sum
        if is_last:
            spec, mode = self.machine.spec, self.machine.spec.error_rounding
            d = clamp(round_shift(self._sums[row], spec.error_shift(self._below), mode), self._error_limits)
            g = clamp(round_shift(d * self._code(row), spec.surrogate_bits, mode), self._error_limits)
            self._product.enter(now, (row, g))

    def _code(self, row: int) -> int:
        """psi of a neuron: from its word of the error memory, or when unrolling from the step buffer."""
        if self._unrolls:
            return self.machine.buffer.psi[self._below][row]
        word, column = divmod(row, self._held.lanes)
        return self._held_words[word][column]

    def _write(self, word: int, now: int) -> None:
        """Write g of a word, or delta, which takes g in."""
        if self._n_open[word] > 0:
            raise RuntimeError(f"word {word} of layer {self._below} is written before {self._n_open[word]} of its g")
        values = self._g[self._target.columns(word)]
        if self._unrolls:
            values = self._back_in_time(word, values)
            self.machine.buffer.valid_deltas[self._below][word] = True
        self._target.space.write(now, self._target.base + word, values, self._tags[self._target])
        self.machine.buffer.set_signal(self._below, word, values)

    def _back_in_time(self, word: int, values: Word) -> Word:
        """delta[t] = sat(v - [exact] round(theta psi v, b + frac_u) + g), v = leak(delta[t + 1])."""
        spec, layer, buffer = self.machine.spec, self.machine.spec.layers[self._below], self.machine.buffer
        codes = buffer.psi[self._below][self._target.columns(word)]
        later = self._held_words[word] if buffer.valid_deltas[self._below][word] else [0] * len(values)
        deltas = []
        for g, code, delta in zip(values, codes, later, strict=True):
            v = leak(delta, layer.leak_kind, layer.leak_value)
            if spec.reset_path == "exact":
                n = spec.surrogate_bits + layer.frac_potential
                g -= round_shift(layer.threshold_q * code * v, n, spec.error_rounding)
            deltas.append(clamp(v + g, self._delta_limits))
        return deltas

    def check_empty(self) -> None:
        """Raise if something is still under way."""
        super().check_empty()
        self._product.check_empty()
