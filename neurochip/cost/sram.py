"""Energy of one SRAM access, from power laws fitted to CACTI (docs/decisions/0003-prices.md, section 1)."""

from __future__ import annotations

from neurochip.chip import Chip, Memory
from neurochip.cost.interpolation import Price, at_node, scale, weakest
from neurochip.errors import UserError
from neurochip.technology import MacroAnchor, Quantity, Technology


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
    sram = technology.sram
    if sram is None:
        raise UserError(f"{technology.file}: sram is missing, so its memories have no price; add its macros")
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
    fitted = depth == words and sram.fit_from.value <= capacity_kb <= sram.fit_to.value
    return price if fitted else Price(price.pj, "assumed")


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
    """Leakage power of one bit of this memory, in nW/bit; UserError if none is stated."""
    if memory.storage == "sram":
        if chip.sram_leakage is None:
            raise UserError(f"{chip.file}: sram_leakage is missing; set it in nW/bit, 0 to leave leakage out")
        return chip.sram_leakage
    if chip.technology.register_ is None:
        raise UserError(f"{chip.technology.file}: register.leakage is missing; set it in nW/bit, 0 to leave it out")
    return chip.technology.register_.leakage
