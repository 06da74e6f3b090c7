"""Is a sweep of 200 points faster over two processes than over one, and the same? Whole commands, started anew."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

import neurochip

pytestmark = [pytest.mark.bench, pytest.mark.slow]
ROOT = Path(neurochip.__file__).resolve().parent.parent
N_POINTS = 200
LEAST_RATIO = 1.4  # what a noisy machine keeps; docs/performance.md has the figure of a quiet one
MOST_OTHER_CORES = 0.1  # that other work may take, on average over both runs
SWEEP = ("--sweep", "precision.weight.bits=4:8", "--sweep", "precision.weight.rounding=floor,stochastic")
SEEDS = "1:20"


@dataclass(frozen=True)
class Timed:
    """Seconds of a command, and cores that other work took meanwhile (0 where the system does not tell)."""

    seconds: float
    other_cores: float


def sweep(folder: Path, out: str, n_workers: int, seeds: str) -> Timed:
    """Run `neurochip precision` on two epochs of the default experiment."""
    words = (*SWEEP, "--seeds", seeds, "--set", "learning.epochs=2", "--workers", str(n_workers), "--quiet")
    line = [sys.executable, "-m", "neurochip", "precision", *words, "--out", out]
    start, busy, own = time.monotonic(), _busy_seconds(), _own_seconds()
    subprocess.run(line, cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True, stdout=subprocess.DEVNULL)
    seconds = time.monotonic() - start
    return Timed(seconds, max(0.0, _busy_seconds() - busy - (_own_seconds() - own)) / seconds)


def _own_seconds() -> float:
    """Processor time of this process and of all that it waited for, and they for theirs."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def _busy_seconds() -> float:
    """Processor time of everything on this machine, also what a host took away from it."""
    try:
        fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    except OSError:
        return 0.0
    user, nice, system, _, _, irq, softirq, steal = map(int, fields)
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def test_200_points_over_two_processes_take_at_most_a_share_of_the_time_of_one(tmp_path: Path) -> None:
    sweep(tmp_path, "warm", 1, "1")  # compiles the kernels and records the digits, if that was not done before
    one, two = (sweep(tmp_path, f"workers{n}", n, SEEDS) for n in (1, 2))
    ratio = one.seconds / two.seconds
    print(f"\n{N_POINTS} points: {one.seconds:.1f} s over one process, {two.seconds:.1f} s over two: {ratio:.2f} times")
    tables = [(tmp_path / f"workers{n}" / "sweep.csv").read_bytes() for n in (1, 2)]
    assert tables[0] == tables[1]
    assert tables[0].count(b"\n") == N_POINTS + 1
    points = [{p.name: p.read_bytes() for p in (tmp_path / f"workers{n}" / "points").iterdir()} for n in (1, 2)]
    assert points[0] == points[1]
    assert len(points[0]) == N_POINTS
    if (os.cpu_count() or 1) < 2:
        pytest.skip("one core: there is nothing to gain")
    other = max(one.other_cores, two.other_cores)
    if other > MOST_OTHER_CORES:
        pytest.skip(f"other work took {other:.2f} cores meanwhile; run it alone to judge the {ratio:.2f} times")
    assert ratio >= LEAST_RATIO
