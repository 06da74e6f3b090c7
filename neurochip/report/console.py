"""The report on a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from neurochip.printable import printable
from neurochip.report.diagnosis import advised, healthy, on_console
from neurochip.report.sentences import header, verdict, where_more_is
from neurochip.report.stream import stream_tables
from neurochip.report.table import Column, RuleResults, by_group, group_title, tables

if TYPE_CHECKING:
    from rich.console import Console

PLAIN = {"µ": "u", "×": "x", "–": "-", "·": "*", "±": "+-", "²": "2"}
Line = tuple[str, str]  # text and style
LABEL_WIDTH = 9


def print_report(report: Mapping[str, Any], console: Console) -> None:
    """Print the header, the headline table and the verdict, then the other tables and the notes.

    A table wider than the console is continued below, with the rules repeated; 100 columns hold the headline table.
    """
    groups = by_group(report)
    width = console.width
    lines: list[Line] = [(report["name"], "bold")]
    for label, text in header(report):
        lines += prose(f"{label:{LABEL_WIDTH}}{text}", "", width, LABEL_WIDTH)
    headline, *others = tables(report)
    lines += table_lines(headline, groups, width)
    said = [*_sentences(verdict(report), "bold", width), *_limits(report, width)]
    lines += [("", ""), *said] if said else []
    for columns in [*stream_tables(report), *others]:
        lines += table_lines(columns, groups, width)
    notes = [*where_more_is(report), *(f"Note: {note}" for note in report["notes"])]
    lines += [("", ""), *_sentences(notes, "dim", width)] if notes else []
    for text, style in lines:
        print_line(text, style, console)


def _sentences(sentences: Sequence[str], style: str, width: int) -> list[Line]:
    return [line for sentence in sentences for line in prose(sentence, style, width, 2)]


def _limits(report: Mapping[str, Any], width: int) -> Iterator[Line]:
    """What limits accuracy; options to type stay on one line, however long, so that they can be copied."""
    for rule, diagnosis in advised(report).items():
        said, options = on_console(rule, diagnosis)
        yield from [*prose(said, "bold", width, 2), (f"  {options}", "bold")]
    yield from _sentences(healthy(report), "bold", width)


def prose(text: str, style: str, width: int, indent: int) -> list[Line]:
    """Break a sentence into lines; all but the first are indented."""
    wrapped = textwrap.wrap(text, max(width, indent + 20), subsequent_indent=" " * indent, break_on_hyphens=False)
    return [(line, style) for line in wrapped]


def print_line(text: str, style: str, console: Console) -> None:
    """Print a line as it is laid out, never broken; what a terminal would obey is escaped."""
    from rich.text import Text

    text = printable(text)
    try:
        text.encode(console.encoding)
    except UnicodeEncodeError:
        for letter, plain in PLAIN.items():
            text = text.replace(letter, plain)
        text = text.encode(console.encoding, "replace").decode(console.encoding)
    console.print(Text(text, style=style), highlight=False, soft_wrap=True)


def table_lines(columns: Sequence[Column], groups: Mapping[str, list[RuleResults]], width: int) -> Iterator[Line]:
    """Yield the lines of one table; every block of columns that fits the width starts with the rules."""
    rules = ["", "rule", *(results.rule for rows in groups.values() for results in rows)]
    texts = [[*column.title, *(column.text(row) for rows in groups.values() for row in rows)] for column in columns]
    # Closer columns rather than one more block.
    wide, narrow = blocks(rules, texts, "  ", width), blocks(rules, texts, " ", width)
    for lines in narrow if len(narrow) < len(wide) else wide:
        yield from [("", ""), (lines[0], "bold"), (lines[1], "bold")]
        body = iter(lines[2:])
        for rows in groups.values():
            yield group_title(rows), "dim"
            yield from ((next(body), "") for _ in rows)


def blocks(first: list[str], columns: list[list[str]], gap: str, width: int) -> list[list[str]]:
    """Lay columns out beside the first; where the width is used up, a new block begins with the first again."""
    start = _aligned(first, str.ljust)
    blocks = [start]
    for column in columns:
        cells = _aligned(column, str.rjust)
        if blocks[-1] is not start and len(blocks[-1][0]) + len(gap) + len(cells[0]) > width:
            blocks.append(start)
        blocks[-1] = [line + gap + cell for line, cell in zip(blocks[-1], cells, strict=True)]
    return blocks


def _aligned(cells: list[str], justify: Callable[[str, int], str]) -> list[str]:
    width = max(map(len, cells))
    return [justify(cell, width) for cell in cells]
