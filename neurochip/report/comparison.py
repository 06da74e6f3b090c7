"""Several runs side by side in every format: the records of `neurochip.runs_compared` as texts."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING

from neurochip.report import latex, markdown
from neurochip.report.comparison_page import comparison_html
from neurochip.report.comparison_tables import TITLE, Comparison, comparison_grid, header, sentences, settings_grid
from neurochip.report.console import Line, blocks, print_line, prose
from neurochip.report.csv_format import csv_text
from neurochip.report.grid import Grid
from neurochip.report.json_file import report_json
from neurochip.report.text_format import FILE_WIDTH

if TYPE_CHECKING:
    from rich.console import Console

LONGEST = 40  # letters of a setting on the console


def print_comparison(comparison: Comparison, console: Console) -> None:
    """Print the runs, the numbers, the settings that differ, and the notes; what does not fit is continued below."""
    width = console.width
    lines: list[Line] = [(TITLE, "bold")]
    for label, text in header(comparison):
        lines += prose(f"{label}: {text}", "", width, 2)
    lines += _table(comparison_grid(comparison), width)
    if comparison["differs"]:
        lines += _table(settings_grid(comparison), width)
    lines.append(("", ""))
    for sentence in sentences(comparison):
        lines += prose(sentence, "dim", width, 2)
    for text, style in lines:
        print_line(text, style, console)


def _table(grid: Grid, width: int) -> Iterator[Line]:
    """Lines of a table, in blocks of columns; closer columns rather than one more block."""
    first, *columns = _columns(grid)
    wide, narrow = blocks(first, columns, "  ", width), blocks(first, columns, " ", width)
    for block in narrow if len(narrow) < len(wide) else wide:
        yield from [("", ""), (block[0], "bold")]
        yield from [(block[1], "bold")] * bool(block[1].strip())
        body = iter(block[2:])
        for group in grid.groups:
            yield from [(group.title, "dim")] * bool(group.title)
            yield from ((next(body), "") for _ in group.rows)


def _columns(grid: Grid) -> list[list[str]]:
    """Name, unit and texts of every column."""
    rows = [row for group in grid.groups for row in group.rows]
    return [[head.name, head.unit, *(_cut(row[place]) for row in rows)] for place, head in enumerate(grid.heads)]


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def comparison_text(comparison: Comparison) -> str:
    """What `print_comparison` prints, for a file."""
    from rich.console import Console

    written = io.StringIO()
    print_comparison(comparison, Console(file=written, width=FILE_WIDTH))
    return written.getvalue()


def comparison_json(comparison: Comparison) -> str:
    """The records as they are."""
    return report_json(comparison)


def comparison_csv(comparison: Comparison) -> str:
    """One row per run and rule, units in the names of the columns."""
    return csv_text(comparison["rows"])


def comparison_markdown(comparison: Comparison) -> str:
    """The runs, the tables and the notes."""
    lines = [f"# {TITLE}", ""]
    lines += [f"- {markdown.escaped(label)}: {markdown.escaped(text)}" for label, text in header(comparison)]
    lines += ["", *markdown.table_lines(comparison_grid(comparison), group="rule"), ""]
    if comparison["differs"]:
        lines += [*markdown.table_lines(settings_grid(comparison), group=""), ""]
    lines += [f"- {markdown.escaped(sentence)}" for sentence in sentences(comparison)]
    return "\n".join(lines) + "\n"


def comparison_latex(comparison: Comparison) -> str:
    """The tables; the sentences are the caption."""
    grids = [comparison_grid(comparison), *([settings_grid(comparison)] if comparison["differs"] else [])]
    caption = " ".join([f"{TITLE}.", *sentences(comparison)])
    return latex.table_text(grids, caption, TITLE, [one["run"] for one in comparison["runs"]])


__all__ = [
    "comparison_csv",
    "comparison_html",
    "comparison_json",
    "comparison_latex",
    "comparison_markdown",
    "comparison_text",
    "print_comparison",
]
