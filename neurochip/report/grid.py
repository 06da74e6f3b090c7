"""A table of texts that every format can write: columns with units, rows in groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from neurochip.report.table import Column, by_group, group_title


@dataclass(frozen=True)
class Head:
    """The head of a column: name, unit (or a second line), what a number of it means, and whether it holds words."""

    name: str
    unit: str = ""
    meaning: str = ""
    is_word: bool = False

    @property
    def text(self) -> str:
        """Name and unit in one line."""
        return f"{self.name} ({self.unit})" if self.unit else self.name


@dataclass(frozen=True)
class Group:
    """Rows under one title."""

    title: str
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Grid:
    """A table of texts; every row has one text per head."""

    heads: tuple[Head, ...]
    groups: tuple[Group, ...]


def grid_of(columns: Sequence[Column], report: Mapping[str, Any]) -> Grid:
    """A table of a report: the rule, and the columns of the console."""
    heads = (Head("rule", is_word=True), *(Head(*column.title, column.meaning) for column in columns))
    groups = tuple(
        Group(group_title(rows), tuple((row.rule, *(column.text(row) for column in columns)) for row in rows))
        for rows in by_group(report).values()
    )
    return Grid(heads, groups)
