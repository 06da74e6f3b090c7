"""The headline table: one row per rule, the same columns on the console and on the page."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from neurochip.counters import STALLS as CAUSES

Result = Mapping[str, Any]
NOTHING = "–"  # no such number: the float twin has no cost, inference no baseline
BASELINES = ("bptt-o", "bptt")  # the back-propagation through time of each group
KINDS = ("measured", "simulated", "model", "assumed")


def number(value: float | None, digits: int = 3) -> str:
    """Format a number with so many significant digits, but with every digit before the decimal point."""
    if value is None:
        return NOTHING
    if value == 0:
        return "0"
    decimals = digits - 1 - math.floor(math.log10(abs(value)))
    decimals = digits - 1 - math.floor(math.log10(abs(round(value, decimals))))  # 9.996 rounds to 10.0, not 10.00
    if decimals > digits + 3:
        return f"{value:.{digits - 1}e}"
    return f"{value:,.{max(decimals, 0)}f}"


def look_up(result: Result | None, *keys: str) -> Any:
    """Follow keys down a result; None where one is absent or null."""
    found: Any = result
    for key in keys:
        if found is None:
            return None
        found = found.get(key)
    return found


@dataclass(frozen=True)
class RuleResults:
    """The results of one rule: with the chip's arithmetic, and its float twin."""

    rule: str
    group: str
    fixed: Result | None
    float_twin: Result | None

    @property
    def any(self) -> Result:
        """The fixed-point result if there is one, else the float twin."""
        result = self.float_twin if self.fixed is None else self.fixed
        return {} if result is None else result


@dataclass(frozen=True)
class Column:
    """A column: two header lines, what the number means, and how its text is taken from the results of a rule."""

    title: tuple[str, str]
    meaning: str
    text: Callable[[RuleResults], str]


def _cost(*keys: str, per: float) -> Callable[[RuleResults], str]:
    def text(results: RuleResults) -> str:
        value = look_up(results.fixed, *keys)
        return number(None if value is None else value / per)

    return text


def _percent(precision: str) -> Callable[[RuleResults], str]:
    def text(results: RuleResults) -> str:
        value = look_up(results.fixed if precision == "fixed" else results.float_twin, "accuracy", "test")
        return NOTHING if value is None else f"{100 * value:.1f}"

    return text


def _share(kind: str) -> Callable[[RuleResults], str]:
    def text(results: RuleResults) -> str:
        energy = look_up(results.fixed, "per_sample", "energy_pj")
        if not energy or not energy["total"]:
            return NOTHING
        return f"{100 * energy['by_kind'][kind] / energy['total']:.1f}"

    return text


def _epoch(results: RuleResults) -> str:
    epoch = look_up(results.fixed, "energy_to_accuracy", "epoch")
    return NOTHING if epoch is None else f"{epoch}"


HEADLINE: tuple[Column, ...] = (
    Column(("test", "%"), "test accuracy with the chip's arithmetic, per cent", _percent("fixed")),
    Column(("float", "%"), "test accuracy of the same rule without quantisation, per cent", _percent("float")),
    Column(
        ("energy", "nJ"),
        "energy per sample, learning on, mean over the training samples of the last epoch, in nJ",
        _cost("per_sample", "energy_pj", "total", per=1e3),
    ),
    Column(("latency", "µs"), "time per sample, learning on, in µs", _cost("per_sample", "latency_us", per=1)),
    Column(
        ("memory", "kbit"),
        "bits that the rule's memories must hold, in kbit",
        _cost("footprint_bits", "total", per=1e3),
    ),
    Column(
        ("accesses", "k"),
        "words read from and written to memories per sample, in thousands",
        _cost("per_sample", "totals", "memory_accesses", per=1e3),
    ),
    Column(
        ("moved", "kbit"),
        "bits read from and written to memories per sample, in kbit",
        _cost("per_sample", "totals", "bits_moved", per=1e3),
    ),
    Column(
        ("MACs", "k"), "multiply-accumulates per sample, in thousands", _cost("per_sample", "totals", "macs", per=1e3)
    ),
    Column(
        ("ACs", "k"),
        "accumulates of a weight gated by a spike, per sample, in thousands",
        _cost("per_sample", "totals", "acs", per=1e3),
    ),
    Column(
        ("energy", "×BPTT"),
        "energy per sample over that of BPTT in the same group",
        _cost("ratio_to_bptt", "energy", per=1),
    ),
    Column(
        ("latency", "×BPTT"),
        "time per sample over that of BPTT in the same group",
        _cost("ratio_to_bptt", "latency", per=1),
    ),
    Column(
        ("energy", "×infer"),
        "energy per sample over that of inference alone",
        _cost("ratio_to_inference", "energy", per=1),
    ),
)


PRICE: tuple[Column, ...] = (
    Column(
        ("energy low", "nJ"),
        "energy per sample with every price at its low end, in nJ",
        _cost("per_sample", "energy_pj", "low", per=1e3),
    ),
    Column(
        ("energy high", "nJ"),
        "energy per sample with every price at its high end, in nJ",
        _cost("per_sample", "energy_pj", "high", per=1e3),
    ),
    Column(
        ("calibrated", "nJ"),
        "energy of the same cycles by a fit of the whole chip to silicon, in nJ: not part of the energy",
        _cost("per_sample", "energy_pj", "calibrated", per=1e3),
    ),
    Column(("power", "mW"), "energy over time of a sample, in mW", _cost("per_sample", "average_power_mw", per=1)),
    Column(
        ("EDP", "nJ·µs"),
        "energy-delay product of a sample, in nJ·µs",
        _cost("per_sample", "energy_delay_pj_us", per=1e3),
    ),
    Column(("area", "mm²"), "area of the chip that runs the rule, in mm²", _cost("area_mm2", "total", per=1)),
)


def _stall(cause: str) -> Callable[[RuleResults], str]:
    def text(results: RuleResults) -> str:
        clocks, cycles = look_up(results.fixed, "per_sample", "stalls", cause), look_up(results.fixed, "per_sample")
        return NOTHING if clocks is None or not cycles["cycles"] else f"{100 * clocks / cycles['cycles']:.1f}"

    return text


def _interval(results: RuleResults) -> str:
    sampled = look_up(results.fixed, "per_sample", "cycles_sampled")
    if sampled is None or sampled["half_width"] is None:
        return NOTHING
    return f"{100 * sampled['half_width'] / look_up(results.fixed, 'per_sample', 'cycles'):.2f}"


STALLS: tuple[Column, ...] = (
    Column(
        ("cycles", "k"),
        "clock cycles per sample, stalls included, in thousands",
        _cost("per_sample", "cycles", per=1e3),
    ),
    Column(
        ("cycles", "±%"),
        "half the width of the 95 % interval, per cent, where cycles were estimated from recorded samples",
        _interval,
    ),
    *(
        Column(
            (cause.replace("_", " "), "stall %"),
            f"{meaning}; clocks over cycles, per cent (units stall each for itself, so the shares may overlap)",
            _stall(cause),
        )
        for cause, meaning in CAUSES.items()
    ),
)


def tables(report: Mapping[str, Any]) -> list[tuple[Column, ...]]:
    """The tables of a report: headline, what the energies rest on, prices, stalls; empty ones are left out."""
    return not_empty((HEADLINE, background(report), PRICE, STALLS), report)


def not_empty(candidates: Sequence[tuple[Column, ...]], report: Mapping[str, Any]) -> list[tuple[Column, ...]]:
    """The tables that hold more than their first column; without the calibrated energy where no chip has a fit."""
    rules = by_rule(report)
    has_fit = any(look_up(rule.fixed, "per_sample", "energy_pj", "calibrated") is not None for rule in rules)
    shown = [tuple(column for column in one if has_fit or column.title[0] != "calibrated") for one in candidates]
    return [one for one in shown if any(column.text(rule) != NOTHING for column in one[1:] for rule in rules)]


def background(report: Mapping[str, Any]) -> tuple[Column, ...]:
    """Columns of the second table: what the energies rest on, energy to the target accuracy, learning rates."""
    target = f"{100 * report['target_accuracy']:g}"
    return (
        *(
            Column(
                (kind, "% of E"),
                f"share of the energy per sample that rests on numbers of kind {kind}, per cent",
                _share(kind),
            )
            for kind in KINDS
        ),
        Column(
            (f"to {target}%", "µJ"),
            f"energy spent until the validation accuracy first reached {target} per cent, in µJ",
            _cost("energy_to_accuracy", "energy_uj", per=1),
        ),
        Column(
            (f"to {target}%", "epoch"),
            f"epoch in which the validation accuracy first reached {target} per cent",
            _epoch,
        ),
        Column(
            ("rate", "asked"),
            "learning rate asked for, per sample",
            lambda results: number(look_up(results.any, "learning_rate", "asked")),
        ),
        Column(
            ("rate", "per step"),
            "learning rate realised by an integer multiplier and a shift, per step",
            lambda results: number(look_up(results.any, "learning_rate", "realised_per_step")),
        ),
    )


def by_rule(report: Mapping[str, Any]) -> list[RuleResults]:
    """Pair the fixed-point result of every rule with its float twin, in the report's order."""
    pairs: dict[str, dict[str, Result]] = {}
    for result in report["results"]:
        pairs.setdefault(result["rule"], {})[result["precision"]] = result
    return [
        RuleResults(rule, next(iter(pair.values()))["group"], pair.get("fixed"), pair.get("float"))
        for rule, pair in pairs.items()
    ]


def by_group(report: Mapping[str, Any]) -> dict[str, list[RuleResults]]:
    """The rules of each group, groups in the order in which they first appear."""
    groups: dict[str, list[RuleResults]] = {}
    for results in by_rule(report):
        groups.setdefault(results.group, []).append(results)
    return groups


def group_title(results: Sequence[RuleResults]) -> str:
    """Name a group, and the baseline of its ratios where it has one."""
    group = {"infer": "inference only"}.get(results[0].group, results[0].group)
    baselines = {look_up(one.fixed, "ratio_to_bptt", "baseline") for one in results} - {None}
    return f"{group} (BPTT: {', '.join(sorted(baselines))})" if baselines else group
