"""The commands of a run, kept in its directory: the one that began it, then those that continued it.

They are no part of report.json, which is the same wherever and by whatever command a run was made.
"""

from __future__ import annotations

import json
from pathlib import Path

COMMANDS = "commands.json"


def add_command(directory: Path, command: str | None) -> list[str]:
    """Write a command below the earlier ones, and return all; None, as of a call from Python, adds nothing."""
    from neurochip.report.json_file import write_text

    commands = read_commands(directory)
    if command is None:
        return commands
    commands.append(command)
    write_text(directory / COMMANDS, json.dumps(commands, indent=1, ensure_ascii=False) + "\n")
    return commands


def read_commands(directory: Path) -> list[str]:
    """The commands in the order given; none where the file is missing or holds something else."""
    try:
        found = json.loads((directory / COMMANDS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return [command for command in found if isinstance(command, str)] if isinstance(found, list) else []


__all__ = ["COMMANDS", "add_command", "read_commands"]
