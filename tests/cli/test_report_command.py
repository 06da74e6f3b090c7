"""Does `neurochip report` show a run again, price it on another chip, and say in one sentence what is wrong?"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from neurochip._data import data_folder

from .conftest import Command


@pytest.fixture
def narrow(folder: Path) -> Path:
    """The default chip with words half as wide."""
    text = (data_folder("hw_models") / "chips" / "ottt-core-28nm.toml").read_text(encoding="utf-8")
    assert text.count("\nlanes = 16 ") == 1
    path = folder / "narrow.toml"
    path.write_text(text.replace("\nlanes = 16 ", "\nlanes = 8 "), encoding="utf-8")
    return path


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_without_a_chip_it_prints_what_the_run_printed(call: Command, run: Path) -> None:
    shown = call("compare", "--resume", "run", "--quiet")
    before = contents(run)
    done = call("report", "run")
    assert (done.code, done.err) == (0, "")
    assert done.out == shown.out
    assert call("report", "run", "--format", "json").out.encode() == before["report.json"]
    assert contents(run) == before


def test_another_chip_prints_its_table_and_the_same_accuracies(call: Command, run: Path, narrow: Path) -> None:
    before = contents(run)
    done = call("report", "run", "--chip", narrow.name, "--format", "json")
    assert (done.code, done.err) == (0, "")
    again, original = json.loads(done.out), json.loads(before["report.json"])
    assert again["experiment"]["chip"]["name"] == "narrow.toml"
    assert again["repriced"]["chip"] == "ottt-core-28nm"
    for now, then in zip(again["results"], original["results"], strict=True):
        assert now["accuracy"] == then["accuracy"]
        if now["precision"] == "fixed":
            assert now["per_sample"]["counts"]["synapse_read"] > then["per_sample"]["counts"]["synapse_read"]
    table = call("report", "run", "--chip", narrow.name).out
    assert "Re-priced from the run" in " ".join(table.split())
    assert contents(run) == before


def test_the_same_chip_gives_the_same_results(call: Command, run: Path) -> None:
    again = json.loads(call("report", "run", "--chip", "ottt-core-28nm", "--format", "json").out)
    assert again["results"] == json.loads((run / "report.json").read_text(encoding="utf-8"))["results"]


@pytest.mark.parametrize("form", ["text", "json"])
def test_out_writes_a_file_and_nothing_else(form: str, call: Command, run: Path, narrow: Path, folder: Path) -> None:
    done = call("report", "run", "--chip", narrow.name, "--format", form, "--out", "report.out")
    assert (done.code, done.out, done.err) == (0, "", "")
    text = (folder / "report.out").read_text(encoding="utf-8")
    if form == "json":
        assert text == call("report", "run", "--chip", narrow.name, "--format", "json").out
    else:
        assert "ottt-o" in text
        assert max(map(len, text.splitlines())) <= 120


@pytest.mark.parametrize("form", ["text", "json"])
def test_bytes_are_the_same_every_time(form: str, call: Command, run: Path, narrow: Path) -> None:
    words = ("report", "run", "--chip", narrow.name, "--format", form)
    assert call(*words).out == call(*words).out


def test_bad_input_ends_in_one_sentence(call: Command, run: Path, folder: Path) -> None:
    before = contents(run)
    assert "known are" in call("report", "run", "--chip", "abacus").sentence()
    assert "--chip" in call("report", "run", "--chip", "abacus").sentence()
    assert "does not exist" in call("report", "run", "--chip", "abacus.toml").sentence()
    assert "is not a run directory" in call("report", "nowhere").sentence()
    assert "is not a run directory" in call("report", "nowhere", "--chip", "ottt-core-28nm").sentence()
    assert "csv" in call("report", "run", "--format", "abacus").sentence()
    assert "stays as it is" in call("report", "run", "--out", run / "mine.json").sentence()
    assert "is a folder" in call("report", "run", "--out", folder).sentence()
    assert "cannot be written" in call("report", "run", "--out", "no/such/folder.txt").sentence()
    assert "RUN" in call("report").sentence()
    assert contents(run) == before


def test_files_that_are_damaged_end_in_one_sentence(call: Command, run: Path) -> None:
    (run / "activity.h5").write_bytes(b"\x89HDF\r\n\x1a\n and nothing")
    assert call("report", "run").code == 0
    assert "activity.h5: is damaged" in call("report", "run", "--chip", "ottt-core-28nm").sentence()
    (run / "activity.h5").unlink()
    assert "activity.h5: there is no such file" in call("report", "run", "--chip", "ottt-core-28nm").sentence()
    (run / "report.json").write_text("{", encoding="utf-8")
    assert "report.json: cannot be read as JSON" in call("report", "run").sentence()


def test_an_unfinished_run_is_named(call: Command, run: Path) -> None:
    (run / "report.json").unlink()
    assert "report.json: there is no such file" in call("report", "run", "--chip", "ottt-core-28nm").sentence()
