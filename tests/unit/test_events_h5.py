"""The HDF5 event file and the task that reads it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

from neurochip._data import data_folder
from neurochip.errors import UserError
from neurochip.events import Recordings, read_recordings, write_recordings
from neurochip.tasks import list_tasks, load_task

N_PER_CLASS = {"train": 10, "test": 3}
ARRAYS = ("x", "y", "p", "t", "offsets", "labels")


def some_recordings(labels, seed, sensor_size=(5, 4, 2)):
    generator = np.random.default_rng(seed)
    lengths = generator.integers(0, 12, len(labels))
    n = int(lengths.sum())
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    t = np.concatenate([np.sort(generator.integers(0, 1000, k)) for k in lengths])
    x, y, p = (generator.integers(0, size, n) for size in sensor_size)
    return Recordings(x, y, p, t, offsets, np.array(labels), sensor_size)


def settings(**changes):
    values = {"name": "events-h5", "path": "events.h5", "steps": 4, "repeat": "once", "classes": None}
    values |= {"sensor_size": None, "crop": None, "validation": None, "event_bits": 1}
    values |= {"download": False, "transforms": None}
    return SimpleNamespace(**(values | changes))


@pytest.fixture
def splits():
    return {name: some_recordings([4, 2, 9] * n, n) for name, n in N_PER_CLASS.items()}


@pytest.fixture
def event_file(tmp_path, splits):
    path = tmp_path / "events.h5"
    write_recordings(path, splits, {"title": "made up", "license": "none"})
    return path


def put(path, key, values, **options):
    """Replace a data set."""
    with h5py.File(path, "r+") as file:
        del file[key]
        file.create_dataset(key, data=values, **options)


def as_differences(path, split):
    with h5py.File(path, "r+") as file:
        group = file[split]
        parts = np.split(group["t"][:], group["offsets"][1:-1])
        del group["t"]
        group["dt"] = np.concatenate([np.diff(part, prepend=0) for part in parts]).astype(np.uint32)


def test_what_is_written_is_read_back(event_file, splits):
    for name, expected in splits.items():
        found = read_recordings(event_file, name)
        assert found.sensor_size == expected.sensor_size
        for array in ARRAYS:
            np.testing.assert_array_equal(getattr(found, array), getattr(expected, array))


def test_differences_of_time_give_the_same_recordings(event_file, splits):
    as_differences(event_file, "train")
    assert read_recordings(event_file, "train").sha256() == splits["train"].sha256()


def test_recordings_without_any_event_are_read_and_binned(tmp_path):
    silent = Recordings(*(np.zeros(0, np.int64),) * 4, np.zeros(3, np.int64), np.array([0, 1]), (5, 4, 2))
    write_recordings(tmp_path / "events.h5", {"train": silent, "test": silent, "validation": silent})
    task = load_task(settings(), tmp_path, 1)
    assert task.train.n_samples == 2
    assert len(task.train.addresses) == 0


def test_data_sets_and_groups_the_format_does_not_know_are_ignored(event_file, splits):
    with h5py.File(event_file, "r+") as file:
        file["train/row_of_origin"] = np.arange(30.0)
        file["notes"] = "text"
        file.create_group("extra")["x"] = [1.5]
    assert read_recordings(event_file, "train").sha256() == splits["train"].sha256()


def test_a_failed_write_leaves_the_old_file_and_nothing_else(event_file, splits, monkeypatch):
    before = event_file.read_bytes()

    def fail(source, target):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_recordings(event_file, splits)
    assert event_file.read_bytes() == before
    assert list(event_file.parent.iterdir()) == [event_file]


def test_splits_of_different_sensors_cannot_share_a_file(tmp_path, splits):
    other = some_recordings([4], 1, (6, 4, 2))
    with pytest.raises(UserError, match="all splits must share one"):
        write_recordings(tmp_path / "events.h5", {**splits, "test": other})


# Each case damages a good file; the message must name file, key, value and what is allowed.
DAMAGE = {
    "no event layout": (lambda f: f.pop("train"), r"no group 'train' with x, y, p, t or dt.*found: test"),
    "a data set in place of the group": (
        lambda f: (f.pop("train"), f.create_dataset("train", data=[1])),
        r"no group 'train'",
    ),
    "missing data set": (lambda f: f.pop("train/p"), r"train lacks p; a split needs x, y, p, t or dt"),
    "missing time": (lambda f: f.pop("train/t"), r"train lacks t \(or dt\)"),
    "no sensor size": (
        lambda f: f.attrs.pop("sensor_size"),
        r"no root attribute sensor_size, so task\.sensor_size must",
    ),
    "bad sensor size": (
        lambda f: (f.attrs.pop("sensor_size"), f.attrs.create("sensor_size", [5.0, 4.0, 2.0])),
        r"root attribute sensor_size = .* must be three integers",
    ),
    "scalar sensor size": (
        lambda f: (f.attrs.pop("sensor_size"), f.attrs.create("sensor_size", 5)),
        r"root attribute sensor_size = 5 must be three integers",
    ),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_file_without_the_event_layout_is_refused(event_file, name):
    damage, message = DAMAGE[name]
    with h5py.File(event_file, "r+") as file:
        damage(file)
    with pytest.raises(UserError, match=re.escape(str(event_file)) + ": " + message):
        read_recordings(event_file, "train")


REPLACED = {
    "lengths disagree": ("y", lambda v: v[:-1], r"train/y has \d+ entries; it must have as many as train/x, \d+"),
    "float coordinates": ("x", lambda v: v.astype(float), r"train/x is stored as float64; it must be integers"),
    "float times": ("t", lambda v: v.astype(float), r"train/t is stored as float64; it must be integers"),
    "text": ("labels", lambda v: [b"a"] * len(v), r"train/labels is stored as object; it must be integers"),
    "two dimensions": ("p", lambda v: v[:, None], r"train/p must be a data set with one dimension"),
    "scalar": ("labels", lambda v: 3, r"train/labels must be a data set with one dimension"),
    "too few labels": ("labels", lambda v: v[1:], r"train/offsets has 31 entries; 29 labels ask for 30"),
    "falling offsets": ("offsets", lambda v: v[[0, *range(29, 0, -1), 30]], r"train/offsets falls from"),
    "offsets beyond": ("offsets", lambda v: v + (v == v[-1]), r"train/offsets runs from 0 to \d+; it must run from 0"),
    "negative offset": ("offsets", lambda v: v - (v == 0), r"train/offsets runs from -1 to"),
    "x outside": ("x", lambda v: v + 1, r"train/x holds 5 at entry \d+; allowed is 0 to 4 for sensor_size \(5, 4, 2\)"),
    "p outside": ("p", lambda v: v.astype(np.int8) - 1, r"train/p holds -1 at entry \d+; allowed is 0 to 1"),
    "falling time": ("t", lambda v: v[::-1], r"train/t decreases from \d+ to \d+ at event \d+ \(sample \d+\)"),
}


@pytest.mark.parametrize("name", REPLACED)
def test_a_data_set_that_breaks_a_rule_is_refused(event_file, name):
    key, change, message = REPLACED[name]
    with h5py.File(event_file) as file:
        values = file[f"train/{key}"][:]
    put(event_file, f"train/{key}", change(values))
    with pytest.raises(UserError, match=re.escape(str(event_file)) + ": " + message):
        read_recordings(event_file, "train")


@pytest.mark.parametrize("bad", [np.int64(-5), np.int64(2**62)])
def test_differences_that_fall_or_overflow_are_refused(event_file, bad):
    as_differences(event_file, "train")
    with h5py.File(event_file) as file:
        differences, offsets = file["train/dt"][:].astype(np.int64), file["train/offsets"][:]
    long_sample = int(np.argmax(np.diff(offsets)))
    differences[offsets[long_sample] + 1] = bad
    put(event_file, "train/dt", differences)
    with pytest.raises(UserError, match=r"events\.h5: train/(t decreases from|dt holds 4611686018427387904)"):
        read_recordings(event_file, "train")


def test_a_missing_file_a_folder_and_a_text_file_are_refused(tmp_path):
    (tmp_path / "text.h5").write_text("x,y,p,t\n")
    for name, message in [("none.h5", "must name an existing"), ("", "must name an existing"), ("text.h5", "readable")]:
        with pytest.raises(
            UserError, match=re.escape(str(tmp_path / name)) + ": task.path must name .*" + message[-8:]
        ):
            read_recordings(tmp_path / name, "train")


def test_a_truncated_file_is_refused_wherever_it_is_cut(event_file):
    whole = event_file.read_bytes()
    for length in range(0, len(whole), max(1, len(whole) // 25)):
        event_file.write_bytes(whole[:length])
        with pytest.raises(UserError, match=r"events\.h5: task\.path must name a readable HDF5 event file"):
            read_recordings(event_file, "train")


@pytest.mark.parametrize("options", [{"chunks": (1 << 16,)}, {"chunks": (1 << 16,), "compression": "gzip"}, {}])
def test_a_declared_size_that_the_file_does_not_hold_costs_no_memory(tmp_path, options):
    path = tmp_path / "huge.h5"
    with h5py.File(path, "w") as file:
        file.attrs["sensor_size"] = [5, 4, 2]
        for name in ("x", "y", "p", "t", "labels"):
            file.create_dataset(f"train/{name}", shape=(10**12,), dtype=np.int64, **options)
        file.create_dataset("train/offsets", shape=(10**12 + 1,), dtype=np.int64, **options)
        if options:
            file["train/x"][:10] = 1
    with pytest.raises(UserError, match=r"huge\.h5: train/x declares 1000000000000 entries in .* all must be stored"):
        read_recordings(path, "train")


def test_task_sensor_size_stands_in_for_the_attribute_and_overrides_it(event_file):
    larger = load_task(settings(sensor_size=(8, 8, 2)), event_file.parent, 1)
    assert (larger.sensor_size, larger.n_inputs) == ((8, 8, 2), 128)
    with h5py.File(event_file, "r+") as file:
        del file.attrs["sensor_size"]
    assert load_task(settings(sensor_size=(5, 4, 2)), event_file.parent, 1).n_inputs == 40
    with pytest.raises(UserError, match=r"events\.h5: train/x holds 4 .*allowed is 0 to 3 for sensor_size \(4, 4, 2\)"):
        load_task(settings(sensor_size=(4, 4, 2)), event_file.parent, 1)
    with pytest.raises(UserError, match=r"events\.h5: task\.sensor_size = \(0, 4, 2\) must be three integers"):
        load_task(settings(sensor_size=(0, 4, 2)), event_file.parent, 1)


def test_classes_are_the_sorted_training_labels_or_the_declared_ones(event_file, splits):
    task = load_task(settings(), event_file.parent, 1)
    assert task.classes == (2, 4, 9)
    assert [task.classes[k] for k in task.test.labels] == splits["test"].labels.tolist()
    chosen = load_task(settings(classes=[9, 2]), event_file.parent, 1)
    assert chosen.classes == (9, 2)
    kept = [label for label in splits["test"].labels.tolist() if label != 4]
    assert [chosen.classes[k] for k in chosen.test.labels] == kept
    assert chosen.train.n_samples + chosen.validation.n_samples == 20


@pytest.mark.parametrize("classes", [None, [2, 4]])
def test_a_test_label_that_training_never_shows_is_refused(event_file, classes):
    put(event_file, "test/labels", np.array([2, 4, 7] * 3))
    with pytest.raises(
        UserError, match=r"events\.h5: test/labels holds 7, not in train/labels; allowed are \[2, 4, 9\]"
    ):
        load_task(settings(classes=classes), event_file.parent, 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classes": [2, 5]}, r"task\.classes has 5, which has no training recording; allowed are \[2, 4, 9\]"),
        ({"classes": [2, 2]}, r"task\.classes = \[2, 2\] must list labels, each once"),
        ({"classes": []}, r"task\.classes = \[\] must list labels"),
        ({"validation": 1.0}, r"task\.validation = 1\.0 must be a number from 0 to below 1"),
        ({"validation": float("nan")}, r"task\.validation = nan must be"),
        ({"steps": 0}, r"task\.steps = 0 must be an integer from 1"),
        ({"path": None}, r'task\.path is missing; the task "events-h5" needs'),
        ({"name": "mnist"}, r"task\.name = 'mnist' is not a task; allowed are .*digits-dvs, .*events-h5"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(event_file, change, message):
    with pytest.raises(UserError, match=message):
        load_task(settings(**change), event_file.parent, 1)


def test_a_validation_split_is_cut_from_training_in_proportion_and_by_the_seed(event_file):
    first, again, other = (load_task(settings(validation=0.3), event_file.parent, seed) for seed in (1, 1, 2))
    assert np.bincount(first.validation.labels).tolist() == [3, 3, 3]
    assert np.bincount(first.train.labels).tolist() == [7, 7, 7]
    np.testing.assert_array_equal(first.validation.addresses, again.validation.addresses)
    assert not np.array_equal(first.validation.addresses, other.validation.addresses)
    whole = load_task(settings(validation=0), event_file.parent, 1)
    assert (whole.train.n_samples, whole.validation.n_samples) == (30, 0)
    np.testing.assert_array_equal(
        whole.train.counts().sum(axis=0), first.train.counts().sum(axis=0) + first.validation.counts().sum(axis=0)
    )


def test_a_validation_group_is_used_as_it_is(event_file, splits):
    write_recordings(event_file, {**splits, "validation": some_recordings([2, 9], 8)})
    said: list[str] = []
    task = load_task(settings(validation=0.5), event_file.parent, 1, said.append)
    assert (task.train.n_samples, task.validation.n_samples) == (30, 2)
    assert any("task.validation has no effect" in line for line in said)


def test_count_delivers_no_more_than_the_event_width_holds(tmp_path):
    same = np.zeros(9, dtype=np.int64)
    one = Recordings(same, same, same, same, np.array([0, 9]), np.array([0]), (1, 1, 1))
    write_recordings(tmp_path / "events.h5", {"train": one, "test": one})
    for bits, magnitude in [(1, 1), (3, 7), (4, 9)]:
        task = load_task(settings(repeat="count", event_bits=bits), tmp_path, 1)
        assert task.train.magnitudes.tolist() == [magnitude]


def test_provenance_names_the_file_its_licence_and_its_content(event_file):
    first = load_task(settings(), event_file.parent, 1).provenance
    assert (first["title"], first["source"], first["licence"]) == ("made up", "events.h5", "none")
    put(event_file, "test/labels", np.array([2, 4, 2] * 3))
    assert load_task(settings(), event_file.parent, 1).provenance["content_sha256"] != first["content_sha256"]


def test_listing_the_tasks_imports_no_data_library_and_every_task_has_a_manifest():
    code = (
        "import sys; from neurochip.tasks import list_tasks; list_tasks();"
        "print([m for m in ('h5py', 'sklearn', 'scipy', 'tonic', 'numba') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    manifests = {path.stem for path in data_folder("datasets").glob("*.toml")}
    assert {info.name for info in list_tasks()} <= manifests


@pytest.mark.parametrize(
    ("names", "expected"), [(["cat", "dog", "eel"], "cat, dog, eel"), (None, None), ([1, 2], None)]
)
def test_the_names_of_the_classes_are_in_the_provenance(tmp_path, event_file, names, expected):
    if names is not None:
        with h5py.File(event_file, "r+") as file:
            file.attrs["class_names"] = names
    assert load_task(settings(), tmp_path, 1).provenance.get("class_names") == expected
