"""UPDATE in the walk over whole networks, rows of dense layers and tiles of convolutions; history and applies."""

from __future__ import annotations

import math
from collections.abc import Mapping

from network_walker import NetworkWalker
from network_walker_state import Gradients, Moment, Row, chunks

from neurochip.spec import LayerSpec


class UpdateWalker(NetworkWalker):
    """A walker that also learns: it keeps gradients, to know which words an apply touches."""

    def presynaptic(self, index: int, now: Moment) -> tuple[dict[int, int], bool]:
        """p of the input addresses where it is not 0, and whether it is a trace."""
        layer = self.spec.layers[index]
        if self.spec.credit == "trace" and layer.keeps_trace:
            return {i: a for i, a in enumerate(now.trace[index]) if a and a >= self.spec.trace_gate}, True
        return now.m[index], False

    def p_bits(self, index: int, traced: bool) -> int:
        """Bits of the largest p."""
        if traced:
            return self.spec.trace_bits
        largest: dict[int, int] = {}
        for c in self.spec.connections(index):
            m = 2**self.spec.event_bits - 1 if c.source < 0 else 1
            largest[c.offset] = largest.get(c.offset, 0) + m * c.pool_height * c.pool_width
        return max(largest.values()).bit_length()

    def sums(self, index: int, now: Moment) -> dict[int, Row]:
        """D of every row, semantics 3.5."""
        layer, signal, o = self.spec.layers[index], now.signal[index], self.spec.layers[index].columns
        p, _ = self.presynaptic(index, now)
        factors = [(value, row, block) for i, value in p.items() for row, block in now.taps(layer, i)]
        if layer.bias:
            groups = layer.conv.groups if layer.conv else 1
            one = 1 << layer.frac_presynaptic
            factors += [(one, layer.n_weight_rows + b % groups, b) for b in range(layer.n_blocks)]
        found: dict[int, Row] = {}
        for value, row, block in factors:
            total = found.setdefault(row, [0] * o)
            for j in range(o):
                total[j] += value * signal[block * o + j]
        return found

    def update(self, index: int, now: Moment, gradients: Gradients) -> None:
        layer, spec = self.at("update", index), self.spec
        if not layer.learns or layer.kind == "feedback":
            return
        sums = self.sums(index, now)
        if spec.update == "accumulate":
            gradients.add(index, sums)
        elif spec.weight_rounding == "stochastic":
            for row in sums.values():
                for word in chunks(layer.columns, spec.rng_lanes):
                    for _ in range(spec.rng_lanes if any(row[j] for j in word) else 0):
                        self.op("rng", 32)
        if layer.conv:
            self.tiles(index, now, sums)
        else:
            self.rows(index, now)

    def active(self, signal: Row, columns: list[int]) -> list[int]:
        return [j for j in columns if signal[j] or not self.gates.zero_error]

    def rows(self, index: int, now: Moment) -> None:
        layer, spec, lanes = self.spec.layers[index], self.spec, self.chip.lanes
        immediate, signal, bits = spec.update == "immediate", now.signal[index], self.signal_bits(index)
        (p, traced), rb = self.presynaptic(index, now), spec.rate_multiplier.bit_length()
        p_bits = self.p_bits(index, traced)
        for _ in self.active(signal, list(range(layer.n_out))) if immediate else ():
            self.op("mul", rb, bits)
        if self.gates.zero_error and not any(signal):
            return
        for row in range(layer.n_in + layer.bias):
            if self.gates.zero_trace and row < layer.n_in and row not in p:
                continue
            if traced and row < layer.n_in:
                self.op("trace_read", self.chip.trace_lanes * spec.trace_bits)
            for columns in (self.active(signal, list(word)) for word in self.words(layer)):
                if columns:
                    if immediate:
                        self.rmw("synapse", lanes * spec.weight_bits)
                    else:
                        self.rmw("gradient", lanes * spec.gradient_bits)
                    self.op("error_read", self.signal_word(index))
                for _ in columns:
                    self.product(index, p_bits, bits, rb)

    def product(self, index: int, p_bits: int, bits: int, rb: int) -> None:
        wide = p_bits if p_bits > 1 else 0
        if self.spec.update == "immediate":
            self.op("mac", p_bits, bits + rb) if wide else self.op("ac", bits + rb)
            self.op("shift", wide + bits + rb)
            return
        self.op("mac", p_bits, bits, self.spec.gradient_bits) if wide else self.op("ac", self.spec.gradient_bits)
        if self.spec.gradient_shift(index) > 0:
            self.op("shift", wide + bits)

    def tiles(self, index: int, now: Moment, sums: Mapping[int, Row]) -> None:
        """Tile by tile: groups, M-words, kernel offsets, words of columns; then the bias."""
        layer = self.spec.layers[index]
        conv, signal = layer.conv, now.signal[index]
        assert conv is not None
        skips = self.gates.zero_trace and self.gates.zero_error
        if self.gates.zero_error and not any(signal):
            return
        p, traced = self.presynaptic(index, now)
        per_group = conv.channels // conv.groups
        offsets = [(y, x) for y in range(conv.kernel_height) for x in range(conv.kernel_width)]
        for group in range(conv.groups):
            for m_word in chunks(per_group, self.chip.trace_lanes):
                channels = [group * per_group + c for c in m_word]
                for k_y, k_x in offsets:
                    rows = {c: (c * conv.kernel_height + k_y) * conv.kernel_width + k_x for c in channels}
                    for word in self.words(layer):
                        for position in range(conv.n_positions):
                            self.pair(index, now, p, traced, (k_y, k_x), position, channels, word, skips)
                        self.write(layer, [sums.get(row) for row in rows.values()], word, skips)
            for word in self.words(layer) if layer.bias else ():
                for position in range(conv.n_positions):
                    self.bias_pair(index, signal, position * conv.groups + group, word, skips)
                self.write(layer, [sums.get(layer.n_weight_rows + group)], word, skips)

    def pair(
        self, index: int, now: Moment, p: Mapping[int, int], traced: bool, offset: tuple[int, int], position: int,
        channels: list[int], word: range, skips: bool,
    ) -> None:  # fmt: skip
        layer = self.spec.layers[index]
        conv, signal = layer.conv, now.signal[index]
        assert conv is not None
        y = position // conv.out_width * conv.stride_y - conv.padding_y + offset[0]
        x = position % conv.out_width * conv.stride_x - conv.padding_x + offset[1]
        if not (0 <= y < conv.height and 0 <= x < conv.width):
            return
        block = position * conv.groups + channels[0] // (conv.channels // conv.groups)
        columns = [block * layer.columns + j for j in word]
        addresses = [(y * conv.width + x) * conv.channels + c for c in channels]
        if skips:
            columns = [j for j in columns if signal[j]]
            addresses = [i for i in addresses if i in p]
        if not columns or not addresses:
            return
        if traced:
            self.op("trace_read", self.chip.trace_lanes * self.spec.trace_bits)
        self.op("error_read", self.signal_word(index))
        for _ in addresses:
            for _ in columns:
                self.tile_product(index, traced)

    def bias_pair(self, index: int, signal: Row, block: int, word: range, skips: bool) -> None:
        o, traced = self.spec.layers[index].columns, self.spec.credit == "trace" and self.spec.layers[index].keeps_trace
        columns = [j for j in word if signal[block * o + j] or not skips]
        if columns:
            self.op("error_read", self.signal_word(index))
        for _ in columns:
            self.tile_product(index, traced)

    def tile_product(self, index: int, traced: bool) -> None:
        p_bits = self.p_bits(index, traced)
        self.op("mac", p_bits, self.signal_bits(index), 32) if p_bits > 1 else self.op("ac", 32)

    def write(self, layer: LayerSpec, rows: list[Row | None], word: range, skips: bool) -> None:
        spec, lanes = self.spec, self.chip.lanes
        rb = spec.rate_multiplier.bit_length()
        for row in rows:
            if skips and not (row is not None and any(row[j] for j in word)):
                continue
            if spec.update == "immediate":
                self.rmw("synapse", lanes * spec.weight_bits)
            else:
                self.rmw("gradient", lanes * spec.gradient_bits)
            for _ in range(lanes):
                if spec.update == "immediate":
                    self.op("mul", rb, 32)
                    self.op("shift", rb + 32)
                else:
                    self.op("add", spec.gradient_bits)
                    if spec.gradient_shift(self.index) > 0:
                        self.op("shift", 32)

    def history(self) -> None:
        spec = self.spec
        inputs = [c.n_source for i in range(len(spec.layers)) for c in spec.connections(i) if c.source < 0]
        groups = [(0, inputs[0] * spec.event_bits if inputs else 0)]
        for index, layer in enumerate(spec.layers):
            if layer.kind != "feedback":
                groups.append((index, layer.n_out * (1 + spec.surrogate_bits if layer.is_hidden else spec.error_bits)))
        for index, bits in groups:
            self.at("history", index)
            for _ in chunks(bits, self.chip.history_word_bits):
                self.rmw("history", self.chip.history_word_bits)

    def apply(self, index: int, gradients: Gradients) -> None:
        """Every gradient word that holds something, and its weight word; with momentum through V."""
        layer, spec, lanes = self.at("apply", index), self.spec, self.chip.lanes
        for held, applied in gradients.applied_rows(index):
            for word in chunks(layer.columns, spec.rng_lanes):
                if spec.weight_rounding == "stochastic" and any(applied[j] for j in word):
                    for _ in range(spec.rng_lanes):
                        self.op("rng", 32)
            for word in self.words(layer):
                if not any(held[j] for j in word):
                    continue
                for _ in range(2 if spec.momentum_shift else 1):
                    self.rmw("gradient", lanes * spec.gradient_bits)
                self.rmw("synapse", lanes * spec.weight_bits)
                for _ in range(lanes if spec.momentum_shift else 0):
                    for key in ("shift", "add", "add"):
                        self.op(key, spec.gradient_bits)
                for j in word:
                    if applied[j]:
                        self.op("mac", spec.gradient_bits, spec.rate_multiplier.bit_length())
                        self.op("shift", spec.gradient_bits + spec.rate_multiplier.bit_length())

    def standardise(self, index: int) -> None:
        """Word by word: every weight read twice and written once, and the columns of the word between the passes."""
        layer, spec = self.at("standardise", index), self.spec
        if not (spec.standardise_every and layer.standardise_constant and layer.learns) or layer.kind == "feedback":
            return
        n, b, word_bits = layer.n_weight_rows, spec.weight_bits, self.chip.lanes * spec.weight_bits
        k = math.ceil(math.log2(n))
        for word in self.words(layer):
            for _ in range(n):
                self.op("synapse_read", word_bits)
                for _ in word:
                    self.op("add", b + k)
                    self.op("mac", b, b, 2 * b + k)
            for _ in word:
                self.op("mul", k + 1, 2 * b + k)
                self.op("mul", b + k, b + k)
                self.op("add", 2 * b + 2 * k)
                self.op("div", 2 * b + 2 * k, b + k)
                self.op("div", len(f"{layer.standardise_constant:b}"), b + k)
            for _ in range(n):
                self.rmw("synapse", word_bits)
                for _ in word:
                    self.op("mac", k + 1, b, b + k + 1)
                    self.op("mul", b + k + 1, 32)
                    self.op("shift", b + k + 33)
