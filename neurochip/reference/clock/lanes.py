"""What the lanes make of one word: docs/semantics.md, section 3, column by column."""

from __future__ import annotations

from collections.abc import Sequence

from neurochip.reference.clock.memory import Word
from neurochip.reference.core.arithmetic import Limits, advance, leak, round_shift, signed_limits
from neurochip.spec import CoreSpec, LayerSpec


def clamp(x: int, limits: Limits) -> int:
    """sat_F(x)."""
    lowest, highest = limits
    return lowest if x < lowest else highest if x > highest else x


def deliver(potentials: Word, weights: Word, magnitude: int, shift: int, limits: Limits | None) -> Word:
    """u + ((W m) << sh), saturated unless `limits` is None: a wide register that saturates when it fires."""
    sums = [u + ((w * magnitude) << shift) for u, w in zip(potentials, weights, strict=True)]
    return sums if limits is None else [clamp(u, limits) for u in sums]


def add_currents(
    layer: LayerSpec, potentials: Sequence[int], currents: Sequence[int], limits: Limits
) -> tuple[Word, Word]:
    """u = sat(u + i), u leaked already, and i after its leak; a wide i saturates before it is added."""
    narrow = [clamp(i, limits) for i in currents]
    summed = [clamp(u + i, limits) for u, i in zip(potentials, narrow, strict=True)]
    return summed, [leak(i, layer.current_leak_kind, layer.current_leak_value) for i in narrow]


def fire(layer: LayerSpec, potentials: Sequence[int], limits: Limits) -> tuple[Word, Word, Word]:
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


def carry_currents(layer: LayerSpec, later: Sequence[int], deltas: Sequence[int], limits: Limits) -> Word:
    """epsilon[t] = sat(current_leak(epsilon[t + 1]) + delta[t])."""
    kind, value = layer.current_leak_kind, layer.current_leak_value
    return [clamp(leak(e, kind, value) + delta, limits) for e, delta in zip(later, deltas, strict=True)]


def decay_traces(layer: LayerSpec, traces: Word, magnitudes: Sequence[int], limits: Limits) -> Word:
    """sat(leak(a) + (m << sa)); with a filter that is f."""
    kind, value, shift = layer.trace_leak_kind, layer.trace_leak_value, layer.trace_shift
    return [clamp(leak(a, kind, value) + (m << shift), limits) for a, m in zip(traces, magnitudes, strict=True)]


def filter_traces(layer: LayerSpec, traces: Word, filtered: Word, limits: Limits) -> Word:
    """sat(filter_leak(a) + f)."""
    kind, value = layer.filter_leak_kind, layer.filter_leak_value
    return [clamp(leak(a, kind, value) + f, limits) for a, f in zip(traces, filtered, strict=True)]


class RandomRegisters:
    """The xorshift registers of one layer, which advance once per (row, R-column word) with a nonzero product."""

    def __init__(self, registers: list[int]) -> None:
        self.registers = registers
        self._drawn: tuple[int, int] | None = None
        self._ahead: dict[tuple[int, int], list[int]] = {}

    def start_pass(self) -> None:
        """Rows come anew: whatever was drawn is used up."""
        self._drawn = None
        self._ahead = {}

    def start_tiles(self, words: Sequence[tuple[int, int]]) -> None:
        """The same where rows will not be asked for in their order: draw for these (row, R-word) in theirs."""
        self.start_pass()
        for key in words:
            self.registers[:] = [advance(x) for x in self.registers]
            self._ahead[key] = list(self.registers)

    def draw(self, row: int, column: int) -> int:
        """The 32 bits for this column; the first one asked for in an R-word advances all lanes."""
        word, lane = divmod(column, len(self.registers))
        if self._ahead:
            return self._ahead[row, word][lane]
        if self._drawn != (row, word):
            self._drawn = (row, word)
            self.registers[:] = [advance(x) for x in self.registers]
        return self.registers[lane]


def write_weights(
    spec: CoreSpec, weights: Word, products: Sequence[int], shift: int, random: RandomRegisters, row: int, first: int
) -> Word:
    """sat(((W << S) + P + c) >> S); columns from `first` on, those with P = 0 keep their weight and draw nothing."""
    limits = signed_limits(spec.weight_bits)
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


def accumulate(spec: CoreSpec, layer: int, gradients: Word, sums: Sequence[int]) -> Word:
    """sat(G + round(D, sG))."""
    shift, limits = spec.gradient_shift(layer), signed_limits(spec.gradient_bits)
    return [
        clamp(total + round_shift(d, shift, spec.error_rounding), limits)
        for total, d in zip(gradients, sums, strict=True)
    ]


def accelerate(spec: CoreSpec, velocities: Word, gradients: Word) -> Word:
    """sat(leak_k(V) + G)."""
    limits = signed_limits(spec.gradient_bits)
    leaked = [leak(v, "shift", spec.momentum_shift) for v in velocities]
    return [clamp(v + g, limits) for v, g in zip(leaked, gradients, strict=True)]
