"""The document of `neurochip cost` on a terminal: the tables of a report without accuracies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from neurochip.report.console import LABEL_WIDTH, Line, print_line, prose, table_lines
from neurochip.report.sensitivity_lines import sensitivity_lines
from neurochip.report.table import HEADLINE, KINDS, PRICE, Column, background, by_group, number

if TYPE_CHECKING:
    from rich.console import Console

NOT_LEARNED = ("test", "float")  # columns of what only a run knows


def print_cost(document: Mapping[str, Any], console: Console) -> None:
    """Print what was priced, the tables, what the order of the rules hangs on, and the notes."""
    width, groups = console.width, by_group(document)
    lines: list[Line] = [(document["name"], "bold")]
    for label, text in cost_header(document):
        lines += prose(f"{label:{LABEL_WIDTH}}{text}", "", width, LABEL_WIDTH)
    for columns in (tuple(column for column in HEADLINE if column.title[0] not in NOT_LEARNED), PRICE, _kinds()):
        lines += table_lines(columns, groups, width)
    for sentences, style in (
        (sensitivity_lines(document["sensitivity"]), ""),
        ([f"Note: {note}" for note in document["notes"]], "dim"),
    ):
        lines += [("", "")] if sentences else []
        for sentence in sentences:
            lines += prose(sentence, style, width, 2)
    for text, style in lines:
        print_line(text, style, console)


def _kinds() -> tuple[Column, ...]:
    """What the energies rest on: the columns of the kinds of the second table of a report."""
    return background({"target_accuracy": 1.0})[: len(KINDS)]


def cost_header(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return (label, sentence) of network, chip, activity and history."""
    network, chip, activity, history = (document[key] for key in ("network", "chip", "activity", "history"))
    if activity["source"] == "run":
        seen = f"of the run {activity['run']}: {activity['n_samples']:,} samples"
    else:
        rates = ", ".join(f"{rate:.3g}" for rate in activity["rate"])
        seen = f"assumed, nothing was run: {activity['n_samples']:,} samples drawn at {rates} events per input and step"
    equal, leaves = history["steps_history_equals_weights"], history["steps_history_leaves_chip"]
    fits = "" if leaves is None else f"; it no longer fits on this chip from T = {leaves:,} on"
    return [
        ("network", f"{network['shape']}, {network['n_weights']:,} weights, T = {document['n_steps']} steps"),
        (
            "chip",
            f"{chip['name']} ({chip['microarchitecture']}, {chip['technology']}), {chip['clock_mhz']:g} MHz, "
            f"{chip['voltage_v']:g} V, overflow = {chip['overflow']}",
        ),
        ("activity", seen),
        ("history", f"BPTT's history is as large as the weights at T* = {number(equal)} steps{fits}"),
    ]
