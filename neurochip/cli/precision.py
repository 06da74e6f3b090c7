"""`neurochip precision`: sweep keys of an experiment, show how far it is, print and write the table."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from neurochip.cli import options
from neurochip.cli.options import RunOptions, command_given, overrides_of

if TYPE_CHECKING:
    from neurochip.config import Experiment
    from neurochip.sweep.request import SweepRequest
    from neurochip.sweep.run import SweepPoint

INTERRUPTED = 130
SCHEMA = "neurochip-sweep/1"


def precision(
    context: typer.Context,
    experiment: options.ExperimentFile = None,
    sweep: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=V1,V2,...",
            help="A key of the experiment and its values; 2:16 and 2:16:2 are ranges with both ends, for example "
            "precision.weight.bits=2:16. Repeatable.",
        ),
    ] = None,
    method: Annotated[
        str,
        typer.Option(
            metavar="grid|one-at-a-time|random|optuna",
            help="All combinations; one key at a time around the experiment; --points of the combinations drawn at "
            "random; or a search of --points for more accuracy with less energy and area.",
        ),
    ] = "grid",
    start: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="experiment|float",
            help="Where one-at-a-time starts: the experiment, or its float twin, into which it puts the quantiser of "
            "one signal at a time; --sweep then varies formats alone, and may be left out.",
        ),
    ] = "experiment",
    twin: Annotated[
        bool,
        typer.Option("--twin", help="Also run the float twin of the points, as the ceiling of what formats can reach."),
    ] = False,
    seeds: Annotated[
        str | None,
        typer.Option(metavar="1,2,3|1:3", help="Run every point with each of these seeds. [default: run.seed]"),
    ] = None,
    points: Annotated[
        int | None, typer.Option(metavar="N", help="How many points random and optuna draw, each at every seed.")
    ] = None,
    draw: Annotated[int, typer.Option(metavar="SEED", help="Seed that random and optuna draw from.")] = 1,
    workers: Annotated[
        int | None, typer.Option(metavar="N", help="Processes on this machine. [default: one per core]")
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="A Dask scheduler, such as tcp://host:8786, instead of processes."),
    ] = None,
    network: options.Network = None,
    settings: options.Set = None,
    chip: options.ChipName = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder of the sweep, new or empty, or one with points, which are used again. [default: "
            "sweeps/<name>]",
        ),
    ] = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Sweep formats or any key: accuracy, energy, area in one table."""
    from neurochip.cli.progress import progress_for
    from neurochip.errors import UserError
    from neurochip.sweep.request import parse_request, run_sweep

    if scheduler is not None and workers is not None:
        raise UserError(f"--workers {workers}: cannot be given with --scheduler, whose workers do the work")
    request = parse_request(sweep or [], method, seeds, points, draw, start, twin)
    chosen = RunOptions(experiment, overrides_of(settings, chip), None, None, "fast", as_json, quiet, network)
    base = chosen.load()
    folder = out if out is not None else Path("sweeps") / (base.run.name or base.task.name)
    progress = progress_for(quiet)
    try:
        with progress:
            found = run_sweep(
                base,
                request,
                base_dir=chosen.base_dir,
                out=folder,
                n_workers=workers if workers is not None else os.cpu_count() or 1,
                scheduler=scheduler,
                listener=progress,
                command=command_given(context),
            )
    except KeyboardInterrupt:
        typer.echo("neurochip: interrupted; the same command continues with the points that are missing", err=True)
        raise typer.Exit(INTERRUPTED) from None
    _print(found, base, request, as_json)
    progress.message(f"sweep: {folder / 'sweep.html'}")


def _print(points: list[SweepPoint], base: Experiment, request: SweepRequest, as_json: bool) -> None:
    from neurochip.sweep.table import rows_of

    if as_json:
        rows = rows_of(points)
        document = {"schema": SCHEMA, "rows": rows}
        typer.echo(json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False))
        return
    from neurochip.cli.terminal import Terminal
    from neurochip.sweep.console import print_sweep
    from neurochip.sweep.summary import summary_of

    print_sweep(summary_of(points, base, request.strategy), Terminal())
