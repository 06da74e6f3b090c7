"""The diagnosis of a rule of a setup, whose trained core is at hand: at the end of a run, of a point, or later."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from neurochip.config import Experiment, load_experiment
from neurochip.diagnosis.advice import Advice, Remedy, advise
from neurochip.diagnosis.measure import Diagnosis, diagnose
from neurochip.errors import UserError
from neurochip.rules.presets import NO_LEARNING
from neurochip.spec import CoreSpec

if TYPE_CHECKING:
    from neurochip.events import EventDataset
    from neurochip.setup import Run, Setup
    from neurochip.training import TrainingState

PROBED_CELLS = 1 << 24  # values of one signal that are kept at a time
DIGITS = 6  # sums of real numbers may differ behind them from machine to machine


def diagnose_learned(
    setup: Setup, state_of: Callable[[str], TrainingState | None], say: Callable[[str], None]
) -> dict[str, dict[str, Any]]:
    """Diagnose every rule that learned in fixed point on `run.diagnosis_samples` samples: key of the run -> section.

    Args:
        setup: the resolved experiment.
        state_of: what the chip held at the end of a run, by its key.
        say: told what happens.
    """
    samples = setup.resolved.run.diagnosis_samples
    found = {}
    for run in setup.runs:
        state = state_of(run.key)
        if samples == 0 or run.precision != "fixed" or run.rule.group == NO_LEARNING or state is None:
            continue
        say(f"diagnosing {run.rule.name}")
        found[run.key] = diagnose_rule(setup, run, state, samples)
    return found


def diagnose_rule(setup: Setup, run: Run, state: TrainingState, samples: int) -> dict[str, Any]:
    """The section of one rule in fixed point: how many samples, the layers, and the advice (None: healthy).

    Args:
        setup: the resolved experiment.
        run: a rule in fixed point.
        state: what its chip held at the end.
        samples: how many of the first training samples; fewer where they would not fit the memory.
    """
    from neurochip.network.resolve import float_spec, halvings_of

    epoch = max(0, len(state.epochs) - 1)
    spec = setup.spec(run.rule, epoch)
    halvings = halvings_of(setup.resolved, epoch)
    real = float_spec(setup.resolved, run.rule, setup.shapes, setup.prepared.fracs, halvings)
    data = _first_samples(setup, _affordable(spec, samples))
    diagnosis = diagnose(spec, real, state.weights, data, state.velocities)
    return section(diagnosis, advise(diagnosis, setup.resolved, lambda remedy: _is_legal(setup, run, remedy)))


def _first_samples(setup: Setup, n_samples: int) -> EventDataset:
    """Samples of the first epoch; of a stream, as they are after its last drift, for which the core learned."""
    from neurochip.network.calibrate import epoch_order

    train, stream = setup.task.train, setup.stream
    order = epoch_order(setup.resolved.run.seed, 0, train.n_samples)[:n_samples]
    data = train.take(np.asarray(order))
    return data if stream is None else stream.drift(stream.segment_of(stream.table.samples - 1)).of(data)


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
    """A diagnosis and its advice as JSON holds them, real numbers to six digits."""
    found: dict[str, Any] = _rounded(
        {
            "n_samples": diagnosis.n_samples,
            "layers": [asdict(layer) for layer in diagnosis.layers],
            "advice": None if advice is None else {**asdict(advice), "overrides": list(advice.overrides)},
        }
    )
    return found


def limit_of(advice: Mapping[str, Any] | None) -> str:
    """Cause and layer of an advice in short, such as "weight rounding in layer 1"; "none" of a healthy run."""
    if advice is None:
        return "none"
    return f"{advice['signal'] + ' ' if advice['signal'] else ''}{advice['cause']} in layer {advice['layer']}"


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_rounded(one) for one in value]
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


__all__ = ["diagnose_learned", "diagnose_rule", "limit_of", "section"]
