"""Write the tables of docs/ that come from code; `--check` writes nothing and exits with 1 if one is out of date."""

from __future__ import annotations

import sys
from pathlib import Path

from neurochip.counters import COUNTERS, STALLS

DOCS = Path(__file__).resolve().parent.parent / "docs"
BEGIN, END = "<!-- begin {name}: scripts/make_docs_tables.py -->", "<!-- end {name} -->"


def counter_table() -> str:
    """The counters as a Markdown table."""
    rows = [f"| `{counter.key}` | {counter.unit} | {counter.meaning} |" for counter in COUNTERS]
    return "\n".join(["| counter | unit | one of it is |", "|---|---|---|", *rows])


def stall_table() -> str:
    """The causes of stalls as a Markdown table."""
    return "\n".join(
        ["| cause | a clock in which |", "|---|---|", *(f"| `{c}` | {text} |" for c, text in STALLS.items())]
    )


def with_table(text: str, name: str, table: str) -> str:
    """Replace what stands between the two marks of a table; ValueError if a mark is missing."""
    begin, end = BEGIN.format(name=name), END.format(name=name)
    before, found_begin, rest = text.partition(begin)
    _, found_end, after = rest.partition(end)
    if not found_begin or not found_end:
        raise ValueError(f"the marks of table {name} are missing: {begin} … {end}")
    return f"{before}{begin}\n{table}\n{end}{after}"


def updated_pages(docs: Path = DOCS) -> dict[Path, str]:
    """What every page with generated tables should hold."""
    page = docs / "counting.md"
    text = with_table(page.read_text(encoding="utf-8"), "counters", counter_table())
    return {page: with_table(text, "stalls", stall_table())}


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
