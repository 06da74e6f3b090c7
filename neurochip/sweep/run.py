"""A sweep: settings -> points, those that are known from the store and the others from the workers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from neurochip.chip import Chip
from neurochip.config import Experiment
from neurochip.errors import UserError
from neurochip.listener import Listener
from neurochip.setup import chip_of, with_chip_file
from neurochip.sweep.axes import Settings, with_settings
from neurochip.sweep.keys import configuration, point_key, simulation_key
from neurochip.sweep.point import Computed
from neurochip.sweep.store import PointStore
from neurochip.sweep.workers import Job, Workers

PROGRESS = "sweep"


@dataclass(frozen=True)
class SweepPoint:
    """A point of a sweep and what became of it; `key` is None where the settings are no experiment."""

    settings: Settings
    key: str | None
    computed: Computed


@dataclass(frozen=True)
class _Planned:
    """A point that can be computed: its names, and what a worker is given."""

    key: str
    simulation: str
    configured: dict[str, Any]
    tables: dict[str, Any]


@dataclass(eq=False)
class Sweep:
    """A base experiment, where its points are kept, and who computes them.

    Attributes:
        base: the experiment around which settings change; one rule, `learning.rule`, is run.
        base_dir: the folder its files are relative to.
        store: an open store.
        workers: who computes.
        listener: progress.
    """

    base: Experiment
    base_dir: Path
    store: PointStore
    workers: Workers
    listener: Listener
    n_simulations: int = 0  # that were run, over all calls
    _chips: dict[tuple[str, str | None], Chip] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse a base whose learning rate is searched: a point is a function of its configuration alone."""
        if self.base.run.tune:
            raise UserError("run.tune = true is not allowed in a sweep; vary learning.learning_rate instead")
        table = self.base.run.model_copy(update={"rules": None})
        self.base = self.base.model_copy(update={"run": table})
        self.base_dir = self.base_dir.resolve()

    def evaluate(self, settings: Sequence[Settings]) -> list[SweepPoint]:
        """The points of these settings, in their order; computes what the store does not have.

        Raises:
            UserError: every point fails before it is computed, the store cannot be written, or the cluster is lost.
        """
        planned = [self._planned(one) for one in settings]
        refused = [one for one in planned if isinstance(one, UserError)]
        if planned and len(refused) == len(planned):
            raise refused[0]
        by_key = {one.key: one for one in planned if isinstance(one, _Planned)}
        known = {key: self.store.read(key, one.configured) for key, one in by_key.items()}
        computed = {key: found for key, found in known.items() if found is not None}
        missing = [one for key, one in by_key.items() if key not in computed]
        computed |= self._compute(missing, len(by_key))
        return [
            SweepPoint(one, None, Computed(error=str(plan)))
            if isinstance(plan, UserError)
            else SweepPoint(one, plan.key, computed[plan.key])
            for one, plan in zip(settings, planned, strict=True)
        ]

    def _planned(self, settings: Mapping[str, Any]) -> _Planned | UserError:
        try:
            experiment = with_chip_file(with_settings(self.base, settings), self.base_dir)
            chip = self._chip(experiment)
        except UserError as error:
            return error
        configured = configuration(experiment, chip)
        return _Planned(point_key(configured), simulation_key(configured, chip), configured, experiment.to_tables())

    def _chip(self, experiment: Experiment) -> Chip:
        asked = experiment.chip.name, experiment.chip.overflow
        if asked not in self._chips:
            self._chips[asked] = chip_of(experiment)
        return self._chips[asked]

    def _compute(self, missing: Sequence[_Planned], n_points: int) -> dict[str, Computed]:
        """Compute and store points; those of one simulation are one job."""
        groups: dict[str, list[_Planned]] = {}
        for one in missing:
            groups.setdefault(one.simulation, []).append(one)
        jobs = [Job(tuple(one.tables for one in group), str(self.base_dir)) for group in groups.values()]
        members = list(groups.values())
        self.listener.message(
            f"{n_points} points: {n_points - len(missing)} known, {len(missing)} to compute in {len(jobs)} simulations"
        )
        self.listener.begin(PROGRESS, "points", n_points)
        self.listener.advance(PROGRESS, n_points - len(missing))
        computed: dict[str, Computed] = {}
        n_failed = 0
        for index, results in self.workers.run(jobs):
            for one, result in zip(members[index], results, strict=True):
                self.store.write(one.key, one.configured, result)
                computed[one.key] = result
                n_failed += result.error is not None
            done = n_points - len(missing) + len(computed)
            failed = f", {n_failed} failed" if n_failed else ""
            self.listener.advance(PROGRESS, len(results), f"{done}/{n_points}{failed}")
        self.listener.end(PROGRESS)
        self.n_simulations += len(jobs)
        return computed
