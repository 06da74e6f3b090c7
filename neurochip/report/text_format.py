"""The report of the console as a text."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

FILE_WIDTH = 120  # of text in a file, which has no edge to fit


def report_text(report: Mapping[str, Any]) -> str:
    """What `print_report` prints, at a width of 120 letters."""
    from rich.console import Console

    from neurochip.report.console import print_report

    written = io.StringIO()
    print_report(report, Console(file=written, width=FILE_WIDTH))
    return written.getvalue()
