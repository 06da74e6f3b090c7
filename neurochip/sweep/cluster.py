"""A Dask cluster as the workers of a sweep: any scheduler, by its address; nothing but Dask's own client."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from typing import Any

from neurochip.errors import UserError
from neurochip.sweep.point import Computed
from neurochip.sweep.workers import Job, compute_job, lost

CONNECT_S = 20


class Dask:
    """The workers behind a scheduler. Dask itself gives the jobs of a worker that is killed to the others."""

    def __init__(self, scheduler: str) -> None:
        """Connect.

        Raises:
            UserError: `distributed` is not installed, or no scheduler answers.
        """
        try:
            self._dask: Any = importlib.import_module("distributed")
        except ImportError as error:
            raise UserError(
                f"--scheduler {scheduler}: needs the package distributed; install neurochip[cluster]"
            ) from error
        self._scheduler = scheduler
        try:
            self._client = self._dask.Client(scheduler, timeout=CONNECT_S, set_as_default=False)
        except (OSError, ValueError) as error:
            raise UserError(
                f"--scheduler {scheduler}: no scheduler answers ({' '.join(str(error).split())}); give the address of "
                "a running one, such as tcp://host:8786"
            ) from error

    def run(self, jobs: Sequence[Job]) -> Iterator[tuple[int, list[Computed]]]:
        """The results with the index of their job, as they come.

        Raises:
            UserError: the scheduler was lost; what came before is done.
        """
        futures = {self._client.submit(compute_job, job, pure=False): index for index, job in enumerate(jobs)}
        for future in self._dask.as_completed(list(futures), loop=self._client.loop):
            index = futures[future]
            try:
                done: list[Computed] = future.result()
            except self._dask.KilledWorker:
                done = lost(jobs[index], "every worker that computed it was killed, perhaps for want of memory")
            except (self._dask.client.FutureCancelledError, OSError) as error:
                raise UserError(
                    f"--scheduler {self._scheduler}: was lost; the points that were done are kept, and the same "
                    "command continues"
                ) from error
            future.release()
            yield index, done

    def close(self) -> None:
        """Leave the cluster, which runs on; what is not done is given up."""
        self._client.close()
