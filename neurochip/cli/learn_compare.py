"""`neurochip learn` and `neurochip compare`: run an experiment, show how it goes, print the report."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated

import typer

from neurochip.cli import options
from neurochip.cli.options import RunOptions, command_given, overrides_of

if TYPE_CHECKING:
    from neurochip.experiment import Report
    from neurochip.listener import Listener

INTERRUPTED = 130


def learn(
    context: typer.Context,
    experiment: options.ExperimentFile = None,
    network: options.Network = None,
    settings: options.Set = None,
    chip: options.ChipName = None,
    out: options.Out = None,
    resume: options.Resume = None,
    engine: options.Engine = "fast",
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Simulate learning with one rule (learning.rule) and price it."""
    overrides = overrides_of(settings, chip)
    chosen = RunOptions(experiment, overrides, out, resume, engine, as_json, quiet, network)
    _run("learn", chosen, command_given(context))


def compare(
    context: typer.Context,
    experiment: options.ExperimentFile = None,
    rules: Annotated[
        str | None,
        typer.Option(
            metavar="RULE,RULE,...",
            help="Rules to compare, of those `neurochip rules` lists. [default: "
            "infer,sltt-o,ottt-o,bptt-o,ottt-a,bptt]",
        ),
    ] = None,
    tune: Annotated[
        bool, typer.Option("--tune", help="First search every rule's learning rate on the validation split.")
    ] = False,
    network: options.Network = None,
    settings: options.Set = None,
    chip: options.ChipName = None,
    out: options.Out = None,
    resume: options.Resume = None,
    engine: options.Engine = "fast",
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Compare learning rules on the same spikes and the same silicon."""
    overrides = overrides_of(settings, chip, rules, tune)
    chosen = RunOptions(experiment, overrides, out, resume, engine, as_json, quiet, network)
    _run("compare", chosen, command_given(context))


def _run(verb: str, chosen: RunOptions, command: str) -> None:
    """Run, continue or reopen an experiment; Ctrl-C ends it with the command that continues."""
    from neurochip.cli.progress import progress_for

    chosen.check_resume()
    progress = progress_for(chosen.quiet)
    try:
        with progress:
            report = _report(verb, chosen, command, progress)
    except KeyboardInterrupt:
        typer.echo(f"neurochip: interrupted; {_how_to_continue(verb, chosen, progress.directory)}", err=True)
        raise typer.Exit(INTERRUPTED) from None
    _print(report, chosen.as_json)
    progress.message(f"report: {report.directory / 'report.html'}")


def _report(verb: str, chosen: RunOptions, command: str, listener: Listener) -> Report:
    from neurochip import experiment

    if chosen.resume is not None:
        return experiment.resume(chosen.resume, listener=listener, engine=chosen.engine, command=command)
    run = experiment.learn if verb == "learn" else experiment.compare
    return run(
        chosen.load(),
        base_dir=chosen.base_dir,
        out=chosen.out,
        listener=listener,
        engine=chosen.engine,
        command=command,
        source=chosen.source,
    )


def _how_to_continue(verb: str, chosen: RunOptions, directory: str | None) -> str:
    folder = directory or (str(chosen.resume) if chosen.resume is not None else None)
    if folder is None:
        return "nothing was written yet, so give the same command again"
    return f"continue with: neurochip {verb} --resume {shlex.quote(folder)}"


def _print(report: Report, as_json: bool) -> None:
    """Print the table, or report.json byte for byte, on standard output."""
    if as_json:
        typer.echo((report.directory / "report.json").read_bytes(), nl=False)
        return
    from neurochip.cli.terminal import Terminal
    from neurochip.report.console import print_report

    print_report(report.data, Terminal())
