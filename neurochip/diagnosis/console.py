"""The document of `neurochip diagnose` on a terminal: a table per rule, and the advice."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from neurochip.diagnosis.of_run import sentence

if TYPE_CHECKING:
    from rich.console import Console

NONE = "-"
Layer = Mapping[str, Any]


def _share(value: float | None) -> str:
    return NONE if value is None else f"{100 * value:.3g} %"


def _db(value: float | None) -> str:
    return NONE if value is None else f"{value:.1f} dB"


def _of(table: str, key: str, text: Callable[[Any], str]) -> Callable[[Layer], str]:
    return lambda layer: NONE if layer[table] is None else text(layer[table].get(key))


ROWS: tuple[tuple[str, Callable[[Layer], str]], ...] = (
    *((f"saturated: {name}", _of("saturation", name, _share)) for name in
      ("membrane", "readout", "trace", "error", "delta", "gradient", "weight")),
    ("errors rounded to 0", lambda layer: _share(layer["underflow"])),
    ("weights at their limit", lambda layer: _share(layer["weights_at_limit"])),
    ("updates without a change", _of("rounding", "unchanged_share", _share)),
    ("learning rate lost", _of("rounding", "rate_lost", _share)),
    ("bias of an update, LSB", _of("rounding", "bias_lsb", lambda value: f"{value:.2g}")),
    *((f"SNR: {name}", _of("snr_db", name, _db)) for name in ("potential", "trace", "error", "gradient")),
    ("samples whose spikes differ", _of("divergence", "samples_share", _share)),
    ("first step that differs", _of("divergence", "first_step", lambda value: NONE if value is None else str(value))),
    ("silent neurons", _of("neurons", "silent", _share)),
    ("dead neurons", _of("neurons", "dead", _share)),
    ("neurons that always fire", _of("neurons", "saturated", _share)),
)  # fmt: skip


def table_rows(result: Mapping[str, Any]) -> list[list[str]]:
    """Header and rows of the table of one rule; rows without any number are left out."""
    layers = result["layers"]
    header = ["", *(f"{index} {layer['kind']}" for index, layer in enumerate(layers))]
    rows = [[title, *(cell(layer) for layer in layers)] for title, cell in ROWS]
    return [header, *(row for row in rows if any(cell != NONE for cell in row[1:]))]


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
            console.print(line, highlight=False, markup=False, soft_wrap=True)
        console.print(sentence(result), highlight=False, markup=False, soft_wrap=True)
