"""The mesh between cores: placement, XY routes, the clock in which a flit arrives (docs/multicore.md, section 4).

Links serve the oldest flit that waits, and ages are one order for the whole mesh. So an older flit never feels a
younger one, and taking the flits by age, each at the first free clock of every link on its way, gives the schedule
exactly.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Link = tuple[int, int]  # (from, to): neighbouring nodes


class MeshTiming(Protocol):
    """The numbers of a mesh that decide hops and clocks."""

    @property
    def columns(self) -> int: ...
    @property
    def rows(self) -> int: ...
    @property
    def link_bits(self) -> int: ...  # payload and header bits a link moves per clock: one flit
    @property
    def hop_cycles(self) -> int: ...  # router and link: from taking a link to being ready for the next
    @property
    def barrier_cycles(self) -> int: ...  # clocks at the end of every stage


@dataclass(frozen=True)
class Flow:
    """What one source sends in a stage: its flits in order, one handed to its router per clock from clock 0 on."""

    source: int  # node
    destinations: tuple[int, ...]  # node of every flit


@dataclass(frozen=True)
class Schedule:
    """When the flits of a stage arrive.

    Attributes:
        delivered: per flow and flit, clocks from the start of the stage to the end of its arrival.
        occupancy: flits per link.
    """

    delivered: tuple[tuple[int, ...], ...]
    occupancy: dict[Link, int]

    @property
    def clocks(self) -> int:
        """Clocks of the stage: until the last flit has arrived."""
        return max((clock for flow in self.delivered for clock in flow), default=0)

    @property
    def hops(self) -> int:
        """Links taken by all flits."""
        return sum(self.occupancy.values())


def node_of(core: int, columns: int) -> int:
    """Node of a core: row by row, every other row backwards, so that cores in sequence are neighbours."""
    row, place = divmod(core, columns)
    return row * columns + (place if row % 2 == 0 else columns - 1 - place)


def distance(source: int, destination: int, columns: int) -> int:
    """Manhattan distance of two nodes, in links."""
    return abs(source % columns - destination % columns) + abs(source // columns - destination // columns)


def route(source: int, destination: int, columns: int) -> list[Link]:
    """Links of the XY route: along the row to the column of the destination, then along the column."""
    links: list[Link] = []
    here = source
    while here != destination:
        ahead = destination % columns - here % columns
        step = (1 if ahead > 0 else -1) if ahead else (columns if destination > here else -columns)
        links.append((here, here + step))
        here += step
    return links


def schedule(flows: Sequence[Flow], columns: int, hop_cycles: int) -> Schedule:
    """Arrival of every flit: t[j] = the first clock ≥ t[j − 1] + hop_cycles in which no older flit takes link j.

    A flit is older than another if its place in its flow is lower, or the same and its flow comes first. The last
    "link" of a route is the port into the core, which takes a flit per clock as well; it is no hop.
    """
    taken: dict[Link, dict[int, int]] = {}
    delivered = [[0] * len(flow.destinations) for flow in flows]
    occupancy: Counter[Link] = Counter()
    routes: dict[Link, list[Link]] = {}
    for place in range(max((len(flow.destinations) for flow in flows), default=0)):
        for index, flow in enumerate(flows):
            if place >= len(flow.destinations):
                continue
            ends = (flow.source, flow.destinations[place])
            if ends not in routes:
                routes[ends] = route(*ends, columns)
            ready = place
            for link in routes[ends]:
                ready = _first_free(taken.setdefault(link, {}), ready) + hop_cycles
            occupancy.update(routes[ends])
            delivered[index][place] = _first_free(taken.setdefault((ends[1], ends[1]), {}), ready) + 1
    return Schedule(tuple(tuple(clocks) for clocks in delivered), dict(occupancy))


def _first_free(taken: dict[int, int], clock: int) -> int:
    """Take the first free clock from `clock` on; `taken` leads from a taken clock towards the next free one."""
    free = clock
    while free in taken:
        free = taken[free]
    while clock in taken:
        taken[clock], clock = free + 1, taken[clock]
    taken[free] = free + 1
    return free


def transfer_clocks(flows: Sequence[Flow], columns: int, hop_cycles: int) -> int:
    """Clocks of a transfer stage, as `schedule` gives them.

    The flits of a single source leave one per clock and so reach every link they share one per clock: none ever waits.
    """
    flows = [flow for flow in flows if flow.destinations]
    if not flows:
        return 0
    if len(flows) > 1:
        return schedule(flows, columns, hop_cycles).clocks
    source, destinations = flows[0].source, np.asarray(flows[0].destinations)
    away = np.abs(destinations % columns - source % columns) + np.abs(destinations // columns - source // columns)
    arrivals: NDArray[np.int64] = np.arange(len(destinations)) + hop_cycles * away + 1
    return int(arrivals.max())


def flit_bits(message_bits: int, link_bits: int) -> tuple[int, ...]:
    """Widths of the flits of a message: whole links, then the rest."""
    whole, rest = divmod(message_bits, link_bits)
    return (link_bits,) * whole + ((rest,) if rest else ())
