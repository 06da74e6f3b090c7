"""`neurochip precision --scheduler`: the scheduler is killed in the middle, and the same command continues."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from dask_processes import DaskProcesses
from process_tree import wait_for

from .conftest import Command, environment

SWEEP = ("--sweep", "precision.weight.bits=3:8", "--seeds", "1:6", "--quiet")


def tables_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.*")} | {
        path.name: path.read_bytes() for path in (folder / "points").iterdir()
    }


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
    assert call("precision", small, *SWEEP, "--workers", "1", "--out", "serial").code == 0
    assert tables_of(folder / "cluster") == tables_of(folder / "serial")
    assert len(tables_of(folder / "serial")) >= 37
