"""The pictures of a map: ratios to BPTT as heat maps, and the ratio over T for every value of the other axes."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from neurochip.report.map_grid import Grid, grid_of
from neurochip.report.map_lines import NAMES, STEPS, family, fixed_sheets, pairs, side, title, value_text
from neurochip.report.plots import SETTINGS, svg_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_LOG2 = 2.0  # colours end at a factor of 4
COLOURS = "PuOr"  # purple: BPTT is cheaper; orange: the other rule. Readers with any colour vision tell them apart.
DOTS_PER_INCH, PALETTE = 100, 96
LEGEND_INCHES = 0.75  # above the panels, so that no legend covers a curve
PLOTTED_MOVES = ("energy_pj", "memory_bits")
Document = Mapping[str, Any]
Line = tuple[list[float], list[float]]


def map_pictures(document: Document) -> dict[str, bytes]:
    """File name -> content: map.svg and map.png; moves.svg and moves.png where steps stand against other axes."""
    import matplotlib as mpl

    pictures: dict[str, bytes] = {}
    with mpl.rc_context({**SETTINGS, "font.size": 8}):
        drawn = [("map", _heat_maps(document, 0, "")), ("moves", _moves(document))]
        drawn += [
            (f"map-{n}", _heat_maps(document, sheet, held)) for n, (sheet, held) in enumerate(fixed_sheets(document), 2)
        ]
        for name, figure in drawn:
            if figure is not None:
                title = f"{document['name']}: cost of rules over that of BPTT"
                pictures[f"{name}.svg"] = svg_of(figure, name, title).encode()
                stream = io.BytesIO()
                figure.savefig(stream, format="png", dpi=DOTS_PER_INCH)
                pictures[f"{name}.png"] = _few_colours(stream)
    return pictures


def _few_colours(png: io.BytesIO) -> bytes:
    """The same picture in a palette, a quarter of the bytes."""
    from PIL import Image

    small = io.BytesIO()
    Image.open(png).convert("RGB").quantize(PALETTE).save(small, format="png", optimize=True)
    return small.getvalue()


def _heat_maps(document: Document, sheet: int, held: str) -> Figure | None:
    """A row of panels per pair of rules, a column per metric."""
    from matplotlib.figure import Figure

    compared, metrics = pairs(document), list(document["metrics"])
    if not compared:
        return None
    first = grid_of(document, metrics[0], compared[0][0], sheet)
    columns = 2 if len(first.columns) > 6 else len(metrics)
    rows = len(compared) * -(-len(metrics) // columns)
    width = 1.0 + columns * max(1.6, 0.42 * len(first.columns))
    figure = Figure(figsize=(width, 0.65 + rows * (0.75 + 0.24 * len(first.rows))), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    places = [(rule, base, metric) for rule, base in compared for metric in metrics]
    for axes, (rule, base, metric) in zip(panels, places, strict=False):
        _heat_map(axes, grid_of(document, metric, rule, sheet))
        axes.set_title(f"{NAMES[metric]}: {rule} over {base}", fontsize=9)
    for axes in panels[len(places) :]:
        axes.set_axis_off()
    rule, base = map(family, compared[0])
    figure.suptitle(
        f"{', '.join(filter(None, (document['name'], held)))}. Below 1 (orange): {rule} cheaper. Above 1 (purple): "
        f"{base} cheaper.\nWhite: equal within 2 %. Line: border between the three. Grey: a rule does not fit.",
        fontsize=9,
    )
    return figure


def _heat_map(axes: Axes, grid: Grid) -> None:
    import numpy as np

    shown = [[np.nan if r is None else r if side(r) else 1.0 for r in row] for row in grid.ratios]  # equal: white
    log2 = np.log2(np.array(shown, dtype=np.float64))
    axes.set_facecolor("#dddddd")
    axes.imshow(-log2, cmap=COLOURS + "_r", vmin=-MOST_LOG2, vmax=MOST_LOG2, aspect="auto", origin="lower")
    for y, row in enumerate(grid.ratios):
        for x, ratio in enumerate(row):
            dark = ratio is not None and abs(log2[y, x]) > 0.6 * MOST_LOG2
            axes.text(
                x, y, "none" if ratio is None else f"{ratio:.2f}", ha="center", va="center", fontsize=6.5,
                color="white" if dark else "black",
            )  # fmt: skip
    _draw_border(axes, grid)
    axes.set_xticks(range(len(grid.columns)), grid.columns)
    axes.set_yticks(range(len(grid.rows)), grid.rows)
    axes.set(xlabel=grid.across, ylabel=grid.down)
    axes.tick_params(length=0)


def _draw_border(axes: Axes, grid: Grid) -> None:
    """A thick line around what is cheaper, dearer, and equal."""
    for xs, ys in border_lines(grid.ratios):
        axes.plot(xs, ys, color="black", linewidth=2.2, solid_capstyle="projecting")


def border_lines(ratios: Sequence[Sequence[float | None]]) -> list[Line]:
    """The edges between neighbours on different sides as `side` says, [x, x], [y, y]; cell [y][x] is around (x, y)."""
    sides = [[side(ratio) for ratio in row] for row in ratios]
    found: list[Line] = []
    for y, row in enumerate(sides):
        for x, here in enumerate(row):
            right = row[x + 1] if x + 1 < len(row) else None
            above = sides[y + 1][x] if y + 1 < len(sides) else None
            if None not in (here, right) and here != right:
                found.append(([x + 0.5, x + 0.5], [y - 0.5, y + 0.5]))
            if None not in (here, above) and here != above:
                found.append(([x - 0.5, x + 0.5], [y + 0.5, y + 0.5]))
    return found


def _moves(document: Document) -> Figure | None:
    """The ratio over T: a row per pair and metric, a column per axis, a line per value."""
    from matplotlib.figure import Figure

    labels = {axis["key"]: axis["label"] for axis in document["axes"]}
    keys = list(dict.fromkeys(title(row, labels) for row in document["moves"]))
    compared = pairs(document)
    if not keys or not compared:
        return None
    rows = [(rule, base, metric) for metric in PLOTTED_MOVES for rule, base in compared]
    figure = Figure(figsize=(1 + 2.1 * len(keys), 0.6 + LEGEND_INCHES + 1.75 * len(rows)), layout="constrained")
    legends, *panels = figure.subplots(
        1 + len(rows), len(keys), squeeze=False, sharex=True, sharey="row",
        height_ratios=[LEGEND_INCHES, *[1.75] * len(rows)],
    )  # fmt: skip
    steps = next(axis for axis in document["axes"] if axis["key"] == STEPS)["values"]
    for line, (rule, base, metric) in zip(panels, rows, strict=True):
        line[0].set_ylabel(f"{NAMES[metric]}\n{rule} over {base}")
        for axes, key in zip(line, keys, strict=True):
            found = [
                row for row in document["moves"]
                if title(row, labels) == key and row["rule"] == rule and row["metric"] == metric
            ]  # fmt: skip
            _lines(axes, steps, found)
    for axes, of_lines, key in zip(panels[0], legends, keys, strict=True):
        of_lines.set_axis_off()
        of_lines.set_title(key, fontsize=9)
        of_lines.legend(*axes.get_legend_handles_labels(), fontsize=6.5, frameon=False, loc="upper center", ncols=2)
    for axes in panels[-1]:
        axes.set_xlabel("steps T")
    figure.suptitle(f"{document['name']}: ratio to BPTT over T. Below the line at 1 BPTT is dearer.", fontsize=9)
    return figure


def _lines(axes: Axes, steps: Sequence[float], rows: Sequence[Mapping[str, Any]]) -> None:
    from matplotlib import colormaps
    from matplotlib.ticker import FuncFormatter, NullFormatter

    shades = colormaps["viridis"]
    for index, row in enumerate(rows):
        ratios = [float("nan") if ratio is None else ratio for ratio in row["ratios"]]
        colour = shades(0.92 * index / max(1, len(rows) - 1))
        axes.plot(steps, ratios, marker="o", markersize=2.5, linewidth=1, color=colour, label=value_text(row["value"]))
    axes.axhline(1.0, color="black", linewidth=0.8)
    axes.set(xscale="log", yscale="log")
    axes.set_yticks([0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0])
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
    axes.grid(alpha=0.3)
