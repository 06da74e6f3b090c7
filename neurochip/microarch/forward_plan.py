"""The forward groups of a step: which layer delivers beside which that fires (docs/microarchitecture.md, section 2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from neurochip.errors import UserError
from neurochip.microarch.shapes import runs_forward
from neurochip.spec import CoreSpec
from neurochip.topology import Connection


@dataclass(frozen=True)
class GroupPlan:
    """DELIVER of a layer, and FIRE of a hidden layer beside it.

    Attributes:
        layer: the layer that delivers.
        fires: the hidden layer that fires, whose spikes the first connection brings; None: no layer does.
        connections: of the layer, in order.
    """

    layer: int
    fires: int | None
    connections: tuple[Connection, ...]

    @property
    def buffered(self) -> tuple[Connection, ...]:
        """The connections whose events wait in a buffer."""
        return self.connections if self.fires is None else self.connections[1:]


def plan_groups(spec: CoreSpec, learning: bool) -> list[GroupPlan]:
    """The groups of a step in order.

    Raises:
        UserError: a hidden layer that no group fires, or that fires after a layer has taken its spikes; also where that
            is so only without learning, when heads do not run.
    """
    if learning:
        plan_groups(spec, learning=False)
    plans: list[GroupPlan] = []
    fired: set[int] = set()
    for index in range(len(spec.layers)):
        if not runs_forward(spec, index, learning):
            continue
        connections = spec.connections(index)
        first = connections[0]
        fires = first.source if first.delay == 0 and first.source >= 0 and first.source not in fired else None
        if fires is not None:
            fired.add(fires)
        _check_sources(connections, fired, index)
        plans.append(GroupPlan(index, fires, connections))
    silent = [index for index, layer in enumerate(spec.layers) if layer.is_hidden and index not in fired]
    if silent:
        raise UserError(
            f"hidden layer {silent[0]} is not the source of the first connection of any later layer; a core needs that "
            "to fire it: list the connection from it first in one of them"
        )
    return plans


def _check_sources(connections: Sequence[Connection], fired: set[int], index: int) -> None:
    for connection in connections:
        if connection.delay == 0 and connection.source >= 0 and connection.source not in fired:
            raise UserError(
                f"layer {index} takes spikes of layer {connection.source}, which fires later, beside the first layer "
                "whose first connection comes from it; list that connection first here"
            )
