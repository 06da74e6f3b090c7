"""The report on a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from neurochip.report.sentences import header, verdict
from neurochip.report.table import HEADLINE, Column, RuleResults, background, by_group, group_title

if TYPE_CHECKING:
    from rich.console import Console

GAP = "  "
PLAIN = {"µ": "u", "×": "x", "–": "-"}
Line = tuple[str, str]  # text and style
TITLE_STYLE, GROUP_STYLE, RULE_STYLE = "bold", "dim", ""


def print_report(report: Mapping[str, Any], console: Console) -> None:
    """Print the header, the headline table, what its energies rest on, the verdict and the notes.

    A table wider than the console is continued below, with the rules repeated; 100 columns hold the headline table.
    """
    groups = by_group(report)
    lines: list[Line] = [(report["name"], TITLE_STYLE)]
    lines += [(f"{label:9}{text}", "") for label, text in header(report)]
    for columns in (HEADLINE, background(report)):
        lines += [("", ""), *_table(columns, groups, console.width)]
    said = verdict(report)
    lines += [("", ""), *((sentence, TITLE_STYLE) for sentence in said)] if said else []
    lines += [("", ""), *((f"Note: {note}", "dim") for note in report["notes"])] if report["notes"] else []
    for text, style in lines:
        _print_line(text, style, console)


def _print_line(text: str, style: str, console: Console) -> None:
    from rich.text import Text

    try:
        text.encode(console.encoding)
    except UnicodeEncodeError:
        for letter, plain in PLAIN.items():
            text = text.replace(letter, plain)
        text = text.encode(console.encoding, "replace").decode(console.encoding)
    console.print(Text(text, style=style), highlight=False)


def _table(columns: Sequence[Column], groups: Mapping[str, list[RuleResults]], width: int) -> Iterator[Line]:
    """Yield the lines of one table; every block of columns that fits the width starts with the rules."""
    rules = ["", "rule", *(results.rule for rows in groups.values() for results in rows)]
    texts = [[*column.title, *(column.text(row) for rows in groups.values() for row in rows)] for column in columns]
    for block in _blocks(texts, max(map(len, rules)), width):
        lines = [_row(cells) for cells in zip(_left(rules), *map(_right, block), strict=True)]
        yield from ((line, TITLE_STYLE) for line in lines[:2])
        body = iter(lines[2:])
        for rows in groups.values():
            yield group_title(rows), GROUP_STYLE
            yield from ((next(body), RULE_STYLE) for _ in rows)


def _blocks(texts: list[list[str]], first: int, width: int) -> Iterator[list[list[str]]]:
    """Cut columns into blocks that fit the width beside a first column of `first` letters."""
    block: list[list[str]] = []
    used = first
    for column in texts:
        needed = len(GAP) + max(map(len, column))
        if block and used + needed > width:
            yield block
            block, used = [], first
        block.append(column)
        used += needed
    yield block


def _left(cells: list[str]) -> list[str]:
    width = max(map(len, cells))
    return [cell.ljust(width) for cell in cells]


def _right(cells: list[str]) -> list[str]:
    width = max(map(len, cells))
    return [cell.rjust(width) for cell in cells]


def _row(cells: Sequence[str]) -> str:
    return GAP.join(cells).rstrip()
