"""A replayed sample as a value change dump, as GTKWave and Surfer show it beside the waveforms of an RTL simulation."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from heapq import merge
from typing import Any

from neurochip.errors import UserError

TOP = "neurochip"
UNITS = ("us", "ns", "ps")
PS_PER_US = 10**6
COUNTER_BITS = 32
Change = tuple[int, int, Any]  # clock, number of the variable, value


def vcd_dump(records: Mapping[str, Any]) -> str:
    """Return the text of a VCD file: a time stamp per clock in which something changes.

    `cycle` counts clocks; a value stands at the clock whose reads find it. The scale is the period of the clock if that
    is 1, 10 or 100 of a unit, else the largest such that divides it, down to 1 ps; a period that is no whole number of
    ps is rounded for every time stamp by itself, so that no error adds up.

    Raises:
        UserError: the package pyvcd is missing.
    """
    try:
        from vcd.writer import VCDWriter
    except ImportError as error:
        raise UserError(
            "--format vcd needs the package pyvcd, which is not installed; install it with "
            "python -m pip install 'neurochip[trace]'"
        ) from error
    period = Fraction(PS_PER_US) / Fraction(str(records["clock_mhz"]))
    scale_ps, scale = _timescale(period)
    file = io.StringIO()
    first = round(records["first_clock"] * period / scale_ps)
    comment, version = _comment(records), f"neurochip {records['neurochip']}"
    with VCDWriter(file, scale, "", comment, version, init_timestamp=first) as writer:
        variables = [writer.register_var(*declared) for declared in _declarations(records)]
        for clock, number, value in _changes(records):
            writer.change(variables[number], round(clock * period / scale_ps), value)
        writer.close(round(records["end_clock"] * period / scale_ps))
    return file.getvalue()


def _timescale(period_ps: Fraction) -> tuple[int, str]:
    """The largest of 100, 10 and 1 of a unit that divides the period, or 1 ps: in ps, and as VCD writes it."""
    for power, unit in enumerate(UNITS):
        for magnitude in (100, 10, 1):
            scale_ps = magnitude * PS_PER_US // 1000**power
            if period_ps % scale_ps == 0:
                return scale_ps, f"{magnitude} {unit}"
    return 1, "1 ps"


def _comment(records: Mapping[str, Any]) -> str:
    """What is shown, and the binary places of each number; no word of it may be the keyword that ends a section."""
    lines = [
        f"run {records['name']}, rule {records['rule']}, chip {records['chip']}, {records['clock_mhz']} MHz",
        f"sample {records['sample']} of the {records['split']} split, label {records['label']}, predicted "
        f"{records['prediction']}, {'learning' if records['learning'] else 'inference'}",
        "a number stands for value * 2^-frac:",
    ]
    named = [one for one in records["signals"] if one["frac"] is not None]
    lines += [f"{one['scope']}.{one['name']} frac {one['frac']}" for one in named]
    return "\n".join(" ".join(line.split()) for line in lines).replace("$", "_")


def _declarations(records: Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:
    """(scope, name, type, bits): the four of the core, then the signals."""
    yield (TOP, "cycle", "integer", COUNTER_BITS)
    yield (TOP, "phase", "string", 1)
    yield (TOP, "layer", "integer", COUNTER_BITS)
    yield (TOP, "step", "integer", COUNTER_BITS)
    for one in records["signals"]:
        kind = "wire" if one["bits"] == 1 else "reg" if not one["is_signed"] else "integer"
        yield ((TOP, one["scope"]), one["name"], kind, one["bits"])


def _changes(records: Mapping[str, Any]) -> Iterator[Change]:
    """All changes in the order of time, of one clock in the order of the variables."""
    cycles = ((clock, clock) for clock in range(records["first_clock"], records["end_clock"]))
    core = [cycles, records["phases"], records["active_layers"], records["steps"]]
    series = [*core, *(one["changes"] for one in records["signals"])]
    return merge(*(_numbered(number, changes) for number, changes in enumerate(series)))


def _numbered(number: int, changes: Iterable[tuple[int, Any]]) -> Iterator[Change]:
    return ((clock, number, value) for clock, value in changes)


__all__ = ["vcd_dump"]
