"""What the lanes make of one word: docs/semantics.md, section 3, column by column."""

from __future__ import annotations

from collections.abc import Sequence

from neurochip.reference.clock.memory import Word
from neurochip.reference.core.arithmetic import Limits, advance, leak
from neurochip.spec import CoreSpec, LayerSpec


def clamp(x: int, limits: Limits) -> int:
    """sat_F(x)."""
    lowest, highest = limits
    return lowest if x < lowest else highest if x > highest else x


def deliver(potentials: Word, weights: Word, magnitude: int, shift: int, limits: Limits | None) -> Word:
    """u + ((W m) << sh), saturated unless `limits` is None: a wide register that saturates when it fires."""
    sums = [u + ((w * magnitude) << shift) for u, w in zip(potentials, weights, strict=True)]
    return sums if limits is None else [clamp(u, limits) for u in sums]


def fire(layer: LayerSpec, potentials: Word, limits: Limits) -> tuple[Word, Word, Word]:
    """Spikes, u after reset and leak, and the 64-entry table index of psi, from the potentials of one word."""
    spikes, leaked, indices = [], [], []
    theta = layer.threshold_q
    for wide in potentials:
        u = clamp(wide, limits)
        s = 1 if u >= theta else 0
        after_reset = u - theta * s if layer.reset == "subtract" else u * (1 - s)
        spikes.append(s)
        leaked.append(leak(after_reset, layer.leak_kind, layer.leak_value))
        indices.append(max(-32, min(31, (u - theta) >> (layer.frac_potential - 4))) + 32)
    return spikes, leaked, indices


def decay_traces(layer: LayerSpec, traces: Word, magnitudes: Sequence[int], limits: Limits) -> Word:
    """sat(leak(a) + (m << frac_a))."""
    kind, value, frac = layer.trace_leak_kind, layer.trace_leak_value, layer.frac_trace
    return [clamp(leak(a, kind, value) + (m << frac), limits) for a, m in zip(traces, magnitudes, strict=True)]


class RandomRegisters:
    """The xorshift registers of one layer, which advance once per (row, R-column word) with a nonzero product."""

    def __init__(self, registers: list[int]) -> None:
        self.registers = registers
        self._drawn: tuple[int, int] | None = None

    def start_pass(self) -> None:
        """Rows come anew: whatever was drawn is used up."""
        self._drawn = None

    def draw(self, row: int, column: int) -> int:
        """The 32 bits for this column; the first one asked for in an R-word advances all lanes."""
        word, lane = divmod(column, len(self.registers))
        if self._drawn != (row, word):
            self._drawn = (row, word)
            self.registers[:] = [advance(x) for x in self.registers]
        return self.registers[lane]


def write_weights(
    spec: CoreSpec, weights: Word, products: Sequence[int], shift: int, random: RandomRegisters, row: int, first: int
) -> Word:
    """sat(((W << S) + P + c) >> S); columns from `first` on, those with P = 0 keep their weight and draw nothing."""
    limits = (-(1 << (spec.weight_bits - 1)), (1 << (spec.weight_bits - 1)) - 1)
    mode = spec.weight_rounding
    written = []
    for j, (w, product) in enumerate(zip(weights, products, strict=True), first):
        if product == 0:
            written.append(w)
            continue
        c = (1 << shift) >> 1 if mode == "nearest" else 0
        if mode == "stochastic":
            c = random.draw(row, j) & ((1 << shift) - 1)
        written.append(clamp(((w << shift) + product + c) >> shift, limits))
    return written
