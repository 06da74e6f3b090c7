"""`neurochip diagnose`: what the formats of a run do to its signals, and what to change first."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from neurochip.cli import options


def diagnose(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The run directory of a finished run.")],
    samples: Annotated[
        int, typer.Option(metavar="N", min=1, help="Training samples to look at; fewer if the network is very large.")
    ] = 64,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Show what limits the accuracy of a run, and what to change.

    Per rule and layer: saturation, underflow, updates that round to nothing, signal-to-noise ratios against the float
    twin with the same weights, dead neurons; and one advice with the option to type, or none if the run is healthy.
    """
    from neurochip.cli.progress import progress_for
    from neurochip.diagnosis.of_run import diagnose_run

    with progress_for(quiet) as progress:
        document = diagnose_run(run, samples, progress)
    if as_json:
        return typer.echo(json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False))
    from neurochip.cli.terminal import Terminal
    from neurochip.diagnosis.console import print_diagnosis

    print_diagnosis(document, Terminal())
