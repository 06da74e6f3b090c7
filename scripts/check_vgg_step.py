"""One real training step of `vgg-sws` on the integer core, held against what `neurochip cost` says of it.

Random weights, independent random events at a rate of 0.1. Prints time and memory of the run, whether `cost --activity`
gives the costs of the run to the last digit, and how far `cost` from the run's mean rates alone is off.

    python scripts/check_vgg_step.py OUT
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from neurochip.event_file import write_recordings
from neurochip.events import Recordings
from neurochip.network.resolve import Lanes
from neurochip.repricing import load_run

N_INPUTS, STEPS, RATE, STEP_US = 3 * 32 * 32, 6, 0.1, 1000
RULE = "ottt-o"


def random_recordings(n_samples: int, seed: int) -> Recordings:
    """Independent events; the sensor is one line of pixels, as a camera has no three colours."""
    fired = np.random.default_rng(seed).random((n_samples, STEPS, N_INPUTS)) < RATE
    fired[:, 0, 0] = fired[:, -1, 0] = True  # the first and last event of a recording are its first and last step
    sample, step, address = np.nonzero(fired)
    times = step * STEP_US + np.where(step == STEPS - 1, STEP_US - 1, 0)
    offsets = np.searchsorted(sample, np.arange(n_samples + 1))
    nothing = np.zeros(len(address), np.uint8)
    return Recordings(address, nothing, nothing, times, offsets, np.arange(n_samples) % 10, (N_INPUTS, 1, 1))


def command(*words: str) -> dict[str, object]:
    """Run neurochip and return the document it prints."""
    done = subprocess.run([sys.executable, "-m", "neurochip", *words, "--json"], check=True, stdout=subprocess.PIPE)
    document: dict[str, object] = json.loads(done.stdout)
    return document


def main(out: Path) -> None:
    """Run, price twice, compare."""
    out.mkdir(parents=True)
    path = out / "random.h5"
    parts = {name: random_recordings(10, seed) for seed, name in enumerate(("train", "validation", "test"))}
    write_recordings(path, parts, {"title": "independent random events"})
    settings = {
        "task.name": "events-h5", "task.path": str(path.resolve()), "task.steps": STEPS, "learning.rule": RULE,
        "learning.epochs": 1, "learning.learning_rate": 0.01, "chip.overflow": "grow",
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
    rates = mean_rates(out / "run")
    drawn = command(
        "cost", "--network", "vgg-sws", "--rules", RULE, "--steps", str(STEPS), "--set", "chip.overflow=grow", *rates
    )["results"][0]["per_sample"]
    for name, there, here in (
        ("energy", run["energy_pj"]["total"], drawn["energy_pj"]["total"]),
        ("cycles", run["cycles"], drawn["cycles"]),
        *((key, run["counts"][key], drawn["counts"][key]) for key in ("synapse_read", "mac", "ac", "trace_read")),
    ):
        print(f"{name}: run {there:.6g}, cost from mean rates {here:.6g}, error {100 * (here / there - 1):+.1f} %")


def mean_rates(directory: Path) -> list[str]:
    """The options of `cost` that say what the run did on average."""
    run = load_run(directory)
    activity, spec = run.recorded_of(RULE).epochs[-1], run.spec(RULE, Lanes(16, 8))
    cells = activity.n_samples * activity.n_steps
    fields = {name: np.array(activity.per_layer(name)) for name in ("spikes", "psi_nonzero", "signal_nonzero")}
    widths = np.array([layer.n_out for layer in spec.layers])
    spikes = fields["spikes"][:-1] / (cells * widths[:-1])
    active = activity.per_layer("signal_steps")[-1] / cells
    psi = fields["psi_nonzero"][:-1] / (cells * widths[:-1])
    signal = fields["signal_nonzero"][:-1] / (active * np.maximum(1, fields["psi_nonzero"][:-1]))
    errors = fields["signal_nonzero"][-1] / (active * cells * widths[-1])
    options = {"--rate": [RATE, *spikes], "--psi": psi, "--signal-steps": [active], "--signal": [*signal, errors]}
    return [word for name, values in options.items() for word in (name, ",".join(f"{value:.6f}" for value in values))]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
