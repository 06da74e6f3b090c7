"""Prices with the kind of evidence they rest on, and their interpolation between published anchors."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from neurochip.errors import UserError
from neurochip.technology import KINDS, Kind


class Price(NamedTuple):
    """Energy of one event in pJ, and the weakest kind of evidence it rests on."""

    pj: float
    kind: Kind


def weakest(*kinds: Kind) -> Kind:
    """The kind with the least evidence: assumed before model before simulated before measured."""
    return max(kinds, key=KINDS.index)


def scale(price: Price, factor: float) -> Price:
    """Price times a factor that is itself a model; a factor of 1 leaves the kind as it is."""
    if factor == 1.0:
        return price
    return Price(price.pj * factor, weakest(price.kind, "model"))


def at_node(points: Mapping[float, Price], node_nm: float, what: str) -> Price:
    """Interpolate between technology nodes: log E is linear in log node between the two nearest anchors.

    Raises:
        UserError: the node lies outside the anchors; `what` names the prices.
    """
    if node_nm in points:
        return points[node_nm]
    below = [node for node in points if node < node_nm]
    above = [node for node in points if node > node_nm]
    if not below or not above:
        known = ", ".join(f"{node:g}" for node in sorted(points))
        raise UserError(f"node_nm is {node_nm:g}; {what} has anchors at {known} nm and allowed is a node between them")
    low, high = max(below), min(above)
    share = math.log(node_nm / low) / math.log(high / low)
    pj = points[low].pj * (points[high].pj / points[low].pj) ** share
    return Price(pj, weakest(points[low].kind, points[high].kind, "model"))
