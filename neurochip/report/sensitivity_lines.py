"""The section `sensitivity` of a report in words: what the order of the rules hangs on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from neurochip.report.table import number

TOP_KNOBS = 3
Pair = Mapping[str, Any]  # an entry of `pairs`


def sensitivity_lines(section: Mapping[str, Any] | None) -> list[str]:
    """For every pair one paragraph: the knobs that move it most, what flips it, and the pair on equal silicon."""
    section = section or {}
    built = {entry["rule"]: entry for entry in section.get("iso_area") or []}
    lines = []
    for pair in section.get("pairs", []):
        sentences = [_moved_by(pair), *pair["sentences"]]
        ratios = built.get(pair["rule"], {}).get("ratio_to_bptt")
        if ratios:
            sentences.append(
                f"On chips built just for each, {pair['rule']} takes {number(ratios['area_mm2'])} times the area and "
                f"{number(ratios['energy_delay_area_pj_us_mm2'])} times the energy x delay x area."
            )
        lines.append(" ".join(sentences))
    for group in section.get("iso_sram", []):
        lines += group["sentences"]
    return lines


def short_lines(section: Mapping[str, Any] | None) -> list[str]:
    """For every pair, as short as it goes: the knobs that move it most, and what flips it."""
    return [f"{_moved_by(pair)} {order_sentences(pair)}" for pair in (section or {}).get("pairs", [])]


def order_sentences(pair: Pair) -> str:
    """Say at which T the order of a pair flips, and with which of its knobs, the nearest of them alone."""
    return f"{_steps_flip(pair)} {_knobs_flip(pair)}"


def _steps_flip(pair: Pair) -> str:
    steps = pair["steps"]
    flip, now, leaves = steps["flip"], steps["now"], steps["leaves_chip"]
    if flip is None:
        known = [t for t, ratio in zip(steps["steps"], steps["ratio"], strict=True) if ratio is not None]
        return f"No T from {known[0]:,} to {known[-1]:,} flips the order." if known else "No other T could be tried."
    if flip < now:
        return f"The order flips up to T = {flip:,} (now {now:,})."
    where = f", where the history of {pair['baseline']} outgrows the chip" if flip == leaves else ""
    return f"The order flips from about T = {flip:,} on (now {now:,}){where}."


def _knobs_flip(pair: Pair) -> str:
    """As "1 of 11 numbers of chip and formats, each turned alone, flips it: clock frequency above 765 MHz"."""
    knobs = {bar["knob"]: bar for bar in pair["tornado"]}
    turning = [flip for flip in pair["flips"] if flip["value"] is not None]
    which = f"{len(pair['flips'])} numbers of chip and formats, each turned alone,"
    if not turning:
        return f"None of {which} flips it."
    turning.sort(key=lambda flip: abs(math.log(flip["value"] / knobs[flip["knob"]]["base"])))
    named = "; ".join(_condition(knobs[flip["knob"]], flip["value"]) for flip in turning[:TOP_KNOBS])
    nearest = "; the nearest are" if len(turning) > TOP_KNOBS else ":"
    verb = "flips" if len(turning) == 1 else "flip"
    return f"{len(turning)} of {which} {verb} it{nearest} {named}."


def _condition(bar: Mapping[str, Any], value: float) -> str:
    side = "below" if value < bar["base"] else "above"
    if bar["unit"] in ("bits", "lanes"):  # whole numbers: the order has flipped at the value itself
        side = "up to" if value < bar["base"] else "from"
    unit = {"x": " times", "bits": "", "lanes": ""}.get(bar["unit"], f" {bar['unit']}")
    now = "" if bar["unit"] == "x" else f" (now {bar['base']:.3g})"
    return f"{bar['label']} {side} {value:.3g}{unit}{now}"


def _moved_by(pair: Pair) -> str:
    """The ratio of a pair, and the ends of the knobs that move it most."""
    moving = [bar for bar in pair["tornado"] if bar["swing"] > 0][:TOP_KNOBS]
    knobs = "; ".join(f"{bar['label']} {_ends(bar)}" for bar in moving)
    what = f" ({knobs})" if knobs else ""
    return f"Energy of {pair['rule']} over {pair['baseline']}: {number(pair['ratio'])}{what}."


def _ends(bar: Mapping[str, Any]) -> str:
    """As "0.5 to 2 times: 1.88 to 1.78"."""
    unit = {"x": " times", "bits": "", "lanes": ""}.get(bar["unit"], f" {bar['unit']}")
    low, high = bar["low"], bar["high"]
    return f"{low['value']:.3g} to {high['value']:.3g}{unit}: {number(low['ratio'])} to {number(high['ratio'])}"
