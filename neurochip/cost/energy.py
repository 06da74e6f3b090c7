"""Energy and latency: counts times prices, clock, leakage (docs/decisions/0003-prices.md)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from neurochip.chip import Chip
from neurochip.cost.bounds import at_bound
from neurochip.cost.interpolation import Price, scale, weakest
from neurochip.cost.logic import node_factor, operation_price, register_price
from neurochip.cost.sram import access_price, leakage_per_bit, leaking_bits
from neurochip.counters import Count, is_memory, memory_of
from neurochip.errors import UserError
from neurochip.technology import KINDS


@dataclass(frozen=True)
class EnergyParts:
    """Energy in pJ and latency of what was counted, with every price at one value.

    Attributes:
        by_memory: access energy per memory.
        by_operation: energy per operation.
        clock_pj: cycles times clock and control energy.
        leakage_pj: leakage power times latency.
        by_phase: by_memory and by_operation again, split by phase; clock and leakage belong to no phase.
        by_layer: by_memory and by_operation again, split by layer; clock and leakage belong to no layer.
        by_kind: the total again, split by the weakest kind of number each part rests on; all four kinds present.
        latency_us: cycles divided by the clock frequency.
    """

    by_memory: Mapping[str, float]
    by_operation: Mapping[str, float]
    clock_pj: float
    leakage_pj: float
    by_phase: Mapping[str, float]
    by_layer: Mapping[int, float]
    by_kind: Mapping[str, float]
    latency_us: float

    @property
    def total_pj(self) -> float:
        """by_memory, by_operation, clock_pj and leakage_pj, added one after the other in this order."""
        total = 0.0
        for part in (*self.by_memory.values(), *self.by_operation.values(), self.clock_pj, self.leakage_pj):
            total += part  # as other programs add them; sum() rounds otherwise from Python 3.12 on
        return total

    @property
    def average_power_mw(self) -> float | None:
        """total_pj / latency_us (pJ/us = uW), in mW; None if no cycle passed."""
        return self.total_pj / self.latency_us * 1e-3 if self.latency_us else None

    @property
    def energy_delay_pj_us(self) -> float:
        """Energy-delay product: total_pj * latency_us."""
        return self.total_pj * self.latency_us


@dataclass(frozen=True)
class Energy(EnergyParts):
    """Energy of what was counted, and the interval that the spreads of all prices together allow.

    Attributes:
        low_pj: total with every price at the low end of its spread.
        high_pj: the same at the high end.
    """

    low_pj: float
    high_pj: float


def price(
    counts: Iterable[Count],
    cycles: float,
    used_bits: Mapping[str, int],
    word_bits: Mapping[str, int],
    chip: Chip,
) -> Energy:
    """Price counts on a chip: E = sum accesses*E(memory) + sum ops*E(op) + cycles*E(clock) + leakage*time.

    Args:
        counts: leaves only; counts of 0 are skipped.
        cycles: clock cycles, stalls included.
        used_bits: memory -> bits allocated; decides which banks leak. Memories of 0 bits are power-gated.
        word_bits: memory -> width of its words, for every memory with used bits.
        chip: prices, clock and voltage.

    Raises:
        UserError: something was counted that the chip or its technology has no price for.
    """
    leaves = tuple(counts)
    parts = _price(leaves, cycles, used_bits, word_bits, chip)
    low = _price(leaves, cycles, used_bits, word_bits, at_bound(chip, "low")).total_pj
    high = _price(leaves, cycles, used_bits, word_bits, at_bound(chip, "high")).total_pj
    return Energy(**vars(parts), low_pj=low, high_pj=high)


def _price(
    counts: Iterable[Count], cycles: float, used_bits: Mapping[str, int], word_bits: Mapping[str, int], chip: Chip
) -> EnergyParts:
    by_memory: dict[str, float] = {}
    by_operation: dict[str, float] = {}
    by_phase: dict[str, float] = {}
    by_layer: dict[int, float] = {}
    by_kind: dict[str, float] = dict.fromkeys(KINDS, 0.0)
    prices: dict[tuple[str, tuple[int, ...]], Price] = {}
    for count in counts:
        if count.number == 0:
            continue
        item = (count.key, count.widths_bits)
        if item not in prices:
            prices[item] = unit_price(count.key, count.widths_bits, chip)
        pj = count.number * prices[item].pj
        group, name = (by_memory, memory_of(count.key)) if is_memory(count.key) else (by_operation, count.key)
        group[name] = group.get(name, 0.0) + pj
        by_phase[count.phase] = by_phase.get(count.phase, 0.0) + pj
        by_layer[count.layer] = by_layer.get(count.layer, 0.0) + pj
        by_kind[prices[item].kind] += pj
    latency_us = cycles / chip.clock_mhz
    clock = _clock(cycles, chip)
    leakage = _leakage_pj(used_bits, word_bits, latency_us, chip)
    for part in (clock, *leakage):
        by_kind[part.kind] += part.pj
    leakage_pj = math.fsum(part.pj for part in leakage)
    return EnergyParts(by_memory, by_operation, clock.pj, leakage_pj, by_phase, by_layer, by_kind, latency_us)


def _clock(cycles: float, chip: Chip) -> Price:
    """Clock and control energy of these cycles; a chip without clock energy may count none."""
    if not cycles:
        return Price(0.0, "measured")
    clock = clock_price(chip)
    return Price(cycles * clock.pj, clock.kind)


def unit_price(key: str, widths_bits: tuple[int, ...], chip: Chip) -> Price:
    """Price of one access or operation with a counter key (`neurochip.counters.COUNTERS`) on a chip.

    Raises:
        UserError: naming the file, the missing number and the key that was counted.
    """
    try:
        return _unit_price(key, widths_bits, chip)
    except UserError as error:
        raise UserError(f"{error} ({key} was counted on {chip.name})") from error


def _unit_price(key: str, widths_bits: tuple[int, ...], chip: Chip) -> Price:
    if not is_memory(key):
        return operation_price(key, widths_bits, chip.technology, chip.voltage_v)
    name, access = key.rsplit("_", 1)
    if name == "dram":
        return _dram_price(widths_bits[0], chip)
    memory = chip.memories.get(name)
    if memory is None:
        raise UserError(f"{chip.file}: memories.{name} is missing, but {key} was counted; add this memory")
    if memory.storage == "register":
        return register_price(widths_bits[0], chip.technology, chip.voltage_v)
    return access_price(widths_bits[0], memory, access, chip.technology, chip.voltage_v)


def clock_price(chip: Chip) -> Price:
    """Clock and control energy of one cycle: E0 * (V/V0)^2 * lanes/lanes0 * (node/node0)^node_exponent.

    Another number of lanes, or another node than that of the figure, makes the price "assumed".
    """
    reference = chip.clock_energy
    if reference is None:
        raise UserError(f"{chip.file}: clock_energy is missing, but cycles were counted; add energy, voltage and lanes")
    base = Price(reference.energy.value, reference.energy.kind)
    scaled = scale(base, (chip.voltage_v / reference.voltage.value) ** 2)
    node_nm = chip.technology.node_nm
    moved = 1.0 if reference.node_nm is None else node_factor(chip.technology, reference.node_nm, node_nm)
    if chip.lanes == reference.lanes and moved == 1.0:
        return scaled
    return Price(scaled.pj * moved * chip.lanes / reference.lanes, "assumed")


def leakage_mw(used_bits: Mapping[str, int], word_bits: Mapping[str, int], chip: Chip) -> float:
    """Leakage power in mW of the banks that hold `used_bits`."""
    return sum(part.pj for part in _leakage_pj(used_bits, word_bits, 1.0, chip)) * 1e-3  # pJ in 1 us = uW


def _dram_price(width_bits: int, chip: Chip) -> Price:
    dram = chip.technology.dram
    if dram is None:
        raise UserError(f"{chip.technology.file}: dram.energy is missing, but DRAM accesses were counted; add it")
    return Price(width_bits * dram.energy.value, dram.energy.kind)


def _leakage_pj(used_bits: Mapping[str, int], word_bits: Mapping[str, int], time_us: float, chip: Chip) -> list[Price]:
    """Leakage over a time, per memory; nW * us = 1e-3 pJ. Standby power of a DRAM is not modelled."""
    parts = []
    for name, bits in used_bits.items():
        if bits == 0 or name == "dram":
            continue
        memory = chip.memories.get(name)
        if memory is None:
            raise UserError(f"{chip.file}: memories.{name} is missing, but {bits} bits of it are used; add it")
        words = -(-bits // word_bits[name])
        per_bit = leakage_per_bit(memory, chip)
        power_nw = leaking_bits(words, word_bits[name], memory) * per_bit.value
        parts.append(Price(power_nw * time_us * 1e-3, weakest(per_bit.kind, chip.clock.kind)))
    return parts


SPILLABLE = ("history", "gradient", "synapse")  # what may lie in DRAM


@dataclass(frozen=True)
class Capacity:
    """The chip that holds what is needed, and the banks added to it (memory -> number; empty if it fitted)."""

    chip: Chip
    added_banks: Mapping[str, int]


def check_capacity(used_words: Mapping[str, int], chip: Chip) -> Capacity:
    """Check that every memory holds the words needed; with overflow = "grow", add banks until it does.

    Args:
        used_words: memory -> words allocated.
        chip: its memories and overflow mode.

    Raises:
        UserError: a memory is missing, or too small while overflow = "refuse".
    """
    memories = dict(chip.memories)
    added: dict[str, int] = {}
    for name, words in used_words.items():
        if words == 0:
            continue
        if name not in memories:
            raise UserError(f"{chip.file}: memories.{name} is missing, but {words} words of it are needed; add it")
        memory = memories[name]
        if words <= memory.words:
            continue
        banks = -(-words // memory.bank_words)
        if chip.overflow == "refuse":
            fewer = " or fewer steps" if name == "history" else ""
            modes = '"grow" or "dram"' if chip.dram is not None and name in SPILLABLE else '"grow"'
            raise UserError(
                f"{chip.file}: memories.{name} holds {memory.words} words ({memory.banks} x {memory.bank_words}) "
                f"but {words} are needed; use a smaller network{fewer}, set chip.overflow = {modes}, set "
                f"banks = {banks} in a copy of the chip file, or take a chip with a mesh of cores"
            )
        added[name] = banks - memory.banks
        memories[name] = memory.model_copy(update={"banks": banks})
    return Capacity(chip.model_copy(update={"memories": memories}) if added else chip, added)
