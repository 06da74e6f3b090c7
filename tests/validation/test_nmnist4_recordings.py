"""Real recordings: 2600 N-MNIST digits 6 to 9 (34x34x2) as an HDF5 event file under NEUROCHIP_DATA_DIR."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from neurochip.events import read_recordings
from neurochip.tasks import load_task

pytestmark = pytest.mark.recordings


def settings(**changes):
    values = {"name": "events-h5", "path": "nmnist_digits6789.h5", "steps": 20, "repeat": "once", "classes": None}
    values |= {"sensor_size": None, "crop": None, "validation": None, "event_bits": 1}
    values |= {"download": False, "transforms": None}
    return SimpleNamespace(**(values | changes))


def test_the_file_works_as_it_is_with_name_and_path_only(nmnist4_path):
    task = load_task(settings(), nmnist4_path.parent, seed=1)
    assert task.train.n_samples + task.validation.n_samples == 2080
    assert np.bincount(task.validation.labels).tolist() == [52] * 4
    assert np.bincount(task.test.labels).tolist() == [130] * 4
    assert task.classes == (6, 7, 8, 9)
    assert task.sensor_size == (34, 34, 2)
    assert task.n_inputs == 2312


def test_times_and_number_of_events_are_those_of_three_saccades(nmnist4_path):
    splits = [read_recordings(nmnist4_path, name) for name in ("train", "test")]
    assert sum(len(split.x) for split in splits) == 8_596_770 + 2_151_398
    for split in splits:
        last = split.t[split.offsets[1:] - 1]
        assert last.min() > 250_000
        assert last.max() < 350_000


def test_counted_steps_hold_every_event(nmnist4_path):
    task = load_task(settings(repeat="count", event_bits=16, validation=0), nmnist4_path.parent, seed=1)
    assert int(task.train.magnitudes.sum(dtype=np.int64)) == 8_596_770
    assert int(task.test.magnitudes.sum(dtype=np.int64)) == 2_151_398
