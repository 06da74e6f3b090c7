"""The document of `neurochip cost` in every format that it has; what a report says of a run is left out."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from neurochip.report import latex, markdown
from neurochip.report.cost_console import cost_header, cost_tables, print_cost
from neurochip.report.csv_format import csv_text
from neurochip.report.grid import grid_of
from neurochip.report.json_file import report_json
from neurochip.report.rows import rows_of
from neurochip.report.text_format import FILE_WIDTH

Document = Mapping[str, Any]


def cost_text(document: Document) -> str:
    """What `print_cost` prints, for a file."""
    from rich.console import Console

    written = io.StringIO()
    print_cost(document, Console(file=written, width=FILE_WIDTH))
    return written.getvalue()


def cost_json(document: Document) -> str:
    """The document as it is."""
    return report_json(document)


def cost_csv(document: Document) -> str:
    """One row per rule, the columns of a report; those of accuracies are empty."""
    return csv_text(rows_of(document))


def cost_markdown(document: Document) -> str:
    """What was priced, all tables of the console, and the notes."""
    lines = [f"# {markdown.escaped(document['name'])}", ""]
    lines += [f"- {label}: {markdown.escaped(text)}" for label, text in cost_header(document)]
    for columns in cost_tables(document):
        lines += ["", *markdown.table_lines(grid_of(columns, document))]
    lines += ["", *(f"- {markdown.escaped(note)}" for note in document["notes"])] if document["notes"] else []
    return "\n".join(lines) + "\n"


def cost_latex(document: Document) -> str:
    """The headline table as a float."""
    about = dict(cost_header(document))
    caption = f"{about['network']}, on {about['chip']}. Activity {about['activity']}."
    identity = [document["experiment"], document["activity"]]
    return latex.table_text(
        [grid_of(cost_tables(document)[0], document)], caption, f"cost {document['name']}", identity
    )
