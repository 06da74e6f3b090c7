"""Does a stream with standardised weights that stopped go on as if it had not?"""

from __future__ import annotations

import copy
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_experiment as tiny

from neurochip import stream_training
from neurochip.listener import Silent
from neurochip.network.resolve import learned_together
from neurochip.rules.presets import find_rule
from neurochip.setup import Setup, prepare_setup
from neurochip.stream_training import train_on_stream
from neurochip.training import Outcome, Training, TrainingState

LAYERS = [{"kind": "dense", "neurons": 7, "standardise": True, "gain": 4.0, "spike_scale": 2.74}, {"kind": "readout"}]
STREAM = {
    "samples": 60,
    "drift": "classes",
    "drift_every": 10,
    "window": 3,
}  # blocks end at drifts, which EVERY does not divide
EVERY = 8


def run_stream(setup: Setup, kind: str, together: int, states: list[TrainingState], state: Any = None) -> Outcome:
    run = next(run for run in setup.runs if run.precision == kind)
    training = Training(
        key="k", label="k", task=setup.task, n_epochs=1, seed=3, learn=True, subset_samples=0, listener=Silent(),
        on_epoch=lambda state: states.append(copy.deepcopy(state)), stop=threading.Event(),
    )  # fmt: skip
    assert setup.stream is not None
    return train_on_stream(setup.core(run, None), training, setup.stream, together, state)


def same(one: Outcome, other: Outcome) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one.weights, other.weights, strict=True))


@pytest.mark.parametrize("kind", ["fixed", "float"])
def test_checkpoints_wait_for_the_standardisation_and_continue_to_the_same_weights(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_training, "CHECKPOINT_SAMPLES", 1)
    tiny.write_tiny_task(tmp_path)
    experiment = tiny.tiny_experiment(
        learning__mode="stream", stream=STREAM, network__layers=LAYERS, learning__standardise_every=EVERY
    )
    rule = find_rule("ottt-o")
    setup, states = prepare_setup(experiment, [rule], tmp_path, "fast", Silent()), []
    expected = run_stream(setup, kind, learned_together(setup.resolved, rule), states)
    # Blocks end at every tenth sample or, if the standardisation is under way there, at the last multiple of EVERY.
    assert [len(state.stream.right) for state in states] == [8, 16, 24, 40, 48, 56, 60]
    for state in states:
        assert same(expected, run_stream(setup, kind, EVERY, [], state))
    early: list[TrainingState] = []  # a checkpoint that did not wait would lose the count
    assert same(expected, run_stream(setup, kind, 1, early))
    assert not same(expected, run_stream(setup, kind, 1, [], early[0]))
