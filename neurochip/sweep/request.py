"""What is asked of a sweep, and the sweep itself: axes and a method -> points -> one table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from neurochip.config import Experiment
from neurochip.errors import UserError
from neurochip.listener import Listener, Silent
from neurochip.sweep.axes import SEED, Settings, SweepAxis, check_axis, parse_sweep
from neurochip.sweep.design import (
    ARITHMETIC,
    FROM_EXPERIMENT,
    FROM_FLOAT,
    GRID,
    METHODS,
    ONE_AT_A_TIME,
    OPTUNA,
    RANDOM,
    STARTS,
    grid,
    one_at_a_time,
    one_quantiser_at_a_time,
    random_points,
    signal_of,
    with_twins,
)
from neurochip.sweep.design import with_seeds as seeded
from neurochip.sweep.page import write_page
from neurochip.sweep.run import Sweep, SweepPoint
from neurochip.sweep.store import PointStore
from neurochip.sweep.summary import TWIN, summary_of
from neurochip.sweep.table import rows_of, write_table
from neurochip.sweep.workers import Processes, Serial, Workers

SAMPLED = (RANDOM, OPTUNA)  # methods that draw --points of the grid


@dataclass(frozen=True)
class SweepRequest:
    """Axes without the seed, the method, the seeds, for methods that draw points how many and from which seed,
    for one-at-a-time from where, and whether the float twins of the points are run beside them.
    """

    axes: tuple[SweepAxis, ...]
    method: str = GRID
    seeds: tuple[int, ...] = ()
    n_points: int | None = None
    sampler_seed: int = 1
    start: str = FROM_EXPERIMENT
    twin: bool = False

    @property
    def strategy(self) -> str:
        """How the points are chosen: the method, from-float, or the method with "+twin"."""
        if self.start == FROM_FLOAT:
            return f"from-{self.start}"
        return self.method + TWIN * self.twin


def parse_request(
    sweeps: Sequence[str],
    method: str = GRID,
    seeds: str | None = None,
    n_points: int | None = None,
    sampler_seed: int = 1,
    start: str = FROM_EXPERIMENT,
    twin: bool = False,
) -> SweepRequest:
    """Read the options of `neurochip precision`; `run.seed` may be swept instead of given as `seeds`.

    Raises:
        UserError: naming the option, its value and what is allowed.
    """
    axes = [parse_sweep(text) for text in sweeps]
    keys = [axis.key for axis in axes]
    twice = [key for key in keys if keys.count(key) > 1]
    if twice:
        raise UserError(f"--sweep {twice[0]}: is given twice; allowed is every key once, with all its values")
    if method not in METHODS:
        raise UserError(f"--method {method}: is not a method; allowed are {', '.join(METHODS)}")
    if (n_points is not None) != (method in SAMPLED):
        raise UserError(
            f"--points is needed with --method {' and '.join(SAMPLED)} alone; --method {method} was given "
            f"{'with' if n_points is not None else 'without'} it"
        )
    if n_points is not None and n_points < 1:
        raise UserError(f"--points {n_points}: is not allowed; allowed are 1 or more")
    _check_apart(keys)
    if start not in STARTS or (start == FROM_FLOAT and method != ONE_AT_A_TIME):
        raise UserError(
            f"--from {start}: is not allowed with --method {method}; allowed are {FROM_EXPERIMENT}, and {FROM_FLOAT} "
            f"with --method {ONE_AT_A_TIME}"
        )
    if twin and (method == OPTUNA or start == FROM_FLOAT or ARITHMETIC in keys):
        raise UserError(
            f"--twin: is not allowed with --method {OPTUNA}, --from {FROM_FLOAT} or --sweep {ARITHMETIC}; leave it out"
        )
    if seeds is not None:
        if SEED in keys:
            raise UserError(f"--seeds {seeds}: the seeds are given with --sweep {SEED} already; allowed is one of them")
        axes.append(parse_sweep(f"{SEED}={seeds}"))
    found = [value for axis in axes if axis.key == SEED for value in axis.values]
    wrong = [value for value in found if type(value) is not int or value < 0]
    if wrong:
        raise UserError(f"--seeds: {wrong[0]!r} is not allowed; allowed are whole numbers from 0, such as 1,2,3")
    if not sweeps and start != FROM_FLOAT:
        raise UserError("--sweep is missing; give at least one key and its values, for example --sweep run.seed=1:3")
    others = tuple(axis for axis in axes if axis.key != SEED)
    if start == FROM_FLOAT:
        for axis in others:
            signal_of(axis.key)
    return SweepRequest(others, method, tuple(found), n_points, sampler_seed, start, twin)


def _check_apart(keys: Sequence[str]) -> None:
    """Refuse a key inside another one: the later would undo what the earlier set."""
    for key in keys:
        inner = next((other for other in keys if other.startswith(f"{key}.")), None)
        if inner is not None:
            raise UserError(f"--sweep {inner}: lies inside {key}, which is swept as well; allowed is one of them")


def settings_of(request: SweepRequest, base: Experiment) -> list[Settings]:
    """The points of a method that fixes them all beforehand."""
    if request.start == FROM_FLOAT:
        points = one_quantiser_at_a_time(request.axes, base)
    elif request.method == ONE_AT_A_TIME:
        points = one_at_a_time(request.axes, base)
    elif request.method == RANDOM:
        points = random_points(request.axes, request.n_points or 0, request.sampler_seed)
    else:
        points = grid(request.axes)
    if request.twin:
        if base.precision.arithmetic != "fixed":
            raise UserError(
                f"--twin: precision.arithmetic = {base.precision.arithmetic!r} is the float twin already; allowed is "
                "'fixed'"
            )
        points = with_twins(points)
    return seeded(points, request.seeds or (base.run.seed,))


def workers_of(n_workers: int, scheduler: str | None, listener: Listener) -> Workers:
    """This process for one worker, processes for more, or the cluster behind a scheduler.

    Raises:
        UserError: no such number of workers, or no scheduler that answers.
    """
    if scheduler is not None:
        from neurochip.sweep.cluster import Dask

        return Dask(scheduler, listener)
    return Serial() if n_workers == 1 else Processes(n_workers)


def run_sweep(
    base: Experiment,
    request: SweepRequest,
    *,
    base_dir: Path,
    out: Path,
    n_workers: int = 1,
    scheduler: str | None = None,
    listener: Listener | None = None,
    page: bool = True,
    command: str | None = None,
) -> list[SweepPoint]:
    """Compute the points that `out` does not hold yet, and write the table, plots and page of all of them there.

    Args:
        base: the experiment around which keys are varied.
        request: what is varied, and how.
        base_dir: the folder its files are relative to.
        out: new or empty, or the folder of a sweep; its points are kept under their hashes and used again.
        n_workers: processes on this machine; 1: this process.
        scheduler: address of a Dask scheduler, instead of processes.
        listener: progress.
        page: whether to make plots and page; without, those of an earlier sweep are removed.
        command: what the page names as the command that made it.

    Raises:
        UserError: a wrong key or value, an unusable folder, or no point that could be computed.
    """
    for axis in request.axes:
        check_axis(base, axis)
    store = PointStore(out)
    settings = None if request.method == OPTUNA else settings_of(request, base)
    told = listener or Silent()
    workers = workers_of(n_workers, scheduler, told)
    try:
        sweep = Sweep(base, base_dir, store, workers, told)
        store.open()  # only now, so that what is refused leaves no folder
        if settings is None:
            from neurochip.sweep.search import search

            points = search(sweep, request)
        else:
            points = sweep.evaluate(settings)
    finally:
        workers.close()
    write_table(rows_of(points), out)
    write_page(summary_of(points, base, request.strategy, command) if page else None, out)
    errors = [point.computed.error for point in points if point.computed.error is not None]
    if len(errors) == len(points):
        raise UserError(f"none of {len(points)} points could be computed, the first because of this: {errors[0]}")
    return points
