"""What crosses the mesh in a stage: messages, hops, and the clocks of every transfer (docs/multicore.md, section 4)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from neurochip.counters import Count
from neurochip.microarch.mesh import Flow, MeshTiming, distance, flit_bits, node_of, transfer_clocks
from neurochip.microarch.multicore_clocks import SliceClocks, spikes_per_word
from neurochip.microarch.multicore_slices import Clocks
from neurochip.microarch.ottt_core_error import ERROR_ACCUMULATOR_BITS
from neurochip.microarch.shapes import ceil_div, ceil_log2, fifo_bits

HOST_NODE = 0


@dataclass
class Mesh:
    """The mesh of a chip, and the hops and arrivals it has counted.

    Attributes:
        counts: (key, phase, layer, widths) -> number, over the recorded samples.
    """

    timing: MeshTiming
    counts: Counter[tuple[str, str, int, tuple[int, ...]]] = field(default_factory=Counter)

    def node(self, core: int) -> int:
        return node_of(core, self.timing.columns)

    def broadcast(self, messages: Sequence[Clocks], sources: Sequence[int], targets: Sequence[int], bits: int) -> _Sent:
        """Send every message of every source node to every target node but its own; `messages` per step."""
        orders = [[target for target in targets if target != source] for source in sources]
        numbers = np.stack([clocks.reshape(-1) for clocks in messages], axis=1)
        flits = len(self.flits(bits))
        clocks: dict[tuple[int, ...], int] = {}
        for key in set(map(tuple, numbers.tolist())):
            flows = [
                Flow(source, tuple(np.tile(np.repeat(order, flits), number)) if order else ())
                for source, order, number in zip(sources, orders, key, strict=True)
            ]
            clocks[key] = self._clocks(flows)
        sent = numbers.sum(axis=0)
        hops = sum(
            int(number) * distance(source, target, self.timing.columns)
            for number, source, order in zip(sent, sources, orders, strict=True)
            for target in order
        )
        return _Sent(np.array([clocks[tuple(row)] for row in numbers.tolist()]).reshape(messages[0].shape), hops)

    def gather(
        self, messages: Sequence[Sequence[Clocks]], sources: Sequence[int], owners: Sequence[int], bits: int
    ) -> _Sent:
        """Send messages[source][owner] messages from every source node to every owner node, owner by owner."""
        shape = messages[0][0].shape
        away = np.array([[distance(a, b, self.timing.columns) for b in owners] for a in sources])
        apart = np.array([[a != b for b in owners] for a in sources])
        numbers = np.stack([np.stack([m.reshape(-1) for m in row], axis=1) for row in messages], axis=1) * apart
        flits = len(self.flits(bits))
        clocks: dict[bytes, int] = {}
        result: NDArray[np.int64] = np.zeros(len(numbers), dtype=np.int64)
        for cell, table in enumerate(numbers):
            key = table.tobytes()
            if key not in clocks:
                flows = [Flow(a, tuple(np.repeat(owners, row * flits))) for a, row in zip(sources, table, strict=True)]
                clocks[key] = self._clocks(flows)
            result[cell] = clocks[key]
        return _Sent(result.reshape(shape), int((numbers.sum(axis=0) * away).sum()), int(numbers.sum()))

    def flits(self, bits: int) -> tuple[int, ...]:
        """Widths of the flits of a message of `bits`; every message also says which node it goes to."""
        return flit_bits(bits + ceil_log2(self.timing.columns * self.timing.rows), self.timing.link_bits)

    def count_hops(self, phase: str, layer: int, bits: int, hops: int) -> None:
        for width in self.flits(bits):
            self.counts["hop", phase, layer, (width,)] += hops

    def _clocks(self, flows: list[Flow]) -> int:
        return transfer_clocks(flows, self.timing.columns, self.timing.hop_cycles)

    def events(self, layer: int, below: Sequence[SliceClocks], above: Sequence[SliceClocks]) -> Clocks | None:
        """Input events of a layer from the cores that fire them, or from the host; None if none can leave its node."""
        bits = fifo_bits(above[0].spec, layer)
        targets = [self.node(part.seen.core) for part in above]
        sources = [self.node(part.seen.core) for part in below] if layer else [HOST_NODE]
        if sources == targets and len(targets) == 1:
            return None
        messages = [part.at["spikes"] for part in below] if layer else [above[0].at["events"]]
        sent = self.broadcast(messages, sources, targets, bits)
        self.count_hops("deliver", layer, bits, sent.hops)
        return sent.clocks

    def surrogate_words(self, below: Sequence[SliceClocks], above: Sequence[SliceClocks], lanes: int) -> Clocks:
        """Bitmaps of ψ ≠ 0, one message per neuron word with a set bit, to the cores that go back through the rows."""
        layer = above[0].seen.layer
        messages = [np.count_nonzero(spikes_per_word(_psi(part), lanes), axis=-1) for part in below]
        bits = lanes + ceil_log2(ceil_div(above[0].layer.n_in, lanes))
        nodes = [[self.node(part.seen.core) for part in parts] for parts in (below, above)]
        sent = self.broadcast(messages, nodes[0], nodes[1], bits)
        self.count_hops("error", layer, bits, sent.hops)
        return sent.clocks

    def partial_sums(
        self, rows: Sequence[Clocks], below: Sequence[SliceClocks], above: Sequence[SliceClocks]
    ) -> Clocks:
        """Partial sums of d: `rows` of every slice below, from every slice above that formed some."""
        layer = below[0].seen.layer
        bits = ceil_log2(above[0].layer.n_in) + ERROR_ACCUMULATOR_BITS
        nodes = [[self.node(part.seen.core) for part in parts] for parts in (above, below)]
        messages = [[owned * part.signals_sent() for owned in rows] for part in above]
        sent = self.gather(messages, nodes[0], nodes[1], bits)
        self.count_hops("error", layer, bits, sent.hops)
        self.counts["add", "error", layer, (ERROR_ACCUMULATOR_BITS,)] += sent.arrived
        return sent.clocks

    def leaves(self) -> list[Count]:
        """What was counted, as records."""
        return [Count(*place, number) for place, number in self.counts.items() if number]


@dataclass(frozen=True)
class _Sent:
    """Clocks of the transfer per step, hops of its messages, and messages that arrived over links."""

    clocks: Clocks
    hops: int
    arrived: int = 0


def _psi(part: SliceClocks) -> NDArray[np.bool_]:
    if part.seen.psi is None:
        raise ValueError(f"layer {part.seen.layer} has no surrogate")
    return part.seen.psi
