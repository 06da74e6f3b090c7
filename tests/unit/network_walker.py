"""The work of `ottt_core` on whole networks, one event, tap, row and word at a time; every access and operation logged.

It knows no formula and no total: it visits what the golden core's probes say happened, in the way the page tells
(docs/microarchitecture.md, sections 3 to 9). The words of x vectors are enumerated neuron by neuron.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from network_walker_state import Moment, chunks, input_words

from neurochip.microarch import Gates
from neurochip.spec import CoreSpec, LayerSpec
from neurochip.topology import Connection


class NetworkWalker:
    """Does the work one access at a time and logs it; memories all on the chip."""

    def __init__(self, spec: CoreSpec, chip: Any, gates: Gates) -> None:
        self.spec, self.chip, self.gates = spec, chip, gates
        self.log: Counter[tuple[str, str, int, tuple[int, ...]]] = Counter()
        self.phase, self.index = "", 0

    def at(self, phase: str, index: int) -> LayerSpec:
        self.phase, self.index = phase, index
        return self.spec.layers[index]

    def op(self, key: str, *widths: int, layer: int | None = None) -> None:
        self.log[key, self.phase, self.index if layer is None else layer, widths] += 1

    def rmw(self, memory: str, width: int, layer: int | None = None) -> None:
        self.op(f"{memory}_read", width, layer=layer)
        self.op(f"{memory}_write", width, layer=layer)

    def leak(self, kind: str, bits: int, layer: int | None = None) -> None:
        for key, widths in {"shift": (("shift", (bits,)), ("add", (bits,))), "constant": (("mul", (bits, 16)),)}[kind]:
            self.op(key, *widths, layer=layer)

    def words(self, layer: LayerSpec) -> list[range]:
        """The words of a block, as ranges of columns."""
        return chunks(layer.columns, self.chip.lanes)

    def vector(self, layer: LayerSpec) -> list[range]:
        """The words of all blocks, as ranges of outputs."""
        o = layer.columns
        return [range(b * o + w.start, b * o + w.stop) for b in range(layer.n_blocks) for w in self.words(layer)]

    def sum_bits(self) -> int:
        return self.spec.readout_bits + (self.spec.n_steps - 1).bit_length()

    def carries(self, index: int) -> bool:
        layer = self.spec.layers[index]
        return self.spec.credit == "unroll" and layer.leak_kind != "none"

    def signal_bits(self, index: int) -> int:
        return self.spec.delta_bits if self.carries(self.has_signal(index)) else self.spec.error_bits

    def has_signal(self, index: int) -> int:
        """The layer whose signal is that of this one: itself, or the readout that a feedback layer names."""
        layer = self.spec.layers[index]
        return index if layer.kind != "feedback" or layer.signal_of is None else layer.signal_of

    def signal_word(self, index: int) -> int:
        """Bits of the error word that a signal lies in: with a synaptic current delta and eps side by side."""
        source = self.has_signal(index)
        pairs = self.carries(source) and self.spec.layers[source].has_current
        return self.chip.lanes * self.signal_bits(index) * (2 if pairs else 1)

    def state_word(self, layer: LayerSpec) -> int:
        """Bits of a neuron word of u or z: with a synaptic current i lies beside it."""
        bits = self.spec.membrane_bits if layer.is_hidden else self.spec.readout_bits
        return self.chip.lanes * (bits + bits if layer.has_current else bits)

    def current(self, layer: LayerSpec, bits: int, index: int | None = None) -> None:
        """What a synaptic current adds per output: its leak, and the sum it goes into (or, backward, that goes in)."""
        if layer.has_current:
            self.leak(layer.current_leak_kind, bits, layer=index)
            self.op("add", bits, layer=index)

    def deliver(self, index: int, now: Moment) -> None:
        layer, spec = self.at("deliver", index), self.spec
        bits = spec.membrane_bits if layer.is_hidden else spec.readout_bits
        from_network = any(c.source < 0 for c in spec.connections(index)) and spec.event_bits > 1
        fifo = (layer.n_in - 1).bit_length() + (spec.event_bits if index == 0 else 1)
        bias = [(None, layer.n_blocks)] if layer.bias else []
        events = [(m, now.n_taps(layer, address)) for address, m in now.arrivals[index]]
        for m, n_taps in bias + events:
            if m is not None:
                self.op("event_fifo_write", fifo)
                self.op("event_fifo_read", fifo)
            for _ in range(n_taps):
                for word in self.words(layer):
                    self.op("synapse_read", self.chip.lanes * spec.weight_bits)
                    self.rmw("neuron", self.state_word(layer))
                    for _ in word:
                        if m is None:
                            self.op("add", bits)
                        elif from_network if layer.conv else m != 1:
                            self.op("mac", spec.weight_bits, spec.event_bits)
                        else:
                            self.op("ac", bits)

    def fire(self, index: int, now: Moment, learning: bool) -> None:
        layer, spec, lanes = self.at("fire", index), self.spec, self.chip.lanes
        for word in self.vector(layer):
            if not layer.is_hidden:
                self._read_out(layer, index, len(word))
                continue
            self.rmw("neuron", self.state_word(layer))
            for j in word:
                self.current(layer, spec.membrane_bits)
                self.op("compare", spec.membrane_bits)
                self.leak(layer.leak_kind, spec.membrane_bits)
                if layer.reset == "subtract" and now.spikes[index][j]:
                    self.op("add", spec.membrane_bits)
                if learning:
                    self.op("add", spec.membrane_bits)
                    self.op("lut", 6, spec.surrogate_bits)
            if learning and spec.credit != "unroll":
                self.op("error_write", lanes * spec.surrogate_bits)

    def _read_out(self, layer: LayerSpec, index: int, n: int) -> None:
        spec, lanes = self.spec, self.chip.lanes
        self.rmw("neuron", self.state_word(layer))
        is_last = index == len(spec.layers) - 1
        if is_last:
            self.rmw("neuron", lanes * self.sum_bits())
        for _ in range(n):
            self.current(layer, spec.readout_bits)
            if is_last:
                self.op("add", self.sum_bits())
            if layer.leak_kind != "none":
                self.leak(layer.leak_kind, spec.readout_bits)

    def trace(self, index: int, now: Moment) -> None:
        layer, bits, lanes = self.at("trace", index), self.spec.trace_bits, self.chip.trace_lanes
        for word in input_words(layer, lanes):
            if not any(now.held[index][i] or now.m[index].get(i) for i in word):
                continue
            for kind in (layer.trace_leak_kind, layer.filter_leak_kind):
                if kind != "none":
                    self.rmw("trace", lanes * bits)
                    for _ in range(lanes):
                        self.leak(kind, bits)
            for _ in range(lanes):
                if layer.filter_leak_kind != "none":
                    self.op("add", bits)
                if self.spec.trace_gate:
                    self.op("compare", bits)
        for _ in now.arrivals[index]:
            self.op("add", bits)

    def softmax(self, index: int) -> None:
        layer, spec = self.at("error", index), self.spec
        c_bits, z = (layer.n_out - 1).bit_length(), spec.readout_bits
        for _ in range(layer.n_out):
            for key, *widths in (
                ("compare", z), ("add", z), ("shift", z), ("lut", 8, 16), ("add", 16 + c_bits),
                ("div", 16 + layer.frac_error, 16 + c_bits), ("add", spec.error_bits),
            ):  # fmt: skip
                self.op(str(key), *map(int, widths))
            if spec.mse_share_q:
                f = 9 + c_bits
                for key, *widths in (("mul", z, f),) * 3 + (("add", z + f),) * 2 + (("div", z + f, f),):
                    self.op(str(key), *map(int, widths))

    def error_words(self, index: int) -> None:
        """e, or the carried error of a leaky readout, goes into the error memory."""
        layer, spec, lanes = self.at("error", index), self.spec, self.chip.lanes
        for word in self.words(layer):
            if not self.carries(index):
                self.op("error_write", lanes * spec.error_bits)
                continue
            self.rmw("error", self.signal_word(index))
            for _ in word:
                self.leak(layer.leak_kind, spec.delta_bits)
                self.op("add", spec.delta_bits)
                self.current(layer, spec.delta_bits)

    def paths(self, source: int) -> list[tuple[int, Connection]]:
        """(layer, connection) of all ways on which error comes to a hidden layer."""
        found = [
            (n, c)
            for n in range(source + 1, len(self.spec.layers))
            for c in self.spec.connections(n)
            if c.source == source and c.carries_error and not c.delay
        ]
        own = [(source, c) for c in self.spec.connections(source) if c.delay and self.spec.credit == "unroll"]
        return found + own

    def is_direct(self, index: int, connections: Sequence[Connection]) -> bool:
        only = connections[0]
        return (
            len(connections) == 1
            and only.pool_height == only.pool_width == 1
            and len(self.paths(only.source)) == 1
            and not only.delay
        )

    def backward(self, index: int, now: Moment) -> None:
        """Errors through the rows of a layer: first along its connections, then along a delayed one."""
        carrying = [c for c in self.spec.connections(index) if c.source >= 0 and c.carries_error and not c.delay]
        delayed = [c for c in self.spec.connections(index) if c.delay and self.spec.credit == "unroll"]
        for connections, signal in ((carrying, now.signal[index]), (delayed, now.later[index])):
            if not connections:
                continue
            self.rows_back(index, connections, signal, now)
            if self.is_direct(index, connections):
                source = connections[0].source
                for j in range(self.spec.layers[source].n_out):
                    if now.psi[source][j] or not self.gates.zero_surrogate:
                        self.op("shift", 32, layer=source)
                        self.form(source)
                self.form_words(source)
                continue
            for c in connections:
                self.at("error", index)
                for _ in self.x_words(c):
                    self.op("error_write", self.chip.lanes * 32)

    def rows_back(self, index: int, connections: Sequence[Connection], signal: Sequence[int], now: Moment) -> None:
        layer, spec, lanes = self.at("error", index), self.spec, self.chip.lanes
        visited: dict[int, bool] = {}
        for c in connections:
            for j in range(c.n_source):
                address = c.address(j)
                if address is not None:
                    visited[address] = visited.get(address, False) or bool(now.psi[c.source][j])
        for address, leads in visited.items():
            if self.gates.zero_surrogate and not leads:
                continue
            for _, block in now.taps(layer, address):
                for word in self.words(layer):
                    columns = [block * layer.columns + j for j in word]
                    active = [j for j in columns if signal[j] or not self.gates.zero_error]
                    if active:
                        self.op("synapse_read", lanes * spec.weight_bits)
                        self.op("error_read", self.signal_word(index))
                    for _ in active:
                        self.op("mac", spec.weight_bits, self.signal_bits(index), 32)

    def x_words(self, c: Connection) -> set[tuple[int, ...]]:
        """The x words of a connection: those of its source, or of what a pool leaves of it."""
        source, lanes, found = self.spec.layers[c.source], self.chip.lanes, set()
        for j in range(c.n_source):
            address, o = c.address(j), source.columns
            if c.pool_height * c.pool_width == 1:
                found.add((j // o, j % o // lanes))
            elif address is not None:
                position, channel = divmod(address - c.offset, c.channels)
                found.add((position, channel // o, channel % o // lanes))
        return found

    def form(self, source: int) -> None:
        """g of one neuron, and what the exact reset path adds."""
        spec = self.spec
        self.op("mul", spec.error_bits, spec.surrogate_bits, layer=source)
        self.op("shift", spec.error_bits + spec.surrogate_bits, layer=source)
        if spec.credit == "unroll" and spec.reset_path == "exact":
            u, s, d = spec.membrane_bits, spec.surrogate_bits, spec.delta_bits
            for key, *widths in (("mul", u, s), ("mul", u + s, d), ("shift", u + s + d), ("add", d)):
                self.op(str(key), *map(int, widths), layer=source)

    def form_words(self, source: int) -> None:
        spec, layer, lanes = self.spec, self.spec.layers[source], self.chip.lanes
        for word in self.vector(layer):
            if spec.credit == "unroll":
                self.rmw("error", self.signal_word(source), layer=source)
                for _ in word:
                    self.leak(layer.leak_kind, spec.delta_bits, layer=source)
                    self.op("add", spec.delta_bits, layer=source)
                    self.current(layer, spec.delta_bits, source)
            else:
                self.op("error_read", lanes * spec.surrogate_bits, layer=source)
                self.op("error_write", lanes * spec.error_bits, layer=source)

    def gate(self, index: int, now: Moment) -> None:
        """g of a layer out of its x words."""
        layer, paths = self.at("error", index), self.paths(index)
        if any(self.is_direct(n, self.carrying(n)) for n, c in paths if not c.delay):
            return
        for word in self.vector(layer):
            for _, c in paths:
                if any(c.address(j) is not None for j in word):
                    self.op("error_read", self.chip.lanes * 32)
            for j in word:
                if now.psi[index][j] or not self.gates.zero_surrogate:
                    for number, _ in enumerate(paths):
                        self.op("shift", 32)
                        if number:
                            self.op("add", 32)
                    self.form(index)
        self.form_words(index)

    def carrying(self, index: int) -> list[Connection]:
        return [c for c in self.spec.connections(index) if c.source >= 0 and c.carries_error and not c.delay]
