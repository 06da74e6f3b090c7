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
    value, kind = interpolate({node: (price.pj, price.kind) for node, price in points.items()}, node_nm, what)
    return Price(value, kind)


def interpolate(points: Mapping[float, tuple[float, Kind]], node_nm: float, what: str) -> tuple[float, Kind]:
    """`at_node` for numbers of any unit: node -> (value, kind)."""
    if node_nm in points:
        return points[node_nm]
    below = [node for node in points if node < node_nm]
    above = [node for node in points if node > node_nm]
    if not below or not above:
        known = ", ".join(f"{node:g}" for node in sorted(points))
        raise UserError(f"node_nm is {node_nm:g}; {what} has anchors at {known} nm and allowed is a node between them")
    low, high = max(below), min(above)
    (at_low, low_kind), (at_high, high_kind) = points[low], points[high]
    share = math.log(node_nm / low) / math.log(high / low)
    value = math.pow(at_low, 1.0 - share) * math.pow(at_high, share)
    return value, weakest(low_kind, high_kind, "model")


def linear_in_width(width: int, low: int, at_low: float, high: int, at_high: float) -> float:
    """An adder: linear in width between two widths, proportional to it outside them.

    Proportional outside, because a line through both would fall there when one of its ends rises.
    """
    if width <= low:
        return at_low * width / low
    if width >= high:
        return at_high * width / high
    return at_low + (at_high - at_low) * (width - low) / (high - low)


def power_of_product(product: int, low: int, at_low: float, high: int, at_high: float) -> float:
    """A multiplier: power law in the product of its operand widths between two products, proportional outside them."""
    if product <= low:
        return at_low * product / low
    if product >= high:
        return at_high * product / high
    share = math.log(product / low) / math.log(high / low)
    return math.pow(at_low, 1.0 - share) * math.pow(at_high, share)
