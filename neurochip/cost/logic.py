"""Energy of one arithmetic operation, from published anchors (docs/decisions/0003-prices.md, section 2)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from neurochip.cost.interpolation import Price, at_node, scale, weakest
from neurochip.errors import UserError
from neurochip.technology import LogicAnchor, Technology


def operation_price(
    operation: str, widths_bits: Sequence[int], technology: Technology, voltage_v: float, node_nm: float | None = None
) -> Price:
    """Price of one operation: E(op, widths, node) * (V/V_logic)^2.

    Args:
        operation: one of `neurochip.counters.OPERATIONS`.
        widths_bits: operand widths: (w,) or (a, b); `mac` takes (a, b) or (a, b, accumulator). Where one width
            counts, it is the widest; for `lut` the last, the output; for `div` (dividend, divisor).
        technology: the anchors.
        voltage_v: supply.
        node_nm: node to interpolate to; the technology's own if None.

    Raises:
        UserError: the technology has no price for the operation.
    """
    if not widths_bits or min(widths_bits) < 1:
        raise ValueError(f"operand widths of {operation} are {tuple(widths_bits)}; allowed are widths of 1 bit or more")
    formula = _FORMULAS[operation]
    price = formula(tuple(widths_bits), technology, technology.node_nm if node_nm is None else node_nm)
    return scale(price, (voltage_v / technology.logic.voltage.value) ** 2)


def register_price(width_bits: int, technology: Technology, voltage_v: float, node_nm: float | None = None) -> Price:
    """Price of one access of a word held in registers; same scaling as `operation_price`."""
    price = _proportional("register", width_bits, technology, technology.node_nm if node_nm is None else node_nm)
    return scale(price, (voltage_v / technology.logic.voltage.value) ** 2)


def _anchors(name: str, technology: Technology) -> dict[int, dict[float, Price]]:
    """Anchors of one operation: width -> node -> price."""
    anchors: tuple[LogicAnchor, ...] = getattr(technology.logic, "register_" if name == "register" else name)
    if not anchors:
        raise UserError(f"{technology.file}: logic.{name} is missing, so its operations have no price; add its anchors")
    by_width: dict[int, dict[float, Price]] = {}
    for anchor in anchors:
        price = Price(anchor.energy.value, anchor.energy.kind)
        by_width.setdefault(anchor.width_bits, {})[anchor.node_nm] = price
    return by_width


def _end_widths(name: str, technology: Technology, node_nm: float) -> tuple[tuple[int, Price], tuple[int, Price]]:
    """Narrowest and widest anchor of an operation, at the node."""
    by_width = _anchors(name, technology)
    low, high = min(by_width), max(by_width)
    if low == high:
        raise UserError(f"{technology.file}: logic.{name} has anchors at {low} bits only; two widths are needed")
    what = f"{technology.file}: logic.{name}"
    return (low, at_node(by_width[low], node_nm, what)), (high, at_node(by_width[high], node_nm, what))


def _add(width_bits: int, technology: Technology, node_nm: float) -> Price:
    """E(w) linear in w through the narrowest and the widest anchor."""
    (low, e_low), (high, e_high) = _end_widths("add", technology, node_nm)
    pj = e_low.pj + (e_high.pj - e_low.pj) * (width_bits - low) / (high - low)
    if pj <= 0:
        raise UserError(f"{technology.file}: logic.add gives {pj:g} pJ at {width_bits} bits; it must be above 0")
    exact = width_bits in (low, high)
    return Price(pj, weakest(e_low.kind, e_high.kind, *(() if exact else ("model",))))


def _mul(a_bits: int, b_bits: int, technology: Technology, node_nm: float) -> Price:
    """E(a, b) = E_low * (a*b / low^2)^x, with x such that E(high, high) = E_high."""
    (low, e_low), (high, e_high) = _end_widths("mul", technology, node_nm)
    exponent = math.log(e_high.pj / e_low.pj) / math.log(high**2 / low**2)
    pj = e_low.pj * (a_bits * b_bits / low**2) ** exponent
    exact = a_bits == b_bits and a_bits in (low, high)
    return Price(pj, weakest(e_low.kind, e_high.kind, *(() if exact else ("model",))))


def _proportional(name: str, width_bits: int, technology: Technology, node_nm: float) -> Price:
    """Energy proportional to width; an anchor of another node moves as the widest adder does."""
    by_width = _anchors(name, technology)
    width = max(by_width)
    points = by_width[width]
    if len(points) > 1:
        price = at_node(points, node_nm, f"{technology.file}: logic.{name}")
    else:
        ((anchor_node, anchor),) = points.items()
        price = anchor
        if anchor_node != node_nm:
            adder = _anchors("add", technology)
            widest = adder[max(adder)]
            what = f"{technology.file}: logic.add"
            price = scale(anchor, at_node(widest, node_nm, what).pj / at_node(widest, anchor_node, what).pj)
    return scale(price, width_bits / width)


def _mac(widths: tuple[int, ...], technology: Technology, node_nm: float) -> Price:
    a, b = widths[0], widths[min(1, len(widths) - 1)]
    accumulator = widths[2] if len(widths) > 2 else a + b
    product = _mul(a, b, technology, node_nm)
    total = _add(accumulator, technology, node_nm)
    return Price(product.pj + total.pj, weakest(product.kind, total.kind))


def _div(widths: tuple[int, ...], technology: Technology, node_nm: float) -> Price:
    """Restoring division: `dividend` steps of one subtraction of the divisor and the registers it rewrites."""
    dividend, divisor = widths[0], widths[-1]
    if technology.logic.division is None:
        raise UserError(f"{technology.file}: logic.division is missing, so div has no price; add registers_per_bit")
    registers = technology.logic.division.registers_per_bit
    subtract = _add(divisor, technology, node_nm)
    rewrite = _proportional("register", divisor, technology, node_nm)
    pj = dividend * (subtract.pj + registers.value * rewrite.pj)
    return Price(pj, weakest(subtract.kind, rewrite.kind, registers.kind))


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
