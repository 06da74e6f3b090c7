"""Area: every bank that is built, the datapath, and the rest of a core (docs/decisions/0003-prices.md, section 5)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from neurochip.chip import Chip, Memory, Unit
from neurochip.cost.bounds import at_bound
from neurochip.cost.interpolation import linear_in_width, power_of_product, weakest
from neurochip.cost.logic import anchors_of, mac_widths, registers_per_bit
from neurochip.cost.sram import bit_area_um2, built_bits, is_fitted, macros_of_word, sram_of
from neurochip.errors import UserError
from neurochip.technology import KINDS, Kind, Technology

CONTROL = "control"  # the part that is neither memory nor arithmetic
PRODUCTS = ("mul", "mac")
Widest = Mapping[tuple[str, str], tuple[int, ...]]
NOTHING_WIDER: Widest = {}


class Patch(NamedTuple):
    """An area in um2, and the weakest kind of evidence it rests on."""

    um2: float
    kind: Kind


@dataclass(frozen=True)
class Area:
    """Area of a core in mm2.

    Attributes:
        by_part: memories and operations by their names, and "control": clock tree, control and space between cells.
        by_kind: the total again, split by the weakest kind of number each part rests on; all four kinds present.
        low_mm2: total with every price of area at the low end of its spread.
        high_mm2: the same at the high end.
    """

    by_part: Mapping[str, float]
    by_kind: Mapping[str, float]
    low_mm2: float
    high_mm2: float

    @property
    def total_mm2(self) -> float:
        """sum(by_part)."""
        return math.fsum(self.by_part.values())


def area(chip: Chip, word_bits: Mapping[str, int], widest: Widest = NOTHING_WIDER) -> Area:
    """Area of a chip built for these words: A = (memories + datapath) * overhead.

    Args:
        chip: all its banks are built, in use or not; its `datapath` lists the arithmetic units.
        word_bits: memory -> width of its words, for every memory of the chip.
        widest: (operation, per) -> operand widths that some unit must take: the largest of that operation is built so
            much wider, or one more where the datapath has none.

    Raises:
        UserError: the chip or its technology lacks a number that is needed.
    """
    patches = _patches(chip, word_bits, widest)
    by_part: dict[str, float] = {}
    by_kind: dict[str, float] = dict.fromkeys(KINDS, 0.0)
    for name, patch in patches:
        by_part[name] = by_part.get(name, 0.0) + patch.um2 * 1e-6
        by_kind[patch.kind] += patch.um2 * 1e-6
    low, high = (
        math.fsum(patch.um2 for _, patch in _patches(at_bound(chip, bound), word_bits, widest)) * 1e-6
        for bound in ("low", "high")
    )
    return Area(by_part, by_kind, low, high)


def unit_area(operation: str, widths_bits: Sequence[int], technology: Technology) -> Patch:
    """Area in um2 of one arithmetic unit: the laws of the energies, anchors moved as node^area_exponent.

    `compare` and `ac` are adders; `div` is serial, one subtractor and the registers of the divisor's width.
    """
    return _FORMULAS[operation](tuple(widths_bits), technology)


def _patches(chip: Chip, word_bits: Mapping[str, int], widest: Widest) -> list[tuple[str, Patch]]:
    technology = chip.technology
    if technology.area_overhead is None:
        raise UserError(f"{technology.file}: area_overhead is missing, so a core has no area; add it in um2/um2")
    if not chip.datapath:
        raise UserError(f"{chip.file}: datapath is missing, so its arithmetic has no area; add [[datapath]] tables")
    patches = []
    for name, memory in chip.memories.items():
        if name not in word_bits:
            raise UserError(f"{chip.file}: memories.{name} has no word width, so its area is unknown")
        patches.append((name, _memory_area(memory, word_bits[name], technology)))
    for operation, per, widths in _units(chip, word_bits, widest):
        one = unit_area(operation, widths, technology)
        patches.append((operation, Patch(one.um2 * _number(per, chip), one.kind)))
    inner = math.fsum(patch.um2 for _, patch in patches)
    overhead = technology.area_overhead
    kind = weakest(overhead.kind, *(patch.kind for _, patch in patches))
    return [*patches, (CONTROL, Patch((overhead.value - 1.0) * inner, kind))]


def _units(chip: Chip, word_bits: Mapping[str, int], widest: Widest) -> list[tuple[str, str, tuple[int, ...]]]:
    """(operation, per, widths) of every unit, the largest of each operation as wide as `widest` asks for."""
    units: list[tuple[str, str, tuple[int, ...]]] = [
        (unit.operation, unit.per, _widths(unit, chip, word_bits)) for unit in chip.datapath
    ]
    for (operation, per), needed in widest.items():
        alike = [k for k, (name, place, _) in enumerate(units) if (name, place) == (operation, per)]
        if not alike:
            units.append((operation, per, needed))
            continue
        largest = max(alike, key=lambda k: unit_area(operation, units[k][2], chip.technology).um2)
        units[largest] = (*units[largest][:2], _wider(operation, units[largest][2], needed))
    return units


def _wider(operation: str, widths: tuple[int, ...], needed: tuple[int, ...]) -> tuple[int, ...]:
    """Operands that hold both; those of a product may be exchanged."""
    if operation == "div":
        return max(widths[0], needed[0]), max(widths[-1], needed[-1])
    if operation not in PRODUCTS:
        return (max(*widths, *needed),)
    (a, b, total), (more_a, more_b, more_total) = (_product_widths(operation, one) for one in (widths, needed))
    operands = (max(a, more_a), max(b, more_b))
    return (*operands, max(total, more_total)) if operation == "mac" else operands


def _product_widths(operation: str, widths: tuple[int, ...]) -> tuple[int, int, int]:
    """The wider operand, the other one, and the accumulator (0: none)."""
    a, b, total = mac_widths(widths)
    return max(a, b), min(a, b), total if operation == "mac" else 0


def _number(per: str, chip: Chip) -> int:
    return {"lane": chip.lanes, "trace_lane": chip.trace_lanes, "core": 1}[per]


def _widths(unit: Unit, chip: Chip, word_bits: Mapping[str, int]) -> tuple[int, ...]:
    """Operand widths in bits; the name of a memory stands for what one lane of its word holds."""
    widths = []
    for width in unit.widths:
        if isinstance(width, int):
            widths.append(width)
        elif width in word_bits:
            widths.append(-(-word_bits[width] // (chip.trace_lanes if width == "trace" else chip.lanes)))
        else:
            raise UserError(f"{chip.file}: datapath takes the width of {width}, which has no word width")
    return tuple(widths)


def _memory_area(memory: Memory, word_bits: int, technology: Technology) -> Patch:
    bits = built_bits(word_bits, memory)
    if memory.storage == "register":
        per_bit = _proportional("register", 1, technology)
        return Patch(bits * per_bit.um2, per_bit.kind)
    um2, kind = bit_area_um2(technology)
    sram = sram_of(technology)
    fitted = all(is_fitted(macro, memory.bank_words, sram) for macro in macros_of_word(word_bits))
    return Patch(bits * um2, kind if fitted and memory.ports == "1rw" else "assumed")


def _at_node(name: str, technology: Technology) -> dict[int, Patch]:
    """Areas of one operation at the technology's node: width -> area, from the nearest node that has one."""
    node_nm = technology.node_nm
    known = [anchor for anchor in anchors_of(name, technology) if anchor.area is not None]
    if not known:
        raise UserError(f"{technology.file}: logic.{name} has no area; add area in um2 to its anchors")
    nearest = min((anchor.node_nm for anchor in known), key=lambda nm: abs(math.log(nm / node_nm)))
    areas = {}
    for anchor in known:
        if anchor.node_nm == nearest and anchor.area is not None:
            areas[anchor.width_bits] = _moved(Patch(anchor.area.value, anchor.area.kind), nearest, technology)
    return areas


def _moved(patch: Patch, from_nm: float, technology: Technology) -> Patch:
    if from_nm == technology.node_nm:
        return patch
    exponent = technology.logic.area_exponent
    if exponent is None:
        raise UserError(
            f"{technology.file}: logic.area_exponent is missing, so an area known at {from_nm:g} nm cannot be moved "
            f"to {technology.node_nm:g} nm; add it"
        )
    return Patch(patch.um2 * math.pow(technology.node_nm / from_nm, exponent.value), weakest(patch.kind, exponent.kind))


def _ends(name: str, technology: Technology) -> tuple[int, Patch, int, Patch]:
    areas = _at_node(name, technology)
    low, high = min(areas), max(areas)
    if low == high:
        raise UserError(f"{technology.file}: logic.{name} has an area at {low} bits only; two widths are needed")
    return low, areas[low], high, areas[high]


def _adder(width: int, technology: Technology) -> Patch:
    low, at_low, high, at_high = _ends("add", technology)
    um2 = linear_in_width(width, low, at_low.um2, high, at_high.um2)
    return Patch(um2, weakest(at_low.kind, at_high.kind, "model"))


def _multiplier(a: int, b: int, technology: Technology) -> Patch:
    low, at_low, high, at_high = _ends("mul", technology)
    um2 = power_of_product(a * b, low**2, at_low.um2, high**2, at_high.um2)
    return Patch(um2, weakest(at_low.kind, at_high.kind, "model"))


def _proportional(name: str, width: int, technology: Technology) -> Patch:
    areas = _at_node(name, technology)
    widest = max(areas)
    return Patch(areas[widest].um2 * width / widest, weakest(areas[widest].kind, "model"))


def _mac(widths: tuple[int, ...], technology: Technology) -> Patch:
    a, b, accumulator = mac_widths(widths)
    product, total = _multiplier(a, b, technology), _adder(accumulator, technology)
    return Patch(product.um2 + total.um2, weakest(product.kind, total.kind))


def _divider(widths: tuple[int, ...], technology: Technology) -> Patch:
    divisor = widths[-1]
    registers = registers_per_bit(technology)
    subtract, bits = _adder(divisor, technology), _proportional("register", divisor, technology)
    return Patch(subtract.um2 + registers.value * bits.um2, weakest(subtract.kind, bits.kind, registers.kind))


_FORMULAS: Mapping[str, Callable[[tuple[int, ...], Technology], Patch]] = {
    "ac": lambda w, tech: _adder(max(w), tech),
    "mac": _mac,
    "mul": lambda w, tech: _multiplier(w[0], w[-1], tech),
    "add": lambda w, tech: _adder(max(w), tech),
    "shift": lambda w, tech: _proportional("shift", max(w), tech),
    "compare": lambda w, tech: _adder(max(w), tech),
    "lut": lambda w, tech: _proportional("lut", w[-1], tech),
    "div": _divider,
    "rng": lambda w, tech: _proportional("rng", max(w), tech),
}
