"""One step of a split network on the chip of multicore_networks, stage by stage, written from docs/multicore.md.

Messages go one by one through the ticked routers; clocks of a core are worked out from single bits, in plain Python.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from multicore_networks import MeshChip
from ottt_core_bitmaps import DIV, LATENCY, SCAN, H, L, M

from neurochip.activity import SampleTrace
from neurochip.microarch import Gates
from neurochip.microarch.multicore_split import Slice, Split
from neurochip.reference.clock_mesh import MeshClock
from neurochip.spec import CoreSpec

SNAKE = [(0, 0), (1, 0), (2, 0), (2, 1), (1, 1), (0, 1)]  # where cores 0 to 5 lie on 3 x 2
HOST = (0, 0)
II, READ = 2, 1  # one port; one clock to read
DRAIN = ((READ + LATENCY) | 1) + 1 - II
EVENT_BITS = (5, 6, 5)  # an address of 9, 22, 13 inputs, and one bit
WORD_ADDRESS_BITS, ROW_BITS = {1: 3, 2: 2}, {1: 5, 2: 4}  # of 6, 4 neuron words; of 22, 13 rows
HEADER_BITS = 3  # one of 6 nodes


def up(a: int, b: int) -> int:
    return -(-a // b)


class StepWalker:
    """Clocks of every stage of one step, by phase."""

    def __init__(self, spec: CoreSpec, chip: MeshChip, gates: Gates, split: Split, trace: SampleTrace) -> None:
        assert chip.mesh is not None
        self.spec, self.mesh, self.gates, self.split = spec, chip.mesh, gates, split
        self.bits = trace.bitmaps
        self.last = len(spec.layers) - 1
        self.hops: Counter[tuple[str, int]] = Counter()

    def send(self, flows: list[Any], phase: str, layer: int, payload: int) -> int:
        """A transfer: (source, destinations of its messages in order)."""
        flits = up(payload + HEADER_BITS, self.mesh.link_bits)
        clock = MeshClock(self.mesh.columns, self.mesh.rows, self.mesh.hop_cycles)
        for source, order in flows:
            clock.add_flow(source, [node for node in order for _ in range(flits)])
        clocks = clock.run()
        self.hops[phase, layer] += sum(clock.moved.values())
        return clocks

    def set_bits(self, name: str, at: tuple[int, int], part: Slice | None = None) -> list[int]:
        hit = [int(i) for i in np.flatnonzero(self.bits[name][at])]
        return hit if part is None else [i for i in hit if part.first <= i < part.last]

    def events(self, layer: int, at: tuple[int, int]) -> int:
        targets = [SNAKE[core] for core, _ in self.split.of_layer(layer)]
        sources = [(SNAKE[core], part) for core, part in self.split.of_layer(layer - 1)] if layer else [(HOST, None)]
        flows = [
            (node, [to for _ in self.set_bits(f"event/{layer}", at, part) for to in targets if to != node])
            for node, part in sources
        ]
        return self.send(flows, "deliver", layer, EVENT_BITS[layer])

    def surrogate_words(self, layer: int, at: tuple[int, int]) -> int:
        targets = [SNAKE[core] for core, _ in self.split.of_layer(layer)]
        flows = []
        for core, part in self.split.of_layer(layer - 1):
            words = sorted({(i - part.first) // L for i in self.set_bits(f"psi/{layer - 1}", at, part)})
            flows.append((SNAKE[core], [to for _ in words for to in targets if to != SNAKE[core]]))
        return self.send(flows, "error", layer, L + WORD_ADDRESS_BITS[layer])

    def active_rows(self, layer: int, at: tuple[int, int]) -> list[int]:
        if self.gates.zero_surrogate:
            return self.set_bits(f"psi/{layer - 1}", at)
        return list(range(self.spec.layers[layer].n_in))

    def partial_sums(self, layer: int, at: tuple[int, int]) -> int:
        flows = []
        for core, part in self.split.of_layer(layer):
            sends = not self.gates.zero_error or bool(self.set_bits(f"signal/{layer}", at, part))
            owners = [
                owner
                for row in (self.active_rows(layer, at) if sends else [])
                for owner, mine in self.split.of_layer(layer - 1)
                if mine.first <= row < mine.last and owner != core
            ]
            flows.append((SNAKE[core], [SNAKE[owner] for owner in owners]))
        return self.send(flows, "error", layer - 1, ROW_BITS[layer] + 32)

    def signal_words(self, part: Slice, at: tuple[int, int]) -> int:
        if not self.gates.zero_error:
            return up(part.n_out, L)
        return len({(j - part.first) // L for j in self.set_bits(f"signal/{part.layer}", at, part)})

    def deliver(self, part: Slice, at: tuple[int, int]) -> int:
        rows, words = len(self.set_bits(f"event/{part.layer}", at)) + 1, up(part.n_out, L)
        latency = (READ + LATENCY) | 1
        return (rows - 1) * max(words * II, latency + 1) + (words - 1) * II + latency + 1

    def fire(self, part: Slice, at: tuple[int, int]) -> int:
        if part.layer == self.last:
            return 2 * up(part.n_out, L) * II + DRAIN
        spikes = Counter((i - part.first) // L for i in self.set_bits(f"event/{part.layer + 1}", at, part))
        return sum(READ + LATENCY + max(1, spikes[word]) for word in range(up(part.n_out, L)))

    def trace(self, part: Slice, at: tuple[int, int]) -> int:
        layer = self.spec.layers[part.layer]
        if self.spec.credit != "trace" or not layer.keeps_trace:
            return 0
        sample, step = at
        touched = set(self.set_bits(f"event/{part.layer}", at))
        touched |= set(self.set_bits(f"trace/{part.layer}", (sample, step - 1))) if step else set()
        words = {i // M for i in touched}
        return (len(words) + up(up(layer.n_in, M), SCAN)) * II + DRAIN + (step == 0)

    def partial(self, part: Slice, at: tuple[int, int]) -> int:
        adder_tree = 2  # log2 L
        row_words = len(self.active_rows(part.layer, at)) * self.signal_words(part, at)
        return row_words + up(self.spec.layers[part.layer].n_in, SCAN) + READ + adder_tree + LATENCY

    def update(self, part: Slice, at: tuple[int, int]) -> int:
        layer = self.spec.layers[part.layer]
        traced = self.spec.credit == "trace" and layer.keeps_trace
        rows = len(self.set_bits(f"{'trace' if traced else 'event'}/{part.layer}", at)) + 1
        if not self.gates.zero_trace:
            rows = layer.n_in + 1
        visited = not self.gates.zero_error or bool(self.set_bits(f"signal/{part.layer}", at, part))
        return rows * self.signal_words(part, at) * II + visited * (up(layer.n_in + 1, SCAN) * II + DRAIN)

    def history_words(self, core: int) -> int:
        """Of SPLIT, in which only layer 2 and nothing else lies on a core as a whole: all events are kept."""
        words = 0
        for part in self.split.cores[core]:
            words += up(self.spec.layers[part.layer].n_in, H)
            bits = self.spec.error_bits if part.layer == self.last else self.spec.surrogate_bits
            words += up(part.n_out * bits, H)
        return words

    def step(self, at: tuple[int, int], learning: bool) -> Counter[str]:
        """Clocks by phase of a network in which no two layers share a core."""
        clocks: Counter[str] = Counter()
        barrier = self.mesh.barrier_cycles

        def stage(phase: str, per_slice: Any, layers: Any) -> None:
            per_core = [sum(per_slice(p, at) for p in core if p.layer in layers) for core in self.split.cores]
            clocks[phase] += max(per_core) + barrier

        everything = range(self.last + 1)
        for layer in everything:
            clocks["deliver"] += self.events(layer, at) + barrier
            stage("deliver", self.deliver, [layer])
            stage("fire", self.fire, [layer])
        if not learning:
            return clocks
        if self.spec.credit == "trace":
            stage("trace", self.trace, everything)
        stage("error", lambda p, at: 4 * up(p.n_out, L) + p.n_out * DIV + LATENCY, [self.last])
        if self.spec.credit == "unroll":
            words = max(self.history_words(core) for core in range(len(self.split.cores)))
            clocks["history"] += words + barrier + words + READ + barrier
            stage("error", lambda p, at: up(p.n_out, L), [self.last])
            if at[1] == self.spec.n_steps - 1:
                stage("error", lambda p, at: 1, everything[:-1])
        for layer in reversed(everything[1:]):
            if self.gates.zero_surrogate:
                clocks["error"] += self.surrogate_words(layer, at) + barrier
            stage("error", self.partial, [layer])
            clocks["error"] += self.partial_sums(layer, at) + barrier
            stage("error", lambda p, at: up(p.n_out, L) * II + DRAIN, [layer - 1])
        stage("update", self.update, everything)
        return clocks
