"""Energy of one SRAM access, area and leakage of SRAM and registers (docs/decisions/0003-prices.md, section 1)."""

from __future__ import annotations

from neurochip.chip import Chip, Memory
from neurochip.cost.interpolation import Price, at_node, interpolate, scale, weakest
from neurochip.errors import UserError
from neurochip.technology import Kind, MacroAnchor, Quantity, Sram, Technology


def macros_of_word(width_bits: int) -> tuple[int, ...]:
    """Widths in bits of the macros side by side that hold a word: as many of 128 as fit, then 32, 64 or 128."""
    if width_bits < 1:
        raise ValueError(f"a word has {width_bits} bits; allowed is 1 or more")
    whole, rest = divmod(width_bits, 128)
    last = () if rest == 0 else (32,) if rest <= 32 else (64,) if rest <= 64 else (128,)
    return (128,) * whole + last


def access_price(
    width_bits: int, memory: Memory, access: str, technology: Technology, voltage_v: float, node_nm: float | None = None
) -> Price:
    """Price of reading or writing one word of `width_bits`: the sum over its macros, each bank_words deep.

    Args:
        width_bits: word width; every macro it touches is charged whole.
        memory: bank depth and ports. A 1r1w macro is priced as a 1rw one, and the price is then "assumed".
        access: "read" or "write".
        technology: the power laws.
        voltage_v: supply.
        node_nm: node to interpolate to; the technology's own if None.

    Raises:
        UserError: the technology has no price for a macro width.
    """
    prices = [
        macro_price(macro, memory.bank_words, access, technology, voltage_v, node_nm)
        for macro in macros_of_word(width_bits)
    ]
    kind = weakest(*(price.kind for price in prices))
    return Price(sum(price.pj for price in prices), "assumed" if memory.ports == "1r1w" else kind)


def macro_price(
    macro_bits: int, words: int, access: str, technology: Technology, voltage_v: float, node_nm: float | None = None
) -> Price:
    """Price of one access of a macro of `words` words of `macro_bits`.

    E = k * (capacity/kB)^p at each anchor node, times write/read for a write, times (V/V_anchor)^2, then log-log
    in node at this capacity. Outside the fitted capacities the law is extended and the price is "assumed".
    """
    sram = sram_of(technology)
    depth = max(words, sram.minimum_words.value)
    capacity_kb = depth * macro_bits / 8 / 1024
    points = {
        anchor.node_nm: _anchor_price(anchor, capacity_kb, access, voltage_v)
        for anchor in sram.macros
        if anchor.macro_bits == macro_bits
    }
    if not points:
        raise UserError(f"{technology.file}: sram.macros has no anchor of {macro_bits} bits; add one")
    node = technology.node_nm if node_nm is None else node_nm
    price = at_node(points, node, f"{technology.file}: sram.macros of {macro_bits} bits")
    return price if is_fitted(macro_bits, words, sram) else Price(price.pj, "assumed")


def sram_of(technology: Technology) -> Sram:
    """The SRAM of a technology; UserError if it has none."""
    if technology.sram is None:
        raise UserError(f"{technology.file}: sram is missing, so its memories have no price; add its macros")
    return technology.sram


def is_fitted(macro_bits: int, words: int, sram: Sram) -> bool:
    """Tell whether a macro lies in the range of shapes that was fitted."""
    capacity_kb = words * macro_bits / 8 / 1024
    return words >= sram.minimum_words.value and sram.fit_from.value <= capacity_kb <= sram.fit_to.value


def bit_area_um2(technology: Technology) -> tuple[float, Kind]:
    """Area of one SRAM bit in um2 with the periphery of its macro, log-log in node; UserError without anchors."""
    points = {anchor.node_nm: (anchor.per_bit.value, anchor.per_bit.kind) for anchor in sram_of(technology).area}
    if not points:
        raise UserError(
            f"{technology.file}: sram.area is missing, so its memories have no area; add per_bit in um2/bit"
        )
    return interpolate(points, technology.node_nm, f"{technology.file}: sram.area")


def built_bits(word_bits: int, memory: Memory) -> int:
    """Bits of silicon of a memory with all its banks; words rounded up to whole macros (SRAM)."""
    return memory.words * (sum(macros_of_word(word_bits)) if memory.storage == "sram" else word_bits)


def _anchor_price(anchor: MacroAnchor, capacity_kb: float, access: str, voltage_v: float) -> Price:
    pj = anchor.coefficient.value * capacity_kb**anchor.exponent.value
    kinds = [anchor.coefficient.kind, anchor.exponent.kind]
    if access == "write":
        pj *= anchor.write_over_read.value
        kinds.append(anchor.write_over_read.kind)
    return scale(Price(pj, weakest(*kinds)), (voltage_v / anchor.voltage.value) ** 2)


def leaking_bits(words: int, word_bits: int, memory: Memory) -> int:
    """Bits under power: used words rounded up to whole banks, words rounded up to whole macros (SRAM)."""
    banks = -(-words // memory.bank_words)
    physical_bits = sum(macros_of_word(word_bits)) if memory.storage == "sram" else word_bits
    return banks * memory.bank_words * physical_bits


def leakage_per_bit(memory: Memory, chip: Chip) -> Quantity:
    """Leakage power of one bit of this memory, in nW/bit: the chip's own for SRAM, else that of its technology.

    Raises:
        UserError: neither file states one.
    """
    technology = chip.technology
    if memory.storage == "register":
        if technology.register_ is None:
            raise UserError(f"{technology.file}: register.leakage is missing; set it in nW/bit, 0 to leave it out")
        return technology.register_.leakage
    if chip.sram_leakage is not None:
        return chip.sram_leakage
    anchors = technology.sram.leakage if technology.sram is not None else ()
    if not anchors:
        raise UserError(
            f"{chip.file}: sram_leakage is missing, and {technology.file} has no sram.leakage; "
            "set sram_leakage in nW/bit, 0 to leave leakage out"
        )
    points = {anchor.node_nm: (anchor.per_bit.value, anchor.per_bit.kind) for anchor in anchors}
    value, kind = interpolate(points, technology.node_nm, f"{technology.file}: sram.leakage")
    return Quantity(value=value, unit="nW/bit", source=f"{technology.name}: sram.leakage", kind=kind)
