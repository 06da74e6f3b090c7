"""A Dask cluster gives the bytes of one process, whoever is killed, and never stores what another source made."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dask_processes import DaskProcesses
from process_tree import children_of, command_of
from sweep_request import BITS, files_of, sweep_tiny
from tiny_experiment import write_tiny_task

from neurochip.errors import UserError
from neurochip.listener import Silent
from neurochip.sweep import cluster as cluster_module

SWEEP = (f"{BITS}=3:8",)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the tiny task and its sweep computed by this process."""
    path = tmp_path_factory.mktemp("cluster")
    write_tiny_task(path)
    sweep_tiny(path, "serial", *SWEEP, seeds="1,2")
    return path


@pytest.fixture
def local_cluster() -> Iterator[str]:
    """The address of a Dask scheduler on this machine with two worker processes."""
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0", silence_logs="CRITICAL"
    ) as local:
        yield local.scheduler_address


class KillsDaskWorker(Silent):
    """A listener that kills one of the cluster's worker processes when the first points are done."""

    def __init__(self) -> None:
        self.killed: list[int] = []

    def advance(self, key: str, amount: int, text: str = "") -> None:
        """Kill the first child there is."""
        if text and not self.killed:
            self.killed = [pid for pid in children_of(os.getpid()) if "spawn_main" in command_of(pid)][:1]
            for pid in self.killed:
                os.kill(pid, signal.SIGKILL)


@pytest.mark.filterwarnings("default")
def test_one_worker_killed_gives_the_bytes_of_one_process(folder: Path, local_cluster: str) -> None:
    listener = KillsDaskWorker()
    sweep_tiny(folder, "dask", *SWEEP, seeds="1,2", scheduler=local_cluster, listener=listener)
    assert len(listener.killed) == 1
    assert files_of(folder / "dask") == files_of(folder / "serial")


class LosesAllWorkers(Silent):
    """A listener that kills every worker when the first points are done, and starts one when it is told of that."""

    def __init__(self, cluster: DaskProcesses) -> None:
        self._cluster = cluster
        self.told: list[str] = []

    def advance(self, key: str, amount: int, text: str = "") -> None:
        """Kill them once."""
        if text and not self.told:
            self._cluster.kill_workers()

    def message(self, text: str) -> None:
        """Start a worker when none is left."""
        if "has no workers" in text:
            self.told.append(text)
            self._cluster.start_worker()


@pytest.mark.filterwarnings("default")
def test_without_workers_it_says_so_and_waits_for_one(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_module, "ASK_S", 0.5)
    with DaskProcesses(tmp_path) as cluster:
        cluster.start_worker()
        listener = LosesAllWorkers(cluster)
        sweep_tiny(folder, "left", *SWEEP, seeds="1,2", scheduler=cluster.address, listener=listener)
        waits = f"--scheduler {cluster.address}: has no workers, waiting for one"
    assert listener.told
    assert set(listener.told) == {waits}
    assert files_of(folder / "left") == files_of(folder / "serial")


@pytest.mark.filterwarnings("default")
def test_a_result_that_was_lost_with_its_worker_is_computed_again(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_module, "ASK_S", 0.5)
    completed = cluster_module.Dask._completed
    with DaskProcesses(tmp_path) as cluster:
        cluster.start_worker()
        listener = LosesAllWorkers(cluster)

        def kills_when_one_is_completed(dask: cluster_module.Dask, futures: list[Any]) -> Iterator[Any]:
            for future in completed(dask, futures):
                if not listener.told:
                    cluster.kill_workers()
                yield future

        monkeypatch.setattr(cluster_module.Dask, "_completed", kills_when_one_is_completed)
        sweep_tiny(folder, "again", *SWEEP, seeds="1,2", scheduler=cluster.address, listener=listener)
    assert listener.told
    assert files_of(folder / "again") == files_of(folder / "serial")


@pytest.mark.filterwarnings("default")
def test_a_worker_with_another_source_stores_nothing(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    levels = [logging.getLogger(name).level for name in cluster_module.LOGGERS]
    with DaskProcesses(tmp_path) as cluster:
        cluster.start_worker()
        monkeypatch.setattr(cluster_module, "source_hash", lambda: "0" * 64)
        with pytest.raises(UserError, match=r"--scheduler tcp://[^ ]*: a worker on .* has another neurochip"):
            sweep_tiny(folder, "other", *SWEEP, scheduler=cluster.address)
    assert files_of(folder / "other") == {}
    assert [logging.getLogger(name).level for name in cluster_module.LOGGERS] == levels


def _is_unknown_there(*_: object) -> None:
    raise ImportError("no such module")


@pytest.mark.filterwarnings("default")
def test_a_worker_that_cannot_run_it_is_one_sentence(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with DaskProcesses(tmp_path) as cluster:
        cluster.start_worker()
        monkeypatch.setattr(cluster_module, "compute_job", _is_unknown_there)
        with pytest.raises(UserError, match=r"a worker cannot run neurochip \(.*\); install the same there"):
            sweep_tiny(folder, "unable", *SWEEP, scheduler=cluster.address)


@pytest.mark.filterwarnings("default")
def test_a_scheduler_that_does_not_answer_is_one_sentence(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_module, "CONNECT_S", 1)
    with pytest.raises(UserError, match=r"--scheduler tcp://127\.0\.0\.1:9: no scheduler answers"):
        sweep_tiny(folder, "nobody", *SWEEP, scheduler="tcp://127.0.0.1:9")


def test_without_distributed_the_extra_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UserError, match=r"--scheduler tcp://host:1: needs the package distributed; install"):
        sweep_tiny(folder, "missing", *SWEEP, scheduler="tcp://host:1")
