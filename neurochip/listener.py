"""How long work reports its progress; the command line draws it, tests and scripts may ignore it."""

from __future__ import annotations

from typing import Protocol


class Listener(Protocol):
    """Receiver of progress; its methods are called from several threads."""

    def message(self, text: str) -> None:
        """One line about a stage."""

    def begin(self, key: str, label: str, total: int) -> None:
        """A piece of work of `total` units starts."""

    def advance(self, key: str, amount: int, text: str = "") -> None:
        """`amount` units of it are done."""

    def end(self, key: str) -> None:
        """It is finished."""


class Silent:
    """A listener that ignores everything."""

    def message(self, text: str) -> None:
        """Ignore a line."""

    def begin(self, key: str, label: str, total: int) -> None:
        """Ignore a start."""

    def advance(self, key: str, amount: int, text: str = "") -> None:
        """Ignore progress."""

    def end(self, key: str) -> None:
        """Ignore an end."""
