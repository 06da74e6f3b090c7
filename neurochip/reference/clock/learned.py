"""The last stage of every error: psi and g of a hidden layer, or its delta, word by word."""

from __future__ import annotations

from neurochip.reference.clock.lanes import carry_currents, clamp
from neurochip.reference.clock.layout import halves
from neurochip.reference.clock.machine import Machine
from neurochip.reference.clock.memory import Word
from neurochip.reference.core.arithmetic import leak, round_shift, signed_limits


class LearningSignal:
    """g of a hidden layer, which is stored; under unroll delta, which takes g in, and perhaps epsilon beside it.

    What a word needs is read in its slot: its psi, or under unroll, where psi is in the step buffer, its delta.
    """

    def __init__(self, machine: Machine, layer: int) -> None:
        spec, layout = machine.spec, machine.layout
        self._machine, self._layer, self._spec = machine, layer, spec.layers[layer]
        self.unrolls = spec.credit == "unroll"
        self.region = layout.region("signal", layer)
        self._held = self.region if self.unrolls else layout.region("psi", layer)
        self._held_words: list[Word] = [[] for _ in range(self.region.n_words)]
        self._error_limits = signed_limits(spec.error_bits)
        self._delta_limits = signed_limits(spec.delta_bits)

    def read(self, word: int, now: int) -> None:
        """Read psi or delta of a word."""
        held = self._held
        self._held_words[word] = held.space.read(now, held.base + word, held.tag("error"))

    def code(self, neuron: int) -> int:
        """psi of a neuron whose word has been read."""
        if self.unrolls:
            return self._machine.buffer.psi[self._layer][neuron]
        word = self._held.word_of(neuron)
        first: int = self._held.numbers(word).start
        return self._held_words[word][neuron - first]

    def d(self, rounded: int) -> int:
        """sat of the error that has come back in space."""
        return clamp(rounded, self._error_limits)

    def g(self, d: int, code: int) -> int:
        """sat(round(d psi, b))."""
        spec = self._machine.spec
        return clamp(round_shift(d * code, spec.surrogate_bits, spec.error_rounding), self._error_limits)

    def write(self, word: int, values: Word, now: int) -> None:
        """Write g of a word, or delta, or it beside epsilon."""
        region, buffer = self.region, self._machine.buffer
        if self.unrolls:
            values = self._back_in_time(word, values)
            buffer.valid_deltas[self._layer][word] = True
        region.space.write(now, region.base + word, values, region.tag("error"))
        buffer.set_signal(self._layer, word, region.first(values))

    def _back_in_time(self, word: int, values: Word) -> Word:
        """delta[t] = sat(v - [exact] round(theta psi v, b + frac_u) + g), v = leak(delta[t + 1]); then epsilon."""
        spec, layer, buffer, region = self._machine.spec, self._spec, self._machine.buffer, self.region
        codes = buffer.psi[self._layer][region.numbers(word)]
        nothing = [0] * (2 * len(values) if region.pairs else len(values))
        held = self._held_words[word] if buffer.valid_deltas[self._layer][word] else nothing
        epsilons, later = halves(held) if region.pairs else ([], held)
        deltas = []
        for g, code, delta in zip(values, codes, later, strict=True):
            v = leak(delta, layer.leak_kind, layer.leak_value)
            if spec.reset_path == "exact":
                n = spec.surrogate_bits + layer.frac_potential
                g -= round_shift(layer.threshold_q * code * v, n, spec.error_rounding)
            deltas.append(clamp(v + g, self._delta_limits))
        if not region.pairs:
            return deltas
        return carry_currents(layer, epsilons, deltas, self._delta_limits) + deltas
