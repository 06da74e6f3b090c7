"""What stands behind a number of the page: its unit, source and kind, shown on hover and on keyboard focus."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from neurochip.counters import MEMORIES
from neurochip.report.table import NOTHING, Column, RuleResults, look_up, number

Report = Mapping[str, Any]
# "Simulated" is a kind of price, by a circuit tool: what a run found is said in other words.
COUNTED = "counted exactly by this run, no price in it"
SHAPES = ("shapes and word widths of what the rule keeps, no price in it", "calculated, exact")
LEARNED = "computed by this run"
PRICED_AGAIN = "counts of this run, priced again with what is named here changed (docs/sensitivity.md)"
SAMPLED = "cycles estimated from {n_recorded:,} of {n_samples:,} samples"
MEMORY_PRICES = ("technology.sram.macros", "technology.logic.register")
ADD, MULTIPLY, REGISTER = "technology.logic.add", "technology.logic.mul", "technology.logic.register"
NO_PRICE = (".area", ".voltage")  # keys beside those of a price that say something else
# Keys of chip.provenance that the price of a part of the energy is made from (docs/decisions/0003-prices.md).
PRICES: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(MEMORIES, MEMORY_PRICES),
    "dram": ("technology.dram",),
    "ac": (ADD,),
    "add": (ADD,),
    "compare": (ADD,),
    "mac": (MULTIPLY, ADD),
    "mul": (MULTIPLY,),
    "shift": ("technology.logic.shift",),
    "lut": ("technology.logic.lut",),
    "rng": ("technology.logic.rng",),
    "div": ("technology.logic.division", ADD, REGISTER),
    "hop": ("technology.noc",),
    "clock": ("clock_energy",),
    "leakage": ("sram_leakage", "technology.sram.leakage", "technology.register.leakage"),
}


def shares(amounts: Mapping[str, float], total: float) -> str:
    """ "93.0 % model, 7.0 % assumed": the kinds of numbers that a total rests on, the largest share first."""
    if not total:
        return "none: the total is 0"
    found = sorted(((pj, kind) for kind, pj in amounts.items() if pj), key=lambda pair: -pair[0])
    return ", ".join(f"{100 * pj / total:.1f} % {kind}" for pj, kind in found)


def prices_of(part: str, report: Report, by_kind: Mapping[str, float] | None = None) -> tuple[str, str]:
    """(source, kind) of the prices of a memory, an operation, the clock or leakage; keys and counts, no arithmetic.

    Of the kinds under the keys only those count on which some of the energy `by_kind` rests, where it is given.
    """
    starts = PRICES.get(part, ())
    found = [entry for entry in report["chip"]["provenance"] if not entry["key"].endswith(NO_PRICE)]
    entries = [entry for start in starts for entry in found if entry["key"].startswith(start)]
    if not entries:
        return "prices of the chip, under Physical numbers", "as stated there"
    sources = list(dict.fromkeys(entry["source"] for entry in entries))
    more = f" (and {len(sources) - 1} more)" if len(sources) > 1 else ""
    keys = [start for start in starts if any(entry["key"].startswith(start) for entry in entries)]
    join = " or, of registers, " if starts == MEMORY_PRICES else ", "
    kinds = list(dict.fromkeys(entry["kind"] for entry in entries))
    used = [kind for kind in kinds if by_kind and by_kind.get(kind)] or kinds
    return f"{join.join(keys)} under Physical numbers: {sources[0]}{more}", ", ".join(used)


def tip(name: str, text: str, unit: str, meaning: str, origin: tuple[str, str]) -> str:
    """One text on a number; nothing on a cell that has none."""
    if text in (NOTHING, ""):
        return ""
    meaning = f" {meaning[0].upper()}{meaning[1:]}." if meaning else ""
    source, kind = origin
    number_and_unit = f"{text} {unit}".strip()
    return f"{name}: {number_and_unit}.{meaning} Source: {source}. Kind: {kind}.".replace("..", ".")


def column_tips(columns: Sequence[Column], results: RuleResults, report: Report) -> list[str]:
    """What stands behind each number in a row of a table of rules."""
    texts = [column.text(results) for column in columns]
    return [
        "" if text == NOTHING else
        tip(f"{results.rule}, {column.title[0]}", text, column.title[1], column.meaning,
            origin_of(column, results, report))
        for column, text in zip(columns, texts, strict=True)
    ]  # fmt: skip


def origin_of(column: Column, results: RuleResults, report: Report) -> tuple[str, str]:
    """(source, kind) of the numbers of a column."""
    title, unit = column.title
    if title == "memory":
        return SHAPES
    if title == "calibrated":
        return prices_with("calibrated", report)
    if (title, unit) == ("cycles", "±%"):
        return "spread between the recorded samples", LEARNED
    if (title, unit) == ("cycles", "k"):
        return clocks_origin(look_up(results.fixed, "per_sample"))
    return BY_UNIT.get(unit, _learned)(results, report)


def prices_with(start: str, report: Report) -> tuple[str, str]:
    """(source, kind) of the first physical number whose key is this, or begins with it and a point."""
    for entry in report["chip"]["provenance"]:
        if entry["key"].partition(".")[0] == start:
            return entry["source"], entry["kind"]
    return "chip file", "not stated"


def energy_origin(one_pass: Mapping[str, Any]) -> tuple[str, str]:
    """(source, kind) of the energy of a sample."""
    energy = one_pass["energy_pj"]
    low, high = energy.get("low"), energy.get("high")
    spread = ""
    if low is not None and high is not None:
        spread = f"; {number(low / 1e3)} to {number(high / 1e3)} nJ with all prices low, or high, at once"
    source = f"sum of accesses and operations counted × their prices, plus clock and leakage{spread}"
    return source, shares(energy["by_kind"], energy["total"])


def clocks_origin(one_pass: Mapping[str, Any]) -> tuple[str, str]:
    """(source, kind) of the cycles of a sample."""
    sampled = one_pass.get("cycles_sampled")
    if sampled:
        return SAMPLED.format(**sampled), "counted clock by clock by this run, then estimated"
    return "cycles counted of all samples", "counted exactly by this run"


def _again(results: RuleResults, report: Report) -> str:
    """What a report that was priced again says of its counts."""
    for entry in look_up(report, "repriced", "results") or []:
        if entry["rule"] == results.rule:
            how = f"method {entry['method']}, {entry['n_recorded']:,} of {entry['n_samples']:,} samples recorded"
            return f"; priced again from the run {report['repriced']['from']} ({how})"
    return ""


def _energy(results: RuleResults, report: Report) -> tuple[str, str]:
    source, kind = energy_origin(look_up(results.fixed, "per_sample"))
    return source + _again(results, report), kind


def _from_energy(how: str) -> Callable[[RuleResults, Report], tuple[str, str]]:
    def origin(results: RuleResults, report: Report) -> tuple[str, str]:
        return how, f"as the energy per sample: {_energy(results, report)[1]}"

    return origin


def _latency(results: RuleResults, report: Report) -> tuple[str, str]:
    clock = f"{report['chip']['clock_mhz']:g} MHz"
    cycles, how = clocks_origin(look_up(results.fixed, "per_sample"))
    source, kind = prices_with("clock", report)
    return f"{cycles} ÷ clock of {clock} ({source}){_again(results, report)}", f"cycles {how}; clock {kind}"


def _count(results: RuleResults, report: Report) -> tuple[str, str]:
    again = _again(results, report)
    return f"counts of this run, mean per sample{again}", "counted from what that run recorded" if again else COUNTED


def _clocks(results: RuleResults, report: Report) -> tuple[str, str]:
    return clocks_origin(look_up(results.fixed, "per_sample"))


def _area(results: RuleResults, report: Report) -> tuple[str, str]:
    area = look_up(results.fixed, "area_mm2") or {}
    source = "memories and arithmetic of the chip × their areas, times the overhead of the core"
    if area.get("low") and area.get("high"):
        source += f"; {number(area['low'])} to {number(area['high'])} mm² over the spread of the areas"
    return source, shares(area.get("by_kind", {}), area.get("total", 0.0))


def _ratio_to(key: str) -> Callable[[RuleResults, Report], tuple[str, str]]:
    def origin(results: RuleResults, report: Report) -> tuple[str, str]:
        baseline = look_up(results.fixed, key, "baseline")
        return f"cost of {results.rule} ÷ cost of {baseline}", "ratio of two numbers of the first columns"

    return origin


def _rests_on(results: RuleResults, report: Report) -> tuple[str, str]:
    return "the weakest kind of number in the price of each part of the energy", "a statement about kinds"


def _rate(results: RuleResults, report: Report) -> tuple[str, str]:
    return "experiment, learning.rate", "given"


def _learned(results: RuleResults, report: Report) -> tuple[str, str]:
    task = report["task"]
    return f"this run on {task['name']}: {task['n_train']:,} training, {task['n_test']:,} test samples", LEARNED


BY_UNIT: Mapping[str, Callable[[RuleResults, Report], tuple[str, str]]] = {
    "nJ": _energy,
    "mW": _from_energy("energy of a sample ÷ its latency"),
    "nJ·µs": _from_energy("energy of a sample × its latency"),
    "µJ": _from_energy("energies of all samples learned until then, at the same prices"),
    "nJ/sample": _from_energy("inference of every sample and learning of those with a label, at the same prices"),
    "µs": _latency,
    "k": _count,
    "kbit": _count,
    "stall %": _clocks,
    "mm²": _area,
    "×BPTT": _ratio_to("ratio_to_bptt"),
    "×infer": _ratio_to("ratio_to_inference"),
    "% of E": _rests_on,
    "asked": _rate,
    "per step": _rate,
}
