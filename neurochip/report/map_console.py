"""A map on a terminal: who is cheapest how often, grids of ratios to BPTT, borders in T and what moves them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from neurochip.report.console import LABEL_WIDTH, Line, print_line, prose
from neurochip.report.map_grid import Grid, grid_of
from neurochip.report.map_lines import (
    NAMES,
    family,
    fixed_sheets,
    move_rows,
    pairs,
    ratio_lines,
    value_text,
    winner_lines,
)

if TYPE_CHECKING:
    from rich.console import Console

NO_FIT = "x"


def print_map(document: Mapping[str, Any], console: Console) -> None:
    """Print who is cheapest how often, grids of ratios, the borders in T, and the notes."""
    width = console.width
    n_points = len(document["points"])
    print_line(f"{document['name']}: a map of {n_points} point{'s' if n_points != 1 else ''}", "bold", console)
    for label, text in _header(document):
        for line, style in prose(f"{label:{LABEL_WIDTH}}{text}", "", width, LABEL_WIDTH):
            print_line(line, style, console)
    _print_sentences(winner_lines(document), "bold", console)
    _print_sentences(ratio_lines(document), "", console)
    for rule, base in pairs(document):
        head = (
            f"{rule} over {base}: below 1 {family(rule)} is cheaper, above 1 {family(base)}; {NO_FIT}: one of the two "
            "does not fit"
        )
        _print([("", ""), *prose(head, "bold", width, 2)], console)
        for metric in document["metrics"]:
            _print(_grid_lines(grid_of(document, metric, rule).collapsed, NAMES[metric]), console)
        for sheet, what in fixed_sheets(document):
            grid = grid_of(document, "energy_pj", rule, sheet).collapsed
            _print(_grid_lines(grid, f"{NAMES['energy_pj']}, {what}"), console)
    for rule, base in pairs(document):
        rows = move_rows(document, rule)
        if len(rows) > 1:
            _print([("", ""), (f"Borders in T, {rule} against {base}", "bold")], console)
            _print(prose(_legend(family(rule), family(base)), "dim", width, 2), console)
            _print(_blocks(rows, width), console)
    _print_sentences([f"Note: {note}" for note in document["notes"]], "dim", console)


def _legend(rule: str, base: str) -> str:
    """How to read the table of borders."""
    return (
        f'"{rule} 2.0 {base} (1.7)" is to say: {rule} is cheaper up to T = 2.0, {base} above it, and the ratio '
        f'farthest from 1 is 1.7. "=": equal within 2 %. "{NO_FIT}": one of the two does not fit. A name alone: '
        "cheaper at every T."
    )


def _print_sentences(sentences: Sequence[str], style: str, console: Console) -> None:
    """Sentences after an empty line; nothing if there are none."""
    _print([("", "")] if sentences else [], console)
    for sentence in sentences:
        _print(prose(sentence, style, console.width, 2), console)


def _print(lines: Iterable[Line], console: Console) -> None:
    for text, style in lines:
        print_line(text, style, console)


def _header(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    chip = document["chip"]
    labels = {axis["key"]: axis["label"] for axis in document["axes"]}
    base = ", ".join(f"{labels.get(key, key)} {value_text(value)}" for key, value in document["base"].items())
    lines = [
        (
            "chip",
            f"{chip['name']} ({chip['microarchitecture']}, {chip['technology']}), {chip['clock_mhz']:g} MHz, "
            f"{chip['voltage_v']:g} V",
        ),
        ("rules", ", ".join(rule["name"] for rule in document["rules"])),
        *(("axis", f"{axis['label']}: {', '.join(map(value_text, axis['values']))}") for axis in document["axes"]),
    ]
    return [*lines, ("base", f"{base}; steps against every other axis, all else as in the base")] if base else lines


def _grid_lines(grid: Grid, name: str) -> Iterator[Line]:
    """The lines of one grid: the name of the metric, the first axis across, the others down."""
    across = f"{name}: {grid.across} across" + (f", {grid.down} down" if grid.down else "")
    yield from [("", ""), (across, "dim")]
    cells = [[NO_FIT if ratio is None else f"{ratio:.2f}" for ratio in row] for row in grid.ratios]
    rows = [["", *grid.columns], *([label, *row] for label, row in zip(grid.rows, cells, strict=True))]
    yield from ((line, "") for line in _aligned(rows, str.rjust))
    if grid.left_out:
        yield f"{grid.left_out} more rows: --json and --out have them", "dim"


def _blocks(rows: Sequence[Sequence[str]], width: int) -> Iterator[Line]:
    """A table whose first two columns are labels; columns that do not fit the width follow below, labels repeated."""
    labels, columns = list(zip(*rows, strict=True))[:2], list(zip(*rows, strict=True))[2:]
    while columns:
        fitting = [n for n in range(1, len(columns) + 1) if _width([*labels, *columns[:n]]) <= width]
        taken = max(fitting, default=1)
        block = [*labels, *columns[:taken]]
        yield from ((line, "") for line in _aligned(list(zip(*block, strict=True)), str.ljust))
        columns = columns[taken:]


def _width(columns: Sequence[Sequence[str]]) -> int:
    return sum(max(map(len, column)) + 2 for column in columns) - 2


def _aligned(rows: Sequence[Sequence[str]], justify: Callable[[str, int], str]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(justify, row, widths)).rstrip() for row in rows]
