"""How a run shows that it is alive: bars on a terminal, lines in a file or a pipe, nothing when asked to be quiet."""

from __future__ import annotations

import sys
import threading
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn

from neurochip.cli.terminal import Terminal
from neurochip.printable import printable

RUN_DIRECTORY = "run directory: "  # how `neurochip.experiment` announces it
SECONDS_BETWEEN_LINES = 1.0
SECONDS_HELD_BACK = 1.0


class Quiet:
    """Shows nothing, but knows the run directory: a listener (`neurochip.listener`) and a context manager.

    Attributes:
        directory: the run directory, once it was announced.
    """

    def __init__(self) -> None:
        self.directory: str | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Nothing to end."""

    def message(self, text: str) -> None:
        """Remember the run directory; show nothing."""
        if text.startswith(RUN_DIRECTORY):
            self.directory = text.removeprefix(RUN_DIRECTORY)

    def begin(self, key: str, label: str, total: int) -> None:
        """Show nothing."""

    def advance(self, key: str, amount: int, text: str = "") -> None:
        """Show nothing."""

    def end(self, key: str) -> None:
        """Show nothing."""


class Lines(Quiet):
    """One line on standard error per message and per finished epoch, at most one per run and second.

    The first messages are held back for a moment, so that bad input leaves its one sentence and nothing else.
    """

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._held: list[str] | None = []
        self._timer = threading.Timer(SECONDS_HELD_BACK, self._release)
        self._timer.daemon = True
        self._labels: dict[str, str] = {}
        self._missing: dict[str, int] = {}
        self._printed: dict[str, float] = {}

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._timer.cancel()
        if kind is None:
            self._release()

    def _release(self) -> None:
        with self._lock:
            for text in self._held or ():
                _say(text)
            self._held = None

    def message(self, text: str) -> None:
        """Print the line, now or in a moment."""
        super().message(text)
        with self._lock:
            if self._held is not None:
                self._held.append(text)
            else:
                _say(text)

    def begin(self, key: str, label: str, total: int) -> None:
        """Remember what the lines of this run are called."""
        self._release()
        with self._lock:
            self._labels[key], self._missing[key] = label, total
            self._printed.pop(key, None)

    def advance(self, key: str, amount: int, text: str = "") -> None:
        """Print `text`, unless this run printed a moment ago; what is said when the run is complete is always shown."""
        with self._lock:
            self._missing[key] -= amount
            now = time.monotonic()
            recent = now - self._printed.get(key, -SECONDS_BETWEEN_LINES) < SECONDS_BETWEEN_LINES
            if not text or (recent and self._missing[key] > 0):
                return
            self._printed[key] = now
            _say(f"{self._labels[key]}: {text}")


def _say(text: str) -> None:
    print(printable(text), file=sys.stderr, flush=True)


class Bars(Quiet):
    """A bar per run on the terminal; a run that starts again (tuning) takes its old bar's place."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._bars: dict[str, TaskID] = {}
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TaskProgressColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[text]}", markup=False),
            console=console,
        )

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._progress.stop()

    def message(self, text: str) -> None:
        """Print the line above the bars."""
        super().message(text)
        self._progress.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def begin(self, key: str, label: str, total: int) -> None:
        """Show the bar of a run."""
        with self._lock:
            if key in self._bars:
                self._progress.remove_task(self._bars[key])
            self._bars[key] = self._progress.add_task(printable(label), total=total, text="")

    def advance(self, key: str, amount: int, text: str = "") -> None:
        """Move the bar, and show the last text beside it."""
        bar = self._bars[key]
        self._progress.advance(bar, amount)
        if text:
            self._progress.update(bar, text=printable(text))


def progress_for(quiet: bool) -> Quiet:
    """Return the listener that suits standard error."""
    if quiet:
        return Quiet()
    console = Terminal(stderr=True)
    return Bars(console) if console.is_terminal else Lines()
