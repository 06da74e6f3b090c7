"""Run the N-MNIST network of the NIR paper in real numbers, and print accuracy and output spikes.

    python scripts/check_nir_cnn.py GRAPH.nir RECORDINGS.h5 [--samples 200] [--steps 321] [--reset subtract] [--swap]

Recordings: an HDF5 file of events (docs/event-format.md) whose labels are numbers of outputs, for example the digits 6
to 9. A step is a millisecond of the recording, and holds 0 or 1 per pixel and polarity; all samples have the
same number of steps. `--swap` exchanges the polarities. docs/nir.md has the figures for 200 test samples.
"""

from __future__ import annotations

import argparse

import numpy as np
from numpy.typing import NDArray

from neurochip.events import Recordings, read_recordings
from neurochip.network.nir_file import read_nir
from neurochip.network.nir_neurons import Steps
from neurochip.network.nir_run import NirRunner

STEP_US = 1000
PAPER_STEPS = 321  # those at which the published spike counts come out


def frames(recordings: Recordings, sample: int, n_steps: int, swap: bool = False) -> NDArray[np.float64]:
    """The events of a sample as [steps, polarity, y, x] of 0 and 1."""
    events = recordings.sample(sample)
    width, height, polarities = recordings.sensor_size
    t = events["t"] // STEP_US
    kept = events[t < n_steps]
    polarity = kept["p"].astype(int)
    found = np.zeros((n_steps, polarities, height, width))
    found[t[t < n_steps], 1 - polarity if swap else polarity, kept["y"], kept["x"]] = 1.0
    return found


def output_counts(
    graph: str, recordings: Recordings, samples: int, steps: Steps, n_steps: int = PAPER_STEPS, swap: bool = False
) -> NDArray[np.int64]:
    """Spikes of every output, [samples, outputs]."""
    runner = NirRunner(read_nir(graph), steps)
    output = runner.graph.only("Output")
    runs = (runner.run(frames(recordings, sample, n_steps, swap)) for sample in range(samples))
    return np.array([run.outputs[output].sum(axis=0).astype(np.int64) for run in runs])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("graph")
    parser.add_argument("recordings")
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("--steps", type=int, default=PAPER_STEPS)
    parser.add_argument("--reset", choices=["subtract", "zero"], default="subtract")
    parser.add_argument("--comparator", choices=["ge", "gt"], default="gt")
    parser.add_argument("--swap", action="store_true")
    given = parser.parse_args()
    recordings = read_recordings(given.recordings, "test")
    steps = Steps(None, "euler", given.reset, given.comparator)
    counts = output_counts(given.graph, recordings, given.samples, steps, given.steps, given.swap)
    right = counts.argmax(axis=1) == recordings.labels[: given.samples]
    print(f"accuracy {right.mean():.1%}, output spikes per sample {counts.sum(axis=1).mean():.3f}")
    for label in np.unique(recordings.labels[: given.samples]):
        own = counts[recordings.labels[: given.samples] == label]
        print(f"label {label}: {len(own)} samples, spikes of each output {own.sum(axis=0).tolist()}")


if __name__ == "__main__":
    main()
