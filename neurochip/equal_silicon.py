"""Rules on equal silicon: what each could do with the same SRAM, and what each costs on a chip built just for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from neurochip.chip import Chip
from neurochip.errors import UserError
from neurochip.microarch.footprint import footprint_bits, footprint_words, spilled_memories
from neurochip.microarch.interface import Counted
from neurochip.priced import PricedRule
from neurochip.pricing import Pricer
from neurochip.rules.presets import NO_LEARNING
from neurochip.spec import CoreSpec

Numbers = dict[str, Any]
MOST_STEPS, MOST_NEURONS = 1 << 20, 1 << 20
FIFO = "event_fifo"


def equal_sram(rules: Sequence[PricedRule]) -> list[Numbers]:
    """Give every rule of a group the memory bits of the one that needs most.

    Returns:
        Per group: `group`, `largest`, `bits` (of that rule), `sentences`, and `rules[]`: `footprint_bits`, `hidden`
        (neurons of the hidden layers, all scaled alike, that fit these bits at the same T), `scale` of their number,
        and for rules with a history `steps` (the T that fits these bits) and `steps_at` (other rule -> the T that fits
        its bits; null: none).
    """
    sections = []
    for group in dict.fromkeys(priced.rule.group for priced in rules):
        members = [priced for priced in rules if priced.rule.group == group]
        if group == NO_LEARNING or len(members) < 2:
            continue
        bits = {priced.rule.name: footprint_total(priced.pricer.spec) for priced in members}
        largest = max(bits, key=lambda name: bits[name])
        entries = [_with_bits(priced, bits, largest) for priced in members]
        sentences = [_sram_sentence(entry, bits) for entry in entries if entry["steps"] is not None]
        sections.append(
            {"group": group, "largest": largest, "bits": bits[largest], "rules": entries, "sentences": sentences}
        )
    return sections


def _with_bits(priced: PricedRule, bits: dict[str, int], largest: str) -> Numbers:
    spec = priced.pricer.spec
    widest = _largest(lambda n: footprint_total(with_hidden(spec, n / 1024)) <= bits[largest], 1, MOST_NEURONS)
    wide = with_hidden(spec, (widest or 0) / 1024)  # in 1024ths of the present width
    neurons, base = (sum(layer.n_out for layer in one.layers[:-1]) for one in (wide, spec))
    unrolls = spec.credit == "unroll"
    entry: Numbers = {
        "rule": priced.rule.name,
        "footprint_bits": bits[priced.rule.name],
        "scale": neurons / base if base else None,
        "hidden": [layer.n_out for layer in wide.layers[:-1]],
        "steps": steps_within(spec, bits[largest]) if unrolls else None,
        "steps_at": {},
    }
    if unrolls:
        entry["steps_at"] = {name: steps_within(spec, own) for name, own in bits.items() if name != entry["rule"]}
    return entry


def footprint_total(spec: CoreSpec) -> int:
    """Bits of all memories of a rule."""
    return sum(footprint_bits(spec).values())


def steps_within(spec: CoreSpec, bits: int) -> int | None:
    """The largest T whose memories fit into `bits`; None if not even T = 1 does."""
    return _largest(lambda steps: footprint_total(replace(spec, n_steps=steps)) <= bits, 1, MOST_STEPS)


def with_hidden(spec: CoreSpec, scale: float) -> CoreSpec:
    """The network with all hidden layers `scale` times as wide, rounded down, at least 1 neuron."""
    layers = []
    n_in = spec.layers[0].n_in
    for layer in spec.layers:
        n_out = layer.n_out if layer.kind == "readout" else max(1, int(layer.n_out * scale))
        layers.append(replace(layer, n_in=n_in, n_out=n_out))
        n_in = n_out
    return replace(spec, layers=tuple(layers))


def _largest(fits: Callable[[int], bool], low: int, high: int) -> int | None:
    """The largest whole number from `low` to `high` that fits, if a larger one never fits where a smaller does not."""
    if not fits(low):
        return None
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low


def _sram_sentence(entry: Numbers, bits: dict[str, int]) -> str:
    parts = [
        f"T = {steps:,} with the SRAM of {name} ({bits[name] / 1e3:,.0f} kbit)"
        if steps is not None
        else f"at no T with the SRAM of {name} ({bits[name] / 1e3:,.0f} kbit)"
        for name, steps in entry["steps_at"].items()
    ]
    return f"{entry['rule']} can unroll {', '.join(parts)}."


def equal_area(cases: Sequence[tuple[PricedRule, Counted]]) -> list[Numbers] | None:
    """Energy, time and area of every rule on a chip whose banks are just enough for it.

    Args:
        cases: rules and the counts of a mean sample.

    Returns:
        Per rule `area_mm2`, `energy_pj`, `latency_us`, `energy_delay_pj_us`, `energy_delay_area_pj_us_mm2`,
        `samples_per_s_mm2` (samples learned per second and mm2), and to the baseline of the group, where it is there,
        `ratio_to_bptt` of the same keys; None for a mesh of cores, or where chip or technology state no areas.
    """
    if any(priced.pricer.chip.mesh is not None for priced, _ in cases):
        return None  # its cores are alike, so none is built for what it holds
    try:
        rows = {priced.rule.name: _built(priced, counted) for priced, counted in cases}
    except UserError:
        return None
    entries = []
    for priced, _ in cases:
        row, base = rows[priced.rule.name], rows.get(priced.rule.baseline or "")
        ratios = {key: row[key] / base[key] for key in row} if base is not None else None
        entries.append({"rule": priced.rule.name, "group": priced.rule.group, **row, "ratio_to_bptt": ratios})
    return entries


def _built(priced: PricedRule, counted: Counted) -> dict[str, float]:
    pricer = replace(priced.pricer, chip=just_enough(priced.pricer))
    energy, area_mm2 = pricer.energy(counted), pricer.area().total_mm2
    seconds = energy.latency_us * 1e-6
    return {
        "area_mm2": area_mm2,
        "energy_pj": energy.total_pj,
        "latency_us": energy.latency_us,
        "energy_delay_pj_us": energy.total_pj * energy.latency_us,
        "energy_delay_area_pj_us_mm2": energy.total_pj * energy.latency_us * area_mm2,
        "samples_per_s_mm2": 1.0 / (seconds * area_mm2),
    }


def just_enough(pricer: Pricer) -> Chip:
    """The chip with as many banks of every memory as the rule fills; memories it does not use have one word.

    Memories that lie in DRAM stay as they are.
    """
    chip, words = pricer.chip, footprint_words(pricer.spec, pricer.chip)
    spilled = spilled_memories(pricer.spec, chip)
    memories = {}
    for name, memory in chip.memories.items():
        if name != FIFO and name not in spilled:
            needed = words.get(name, 0)
            built = {"banks": -(-needed // memory.bank_words)} if needed else {"banks": 1, "bank_words": 1}
            memory = memory.model_copy(update=built)
        memories[name] = memory
    return chip.model_copy(update={"memories": memories})
