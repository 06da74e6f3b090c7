"""Is a task that is mapped from files the one that is made in memory, and is its cache never stale?"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

from neurochip import event_blocks, mapped_events
from neurochip.encoding import event_steps
from neurochip.errors import UserError
from neurochip.event_blocks import count_events, open_split
from neurochip.events import Recordings, read_recordings, write_recordings
from neurochip.mapped_events import CONTENTS, MappedEvents
from neurochip.tasks import digits_dvs, load_task, prepare_large

SIZE = (6, 5, 2)
ARRAYS = ("step_offsets", "addresses", "magnitudes", "labels")


def some_recordings(n: int, seed: int, window: tuple[int, int] | None = None) -> Recordings:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(0, 30, n)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    t = np.concatenate([np.sort(rng.integers(0, 1000, k)) for k in lengths])
    x, y, p = (rng.integers(0, size, int(lengths.sum())) for size in SIZE)
    return Recordings(x, y, p, t, offsets, np.tile([4, 2, 9], n)[:n], SIZE, window)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an event file, blocks of a few recordings, and a cache of its own."""
    write_recordings(tmp_path / "events.h5", {"train": some_recordings(40, 1), "test": some_recordings(9, 2)})
    monkeypatch.setattr(event_blocks, "BLOCK_EVENTS", 50)
    monkeypatch.setattr(digits_dvs, "default_cache_dir", lambda: tmp_path / "cache")
    return tmp_path


def load(folder: Path, monkeypatch: pytest.MonkeyPatch, large: bool, messages: list[str] | None = None, **changes):
    values = {"name": "events-h5", "path": "events.h5", "steps": 4, "repeat": "count", "classes": None, "crop": None}
    values |= {"sensor_size": None, "validation": None, "event_bits": 3, "download": False, "transforms": None}
    values |= changes
    monkeypatch.setattr(prepare_large, "LARGE_EVENTS", 0 if large else 1 << 60)
    say = (lambda text: None) if messages is None else messages.append
    return load_task(SimpleNamespace(**values), folder, 1, say)


CHANGES = {
    "as it is": {},
    "once": {"repeat": "once"},
    "steps": {"steps": 7},
    "cropped": {"crop": (3, 4)},
    "classes": {"classes": [9, 4]},
    "larger sensor": {"sensor_size": (300, 300, 2)},
    "no validation": {"validation": 0.0},
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_mapped_task_is_the_one_in_memory(folder, monkeypatch, name) -> None:
    expected = load(folder, monkeypatch, False, **CHANGES[name])
    for _ in range(2):  # made, then from the cache
        found = load(folder, monkeypatch, True, **CHANGES[name])
        assert (found.provenance, found.classes, found.sensor_size) == (
            expected.provenance,
            expected.classes,
            expected.sensor_size,
        )
        for split in ("train", "validation", "test"):
            ours, theirs = getattr(found, split), getattr(expected, split)
            assert isinstance(ours, MappedEvents)
            for key in ("n_samples", "n_events", "n_inputs", "n_steps"):
                assert getattr(ours, key) == getattr(theirs, key)
            whole = ours.take(np.arange(ours.n_samples))
            for array in ARRAYS:
                np.testing.assert_array_equal(getattr(whole, array), getattr(theirs, array))
                np.testing.assert_array_equal(getattr(ours, array), getattr(theirs, array))
                assert getattr(whole, array).dtype == getattr(theirs, array).dtype
            np.testing.assert_array_equal(ours.counts(), theirs.counts())


def test_a_window_and_differences_of_time_are_kept(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(event_blocks, "BLOCK_EVENTS", 50)
    splits = {name: some_recordings(n, n, (-50, 2000)) for name, n in (("train", 30), ("test", 5))}
    write_recordings(tmp_path / "events.h5", splits)
    with h5py.File(tmp_path / "events.h5", "r+") as file:
        group = file["train"]
        parts = np.split(group["t"][:], group["offsets"][1:-1])
        del group["t"]
        group["dt"] = np.concatenate([np.diff(part, prepend=0) for part in parts])
    with open_split(tmp_path / "events.h5", "train") as split:
        assert split.window_us == (-50, 2000)
        assert len(list(split.blocks())) > 3
        assert split.sha256() == splits["train"].sha256()
        assert split.sha256((3, 3)) == splits["train"].crop(3, 3).sha256()
    assert read_recordings(tmp_path / "events.h5", "train").sha256() == splits["train"].sha256()
    assert count_events(tmp_path / "events.h5") == sum(len(split.x) for split in splits.values())


def test_a_window_decides_the_steps_and_the_hash() -> None:
    ones = np.array([1, 1])
    one = Recordings(ones, ones, ones, np.array([10, 29]), np.array([0, 2]), np.array([0]), SIZE)
    window = Recordings(one.x, one.y, one.p, one.t, one.offsets, one.labels, SIZE, (0, 39))
    rows = [np.diff(event_steps.bin_events(made, 4, "once", [0], 1).step_offsets).tolist() for made in (one, window)]
    assert rows == [[1, 0, 0, 1], [0, 1, 1, 0]]
    assert one.sha256() != window.sha256()
    assert window.take([0]).window_us == window.crop(2, 2).window_us == (0, 39)
    with pytest.raises(UserError, match=r"t holds 29 at entry 1; allowed is 0 to 20 microseconds, the window_us"):
        Recordings(one.x, one.y, one.p, one.t, one.offsets, one.labels, SIZE, (0, 20))
    with pytest.raises(UserError, match=r"window_us = \(5, 4\) must be two integers, first <= last"):
        Recordings(one.x, one.y, one.p, one.t, one.offsets, one.labels, SIZE, (5, 4))


def test_samples_are_taken_in_any_order_and_a_subset_stays_mapped(folder, monkeypatch) -> None:
    data = load(folder, monkeypatch, True).train
    reference = load(folder, monkeypatch, False).train
    chosen = np.array([7, 0, 7, 3])
    for ours, theirs in ((data.take(chosen), reference.take(chosen)), (data.subset(chosen), reference.subset(chosen))):
        for array in ARRAYS:
            np.testing.assert_array_equal(getattr(ours, array), getattr(theirs, array))
    assert isinstance(data.subset(chosen), MappedEvents)
    part, places = data.chunk(chosen)
    assert not isinstance(part, MappedEvents)
    assert places.tolist() == [0, 1, 2, 3]
    for ours, theirs in zip(data.sample(5), reference.sample(5), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    with pytest.raises(IndexError, match="sample indices run from"):
        data.take([data.n_samples])


def made(messages: list[str]) -> bool:
    """Whether the steps were made, not read."""
    return any("into steps" in message for message in messages)


def test_the_cache_serves_what_depends_on_nothing_else(folder, monkeypatch) -> None:
    assert made(again := []) or load(folder, monkeypatch, True, again)
    for changes, is_new in (
        ({}, False),
        ({"validation": 0.5}, False),  # cut later
        ({"classes": [2, 4, 9]}, False),  # what they are anyway
        ({"classes": [4, 2, 9]}, True),
        ({"steps": 5}, True),
        ({"repeat": "once"}, True),
        ({"event_bits": 2}, True),
        ({"crop": (2, 2)}, True),
        ({"sensor_size": (7, 5, 2)}, True),
    ):
        messages: list[str] = []
        load(folder, monkeypatch, True, messages, **changes)
        assert made(messages) == is_new, changes


def test_another_file_or_other_code_is_another_key(folder, monkeypatch, tmp_path) -> None:
    load(folder, monkeypatch, True)
    with h5py.File(folder / "events.h5", "r+") as file:
        file["train/x"][0] = (file["train/x"][0] + 1) % SIZE[0]
    load(folder, monkeypatch, True, messages := [])
    assert made(messages)
    code = tmp_path / "code.py"
    code.write_text("changed = True")
    monkeypatch.setattr(prepare_large, "CODE", (*prepare_large.CODE, str(code)))
    load(folder, monkeypatch, True, messages := [])
    assert made(messages)


@pytest.mark.parametrize("name", ["train.addresses", "train.labels", CONTENTS, "test.step_offsets"])
@pytest.mark.parametrize("damage", ["flipped", "shorter", "missing"])
def test_a_damaged_cache_is_made_again(folder, monkeypatch, name, damage) -> None:
    expected = load(folder, monkeypatch, True).train.addresses
    (cached,) = (folder / "cache").iterdir()
    path = cached / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(content if damage == "flipped" else content[:-4])
    if name == CONTENTS and damage == "flipped":
        path.write_text(path.read_text().replace('"key": "', '"key": "0'))
    messages: list[str] = []
    found = load(folder, monkeypatch, True, messages)
    assert any("the cache cannot be used" in message for message in messages)
    np.testing.assert_array_equal(found.train.addresses, expected)
    assert [path.name for path in (folder / "cache").iterdir()] == [cached.name]


def test_a_cache_that_another_run_made_meanwhile_is_used(folder, monkeypatch) -> None:
    load(folder, monkeypatch, True)
    (cached,) = (folder / "cache").iterdir()
    before = (cached / CONTENTS).stat().st_mtime_ns
    exists = Path.exists
    monkeypatch.setattr(Path, "exists", lambda path: path.name != cached.name and exists(path))
    load(folder, monkeypatch, True)
    assert (cached / CONTENTS).stat().st_mtime_ns == before
    assert [path.name for path in (folder / "cache").iterdir()] == [cached.name]


def test_a_cache_folder_that_cannot_be_used_is_named(folder, monkeypatch) -> None:
    (folder / "cache").write_text("a file")
    with pytest.raises(UserError, match=r"the cache folder .*cache cannot be used .*XDG_CACHE_HOME"):
        load(folder, monkeypatch, True)


def test_a_failed_write_leaves_nothing(folder, monkeypatch) -> None:
    def fail(source, target):
        raise OSError("disk full")

    monkeypatch.setattr(mapped_events.os, "rename", fail)
    with pytest.raises(UserError, match="disk full"):
        load(folder, monkeypatch, True)
    assert list((folder / "cache").iterdir()) == []


WRONG = {
    "x": ("train/x", 6, r"train/x holds 6 at entry \d+; allowed is 0 to 5 .*counted from event [1-9]"),
    "t": ("train/t", -1, r"train/t decreases from \d+ to -1 at event \d+ \(sample \d+\).*samples from [1-9]"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_in_a_later_block_is_refused_with_its_place(folder, monkeypatch, name) -> None:
    key, value, message = WRONG[name]
    with h5py.File(folder / "events.h5", "r+") as file:
        last = int(file["train/offsets"][np.flatnonzero(np.diff(file["train/offsets"][:]) > 1)[-1] + 1]) - 1
        file[key][last] = value
    path = str(folder / "events.h5")
    with pytest.raises(UserError, match=message) as caught:
        load(folder, monkeypatch, True)
    assert str(caught.value).startswith(path + ": train/")
    assert str(caught.value).count(path) == 1
    assert list((folder / "cache").iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": [5]}, "task.classes has 5, which has no training recording"),
        ({"validation": 1.5}, "task.validation = 1.5 must be a number from 0 to below 1"),
        ({"crop": (9, 2)}, r"task.crop = \[9, 2\] is not inside the sensor"),
        ({"steps": 0}, "task.steps = 0 must be an integer"),
    ],
)
def test_settings_are_refused_as_in_memory(folder, monkeypatch, changes, message) -> None:
    sentences = []
    for large in (False, True):
        with pytest.raises(UserError, match=message) as caught:
            load(folder, monkeypatch, large, **changes)
        sentences.append(str(caught.value).removeprefix(f"{folder / 'events.h5'}: "))
    assert sentences[0] == sentences[1]


def test_a_run_on_a_mapped_task_gives_the_same_report(folder, monkeypatch) -> None:
    import neurochip

    tables = {
        "task": {"name": "events-h5", "path": str(folder / "events.h5"), "steps": 4},
        "network": {"layers": [{"kind": "dense", "neurons": 6}, {"kind": "readout"}]},
        "learning": {"epochs": 2},
        "run": {"calibration_samples": 8, "activity_samples": 3, "rules": ["ottt-o", "bptt-o"]},
    }
    data = []
    for large in (False, True):
        monkeypatch.setattr(prepare_large, "LARGE_EVENTS", 0 if large else 1 << 60)
        data.append(neurochip.compare(tables, out=folder / f"run{large}").data)
    assert data[0]["results"] == data[1]["results"]
    assert data[0]["task"] == data[1]["task"]
