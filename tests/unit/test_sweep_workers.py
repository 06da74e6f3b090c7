"""Who computes: processes and a Dask cluster give the bytes of this process, also when one of them is killed."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sweep_request import BITS, files_of, sweep_tiny
from tiny_experiment import tiny_tables, write_tiny_task

import neurochip
from neurochip.errors import UserError
from neurochip.listener import Silent
from neurochip.sweep import workers as workers_module
from neurochip.sweep.workers import Job, Processes

ROOT = Path(neurochip.__file__).resolve().parent.parent
SWEEP = (f"{BITS}=3:8",)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the tiny task and its sweep computed by this process."""
    path = tmp_path_factory.mktemp("workers")
    write_tiny_task(path)
    sweep_tiny(path, "serial", *SWEEP, seeds="1,2")
    return path


class KillsOnce(Silent):
    """A listener that kills one worker process when the first points are done."""

    def __init__(self) -> None:
        self.killed: list[int] = []

    def advance(self, key: str, amount: int, text: str = "") -> None:
        """Kill the first child there is."""
        children = sorted(multiprocessing.active_children(), key=lambda child: child.pid or 0)
        if text and not self.killed and children and children[0].pid is not None:
            os.kill(children[0].pid, signal.SIGKILL)
            self.killed.append(children[0].pid)


def test_two_processes_one_of_them_killed_give_the_bytes_of_one(folder: Path) -> None:
    listener = KillsOnce()
    sweep_tiny(folder, "killed", *SWEEP, seeds="1,2", n_workers=2, listener=listener)
    assert len(listener.killed) == 1
    assert files_of(folder / "killed") == files_of(folder / "serial")
    assert multiprocessing.active_children() == []


def _dies(job: Job) -> list[workers_module.Computed]:
    """A job that takes its process with it, if it is the one with a marked folder."""
    if job.base_dir == "dies":
        os._exit(3)
    return [workers_module.Computed(result={"done": job.base_dir})]


def test_a_job_that_ends_every_process_fails_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers_module, "compute_job", _dies)
    jobs = [Job((tiny_tables(),), place) for place in ("a", "dies", "b", "c", "d", "e")]
    pool = Processes(2)
    try:
        done = dict(pool.run(jobs))
    finally:
        pool.close()
    assert sorted(done) == [0, 1, 2, 3, 4, 5]
    assert [index for index, (one,) in done.items() if one.error is not None] == [1]
    assert not done[1][0].is_lasting
    assert "was killed" in (done[1][0].error or "")


def test_workers_are_counted_from_one() -> None:
    with pytest.raises(UserError, match=r"--workers 0: is not allowed"):
        Processes(0)


def test_processes_end_with_the_one_that_started_them(folder: Path) -> None:
    """A killed sweep leaves no process behind, and keeps the points that were done; a rerun makes the rest."""
    out = folder / "orphans"
    code = (
        "import sys; sys.path[:0] = sys.argv[2:]\n"
        "from pathlib import Path\n"
        "from sweep_request import sweep_tiny\n"
        "if __name__ == '__main__':\n"
        f"    sweep_tiny(Path(sys.argv[1]), 'orphans', *{SWEEP!r}, seeds='1,2', n_workers=2)\n"
    )
    script = folder / "script.py"
    script.write_text(code, encoding="utf-8")
    line = [sys.executable, str(script), str(folder), str(Path(__file__).parent), str(ROOT)]
    paths = os.pathsep.join([str(ROOT), str(Path(__file__).parent)])
    process = subprocess.Popen(line, env={**os.environ, "PYTHONPATH": paths})
    try:
        _wait_for(lambda: len(list(out.glob("points/*.json"))) >= 1)
        children = _children(process.pid)
        assert len(children) >= 2
    finally:
        process.kill()
        process.wait()
    _wait_for(lambda: not any(_is_alive(child) for child in children))
    before = {path.name: path.stat().st_mtime_ns for path in out.glob("points/*.json")}
    assert 1 <= len(before) <= 12
    sweep_tiny(folder, "orphans", *SWEEP, seeds="1,2")
    assert files_of(out) == files_of(folder / "serial")
    assert before.items() <= {path.name: path.stat().st_mtime_ns for path in out.glob("points/*.json")}.items()


def _wait_for(holds: object, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.05)


def _children(parent: int) -> list[int]:
    if not Path("/proc").is_dir():
        pytest.skip("needs /proc to find the processes of a process")
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == parent:
            found.append(int(path.parent.name))
    return found


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture
def cluster() -> Iterator[str]:
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
            self.killed = [pid for pid in _children(os.getpid()) if "spawn_main" in _command(pid)][:1]
            for pid in self.killed:
                os.kill(pid, signal.SIGKILL)


def _command(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()


@pytest.mark.filterwarnings("default")
def test_a_dask_cluster_one_worker_killed_gives_the_bytes_of_one_process(folder: Path, cluster: str) -> None:
    listener = KillsDaskWorker()
    sweep_tiny(folder, "dask", *SWEEP, seeds="1,2", scheduler=cluster, listener=listener)
    assert len(listener.killed) == 1
    assert files_of(folder / "dask") == files_of(folder / "serial")


@pytest.mark.filterwarnings("default")
def test_a_scheduler_that_does_not_answer_is_one_sentence(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neurochip.sweep.cluster.CONNECT_S", 1)
    with pytest.raises(UserError, match=r"--scheduler tcp://127\.0\.0\.1:9: no scheduler answers"):
        sweep_tiny(folder, "nobody", *SWEEP, scheduler="tcp://127.0.0.1:9")


def test_without_distributed_the_extra_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UserError, match=r"--scheduler tcp://host:1: needs the package distributed; install"):
        sweep_tiny(folder, "missing", *SWEEP, scheduler="tcp://host:1")
