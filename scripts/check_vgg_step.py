"""One real training step of `vgg-sws` on the integer core, held against what `neurochip cost` says of it.

Random weights, independent random events at a rate of 0.1. Prints time and memory of the run, whether `cost --activity`
gives the costs of the run to the last digit, and how far `cost --rates-of` the run is off, which knows its mean rates
alone. Ends with exit code 1 if the first is not so, or if the energy of the second errs by more than 10 %.

    python scripts/check_vgg_step.py OUT
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from neurochip.event_file import write_recordings
from neurochip.events import Recordings

N_INPUTS, STEPS, RATE, STEP_US = 3 * 32 * 32, 6, 0.1, 1000
RULE = "ottt-o"
LARGEST_ERROR = 0.1  # of the energy from mean rates
COUNTS = (
    "synapse_read", "synapse_write", "neuron_read", "trace_read", "trace_write", "error_read", "error_write", "mac",
    "ac", "mul",
)  # fmt: skip


def random_recordings(n_samples: int, seed: int) -> Recordings:
    """Independent events; the sensor is one line of pixels, as a camera has no three colours."""
    fired = np.random.default_rng(seed).random((n_samples, STEPS, N_INPUTS)) < RATE
    fired[:, 0, 0] = fired[:, -1, 0] = True  # the first and last event of a recording are its first and last step
    sample, step, address = np.nonzero(fired)
    times = step * STEP_US + np.where(step == STEPS - 1, STEP_US - 1, 0)
    offsets = np.searchsorted(sample, np.arange(n_samples + 1))
    nothing = np.zeros(len(address), np.uint8)
    return Recordings(address, nothing, nothing, times, offsets, np.arange(n_samples) % 10, (N_INPUTS, 1, 1))


def command(*words: str) -> dict[str, Any]:
    """Run neurochip and return the document it prints."""
    done = subprocess.run([sys.executable, "-m", "neurochip", *words, "--json"], check=True, stdout=subprocess.PIPE)
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def main(out: Path) -> int:
    """Run, price twice, compare; returns the exit code."""
    out.mkdir(parents=True)
    path = out / "random.h5"
    parts = {name: random_recordings(10, seed) for seed, name in enumerate(("train", "validation", "test"))}
    write_recordings(path, parts, {"title": "independent random events"})
    settings = {
        "task.name": "events-h5", "task.path": str(path.resolve()), "task.steps": STEPS, "learning.rule": RULE,
        "learning.epochs": 1, "learning.learning_rate": 0.001, "chip.overflow": "grow",
        "network.input_shape": "[3,32,32]", "run.calibration_samples": 1, "run.activity_samples": 10,
    }  # fmt: skip
    words = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    start = time.monotonic()
    report = command("learn", "--network", "vgg-sws", *words, "--out", str(out / "run"))
    peak_gb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6
    seconds = time.monotonic() - start
    print(f"10 samples learned, 10 tested, in fixed point and as float twin: {seconds:.0f} s, {peak_gb:.1f} GB")
    run = report["results"][0]["per_sample"]
    again = command("cost", "--activity", str(out / "run"))["results"][0]["per_sample"]
    print("cost --activity equals the run:", again == run)
    start = time.monotonic()
    document = command(
        "cost", "--network", "vgg-sws", "--rules", RULE, "--steps", str(STEPS), "--set", "chip.overflow=grow",
        "--rates-of", str(out / "run"),
    )  # fmt: skip
    seconds = time.monotonic() - start
    print(f"cost --rates-of the run: {document['activity']['n_samples']} samples drawn and priced in {seconds:.0f} s")
    drawn = document["results"][0]["per_sample"]
    pairs = {
        "energy": (run["energy_pj"]["total"], drawn["energy_pj"]["total"]),
        "cycles": (run["cycles"], drawn["cycles"]),
        **{key: (run["counts"][key], drawn["counts"][key]) for key in COUNTS},
    }
    for name, (there, here) in pairs.items():
        print(f"{name}: run {there:.6g}, cost from mean rates {here:.6g}, error {100 * (here / there - 1):+.1f} %")
    there, here = pairs["energy"]
    return int(again != run or abs(here / there - 1) > LARGEST_ERROR)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
