"""What the page of a finished run shows: its report, and the commands that made it."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from neurochip.run_commands import read_commands
from neurochip.run_directory import REPORT_JSON, read_experiment_tables


def page_records(directory: Path, chip: str | None = None) -> dict[str, Any]:
    """Return `report`, of the run or priced again on a chip, and `commands`, the last the one that writes the page.

    Raises:
        UserError: no finished run, a damaged one, or a chip that cannot run it.
    """
    command = ["neurochip", "report", str(directory), "--format", "html", *(["--chip", chip] if chip else [])]
    return {"report": _report(directory, chip), "commands": [*read_commands(directory), shlex.join(command)]}


def _report(directory: Path, chip: str | None) -> Any:
    if chip is None:
        from neurochip.report.json_file import read_report_json

        read_experiment_tables(directory)  # names what is wrong with a folder that is no run directory
        return read_report_json(directory / REPORT_JSON)
    from neurochip.repricing import load_run, reprice

    return reprice(load_run(directory), chip)


__all__ = ["page_records"]
