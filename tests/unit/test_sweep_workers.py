"""Who computes: processes give the bytes of this process, also when one of them is killed at any moment."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from process_tree import children_of, is_alive, wait_for
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


def _dies(job: Job, source: str) -> list[workers_module.Computed]:
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


def _start_sweep(folder: Path, out: str) -> subprocess.Popen[bytes]:
    """A process that makes the sweep with two processes, and takes a while."""
    code = (
        "import sys; sys.path[:0] = sys.argv[3:]\n"
        "from pathlib import Path\n"
        "from sweep_request import sweep_tiny\n"
        "if __name__ == '__main__':\n"
        f"    sweep_tiny(Path(sys.argv[1]), sys.argv[2], *{SWEEP!r}, seeds='1,2', n_workers=2)\n"
    )
    script = folder / "script.py"
    script.write_text(code, encoding="utf-8")
    places = [str(ROOT), str(Path(__file__).parent)]
    line = [sys.executable, str(script), str(folder), out, *places]
    return subprocess.Popen(line, env={**os.environ, "PYTHONPATH": os.pathsep.join(places)})


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_processes_end_with_the_one_that_started_them(how: signal.Signals, folder: Path) -> None:
    """A killed sweep leaves no process behind, and keeps the points that were done; a rerun makes the rest."""
    out = folder / how.name
    process = _start_sweep(folder, out.name)
    try:
        wait_for(lambda: len(list(out.glob("points/*.json"))) >= 1)
        children = children_of(process.pid)
        assert len(children) >= 2
        process.send_signal(how)
        assert process.wait(60) == -how
    finally:
        process.kill()
        process.wait()
    wait_for(lambda: not any(is_alive(child) for child in children))
    before = {path.name: path.stat().st_mtime_ns for path in out.glob("points/*.json")}
    assert 1 <= len(before) <= 12
    sweep_tiny(folder, out.name, *SWEEP, seeds="1,2")
    wanted = files_of(folder / "serial")
    assert {name: files_of(out)[name] for name in wanted} == wanted
    assert before.items() <= {path.name: path.stat().st_mtime_ns for path in out.glob("points/*.json")}.items()


def test_two_sweeps_into_one_folder_at_once_give_the_bytes_of_one(folder: Path) -> None:
    sweeps = [_start_sweep(folder, "shared") for _ in range(2)]
    try:
        assert [one.wait(180) for one in sweeps] == [0, 0]
    finally:
        for one in sweeps:
            one.kill()
            one.wait()
    assert files_of(folder / "shared") == files_of(folder / "serial")


def test_a_process_with_another_source_stores_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers_module, "source_hash", lambda: "0" * 64)  # of this process, not of its children
    with pytest.raises(UserError, match=r"a worker on .* has another neurochip"):
        sweep_tiny(folder, "other", f"{BITS}=3,4", n_workers=2)
    assert files_of(folder / "other") == {}
    assert multiprocessing.active_children() == []
