"""The command `neurochip`: its commands, and how errors end it.

Exit codes: 0 done, 1 a bug (with its traceback) or a failed check of `validate`, 2 bad input (one sentence), 130
interrupted.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated, Any, cast

import typer

from neurochip._version import __version__
from neurochip.cli import convert, cost, diagnose, export, learn_compare, lists, precision, report, validate
from neurochip.errors import UserError
from neurochip.printable import printable

NAME = "neurochip"
BAD_INPUT, INTERRUPTED = 2, 130
# typer exports only this subclass of what every wrong option, argument or command raises.
UsageError = cast(type[Exception], typer.BadParameter.__base__)

# Plain help: rich would make it four times slower.
app = typer.Typer(
    name=NAME,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
app.command("learn")(learn_compare.learn)
app.command("compare")(learn_compare.compare)
app.command("validate")(validate.validate)
app.command("report")(report.report)
app.command("cost")(cost.cost)
app.command("precision")(precision.precision)
app.command("diagnose")(diagnose.diagnose)
app.command("convert")(convert.convert)
app.command("export")(export.export)
app.command("chips")(lists.chips)
app.command("tasks")(lists.tasks)
app.command("rules")(lists.rules)
app.command("networks")(lists.networks)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"{NAME} {__version__}")
        raise typer.Exit


@app.callback()
def neurochip(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Simulate spiking networks that learn on the chip: accuracy, memory accesses, cycles and energy.

    `neurochip compare` runs the default experiment offline and compares the learning rules with BPTT.
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; `arguments` default to those of the process."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    command = typer.main.get_command(app)
    try:
        # Not standalone: typer would print usage errors in its own, longer form.
        code = command.main(args=words or ["--help"], obj=words, prog_name=NAME, standalone_mode=False)
    except UserError as error:
        return _fail(str(error))
    except UsageError as error:
        return _fail(_usage_sentence(error))
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    return code if isinstance(code, int) else 0


def _fail(message: str) -> int:
    print(f"{NAME}: {printable(' '.join(message.splitlines()))}", file=sys.stderr)
    return BAD_INPUT


def _usage_sentence(error: Any) -> str:
    context: typer.Context | None = error.ctx
    help_command = f"{context.command_path if context is not None else NAME} --help"
    return f"{error.format_message().rstrip('.')} (`{help_command}` lists what is allowed)"
