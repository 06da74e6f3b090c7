"""Does a console show control characters of files and experiments instead of sending them to the terminal?"""

from __future__ import annotations

import io

import pytest
import report_fixture as given
from rich.console import Console
from rich.table import Table
from rich.text import Text

from neurochip.cli.progress import Bars, Lines
from neurochip.cli.terminal import Terminal
from neurochip.report import print_report
from neurochip.report.console import print_line

STEERING = "\x1b[31mred\x9b2J\x07\u202eleft"
SHOWN = r"\x1b[31mred\x9b2J\x07\u202eleft"


def test_a_name_cannot_steer_the_terminal() -> None:
    report = given.make_report()
    report["name"] = STEERING
    report["notes"] = [f"a file {STEERING}"]
    stream = io.StringIO()
    print_report(report, Console(file=stream, width=100))
    lines = stream.getvalue().splitlines()
    assert lines[0] == SHOWN
    assert f"Note: a file {SHOWN}" in lines


def test_a_line_is_one_line_and_never_broken() -> None:
    stream = io.StringIO()
    print_line(f"--set 'x={'1, ' * 60}'", "bold", Console(file=stream, width=40))
    print_line("two\nlines", "", Console(file=stream, width=40))
    assert stream.getvalue() == f"--set 'x={'1, ' * 60}'\ntwo\\nlines\n"


@pytest.mark.parametrize("is_terminal", [False, True])
def test_tables_and_texts_are_escaped_and_styles_are_not(is_terminal: bool) -> None:
    stream = io.StringIO()
    console = Terminal(
        file=stream, width=80, force_terminal=is_terminal, color_system="standard" if is_terminal else None
    )
    table = Table("name")
    table.add_row("\x1b[31mred")
    console.print(table)
    console.print("a\x1b[2Jb\nc", markup=False, highlight=False, style="bold")
    console.print(Text("d\x9b2Je", style="bold"))
    text = stream.getvalue()
    assert r"a\x1b[2Jb" in text and r"d\x9b2Je" in text
    assert "\x1b[31m" not in text and "\x1b[2J" not in text and "\x9b" not in text
    assert ("\x1b[1m" in text) == is_terminal
    assert "\nc" in text.replace("\x1b[0m", "").replace("\x1b[1m", "")


def test_bars_and_lines_say_labels_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    stream = io.StringIO()
    with Bars(Terminal(file=stream, force_terminal=True, width=100, color_system=None)) as bars:
        bars.message("reading \x1b[31mred")
        bars.begin("a", STEERING, 1)
        bars.advance("a", 1, "done")
    text = stream.getvalue()
    assert r"reading \x1b[31mred" in text and f"{SHOWN} ━" in text and "\x1b[31m" not in text
    lines = Lines()
    with lines:
        lines.message(f"reading {STEERING}")
        lines.begin("a", STEERING, 1)
        lines.advance("a", 1, "done")
    assert capsys.readouterr().err == f"reading {SHOWN}\n{SHOWN}: done\n"
