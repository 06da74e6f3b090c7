"""`neurochip validate`: published silicon, computed again."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import typer

from neurochip.cli import options

if TYPE_CHECKING:
    from neurochip.silicon import Check, Summary

FAILED = 1
FILE_WIDTH = 300  # of a table in a file or a pipe, which has no edge to fit
HEADINGS = ("what", "published", "predicted", "unit", "error %", "tolerance %", "", "role", "method", "grade", "source")
NUMBERS = ("published", "predicted", "error %", "tolerance %")
LEFT_OUT = ("source", "grade", "method", "tolerance %")  # on a terminal too narrow for all columns, in this order
LEAST_WIDTHS = {"what": 20, "source": 30}  # of the columns that wrap


def validate(as_json: options.Json = False) -> None:
    """Hold the models against the figures of published silicon.

    Exit code 1 if a check fails.
    """
    from neurochip.errors import UserError
    from neurochip.silicon import all_checks, summary

    try:
        checks = all_checks()
    except UserError as error:  # the files are those of this package: a number in them that cannot be is a failure
        typer.echo(f"neurochip: {error}", err=True)
        raise typer.Exit(FAILED) from None
    result = summary(checks)
    if as_json:
        typer.echo(json.dumps(_document(checks, result), indent=1, ensure_ascii=False))
    else:
        _print_table(checks)
        typer.echo(f"{result.sentence}. Only predictions validate the model; docs/silicon.md says what the roles mean.")
    for check in result.failed:
        typer.echo(
            f"neurochip: {check.group}, {check.name}: published {check.published:g}, predicted {check.predicted:.6g} "
            f"{check.unit}, tolerance {check.tolerance_percent:g} % ({check.role})",
            err=True,
        )
    if result.failed:
        raise typer.Exit(FAILED)


def _document(checks: Sequence[Check], result: Summary) -> dict[str, Any]:
    rows = []
    for check in checks:
        error = check.error_percent
        row = asdict(check) | {"error_percent": error if math.isfinite(error) else None, "holds": check.holds}
        rows.append(row)
    roles = {role: {"number": number, "held": result.held[role]} for role, number in result.number.items()}
    return {"checks": rows, "roles": roles, "summary": result.sentence, "failed": len(result.failed)}


def table_rows(checks: Sequence[Check]) -> list[tuple[str, ...]]:
    """Cells of the table: one line per check, but one line for an exact group that holds."""
    rows: list[tuple[str, ...]] = []
    for (group, role), found in itertools.groupby(checks, key=lambda check: (check.group, check.role)):
        members = list(found)
        equal = [check for check in members if check.holds]
        if role == "exact" and len(equal) > 1:
            first = members[0]
            numbers = f"{len(members)} numbers", f"{len(equal)} equal"
            source = first.source if len({check.source for check in members}) == 1 else f"{first.source}, and others"
            rows.append((group, *numbers, "", "", "0", "yes", role, first.method, first.grade, source))
            members = [check for check in members if not check.holds]
        rows += [_cells(check) for check in members]
    return rows


def _cells(check: Check) -> tuple[str, ...]:
    is_bound = check.role == "bound"
    return (
        f"{check.group}: {check.name}",
        f"{'≤ ' if is_bound else ''}{check.published:.4g}",
        f"{check.predicted:.4g}",
        check.unit if check.unit != "1" else "",
        f"{check.error_percent:+.1f}",
        f"{check.tolerance_percent:g}",
        "yes" if check.holds else "NO",
        check.role,
        check.method,
        check.grade,
        check.source,
    )


def _print_table(checks: Sequence[Check]) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from neurochip.cli.terminal import Terminal

    console, rows = Terminal(), table_rows(checks)
    if not console.is_terminal:
        console = Terminal(width=max(console.width, FILE_WIDTH))
    shown = headings_within(rows, console.width)
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    for heading in shown:
        wraps = heading in LEAST_WIDTHS
        table.add_column(heading, no_wrap=not wraps, justify="right" if heading in NUMBERS else "left")
    for row in rows:
        cells = (cell for heading, cell in zip(HEADINGS, row, strict=True) if heading in shown)
        table.add_row(*(Text(cell, style="bold red" if cell == "NO" else "") for cell in cells))
    console.print(table)
    if len(shown) < len(HEADINGS):
        missing = ", ".join(heading for heading in HEADINGS if heading not in shown)
        typer.echo(f"Left out on {console.width} columns: {missing}; a wider terminal, a file or --json has them.")


def headings_within(rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """The columns that fit a width; of those that wrap at least their least width."""
    shown = list(HEADINGS)
    widest = {
        heading: max(map(len, (heading, *cells)))
        for heading, cells in zip(HEADINGS, zip(*rows, strict=True), strict=True)
    }
    for heading in LEFT_OUT:
        if sum(LEAST_WIDTHS.get(name, widest[name]) + 2 for name in shown) <= width:
            break
        shown.remove(heading)
    return shown
