"""A Dask cluster as the workers of a sweep: any scheduler, by its address; nothing but Dask's own client."""

from __future__ import annotations

import importlib
import logging
import re
import time
from collections.abc import Iterator, Sequence
from typing import Any

from neurochip.errors import UserError
from neurochip.listener import Listener
from neurochip.sweep.keys import source_hash
from neurochip.sweep.point import Computed
from neurochip.sweep.workers import Job, compute_job, lost

ADDRESS = re.compile(r"[a-z]+://\S+|[^\s:/]+:\d+")  # a Client given anything else fails once more when it is deleted
CONNECT_S = 20
POLL_S = 0.1
ASK_S = 5.0  # without a result, before the scheduler is asked whether there are workers
LOGGERS = ("distributed", "distributed.client", "tornado")  # that have levels of their own
LIVE = ("running", "connecting")  # of a client


class Dask:
    """The workers behind a scheduler. Dask itself gives the jobs of a worker that is killed to the others."""

    def __init__(self, scheduler: str, listener: Listener) -> None:
        """Connect; the listener is told when the work waits for workers.

        Raises:
            UserError: `distributed` is not installed, or no scheduler answers.
        """
        try:
            self._dask: Any = importlib.import_module("distributed")
        except ImportError as error:
            raise UserError(
                f"--scheduler {scheduler}: needs the package distributed; install neurochip[cluster]"
            ) from error
        if ADDRESS.fullmatch(scheduler) is None:
            raise UserError(
                f"--scheduler {scheduler}: is no address; give that of a running scheduler, such as tcp://host:8786"
            )
        self._scheduler, self._listener, self._is_waiting = scheduler, listener, False
        self._levels = {name: logging.getLogger(name).level for name in LOGGERS}
        for name in LOGGERS:  # what is lost is said in one sentence
            logging.getLogger(name).setLevel(logging.CRITICAL)
        try:
            self._client = self._dask.Client(scheduler, timeout=CONNECT_S, set_as_default=False)
        except (OSError, ValueError) as error:
            self._restore_levels()
            raise UserError(
                f"--scheduler {scheduler}: no scheduler answers ({' '.join(str(error).split())}); give the address of "
                "a running one, such as tcp://host:8786"
            ) from error

    def run(self, jobs: Sequence[Job]) -> Iterator[tuple[int, list[Computed]]]:
        """The results with the index of their job, as they come; waits for workers as long as there are none.

        Raises:
            UserError: the scheduler was lost, or a worker has another neurochip; what came before is done.
        """
        source = source_hash()
        try:
            submit = self._client.submit
            futures = {submit(compute_job, job, source, pure=False): index for index, job in enumerate(jobs)}
        except Exception as error:
            raise self._lost() from error
        for future in self._completed(list(futures)):
            index = futures[future]
            yield index, self._result(future, jobs[index])
            future.release()

    def _completed(self, futures: list[Any]) -> Iterator[Any]:
        """Futures as they end; says so when no worker is there to end them."""
        coming = self._dask.as_completed(futures, loop=self._client.loop)
        asked = time.monotonic()
        while coming.count():
            if coming.has_ready():
                yield from coming.next_batch(block=False)
                asked = time.monotonic()
            elif time.monotonic() - asked < ASK_S:
                time.sleep(POLL_S)
            else:
                self._ask_for_workers()
                asked = time.monotonic()

    def _fetched(self, future: Any) -> list[Computed]:
        """The result of a future that ended; it is computed once more where its worker was killed since."""
        while True:
            try:
                done: list[Computed] = future.result(timeout=ASK_S)
            except TimeoutError:
                self._ask_for_workers()
            else:
                self._is_waiting = False
                return done

    def _ask_for_workers(self) -> None:
        """Say it once when no worker is there to end what is waited for."""
        if self._client.status not in LIVE:
            raise self._lost()
        try:
            is_waiting = not self._client.nthreads()
        except (OSError, RuntimeError):  # the connection ended just now, which is told next
            return
        if is_waiting and not self._is_waiting:
            self._listener.message(f"--scheduler {self._scheduler}: has no workers, waiting for one")
        self._is_waiting = is_waiting

    def _result(self, future: Any, job: Job) -> list[Computed]:
        try:
            done = self._fetched(future)
        except self._dask.KilledWorker:
            return lost(job, "every worker that computed it was killed, perhaps for want of memory")
        except (self._dask.client.FutureCancelledError, OSError) as error:
            raise self._lost() from error
        except UserError as error:
            raise UserError(f"--scheduler {self._scheduler}: {error}") from error
        except Exception as error:  # of a point nothing else comes, so it is no worker of this neurochip
            text = " ".join(f"{type(error).__name__}: {error}".split())
            raise UserError(
                f"--scheduler {self._scheduler}: a worker cannot run neurochip ({text}); install the same there"
            ) from error
        return done

    def _lost(self) -> UserError:
        return UserError(
            f"--scheduler {self._scheduler}: was lost; the points that were done are kept, and the same command "
            "continues"
        )

    def close(self) -> None:
        """Leave the cluster, which runs on; what is not done is given up."""
        self._client.close()
        self._restore_levels()

    def _restore_levels(self) -> None:
        for name, level in self._levels.items():
            logging.getLogger(name).setLevel(level)
