"""Is learning as fast as its two inner kernels allow, and faster than a tensor library? All ratios are of one run.

Times are processor times of this process, one thread on both sides: other work on the machine counts less.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from bench_kernels import ROWS_PER_STEP, BareLayer
from bench_spikingjelly_peer import SpikingJellyTrainer
from bench_workload import Timed, Trainer, nmnist_setup

from neurochip.activity import Activity
from neurochip.core.layout import padded
from neurochip.setup import Setup

pytestmark = [pytest.mark.bench, pytest.mark.recordings]
N_ROUNDS = 7
MOST_OVER_BARE = 2.0
N_PEER_SAMPLES = 12
LEAST_OVER_PEER = 10.0


@pytest.fixture(scope="module")
def trainer(nmnist4_path: Path) -> Trainer:
    return Trainer(nmnist_setup(nmnist4_path))


def bare_layers(setup: Setup, activity: Activity) -> list[BareLayer]:
    """Every layer's bare kernels, with as many events per step as the activity has on average."""
    cells = activity.n_samples * activity.n_steps
    events = [max(1, round(n / cells)) for n in activity.per_layer("events")]
    return [
        BareLayer.draw(shape.n_in, padded(shape.n_out), n, min(ROWS_PER_STEP, shape.n_in))
        for shape, n in zip(setup.shapes, events, strict=True)
    ]


def bare_seconds(setup: Setup, layers: list[BareLayer], activity: Activity) -> tuple[float, float]:
    """Seconds of the counted row adds and row updates at the bare kernels' rates: (by whole rows, by words)."""
    by_rows = by_words = 0.0
    events = activity.per_layer("events")
    rows, words = activity.per_layer("update_rows"), activity.per_layer("update_words")
    for index, layer in enumerate(layers):
        words_per_row = math.ceil(setup.shapes[index].n_out / activity.synapse_lanes)
        adds = events[index] * layer.seconds_per_add()
        update = layer.seconds_per_update()
        by_rows += adds + rows[index] * update
        by_words += adds + words[index] / words_per_row * update
    return by_rows, by_words


def test_learning_takes_at_most_twice_its_row_adds_and_row_updates(trainer: Trainer) -> None:
    activity = trainer.time_pass().activity
    layers = bare_layers(trainer.setup, activity)
    bare_seconds(trainer.setup, layers, activity)  # compiles
    bare, passes = [bare_seconds(trainer.setup, layers, activity)], []
    for _ in range(N_ROUNDS):
        passes.append(trainer.time_pass())
        bare.append(bare_seconds(trainer.setup, layers, passes[-1].activity))
    around = np.minimum(bare[:-1], bare[1:])  # the faster of the two measurements before and after a pass
    seconds = np.array([[timed.seconds] for timed in passes])
    by_rows, by_words = np.median(seconds / around, axis=0)
    print_rates(layers, passes)
    print(f"learning / bare kernels: {by_rows:.2f} by rows, {by_words:.2f} by words")
    assert by_words <= MOST_OVER_BARE


def print_rates(layers: list[BareLayer], passes: list[Timed]) -> None:
    """Print samples per second, and the rates of the bare kernels."""
    fastest = min(passes, key=lambda timed: timed.seconds)
    print(f"\nlearning: {fastest.n_samples / fastest.seconds:.0f} samples/s")
    for index, layer in enumerate(layers):
        add, update = layer.seconds_per_add() * 1e9, layer.seconds_per_update() * 1e9
        print(f"layer {index}: bare row add {add:.1f} ns, bare row update {update:.1f} ns")


def test_learning_is_at_least_ten_times_as_fast_as_spikingjelly(trainer: Trainer) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("spikingjelly")
    peer = SpikingJellyTrainer(trainer.setup, trainer.timed[:N_PEER_SAMPLES])
    peer.time_pass()
    trainer.time_pass()
    ours, theirs = [], []
    for _ in range(N_ROUNDS):
        theirs.append(peer.time_pass())
        timed = trainer.time_pass()
        ours.append(timed.n_samples / timed.seconds)
    ratio = float(np.median(np.array(ours) / np.array(theirs)))
    print(f"\nneurochip {np.median(ours):.0f} samples/s, SpikingJelly {np.median(theirs):.1f}: {ratio:.0f} times")
    assert ratio >= LEAST_OVER_PEER
