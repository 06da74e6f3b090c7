"""Does `neurochip validate` show every published figure, and fail when one is missed?"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from neurochip._data import data_folder
from neurochip.cli.validate import HEADINGS, headings_within, table_rows
from neurochip.silicon import all_checks, summary
from neurochip.silicon.check import ROLES

from .conftest import Command


@pytest.fixture
def hw_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the hardware models that the command reads instead of the packaged ones."""
    copied = Path(shutil.copytree(data_folder("hw_models"), tmp_path / "hw_models"))
    monkeypatch.setattr("neurochip.silicon.validate.data_folder", lambda name: tmp_path / name)
    return copied


@pytest.mark.parametrize(
    ("width", "missing"),
    [
        (300, []),
        (130, ["source"]),
        (100, ["method", "grade", "source"]),
        (80, ["tolerance %", "method", "grade", "source"]),
    ],
)
def test_a_narrow_terminal_loses_the_columns_that_matter_least(width: int, missing: list[str]) -> None:
    shown = headings_within(table_rows(all_checks()), width)
    assert [heading for heading in HEADINGS if heading not in shown] == missing


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_the_table_has_a_line_for_every_figure_and_a_summary(call: Command) -> None:
    done = call("validate")
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    for check in all_checks():
        if check.role != "exact":
            (line,) = [x for x in lines if x.startswith(f"{check.group}: {check.name} ") and f" {check.method} " in x]
            for cell in (f"{check.published:.4g}", f"{check.predicted:.4g}", f"{check.error_percent:+.1f}"):
                assert f" {cell} " in line
            assert f" {check.role} " in line
            assert check.source in line
    (row,) = [line for line in lines if line.startswith("ReckOn 40/100/2, 5 inputs, 68 spikes, learning")]
    assert re.search(r"20 numbers +20 equal", row)
    assert "NO" not in done.out
    assert lines[-1].startswith(summary(all_checks()).sentence)
    assert lines[-1].startswith("3 of 3 predictions hold")


def test_json_holds_every_check(call: Command) -> None:
    done = call("validate", "--json")
    document = json.loads(done.out)
    checks = all_checks()
    assert (done.code, done.err) == (0, "")
    assert [(row["group"], row["name"]) for row in document["checks"]] == [(c.group, c.name) for c in checks]
    assert [row["predicted"] for row in document["checks"]] == [c.predicted for c in checks]
    assert set(document["roles"]) == set(ROLES)
    assert document["failed"] == 0
    assert all(row["holds"] for row in document["checks"])
    assert all(row["grade"] in {"RTL", "SRC", "2nd", "MEM", "derived", "tool"} for row in document["checks"])


def test_a_figure_that_is_missed_ends_with_1_and_is_named(call: Command, hw_models: Path) -> None:
    change(hw_models / "silicon" / "reckon.toml", "total_cycles = 701", "total_cycles = 702")
    done = call("validate")
    assert done.code == 1
    assert "ReckOn 40/100/2, 5 inputs, 0 spikes, total cycles: published 702, predicted 701" in done.err
    assert done.err.count("\n") == 1
    (line,) = [x for x in done.out.splitlines() if " NO " in x]
    assert line.startswith("ReckOn 40/100/2, 5 inputs, 0 spikes: total cycles")
    assert re.search(r"12 numbers +11 equal", done.out)
    failed = json.loads(call("validate", "--json").out)
    assert failed["failed"] == 1
    assert [row["name"] for row in failed["checks"] if not row["holds"]] == ["total cycles"]


def test_a_prediction_that_is_missed_is_counted(call: Command, hw_models: Path) -> None:
    change(hw_models / "silicon" / "reckon.toml", "value = 178.0", "value = 198.0")
    done = call("validate")
    assert done.code == 1
    assert "2 of 3 predictions hold" in done.out
    assert "ReckOn, largest learning step, 24.7 events: published 198, predicted 179.2" in done.err


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        ("silicon/odin.toml", "[figures]", "[figures", "odin.toml: cannot be read as TOML"),
        ("chips/reckon-28nm.toml", "lanes = 16", "lanes = 17", "lanes of chip reckon-28nm is 17"),
        ("chips/reckon-28nm.toml", "value = 13\n", "value = -13\n", "clock.value is -13"),
    ],
)
def test_a_file_or_number_that_cannot_be_fails_with_one_sentence(
    file: str, old: str, new: str, words: str, call: Command, hw_models: Path
) -> None:
    change(hw_models / file, old, new)
    done = call("validate")
    assert (done.code, done.out) == (1, "")
    assert done.err.count("\n") == 1
    assert words in done.err


def test_the_table_is_readable_on_a_terminal(call: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes this for a terminal
    monkeypatch.setenv("NO_COLOR", "1")
    lines = re.sub(r"\x1b\[[\d;]*m", "", call("validate").out).splitlines()
    table = [line for line in lines if "predictions hold" not in line]
    assert max(len(line.rstrip()) for line in table) <= 160
    assert "…" not in "".join(table)
