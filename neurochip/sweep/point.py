"""A point: a configuration -> accuracy, energy, latency, area, memory and what overflowed, as a plain dictionary.

Points of one simulation (`keys.simulation_key`) are learned once and priced one by one.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from neurochip.comparison import costs
from neurochip.config import Experiment, parse_experiment
from neurochip.diagnosis.of_setup import diagnose_learned, limit_of
from neurochip.errors import UserError
from neurochip.experiment import rule_to_learn
from neurochip.listener import Silent
from neurochip.microarch.interface import Gates
from neurochip.rules.presets import NO_LEARNING, Rule
from neurochip.run_directory import RunDirectory
from neurochip.setup import Setup, chip_of, prepare_setup, task_settings, with_chip_file
from neurochip.sweep.shares import numerics_section
from neurochip.tasks import load_task
from neurochip.tasks.registry import Loader
from neurochip.training import Outcome, TrainingState

Result = dict[str, Any]
ENGINE = "fast"
TRANSIENT = (MemoryError, OSError)  # may go well another time, so a rerun tries again
COSTS = (
    "energy_pj",
    "energy_inference_pj",
    "latency_cycles",
    "latency_us",
    "area_mm2",
    "by_kind",
    "footprint_bits",
    "formats",
    "saturation",
    "saturation_share",
    "underflow",
    "underflow_share",
    "limit",
    "advice",
)


@dataclass(frozen=True)
class Computed:
    """What became of a point: a result, or why there is none; `is_lasting` if it would be the same once more."""

    result: Result | None = None
    error: str | None = None
    is_lasting: bool = True


class Unwritten(RunDirectory):
    """A run directory without files, for a run that is priced and diagnosed at once; it has the last state of it."""

    def __init__(self) -> None:
        super().__init__(Path())
        self.last: TrainingState | None = None

    def state(self, key: str) -> TrainingState | None:
        """No run was begun here."""
        return None

    def save_state(self, key: str, state: TrainingState) -> None:
        """Keep the state of the only run."""
        self.last = state


def compute_points(
    configurations: Sequence[Mapping[str, Any]], base_dir: str, load: Loader = load_task
) -> list[Computed]:
    """Learn once and price every configuration; they differ in `chip` alone. What fails, fails by itself.

    Args:
        configurations: experiments as tables, files by absolute path or relative to `base_dir`.
        base_dir: the folder `task.path` is relative to.
        load: gets a task.
    """
    shared = _Shared(Path(base_dir), load)
    return [_computed(shared, tables) for tables in configurations]


def _computed(shared: _Shared, tables: Mapping[str, Any]) -> Computed:
    experiment = parse_experiment(tables, "the point")
    try:
        return Computed(result=shared.result(experiment))
    except UserError as error:
        return Computed(error=_without_folder(str(error), tables), is_lasting=shared.has_data(experiment))
    except Exception as error:
        text = " ".join(f"{type(error).__name__}: {error}".split())
        return Computed(error=text, is_lasting=not isinstance(error, TRANSIENT))


def _without_folder(text: str, tables: Mapping[str, Any]) -> str:
    """A message about a chip file, without the folder it lies in, which belongs to a machine."""
    chip = str(tables["chip"]["name"])
    return text.replace(chip, Path(chip).name)


@dataclass(frozen=True)
class _Learned:
    """A finished run and what limits it: the advice, which is None for a healthy run, if it was diagnosed."""

    outcome: Outcome
    is_diagnosed: bool
    advice: Result | None


class _Shared:
    """What the points of one simulation have in common: the setup and the finished run, once there is one."""

    def __init__(self, base_dir: Path, load: Loader) -> None:
        self._base_dir = base_dir
        self._load = load
        self._run: tuple[Setup, _Learned] | None = None

    def has_data(self, experiment: Experiment) -> bool:
        """Whether the task can be loaded; its files are no part of the configuration and may come later."""
        try:
            self._load(task_settings(experiment), self._base_dir, experiment.run.seed, Silent().message)
        except UserError:
            return False
        return True

    def result(self, experiment: Experiment) -> Result:
        """The result of a point; raises what it fails with."""
        rule = rule_to_learn(experiment)
        if self._run is None:
            setup = prepare_setup(experiment, [rule], self._base_dir, ENGINE, Silent(), self._load)
            self._run = setup, _learned(setup, rule)
        else:
            setup = _on_chip(self._run[0], experiment, rule, self._base_dir)
        return _result(setup, rule, self._run[1])


def _on_chip(setup: Setup, experiment: Experiment, rule: Rule, base_dir: Path) -> Setup:
    """The setup with the chip and the gates of another experiment, checked as `prepare_setup` does."""
    table = experiment.chip
    chip = chip_of(with_chip_file(experiment, base_dir))
    gates = Gates(table.gate_zero_trace, table.gate_zero_error, table.gate_zero_surrogate)
    other = replace(setup, chip=chip, gates=gates)
    pricer = other.pricer(rule)
    pricer.check()
    if experiment.precision.arithmetic == "fixed":
        pricer.check_prices()
    return other


def _learned(setup: Setup, rule: Rule) -> _Learned:
    """Run the rule in the arithmetic of the experiment, and diagnose it; `infer` loads what the float BPTT learned."""
    stop, listener, directory = threading.Event(), Silent(), Unwritten()
    weights = None
    if rule.group == NO_LEARNING:
        weights = setup.job(setup.teacher, None, None, stop, listener)().weights
    outcome = setup.job(setup.runs[0], weights, directory, stop, listener)()
    found = diagnose_learned(setup, lambda key: directory.last, listener.message)
    sections = list(found.values())  # of the only run, or none
    return _Learned(outcome, bool(sections), sections[0]["advice"] if sections else None)


def _result(setup: Setup, rule: Rule, learned: _Learned) -> Result:
    outcome = learned.outcome
    last = outcome.epochs[-1]
    result: Result = {
        "rule": rule.name,
        "seed": setup.resolved.run.seed,
        "chip": setup.chip.name,
        "arithmetic": setup.resolved.precision.arithmetic,
        "accuracy": {"test": outcome.test, "validation": last.validation, "train": last.train},
        **dict.fromkeys(COSTS),  # the float twin has no cost
    }
    if setup.runs[0].precision == "fixed":
        result |= _costs(setup, rule, outcome)
    if learned.is_diagnosed:
        result |= {"limit": limit_of(learned.advice), "advice": learned.advice}
    return result


def _costs(setup: Setup, rule: Rule, outcome: Outcome) -> Result:
    pricer, recorded = setup.pricer(rule), outcome.recorded
    priced = costs(pricer, recorded, None, setup.resolved.run.target_accuracy)
    learned, inferred, area = priced["per_sample"], priced["per_sample_inference"], priced["area_mm2"]
    return {
        "energy_pj": learned["energy_pj"]["total"],
        "energy_inference_pj": inferred["energy_pj"]["total"] if inferred else None,
        "latency_cycles": learned["cycles"],
        "latency_us": learned["latency_us"],
        "area_mm2": area["total"] if area else None,
        "by_kind": {  # of the numbers above, by the kind of the physical numbers that they rest on
            "energy_pj": learned["energy_pj"]["by_kind"],
            "energy_inference_pj": inferred["energy_pj"]["by_kind"] if inferred else None,
            "area_mm2": area["by_kind"] if area else None,
        },
        "footprint_bits": priced["footprint_bits"]["total"],
        "formats": priced["formats"],
        **numerics_section(recorded.epochs[-1], pricer.spec),
    }
