"""`neurochip cost`: price a network without training it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neurochip.cli import options
from neurochip.cli.cost_map import check_map_options, make_map
from neurochip.cli.options import overrides_of
from neurochip.errors import UserError

if TYPE_CHECKING:
    from neurochip.estimate import Asked

RUN_FILE = "activity.h5"


def cost(
    network: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|SIZES|FILE",
            help="A name `neurochip networks` lists, sizes such as 512-128-10 (inputs, dense hidden layers, classes), "
            "a network file with the keys inputs or input_shape, classes and layers, or an experiment file.",
        ),
    ] = None,
    rules: Annotated[
        str | None,
        typer.Option(
            metavar="RULE,RULE,...",
            help="Rules to price. [default: infer,sltt-o,ottt-o,bptt-o,ottt-a,bptt; with --activity those of the run]",
        ),
    ] = None,
    steps: Annotated[int | None, typer.Option(metavar="T", help="Steps of a sample (task.steps).")] = None,
    rate: Annotated[
        str | None,
        typer.Option(
            metavar="R[,R...]",
            help="Events per input and step: one number for all layers, or one for the inputs and each hidden layer. "
            "[default: 0.1, an assumption; the inputs of an experiment file: measured on its task]",
        ),
    ] = None,
    psi: Annotated[
        str | None,
        typer.Option(
            metavar="F[,F...]",
            help="Share of hidden neurons with a surrogate, of all or of each hidden layer. [default: 0.4]",
        ),
    ] = None,
    signal: Annotated[
        str | None,
        typer.Option(
            metavar="F[,F...]",
            help="In steps with an error: share of the neurons with a surrogate that have a learning signal (of all or "
            "of each hidden layer), and last of the outputs with an error. [default: 0.7,0.4]",
        ),
    ] = None,
    signal_steps: Annotated[
        float | None, typer.Option(metavar="F", help="Share of the steps with an error. [default: 0.6]")
    ] = None,
    rates_of: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN",
            help="Draw at the mean rates of every layer and step of a finished run of the same layers: its folder, or "
            "the activity.h5 in it. Excludes --rate, --psi, --signal and --signal-steps.",
        ),
    ] = None,
    samples: Annotated[
        int | None, typer.Option(metavar="N", help="Samples to draw. [default: 16, fewer for a large network]")
    ] = None,
    seed: Annotated[int | None, typer.Option(metavar="N", help="Seed of the drawing. [default: 1]")] = None,
    activity: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN",
            help="Price what a finished run did instead: its folder, or the activity.h5 in it.",
        ),
    ] = None,
    as_map: Annotated[
        bool,
        typer.Option(
            "--map", help="Price a grid of settings: which rule is cheapest where, the borders, and what moves them."
        ),
    ] = False,
    axes: Annotated[
        list[str] | None,
        typer.Option(
            "--axis",
            metavar="KEY=V1,V2,...",
            help="With --map, an axis of the grid: steps, rate, psi, signal, signal-steps, width (of the hidden "
            "layers: 64, 64:32 or a factor, x0.5) or a key such as precision.trace.bits. Repeatable. [default: steps "
            "against rate, width, trace bits, surrogate, batch and overflow mode, each alone]",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="With --map: write map.json, map.csv and plots to a new folder.")
    ] = None,
    chip: options.ChipName = None,
    settings: options.Set = None,
    output_format: Annotated[
        str, typer.Option("--format", metavar="FORMAT", help="text, json (as --json), csv, markdown or latex.")
    ] = "text",
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Price a network and its rules without training it."""
    writer = _writer(output_format, as_json, as_map)
    drawn = {
        "--rate": rate, "--psi": psi, "--signal": signal, "--signal-steps": signal_steps, "--samples": samples,
        "--seed": seed,
    }  # fmt: skip
    check_map_options(as_map, {"--axis": axes, "--out": out}, {"--rates-of": rates_of, "--activity": activity})
    if activity is not None:
        others = {"--network": network, "--steps": steps, **drawn, "--rates-of": rates_of, "--set": settings}
        given = [name for name, value in others.items() if value is not None and value != []]
        if given:
            raise UserError(
                f"{given[0]} cannot be given with --activity, as network and activity are those of the run; allowed "
                "are --rules, --chip, --json and --quiet"
            )
        document = _of_run(activity, rules, chip)
    elif network is None:
        raise UserError("neither --network nor --activity is given; for example --network 512-128-10")
    else:
        overrides = overrides_of(settings, chip, rules)
        overrides = (*overrides, f"task.steps={steps}") if steps is not None else overrides
        if as_map:
            return make_map(network, overrides, axes or [], _asked(drawn, None), out, as_json, quiet)
        document = _of_network(network, overrides, _asked(drawn, rates_of), quiet)
    if writer is not None:
        return typer.echo(writer(document).encode(), nl=False)
    from neurochip.cli.terminal import Terminal
    from neurochip.report.cost_console import print_cost

    print_cost(document, Terminal())


def _writer(name: str, as_json: bool, as_map: bool) -> Callable[[dict[str, Any]], str] | None:
    """What writes the document; None: the console."""
    from neurochip.report.formats import find_format, loaded

    if as_map and name != "text":
        raise UserError(f"--format {name} does not go with --map; allowed are --json, and --out DIR for map.csv")
    if as_json and name not in ("text", "json"):
        raise UserError(f"--format {name} does not go with --json; give one of the two")
    path = find_format("json" if as_json else name).check_cost()
    return None if name == "text" and not as_json else loaded(path)


def _of_run(activity: Path, rules: str | None, chip: str | None) -> dict[str, Any]:
    from neurochip.cost_of_run import cost_of_run
    from neurochip.repricing import load_run

    names = None if rules is None else [name.strip() for name in rules.split(",")]
    return cost_of_run(load_run(_folder(activity)), names, chip)


def _folder(run: Path) -> Path:
    """The folder of a run that is given by its folder or the file of its activity."""
    return run.parent if run.name == RUN_FILE else run


def _of_network(network: str, overrides: tuple[str, ...], asked: Asked, quiet: bool) -> dict[str, Any]:
    from neurochip.cli.progress import progress_for
    from neurochip.estimate import cost_from_rates
    from neurochip.network.named import named_network

    with progress_for(quiet) as progress:
        return cost_from_rates(named_network(network, overrides), asked, progress)


def _asked(drawn: dict[str, Any], rates_of: Path | None) -> Asked:
    """What the options assume; those not given keep their defaults."""
    from neurochip.estimate import Asked

    for option in ("--rate", "--psi", "--signal", "--signal-steps"):
        if rates_of is not None and drawn[option] is not None:
            raise UserError(
                f"{option} cannot be given with --rates-of, as the rates are those of the run; allowed are --network, "
                "--rules, --steps, --samples, --seed, --chip, --set, --json and --quiet"
            )
    given: dict[str, Any] = {
        "rates": _numbers("--rate", drawn["--rate"]),
        "psi": _numbers("--psi", drawn["--psi"]),
        "signal": _numbers("--signal", drawn["--signal"]),
        "signal_steps": drawn["--signal-steps"],
        "n_samples": drawn["--samples"],
        "seed": drawn["--seed"],
    }
    if given["psi"] is not None and len(given["psi"]) == 1:
        given["psi"] = given["psi"][0]
    if given["signal"] is not None and len(given["signal"]) == 1:
        given["signal"] *= 2
    if given["seed"] is not None and given["seed"] < 0:
        raise UserError(f"--seed is {given['seed']}; allowed are whole numbers from 0")
    if rates_of is not None:
        from neurochip.repricing import load_run

        try:
            given["run"] = load_run(_folder(rates_of))
        except UserError as error:
            raise UserError(f"--rates-of {error}") from error
    return Asked(**{key: value for key, value in given.items() if value is not None})


def _numbers(option: str, text: str | None) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise UserError(f"{option} {text}: is not a list of numbers; for example {option} 0.05,0.2") from error
