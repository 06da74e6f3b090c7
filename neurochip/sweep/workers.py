"""Who computes the jobs of a sweep: this process, or several on this machine."""

from __future__ import annotations

import multiprocessing
import os
import platform
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing.connection import wait as wait_for
from typing import Any, Protocol

from neurochip.errors import UserError
from neurochip.sweep.keys import source_hash
from neurochip.sweep.loaded import LoadedTasks
from neurochip.sweep.point import Computed, compute_points

WAIT_S = 0.2
AHEAD = 2  # jobs per process that are handed out at once


@dataclass(frozen=True)
class Job:
    """Points of one simulation: experiments as tables, and the folder `task.path` is relative to."""

    configurations: tuple[dict[str, Any], ...]
    base_dir: str


class Workers(Protocol):
    """Computes jobs in any order; what is not finished when the iteration is left is given up."""

    def run(self, jobs: Sequence[Job]) -> Iterator[tuple[int, list[Computed]]]: ...
    def close(self) -> None: ...


_TASKS = LoadedTasks()  # of a process that works for others, for the jobs that it will get


def compute_job(job: Job, source: str) -> list[Computed]:
    """The points of a job, in their order, in a process that works for another.

    Raises:
        UserError: the source here is not the one of hash `source`, after which the points are named.
    """
    if source_hash() != source:
        raise UserError(
            f"a worker on {platform.node()} has another neurochip, whose results would go by the names of this one; "
            "install the same there, start the workers again, and the same command continues"
        )
    return compute_points(job.configurations, job.base_dir, _TASKS.load)


def lost(job: Job, reason: str) -> list[Computed]:
    """The points of a job whose process ended before it was done; a rerun tries them again."""
    return [Computed(error=reason, is_lasting=False) for _ in job.configurations]


class Serial:
    """This process, one job after the other."""

    def __init__(self) -> None:
        self._tasks = LoadedTasks()

    def run(self, jobs: Sequence[Job]) -> Iterator[tuple[int, list[Computed]]]:
        """The results with the index of their job."""
        for index, job in enumerate(jobs):
            yield index, compute_points(job.configurations, job.base_dir, self._tasks.load)

    def close(self) -> None:
        """Nothing to end."""


class Processes:
    """Processes on this machine. A process that is killed costs the jobs in flight, which are then tried again."""

    def __init__(self, n_workers: int) -> None:
        if n_workers < 1:
            raise UserError(f"--workers {n_workers}: is not allowed; allowed are whole numbers from 1")
        self._n_workers = n_workers
        self._pool: ProcessPoolExecutor | None = None
        self._others = set(multiprocessing.active_children())

    def run(self, jobs: Sequence[Job]) -> Iterator[tuple[int, list[Computed]]]:
        """The results with the index of their job, as they come."""
        waiting, suspects = list(reversed(range(len(jobs)))), list[int]()
        flying: dict[Future[list[Computed]], int] = {}
        while waiting or flying:
            is_broken = not self._hand_out(jobs, waiting, flying)
            finished, _ = wait(flying, timeout=WAIT_S, return_when=ALL_COMPLETED if is_broken else FIRST_COMPLETED)
            for future in finished:
                index = flying.pop(future)
                if isinstance(future.exception(), BrokenProcessPool):
                    is_broken = True
                    suspects.append(index)
                else:
                    yield index, future.result()
            if is_broken and not flying:
                self.close()
        for index in sorted(suspects):  # one at a time, so that the one that ends its process is known
            yield index, self._alone(jobs[index])

    def _hand_out(self, jobs: Sequence[Job], waiting: list[int], flying: dict[Future[list[Computed]], int]) -> bool:
        """Give the processes the next jobs; False if one of them was killed."""
        try:
            while waiting and len(flying) < AHEAD * self._n_workers:
                flying[self._submit(jobs[waiting[-1]])] = waiting[-1]
                waiting.pop()
        except BrokenProcessPool:
            return False
        return True

    def _alone(self, job: Job) -> list[Computed]:
        """Run a job with no other beside it."""
        try:
            return self._submit(job).result()
        except BrokenProcessPool:
            self.close()
            return lost(job, "the process that computed it was killed, perhaps for want of memory")

    def _submit(self, job: Job) -> Future[list[Computed]]:
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                self._n_workers, mp_context=multiprocessing.get_context("spawn"), initializer=_begin
            )
        return self._pool.submit(compute_job, job, source_hash())

    def close(self) -> None:
        """End the processes, whatever they are at."""
        if self._pool is None:
            return
        pool, self._pool = self._pool, None
        for process in set(multiprocessing.active_children()) - self._others:
            process.terminate()
        pool.shutdown(wait=True, cancel_futures=True)


def _begin() -> None:
    """A worker: Ctrl-C is for the process that started it, and it ends when that one is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    wait_for([sentinel])
    os._exit(1)
