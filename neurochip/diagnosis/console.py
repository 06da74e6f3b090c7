"""The document of `neurochip diagnose` on a terminal: a table per rule, and the advice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from neurochip.report.console import print_line
from neurochip.report.diagnosis import on_console, table_rows
from neurochip.report.table import NOTHING

if TYPE_CHECKING:
    from rich.console import Console


def print_diagnosis(document: Mapping[str, Any], console: Console) -> None:
    """Print the table and the sentence of every rule."""
    for result in document["results"]:
        rows = table_rows(result)
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        n_samples = result["n_samples"]
        print_line(f"{document['run']}, {result['rule']}, {n_samples} samples", "bold", console)
        for row in rows:
            first, *others = (cell.rjust(width) for cell, width in zip(row, widths, strict=True))
            line = "  ".join([first.strip().ljust(widths[0]), *others]).rstrip()
            print_line(line.replace(NOTHING, "-"), "", console)
        said, options = on_console(result["rule"], result)
        print_line(said, "", console)
        if options:
            print_line(f"  {options}", "", console)
