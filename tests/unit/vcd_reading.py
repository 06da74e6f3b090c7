"""A reader of value change dumps, for the tests of what is written."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field


@dataclass
class Variable:
    """A variable, and its changes as (time, value)."""

    kind: str
    bits: int
    times: list[int] = field(default_factory=list)
    values: list[int | str] = field(default_factory=list)

    def at(self, time: int) -> int | str:
        """The value that stands at a time."""
        return self.values[bisect_right(self.times, time) - 1]


@dataclass
class Dump:
    """A whole file; variables by their dotted name below the top."""

    timescale: str
    header: str
    variables: dict[str, Variable]
    end: int

    def times_of(self, name: str, value: int | str) -> list[int]:
        """When a variable came to a value."""
        one = self.variables[name]
        return [time for time, held in zip(one.times, one.values, strict=True) if held == value]


def read_vcd(text: str) -> Dump:
    """Read header, declarations and changes; numbers of kind `integer` are signed."""
    header, body = text.split("$enddefinitions $end\n")
    by_code: dict[str, Variable] = {}
    named: dict[str, Variable] = {}
    scope: list[str] = []
    timescale = ""
    for line in header.splitlines():
        words = line.split()
        if words[:1] == ["$scope"]:
            scope.append(words[2])
        elif words[:1] == ["$upscope"]:
            scope.pop()
        elif words[:1] == ["$timescale"]:
            timescale = " ".join(words[1:-1])
        elif words[:1] == ["$var"]:
            _, kind, bits, code, name, _ = words
            by_code[code] = named[".".join([*scope[1:], name])] = Variable(kind, int(bits))
    time = 0
    for line in body.splitlines():
        if line.startswith("#"):
            assert int(line[1:]) >= time
            time = int(line[1:])
        elif not line.startswith("$"):
            code, value = _change(line, by_code)
            by_code[code].times.append(time)
            by_code[code].values.append(value)
    return Dump(timescale, header, named, time)


def _change(line: str, by_code: dict[str, Variable]) -> tuple[str, int | str]:
    if line[0] == "s":
        value, code = line[1:].split()
        return code, value
    if line[0] in "01":
        return line[1:], int(line[0])
    digits, code = line[1:].split()
    one = by_code[code]
    assert len(digits) <= one.bits
    number = int(digits, 2)
    if one.kind == "integer" and len(digits) == one.bits and digits[0] == "1" and one.bits < 32:
        number -= 1 << one.bits
    elif one.kind == "integer" and number >= 1 << 31:
        number -= 1 << 32
    return code, number
