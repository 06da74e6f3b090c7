"""LaTeX of a report: what it says is what report.json says, no text is read as markup, and tables fit a column."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_fixture import make_report

from neurochip.report import latex
from neurochip.report.comparison import comparison_latex
from neurochip.runs_compared import runs_compared

NASTY = "a_b%c & $d# {e} ~f^ \\g | <i>h</i> `k` \"l\" 'm' [n] --o ,,p\n# q 中 é µ — “r” ⁻³"
COMMANDS = {
    "textbackslash", "textasciicircum", "textasciitilde", "textless", "textgreater", "textbar", "char", "mu", "times",
    "cdot", "pm", "to", "dots", "geq", "leq", "circ", "S", "approx", "neq", "div", "infty", "surd", "gets", "Omega",
    "Delta", "Sigma", "Phi", "Psi", "alpha", "beta", "gamma", "delta", "epsilon", "eta", "theta", "kappa", "lambda",
    "pi", "rho", "sigma", "tau", "phi", "chi", "psi", "omega", "raggedright", "allowbreak",
}  # fmt: skip
DASHES_AND_QUOTES = ("{---}", "{--}", "{-}", "{``}", "{''}", "{,,}", "{`}", "{'}", "{,}")
COLUMN_PT = 229.5  # of article in two columns, the narrowest of the usual classes
FOOTNOTESIZE_PT, WIDER_AT_8_PT = 8.0, 1.07  # letters of cmr8 are up to this much wider than those of cmr10, scaled


def named_report(name: str) -> dict[str, Any]:
    """A report whose name and whose rule ottt-o are a text."""
    report = make_report(name=name)
    for result in report["results"]:
        result["rule"] = result["rule"].replace("ottt-o", name)
    return report


def check_latex(text: str) -> None:
    """Strict: braces balance, every special letter is escaped, only commands that are known, ASCII or a letter."""
    for known in DASHES_AND_QUOTES:
        text = text.replace(known, "x")
    depth = place = 0
    while place < len(text):
        letter = text[place]
        if letter == "\\":
            name = re.match(r"\\([A-Za-z]+|[{}$&#%_])", text[place:])
            assert name is not None, text[place : place + 20]
            assert not name[1].isalpha() or name[1] in COMMANDS, name[1]
            place += len(name[0])
            continue
        depth += {"{": 1, "}": -1}.get(letter, 0)
        assert depth >= 0
        assert letter not in '&#%~"`'
        assert letter not in "_^" or text[place - 1] in "$m"  # $^2$, and mm$^2$ of a unit
        assert letter.isascii() or letter.isalpha()
        place += 1
    assert depth == 0
    assert text.replace("\\$", "").count("$") % 2 == 0
    assert ",," not in text and "--" not in text


@given(st.text(max_size=40) | st.text("-–—‐,„‚'“”‘’`", max_size=8))
def test_every_text_is_escaped(text: str) -> None:
    check_latex(latex.escaped(text))


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("ottt_o 5% {x}\\y", "ottt\\_o 5\\% \\{x\\}\\textbackslash{}y"),
        ("a--b,,c 中 é µs", "a-{}-b,{},c {[}U+4E2D{]} é $\\mu$s"),
        ("a — b", "a {---} b"),
        ("“a” ‘b’ c’s", "{``}a{''} {`}b{'} c{'}s"),
        ("10⁻³ kΩ, 10¹² H₂, 20 ≈ 2α", "10$^{-}$$^{3}$ k$\\Omega$, 10$^{1}$$^2$ H$_{2}$, 20 $\\approx$ 2$\\alpha$"),
    ],
)
def test_letters_that_every_engine_can_set_are_set(text: str, written: str) -> None:
    assert latex.escaped(text) == written


def tabulars(text: str) -> list[tuple[str, list[list[str]]]]:
    """Kinds of columns, and rows of cells, of every tabular."""
    found = []
    for kinds, body in re.findall(r"\\begin{tabular}{@{}(.*?)@{}}\n(.*?)\\end{tabular}", text, re.DOTALL):
        lines = [line for line in body.splitlines() if line.endswith(" \\tabularnewline")]
        rows = [re.split(r"(?<!\\)&", line.removesuffix("\\tabularnewline")) for line in lines if "multic" not in line]
        found.append((re.sub(r"p{.*?}", "p", kinds), [[cell.strip() for cell in row] for row in rows]))
    return found


def test_a_report_is_one_balanced_float_with_as_many_cells_as_columns() -> None:
    text = latex.report_latex(named_report(NASTY))
    begun, ended = (re.findall(rf"\\{word}{{(\w+)}}", text) for word in ("begin", "end"))
    assert begun == ["table", "tabular", "tabular", "tabular"] and sorted(ended) == sorted(begun)
    for kinds, rows in tabulars(text):
        assert kinds[0] == "p" and len(rows) == 2 + 5
        for row in rows:
            assert len(row) == len(kinds)
            for cell in row:
                check_latex(cell)
    (title,) = re.findall(r"^\\caption{(.*)}$", text, re.MULTILINE)
    check_latex(title)


def test_the_parts_together_hold_the_headline_table() -> None:
    first, second = tabulars(latex.report_latex(make_report()))
    rows = {row[0]: row[1:] + other[1:] for row, other in zip(first[1], second[1], strict=True)}
    assert rows["ottt-o"] == [
        "94.2", "95.6", "313", "296", "549", "38.4", "4,920", "167", "25.1", "2.64", "2.25", "7.58",
    ]  # fmt: skip
    assert " ".join(rows[""]) == "\\% \\% nJ $\\mu$s kbit k kbit k k $\\times$BPTT $\\times$BPTT $\\times$infer"


def set_width_pt(cell: str) -> float:
    """Width of a cell in Computer Modern, by the advances of the font itself."""
    import matplotlib as mpl
    from matplotlib.ft2font import FT2Font

    font = FT2Font(str(Path(mpl.get_data_path()) / "fonts" / "ttf" / "cmr10.ttf"))
    font.set_size(FOOTNOTESIZE_PT, 72)
    plain = re.sub(r"\$\\(times|mu)\$", "w", cell).replace("$^2$", "2").replace("\\_", "-")
    plain = re.sub(r"[{}\\]", "", plain)
    return float(sum(font.load_char(ord(letter)).linearHoriAdvance for letter in plain) / 65536 * WIDER_AT_8_PT)


def comparison(*labels: str) -> dict[str, Any]:
    """Runs of these names that differ in some settings."""
    reports = {}
    for place, label in enumerate(labels):
        report = copy.deepcopy(make_report())
        report["experiment"]["run"]["seed"] = place
        report["experiment"]["task"]["path"] = f"recordings/of-the-{place}th-session/events.h5"
        report["results"][2]["learning_rate"]["asked"] = 0.5 + place
        reports[label] = report
    return runs_compared(reports)


@pytest.mark.parametrize(
    "text",
    [
        latex.report_latex(make_report()),
        comparison_latex(comparison("a", "b")),
        comparison_latex(comparison("nmnist-800-hidden-wide", "a_run.of-many-names", "c")),
    ],
)
def test_every_part_fits_a_column_of_a_page_in_two(text: str) -> None:
    found = tabulars(text)
    assert len(found) >= 2
    for kinds, rows in found:
        columns = list(zip(*rows, strict=True))
        widths = [latex.WIDEST_WORDS_PT if kind == "p" else max(map(set_width_pt, column))
                  for kind, column in zip(kinds, columns, strict=True)]  # fmt: skip
        assert sum(widths) + latex.GAP_PT * (len(kinds) - 1) <= COLUMN_PT, rows[0]
        assert len(kinds) > 2 or len(columns) == 2


def test_long_names_may_break_where_they_stand_in_a_paragraph() -> None:
    text = comparison_latex(comparison("nmnist_800_hidden_of_the_last_week", "b"))
    assert "\\raggedright nmnist\\_\\allowbreak{}800\\_\\allowbreak{}hidden\\_" in text
    assert "\\raggedright" not in latex.report_latex(make_report())


def test_many_runs_go_on_in_another_float_on_another_page() -> None:
    text = comparison_latex(comparison(*"abcdefghij"))
    floats = text.split("\\begin{table}")[1:]
    assert len(floats) > 1
    assert all(f"({place} of {len(floats)})" in one for place, one in enumerate(floats, 1))
    assert all(one.count("\\tabularnewline") <= latex.MOST_LINES or one.count("{tabular}") == 2 for one in floats)


def labels(text: str) -> list[str]:
    found: list[str] = re.findall(r"\\label{(.*)}", text)
    return found


def test_labels_tell_runs_of_one_name_apart() -> None:
    other = copy.deepcopy(make_report())
    other["experiment"]["run"]["seed"] = 2
    first, second, again = (labels(latex.report_latex(one)) for one in (make_report(), other, make_report()))
    assert first == again != second
    assert re.fullmatch(r"tab:digits-dvs-[0-9a-f]{6}", first[0])
    several = labels(comparison_latex(comparison(*"abcdefghij")))
    assert len(set(several)) == len(several) > 1
