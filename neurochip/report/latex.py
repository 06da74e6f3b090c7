"""The headline table of a report for a LaTeX document that loads booktabs."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from neurochip.report.grid import Grid, Group, grid_of
from neurochip.report.sentences import header
from neurochip.report.table import tables

SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': r"\char34{}", "'": "'{}", "`": r"\char96{}",  # these three in every font encoding
    "[": "{[}", "]": "{]}",  # after \\ they would be its option
    "–": "{--}", "—": "{---}", "‐": "{-}", "‑": "{-}",  # in braces no hyphen beside them joins in
    "“": "{``}", "”": "{''}", "„": "{,,}", "‘": "{`}", "’": "{'}", "‚": "{,}", "′": "$'$", "§": r"\S{}",
    "µ": r"$\mu$", "μ": r"$\mu$", "×": r"$\times$", "·": r"$\cdot$", "±": r"$\pm$", "²": r"$^2$", "→": r"$\to$",
    "…": r"\dots{}", "−": "$-$", "≥": r"$\geq$", "≤": r"$\leq$", "°": r"$^\circ$",
    "≈": r"$\approx$", "≠": r"$\neq$", "÷": r"$\div$", "∞": r"$\infty$", "√": r"$\surd$", "←": r"$\gets$",
    **{letter: f"$^{{{plain}}}$" for letter, plain in zip("⁰¹³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ", "013456789+-n", strict=True)},
    **{letter: f"$_{{{plain}}}$" for letter, plain in zip("₀₁₂₃₄₅₆₇₈₉₊₋", "0123456789+-", strict=True)},
    "Ω": r"$\Omega$", "\u2126": r"$\Omega$", "Δ": r"$\Delta$", "Σ": r"$\Sigma$", "Φ": r"$\Phi$", "Ψ": r"$\Psi$",
    "α": r"$\alpha$", "β": r"$\beta$", "γ": r"$\gamma$", "δ": r"$\delta$", "ε": r"$\epsilon$", "η": r"$\eta$",
    "θ": r"$\theta$", "κ": r"$\kappa$", "λ": r"$\lambda$", "π": r"$\pi$", "ρ": r"$\rho$", "σ": r"$\sigma$",
    "τ": r"$\tau$", "φ": r"$\phi$", "χ": r"$\chi$", "ψ": r"$\psi$", "ω": r"$\omega$",
}  # fmt: skip
LIGATURES = re.compile(r"([-,])(?=\1)")  # -- and ,, would become one letter
ACCENTS = {0x300, 0x301, 0x302, 0x303, 0x304, 0x306, 0x307, 0x308, 0x30A, 0x30B, 0x30C, 0x327}
LETTERS = "ßæÆøØœŒłŁåÅ"  # what every engine and font encoding sets, beside letters with ACCENTS
# Sizes in pt. A column of article in two columns is 229 wide and 550 high; in one column it is 345 wide.
WIDEST_PT, WIDEST_WORDS_PT, GAP_PT, LETTER_PT = 228.0, 76.0, 6.0, 8.0
MOST_LINES = 40  # of one float, with its caption on a page
CODE_POINT_EM = 5.0
EM = {
    **dict.fromkeys("ijl.,:;'|!`", 0.3), **dict.fromkeys("ftrsI()[]- /", 0.43), **dict.fromkeys("0123456789", 0.54),
    **dict.fromkeys("mMW%@", 1.1), **dict.fromkeys("wABCDEFGHJKLNOPQRSTUVXYZ&×±+=<>–—", 0.84),
}  # fmt: skip
BREAK_AFTER, UNBROKEN = "-_/.,:=", 10  # where a long name may go on in the next line, and letters after which it may


def report_latex(report: Mapping[str, Any]) -> str:
    """The headline table as a float: \\usepackage{booktabs} is all it needs."""
    about = dict(header(report))
    caption = f"{report['name']}: {about['network']}, on {about['chip']}."
    identity = [report["experiment"], report["chip"]["name"]]
    return table_text([grid_of(tables(report)[0], report)], caption, str(report["name"]), identity)


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


def table_text(grids: Sequence[Grid], caption: str, name: str, identity: Any) -> str:
    """A table environment, or several; columns beyond the width of a column of text go on below.

    Args:
        grids: tables, one below the other.
        caption: of all.
        name: what the label begins with.
        identity: what tells tables of one name apart; the label ends with a hash of it.
    """
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "neurochip"
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:6]
    floats = _floats([part for grid in grids for part in _narrow(grid)])
    lines = ["% needs \\usepackage{booktabs}"]
    for place, parts in enumerate(floats, 1):
        said = f"{escaped(caption)} ({place} of {len(floats)})" if len(floats) > 1 else escaped(caption)
        lines += ["\\begin{table}", "\\centering", "\\footnotesize", "\\setlength{\\tabcolsep}{3pt}"]
        lines.append(f"\\caption{{{said}}}")
        lines += [f"\\label{{tab:{slug}-{digest}{f'-{place}' if place > 1 else ''}}}", "", "\\smallskip"]
        for part in parts:
            lines += [*_tabular(part), "", "\\medskip"]
        lines[-2:] = ["\\end{table}"]
    return "\n".join(lines) + "\n"


def _floats(parts: Sequence[Grid]) -> list[list[Grid]]:
    """Parts that together fit a page."""
    floats: list[list[Grid]] = []
    total = 0
    for part in parts:
        n_lines = 3 + sum(1 + len(group.rows) for group in part.groups)
        if not floats or total + n_lines > MOST_LINES:
            floats.append([])
            total = 0
        floats[-1].append(part)
        total += n_lines
    return floats


def _narrow(grid: Grid) -> Iterator[Grid]:
    """Parts of a table that fit the width, about as wide as each other, each with the first column."""
    widths = _widths(grid)
    parts = _parts(widths, WIDEST_PT)
    limit = WIDEST_PT
    while len(closer := _parts(widths, limit - GAP_PT)) == len(parts) and limit > widths[0]:
        parts, limit = closer, limit - GAP_PT
    for columns in parts:
        places = (0, *columns)
        groups = (
            Group(group.title, tuple(tuple(row[place] for place in places) for row in group.rows))
            for group in grid.groups
        )
        yield Grid(tuple(grid.heads[place] for place in places), tuple(groups))


def _parts(widths: Sequence[float], limit: float) -> list[list[int]]:
    """Columns behind the first, in parts that with it fit a width; a column that is wider stands alone."""
    parts: list[list[int]] = []
    total = limit
    for place, width in enumerate(widths[1:], 1):
        total += GAP_PT + width
        if total > limit:
            parts.append([])
            total = widths[0] + GAP_PT + width
        parts[-1].append(place)
    return parts


def _widths(grid: Grid) -> list[float]:
    """Estimated width of every column in pt, words at most as wide as their paragraphs."""
    rows = [row for group in grid.groups for row in group.rows]
    found = []
    for place, head in enumerate(grid.heads):
        widest = max(map(_width, (head.name, head.unit, *(row[place] for row in rows))))
        found.append(min(widest, WIDEST_WORDS_PT) if head.is_word else widest)
    return found


def _width(text: str) -> float:
    """Width of a text in Computer Modern at the size \\footnotesize, never less than it is."""
    return LETTER_PT * sum(CODE_POINT_EM if "U+" in _letter(one) else EM.get(one, 0.59) for one in text)


def _tabular(grid: Grid) -> Iterator[str]:
    """Lines of one tabular; a column of words that is too wide breaks its lines."""
    rows = [row for group in grid.groups for row in group.rows]
    is_long = [
        head.is_word and max(map(_width, (head.name, *(row[place] for row in rows)))) > WIDEST_WORDS_PT
        for place, head in enumerate(grid.heads)
    ]
    kinds = (f"p{{{WIDEST_WORDS_PT:g}pt}}" if long else "l" if head.is_word else "r"
             for head, long in zip(grid.heads, is_long, strict=True))  # fmt: skip
    yield f"\\begin{{tabular}}{{@{{}}{''.join(kinds)}@{{}}}}"
    yield "\\toprule"
    yield _row([head.name for head in grid.heads], is_long)
    if any(head.unit for head in grid.heads):
        yield _row([head.unit for head in grid.heads], is_long)
    for group in grid.groups:
        yield "\\midrule"
        if group.title:
            title = f"{{\\itshape {escaped(group.title)}}}"
            yield f"\\multicolumn{{{len(grid.heads)}}}{{@{{}}l@{{}}}}{title} \\tabularnewline"
        for row in group.rows:
            yield _row(row, is_long)
    yield "\\bottomrule"
    yield "\\end{tabular}"


def _row(cells: Sequence[str], is_long: Sequence[bool]) -> str:
    texts = (_broken(text) if long else escaped(text) for text, long in zip(cells, is_long, strict=True))
    return f"{' & '.join(texts)} \\tabularnewline"


def _broken(text: str) -> str:
    """A text whose lines may break within its words."""
    words = " ".join("\\allowbreak{}".join(map(escaped, _pieces(word))) for word in text.split())
    return f"\\raggedright {words}"


def _pieces(word: str) -> list[str]:
    pieces = [""]
    for letter in word:
        if pieces[-1] and (pieces[-1][-1] in BREAK_AFTER or len(pieces[-1]) == UNBROKEN):
            pieces.append("")
        pieces[-1] += letter
    return pieces
