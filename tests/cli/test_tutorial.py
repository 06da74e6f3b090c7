"""Does the tutorial say what happens? Its files are written, its commands run, its output compared."""

from __future__ import annotations

import doctest
import re
import shlex
from pathlib import Path
from typing import NamedTuple

import pytest

from .conftest import Command

FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """A fenced block of a page."""

    language: str
    text: str


def blocks_of(page: Path) -> list[Block]:
    """The fenced blocks of a page, in their order."""
    return [Block(*found) for found in FENCE.findall(page.read_text(encoding="utf-8"))]


def is_as_shown(shown: str, printed: str) -> bool:
    """Whether a text is as the page shows it: `...` stands for any text; blanks at the end of a line do not count."""
    lines = "".join(line.rstrip() + "\n" for line in printed.splitlines())
    return doctest.OutputChecker().check_output(shown, lines, doctest.ELLIPSIS)


def check_console(text: str, call: Command) -> None:
    """Run the one command of a block; what follows it is its standard output, or its error."""
    command, _, shown = text.partition("\n")
    words = shlex.split(command.removeprefix("$ "))
    assert words[0] == "neurochip"
    done = call(*words[1:])
    fails = shown.startswith("neurochip: ")
    assert done.code == (2 if fails else 0), done
    printed = done.err if fails else done.out
    assert is_as_shown(shown, printed), f"{command}\n{printed}"


@pytest.mark.slow
def test_the_tutorial_prints_what_it_shows(
    source_tree: Path, call: Command, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    blocks = blocks_of(source_tree / "docs" / "tutorial.md")
    assert {block.language for block in blocks} == {"toml", "console", "python"}
    for language, text in blocks:
        if language == "toml":
            name = text.partition("\n")[0].removeprefix("# ")
            (folder / name).write_text(text, encoding="utf-8")
        elif language == "python":
            exec(compile(text, "docs/tutorial.md", "exec"), {"__name__": "tutorial"})
            assert re.fullmatch(r"\d\d\.\d %, \d{3} nJ\n", capsys.readouterr().out)
        else:
            check_console(text, call)


def test_ellipses_stand_for_any_text_and_nothing_else_differs() -> None:
    assert is_as_shown("a\n...\nd 5\n", "a  \nb\nc\nd 5\n")
    assert not is_as_shown("a\n...\nd 5\n", "a\nb\nd 6\n")
