"""The diagnosis of a run: its cores, put together again from the run directory, and what is found in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neurochip.config import Experiment, load_experiment
from neurochip.diagnosis.advice import Advice, Remedy, advise
from neurochip.diagnosis.measure import Diagnosis, diagnose
from neurochip.errors import UserError
from neurochip.listener import Listener, Silent
from neurochip.rules.presets import find_rule
from neurochip.run_directory import CHECKPOINT, RunDirectory, read_experiment
from neurochip.spec import CoreSpec

if TYPE_CHECKING:
    from neurochip.setup import Run, Setup
    from neurochip.training import TrainingState

SCHEMA = "neurochip-diagnosis/1"
PROBED_CELLS = 1 << 24  # values of one signal that are kept at a time
DEFAULT_SAMPLES = 64
HEALTHY = "nothing found that limits it"


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
        diagnosis, advice = _diagnose(setup, run, state, samples)
        results.append({"rule": run.rule.name, **section(diagnosis, advice)})
    return {"schema": SCHEMA, "run": setup.name, "results": results}


def _diagnose(setup: Setup, run: Run, state: TrainingState, samples: int) -> tuple[Diagnosis, Advice | None]:
    from neurochip.network.calibrate import epoch_order
    from neurochip.network.resolve import float_spec, halvings_of

    epoch = max(0, len(state.epochs) - 1)
    spec = setup.spec(run.rule, epoch)
    halvings = halvings_of(setup.resolved, epoch)
    real = float_spec(setup.resolved, run.rule, setup.shapes, setup.prepared.fracs, halvings)
    train = setup.task.train
    order = epoch_order(setup.resolved.run.seed, 0, train.n_samples)[: _affordable(spec, samples)]
    diagnosis = diagnose(spec, real, state.weights, train.take(np.asarray(order)), state.velocities)
    return diagnosis, advise(diagnosis, setup.resolved, lambda remedy: _is_legal(setup, run, remedy))


def _affordable(spec: CoreSpec, samples: int) -> int:
    cells = spec.n_steps * sum(layer.n_in + layer.n_out for layer in spec.layers)
    return max(1, min(samples, PROBED_CELLS // cells))


def _is_legal(setup: Setup, run: Run, remedy: Remedy) -> bool:
    """Whether the resolved experiment may have these overrides, its other formats as they are."""
    from neurochip.network.formats import fracs_of
    from neurochip.network.resolve import Lanes, core_spec
    from neurochip.network.shape import layer_shapes, sensor_map

    try:
        changed: Experiment = load_experiment(None, remedy, tables=setup.resolved.to_tables())
        task = setup.task
        shapes = layer_shapes(changed, task.n_inputs, len(task.classes), sensor_map(task.sensor_size))
        lanes = Lanes(setup.chip.lanes, setup.chip.trace_lanes)
        core_spec(changed, run.rule, shapes, fracs_of(changed), lanes)
    except UserError:
        return False
    return True


def section(diagnosis: Diagnosis, advice: Advice | None) -> dict[str, Any]:
    """A diagnosis and its advice as JSON holds them."""
    return {
        "n_samples": diagnosis.n_samples,
        "layers": [asdict(layer) for layer in diagnosis.layers],
        "advice": None if advice is None else {**asdict(advice), "overrides": list(advice.overrides)},
    }


def sentence(result: Mapping[str, Any]) -> str:
    """What is to be done about one rule, in a sentence, with the options to type."""
    advice = result["advice"]
    if advice is None:
        return f"{result['rule']}: {HEALTHY}."
    import shlex

    options = " ".join(f"--set {shlex.quote(text)}" for text in advice["overrides"])
    return f"{result['rule']}: {advice['sentence']} Add {options}"
