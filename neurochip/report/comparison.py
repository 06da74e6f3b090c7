"""Several runs side by side in every format: the records of `neurochip.runs_compared` as a grid of texts."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from neurochip.report import latex, markdown
from neurochip.report.console import Line, blocks, print_line, prose
from neurochip.report.csv_format import cell, csv_text
from neurochip.report.grid import Grid, Group, Head
from neurochip.report.json_file import report_json
from neurochip.report.page import render
from neurochip.report.table import NOTHING, number
from neurochip.report.text_format import FILE_WIDTH

if TYPE_CHECKING:
    from rich.console import Console

Comparison = Mapping[str, Any]
NUMBERS = (  # key of a row, head, what one unit of the column is in units of the row
    ("accuracy_test", Head("test", "%", "test accuracy with the chip's arithmetic"), 0.01),
    ("accuracy_test_float", Head("float", "%", "test accuracy of the same rule without quantisation"), 0.01),
    ("energy_pj", Head("energy", "nJ", "per sample, learning on"), 1e3),
    ("energy_pj_over_first", Head("energy", "×first", "energy over that of the first run"), 1.0),
    ("energy_inference_pj", Head("inference", "nJ", "energy per sample of inference"), 1e3),
    ("latency_us", Head("latency", "µs", "per sample, learning on"), 1.0),
    ("latency_us_over_first", Head("latency", "×first", "time over that of the first run"), 1.0),
    ("footprint_bits", Head("memory", "kbit", "bits that the rule's memories must hold"), 1e3),
    ("footprint_bits_over_first", Head("memory", "×first", "memory over that of the first run"), 1.0),
    ("memory_accesses_words", Head("accesses", "k", "words read and written per sample, learning on"), 1e3),
    ("area_mm2", Head("area", "mm²", "of the chip with the memories of the rule"), 1.0),
)
PERCENT = 0.01
TITLE = "Runs side by side"


def comparison_grid(comparison: Comparison) -> Grid:
    """Groups of one rule, rows of the runs; keys that differ come before the numbers."""
    rows = comparison["rows"]
    settings = [key for key in rows[0] if key in comparison["differs"] or key == "learning_rate"]
    shown = [one for one in NUMBERS if any(row[one[0]] is not None for row in rows)]
    heads = (
        Head("run", is_word=True),
        *(Head(_short(key, settings), meaning=key, is_word=True) for key in settings),
        *(head for _, head, _ in shown),
    )
    rules = dict.fromkeys(row["rule"] for row in rows)
    groups = [
        Group(
            rule,
            tuple(
                (row["run"], *(_word(row[key]) for key in settings), *(_text(row[key], per) for key, _, per in shown))
                for row in rows
                if row["rule"] == rule
            ),
        )
        for rule in rules
    ]
    return Grid(heads, tuple(groups))


def _short(key: str, settings: Sequence[str]) -> str:
    """As many of the last words of a key as tell it from the others."""
    words = key.split(".")
    for start in range(len(words) - 1, -1, -1):
        short = ".".join(words[start:])
        if not short[0].isdigit() and sum(other == short or other.endswith(f".{short}") for other in settings) == 1:
            return short
    return key


def _word(value: Any) -> str:
    return NOTHING if value is None else str(cell(value))


def _text(value: float | None, per: float) -> str:
    if value is None:
        return NOTHING
    return f"{100 * value:.1f}" if per == PERCENT else number(value / per)


def _sentences(comparison: Comparison) -> list[str]:
    """What the table is, and the notes."""
    first = comparison["runs"][0]["run"]
    return [f"Ratios (×first) are to {first}, rule by rule.", *comparison["notes"]]


def _header(comparison: Comparison) -> list[tuple[str, str]]:
    return [(one["run"], f"{one['name']}, task {one['task']}, chip {one['chip']}") for one in comparison["runs"]]


def print_comparison(comparison: Comparison, console: Console) -> None:
    """Print the runs, the table, and the notes; columns that do not fit are continued below."""
    width, grid = console.width, comparison_grid(comparison)
    lines: list[Line] = [(TITLE, "bold")]
    for label, text in _header(comparison):
        lines += prose(f"{label}: {text}", "", width, 2)
    first, *columns = _columns(grid)
    wide, narrow = blocks(first, columns, "  ", width), blocks(first, columns, " ", width)
    for block in narrow if len(narrow) < len(wide) else wide:
        lines += [("", ""), (block[0], "bold"), (block[1], "bold")]
        body = iter(block[2:])
        for group in grid.groups:
            lines.append((group.title, "dim"))
            lines += [(next(body), "") for _ in group.rows]
    lines.append(("", ""))
    for sentence in _sentences(comparison):
        lines += prose(sentence, "dim", width, 2)
    for text, style in lines:
        print_line(text, style, console)


def _columns(grid: Grid) -> list[list[str]]:
    """Name, unit and texts of every column."""
    rows = [row for group in grid.groups for row in group.rows]
    return [[head.name, head.unit, *(row[place] for row in rows)] for place, head in enumerate(grid.heads)]


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
    """The runs, the table and the notes."""
    lines = [f"# {TITLE}", ""]
    lines += [f"- {markdown.escaped(label)}: {markdown.escaped(text)}" for label, text in _header(comparison)]
    lines += ["", *markdown.table_lines(comparison_grid(comparison), group="rule"), ""]
    lines += [f"- {markdown.escaped(sentence)}" for sentence in _sentences(comparison)]
    return "\n".join(lines) + "\n"


def comparison_latex(comparison: Comparison) -> str:
    """The table; the sentences are its caption."""
    caption = " ".join([f"{TITLE}.", *_sentences(comparison)])
    return latex.table_text(comparison_grid(comparison), caption, TITLE)


def comparison_html(comparison: Comparison) -> str:
    """A page of its own."""
    content = {
        "title": TITLE,
        "header": _header(comparison),
        "grid": comparison_grid(comparison),
        "sentences": _sentences(comparison),
    }
    return render("comparison.html.j2", content)
