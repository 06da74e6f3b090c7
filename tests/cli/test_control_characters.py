"""Do commands show control characters of names and files instead of sending them to the terminal?"""

from __future__ import annotations

from pathlib import Path

from .conftest import Command


def test_names_and_errors_cannot_steer_the_terminal(call: Command, small: Path) -> None:
    steering = 'run.name="a\\u001b[31mred"'
    learned = call("learn", small, "--out", "run", "--set", steering)
    assert learned.code == 0
    for done in (learned, call("report", "run"), call("diagnose", "run", "--samples", "4")):
        assert r"a\x1b[31mred" in done.out and "\x1b" not in done.out + done.err
    assert r"\x1b[31mred.toml" in call("learn", "\x1b[31mred.toml").sentence()
