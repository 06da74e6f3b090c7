"""Does a run show that it is alive, in a terminal and in a file, without flooding either?"""

from __future__ import annotations

import io
import re
import threading

import pytest
from rich.console import Console

from neurochip.cli import progress
from neurochip.cli.progress import Bars, Lines, Quiet, progress_for


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time in seconds that Lines reads; a list of one."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_a_finished_epoch_is_a_line(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with Lines() as lines:
        lines.message("loading")
        lines.begin("a", "ottt-o fixed", 20)
        lines.advance("a", 10)
        lines.advance("a", 0, "epoch 1/2, validation 50.0 %")
        clock[0] += 5
        lines.advance("a", 10)
        lines.advance("a", 0, "epoch 2/2, validation 60.0 %")
        lines.end("a")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "loading",
        "ottt-o fixed: epoch 1/2, validation 50.0 %",
        "ottt-o fixed: epoch 2/2, validation 60.0 %",
    ]


def test_short_epochs_do_not_flood_and_the_last_is_always_shown(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    with Lines() as lines:
        lines.begin("a", "a", 1000)
        for epoch in range(1000):
            lines.advance("a", 1, f"epoch {epoch + 1}")
            clock[0] += 0.01
    shown = capsys.readouterr().err.splitlines()
    assert shown[0] == "a: epoch 1"
    assert shown[-1] == "a: epoch 1000"
    assert 10 <= len(shown) <= 12


def test_runs_are_limited_each_for_itself(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with Lines() as lines:
        for key in ("a", "b"):
            lines.begin(key, key, 10)
            lines.advance(key, 1, "epoch 1")
    assert capsys.readouterr().err.splitlines() == ["a: epoch 1", "b: epoch 1"]


def test_an_early_error_leaves_no_lines(capsys: pytest.CaptureFixture[str]) -> None:
    def load() -> None:
        with Lines() as lines:
            lines.message("loading")
            raise ValueError("bad input")

    with pytest.raises(ValueError, match="bad input"):
        load()
    assert capsys.readouterr().err == ""


def test_a_long_stage_is_announced_before_it_ends(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "SECONDS_HELD_BACK", 0.01)
    with Lines() as lines:
        lines.message("compiling")
        lines._timer.join(10)
        assert capsys.readouterr().err == "compiling\n"
        lines.message("compiled")
        assert capsys.readouterr().err == "compiled\n"


def test_bars_show_the_last_text_and_leave_the_terminal_usable() -> None:
    screen = io.StringIO()
    with Bars(Console(file=screen, force_terminal=True, width=100, color_system=None)) as bars:
        bars.message("[loading]")
        bars.begin("a", "ottt-o [fixed]", 4)
        bars.advance("a", 2, "epoch 1/2, validation 50.0 %")
        bars.advance("a", 2)
        bars.end("a")
    text = screen.getvalue()
    assert "[loading]\n" in text
    last = re.split(r"[\r\n]", text.rstrip())[-2 if text.rstrip().endswith("h") else -1]
    assert "ottt-o [fixed]" in text
    assert "100%" in last
    assert "epoch 1/2, validation 50.0 %" in last
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") == 1  # the cursor is hidden, then shown again


def test_a_run_that_starts_again_takes_its_old_bars_place() -> None:
    bars = Bars(Console(file=io.StringIO(), force_terminal=True, width=100))
    with bars:
        for rate in (0.5, 1.0):
            bars.begin("a", f"a at rate {rate}", 4)
            bars.advance("a", 4)
            bars.end("a")
        assert [task.description for task in bars._progress.tasks] == ["a at rate 1.0"]


@pytest.mark.parametrize("make", [Quiet, Lines, lambda: Bars(Console(file=io.StringIO(), force_terminal=True))])
def test_every_listener_knows_the_run_directory_and_stands_threads(make) -> None:
    with make() as listener:
        assert listener.directory is None
        listener.message("run directory: runs/a b")

        def work(key: str) -> None:
            listener.begin(key, key, 100)
            for _ in range(100):
                listener.advance(key, 1, "text")
            listener.end(key)

        threads = [threading.Thread(target=work, args=(str(number),)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert listener.directory == "runs/a b"
    if isinstance(listener, Bars):
        assert [task.completed for task in listener._progress.tasks] == [100] * 8


def test_quiet_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_for(quiet=True) as listener:
        listener.message("text")
        listener.begin("a", "a", 1)
        listener.advance("a", 1, "text")
    assert capsys.readouterr() == ("", "")


def test_lines_where_standard_error_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    assert type(progress_for(quiet=False)) is Lines
