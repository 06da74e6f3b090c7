"""`neurochip report`: show the report of a finished run again, or price the run on another chip."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from neurochip.cli import options
from neurochip.errors import UserError

FILE_WIDTH = 120  # of text in a file, which has no edge to fit


def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The run directory of a finished run.")],
    chip: options.ChipName = None,
    output_format: Annotated[
        str, typer.Option("--format", metavar="text|json", help="The table, or the content of report.json.")
    ] = "text",
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write to this file instead of standard output.")
    ] = None,
) -> None:
    """Show the report of a run again, or on another chip.

    With --chip the run is priced on that chip from what it recorded, without simulating it again; the run directory
    stays as it is.
    """
    if output_format not in FORMATS:
        raise UserError(f"--format {output_format} is unknown; allowed are {', '.join(FORMATS)}")
    if out is not None:
        _check_out(out, run)
    data = _report(run, chip)
    if out is None and output_format == "text":
        return _print(data)
    text = FORMATS[output_format](data)
    if out is None:
        return typer.echo(text.encode(), nl=False)
    from neurochip.report.json_file import write_text

    try:
        write_text(out, text)
    except OSError as error:
        raise UserError(
            f"--out {out}: cannot be written ({error.strerror}); give a file in a folder that is there"
        ) from error


def _report(run: Path, chip: str | None) -> Mapping[str, Any]:
    if chip is None:
        from neurochip.report.json_file import read_report_json
        from neurochip.run_directory import REPORT_JSON, read_experiment_tables

        read_experiment_tables(run)  # names what is wrong with a folder that is no run directory
        return read_report_json(run / REPORT_JSON)
    from neurochip.repricing import load_run, reprice

    return reprice(load_run(run), chip)


def _check_out(out: Path, run: Path) -> None:
    if out.resolve().is_relative_to(run.resolve()):
        raise UserError(f"--out {out} lies in the run directory, which stays as it is; give a file elsewhere")
    if out.is_dir():
        raise UserError(f"--out {out} is a folder; give a file")


def _print(data: Mapping[str, Any]) -> None:
    from rich.console import Console

    from neurochip.report.console import print_report

    print_report(data, Console())


def _text(data: Mapping[str, Any]) -> str:
    from rich.console import Console

    from neurochip.report.console import print_report

    written = io.StringIO()
    print_report(data, Console(file=written, width=FILE_WIDTH))
    return written.getvalue()


def _json(data: Mapping[str, Any]) -> str:
    return json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


FORMATS: dict[str, Callable[[Mapping[str, Any]], str]] = {"text": _text, "json": _json}
