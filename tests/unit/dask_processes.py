"""A Dask scheduler and its workers as processes of their own, to be killed one by one."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from process_tree import wait_for

import neurochip

ROOT = Path(neurochip.__file__).resolve().parent.parent


class DaskProcesses:
    """`dask scheduler` on a free port of this machine, and as many `dask worker` as are started; killed at the end."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self._folder = folder
        self._file = folder / "scheduler.json"
        self.scheduler: subprocess.Popen[bytes] | None = None
        self.workers: list[subprocess.Popen[bytes]] = []

    @property
    def address(self) -> str:
        """Of the scheduler, the same after it was started again."""
        return f"tcp://127.0.0.1:{self._port}"

    def start_scheduler(self) -> None:
        """Start it and wait until it listens."""
        self._file.unlink(missing_ok=True)
        place = ("--host", "127.0.0.1", "--port", str(self._port), "--scheduler-file", str(self._file))
        self.scheduler = self._start("distributed.cli.dask_scheduler", *place)
        wait_for(lambda: self._file.is_file() and json.loads(self._file.read_text())["address"] == self.address)

    def start_worker(self) -> None:
        """Start one with one thread and no nanny, which nobody starts again."""
        words = (self.address, "--nthreads", "1", "--no-nanny", "--local-directory", str(self._folder))
        self.workers.append(self._start("distributed.cli.dask_worker", *words))

    def kill_workers(self) -> None:
        """Kill all of them."""
        for worker in self.workers:
            worker.kill()
            worker.wait()
        self.workers.clear()

    def kill_scheduler(self) -> None:
        """Kill it, if it runs."""
        if self.scheduler is not None:
            self.scheduler.kill()
            self.scheduler.wait()
            self.scheduler = None

    def _start(self, module: str, *words: str) -> subprocess.Popen[bytes]:
        paths = os.pathsep.join([str(ROOT), str(Path(__file__).parent)])
        environment = {**os.environ, "PYTHONPATH": paths}
        line = [sys.executable, "-m", module, *words, "--no-dashboard"]
        return subprocess.Popen(line, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def __enter__(self) -> Self:
        self.start_scheduler()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.kill_workers()
        self.kill_scheduler()
