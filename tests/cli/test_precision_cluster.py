"""`neurochip precision --scheduler`: the scheduler is killed in the middle, and the same command continues."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

from dask_processes import DaskProcesses
from process_tree import wait_for

from .conftest import Command, environment

SWEEP = ("--sweep", "precision.weight.bits=3:8", "--seeds", "1:6", "--quiet")


def tables_of(folder: Path, words: tuple[str, ...]) -> dict[str, bytes]:
    """Every file of a sweep; of its page all but the command that made it."""
    files = {path.name: path.read_bytes() for part in (folder, folder / "points") for path in part.glob("*.*")}
    command = shlex.join(["neurochip", *words]).encode()
    assert files["sweep.html"].count(command) == 1
    return files | {"sweep.html": files["sweep.html"].replace(command, b"")}


def test_a_lost_scheduler_ends_the_command_which_continues_with_another(
    call: Command, small: Path, folder: Path
) -> None:
    with DaskProcesses(folder) as cluster:
        cluster.start_worker()
        words = ("precision", str(small), *SWEEP, "--scheduler", cluster.address, "--out", "cluster")
        process = subprocess.Popen(
            [sys.executable, "-m", "neurochip", *words],
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            wait_for(
                lambda: process.poll() is not None or len(list((folder / "cluster").glob("points/*.json"))) >= 2, 180
            )
            assert process.poll() is None, process.communicate()
            cluster.kill_scheduler()
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
        sentence = "was lost; the points that were done are kept, and the same command continues"
        assert (process.returncode, out) == (2, "")
        assert err == f"neurochip: --scheduler {cluster.address}: {sentence}\n"
        before = {path: path.stat().st_mtime_ns for path in folder.glob("cluster/points/*.json")}
        assert 2 <= len(before) < 36
        cluster.kill_workers()
        cluster.start_scheduler()
        cluster.start_worker()
        assert call(*words).code == 0
    assert before.items() <= {path: path.stat().st_mtime_ns for path in folder.glob("cluster/points/*.json")}.items()
    serial = ("precision", str(small), *SWEEP, "--workers", "1", "--out", "serial")
    assert call(*serial).code == 0
    assert tables_of(folder / "cluster", words) == tables_of(folder / "serial", serial)
    assert len(tables_of(folder / "serial", serial)) >= 37
