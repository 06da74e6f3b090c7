"""The headline of a report in Markdown (CommonMark with the tables of GitHub)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from neurochip.report.diagnosis import limits
from neurochip.report.grid import Grid, grid_of
from neurochip.report.sentences import header, verdict
from neurochip.report.stream import stream_tables
from neurochip.report.table import tables

SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~!$&])")
MARKER = re.compile(r"^(\d*)([.)+=-])(?= |$)")  # a list, or the line under a heading, would begin here


def report_markdown(report: Mapping[str, Any]) -> str:
    """Name, what was run on which chip, the verdict, all tables of the console, and the notes."""
    lines = [f"# {escaped(report['name'])}", ""]
    lines += [f"- {label}: {escaped(text)}" for label, text in header(report)]
    for sentence in [*verdict(report), *limits(report)]:
        lines += ["", escaped(sentence)]
    headline, *others = tables(report)
    for columns in [headline, *stream_tables(report), *others]:
        lines += ["", *table_lines(grid_of(columns, report))]
    if report["notes"]:
        lines += ["", *(f"- {escaped(note)}" for note in report["notes"])]
    return "\n".join(lines) + "\n"


def escaped(text: str) -> str:
    """A text that shows as it is: one line, nothing of it markup."""
    line = SPECIAL.sub(r"\\\1", " ".join(text.split()))
    return MARKER.sub(r"\1\\\2", line)


def table_lines(grid: Grid, group: str = "group") -> Iterator[str]:
    """Lines of one table; the groups stand in a first column with this head, and nowhere without one."""
    yield _row([*_cells(group), *(escaped(head.text) for head in grid.heads)])
    yield _row([*(["---"] * bool(group)), *("---" if head.is_word else "---:" for head in grid.heads)])
    for one in grid.groups:
        for row in one.rows:
            yield _row([*(_cells(one.title) if group else []), *map(escaped, row)])


def _cells(title: str) -> list[str]:
    return [escaped(title)] if title else []


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
