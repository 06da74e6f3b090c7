"""What the order of the rules in energy hangs on: every number of chip and formats turned alone, and where it flips.

For a rule and the back-propagation through time of its group the ratio of energies per sample is found at the low and
the high value of every knob, and the value at which the ratio is 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

from neurochip.equal_silicon import equal_area, equal_sram
from neurochip.errors import UserError
from neurochip.knobs import Knob, knobs_of
from neurochip.microarch.interface import Counted
from neurochip.priced import PricedRule
from neurochip.pricing import Pricer
from neurochip.sensitivity_text import flips_sentence, knob_sentence, standing_sentence, steps_sentence
from neurochip.steps import EnergyOfSteps, steps_flip

Numbers = dict[str, Any]
BISECTIONS = 40


class Case:
    """Energy per sample of one rule at any value of any knob; counts and energies are found once."""

    def __init__(self, priced: PricedRule) -> None:
        self.priced = priced
        self.counted = priced.counted()
        self.base_pj = priced.pricer.energy(self.counted).total_pj
        self.of_steps = EnergyOfSteps(priced, self.counted)
        self._known: dict[tuple[str, float], float] = {}

    @property
    def name(self) -> str:
        """Name of the rule."""
        return self.priced.rule.name

    def energy_pj(self, knob: Knob, value: float) -> float:
        """Energy per sample with a knob at a value.

        Raises:
            UserError: the value makes a chip that cannot run the rule.
        """
        if value == knob.base:
            return self.base_pj
        if knob.course == "price":  # affine in the price
            return self.base_pj + (value - knob.base) * self._slope(knob)
        return self._priced(knob, value)

    def _slope(self, knob: Knob) -> float:
        return (self._priced(knob, 2.0) - self.base_pj) / (2.0 - knob.base)

    def _priced(self, knob: Knob, value: float) -> float:
        place = (knob.key, value)
        if place not in self._known:
            pricer = knob.turn(self.priced.pricer, value)
            self._known[place] = pricer.energy(self._counted(knob, pricer)).total_pj
        return self._known[place]

    def _counted(self, knob: Knob, pricer: Pricer) -> Counted:
        if knob.needs == "price":
            return self.counted
        if knob.needs == "lanes":
            return self.priced.counted(pricer)
        # Another width of what is stored takes no other clock, so nothing has to be replayed for it.
        counted = replace(self.priced, trace=None).counted(pricer)
        return replace(counted, cycles_by_phase=self.counted.cycles_by_phase, cycles=self.counted.cycles)


def sensitivity(rules: Sequence[PricedRule]) -> Numbers:
    """The section `sensitivity` of a report (docs/sensitivity.md).

    Args:
        rules: rules of one network on one chip; a rule is compared with the baseline of its group if that is there.

    Returns:
        pairs: one per rule and baseline: `ratio`, `tornado` (sorted by swing), `flips`, `steps`, `sentences`.
        iso_sram, iso_area: `neurochip.equal_silicon`.
    """
    cases = {priced.rule.name: Case(priced) for priced in rules}
    pairs = [
        _pair(case, cases[case.priced.rule.baseline])
        for case in cases.values()
        if case.priced.rule.baseline in cases and case.priced.rule.baseline != case.name
    ]
    return {
        "pairs": pairs,
        "iso_sram": equal_sram(rules),
        "iso_area": equal_area([(case.priced, case.counted) for case in cases.values()]),
    }


def _pair(case: Case, base: Case) -> Numbers:
    knobs = [knob for knob in knobs_of(case.priced.pricer) if _can_turn(knob, case, base)]
    ratio = case.base_pj / base.base_pj
    tornado = [_bar(knob, case, base) for knob in knobs]
    tornado.sort(key=lambda bar: (-bar["swing"], bar["knob"]))
    flips = [_flip(knob, case, base) for knob in knobs]
    steps = steps_flip(case.of_steps, base.of_steps)
    turning = [(knob, flip["value"]) for knob, flip in zip(knobs, flips, strict=True) if flip["value"] is not None]
    standing = [knob for knob, flip in zip(knobs, flips, strict=True) if flip["value"] is None]
    sentences = []
    if turning:
        sentences.append(flips_sentence(case.name, base.name, ratio, turning))
    if standing:
        sentences.append(standing_sentence(case.name, base.name, standing, len(turning)))
    sentences.append(steps_sentence(case.name, base.name, steps, case.priced.pricer.chip.overflow))
    return {
        "rule": case.name,
        "baseline": base.name,
        "ratio": ratio,
        "tornado": tornado,
        "flips": flips,
        "steps": steps,
        "sentences": sentences,
    }


def _can_turn(knob: Knob, *cases: Case) -> bool:
    """Whether the recorded samples a knob needs are there."""
    return knob.needs != "lanes" or all(
        case.priced.trace is not None or not case.priced.activity.learning for case in cases
    )


def _ratio(knob: Knob, value: float, case: Case, base: Case) -> float | None:
    """Energy of the rule over that of its baseline; None where the chip cannot run one of them."""
    try:
        return case.energy_pj(knob, value) / base.energy_pj(knob, value)
    except UserError:
        return None


def _bar(knob: Knob, case: Case, base: Case) -> Numbers:
    """One bar of the tornado. Swing: largest less smallest ratio."""
    ends = [(value, _ratio(knob, value, case, base)) for value in (knob.low, knob.high)]
    ratios = [case.base_pj / base.base_pj, *(ratio for _, ratio in ends if ratio is not None)]
    return {
        "knob": knob.key,
        "label": knob.label,
        "unit": knob.unit,
        "base": knob.base,
        "low": {"value": ends[0][0], "ratio": ends[0][1]},
        "high": {"value": ends[1][0], "ratio": ends[1][1]},
        "swing": max(ratios) - min(ratios),
        "note": knob.note,
    }


def _flip(knob: Knob, case: Case, base: Case) -> Numbers:
    """The value nearest to the present one at which the order flips; None within the values there are."""
    ratio_now = case.base_pj / base.base_pj
    found = [value for value in (_flip_below(knob, case, base), _flip_above(knob, case, base)) if value is not None]
    value = min(found, key=lambda v: abs(math.log(v / knob.base))) if found else None
    return {
        "knob": knob.key,
        "value": value,
        "unit": knob.unit,
        "range": [min(knob.values), max(knob.values)],
        "sentence": knob_sentence(case.name, base.name, ratio_now, knob, value),
    }


def _flip_below(knob: Knob, case: Case, base: Case) -> float | None:
    return _first_flip(knob, sorted((v for v in knob.values if v < knob.base), reverse=True), case, base)


def _flip_above(knob: Knob, case: Case, base: Case) -> float | None:
    return _first_flip(knob, sorted(v for v in knob.values if v > knob.base), case, base)


def _first_flip(knob: Knob, values: Sequence[float], case: Case, base: Case) -> float | None:
    """The first of the values, walking away from the present one, on the other side of 1; solved where it is smooth."""
    dearer = case.base_pj > base.base_pj

    def flipped(value: float) -> bool:
        ratio = _ratio(knob, value, case, base)
        return ratio is not None and (ratio > 1) != dearer

    if values and knob.needs == "widths" and not flipped(values[-1]):
        return None  # what a width costs rises with it, so nothing flips before its end
    for before, value in pairwise([knob.base, *values]):
        if flipped(value):
            if knob.course == "steps":
                return value
            return bisect(lambda v: _excess(knob, v, case, base), before, value)
    return None


def _excess(knob: Knob, value: float, case: Case, base: Case) -> float:
    return case.energy_pj(knob, value) - base.energy_pj(knob, value)


def bisect(function: Callable[[float], float], start: float, end: float) -> float:
    """A zero of `function` between two positive values of opposite signs, halving the interval in its logarithm."""
    positive = function(start) > 0
    for _ in range(BISECTIONS):
        middle = math.sqrt(start * end)
        if (function(middle) > 0) == positive:
            start = middle
        else:
            end = middle
    return math.sqrt(start * end)
