"""What the report says in words: its header and its verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from neurochip.report.layers import network_sentence
from neurochip.report.sensitivity_lines import order_sentences, sensitivity_lines
from neurochip.report.table import BASELINES, RuleResults, by_group, look_up, number

COSTS = (
    ("energy", ("per_sample", "energy_pj", "total"), 1e3, "nJ"),
    ("latency", ("per_sample", "latency_us"), 1.0, "µs"),
    ("memory", ("footprint_bits", "total"), 1e3, "kbit"),
)


def header(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return (label, sentence) of the task, the network, the chip and the history memory."""
    task = report["task"]
    splits = f"{task['n_train']:,} training, {task['n_validation']:,} validation, {task['n_test']:,} test samples"
    lines = [
        (
            "task",
            f"{task['name']}: {task['n_inputs']:,} inputs, {len(task['classes'])} classes, "
            f"T = {task['n_steps']} steps, {number(task['events_per_sample'])} events a sample; {splits}",
        ),
        ("network", network_sentence(report)),
        ("chip", chip_sentence(report)),
    ]
    history = history_sentence(report)
    return [*lines, ("history", history)] if history else lines


def chip_sentence(report: Mapping[str, Any]) -> str:
    """Say which chip it is, by its file too where that has another name: a copy may have kept the name inside."""
    chip, asked = report["chip"], report["experiment"]["chip"]["name"]
    file = "" if asked.removesuffix(".toml") == chip["name"] else f"file {asked}, "
    return (
        f"{chip['name']} ({file}{chip['microarchitecture']}, {chip['technology']}), {chip['clock_mhz']:g} MHz, "
        f"{chip['voltage_v']:g} V, overflow = {chip['overflow']}"
    )


def history_sentence(report: Mapping[str, Any]) -> str:
    """Say at which T the history is as large as the weights, and from which it is more than the chip has room for."""
    equal = report["history"]["steps_history_equals_weights"]
    leaves = report["history"]["steps_history_leaves_chip"]
    parts = []
    if equal is not None:
        parts.append(f"BPTT's history is as large as the weights at T* = {number(equal)} steps")
    if leaves is not None:
        what = "it" if parts else "BPTT's history"
        then = {"grow": ", whose memory grows", "dram": " and lies in DRAM"}.get(report["chip"]["overflow"], "")
        parts.append(f"{what} no longer fits on this chip from T = {leaves:,} on{then}")
    elif parts and report["chip"]["overflow"] == "grow":
        parts.append("this chip grows its memories to hold it")
    return "; ".join(parts)


def verdict(report: Mapping[str, Any]) -> list[str]:
    """Say which rule of each group is cheapest, how each compares with BPTT of its group, and what flips the order."""
    sentences = []
    pairs = {pair["rule"]: pair for pair in (report.get("sensitivity") or {}).get("pairs", [])}
    for group, rules in by_group(report).items():
        priced = [results for results in rules if look_up(results.fixed, "per_sample") is not None]
        if len(priced) > 1:
            sentences.append(_cheapest(group, priced))
        for results in priced:
            if _has_rival(results):
                order = f" {order_sentences(pairs[results.rule])}" if results.rule in pairs else ""
                sentences.append(_against_bptt(results) + order)
    return sentences


def hanging_on(report: Mapping[str, Any]) -> list[str]:
    """Say at length what the order of the rules hangs on: rows of a trace, knobs, steps, equal silicon."""
    return [*report.get("flips", []), *sensitivity_lines(report.get("sensitivity"))]


def where_more_is(report: Mapping[str, Any]) -> list[str]:
    """Say where the sentences of `hanging_on` are; a run priced again has no page."""
    if not hanging_on(report):
        return []
    where = "The JSON form" if "repriced" in report else "report.html"
    return [f"{where} has more: what moves each ratio, fewer updated rows, the rules on equal silicon."]


def _cheapest(group: str, priced: Sequence[RuleResults]) -> str:
    parts = []
    for cost, keys, per, unit in COSTS:
        values = {results.rule: look_up(results.fixed, *keys) for results in priced}
        least = min(values.values())
        winners = " and ".join(rule for rule, value in values.items() if value == least)
        parts.append(f"in {cost} {winners} ({number(least / per)} {unit})")
    is_stream = any(look_up(results.fixed, "stream") is not None for results in priced)
    keys, where = (("stream", "accuracy"), "in the stream") if is_stream else (("accuracy", "test"), "test")
    accuracies = {results.rule: look_up(results.fixed, *keys) for results in priced}
    best = max(accuracies.values())
    most_accurate = " and ".join(rule for rule, value in accuracies.items() if value == best)
    return f"Cheapest rule {group}: {', '.join(parts)}; most accurate {most_accurate} ({100 * best:.1f} % {where})."


def _has_rival(results: RuleResults) -> bool:
    return results.rule not in BASELINES and look_up(results.fixed, "ratio_to_bptt") is not None


def _against_bptt(results: RuleResults) -> str:
    ratio = look_up(results.fixed, "ratio_to_bptt")
    family = results.rule.partition("-")[0].upper()
    energy = number(ratio["energy"])
    if energy == "1.00":
        opening = f"{family} and BPTT cost the same energy here"
    elif ratio["energy"] > 1:
        opening = f"BPTT is cheaper than {family} here"
    else:
        opening = f"{family} is cheaper than BPTT here"
    return (
        f"{opening}: {results.rule} needs {energy} times the energy of {ratio['baseline']}, "
        f"{number(ratio['latency'])} times its time and {number(ratio['footprint'])} times its memory."
    )
