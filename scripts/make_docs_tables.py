"""Write what docs/ has from code; `--check` writes nothing and exits with 1 if a page is out of date.

A page marks each part with `<!-- begin NAME: scripts/make_docs_tables.py -->` and `<!-- end NAME -->`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from docs_counted import counted_table, option_table
from docs_hardware import (
    chip_table,
    gate_table,
    memory_table,
    microarchitecture_table,
    symbol_table,
    t_star_table,
    table,
)
from docs_keys import key_tables

from neurochip.counters import COUNTERS, PHASE_WORK, STALLS

DOCS = Path(__file__).resolve().parent.parent / "docs"
BEGIN, END = "<!-- begin {name}: scripts/make_docs_tables.py -->", "<!-- end {name} -->"


def counter_table() -> str:
    """The counters, and what the widths of each are of."""
    rows = ((f"`{c.key}`", c.unit, c.meaning, " or ".join(map(_widths, c.widths))) for c in COUNTERS)
    return table(("counter", "unit", "one of it is", "widths"), rows)


def _widths(names: Iterable[str]) -> str:
    return f"({', '.join(names)})"


def stall_table() -> str:
    """The causes of stalls."""
    return table(("cause", "a clock in which"), ((f"`{cause}`", text) for cause, text in STALLS.items()))


def phase_table() -> str:
    """The phases, in the order they are reported."""
    return table(("phase", "work"), ((f"`{phase}`", text) for phase, text in PHASE_WORK.items()))


PAGES: Mapping[str, Mapping[str, Callable[[], str]]] = {
    "counting.md": {"phases": phase_table, "counters": counter_table, "stalls": stall_table},
    "experiment.md": {"keys": key_tables},
    "microarchitecture.md": {
        "symbols": symbol_table,
        "memories": memory_table,
        "gates": gate_table,
        "stalls": stall_table,
        "t-star": t_star_table,
        "counted": counted_table,
        "counted-with": option_table,
        "microarchitectures": microarchitecture_table,
        "chips": chip_table,
    },
}


def with_table(text: str, name: str, part: str) -> str:
    """Replace what stands between the two marks of a part; ValueError if a mark is missing."""
    begin, end = BEGIN.format(name=name), END.format(name=name)
    before, found_begin, rest = text.partition(begin)
    _, found_end, after = rest.partition(end)
    if not found_begin or not found_end:
        raise ValueError(f"the marks of table {name} are missing: {begin} … {end}")
    return f"{before}{begin}\n{part}\n{end}{after}"


def updated(name: str, text: str) -> str:
    """What a page should hold."""
    for part, made in PAGES[name].items():
        text = with_table(text, part, made())
    return text


def updated_pages(docs: Path = DOCS) -> dict[Path, str]:
    """What every page with generated parts should hold."""
    return {docs / name: updated(name, (docs / name).read_text(encoding="utf-8")) for name in PAGES}


def main(arguments: list[str]) -> int:
    stale = {page: text for page, text in updated_pages().items() if page.read_text(encoding="utf-8") != text}
    for page, text in stale.items():
        if "--check" in arguments:
            print(f"{page} is out of date: run scripts/make_docs_tables.py")
        else:
            page.write_text(text, encoding="utf-8")
            print(f"wrote {page}")
    return 1 if stale and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
