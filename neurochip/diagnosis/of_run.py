"""The diagnosis of a run: its cores, put together again from the run directory, and what is found in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from neurochip.diagnosis.of_setup import diagnose_rule
from neurochip.errors import UserError
from neurochip.listener import Listener, Silent
from neurochip.rules.presets import find_rule
from neurochip.run_directory import CHECKPOINT, RunDirectory, read_experiment

SCHEMA = "neurochip-diagnosis/1"
DEFAULT_SAMPLES = 64


def diagnose_run(directory: Path, samples: int = DEFAULT_SAMPLES, listener: Listener | None = None) -> dict[str, Any]:
    """Diagnose every rule that a run has in fixed point, on the first training samples of its first epoch.

    Args:
        directory: a run directory with a checkpoint.
        samples: how many of them; fewer where a network is so large that they would not fit the memory.
        listener: told what happens.

    Returns:
        A document that JSON can hold: schema, run, and per rule the samples, the layers and the advice (None: healthy).

    Raises:
        UserError: no run directory, a run without a checkpoint or in real numbers, or data that are gone.
    """
    from neurochip.setup import prepare_setup

    experiment = read_experiment(directory)
    if experiment.precision.arithmetic != "fixed":
        raise UserError(
            f"{directory}: precision.arithmetic = {experiment.precision.arithmetic!r} has no formats to diagnose; "
            "allowed is a run with 'fixed'"
        )
    run_directory = RunDirectory(directory)
    run_directory.open(experiment)
    rules = [find_rule(name) for name in experiment.run.rules or [experiment.learning.rule]]
    setup = prepare_setup(experiment, rules, directory, "fast", listener or Silent())
    results = []
    for run in setup.runs:
        if run.precision != "fixed":
            continue
        state = run_directory.state(run.key)
        if state is None:
            raise UserError(
                f"{directory / CHECKPOINT}: has no weights of {run.rule.name}; let the run go on to its end"
            )
        results.append({"rule": run.rule.name, **diagnose_rule(setup, run, state, samples)})
    return {"schema": SCHEMA, "run": setup.name, "results": results}
