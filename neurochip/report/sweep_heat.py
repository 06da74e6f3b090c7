"""Accuracy over pairs of keys as heat maps with the numbers in the cells."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

from neurochip.report.sweep_sentences import word
from neurochip.report.sweep_series import ordered_values, other_keys

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_KEYS = 3
MOST_CELLS = 1500
LEAST_FILLED = 0.5  # of the cells
COLOURS = "cividis"  # the same order of lightness for readers with any colour vision
LEAST_INCHES = 2.2
CELL_INCHES = (0.46, 0.27)
Key = Mapping[str, Any]


def heat_maps(summary: Mapping[str, Any]) -> Iterator[tuple[str, str, str, Figure]]:
    """Name, title, caption and picture of every pair of two or three keys that vary.

    A cell has the mean over the seeds; with a third key, the best over its values. A pair of which fewer than half of
    the cells have a setting has no picture.
    """
    keys = other_keys(summary, None)
    if not 2 <= len(keys) <= MOST_KEYS:
        return
    for place, pair in enumerate(combinations(keys, 2), 1):
        # The key with more values goes down: a page is higher than it is wide.
        down, across = sorted(pair, key=lambda key: -len(key["values"]))
        rows, columns = ordered_values(down), ordered_values(across)
        cells = cells_of(summary, down, across)
        filled = sum(value is not None for line in cells for value in line)
        n_cells = len(rows) * len(columns)
        if n_cells > MOST_CELLS or filled < LEAST_FILLED * n_cells:
            continue
        third = [key for key in keys if key not in pair]
        figure = _drawn(cells, down, across)
        title = f"Accuracy over {down['title']} and {across['title']}"
        caption = "Accuracy on the test split (%), mean over the seeds."
        if third:
            caption += f" Each cell: the best over {third[0]['title']}."
        if filled < n_cells:
            caption += " Grey: no result."
        yield f"heatmap-{place}" if place > 1 else "heatmap", title, caption, figure


def cells_of(summary: Mapping[str, Any], down: Key, across: Key) -> list[list[float | None]]:
    """Highest mean accuracy (%) of the settings in fixed point with each pair of values; None where there is none."""
    found: dict[tuple[str, str], float] = {}
    for setting in summary["settings"]:
        if setting["test"] and setting["arithmetic"] == "fixed":
            at = repr(setting["values"][down["key"]]), repr(setting["values"][across["key"]])
            found[at] = max(found.get(at, 0.0), 100 * setting["test"]["mean"])
    return [[found.get((repr(row), repr(column))) for column in ordered_values(across)] for row in ordered_values(down)]


def _drawn(cells: Sequence[Sequence[float | None]], down: Key, across: Key) -> Figure:
    import numpy as np
    from matplotlib.figure import Figure

    rows, columns = [word(value) for value in ordered_values(down)], [word(value) for value in ordered_values(across)]
    per_column = max(CELL_INCHES[0], 0.09 * max(len(text) for text in columns))
    width = max(5.4, 1.6 + per_column * len(columns))
    figure = Figure(figsize=(width, max(LEAST_INCHES, 1.0 + CELL_INCHES[1] * len(rows))), layout="constrained")
    axes = figure.subplots()
    values = np.array([[np.nan if cell is None else cell for cell in line] for line in cells], dtype=np.float64)
    axes.set_facecolor("#b9c0c7")
    mesh = axes.pcolormesh(np.ma.masked_invalid(values), cmap=COLOURS, edgecolors="#ffffff", linewidth=0.6)
    colours: Any = mesh.to_rgba(values)
    for y, line in enumerate(cells):
        for x, cell in enumerate(line):
            if cell is not None:
                red, green, blue, _ = colours[y, x]
                is_dark = 0.3 * red + 0.59 * green + 0.11 * blue < 0.5
                axes.text(
                    x + 0.5, y + 0.5, f"{cell:.1f}", ha="center", va="center", fontsize=8,
                    color="#fefefe" if is_dark else "#010101",  # beside the colours that a page replaces
                )  # fmt: skip
    axes.set_xticks([x + 0.5 for x in range(len(columns))], columns)
    axes.set_yticks([y + 0.5 for y in range(len(rows))], rows)
    axes.invert_yaxis()
    axes.set(xlabel=across["title"], ylabel=down["title"])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return figure
