"""Task `delayed-recall`: does only the beginning of a sample tell its class?"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from neurochip.errors import UserError
from neurochip.tasks import TaskData, load_task
from neurochip.tasks.delayed_recall import LINES_PER_SYMBOL, N_CUES, SHOWN_STEPS, SPLIT_SIZES

STEPS = 12


def load(**changes: Any) -> TaskData:
    values = {"name": "delayed-recall", "path": None, "steps": STEPS, "repeat": "once", "classes": None}
    values |= {"sensor_size": None, "crop": None, "validation": None, "event_bits": 1}
    values |= {"download": False, "transforms": None}
    return load_task(SimpleNamespace(**(values | changes)), Path(), seed=1)


@pytest.fixture(scope="module")
def task() -> TaskData:
    return load()


def fired(task: TaskData) -> np.ndarray:
    """[samples, steps, inputs] of the training split."""
    data = task.train
    cells = np.zeros((data.n_samples * data.n_steps, data.n_inputs), dtype=bool)
    cells[np.repeat(np.arange(len(cells)), np.diff(data.step_offsets)), data.addresses] = True
    return cells.reshape(data.n_samples, data.n_steps, data.n_inputs)


def test_splits_are_balanced_and_differ(task: TaskData) -> None:
    splits = {"train": task.train, "validation": task.validation, "test": task.test}
    assert {name: split.n_samples for name, split in splits.items()} == SPLIT_SIZES
    for split in splits.values():
        assert np.bincount(split.labels).tolist() == [split.n_samples // N_CUES] * N_CUES
    assert not np.array_equal(task.train.addresses[:100], task.test.addresses[:100])


def test_only_the_first_steps_tell_the_class(task: TaskData) -> None:
    lines = fired(task)[:, :, : N_CUES * LINES_PER_SYMBOL].reshape(-1, STEPS, N_CUES, LINES_PER_SYMBOL).sum(axis=3)
    said = lines.argmax(axis=2) == task.train.labels[:, None]
    spoken = lines[:, :, 0] != lines[:, :, 1]
    assert said[:, :SHOWN_STEPS][spoken[:, :SHOWN_STEPS]].mean() > 0.95
    assert said[:, SHOWN_STEPS:][spoken[:, SHOWN_STEPS:]].mean() == pytest.approx(0.5, abs=0.03)


def test_the_signal_to_answer_comes_last_in_every_sample(task: TaskData) -> None:
    signal = fired(task)[:, :, N_CUES * LINES_PER_SYMBOL :].mean(axis=(0, 2))
    assert signal[-SHOWN_STEPS:] == pytest.approx(0.5, abs=0.02)
    assert signal[:-SHOWN_STEPS] == pytest.approx(0.02, abs=0.01)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"steps": 9}, r"task\.steps = 9 is too few"),
        ({"path": "x.h5"}, r"task\.path = 'x\.h5' is not allowed"),
        ({"crop": (2, 2)}, r"task\.crop = \(2, 2\) is not allowed"),
        ({"sensor_size": (3, 1, 1)}, r"task\.sensor_size = \(3, 1, 1\) is not allowed"),
    ],
)
def test_what_it_does_not_have_is_refused(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        load(**changes)
