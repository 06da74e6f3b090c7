"""The command line: typer commands, nothing else; what `learn` and `compare` do lies in `neurochip.experiment`."""

from __future__ import annotations

from neurochip.cli.app import main

__all__ = ["main"]
