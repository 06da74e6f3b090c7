"""`neurochip convert`: recordings, images or sounds in the formats of the field become one event file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from neurochip.cli import options as shared
from neurochip.errors import UserError
from neurochip.interrupts import INTERRUPTED, TERMINATED, DeferredSignals, Terminated


def convert(
    source: Annotated[Path, typer.Argument(metavar="IN", help="A file, or a folder with one folder per class.")],
    out: Annotated[Path, typer.Argument(metavar="OUT.h5", help="The event file to write; it must not exist.")],
    input_format: Annotated[
        str | None,
        typer.Option("--format", metavar="NAME", help="Format of every file. [default: found by its content]"),
    ] = None,
    sensor_size: Annotated[
        str | None,
        typer.Option(metavar="W,H,P", help="Width, height and polarities, where the files do not say them."),
    ] = None,
    encoder: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="How images (rate, latency, direct, saccade) or sounds (filter-bank, delta) become events. "
            "[default: rate, filter-bank]",
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="One parameter of the encoder or option of the reader (docs/convert.md), for example steps=10 or "
            "columns=txyp. Repeatable.",
        ),
    ] = None,
    split_fraction: Annotated[
        float | None,
        typer.Option(metavar="F", help="Cut this share of every class as test split, where there is only one split."),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Of that choice, and of encoders that draw.")] = 1,
    limit: Annotated[
        int | None, typer.Option(metavar="N", help="Keep the first N recordings of every class and split.")
    ] = None,
    skip_damaged: Annotated[
        bool, typer.Option("--skip-damaged", help="Leave out what cannot be read, and list it.")
    ] = False,
    exclude: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN",
            help="Leave out files and folders of this name or path below IN, for example '*.aedat', and list them. "
            "Repeatable.",
        ),
    ] = None,
    quiet: shared.Quiet = False,
) -> None:
    """Convert recordings, images or sounds to an event file.

    The task events-h5 learns from it. Formats are found by content, splits and classes by the published names
    (docs/convert.md). Whatever the size of IN, little of it is in memory at a time.
    """
    if out.exists() or out.is_symlink():
        raise UserError(f"{out} exists; name another file, or remove it first")
    try:
        with DeferredSignals(patient=False):
            options = _options(
                input_format, sensor_size, encoder, settings or [], split_fraction, seed, limit, skip_damaged
            )
            options = replace(options, exclude=tuple(exclude or ()))
            done = _converted(source, out, options, quiet)
    except (KeyboardInterrupt, Terminated) as error:
        typer.echo(
            f"neurochip: interrupted; {f'{out} is complete' if out.exists() else 'nothing was written'}", err=True
        )
        raise typer.Exit(TERMINATED if isinstance(error, Terminated) else INTERRUPTED) from None
    typer.echo(_summary(done))


def _converted(source: Path, out: Path, options: Any, quiet: bool) -> Any:
    """Convert; what goes wrong is said without letters that a terminal would obey."""
    from neurochip.cli.progress import progress_for
    from neurochip.convert import convert as convert_files
    from neurochip.printable import printable

    try:
        with progress_for(quiet) as listener:
            return convert_files(source, out, options, listener)
    except UserError as error:
        raise UserError(printable(str(error))) from error


def _options(
    input_format: str | None,
    sensor_size: str | None,
    encoder: str | None,
    settings: list[str],
    split_fraction: float | None,
    seed: int,
    limit: int | None,
    skip_damaged: bool,
) -> Any:
    from neurochip.convert import ConvertOptions
    from neurochip.convert_options import read_options

    if split_fraction is not None and not 0 < split_fraction < 1:
        raise UserError(f"--split-fraction {split_fraction} must be a number between 0 and 1")
    if limit is not None and limit < 1:
        raise UserError(f"--limit {limit} must be 1 or more")
    if not 0 <= seed < 2**63:
        raise UserError(f"--seed {seed} must be 0 to {2**63 - 1}")
    read, parameters = read_options(input_format, sensor_size, settings)
    return ConvertOptions(read, encoder, parameters, split_fraction, seed, limit, skip_damaged)


def _summary(done: Any) -> str:
    from neurochip.printable import printable

    width, height, polarities = done.sensor_size
    lines = [f"{done.path}: sensor {width} x {height} x {polarities}, {done.n_classes} classes"]
    for name, (n_samples, n_events) in sorted(done.splits.items(), reverse=True):  # train first
        lines.append(f"  {name}: {n_samples} recordings, {n_events} events")
    files = ", ".join(f"{n_files} {name}" for name, n_files in done.formats.items())
    lines.append(f"  files: {files}")
    if done.class_names:
        lines.append("  classes: " + ", ".join(f"{index} = {name}" for index, name in enumerate(done.class_names)))
    lines += [f"  not a recording, ignored: {name}" for name in done.ignored]
    lines += [f"  excluded: {name}" for name in done.excluded]
    lines += [f"  note: {sentence}" for sentence in done.notes]
    lines += [f"  left out: {sentence}" for sentence in done.left_out]
    return "\n".join(printable(line) for line in lines)
