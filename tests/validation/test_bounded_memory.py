"""Does a recording set larger than the memory convert and train?

A child process may take only so much private memory more than it had after a small run. RLIMIT_DATA counts private
writable memory, and not files that are mapped.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import neurochip

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="private memory is limited by RLIMIT_DATA of Linux"),
]

EVENT_BYTES = 13  # of an event in memory: x, y, p and t
EVENTS_PER_RECORDING = 10_000
N_RECORDINGS = 3_100
ALLOWED_MB = 150
CHILD = """
import resource, sys
from pathlib import Path
import numpy as np
from neurochip.cli import main
from neurochip.tasks import digits_dvs, prepare_large

SETTINGS = (
    *('task.name="events-h5"', "task.steps=20", 'network.layers=[{kind="readout"}]'),
    *("learning.epochs=1", "run.activity_samples=1", "run.calibration_samples=8"),
)

def write(folder, n_recordings):
    i = np.arange(EVENTS)
    for split, n in (("Train", n_recordings), ("Test", 2)):
        for number in range(n):
            path = Path(folder, split, str(number % 2), f"{number:05}.bin")
            path.parent.mkdir(parents=True, exist_ok=True)
            x, y, p, t = (i * 7 + number) % 34, (i // 5 + 3 * number) % 34, i // 3 % 2, i * 800
            rows = np.stack([x, y, p << 7 | t >> 16, t >> 8 & 255, t & 255], axis=1)
            path.write_bytes(rows.astype(np.uint8).tobytes())

def private_mb():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmData")) // 1024

def work(name):
    if sys.argv[1] == "convert":
        assert main(["convert", name, f"{name}.h5", "--quiet"]) == 0
        return
    words = [word for setting in (*SETTINGS, f'task.path="{name}.h5"') for word in ("--set", setting)]
    assert main(["learn", *words, "--out", f"{name}-run", "--quiet", "--json"]) == 0

if sys.argv[1] == "convert":
    write("small", 4)
    write("large", RECORDINGS)
work("small")  # compiles
limit = private_mb() + ALLOWED << 20
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
digits_dvs.default_cache_dir = lambda: Path("cache")  # kernels stay where they are
if sys.argv[1] == "learn in memory":
    prepare_large.LARGE_EVENTS = 1 << 60
work("large")
"""


def child(folder: Path, what: str) -> subprocess.CompletedProcess[str]:
    """Convert or learn as a process with a limit on its memory."""
    sizes = f"EVENTS, RECORDINGS, ALLOWED = {EVENTS_PER_RECORDING}, {N_RECORDINGS}, {ALLOWED_MB}\n"
    environment = {**os.environ, "PYTHONPATH": str(Path(neurochip.__file__).parents[1])}
    line = [sys.executable, "-c", sizes + CHILD, what]
    return subprocess.run(line, capture_output=True, text=True, cwd=folder, env=environment, check=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the recordings in one event file, converted with little memory."""
    path = tmp_path_factory.mktemp("large")
    assert N_RECORDINGS * EVENTS_PER_RECORDING * EVENT_BYTES > 2.5 * ALLOWED_MB * 2**20
    done = child(path, "convert")
    assert done.returncode == 0, done.stderr[-2000:]
    return path


def test_recordings_larger_than_the_memory_convert_and_train(folder: Path) -> None:
    done = child(folder, "learn")
    assert done.returncode == 0, done.stderr[-2000:]
    assert f'"n_train": {N_RECORDINGS * 9 // 10}' in done.stdout
    (cached,) = (folder / "cache").glob("steps-*")
    assert sum(path.stat().st_size for path in cached.iterdir()) > 0.25 * N_RECORDINGS * EVENTS_PER_RECORDING * 5


def test_the_same_recordings_in_memory_do_not_fit(folder: Path) -> None:
    done = child(folder, "learn in memory")
    assert done.returncode != 0
    assert "Unable to allocate" in done.stderr
