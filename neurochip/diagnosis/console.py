"""The document of `neurochip diagnose` on a terminal: a table per rule, and the advice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from neurochip.report.diagnosis import sentence, table_rows
from neurochip.report.table import NOTHING

if TYPE_CHECKING:
    from rich.console import Console


def print_diagnosis(document: Mapping[str, Any], console: Console) -> None:
    """Print the table and the sentence of every rule."""
    for result in document["results"]:
        rows = table_rows(result)
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        n_samples = result["n_samples"]
        console.print(f"{document['run']}, {result['rule']}, {n_samples} samples", style="bold", highlight=False)
        for row in rows:
            first, *others = (cell.rjust(width) for cell, width in zip(row, widths, strict=True))
            line = "  ".join([first.strip().ljust(widths[0]), *others]).rstrip()
            console.print(line.replace(NOTHING, "-"), highlight=False, markup=False, soft_wrap=True)
        console.print(sentence(result["rule"], result), highlight=False, markup=False, soft_wrap=True)
