"""A map as grids of ratios: rows and columns of the first sheet, for the console and for the plot."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

from neurochip.report.map_lines import ratio_at, value_text

MOST_ROWS = 24


@dataclass(frozen=True)
class Grid:
    """Ratios of a rule to its BPTT.

    Attributes:
        columns, rows: texts of the values of the first axis and of the others; what they are: `across`, `down`.
        ratios: [row][column]; None where one of the two cannot run.
        left_out: rows beyond MOST_ROWS.
    """

    across: str
    down: str
    columns: tuple[str, ...]
    rows: tuple[str, ...]
    ratios: tuple[tuple[float | None, ...], ...]
    left_out: int = 0

    @property
    def collapsed(self) -> Grid:
        """One row where all rows are the same."""
        if len(self.rows) < 2 or len(set(self.ratios)) > 1:
            return self
        return Grid(self.across, self.down, self.columns, ("all",), self.ratios[:1])


def grid_of(document: Mapping[str, Any], metric: str, rule: str, sheet: int = 0) -> Grid:
    """The grid of a sheet; a sheet of more than two axes has a row for each combination of the others."""
    axes = {axis["key"]: axis for axis in document["axes"]}
    first, *others = document["sheets"][sheet].items()
    points = {json.dumps(point["settings"], sort_keys=True): point for point in document["points"]}
    combinations = list(product(*(values for _, values in others)))
    varied = [len(values) > 1 for _, values in others]
    rows, texts = [], []
    for values in combinations[:MOST_ROWS]:
        settings = {**document["base"], **{key: value for (key, _), value in zip(others, values, strict=True)}}
        names = [json.dumps({**settings, first[0]: value}, sort_keys=True) for value in first[1]]
        rows.append(tuple(ratio_at(points[name], metric, rule) for name in names))
        texts.append(", ".join(value_text(value) for value, shown in zip(values, varied, strict=True) if shown))
    return Grid(
        axes[first[0]]["label"],
        ", ".join(axes[key]["label"] for (key, _), shown in zip(others, varied, strict=True) if shown),
        tuple(map(value_text, first[1])),
        tuple(texts),
        tuple(rows),
        max(0, len(combinations) - MOST_ROWS),
    )
