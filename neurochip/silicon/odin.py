"""ODIN: event cycles and memories (exact), the authors' power model (a fit), and SRAM energy as a bound."""

from __future__ import annotations

from collections.abc import Iterator

from neurochip.chip import Chip
from neurochip.cost.sram import macro_price
from neurochip.errors import UserError
from neurochip.microarch.odin import EVENTS, NEURONS, PUSH_CYCLES, ROW_WORDS, step_cost
from neurochip.silicon.check import Check
from neurochip.silicon.figures import Figure, OdinFigures, against, figure

NEURON_WORD_BITS, SYNAPSE_WORD_BITS = 128, 32
# Half a unit of the last published digit, in percent.
ROUNDING_PERCENT = {
    "energy_per_sop": 0.4,
    "biological_energy_per_sop": 1.0,
    "biological_power": 1.5,
    "leakage_share": 0.7,
}


def odin_checks(data: OdinFigures, chip: Chip) -> Iterator[Check]:
    """All checks of ODIN; `chip` lends the technology for the energy of its SRAM."""
    yield from _cycles(data)
    yield from _power_model(data)
    yield _sram_bound(data, chip)


def _cycles(data: OdinFigures) -> Iterator[Check]:
    cycles, source, grade = data.cycles.events, data.cycles.source, data.cycles.grade
    if cycles.keys() != EVENTS.keys():
        raise UserError(
            f"{data.file}: cycles.events has keys {', '.join(cycles)}; allowed are exactly {', '.join(EVENTS)}"
        )
    for kind, published in cycles.items():
        yield Check(
            "ODIN cycles of an event",
            kind,
            published,
            EVENTS[kind].cycles,
            "1",
            0,
            "exact",
            "formula",
            source,
            grade,
        )
    spike = step_cost(neuron_spikes=1)
    per_sop = (spike.total_cycles - PUSH_CYCLES) / spike.sops
    yield against(
        figure(data.figures, "cycles_per_sop", data.file),
        *("ODIN cycles of an event", "cycles of an operation", per_sop, "exact", "formula"),
    )
    memories = data.memories
    for name, kilobytes, bits in (
        ("neuron memory", memories.neuron_kb, NEURONS * NEURON_WORD_BITS),
        ("synapse memory", memories.synapse_kb, NEURONS * ROW_WORDS * SYNAPSE_WORD_BITS),
    ):
        yield Check(
            "ODIN memories",
            name,
            kilobytes,
            bits / 8 / 1024,
            "kB",
            0,
            "exact",
            "formula",
            memories.source,
            memories.grade,
        )


def _power_model(data: OdinFigures) -> Iterator[Check]:
    """P = P_leak + p_idle f + E_SOP r; 3 parameters, and not more than 3 independent outputs."""

    def of(key: str) -> Figure:
        return figure(data.figures, key, data.file)

    def power_uw(clock_mhz: float, million_sops: float) -> float:
        dynamic_uw = of("incremental_energy_per_sop").value * million_sops
        return of("leakage_power").value + of("idle_power_per_clock").value * clock_mhz + dynamic_uw

    cycles_per_sop = of("cycles_per_sop").value
    fastest = of("clock").value / cycles_per_sop
    slow = of("biological_rate").value * NEURONS * NEURONS * 1e-6
    slow_uw = power_uw(slow * cycles_per_sop, slow)  # at the lowest clock that keeps up
    for key, name, predicted in (
        ("energy_per_sop", "energy of an operation", power_uw(of("clock").value, fastest) / fastest),
        ("biological_energy_per_sop", "energy of an operation, 10 Hz", slow_uw / slow),
        ("biological_power", "power, 10 Hz", slow_uw),
        ("leakage_share", "share of leakage, 10 Hz", 100 * of("leakage_power").value / slow_uw),
    ):
        yield against(of(key), "ODIN", name, predicted, "fit", "formula", ROUNDING_PERCENT[key])


def _sram_bound(data: OdinFigures, chip: Chip) -> Check:
    """Accesses of one operation at the supply of the SRAM anchors, not scaled to ODIN's."""
    technology = chip.technology
    if technology.sram is None:
        raise UserError(f"{technology.file}: sram is missing; the energy of ODIN's memories needs it")
    spike = step_cost(neuron_spikes=1)
    total_pj = 0.0
    for memory, bits, words in (
        ("neuron", NEURON_WORD_BITS, NEURONS),
        ("synapse", SYNAPSE_WORD_BITS, NEURONS * ROW_WORDS),
    ):
        supply_v = next(anchor.voltage.value for anchor in technology.sram.macros if anchor.macro_bits == bits)
        for access in ("read", "write"):
            pj = macro_price(bits, words, access, technology, supply_v).pj
            total_pj += spike.accesses[f"{memory}_{access}"] * pj
    published = figure(data.figures, "incremental_energy_per_sop", data.file)
    name = "incremental energy of an operation, SRAM alone"
    return against(published, "ODIN", name, total_pj / spike.sops, "bound", "bottom-up")
