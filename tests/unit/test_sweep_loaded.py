"""Tasks that a process keeps: loaded once while nothing changed, within a bound of memory."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sweep_request import BITS, files_of, results_of, sweep_tiny
from tiny_experiment import tiny_experiment, write_tiny_task

from neurochip.errors import UserError
from neurochip.setup import task_settings
from neurochip.sweep import loaded
from neurochip.sweep.loaded import ARRAYS, LoadedTasks, n_bytes
from neurochip.tasks import TaskData, load_task


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The seeds of the tasks that were loaded from their file."""
    seeds: list[int] = []

    def load(settings: Any, base_dir: Path, seed: int, progress: Any) -> TaskData:
        seeds.append(seed)
        return load_task(settings, base_dir, seed, progress)

    monkeypatch.setattr(loaded, "load_task", load)
    return seeds


def get(tasks: LoadedTasks, folder: Path, seed: int = 1, **changes: Any) -> TaskData:
    return tasks.load(task_settings(tiny_experiment(**changes)), folder, seed, lambda text: None)


def test_a_task_is_loaded_once_per_setting_folder_and_state_of_its_file(tmp_path: Path, loads: list[int]) -> None:
    path = write_tiny_task(tmp_path)
    tasks = LoadedTasks()
    first = get(tasks, tmp_path)
    assert get(tasks, tmp_path) is first
    assert get(tasks, tmp_path, seed=2) is first  # it has a validation split of its own
    assert get(tasks, tmp_path, task__steps=5).n_steps == 5
    assert get(tasks, tmp_path, precision__event={"bits": 2}) is not first
    assert loads == [1, 1, 1]
    other = tmp_path / "other"
    other.mkdir()
    write_tiny_task(other, {"train": 20, "validation": 6, "test": 9})
    assert get(tasks, other).train.n_samples == 20
    write_tiny_task(tmp_path, {"train": 19, "validation": 6, "test": 9})
    assert get(tasks, tmp_path).train.n_samples == 19
    os.utime(path, ns=(1, 1))
    n_before = len(loads)
    get(tasks, tmp_path)
    assert len(loads) == n_before + 1


def test_a_validation_split_that_the_seed_cuts_is_loaded_per_seed(tmp_path: Path, loads: list[int]) -> None:
    write_tiny_task(tmp_path, {"train": 30, "test": 9})
    tasks = LoadedTasks()
    first = get(tasks, tmp_path)
    assert get(tasks, tmp_path) is first
    assert get(tasks, tmp_path, seed=2) is not first
    assert loads == [1, 2]


def test_what_was_used_last_is_kept_within_the_bound(tmp_path: Path, loads: list[int]) -> None:
    write_tiny_task(tmp_path, {"train": 30, "test": 9})
    size = n_bytes(get(LoadedTasks(), tmp_path))
    tasks = LoadedTasks(2 * size)
    for seed in (1, 2, 1, 3, 1, 2):  # the same recordings, cut in two by the seed, so all take as much
        get(tasks, tmp_path, seed)
    assert loads == [1, 1, 2, 3, 2]
    loads.clear()
    small = LoadedTasks(size - 1)
    assert get(small, tmp_path) is not get(small, tmp_path)


def test_the_bytes_are_those_of_all_arrays_of_all_splits(tmp_path: Path) -> None:
    write_tiny_task(tmp_path)
    task = get(LoadedTasks(), tmp_path)
    arrays = [value for split in (task.train, task.validation, task.test) for value in vars(split).values()]
    assert n_bytes(task) == sum(value.nbytes for value in arrays if isinstance(value, np.ndarray))


def test_a_file_that_comes_later_is_found(tmp_path: Path) -> None:
    tasks = LoadedTasks()
    with pytest.raises(UserError, match=r"tiny\.h5"):
        get(tasks, tmp_path)
    write_tiny_task(tmp_path)
    assert get(tasks, tmp_path).n_steps == 4


def test_a_sweep_loads_its_task_once_and_leaves_it_as_it_was(
    tmp_path: Path, loads: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tiny_task(tmp_path)
    kept: list[TaskData] = []
    load = LoadedTasks.load

    def watched(self: LoadedTasks, *words: Any) -> TaskData:
        kept.append(load(self, *words))
        return kept[-1]

    monkeypatch.setattr(LoadedTasks, "load", watched)
    sweeps = (f"{BITS}=4,6", "learning.rule=ottt-o,bptt,infer", "precision.arithmetic=fixed,float")
    results_of(sweep_tiny(tmp_path, "together", *sweeps))
    assert loads == [3]
    fresh = load_task(task_settings(tiny_experiment()), tmp_path, 3)
    assert len(kept) == 12
    for split in ("train", "validation", "test"):
        for name in ARRAYS:
            mine, wanted = (getattr(getattr(task, split), name) for task in (kept[0], fresh))
            np.testing.assert_array_equal(mine, wanted)
    monkeypatch.setattr(LoadedTasks, "load", lambda self, *words: load_task(*words))
    sweep_tiny(tmp_path, "alone", *sweeps)
    assert files_of(tmp_path / "together") == files_of(tmp_path / "alone")
