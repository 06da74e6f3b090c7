"""Sentences of the page whose numbers say what stands behind them: unit, source and kind."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from neurochip.report.origins import LEARNED, PRICED_AGAIN, SHAPES, energy_origin, origin_of, prices_with, tip
from neurochip.report.table import HEADLINE, RuleResults, by_rule, look_up

Report = Mapping[str, Any]
Origin = tuple[str, str]  # source, kind
Told = list[tuple[str, str]]  # pieces of a sentence, each with what to say on it; "" on what is no number
Behind = Callable[[str, str], Origin]  # (unit of a number, the sentence before it) -> its origin
UNITS = (
    "%", "nJ·µs", "nJ", "µJ", "pJ", "µs", "kbit", "mW", "mm²", "MHz", "V", "dB", "pt", "times", "steps", "samples",
    "bits", "training", "validation", "test", "inputs", "classes", "events a sample", "weights", "lanes", "epochs",
)  # fmt: skip
MEANT = {split: f"{split} samples" for split in ("training", "validation", "test")}
# A number that stands by itself, not one inside of a name such as ottt-core-28nm or of a shape such as 512-128-10.
NUMBER = re.compile(
    r"(?<![\w.^-])(?P<number>[±×+−-]?\d+(?:,\d{3})*(?:\.\d+)?(?:e[-+]?\d+)?)(?![\w-]|[.,]\d)"
    rf"(?:\s?(?P<unit>{'|'.join(map(re.escape, UNITS))})(?!\w))?"
)
COLUMNS = {"nJ": ("energy", "nJ"), "µs": ("latency", "µs"), "kbit": ("memory", "kbit"), "%": ("test", "%")}
OF_STEPS = re.compile(r"\bT\*? (?:=|from)(?: [\d,]+ to)? $|steps from (?:[\d,]+ to )?$")
NO_UNIT = "(a number)"


def told(sentence: str, name: str, behind: Behind) -> Told:
    """The sentence in pieces; every number, with its unit, says where it comes from."""
    pieces, end = [], 0
    for found in NUMBER.finditer(sentence):
        before, unit = sentence[: found.start()], _unit(sentence, found)
        said = tip(name, found["number"], MEANT.get(unit, unit) or NO_UNIT, "", behind(unit, before))
        pieces += [(sentence[end : found.start()], ""), (found[0], said)]
        end = found.end()
    return [piece for piece in (*pieces, (sentence[end:], "")) if piece[0]]


def _unit(sentence: str, found: re.Match[str]) -> str:
    """The unit behind a number, or behind the end of the range that it begins; T counts steps."""
    if found["unit"]:
        return found["unit"]
    if OF_STEPS.search(sentence[: found.start()]):
        return "steps"
    rest = sentence[found.end() :]
    end = NUMBER.match(rest, 4) if rest.startswith(" to ") else None
    return (end["unit"] or "") if end else ""


def all_told(sentences: Iterable[str], name: str, behind: Behind) -> list[Told]:
    """Several sentences of one origin."""
    return [told(sentence, name, behind) for sentence in sentences]


def always(source: str, kind: str) -> Behind:
    """The same origin for every number."""
    return lambda unit, before: (source, kind)


def of_costs(report: Report) -> Behind:
    """Numbers of the rule that was named last: its costs, its ratios, and what the order of the rules hangs on."""
    rules = {results.rule: results for results in by_rule(report)}
    columns = {column.title: column for column in HEADLINE}

    changed = of_changes(report)

    def behind(unit: str, before: str) -> Origin:
        results = _named_last(rules, before)
        # Behind the first sentence on a rule stands what would turn the order.
        if ". " in before or results is None or look_up(results.fixed, "per_sample") is None:
            return changed(unit, before)
        if unit == "times":
            baseline, kind = look_up(results.fixed, "ratio_to_bptt", "baseline"), _kind(results)
            how = f"ratio of two costs; the energy of {results.rule}: {kind}"
            return f"cost of {results.rule} ÷ cost of {baseline}", how
        return origin_of(columns[COLUMNS[unit]], results, report) if unit in COLUMNS else changed(unit, before)

    return behind


def of_changes(report: Report) -> Behind:
    """Numbers of what the order of the rules hangs on."""
    rules = {results.rule: results for results in by_rule(report)}

    def behind(unit: str, before: str) -> Origin:
        results = _named_last(rules, before)
        if results is None or look_up(results.fixed, "per_sample") is None:
            return PRICED_AGAIN, LEARNED
        return PRICED_AGAIN, f"{LEARNED}; prices of the energy of {results.rule}: {_kind(results)}"

    return behind


def _kind(results: RuleResults) -> str:
    return energy_origin(look_up(results.fixed, "per_sample"))[1]


def _named_last(rules: Mapping[str, RuleResults], before: str) -> RuleResults | None:
    """The rule whose name stands last; of "ottt-o needs ... of bptt-o, ... its time" the one that needs."""
    needs = re.search(r"(\S+) needs ", before)
    if needs and needs[1] in rules:
        return rules[needs[1]]
    names = sorted(rules, key=len, reverse=True)
    found = re.findall(rf"(?<![\w-])(?:{'|'.join(map(re.escape, names))})(?![\w-])", before)
    return rules[found[-1]] if found else None


def of_header(report: Report) -> Mapping[str, Behind]:
    """Label of a line of the header -> where its numbers come from."""
    clock, voltage = prices_with("clock", report), prices_with("voltage", report)
    return {
        "task": always(f"task {report['task']['name']}, as it was loaded", "counted exactly by this run"),
        "network": always("layers of the experiment, on this task", "calculated, exact"),
        "chip": lambda unit, before: {"MHz": clock, "V": voltage}.get(unit, ("chip file", "given")),
        "history": always(*SHAPES),
    }


def header_told(lines: Sequence[tuple[str, str]], report: Report) -> list[tuple[str, Told]]:
    """The lines of the header."""
    behind = of_header(report)
    return [(label, told(text, label, behind[label])) for label, text in lines]


__all__ = ["Told", "all_told", "always", "header_told", "of_changes", "of_costs", "told"]
