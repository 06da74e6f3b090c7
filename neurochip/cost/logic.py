"""Energy of one arithmetic operation, from published anchors (docs/decisions/0003-prices.md, section 2)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from neurochip.cost.interpolation import Price, at_node, linear_in_width, power_of_product, scale, weakest
from neurochip.errors import UserError
from neurochip.technology import LogicAnchor, Quantity, Technology


def operation_price(
    operation: str, widths_bits: Sequence[int], technology: Technology, voltage_v: float, node_nm: float | None = None
) -> Price:
    """Price of one operation: E(op, widths, node) * (V/V_anchor)^2.

    Args:
        operation: one of `neurochip.counters.OPERATIONS`.
        widths_bits: operand widths: (w,) or (a, b); `mac` takes (a, b) or (a, b, accumulator). Where one width
            counts, it is the widest; for `lut` the last, the output; for `div` (dividend, divisor); for `hop` the
            width of the event word.
        technology: the anchors.
        voltage_v: supply.
        node_nm: node to interpolate to; the technology's own if None.

    Raises:
        UserError: the technology has no price for the operation.
    """
    if not widths_bits or min(widths_bits) < 1:
        raise ValueError(f"operand widths of {operation} are {tuple(widths_bits)}; allowed are widths of 1 bit or more")
    node = technology.node_nm if node_nm is None else node_nm
    if operation == "hop":
        return _hop(max(widths_bits), technology, voltage_v, node)
    price = _FORMULAS[operation](tuple(widths_bits), technology, node)
    return scale(price, (voltage_v / technology.logic.voltage.value) ** 2)


def register_price(width_bits: int, technology: Technology, voltage_v: float, node_nm: float | None = None) -> Price:
    """Price of one access of a word held in registers; same scaling as `operation_price`."""
    price = _proportional("register", width_bits, technology, technology.node_nm if node_nm is None else node_nm)
    return scale(price, (voltage_v / technology.logic.voltage.value) ** 2)


def anchors_of(name: str, technology: Technology) -> tuple[LogicAnchor, ...]:
    """Anchors of a table of `logic`; UserError if it is missing."""
    anchors: tuple[LogicAnchor, ...] = getattr(technology.logic, "register_" if name == "register" else name)
    if not anchors:
        raise UserError(f"{technology.file}: logic.{name} is missing, so its operations have no price; add its anchors")
    return anchors


def registers_per_bit(technology: Technology) -> Quantity:
    """Register bits a divider rewrites per divisor bit and step; UserError if missing."""
    if technology.logic.division is None:
        raise UserError(f"{technology.file}: logic.division is missing, so div has no price; add registers_per_bit")
    return technology.logic.division.registers_per_bit


def node_factor(technology: Technology, from_nm: float, to_nm: float) -> float:
    """(to/from)^node_exponent: what a change of node does to a logic energy.

    Raises:
        UserError: there is no exponent, or one of the nodes lies outside those for which it holds.
    """
    if from_nm == to_nm:
        return 1.0
    exponent = technology.logic.node_exponent
    if exponent is None:
        raise UserError(
            f"{technology.file}: logic.node_exponent is missing, so an energy known at {from_nm:g} nm cannot be moved "
            f"to {to_nm:g} nm; add it"
        )
    first, last = technology.logic.exponent_from_nm, technology.logic.exponent_to_nm
    for node_nm in (to_nm, from_nm):
        if not first <= node_nm <= last:
            raise UserError(
                f"node_nm is {node_nm:g}; {technology.file}: logic.node_exponent holds from {first:g} to {last:g} nm "
                "and allowed is a node between them"
            )
    return math.pow(to_nm / from_nm, exponent.value)


def _points(name: str, technology: Technology) -> dict[int, dict[float, Price]]:
    """Anchors of one operation: width -> node -> price."""
    by_width: dict[int, dict[float, Price]] = {}
    for anchor in anchors_of(name, technology):
        price = Price(anchor.energy.value, anchor.energy.kind)
        by_width.setdefault(anchor.width_bits, {})[anchor.node_nm] = price
    return by_width


def _end_widths(name: str, technology: Technology, node_nm: float) -> tuple[tuple[int, Price], tuple[int, Price]]:
    """Narrowest and widest anchor of an operation, at the node."""
    by_width = _points(name, technology)
    low, high = min(by_width), max(by_width)
    if low == high:
        raise UserError(f"{technology.file}: logic.{name} has anchors at {low} bits only; two widths are needed")
    what = f"{technology.file}: logic.{name}"
    return (low, at_node(by_width[low], node_nm, what)), (high, at_node(by_width[high], node_nm, what))


def _add(width_bits: int, technology: Technology, node_nm: float) -> Price:
    """Linear in width between the narrowest and the widest anchor, proportional to it outside them."""
    (low, e_low), (high, e_high) = _end_widths("add", technology, node_nm)
    pj = linear_in_width(width_bits, low, e_low.pj, high, e_high.pj)
    exact = width_bits in (low, high)
    return Price(pj, weakest(e_low.kind, e_high.kind, *(() if exact else ("model",))))


def _mul(a_bits: int, b_bits: int, technology: Technology, node_nm: float) -> Price:
    """Power law in a*b through the narrowest and the widest square anchor, proportional to a*b outside them."""
    (low, e_low), (high, e_high) = _end_widths("mul", technology, node_nm)
    pj = power_of_product(a_bits * b_bits, low**2, e_low.pj, high**2, e_high.pj)
    exact = a_bits == b_bits and a_bits in (low, high)
    return Price(pj, weakest(e_low.kind, e_high.kind, *(() if exact else ("model",))))


def _proportional(name: str, width_bits: int, technology: Technology, node_nm: float) -> Price:
    """Energy proportional to width; an anchor of another node moves by `node_factor`."""
    by_width = _points(name, technology)
    width = max(by_width)
    points = by_width[width]
    if len(points) > 1:
        price = at_node(points, node_nm, f"{technology.file}: logic.{name}")
    else:
        ((anchor_node, price),) = points.items()
        price = scale(price, node_factor(technology, anchor_node, node_nm))
    return scale(price, width_bits / width)


def _mac(widths: tuple[int, ...], technology: Technology, node_nm: float) -> Price:
    a, b, accumulator = mac_widths(widths)
    product = _mul(a, b, technology, node_nm)
    total = _add(accumulator, technology, node_nm)
    return Price(product.pj + total.pj, weakest(product.kind, total.kind))


def mac_widths(widths: Sequence[int]) -> tuple[int, int, int]:
    """Operands and accumulator of a multiply-accumulate: a + b bits if no accumulator is given."""
    a, b = widths[0], widths[min(1, len(widths) - 1)]
    return a, b, widths[2] if len(widths) > 2 else a + b


def _div(widths: tuple[int, ...], technology: Technology, node_nm: float) -> Price:
    """Restoring division: `dividend` steps of one subtraction of the divisor and the registers it rewrites."""
    dividend, divisor = widths[0], widths[-1]
    registers = registers_per_bit(technology)
    subtract = _add(divisor, technology, node_nm)
    rewrite = _proportional("register", divisor, technology, node_nm)
    pj = dividend * (subtract.pj + registers.value * rewrite.pj)
    return Price(pj, weakest(subtract.kind, rewrite.kind, registers.kind))


def _hop(width_bits: int, technology: Technology, voltage_v: float, node_nm: float) -> Price:
    """Energy per bit of one link and router, known at the technology's own node only."""
    if technology.noc is None:
        raise UserError(f"{technology.file}: noc.hop is missing, so hop has no price; add hop and voltage")
    if node_nm != technology.node_nm:
        raise UserError(f"{technology.file}: noc.hop is known at {technology.node_nm:g} nm only, not at {node_nm:g} nm")
    hop = Price(width_bits * technology.noc.hop.value, technology.noc.hop.kind)
    return scale(hop, (voltage_v / technology.noc.voltage.value) ** 2)


_Formula = Callable[[tuple[int, ...], Technology, float], Price]
_FORMULAS: Mapping[str, _Formula] = {
    "ac": lambda w, tech, node: _add(max(w), tech, node),
    "mac": _mac,
    "mul": lambda w, tech, node: _mul(w[0], w[-1], tech, node),
    "add": lambda w, tech, node: _add(max(w), tech, node),
    "shift": lambda w, tech, node: _proportional("shift", max(w), tech, node),
    "compare": lambda w, tech, node: _add(max(w), tech, node),
    "lut": lambda w, tech, node: _proportional("lut", w[-1], tech, node),
    "div": _div,
    "rng": lambda w, tech, node: _proportional("rng", max(w), tech, node),
}
