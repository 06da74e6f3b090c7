"""`neurochip report`: finished runs again, in any format, on another chip, or side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neurochip.cli import options
from neurochip.errors import UserError

if TYPE_CHECKING:
    from neurochip.report.formats import Format, Written

FORMAT_HELP = (
    "text: the tables; json: the content of report.json; csv, markdown, latex, html: for other programs and papers; "
    "neurobench: NeuroBench's metrics; into a folder: accelergy, action counts and energy tables, and sanafe, one "
    "sample step by step; one sample replayed: perfetto, a trace, vcd, waveforms, and raster, a picture."
)


def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN", help="The run directory of a finished run.")],
    chip: options.ChipName = None,
    output_format: Annotated[str, typer.Option("--format", metavar="FORMAT", help=FORMAT_HELP)] = "text",
    sample: Annotated[
        int | None,
        typer.Option(metavar="N", help="sanafe, perfetto, vcd, raster: which sample of the split, from 0; default 0."),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            metavar="train|test",
            help="The same formats: of which split; default train. perfetto, vcd and raster show how a training sample "
            "is learned, and inference of a test sample; sanafe inference of either.",
        ),
    ] = None,
    rule: Annotated[
        str | None, typer.Option(metavar="NAME", help="perfetto, vcd, raster: which rule, where the run has several.")
    ] = None,
    neurons: Annotated[
        str | None, typer.Option(metavar="L:I,...", help="vcd, raster: these neurons, LAYER:INDEX, as in 0:3,1:5.")
    ] = None,
    synapses: Annotated[
        str | None, typer.Option(metavar="L:I:J,...", help="vcd: these synapses, LAYER:INPUT:NEURON, as in 0:12:5.")
    ] = None,
    cycles: Annotated[
        str | None, typer.Option(metavar="FIRST:END", help="vcd: only these clocks, END not included.")
    ] = None,
    compare: Annotated[
        bool, typer.Option("--compare", help="Set the folders of two or more finished runs side by side.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE|DIR", help="Write to this file, or new or empty folder, instead of standard output."
        ),
    ] = None,
) -> None:
    """Show finished runs again, in any format.

    With --chip a run is priced on another chip from what it recorded, without simulating it again; with --compare
    several runs stand side by side. The run directory stays as it is. docs/report.md describes the formats.
    """
    from neurochip.report.formats import find_format

    chosen = find_format(output_format)
    choices = {"rule": rule, "neurons": neurons, "synapses": synapses, "cycles": cycles}
    picked = {"sample": sample, "split": split}
    _check(chosen, runs, picked, compare, out)
    _check_choices(chosen, choices)
    if compare:
        return _compare(chosen, runs, chip, out)
    content = _content(chosen, runs[0], chip, picked, choices)
    if out is None and chosen.name == "text":
        from neurochip.report.console import print_report

        return print_report(content, _console())
    _write(chosen.write(content), out)


def _check(
    chosen: Format, runs: Sequence[Path], picked: Mapping[str, int | str | None], compare: bool, out: Path | None
) -> None:
    """Refuse what does not go together before anything is read."""
    if len(runs) > 1 and not compare:
        raise UserError(f"{len(runs)} runs were given; give one run, or --compare to set them side by side")
    if len(runs) == 1 and compare:
        raise UserError("--compare needs two runs or more, and one was given")
    if compare:
        chosen.check_comparison()
        _check_folders(runs)
    for name, value in picked.items():
        if value is not None and not chosen.takes_sample:
            from neurochip.report.formats import FORMATS

            takers = ", ".join(one.name for one in FORMATS.values() if one.takes_sample)
            raise UserError(f"--{name} does not go with --format {chosen.name}; allowed it is with {takers}")
    for run in runs:
        _check_out(out, run, chosen)


def _check_folders(runs: Sequence[Path]) -> None:
    from neurochip.run_directory import EXPERIMENT

    for run in runs:
        if not (run / EXPERIMENT).is_file():
            raise UserError(
                f"{run}: is not a run directory; --compare takes the folders of two or more finished runs of neurochip "
                "learn or neurochip compare, and no output of neurochip cost or neurochip precision"
            )


def _check_choices(chosen: Format, choices: Mapping[str, str | None]) -> None:
    from neurochip.report.formats import FORMATS

    for name, value in choices.items():
        if value is not None and name not in chosen.choices:
            takers = ", ".join(one.name for one in FORMATS.values() if name in one.choices)
            raise UserError(f"--{name} does not go with --format {chosen.name}; allowed it is with {takers}")


def _check_out(out: Path | None, run: Path, chosen: Format) -> None:
    if out is None:
        if chosen.is_folder:
            raise UserError(f"--format {chosen.name} is several files; give --out a new or empty folder")
        return
    if out.resolve().is_relative_to(run.resolve()):
        raise UserError(f"--out {out} lies in the run directory, which stays as it is; give a place elsewhere")
    if not chosen.is_folder and out.is_dir():
        raise UserError(f"--out {out} is a folder; give a file")
    if chosen.is_folder and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"--out {out} is there already; --format {chosen.name} needs a new or empty folder")


def _content(
    chosen: Format, run: Path, chip: str | None, picked: Mapping[str, Any], choices: Mapping[str, str | None]
) -> Any:
    """What the writer of a format takes: the report, or the records it is made from."""
    from neurochip.report.formats import REPORT, loaded

    if chosen.content == REPORT:
        return _report(run, chip)
    if not chosen.takes_sample:
        return loaded(chosen.content)(run, chip)
    from neurochip.cli.progress import progress_for

    with progress_for(False) as progress:
        made = {name: choices[name] for name in chosen.choices}
        return loaded(chosen.content)(run, chip, **picked, **made, listener=progress)


def _report(run: Path, chip: str | None) -> Mapping[str, Any]:
    if chip is None:
        from neurochip.report.json_file import read_report_json
        from neurochip.run_directory import REPORT_JSON, read_experiment_tables

        read_experiment_tables(run)  # names what is wrong with a folder that is no run directory
        return read_report_json(run / REPORT_JSON)
    from neurochip.repricing import load_run, reprice

    return reprice(load_run(run), chip)


def _compare(chosen: Format, runs: Sequence[Path], chip: str | None, out: Path | None) -> None:
    from neurochip.run_commands import read_commands
    from neurochip.runs_compared import labels_of, runs_compared

    labels = labels_of(runs)
    reports = {label: _report(run, chip) for label, run in zip(labels, runs, strict=True)}
    commands = {label: read_commands(run) for label, run in zip(labels, runs, strict=True)}
    comparison = runs_compared(reports, _command(runs, chip), commands)
    if out is None and chosen.name == "text":
        from neurochip.report.comparison import print_comparison

        return print_comparison(comparison, _console())
    _write(chosen.write_comparison(comparison), out)


def _command(runs: Sequence[Path], chip: str | None) -> str:
    """What sets the runs side by side; format and place of the text are no part of it."""
    import shlex

    return shlex.join(["neurochip", "report", *map(str, runs), "--compare", *(["--chip", chip] if chip else [])])


def _console() -> Any:
    from neurochip.cli.terminal import Terminal

    return Terminal()


def _write(written: Written, out: Path | None) -> None:
    """A text to standard output or a file, several into a folder."""
    if out is None:
        if not isinstance(written, str):
            raise TypeError("several files need a folder, which was checked")
        return typer.echo(written.encode(), nl=False)
    from neurochip.report.json_file import write_text

    files = {out: written} if isinstance(written, str) else {out / name: text for name, text in written.items()}
    try:
        for path, text in files.items():
            if not isinstance(written, str):
                path.parent.mkdir(parents=True, exist_ok=True)
            write_text(path, text)
    except OSError as error:
        what = "file in a folder that is there" if isinstance(written, str) else "folder that can be written"
        raise UserError(f"--out {out}: cannot be written ({error.strerror}); give a {what}") from error
