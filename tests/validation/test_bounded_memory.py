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
from neurochip.tasks import prepare_large

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

def convert_and_learn(name, n_recordings):
    write(name, n_recordings)
    assert main(["convert", name, f"{name}.h5", "--quiet"]) == 0
    words = [word for setting in (*SETTINGS, f'task.path="{name}.h5"') for word in ("--set", setting)]
    assert main(["learn", *words, "--out", f"{name}-run", "--quiet", "--json"]) == 0

def private_mb():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmData")) // 1024

convert_and_learn("small", 4)  # compiles
limit = private_mb() + int(sys.argv[1]) << 20
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
if sys.argv[3] == "in memory":
    prepare_large.LARGE_EVENTS = 1 << 60
convert_and_learn("large", int(sys.argv[2]))
"""


def child(folder: Path, n_recordings: int, how: str) -> subprocess.CompletedProcess[str]:
    """Convert and train as a process with a limit on its memory, in a folder and with a cache of its own."""
    environment = {**os.environ, "PYTHONPATH": str(Path(neurochip.__file__).parents[1])}
    environment["XDG_CACHE_HOME"] = str(folder / "cache")
    script = CHILD.replace("EVENTS)", f"{EVENTS_PER_RECORDING})")
    line = [sys.executable, "-c", script, str(ALLOWED_MB), str(n_recordings), how]
    return subprocess.run(line, capture_output=True, text=True, cwd=folder, env=environment, check=False)


def test_recordings_larger_than_the_memory_convert_and_train(tmp_path) -> None:
    assert N_RECORDINGS * EVENTS_PER_RECORDING * EVENT_BYTES > 2.5 * ALLOWED_MB * 2**20
    done = child(tmp_path, N_RECORDINGS, "mapped")
    assert done.returncode == 0, done.stderr[-2000:]
    assert f'"n_train": {N_RECORDINGS * 9 // 10}' in done.stdout
    assert (tmp_path / "large-run" / "report.json").is_file()
    cached = [path for path in (tmp_path / "cache" / "neurochip").glob("steps-*") if path.is_dir()]
    assert sum(path.stat().st_size for path in cached[0].iterdir()) > 100_000_000


def test_the_same_recordings_in_memory_do_not_fit(tmp_path) -> None:
    done = child(tmp_path, N_RECORDINGS, "in memory")
    assert done.returncode != 0
    assert (tmp_path / "large.h5").is_file()  # it converted, and failed in the training
    assert "memory" in done.stderr.lower()
