"""The command line, called as a function and as a process, and experiments small enough to run in a test."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from chromium_page import Browser, started
from sweep_points_fixture import grid_points, summarised

import neurochip
from neurochip.cli import main

ROOT = Path(neurochip.__file__).resolve().parent.parent
SMALL = """
[task]
steps = 6
classes = [0, 1, 2]
[network]
layers = [{ kind = "dense", neurons = 12, leak_shift = 1 }, { kind = "readout" }]
[learning]
epochs = 1
[run]
rules = ["ottt-o", "bptt-o"]
calibration_samples = 16
activity_samples = 4
"""


@dataclass(frozen=True)
class Done:
    """How a command ended: exit code, standard output, standard error."""

    code: int
    out: str
    err: str

    def sentence(self) -> str:
        """The one sentence of bad input; fails if it ended in any other way."""
        assert self.code == 2, self
        assert self.out == ""
        assert self.err.startswith("neurochip: ")
        assert self.err.count("\n") == 1
        return self.err.removeprefix("neurochip: ").rstrip("\n")


Command = Callable[..., Done]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder of every test here: empty."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Command:
    """Call the command line in this process."""

    def run(*words: str | Path) -> Done:
        code = main([str(word) for word in words])
        captured = capsys.readouterr()
        return Done(code, captured.out, captured.err)

    return run


def environment() -> dict[str, str]:
    """The environment of a process that finds this neurochip and prints plain text."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "120", "TERM": "dumb"}


@pytest.fixture
def start() -> Command:
    """Run `python -m neurochip` as a process."""

    def run(*words: str | Path) -> Done:
        line = [sys.executable, "-m", "neurochip", *map(str, words)]
        done = subprocess.run(line, capture_output=True, text=True, encoding="utf-8", env=environment(), check=False)
        return Done(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def small(folder: Path) -> Path:
    """An experiment file that runs in about a second."""
    path = folder / "small.toml"
    path.write_text(SMALL, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the rules of SMALL."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "small.toml").write_text(SMALL, encoding="utf-8")
    assert main(["compare", str(folder / "small.toml"), "--quiet", "--out", str(folder / "run")]) == 0
    return folder / "run"


@pytest.fixture
def run(finished: Path, folder: Path) -> Path:
    """A copy of it in the current folder."""
    return Path(shutil.copytree(finished, folder / "run"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser without a network for the tests of a file."""
    with started() as found:
        yield found


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a small sweep, with plots."""
    from neurochip.report.sweep_page import page_text
    from neurochip.report.sweep_plots import sweep_pictures

    summary = summarised(grid_points())
    path = tmp_path_factory.mktemp("sweep") / "sweep.html"
    path.write_text(page_text(summary, sweep_pictures(summary)), encoding="utf-8")
    return path
