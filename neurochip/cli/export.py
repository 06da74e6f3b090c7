"""`neurochip export`: what a finished run learned, as integers for a chip, firmware or a test bench."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The run directory of a finished run.")],
    output_format: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="npz|c|readmemh|nir",
            help="numpy arrays, a C99 header, one hex image per memory of an ottt_core chip, or a NIR graph.",
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder to write to, new or empty; with nir also FILE.nir.")],
    rule: Annotated[
        str | None, typer.Option(metavar="NAME", help="Which rule, where the run compared several.")
    ] = None,
) -> None:
    """Write the weights and formats of a run for a chip or firmware.

    All that docs/semantics.md needs to run the network, and to go on learning, outside of neurochip; docs/export.md
    describes the files.
    """
    from neurochip.export import export_files, load_learned
    from neurochip.export.formats import check_folder, check_format

    check_format(output_format)
    check_folder(out, run, output_format)
    for path in export_files(load_learned(run, rule), output_format, out):
        typer.echo(path)
