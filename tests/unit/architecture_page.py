"""docs/microarchitecture.md, read: the counters that the section of a phase names, and the widths it states."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import product
from math import prod

from neurochip.counters import COUNTER_KEYS

SECTIONS = {  # by phase
    "deliver": "## 3. Deliver",
    "fire": "## 4. Fire",
    "trace": "## 5. Trace",
    "error": "## 6. Error",
    "update": "## 7. Update",
    "apply": "## 8. Apply",
    "standardise": "### 8.1 Standardise",
    "history": "## 9. History",
}
ALIASES = {f"m_{access}": [f"{memory}_{access}" for memory in ("synapse", "gradient")] for access in ("read", "write")}
Values = Mapping[str, tuple[int, ...]]  # what a symbol of the page may stand for


def rows_of(text: str) -> Iterator[list[str]]:
    """The cells of the rows of all Markdown tables, heads included."""
    for line in text.splitlines():
        if line.startswith("|") and not line.startswith("|---"):
            yield [cell.strip() for cell in line.strip("|").split(" | ")]


def section(page: str, title: str) -> str:
    """From a title to the next of any level."""
    _, found, rest = page.partition(f"\n{title}\n")
    assert found, title
    return re.split(r"\n##+ ", rest)[0]


def count_rows(page: str, phase: str) -> Iterator[tuple[set[str], str]]:
    """The counters and the cell of widths of every row of the tables of counts of a phase."""
    for table in re.findall(r"\| count \|.*\n\|---.*\n((?:\|.*\n)+)", section(page, SECTIONS[phase]) + "\n"):
        for cells in rows_of(table):
            words = [key for word in re.findall(r"`(\w+)`", cells[0]) for key in ALIASES.get(word, [word])]
            yield set(words) & set(COUNTER_KEYS), cells[2]


def named_in(page: str, phase: str) -> set[str]:
    """The counters that the section of a phase names."""
    return {key for keys, _ in count_rows(page, phase) for key in keys}


def widths_in(page: str, phase: str, key: str, values: Values, words: Values) -> set[tuple[int, ...]]:
    """The widths that the rows of a counter state: those of words by name, of operands as sums of products."""
    found: set[tuple[int, ...]] = set()
    for cell in (cell for keys, cell in count_rows(page, phase) if key in keys):
        named = [name for name in sorted(words, key=len, reverse=True) if cell.startswith(name)]
        found.update((bits,) for name in named[:1] for bits in words[name])
        for operands in re.findall(r"\(([^()]+)\)", re.sub(r"readout: z", "", cell)):
            found |= _evaluated(operands, values)
    return found


def _evaluated(operands: str, values: Values) -> set[tuple[int, ...]]:
    """The tuples for all that its symbols may stand for; none where one is not known."""
    symbols = [name for name in values if re.search(rf"(?<![\w.]){re.escape(name)}(?![\w.])", operands)]
    results = set()
    for chosen in product(*(values[name] for name in symbols)):
        text = operands
        for name, number in zip(symbols, chosen, strict=True):
            text = re.sub(rf"(?<![\w.]){re.escape(name)}(?![\w.])", str(number), text)
        if re.fullmatch(r"[\d+·, ]+", text):
            results.add(tuple(_sum(part) for part in text.split(",")))
    return results


def _sum(text: str) -> int:
    return sum(prod(map(int, term.split("·"))) for term in text.split("+"))
