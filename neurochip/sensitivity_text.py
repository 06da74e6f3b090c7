"""Sentences on what flips the order of a rule and its baseline."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from neurochip.knobs import WIDEST_FACTOR, Knob


def knob_sentence(rule: str, baseline: str, ratio: float, knob: Knob, value: float | None) -> str:
    """Say at which value of a knob the order flips, or that it does not."""
    if value is None:
        low, high = knob_value(knob, min(knob.values)), knob_value(knob, max(knob.values))
        return f"{knob.label}, {low} to {high}: the order of {rule} and {baseline} in energy does not flip."
    return f"{rule} {becomes(ratio)} than {baseline} in energy with {condition(knob, value)}."


def flips_sentence(rule: str, baseline: str, ratio: float, flips: Sequence[tuple[Knob, float]]) -> str:
    """Say of all knobs that flip the order, the nearest first, where they do."""
    nearest = sorted(flips, key=lambda flip: abs(math.log(flip[1] / flip[0].base)))
    conditions = "; or with ".join(condition(knob, value) for knob, value in nearest)
    return f"{rule} {becomes(ratio)} than {baseline} in energy with {conditions}."


def condition(knob: Knob, value: float) -> str:
    """As "leakage per bit above 2.5 times", or "lanes from 32 lanes on (now 16 lanes)"."""
    if knob.course == "steps":
        where = f"up to {knob_value(knob, value)}" if value < knob.base else f"from {knob_value(knob, value)} on"
    else:
        where = f"{'below' if value < knob.base else 'above'} {knob_value(knob, value)}"
    now = "" if knob.unit == "x" else f" (now {knob_value(knob, knob.base)})"
    return f"{knob.label} {where}{now}"


def standing_sentence(rule: str, baseline: str, knobs: Sequence[Knob], flipping: int) -> str:
    """Say how many knobs flip nothing; which and how far they were turned is in the section."""
    which = f"None of the {len(knobs)}" if not flipping else f"None of the {len(knobs)} other"
    return (
        f"{which} numbers of chip and formats that were turned alone (prices from 1/{WIDEST_FACTOR:g} to "
        f"{WIDEST_FACTOR:g} times) flips the order of {rule} and {baseline}."
    )


def steps_sentence(rule: str, baseline: str, steps: Mapping[str, Any], overflow: str = "refuse") -> str:
    """Say at which number of steps the order flips, and where the history of the baseline leaves the chip.

    `overflow` is that of the chip; unless it grows, a history that leaves it is priced in DRAM.
    """
    known = [(t, ratio) for t, ratio in zip(steps["steps"], steps["ratio"], strict=True) if ratio is not None]
    leaves = steps["leaves_chip"]
    where = ""
    if leaves is not None:
        then = _where_it_goes(overflow, any(t >= leaves for t, _ in known))
        where = f" The history of {baseline} no longer fits on the chip from T = {leaves:,} on{then}."
        if leaves == steps["flip"]:
            where = f" From there on the history of {baseline} no longer fits on the chip{then}."
    if steps["flip"] is None:
        if not known:
            return f"The chip holds the history of {baseline} at no number of steps that was tried."
        verb = stays(known[-1][1])
        return (
            f"No number of steps from {known[0][0]:,} to {known[-1][0]:,} flips the order: {rule} {verb} than "
            f"{baseline} in energy.{where}"
        )
    when = f"from T = {steps['flip']:,} on" if steps["flip"] > steps["now"] else f"up to T = {steps['flip']:,}"
    verb = becomes(steps["ratio_now"])
    as_now = "further steps taken like the later ones of now"
    return f"{rule} {verb} than {baseline} in energy {when} (now {steps['now']:,}; {as_now}).{where}"


def _where_it_goes(overflow: str, priced: bool) -> str:
    if not priced:
        return ""
    return ", whose memory is enlarged" if overflow == "grow" else " and is priced in DRAM"


def knob_value(knob: Knob, value: float) -> str:
    """A value with its unit: a factor as "0.25 times"."""
    if knob.unit == "x":
        return f"{value:.3g} times"
    return f"{value:.3g} {knob.unit}"


def becomes(ratio: float) -> str:
    """What a rule becomes on the other side of a flip."""
    return "becomes cheaper" if ratio > 1 else "becomes dearer"


def stays(ratio: float) -> str:
    """What a rule stays without a flip."""
    return "stays dearer" if ratio > 1 else "stays cheaper"
