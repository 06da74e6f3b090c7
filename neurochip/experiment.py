"""The story: events -> core -> activity -> counts -> price -> report.

`learn` runs one rule, `compare` several, each in fixed point and as its float twin, on the same spikes and silicon.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neurochip.config import Experiment
from neurochip.errors import UserError
from neurochip.listener import Listener, Silent
from neurochip.rules.presets import DEFAULT_COMPARISON, NO_LEARNING, RULES, Rule, find_rule
from neurochip.run_commands import add_command
from neurochip.run_directory import EXPERIMENT, REPORT_HTML, REPORT_JSON, RunDirectory, read_experiment

if TYPE_CHECKING:
    from neurochip.setup import Setup
    from neurochip.training import Outcome

ENGINES = ("fast", "reference")
WAIT_S = 0.2


@dataclass(frozen=True)
class Report:
    """A finished run: `data` is the content of report.json, `directory` where everything lies."""

    data: dict[str, Any]
    directory: Path

    @property
    def results(self) -> list[dict[str, Any]]:
        """One dictionary per (rule, precision)."""
        return list(self.data["results"])

    def result(self, rule: str, precision: str = "fixed") -> dict[str, Any]:
        """The result of one rule; KeyError if it was not run."""
        for entry in self.results:
            if (entry["rule"], entry["precision"]) == (rule, precision):
                return entry
        raise KeyError(f"{rule}, {precision}")

    def to_pandas(self) -> Any:
        """A pandas.DataFrame: one row per rule and precision, units in the names of the columns (docs/report.md).

        Raises:
            UserError: pandas is not installed.
        """
        from neurochip.frames import report_to_pandas

        return report_to_pandas(self.data)

    def to_xarray(self) -> Any:
        """An xarray.Dataset over rule and precision: the same numbers, `units` in their attributes.

        Raises:
            UserError: xarray is not installed.
        """
        from neurochip.frames import report_to_xarray

        return report_to_xarray(self.data)


def compare(
    experiment: Experiment,
    *,
    base_dir: Path,
    out: Path | None = None,
    listener: Listener | None = None,
    engine: str = "fast",
    command: str | None = None,
    source: str = "",
) -> Report:
    """Run the rules `experiment.run.rules` (default: DESIGN's comparison) and set their costs side by side.

    On a stream `infer` has no place, as it learns nothing.

    Args:
        experiment: what to run.
        base_dir: the folder `task.path` is relative to.
        out: run directory; default runs/<time>-<name>.
        listener: progress.
        engine: "fast" or "reference" (the golden core, slow).
        command: how the user started it; kept in the run directory and shown on the page.
        source: where the experiment came from, for error messages.

    Raises:
        UserError: for anything wrong with the experiment, its data, its chip or the run directory.
    """
    known = [name for name in DEFAULT_COMPARISON if experiment.streamed is None or name != NO_LEARNING]
    rules = experiment.run.rules or known
    return _run(experiment, rules, base_dir, out, listener or Silent(), engine, command, source)


def learn(
    experiment: Experiment,
    *,
    base_dir: Path,
    out: Path | None = None,
    listener: Listener | None = None,
    engine: str = "fast",
    command: str | None = None,
    source: str = "",
) -> Report:
    """Run the one rule `experiment.learning.rule`; arguments and errors as for `compare`."""
    rule = rule_to_learn(experiment)
    return _run(experiment, [rule.name], base_dir, out, listener or Silent(), engine, command, source)


def rule_to_learn(experiment: Experiment) -> Rule:
    """The rule `learning.rule`.

    Raises:
        UserError: a batch or a momentum that this rule cannot have.
    """
    rule, batch = find_rule(experiment.learning.rule), experiment.learning.batch
    if rule.group != NO_LEARNING and rule.update != "sample" and batch > 1:
        accumulating = ", ".join(other.name for other in RULES if other.update == "sample")
        when = "at every step" if rule.update == "immediate" else "within a sample"
        raise UserError(
            f"learning.batch = {batch} is not allowed with learning.rule = {rule.name!r}, which changes weights {when}"
            f"; allowed are batch = 1 and the rules {accumulating}"
        )
    if rule.update == "immediate" and experiment.learning.momentum_shift:
        raise UserError(
            f"learning.momentum_shift = {experiment.learning.momentum_shift} is not allowed with learning.rule = "
            f"{rule.name!r}, which keeps no gradients; allowed are 0 and rules that accumulate"
        )
    return rule


def resume(
    directory: Path, *, listener: Listener | None = None, engine: str = "fast", command: str | None = None
) -> Report:
    """Continue the run in `directory`; a finished run stays as it is."""
    _check_engine(engine)
    experiment = read_experiment(directory)
    run = RunDirectory(directory)
    if run.is_finished:  # its data and chip files may be gone by now
        return _finished(run, listener or Silent())
    rules = experiment.run.rules or [experiment.learning.rule]
    source = str(directory / EXPERIMENT)
    return _run(experiment, rules, directory, directory, listener or Silent(), engine, command, source)


def _run(
    experiment: Experiment,
    rules: Sequence[str],
    base_dir: Path,
    out: Path | None,
    listener: Listener,
    engine: str,
    command: str | None,
    source: str,
) -> Report:
    _check_engine(engine)
    from neurochip.network.nir_report import import_files, import_section
    from neurochip.report.json_file import write_report_json
    from neurochip.setup import prepare_setup

    try:
        setup = prepare_setup(experiment, [find_rule(name) for name in rules], base_dir, engine, listener)
    except UserError as error:
        raise UserError(f"{source}: {error}" if source else str(error)) from error
    directory = RunDirectory(out if out is not None else RunDirectory.default_path(setup.name))
    if experiment.run.tune:
        setup = _tuned(setup, directory, listener)
    directory.open(setup.resolved, lambda: import_files(setup, listener))
    listener.message(f"run directory: {directory.path}")
    if directory.is_finished:
        return _finished(directory, listener)
    commands = add_command(directory.path, command)
    outcomes = _train_all(setup, directory, listener)
    directory.write_activity({key: outcome for key, outcome in outcomes.items() if outcome.test_activity is not None})
    from neurochip.comparison import build_report
    from neurochip.diagnosis.of_setup import diagnose_learned
    from neurochip.report.html import write_report_html

    data = build_report(setup, outcomes, diagnose_learned(setup, directory.state, listener.message))
    data |= import_section(setup, directory.path)
    write_report_html(data, directory.path / REPORT_HTML, commands)
    write_report_json(data, directory.path / REPORT_JSON)
    return Report(data, directory.path)


def _check_engine(engine: str) -> None:
    if engine not in ENGINES:
        raise UserError(f"engine = {engine!r} is not allowed; allowed are {', '.join(ENGINES)}")


def _finished(directory: RunDirectory, listener: Listener) -> Report:
    from neurochip.report.json_file import read_report_json

    listener.message("the run is finished; nothing to do")
    return Report(read_report_json(directory.path / REPORT_JSON), directory.path)


@dataclass
class _Workers:
    """Runs independent trainings on all cores; an error or an interrupt stops the others at their next chunk."""

    stop: threading.Event = field(default_factory=threading.Event)

    def run(self, jobs: Mapping[str, Callable[[], Outcome]]) -> dict[str, Outcome]:
        """Run the jobs and return their results by key, in the order given."""
        with ThreadPoolExecutor(max_workers=min(len(jobs), os.cpu_count() or 1) or 1) as pool:
            futures: dict[str, Future[Outcome]] = {key: pool.submit(job) for key, job in jobs.items()}
            try:
                pending: set[Future[Outcome]] = set(futures.values())
                while pending:  # in slices: a wait without end cannot be interrupted on every platform
                    done, pending = wait(pending, timeout=WAIT_S, return_when=FIRST_EXCEPTION)
                    for future in done:
                        future.result()
                return {key: future.result() for key, future in futures.items()}
            except BaseException:
                self.stop.set()
                for future in futures.values():
                    future.cancel()
                raise


def _train_all(setup: Setup, directory: RunDirectory | None, listener: Listener) -> dict[str, Outcome]:
    """Train every (rule, precision); `infer` comes last, it loads what the float BPTT learned."""
    workers = _Workers()
    learning = [run for run in setup.runs if run.rule.group != NO_LEARNING]
    outcomes = workers.run({run.key: setup.job(run, None, directory, workers.stop, listener) for run in learning})
    loading = [run for run in setup.runs if run.rule.group == NO_LEARNING]
    if loading:
        teacher = outcomes.get(setup.teacher.key) if setup.imported is None else None
        if teacher is None and setup.imported is None:  # an imported network has learned already
            teacher = workers.run(
                {setup.teacher.key: setup.job(setup.teacher, None, directory, workers.stop, listener)}
            )[setup.teacher.key]
        weights = teacher.weights if teacher is not None else None
        jobs = {run.key: setup.job(run, weights, directory, workers.stop, listener) for run in loading}
        outcomes |= workers.run(jobs)
    return outcomes


def _tuned(setup: Setup, directory: RunDirectory, listener: Listener) -> Setup:
    """The setup with searched learning rates; a directory that holds them already is not searched again."""
    if setup.rates_are_given:
        listener.message("learning.rates names a rate for every rule: nothing is left to search")
        return setup
    earlier = directory.rates_of(setup.resolved)
    return setup.with_rates(earlier) if earlier is not None else _tune(setup, listener)


def _tune(setup: Setup, listener: Listener) -> Setup:
    """Search powers of two around the rate of every rule: climb while the validation accuracy rises.

    The search uses the arithmetic of the run (fixed point, unless only the float twin is asked for), full epochs, and
    nothing of the test split. Ties go to the smaller rate.
    """
    if setup.task.validation.n_samples == 0:
        raise UserError("run.tune = true needs a validation split; give task.validation a fraction above 0")
    rates: dict[str, float] = {}
    for rule in setup.rules:
        if rule.group == NO_LEARNING:
            continue
        start = setup.learning_rate(rule)
        scores = {start: _validation_score(setup, rule, start, listener)}
        for factor in (0.5, 2.0):
            rate = start
            while True:
                candidate = rate * factor
                scores[candidate] = _validation_score(setup, rule, candidate, listener)
                if scores[candidate] <= scores[rate] and not (factor < 1 and scores[candidate] == scores[rate]):
                    break
                rate = candidate
                if not 2**-12 <= rate <= 2**6:
                    break
        rates[rule.name] = min(rates_of_best(scores))
        listener.message(f"{rule.name}: learning rate {rates[rule.name]:g} chosen on the validation split")
    return setup.with_rates(rates)


def rates_of_best(scores: Mapping[float, float]) -> list[float]:
    """The learning rates with the highest validation accuracy."""
    best = max(scores.values())
    return [rate for rate, score in scores.items() if score == best]


def _validation_score(setup: Setup, rule: Rule, rate: float, listener: Listener) -> float:
    trial = setup.with_rates({rule.name: rate})
    run = next(run for run in trial.runs if run.rule == rule)
    try:
        trial.spec(rule)
    except UserError:  # a rate no shift of the chip can realise ends the climb, not the search
        return -1.0
    workers = _Workers()
    label = f"{run.key} at rate {rate:g}"
    outcome = workers.run({run.key: trial.job(run, None, None, workers.stop, listener, label)})[run.key]
    return outcome.epochs[-1].validation or 0.0


__all__ = ["Report", "compare", "learn", "resume"]
