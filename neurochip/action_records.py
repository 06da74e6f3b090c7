"""Counts times prices of a run as single actions: what an access, an operation or a cycle costs, and how often."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from neurochip.counters import Count, is_memory, memory_of
from neurochip.microarch.interface import Counted, per_sample
from neurochip.pricing import Pricer
from neurochip.recorded_passes import RecordedPass, recorded_passes
from neurochip.repricing import load_run

Record = dict[str, Any]
OPERANDS = ("a_bits", "b_bits", "accumulator_bits")  # 0: an operand that the operation does not have
OPERATE, CYCLE, LEAK = "compute", "cycle", "leak"
CLOCK, LEAKAGE = "clock", "leakage"  # components that are neither memories nor operations


def action_records(directory: Path, chip: str | None = None) -> Record:
    """Return `name`, `chip` and `passes` of a run: per rule and pass the actions of a mean sample.

    An action has `component` (a memory, an operation, "clock" or "leakage"), `action`, `arguments` (widths in bits),
    `phase` and `layer` (None for clock and leakage), `counts` and `energy_pj`. Memories come first, then operations,
    clock and leakage, each in the order of report.json. Σ counts·energy_pj of a component is its energy in report.json,
    and their sum, component by component, is `energy_pj` of the pass and `energy_pj.total` there, to the last bit.

    Args:
        directory: the run directory.
        chip: another chip than that of the run.

    Raises:
        UserError: no finished run, or a chip that can run no rule of it.
    """
    run = load_run(directory)
    passes = recorded_passes(run, chip)
    return {
        "name": run.report["name"],
        "chip": passes[0].pricer.chip.name,
        "passes": [_pass_record(one) for one in passes],
    }


def _pass_record(one: RecordedPass) -> Record:
    counted = per_sample(one.pricer.count(one.activity, one.trace), one.activity.n_samples)
    # Where the tick model ran beside, report.json has the cycles of every sample, not an estimate.
    cycles = counted.cycles if one.known is None else one.known["cycles"]
    energy = one.pricer.energy(Counted(counted.counts, counted.cycles_by_phase, cycles))
    priced = _actions(counted, one.pricer)
    accesses = [action for action in priced if action["component"] in energy.by_memory]
    operations = [action for action in priced if action["component"] in energy.by_operation]
    whole = [_whole(CLOCK, CYCLE, cycles, _cycle_pj(one.pricer)), _whole(LEAKAGE, LEAK, 1.0, energy.leakage_pj)]
    actions = [*accesses, *operations, *whole]
    return {"rule": one.rule, "pass": one.name, "energy_pj": energy.total_pj, "actions": actions}


def _actions(counted: Counted, pricer: Pricer) -> list[Record]:
    """Accesses and operations in the order of the count: sums per component then round as those of the report."""
    prices: dict[tuple[str, tuple[int, ...]], float] = {}
    records = []
    for count in counted.counts:
        if count.number == 0:
            continue
        item = (count.key, count.widths_bits)
        if item not in prices:
            prices[item] = _price_of_one(count, pricer)
        records.append(_action(count, prices[item]))
    return records


def _price_of_one(count: Count, pricer: Pricer) -> float:
    """Energy of one of it in pJ, by the price list that prices the whole."""
    one = Counted((Count(count.key, count.phase, count.layer, count.widths_bits, 1.0),), {}, 0.0)
    energy = pricer.energy(one)
    return sum(energy.by_memory.values()) + sum(energy.by_operation.values())


def _action(count: Count, energy_pj: float) -> Record:
    if is_memory(count.key):
        component, action = memory_of(count.key), count.key.rsplit("_", 1)[1]
        arguments = {"width_bits": count.widths_bits[0]}
    else:
        component, action = count.key, OPERATE
        absent = (0,) * (len(OPERANDS) - len(count.widths_bits))
        arguments = dict(zip(OPERANDS, (*count.widths_bits, *absent), strict=True))
    return {
        "component": component,
        "action": action,
        "arguments": arguments,
        "phase": count.phase,
        "layer": count.layer,
        "counts": count.number,
        "energy_pj": energy_pj,
    }


def _cycle_pj(pricer: Pricer) -> float:
    """Clock and control energy of one cycle."""
    return pricer.energy(Counted((), {}, 1.0)).clock_pj


def _whole(component: str, action: str, counts: float, energy_pj: float) -> Record:
    """What no phase and no layer has. The leakage of a sample is one action: a price per cycle would round twice."""
    return {
        "component": component,
        "action": action,
        "arguments": {},
        "phase": None,
        "layer": None,
        "counts": counts,
        "energy_pj": energy_pj,
    }


__all__ = ["action_records"]
