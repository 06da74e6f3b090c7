"""Arguments and options that commands share, and what they add to an experiment."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from neurochip.errors import UserError

if TYPE_CHECKING:
    from neurochip.config import Experiment

ExperimentFile = Annotated[
    Path | None,
    typer.Argument(metavar="EXPERIMENT.toml", help="Experiment file; without one the default experiment runs."),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change one key of the experiment, for example learning.epochs=3 or precision.weight.bits=4; the value "
        "is TOML, a bare word is a string. Repeatable; a later one wins.",
    ),
]
ChipName = Annotated[
    str | None, typer.Option("--chip", metavar="NAME|FILE", help="The chip: a name `neurochip chips` lists, or a file.")
]
Network = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|FILE",
        help="The layers: a name `neurochip networks` lists, or a network file; inputs and classes are the task's.",
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Run directory, new or empty, or one of the same experiment, which continues. [default: "
        "runs/<time>-<name>]",
    ),
]
Resume = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR", help="Continue the run in this directory; needs no experiment. A finished run stays as it is."
    ),
]
Engine = Annotated[
    str,
    typer.Option(
        metavar="fast|reference",
        help="fast, or the slow golden model in plain Python; same results, all cycles gone through.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="JSON alone on standard output, all else on standard error.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress on standard error.")]


@dataclass(frozen=True)
class RunOptions:
    """What was typed for `learn` or `compare`; `overrides` are KEY=VALUE texts, later ones win."""

    file: Path | None
    overrides: tuple[str, ...]
    out: Path | None
    resume: Path | None
    engine: str
    as_json: bool
    quiet: bool
    network: str | None = None

    @property
    def base_dir(self) -> Path:
        """The folder that `task.path` is relative to: that of the experiment file, or the current one."""
        return self.file.parent if self.file is not None else Path()

    def load(self) -> Experiment:
        """Read the experiment file and apply the overrides; raises UserError."""
        from neurochip.config import load_experiment

        if self.network is None:
            return load_experiment(self.file, self.overrides)
        from neurochip.network.named import network_table

        return load_experiment(self.file, self.overrides, network=network_table(self.network), source=self.source)

    @property
    def source(self) -> str:
        """Where the experiment comes from, for error messages."""
        from neurochip.config import source_of

        source = source_of(self.file, self.overrides)
        return source if self.network is None else f"{source} with --network {self.network}"

    def check_resume(self) -> None:
        """Refuse, beside --resume, what would change the run that continues.

        Raises:
            UserError: naming what was given and what is allowed.
        """
        changes = {
            "an experiment file": self.file,
            "--set, --chip, --rules or --tune": self.overrides,
            "--network": self.network,
            "--out": self.out,
        }
        given = [name for name, value in changes.items() if value]
        if self.resume is not None and given:
            raise UserError(
                f"--resume {self.resume} continues the experiment of that run directory, so {given[0]} cannot be given "
                "with it; allowed are --engine, --json and --quiet"
            )


def overrides_of(
    settings: list[str] | None, chip: str | None, rules: str | None = None, tune: bool = False
) -> tuple[str, ...]:
    """Return the KEY=VALUE texts that the options stand for."""
    overrides = list(settings or [])
    if chip is not None:
        overrides.append(f"chip.name={_toml(chip)}")
    if rules is not None:
        names = ", ".join(_toml(name.strip()) for name in rules.split(","))
        overrides.append(f"run.rules=[{names}]")
    if tune:
        overrides.append("run.tune=true")
    return tuple(overrides)


def _toml(text: str) -> str:
    """Return a string as TOML writes it; JSON's escapes are TOML's."""
    return json.dumps(text, ensure_ascii=False)


def command_given(context: typer.Context) -> str:
    """The command as it was typed, for somebody who wants to repeat it."""
    words: list[str] = context.find_root().obj or []
    return shlex.join(["neurochip", *words])
