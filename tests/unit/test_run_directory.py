"""Is every file of a run whole or absent, and does a run directory continue its own experiment and no other?"""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import tiny_experiment as tiny

from neurochip import experiment as story
from neurochip import run_directory
from neurochip.activity import N_FIELDS, Activity, SampleTrace
from neurochip.errors import UserError
from neurochip.listener import Silent
from neurochip.run_directory import RunDirectory, _write_atomically, read_experiment
from neurochip.training import Epoch, TrainingState


def make_state(seed: int, n_epochs: int = 2, kind: str = "fixed") -> TrainingState:
    rng = np.random.default_rng(seed)

    def activity() -> Activity:
        return Activity(rng.integers(0, 99, (5, 2, N_FIELDS)), 7, int(rng.integers(9)), True, 16, 8)

    fixed = kind == "fixed"
    epochs = [Epoch(rng.random(), rng.random() if fixed else None, activity() if fixed else None)
              for _ in range(n_epochs)]  # fmt: skip
    weights = [rng.integers(-99, 99, (6, 3), dtype=np.int8), rng.integers(-99, 99, (4, 2), dtype=np.int8)]
    bitmaps = {"event/0": rng.random((2, 4, 13)) < 0.5, "psi/0": rng.random((2, 4, 8)) < 0.5}
    subset = SampleTrace(np.array([3, 1]), bitmaps) if fixed else None
    registers = rng.integers(0, 2**32, (2, 4), dtype=np.uint32) if fixed else np.zeros((0, 0), np.uint32)
    return TrainingState(weights if fixed else [w * 0.1 for w in weights], registers, epochs, subset)


def assert_same(one: TrainingState, other: TrainingState) -> None:
    for a, b in zip([*one.weights, one.registers], [*other.weights, other.registers], strict=True):
        assert a.dtype == b.dtype
        assert np.array_equal(a, b)
    for a, b in zip(one.epochs, other.epochs, strict=True):
        assert (a.train, a.validation) == (b.train, b.validation)
        assert (a.activity is None) == (b.activity is None)
        if a.activity is not None:
            assert np.array_equal(a.activity.totals, b.activity.totals)
            assert vars(a.activity) | {"totals": 0} == vars(b.activity) | {"totals": 0}
    assert (one.subset is None) == (other.subset is None)
    if one.subset is not None:
        assert np.array_equal(one.subset.sample_indices, other.subset.sample_indices)
        assert one.subset.bitmaps.keys() == other.subset.bitmaps.keys()
        assert all(np.array_equal(one.subset.bitmaps[name], other.subset.bitmaps[name]) for name in one.subset.bitmaps)


def opened(path: Path, **changes: Any) -> RunDirectory:
    directory = RunDirectory(path)
    directory.open(tiny.tiny_experiment(**changes))
    return directory


KEYS = {".": "fixed", "float": "float", "teacher": "float"}
GROUPS = {"ottt-o": "fixed", "ottt-o/float": "float", "bptt": "fixed", "bptt/float": "float"}


@pytest.mark.parametrize("keys", [KEYS, GROUPS], ids=["one rule", "several rules"])
def test_states_come_back_as_they_were_saved(keys: dict[str, str], tmp_path: Path) -> None:
    directory = opened(tmp_path / "run")
    saved = {key: make_state(seed, 2, kind) for seed, (key, kind) in enumerate(keys.items())}
    for key, state in saved.items():
        directory.save_state(key, state)
    again = opened(tmp_path / "run")
    for key, state in saved.items():
        found = again.state(key)
        assert found is not None
        assert_same(found, state)
    assert again.state("another") is None


def test_a_state_given_out_is_a_copy_that_may_go_on(tmp_path: Path) -> None:
    directory = opened(tmp_path / "run")
    original = make_state(1)
    directory.save_state("a", original)
    taken = directory.state("a")
    assert taken is not None
    taken.epochs.append(Epoch(0.5, 0.5))
    taken.weights, taken.subset = [], None
    original.epochs.clear()
    directory.save_state("b", make_state(2))  # writes "a" again
    found = opened(tmp_path / "run").state("a")
    assert found is not None
    assert_same(found, make_state(1))


def test_states_saved_by_several_threads_are_all_whole(tmp_path: Path) -> None:
    directory = opened(tmp_path / "run")

    def save(seed: int) -> None:
        for n_epochs in (1, 2, 3):
            directory.save_state(f"rule{seed}", make_state(seed, n_epochs))

    threads = [threading.Thread(target=save, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    again = opened(tmp_path / "run")
    for seed in range(4):
        found = again.state(f"rule{seed}")
        assert found is not None
        assert_same(found, make_state(seed, 3))
    lines = (tmp_path / "run" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    assert len([json.loads(line) for line in lines]) == 12


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_text("old")

    def fails(part: Path) -> None:
        part.write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        _write_atomically(target, fails)
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]
    _write_atomically(target, lambda part: part.write_text("new"))
    assert target.read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]


def test_a_checkpoint_that_fails_half_way_leaves_the_last_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = opened(tmp_path / "run")
    directory.save_state("a", make_state(1))
    before = {path: path.read_bytes() for path in (tmp_path / "run").iterdir()}

    def fails(*_: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(run_directory, "write_activities", fails)
    with pytest.raises(OSError, match="disk full"):
        directory.save_state("b", make_state(2))
    assert {path: path.read_bytes() for path in (tmp_path / "run").iterdir()} == before


def test_a_new_directory_holds_the_experiment_and_gives_it_back(tmp_path: Path) -> None:
    opened(tmp_path / "deep" / "run", run__name="Zählung")
    assert [path.name for path in (tmp_path / "deep" / "run").iterdir()] == ["experiment.toml"]
    assert "Zählung".encode() in (tmp_path / "deep" / "run" / "experiment.toml").read_bytes()
    assert read_experiment(tmp_path / "deep" / "run") == tiny.tiny_experiment(run__name="Zählung")


def test_another_experiment_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    opened(tmp_path / "run").save_state("a", make_state(1))
    before = {path: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    with pytest.raises(UserError, match="holds another experiment"):
        opened(tmp_path / "run", learning__epochs=9)
    assert {path: path.read_bytes() for path in (tmp_path / "run").iterdir()} == before


def test_a_folder_or_file_that_is_no_run_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("x")
    (tmp_path / "file").write_text("x")
    for name in ("mine", "file"):
        with pytest.raises(UserError, match=f"{name}: is not a run directory"):
            opened(tmp_path / name)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "mine", "notes.txt"]
    (tmp_path / "empty").mkdir()
    opened(tmp_path / "empty")


@pytest.mark.parametrize("content", [b"", b"not HDF5", None])
def test_a_damaged_checkpoint_is_refused_by_name(content: bytes | None, tmp_path: Path) -> None:
    opened(tmp_path / "run").save_state("a", make_state(1))
    path = tmp_path / "run" / "checkpoint.h5"
    if content is None:
        with h5py.File(path, "a") as file:
            del file["a/random_registers"]
    else:
        path.write_bytes(content)
    with pytest.raises(UserError, match=r"checkpoint.h5: is not a checkpoint"):
        opened(tmp_path / "run")


def test_default_paths_do_not_meet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    paths = []
    for _ in range(3):
        paths.append(RunDirectory.default_path("x"))
        paths[-1].mkdir(parents=True)
    assert len(set(paths)) == 3
    assert all(path.parent == Path("runs") and "-x" in path.name for path in paths)


class Interrupts(Silent):
    """Ctrl-C when a run has finished an epoch for the `after`th time."""

    def __init__(self, after: int) -> None:
        self.left = after

    def advance(self, key: str, amount: int, text: str = "") -> None:
        if text:
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt


def contents(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, item: found.update({name: item[()].tolist()} if isinstance(item, h5py.Dataset)
                                                        else {name: sorted(item.attrs)}))  # fmt: skip
    return found


@pytest.mark.parametrize("after", [1, 11])
def test_a_run_that_was_interrupted_ends_as_one_that_was_not(after: int, tmp_path: Path) -> None:
    tiny.write_tiny_task(tmp_path)
    rules = ["infer", "ottt-o", "ottt-a", "bptt"]
    whole = tiny.run_tiny(tmp_path, tmp_path / "whole", rules)
    with pytest.raises(KeyboardInterrupt):
        tiny.run_tiny(tmp_path, tmp_path / "cut", rules, listener=Interrupts(after))
    names = {path.name for path in (tmp_path / "cut").iterdir()}
    assert names == {"experiment.toml", "checkpoint.h5", "metrics.jsonl"}
    continued = story.resume(tmp_path / "cut")
    assert continued.data == whole.data
    for name in ("report.json", "experiment.toml"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    for name in ("activity.h5", "checkpoint.h5"):
        assert contents(tmp_path / "cut" / name) == contents(tmp_path / "whole" / name)


def test_a_finished_run_stays_as_it_is_even_when_its_data_is_gone(tmp_path: Path) -> None:
    data = tiny.write_tiny_task(tmp_path)
    report = tiny.run_tiny(tmp_path, tmp_path / "run", ["ottt-o"], "learn")
    data.unlink()
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in (tmp_path / "run").iterdir()}
    assert story.resume(tmp_path / "run").data == report.data
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in (tmp_path / "run").iterdir()} == before
    shutil.rmtree(tmp_path / "run")
    with pytest.raises(UserError, match="is not a run directory"):
        story.resume(tmp_path / "run")
