"""A mesh of routers, one Python step per clock: queues, XY routing, one flit per link and clock (docs/multicore.md).

Written from section 4 of that page; shares nothing with the count.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field

LOCAL = "local"


@dataclass(frozen=True)
class Packet:
    """One flit: (place, flow) is its age, lower is older; `x`, `y` the node it goes to."""

    place: int
    flow: int
    x: int
    y: int


@dataclass
class Router:
    """One node: a queue per input side, and what is under way on each of its outgoing links."""

    x: int
    y: int
    queues: dict[str, list[Packet]] = field(default_factory=dict)
    under_way: dict[str, deque[tuple[int, Packet]]] = field(default_factory=dict)  # output -> (arrival clock, flit)

    def accept(self, side: str, packet: Packet) -> None:
        """Put a flit into the queue of an input side."""
        self.queues.setdefault(side, []).append(packet)

    def output_of(self, packet: Packet) -> str:
        """The side a flit leaves by: first east or west, then north or south, then into the core."""
        if packet.x != self.x:
            return "east" if packet.x > self.x else "west"
        if packet.y != self.y:
            return "south" if packet.y > self.y else "north"
        return LOCAL

    def arbitrate(self) -> list[tuple[str, Packet]]:
        """For every output the oldest flit that waits for it; those leave their queues."""
        winners: dict[str, tuple[Packet, str]] = {}
        for side, queue in self.queues.items():
            for packet in queue:
                output = self.output_of(packet)
                best = winners.get(output)
                if best is None or (packet.place, packet.flow) < (best[0].place, best[0].flow):
                    winners[output] = (packet, side)
        for packet, side in winners.values():
            self.queues[side].remove(packet)
        return [(output, packet) for output, (packet, _) in winners.items()]


STEP = {"east": (1, 0), "west": (-1, 0), "south": (0, 1), "north": (0, -1)}


class MeshClock:
    """A mesh of columns × rows routers whose flits need `hop_cycles` clocks per router and link.

    Attributes:
        delivered: (flow, place) -> clocks until the flit has arrived.
        moved: ((x, y), (x, y)) -> flits that took this link.
        clock: clocks gone.
    """

    def __init__(self, columns: int, rows: int, hop_cycles: int) -> None:
        self.routers = {(x, y): Router(x, y) for y in range(rows) for x in range(columns)}
        self.hop_cycles = hop_cycles
        self.sources: list[tuple[tuple[int, int], deque[Packet]]] = []
        self.delivered: dict[tuple[int, int], int] = {}
        self.moved: Counter[tuple[tuple[int, int], tuple[int, int]]] = Counter()
        self.clock = 0

    def add_flow(self, source: tuple[int, int], destinations: list[tuple[int, int]]) -> None:
        """Let the core or host at `source` send one flit to each of `destinations`, in this order."""
        flow = len(self.sources)
        self.sources.append((source, deque(Packet(place, flow, x, y) for place, (x, y) in enumerate(destinations))))

    def run(self) -> int:
        """Tick until every flit has arrived; returns the clocks."""
        total = sum(len(waiting) for _, waiting in self.sources)
        while len(self.delivered) < total:
            self.tick()
        return self.clock

    def tick(self) -> None:
        """One clock: flits arrive and are injected, then every output of every router takes one."""
        for router in self.routers.values():
            for output, pipeline in router.under_way.items():
                while pipeline and pipeline[0][0] == self.clock:
                    dx, dy = STEP[output]
                    self.routers[router.x + dx, router.y + dy].accept(output, pipeline.popleft()[1])
        for flow, (source, waiting) in enumerate(self.sources):
            if waiting:
                self.routers[source].accept(f"source {flow}", waiting.popleft())
        for router in self.routers.values():
            for output, packet in router.arbitrate():
                self._send(router, output, packet)
        self.clock += 1

    def _send(self, router: Router, output: str, packet: Packet) -> None:
        if output == LOCAL:
            self.delivered[packet.flow, packet.place] = self.clock + 1
            return
        dx, dy = STEP[output]
        self.moved[(router.x, router.y), (router.x + dx, router.y + dy)] += 1
        router.under_way.setdefault(output, deque()).append((self.clock + self.hop_cycles, packet))
