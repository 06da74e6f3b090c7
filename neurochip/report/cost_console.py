"""The document of `neurochip cost` on a terminal: the tables of a report without accuracies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from neurochip.report.console import LABEL_WIDTH, Line, print_line, prose, table_lines
from neurochip.report.sensitivity_lines import short_lines
from neurochip.report.sentences import chip_sentence, history_sentence
from neurochip.report.table import HEADLINE, KINDS, PRICE, STALLS, Column, background, by_group, not_empty

if TYPE_CHECKING:
    from rich.console import Console

MORE = "--json has more: counts, every flip, the rules on equal silicon."
NOT_LEARNED = ("test", "float")  # columns of what only a run knows


def print_cost(document: Mapping[str, Any], console: Console) -> None:
    """Print what was priced, the tables, what the order of the rules hangs on, and the notes."""
    width, groups = console.width, by_group(document)
    lines: list[Line] = [(document["name"], "bold")]
    for label, text in cost_header(document):
        lines += prose(f"{label:{LABEL_WIDTH}}{text}", "", width, LABEL_WIDTH)
    for columns in cost_tables(document):
        lines += table_lines(columns, groups, width)
    for sentences, style in (
        (short_lines(document["sensitivity"]), ""),
        ([MORE, *(f"Note: {note}" for note in document["notes"])], "dim"),
    ):
        lines += [("", "")] if sentences else []
        for sentence in sentences:
            lines += prose(sentence, style, width, 2)
    for text, style in lines:
        print_line(text, style, console)


def cost_tables(document: Mapping[str, Any]) -> list[tuple[Column, ...]]:
    """The tables of a report without what only a run knows; empty ones are left out."""
    headline = tuple(column for column in HEADLINE if column.title[0] not in NOT_LEARNED)
    return not_empty((headline, PRICE, _kinds(), STALLS), document)


def _kinds() -> tuple[Column, ...]:
    """What the energies rest on: the columns of the kinds of the second table of a report."""
    return background({"target_accuracy": 1.0})[: len(KINDS)]


def cost_header(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return (label, sentence) of network, chip, activity and history."""
    network, activity, history = document["network"], document["activity"], history_sentence(document)
    if activity["source"] == "run":
        seen = f"of the run {activity['run']}: {activity['n_samples']:,} samples"
    else:
        rates = ", ".join(f"{rate:.3g}" for rate in activity["rate"])
        samples = f"{activity['n_samples']:,} sample{'s' if activity['n_samples'] != 1 else ''}"
        of_run = activity["source"] == "rates-of-run"
        what = f"mean rates of the run {activity['run']}" if of_run else "assumed"
        seen = f"{what}, nothing was run: {samples} drawn at {rates} events per input and step"
    lines = [
        ("network", f"{network['shape']}, {network['n_weights']:,} weights, T = {document['n_steps']} steps"),
        ("chip", chip_sentence(document)),
        ("activity", seen),
    ]
    return [*lines, ("history", history)] if history else lines
