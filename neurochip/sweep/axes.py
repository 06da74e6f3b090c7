"""What a sweep varies: keys of an experiment and their values, and how a value is put into an experiment."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from neurochip.config import Experiment, parse_experiment, toml_value
from neurochip.errors import UserError

SEED = "run.seed"
NOT_AXES = ("run.name", "run.rules", "run.tune")
EXAMPLE = "--sweep precision.weight.bits=2:16"
MOST_VALUES = 100_000
Settings = dict[str, Any]


@dataclass(frozen=True)
class SweepAxis:
    """A key of the experiment and its values, in order."""

    key: str
    values: tuple[Any, ...]


def parse_sweep(text: str) -> SweepAxis:
    """Read KEY=V1,V2,...; a value is TOML, a bare word is a string, and A:B or A:B:STEP is a range with both ends.

    Raises:
        UserError: no such form, a key that cannot be varied, a value that is missing or stands there twice.
    """
    key, equals, listed = (part.strip() for part in text.partition("="))
    if not equals or not key:
        raise UserError(f"--sweep {text!r} is not KEY=V1,V2,... or KEY=A:B, for example {EXAMPLE}")
    if "." not in key or key in NOT_AXES:
        raise UserError(
            f"--sweep {key}: cannot be varied; allowed are keys TABLE.KEY of an experiment other than "
            f"{', '.join(NOT_AXES)}"
        )
    words = _words(listed)
    if not all(words):
        raise UserError(f"--sweep {text}: a value is missing; give one or more, for example {EXAMPLE}")
    values: list[Any] = []
    for word in words:
        for value in _values(key, word):
            if any(value == other and isinstance(value, bool) is isinstance(other, bool) for other in values):
                raise UserError(f"--sweep {key}: the value {word} stands there twice; allowed is every value once")
            values.append(value)
    return SweepAxis(key, tuple(values))


def _words(listed: str) -> list[str]:
    """The parts between commas, but not those inside brackets, braces or quotes."""
    parts, depth, quote = [""], 0, ""
    for letter in listed:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'":
            quote = letter
        depth += (letter in "[{") - (letter in "]}") if not quote else 0
        if letter == "," and depth == 0 and not quote:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts]


def _values(key: str, word: str) -> list[Any]:
    match = re.fullmatch(r"(-?\d+):(-?\d+)(?::(\d+))?", word)
    if match is None:
        return [toml_value(word)]
    first, last, step = int(match[1]), int(match[2]), int(match[3] or 1)
    if first > last or step < 1 or (last - first) // step >= MOST_VALUES:
        raise UserError(
            f"--sweep {key}: {word} is no range; allowed is A:B or A:B:STEP with A up to B, STEP from 1 and at most "
            f"{MOST_VALUES:,} values"
        )
    return list(range(first, last + 1, step))


def with_settings(base: Experiment, settings: Mapping[str, Any], source: str = "--sweep") -> Experiment:
    """The experiment with other values of some keys; a number in a key counts the entries of a list from 0.

    A key whose value is None is as if it was not there.

    Raises:
        UserError: an unknown key or a value that is not allowed, or values that do not agree.
    """
    tables = base.to_tables()
    for key, value in settings.items():
        _set(tables, key, copy.deepcopy(value))
    return parse_experiment(tables, source)


def _set(tables: dict[str, Any], key: str, value: Any) -> None:
    *path, last = key.split(".")
    table: Any = tables
    for part in path:
        table = table[_index(table, key, part)] if isinstance(table, list) else table.setdefault(part, {})
        if not isinstance(table, dict | list):
            raise UserError(f"--sweep {key}: {part} holds {table!r}, not a table")
    if value is None and isinstance(table, dict):
        table.pop(last, None)
    else:
        table[_index(table, key, last) if isinstance(table, list) else last] = value


def _index(entries: list[Any], key: str, part: str) -> int:
    if not part.isdecimal() or int(part) >= len(entries):
        raise UserError(f"--sweep {key}: {part} is not allowed; allowed are entries from 0 to {len(entries) - 1}")
    return int(part)


def value_of(experiment: Experiment, key: str) -> Any:
    """The value of a key in an experiment; None where it is unset."""
    found: Any = experiment.to_tables()
    for part in key.split("."):
        if isinstance(found, list):
            found = found[_index(found, key, part)]
        elif isinstance(found, dict):
            found = found.get(part)
        else:
            return None
    return found


def check_axis(base: Experiment, axis: SweepAxis) -> None:
    """Refuse an axis of which no value can stand alone in the base experiment.

    Raises:
        UserError: what is wrong with its first value.
    """
    first: UserError | None = None
    for value in axis.values:
        try:
            with_settings(base, {axis.key: value}, f"--sweep {axis.key}")
        except UserError as error:
            first = first or error
        else:
            return
    if first is not None:
        raise first
