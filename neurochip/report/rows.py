"""A report as flat rows: one per rule and precision, every number in a column that names its unit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from neurochip.counters import COUNTERS, MEMORIES, OPERATIONS, PHASES, STALL_CAUSES, is_memory
from neurochip.report.table import KINDS, look_up

Row = dict[str, Any]
RATIOS = ("energy", "latency", "footprint", "memory_accesses", "bits_moved", "macs", "acs")
PASSES = (("per_sample", ""), ("per_sample_inference", "_inference"))


@dataclass(frozen=True)
class Quantity:
    """A column: its name, which ends with the unit where it has one, the unit, and the keys that lead to its value."""

    name: str
    unit: str
    keys: tuple[str, ...]
    absent: float | None = None  # its value where the dictionary that should hold it is there and does not


def _about() -> Iterator[Quantity]:
    yield Quantity("learning_rate_asked", "1", ("learning_rate", "asked"))
    yield Quantity("learning_rate_per_step", "1", ("learning_rate", "realised_per_step"))
    for split in ("train", "validation", "test"):
        yield Quantity(f"accuracy_{split}", "1", ("accuracy", split))
    yield Quantity("accuracy_stream", "1", ("stream", "accuracy"))
    yield Quantity("area_mm2", "mm2", ("area_mm2", "total"))
    yield Quantity("area_low_mm2", "mm2", ("area_mm2", "low"))
    yield Quantity("area_high_mm2", "mm2", ("area_mm2", "high"))
    yield Quantity("energy_to_accuracy_uj", "uJ", ("energy_to_accuracy", "energy_uj"))
    yield Quantity("energy_to_accuracy_epoch", "epoch", ("energy_to_accuracy", "epoch"))
    for base in ("bptt", "inference"):
        for name in RATIOS:
            yield Quantity(f"{name}_over_{base}", "1", (f"ratio_to_{base}", name))
    yield Quantity("footprint_bits", "bit", ("footprint_bits", "total"))
    for memory in MEMORIES:
        if memory not in ("event_fifo", "dram"):
            yield Quantity(f"footprint_{memory}_bits", "bit", ("footprint_bits", memory))


def _costs(key: str, infix: str) -> Iterator[Quantity]:
    energy = (key, "energy_pj")
    yield Quantity(f"energy{infix}_pj", "pJ", (*energy, "total"))
    for end in ("low", "high", "clock", "leakage", "calibrated"):
        yield Quantity(f"energy{infix}_{end}_pj", "pJ", (*energy, end))
    yield Quantity(f"latency{infix}_us", "us", (key, "latency_us"))
    yield Quantity(f"cycles{infix}", "cycles", (key, "cycles"))
    yield Quantity(f"average_power{infix}_mw", "mW", (key, "average_power_mw"))
    yield Quantity(f"energy_delay{infix}_pj_us", "pJ us", (key, "energy_delay_pj_us"))
    yield Quantity(f"memory_accesses{infix}_words", "words", (key, "totals", "memory_accesses"))
    yield Quantity(f"bits_moved{infix}_bits", "bit", (key, "totals", "bits_moved"))
    for memory in MEMORIES:
        yield Quantity(f"energy{infix}_{memory}_pj", "pJ", (*energy, "by_memory", memory), 0.0)
    for operation in OPERATIONS:
        yield Quantity(f"energy{infix}_{operation}_pj", "pJ", (*energy, "by_operation", operation), 0.0)
    for kind in KINDS:
        yield Quantity(f"energy{infix}_of_kind_{kind}_pj", "pJ", (*energy, "by_kind", kind), 0.0)
    for phase in PHASES:
        yield Quantity(f"energy{infix}_phase_{phase}_pj", "pJ", (key, "by_phase", phase, "energy_pj"), 0.0)
        yield Quantity(f"cycles{infix}_phase_{phase}", "cycles", (key, "by_phase", phase, "cycles"), 0.0)
    for counter in COUNTERS:
        unit = "words" if is_memory(counter.key) else "operations"
        yield Quantity(f"{counter.key}{infix}_{unit}", unit, (key, "counts", counter.key), 0.0)
    for cause in STALL_CAUSES:
        yield Quantity(f"stall{infix}_{cause}_cycles", "cycles", (key, "stalls", cause), 0.0)


WORDS = ("run", "rule", "precision", "group")  # the columns that come first
QUANTITIES: tuple[Quantity, ...] = (*_about(), *(one for key, infix in PASSES for one in _costs(key, infix)))
REFUSED = "refused"  # the last column: why a chip cannot run the rule
UNITS: Mapping[str, str] = {one.name: one.unit for one in QUANTITIES}


def rows_of(report: Mapping[str, Any]) -> list[Row]:
    """One row per entry of `results`, with the same columns for every report; None where there is no number."""
    return [_row(result, report["name"]) for result in report["results"]]


def _row(result: Mapping[str, Any], run: str) -> Row:
    words = {"run": run, "rule": result["rule"], "precision": result["precision"], "group": result["group"]}
    numbers = {one.name: _value(one, result) for one in QUANTITIES}
    return {**words, **numbers, REFUSED: result.get("refused")}


def _value(quantity: Quantity, result: Mapping[str, Any]) -> Any:
    value = look_up(result, *quantity.keys)
    if value is not None or quantity.absent is None:
        return value
    return None if look_up(result, quantity.keys[0]) is None else quantity.absent
