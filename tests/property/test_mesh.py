"""Does the schedule of the mesh equal its routers ticked clock by clock, and obey what any mesh must obey?"""

from __future__ import annotations

import itertools
import random

import pytest

from neurochip.microarch.mesh import Flow, Schedule, distance, node_of, schedule, transfer_clocks
from neurochip.reference.clock_mesh import MeshClock

N_CASES = 600
MAX_FLITS = 200


def drawn_case(seed: int) -> tuple[int, int, int, list[Flow]]:
    """Columns, rows, hop_cycles and flows; a third of the cases sends everything to one node, the worst contention."""
    draw = random.Random(seed)
    columns, rows, hop_cycles = draw.randint(1, 6), draw.randint(1, 6), draw.randint(1, 4)
    nodes = range(columns * rows)
    left = draw.randint(1, MAX_FLITS)
    flows = []
    hot = draw.choice(nodes) if draw.random() < 1 / 3 else None
    for source in draw.choices(nodes, k=draw.randint(1, 12)):  # two flows may leave one node: a core and the host
        size = draw.randint(0, left)
        left -= size
        flows.append(Flow(source, tuple(draw.choice(nodes) if hot is None else hot for _ in range(size))))
    return columns, rows, hop_cycles, flows


def ticked(columns: int, rows: int, hop_cycles: int, flows: list[Flow]) -> MeshClock:
    def place(node: int) -> tuple[int, int]:
        return node % columns, node // columns

    mesh = MeshClock(columns, rows, hop_cycles)
    for flow in flows:
        mesh.add_flow(place(flow.source), [place(node) for node in flow.destinations])
    mesh.run()
    return mesh


@pytest.mark.parametrize("block", range(6))
def test_every_flit_arrives_in_the_clock_the_routers_deliver_it(block: int) -> None:
    for seed in range(block * N_CASES // 6, (block + 1) * N_CASES // 6):
        columns, rows, hop_cycles, flows = drawn_case(seed)
        mesh, fast = ticked(columns, rows, hop_cycles, flows), schedule(flows, columns, hop_cycles)
        arrivals = {(i, place): clock for i, flow in enumerate(fast.delivered) for place, clock in enumerate(flow)}
        assert arrivals == mesh.delivered
        assert fast.clocks == transfer_clocks(flows, columns, hop_cycles) == mesh.clock
        occupancy = {
            ((a % columns, a // columns), (b % columns, b // columns)): number
            for (a, b), number in fast.occupancy.items()
        }
        assert occupancy == dict(mesh.moved)
        assert fast.hops == sum(mesh.moved.values())


def test_the_drawn_cases_contend_for_links() -> None:
    """Without waiting flits the comparison above would prove little."""

    def waits(case: tuple[int, int, int, list[Flow]]) -> bool:
        columns, _, hop_cycles, flows = case
        free = [
            place + hop_cycles * distance(flow.source, node, columns) + 1
            for flow in flows
            for place, node in enumerate(flow.destinations)
        ]
        arrived = [clock for flow in schedule(flows, columns, hop_cycles).delivered for clock in flow]
        return arrived != free

    assert sum(waits(drawn_case(seed)) for seed in range(200)) > 100


def bounds(columns: int, hop_cycles: int, flows: list[Flow]) -> tuple[Schedule, int, int]:
    paths = [distance(flow.source, node, columns) for flow in flows for node in flow.destinations]
    return schedule(flows, columns, hop_cycles), sum(paths), max(paths, default=0)


def test_hops_are_manhattan_distances_and_clocks_cover_links_and_paths() -> None:
    for seed in range(1000, 1200):
        columns, _, hop_cycles, flows = drawn_case(seed)
        result, distances, longest = bounds(columns, hop_cycles, flows)
        assert result.hops == distances
        assert result.clocks >= max(result.occupancy.values(), default=0)
        assert result.clocks >= longest * hop_cycles


def test_a_single_source_needs_no_schedule() -> None:
    for seed in range(2000, 2100):
        columns, _, hop_cycles, flows = drawn_case(seed)
        for flow in flows:
            assert transfer_clocks([flow], columns, hop_cycles) == schedule([flow], columns, hop_cycles).clocks


def test_cores_in_sequence_are_neighbours() -> None:
    for columns in range(1, 7):
        nodes = [node_of(core, columns) for core in range(columns * 5)]
        assert sorted(nodes) == list(range(columns * 5))
        assert all(distance(a, b, columns) == 1 for a, b in itertools.pairwise(nodes))
