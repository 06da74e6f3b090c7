"""`neurochip chips`, `tasks`, `rules` and `networks`: what there is to choose from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neurochip.cli import options
from neurochip.printable import printable

if TYPE_CHECKING:
    from neurochip.chip import Chip

# Their words have one width whatever the rule and the network, so their capacity follows from the chip and the formats.
SIZED_MEMORIES = ("synapse", "gradient", "history")
FILE_WIDTH = 160  # of a table in a file or a pipe, which has no edge to fit
Row = Mapping[str, Any]


def chips(
    as_json: options.Json = False,
    show: Annotated[str | None, typer.Option(metavar="NAME", help="Print the file of one, to change a copy.")] = None,
) -> None:
    """List the chips that come with neurochip."""
    from neurochip.chip import chip_file, list_chips, load_chip

    if show is not None:
        return typer.echo(chip_file(show).read_text(encoding="utf-8"), nl=False)
    rows = [_chip_row(load_chip(name)) for name in list_chips()]
    if as_json:
        return _print_json(rows)
    headings = ("name", "technology", "MHz", "lanes", *(f"{name} kB" for name in SIZED_MEMORIES))
    cells = [
        (
            row["name"],
            row["technology"],
            f"{row['clock_mhz']:g}",
            str(row["lanes"]),
            *(f"{row['memory_kb'][name]:g}" if name in row["memory_kb"] else "-" for name in SIZED_MEMORIES),
        )
        for row in rows
    ]
    _print_table(headings, cells)
    typer.echo("kB = 1024 bytes at the default formats (precision.weight.bits, precision.gradient.bits).")


def tasks(as_json: options.Json = False) -> None:
    """List the tasks: data sets that are ready to learn."""
    from neurochip.tasks import list_tasks

    rows = [{"name": task.name, "summary": task.summary} for task in list_tasks()]
    if as_json:
        return _print_json(rows)
    _print_table(("name", "summary"), [tuple(row.values()) for row in rows])


def rules(as_json: options.Json = False) -> None:
    """List the learning rules and where they stand on the three axes."""
    from neurochip.rules.presets import EXAMPLES, RULES

    keys = ("name", "temporal", "spatial", "update", "group", "summary")
    rows = [dict(zip(keys, (rule.name, *rule.axes, rule.group, rule.summary), strict=True)) for rule in RULES]
    if as_json:
        return _print_json(rows)
    _print_table(keys, [tuple(row.values()) for row in rows])
    typer.echo(f"T = all steps; K, b, W = learning.unroll, .block, .window. Any point is a rule, such as {EXAMPLES}.")


def networks(as_json: options.Json = False) -> None:
    """List the networks that come with neurochip."""
    from dataclasses import asdict

    from neurochip.network.named import list_networks

    found = list_networks()
    if as_json:
        return _print_json([asdict(network) for network in found])
    cells = [
        (one.name, one.inputs, str(one.n_classes), str(one.n_parameters), str(one.n_neurons), one.summary)
        for one in found
    ]
    _print_table(("name", "inputs", "classes", "parameters", "neurons", "summary"), cells)


def _chip_row(chip: Chip) -> dict[str, Any]:
    from neurochip.config_precision import PrecisionTable

    formats = PrecisionTable()
    word_bits = {
        "synapse": chip.lanes * formats.weight.bits,
        "gradient": chip.lanes * formats.gradient.bits,
        "history": chip.history_word_bits,
    }
    sized = [name for name in SIZED_MEMORIES if name in chip.memories]
    return {
        "name": chip.name,
        "microarchitecture": chip.microarchitecture,
        "technology": chip.technology.name,
        "clock_mhz": chip.clock_mhz,
        "voltage_v": chip.voltage_v,
        "lanes": chip.lanes,
        "overflow": chip.overflow,
        "memory_kb": {name: chip.memories[name].words * word_bits[name] / 8 / 1024 for name in sized},
        "memory_words": {name: memory.words for name, memory in chip.memories.items()},
    }


def _print_json(rows: Sequence[Row]) -> None:
    typer.echo(json.dumps(rows, indent=1, ensure_ascii=False))


def _print_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows under headings; only columns of prose wrap, and only on a terminal too narrow for them."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from neurochip.cli.terminal import Terminal

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    for heading, cells in zip(headings, zip(*rows, strict=True), strict=True):
        table.add_column(heading, no_wrap=not any(" " in cell for cell in cells))
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    console = Terminal()
    if not console.is_terminal:
        console = Terminal(width=max(console.width, FILE_WIDTH))
    console.print(table)
