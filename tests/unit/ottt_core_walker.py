"""The work of `ottt_core` done one event, row and word at a time, every access and operation logged; no clocks.

No formulas: test_ottt_core.py holds the closed form against this walk. That file loads ottt_core_bitmaps first.
"""

from __future__ import annotations

import itertools
from collections import Counter

from ottt_core_bitmaps import SIZES, Chip, H, L, M, Moment, R, chunks, presynaptic

from neurochip.microarch import Gates
from neurochip.spec import CoreSpec, LayerSpec

Gradient = list[list[bool]]


class Walker:
    """Does the work one access at a time and logs it."""

    def __init__(self, spec: CoreSpec, chip: Chip, gates: Gates) -> None:
        self.spec, self.chip, self.gates = spec, chip, gates
        self.log: Counter[tuple[str, str, int, tuple[int, ...]]] = Counter()
        self.phase, self.index = "", 0

    def at(self, phase: str, index: int) -> LayerSpec:
        self.phase, self.index = phase, index
        return self.spec.layers[index]

    def op(self, key: str, *widths: int, layer: int | None = None) -> None:
        self.log[key, self.phase, self.index if layer is None else layer, widths] += 1

    def is_off_chip(self, memory: str) -> bool:
        return memory not in self.chip.memories

    def move(self, memory: str, access: str, width: int, layer: int | None = None) -> None:
        self.op(f"{'dram' if self.is_off_chip(memory) else memory}_{access}", width, layer=layer)

    def rmw(self, memory: str, width: int, layer: int | None = None) -> None:
        self.move(memory, "read", width, layer)
        self.move(memory, "write", width, layer)

    def burst(self, memory: str, accesses: tuple[str, ...], n_out: int, bits: int) -> None:
        """A whole row from DRAM into the row buffer, or back; nothing if the memory is on the chip."""
        if self.is_off_chip(memory):
            for _, access in itertools.product(chunks(n_out, L), accesses):
                self.move(memory, access, L * bits)

    def buffered(self, memory: str, width: int) -> None:
        """A read and a write on the chip; of a memory in DRAM the row buffer takes them."""
        if not self.is_off_chip(memory):
            self.rmw(memory, width)

    def leak(self, kind: str, bits: int, layer: int | None = None) -> None:
        for key, widths in {"shift": (("shift", (bits,)), ("add", (bits,))), "constant": (("mul", (bits, 16)),)}[kind]:
            self.op(key, *widths, layer=layer)

    def potential_bits(self) -> int:
        return 22 if self.index == len(self.spec.layers) - 1 else 16

    def signal_bits(self, index: int) -> int:
        return 13 if self.spec.credit == "unroll" and self.spec.layers[index].leak_kind != "none" else 9

    def deliver(self, index: int, moment: Moment) -> None:
        layer = self.at("deliver", index)
        if layer.bias:
            for word in chunks(layer.n_out, L):
                self.move("synapse", "read", L * 8)
                self.rmw("neuron", L * self.potential_bits())
                for _ in word:
                    self.op("add", self.potential_bits())
        for m in moment.events[index].values():
            fifo = {7: 3, 10: 4, 6: 3}[layer.n_in] + (self.spec.event_bits if index == 0 else 1)
            self.op("event_fifo_write", fifo)
            self.op("event_fifo_read", fifo)
            for word in chunks(layer.n_out, L):
                self.move("synapse", "read", L * 8)
                self.rmw("neuron", L * self.potential_bits())
                for _ in word:
                    self.op("ac", self.potential_bits()) if m == 1 else self.op("mac", 8, self.spec.event_bits)

    def fire(self, index: int, moment: Moment) -> None:
        layer = self.at("fire", index)
        for word in chunks(layer.n_out, L):
            self.rmw("neuron", L * self.potential_bits())
            if layer.kind == "readout":
                self.rmw("neuron", L * 24)  # 22 + ⌈log2 3⌉
                for _ in word:
                    self.op("add", 24)
                    if layer.leak_kind != "none":
                        self.leak(layer.leak_kind, 22)
                continue
            for j in word:
                self.op("compare", 16)
                self.leak(layer.leak_kind, 16)
                if layer.reset == "subtract" and moment.fired[index][j]:
                    self.op("add", 16)
                if self.spec.credit != "none":
                    self.op("add", 16)
                    self.op("lut", 6, 4)
            if self.spec.credit in ("trace", "spike"):
                self.op("error_write", L * 4)

    def trace(self, index: int, moment: Moment) -> None:
        layer = self.at("trace", index)
        if self.spec.credit != "trace" or not layer.keeps_trace:
            return
        for word in chunks(layer.n_in, M):
            if any(moment.before[index][i] or i in moment.events[index] for i in word):
                self.rmw("trace", M * 7)
                for _ in range(M):
                    self.leak(layer.trace_leak_kind, 7)
                    if self.spec.trace_gate:
                        self.op("compare", 7)
                for _ in set(word) & set(moment.events[index]):
                    self.op("add", 7)

    def softmax(self, index: int) -> None:
        layer = self.at("error", index)
        carries = self.spec.credit == "unroll" and layer.leak_kind != "none"
        for _ in range(5):
            if carries:  # the error of the readout is carried back in time too
                self.leak(layer.leak_kind, 13)
                self.op("add", 13)
            for key, *widths in (
                ("compare", 22), ("add", 22), ("shift", 22), ("lut", 8, 16), ("add", 19), ("div", 22, 19), ("add", 9),
            ):  # fmt: skip
                self.op(str(key), *map(int, widths))
            if self.spec.mse_share_q:
                for key, *widths in (("mul", 22, 12),) * 3 + (("add", 34),) * 2 + (("div", 34, 12),):
                    self.op(str(key), *map(int, widths))
        for _ in range(2):  # words of 5 classes
            self.rmw("error", L * 13) if carries else self.op("error_write", L * 9)

    def active(self, signal: list[bool], word: range) -> list[int]:
        """Columns of a word that are worked on."""
        return [j for j in word if signal[j]] if self.gates.zero_error else list(word)

    def backward(self, index: int, moment: Moment) -> None:
        layer, below, unrolls = self.at("error", index), index - 1, self.spec.credit == "unroll"
        signal, width = moment.signal[index], self.signal_bits(index)
        for psi in moment.psi[below]:
            if self.gates.zero_surrogate and not psi:
                continue
            if any(signal) or not self.gates.zero_error:
                self.burst("synapse", ("read",), layer.n_out, 8)
            for columns in (self.active(signal, word) for word in chunks(layer.n_out, L)):
                if columns:
                    if not self.is_off_chip("synapse"):
                        self.op("synapse_read", L * 8)
                    self.op("error_read", L * width)
                for _ in columns:
                    self.op("mac", 8, width, 32)
            for key, *widths in (("mul", 9, 4), ("shift", 32), ("shift", 13)):
                self.op(str(key), *map(int, widths), layer=below)
            if unrolls and self.spec.reset_path == "exact":
                for key, *widths in (("mul", 16, 4), ("mul", 20, 13), ("shift", 33), ("add", 13)):
                    self.op(str(key), *map(int, widths), layer=below)
        for word in chunks(layer.n_in, L):
            if unrolls:
                self.rmw("error", L * 13, layer=below)
                for _ in word:
                    self.leak(self.spec.layers[below].leak_kind, 13, layer=below)
                    self.op("add", 13, layer=below)
            else:
                self.op("error_read", L * 4, layer=below)
                self.op("error_write", L * 9, layer=below)

    def update(self, index: int, moment: Moment) -> None:
        layer, immediate = self.at("update", index), self.spec.update == "immediate"
        traced = self.spec.credit == "trace" and layer.keeps_trace
        p_bits = 7 if traced else self.spec.event_bits if index == 0 else 1
        signal, bits = moment.signal[index], self.signal_bits(index)
        for _ in self.active(signal, range(layer.n_out)) if immediate else ():
            self.op("mul", 4, bits)
        if self.gates.zero_error and not any(signal):
            return  # nothing to update in this step: no row is looked for
        rows = presynaptic(self.spec, index, moment)
        for row, nonzero in enumerate(rows):
            for word in chunks(layer.n_out, R):
                if immediate and nonzero and any(signal[j] for j in word) and self.spec.weight_rounding == "stochastic":
                    for _ in range(R):
                        self.op("rng", 32)
            if self.gates.zero_trace and not nonzero:
                continue
            if traced and row < layer.n_in:
                self.op("trace_read", M * 7)
            memory, width = ("synapse", 8) if immediate else ("gradient", 24)
            self.burst(memory, ("read", "write"), layer.n_out, width)
            for columns in (self.active(signal, word) for word in chunks(layer.n_out, L)):
                if columns:
                    self.buffered(memory, L * width)
                    self.op("error_read", L * bits)
                for _ in columns:
                    if immediate:
                        self.op("mac", p_bits, bits + 4) if p_bits > 1 else self.op("ac", bits + 4)
                        self.op("shift", bits + 4 + (p_bits if p_bits > 1 else 0))
                    else:
                        self.op("mac", p_bits, bits, 24) if p_bits > 1 else self.op("ac", 24)
                        if layer.frac_gradient == 3:  # set by hand below frac_p + frac_e
                            self.op("shift", bits + (p_bits if p_bits > 1 else 0))

    def apply(self, index: int, gradient: Gradient) -> None:
        layer = self.at("apply", index)
        rows = gradient[: layer.n_in + layer.bias]
        for row in rows:
            self.burst("gradient", ("read", "write"), layer.n_out, 24)
            self.burst("synapse", ("read", "write"), layer.n_out, 8)
            for word in chunks(layer.n_out, R):
                if any(row[j] for j in word) and self.spec.weight_rounding == "stochastic":
                    for _ in range(R):
                        self.op("rng", 32)
            for columns in ([j for j in word if row[j]] for word in chunks(layer.n_out, L)):
                if columns:
                    self.buffered("gradient", L * 24)
                    self.buffered("synapse", L * 8)
                for _ in columns:
                    self.op("mac", 24, 4)
                    self.op("shift", 28)

    def history(self) -> None:
        kept = [(0, SIZES[0] * self.spec.event_bits), (2, 5 * 9)] + [(i, SIZES[i + 1] * 5) for i in (0, 1)]
        for index, bits in kept:
            self.at("history", index)
            for _ in chunks(bits, H):
                self.rmw("history", H)

    def run(self, moments: list[Moment], gradients: list[list[Gradient]]) -> Walker:
        spec, learning = self.spec, self.spec.credit != "none"
        for moment, index in itertools.product(moments, range(len(spec.layers))):
            self.deliver(index, moment)
            self.fire(index, moment)
            if not learning:
                continue
            self.trace(index, moment)
            self.update(index, moment)
            if index:
                self.backward(index, moment)
            if index == len(spec.layers) - 1:
                self.softmax(index)
                if spec.credit == "unroll":
                    self.history()
        for gradient, index in itertools.product(
            gradients if spec.update == "accumulate" else (), range(len(spec.layers))
        ):
            self.apply(index, gradient[index])
        return self
