"""The headline table of a report for a LaTeX document that loads booktabs."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any

from neurochip.report.grid import Grid, grid_of, mapped
from neurochip.report.sentences import header
from neurochip.report.table import tables

SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': r"\char34{}", "'": "'{}", "`": r"\char96{}",  # these three in every font encoding
    "[": "{[}", "]": "{]}",  # after \\ they would be its option
    "–": "--",
    "µ": r"$\mu$", "μ": r"$\mu$", "×": r"$\times$", "·": r"$\cdot$", "±": r"$\pm$", "²": r"$^2$", "→": r"$\to$",
    "…": r"\dots{}", "−": "$-$", "≥": r"$\geq$", "≤": r"$\leq$", "°": r"$^\circ$",
}  # fmt: skip
LIGATURES = re.compile(r"([-,])(?=\1)")  # -- and ,, would become one letter
ACCENTS = {0x300, 0x301, 0x302, 0x303, 0x304, 0x306, 0x307, 0x308, 0x30A, 0x30B, 0x30C, 0x327}
LETTERS = "ßæÆøØœŒłŁåÅ"  # what every engine and font encoding sets, beside letters with ACCENTS


def report_latex(report: Mapping[str, Any]) -> str:
    """The headline table as a float: \\usepackage{booktabs} is all it needs."""
    about = dict(header(report))
    caption = f"{report['name']}: {about['network']}, on {about['chip']}."
    return table_text(grid_of(tables(report)[0], report), caption, str(report["name"]))


def escaped(text: str) -> str:
    """A text that LaTeX sets as it is; a letter that not every engine knows becomes its code point, [U+4E2D]."""
    parts = LIGATURES.sub("\\1\0", " ".join(text.replace("\0", " ").split())).split("\0")
    return "{}".join("".join(map(_letter, part)) for part in parts)


def _letter(letter: str) -> str:
    if letter in SPECIAL:
        return SPECIAL[letter]
    if (letter.isascii() and letter.isprintable()) or letter in LETTERS:
        return letter
    base, *marks = list(unicodedata.normalize("NFD", letter))
    if base.isascii() and base.isalpha() and len(marks) == 1 and ord(marks[0]) in ACCENTS and ord(letter) < 0x180:
        return letter
    return f"{{[}}U+{ord(letter):04X}{{]}}"


def table_text(grid: Grid, caption: str, name: str) -> str:
    """A table environment; `name`: what its label comes from."""
    escaped_grid = mapped(grid, escaped)
    label = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "neurochip"
    columns = "".join("l" if head.is_word else "r" for head in grid.heads)
    lines = [
        "% needs \\usepackage{booktabs}",
        "\\begin{table}",
        "\\centering",
        "\\small",
        "\\setlength{\\tabcolsep}{4pt}",
        f"\\caption{{{escaped(caption)}}}",
        f"\\label{{tab:{label}}}",
        f"\\begin{{tabular}}{{@{{}}{columns}@{{}}}}",
        "\\toprule",
        _row([head.name for head in escaped_grid.heads]),
        _row([head.unit for head in escaped_grid.heads]),
        *_body(escaped_grid),
        "\\bottomrule",
        "\\end{tabular}",
        "\\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _body(grid: Grid) -> Iterator[str]:
    for group in grid.groups:
        yield "\\midrule"
        yield f"\\multicolumn{{{len(grid.heads)}}}{{@{{}}l@{{}}}}{{\\itshape {group.title}}} \\\\"
        yield from map(_row, group.rows)


def _row(cells: list[str] | tuple[str, ...]) -> str:
    return f"{' & '.join(cells)} \\\\"
