"""Does `neurochip convert` end on Ctrl-C and SIGTERM, with one sentence and nothing left, whenever they come?"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from neurochip import hdf5_output
from neurochip.cli import main

from .conftest import Command, Done, environment

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot send Ctrl-C to one process")

# A shell that starts the tests in the background makes its processes ignore Ctrl-C; this one never does.
INTERRUPTIBLE = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from neurochip import event_writer
from neurochip.cli import main
event_writer.BUFFER_EVENTS = 1 << 13  # most of the time goes into storing
sys.exit(main())
"""
WORDS = ("--sensor-size", "34,34,2", "--set", "columns=txyp", "--quiet")


@pytest.fixture
def tree(folder: Path) -> Path:
    """Some recordings."""
    rng = np.random.default_rng(1)
    n = 50_000
    for split in ("train", "test"):
        for label in "01":
            columns = [np.sort(rng.integers(0, 10**9, n)), *(rng.integers(0, high, n) for high in (34, 34, 2))]
            (folder / "in" / split / label).mkdir(parents=True)
            np.save(folder / "in" / split / label / "0.npy", np.stack(columns, 1))
    return folder / "in"


@pytest.fixture
def long_tree(tree: Path) -> Path:
    """So many that no test waits for their end."""
    for path in list(tree.rglob("0.npy")):
        for number in range(1, 200):
            path.with_name(f"{number}.npy").hardlink_to(path)
    return tree


def interrupted(folder: Path, number: int, seconds: float) -> Done:
    """Send a signal to a conversion so long after it began to write."""
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTIBLE, "convert", "in", "out.h5", *WORDS],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        cwd=folder,
    )
    try:
        deadline = time.monotonic() + 60
        while not list(folder.glob(".out.h5.*")):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.001)
        time.sleep(seconds)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    return Done(process.returncode, out, err)


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code", "n_moments"), [(signal.SIGINT, 130, 8), (signal.SIGTERM, 143, 3)])
def test_a_signal_ends_a_conversion_whenever_it_comes(
    number: int, code: int, n_moments: int, long_tree: Path, folder: Path
) -> None:
    for moment in range(n_moments):
        done = interrupted(folder, number, 0.037 * moment)
        assert done == Done(code, "", "neurochip: interrupted; nothing was written\n"), moment
        assert [path.name for path in folder.iterdir()] == ["in"], moment


def test_a_signal_that_comes_too_late_does_not_deny_the_file(
    folder: Path, tree: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def replace(source: Path, target: Path) -> None:
        source.rename(target)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(hdf5_output.os, "replace", replace)
    assert main(["convert", "in", "out.h5", *WORDS, "--limit", "1"]) == 130
    assert capsys.readouterr().err == "neurochip: interrupted; out.h5 is complete\n"


def test_a_full_disk_is_said_in_one_sentence(
    call: Command, folder: Path, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from neurochip.hdf5_output import FileIO

    class Full(FileIO):
        def write(self, data: object) -> int:
            if self.tell() > 100_000:
                raise OSError(28, "No space left on device")
            return super().write(data)

    monkeypatch.setattr(hdf5_output, "FileIO", Full)
    for skip in ((), ("--skip-damaged",)):
        sentence = call("convert", "in", "out.h5", *WORDS, *skip).sentence()
        assert sentence == "out.h5 cannot be written (No space left on device)"
        assert [path.name for path in folder.iterdir()] == ["in"]
