"""Are data that lie outside of an event file refused, and times of another unit?"""

from __future__ import annotations

from types import SimpleNamespace

import h5py
import numpy as np
import pytest

from neurochip.errors import UserError
from neurochip.events import Recordings, read_recordings, write_recordings
from neurochip.tasks import load_task


def load(folder):
    settings = SimpleNamespace(
        name="events-h5", path="events.h5", steps=4, repeat="once", classes=None, sensor_size=None, crop=None,
        validation=None, event_bits=1, download=False, transforms=None,
    )  # fmt: skip
    return load_task(settings, folder, 1)


@pytest.fixture
def event_file(tmp_path):
    n = 6
    x, y, p = (np.arange(n) % size for size in (5, 4, 2))
    one = Recordings(x, y, p, np.arange(n), np.arange(n + 1), np.arange(n) % 2, (5, 4, 2))
    write_recordings(tmp_path / "events.h5", {"train": one, "test": one})
    return tmp_path / "events.h5"


def linked(path, key, other):
    """Replace a member by a link to it in another file."""
    path.rename(other)
    with h5py.File(path, "w") as file, h5py.File(other) as original:
        for name in original:
            original.copy(name, file)
        file.attrs.update(original.attrs)
        del file[key]
        file[key] = h5py.ExternalLink(str(other), key)


@pytest.mark.parametrize("key", ["train", "validation", "train/x", "train/t", "test/labels", "test/offsets"])
def test_data_in_another_file_are_refused(event_file, tmp_path, key):
    if key == "validation":
        with h5py.File(event_file, "r+") as file:
            file.copy("test", "validation")
    linked(event_file, key, tmp_path / "other.h5")
    with pytest.raises(UserError, match=rf"events\.h5: {key} is a link; all data must be in this file"):
        load(tmp_path)


def test_a_split_that_a_link_to_nothing_stands_for_is_not_passed_over(event_file, tmp_path):
    with h5py.File(event_file, "r+") as file:
        file["validation"] = h5py.ExternalLink("gone.h5", "validation")
    with pytest.raises(UserError, match=r"events\.h5: validation is a link"):
        load(tmp_path)


def test_a_link_within_the_file_and_data_stored_outside_are_refused(event_file, tmp_path):
    with h5py.File(event_file, "r+") as file:
        x = file["train/x"][:]
        file["elsewhere"] = h5py.ExternalLink("other.h5", "/")
        file.move("train/x", "train/kept")
        file["train/x"] = h5py.SoftLink("/train/kept")
    with pytest.raises(UserError, match=r"events\.h5: train/x is a link"):
        read_recordings(event_file, "train")
    with h5py.File(event_file, "r+") as file:
        del file["train/x"]
        file.create_dataset("train/x", data=x, external=[(str(tmp_path / "raw"), 0, h5py.h5f.UNLIMITED)])
    with pytest.raises(UserError, match=r"events\.h5: train/x lies in another file"):
        read_recordings(event_file, "train")
    with h5py.File(event_file, "r+") as file:
        del file["train/x"]
        layout = h5py.VirtualLayout(x.shape, x.dtype)
        layout[:] = h5py.VirtualSource(str(tmp_path / "raw.h5"), "x", x.shape)
        file.create_virtual_dataset("train/x", layout)
    with pytest.raises(UserError, match=r"events\.h5: train/x lies in another file"):
        read_recordings(event_file, "train")


@pytest.mark.parametrize("unit", ["millisecond", 3, np.bytes_(b"s")])
def test_times_of_another_unit_are_refused(event_file, tmp_path, unit):
    assert load(tmp_path).train.n_samples > 0
    with h5py.File(event_file, "r+") as file:
        file.attrs["time_unit"] = unit
    with pytest.raises(UserError, match=r"events\.h5: root attribute time_unit = .* holds times in microseconds"):
        load(tmp_path)


@pytest.mark.parametrize("unit", ["us", np.bytes_(b"microsecond"), None])
def test_the_microsecond_may_be_written_in_several_ways_or_left_out(event_file, tmp_path, unit):
    with h5py.File(event_file, "r+") as file:
        del file.attrs["time_unit"]
        if unit is not None:
            file.attrs["time_unit"] = unit
    assert load(tmp_path).train.n_samples > 0
