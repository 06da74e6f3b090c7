"""HDF5 files of spikes and events, read by a process of its own that neither a file nor a folder can trick."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from published_trees import settings
from true_formats import joined, some_events, write_shd

from neurochip.errors import UserError
from neurochip.events import Recordings, write_recordings
from neurochip.readers import RawRecording, ReadOptions, hdf5, hdf5_child, read, sniff
from neurochip.tasks import load_task

EVENTS = some_events()

SHD = [([0.5, 0.25], [10, 699]), ([], []), ([0.125], [0])]


def test_shd_units_are_columns_and_times_seconds(tmp_path: Path) -> None:
    path = tmp_path / "data"
    write_shd(path, SHD, [3, 19, 0])
    assert sniff(path).name == "shd-h5"
    items = list(read(path))
    assert [(item.x.tolist(), item.t.tolist(), item.label) for item in items if isinstance(item, RawRecording)] == [
        ([699, 10], [250_000, 500_000], 3),
        ([], [], 19),
        ([0], [125_000], 0),
    ]
    kinds = {(item.sensor_size, item.continues) for item in items if isinstance(item, RawRecording)}
    assert kinds == {((700, 1, 1), False)}


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        ([([0.5], [10]), ([0.5], [700])], "sample 1, event 0: x = 700; allowed is 0 to 699"),
        ([([0.5], [10]), ([np.nan], [1])], "sample 1 holds a time that is no number of seconds"),
        ([([0.5], [10]), ([0.5, 0.5], [1])], "sample 1 has 2 times and 1 units"),
    ],
)
def test_shd_damage_comes_after_the_samples_before_it(tmp_path: Path, samples: Any, message: str) -> None:
    write_shd(tmp_path / "data", samples, [1, 2])
    with pytest.raises(UserError, match=message):
        list(read(tmp_path / "data"))
    assert joined(list(read(tmp_path / "data", notes=[]))).x.tolist() == [10]


@pytest.mark.parametrize("time_name", ["t", "dt"])
def test_event_files_give_split_label_and_sample(tmp_path: Path, time_name: str) -> None:
    path = tmp_path / "data"
    recordings = Recordings(*EVENTS, np.array([0, 15, 15, 40]), np.array([7, 8, 9]), (34, 34, 2))
    write_recordings(path, {"train": recordings, "test": recordings.take([2])})
    if time_name == "dt":
        with h5py.File(path, "r+") as file:
            file["train/dt"] = np.concatenate([np.diff(EVENTS.t[a:b], prepend=0) for a, b in ((0, 15), (15, 40))])
            del file["train/t"]
    items = list(read(path, ReadOptions(chunk_events=10)))
    starts = [item for item in items if isinstance(item, RawRecording) and not item.continues]
    assert [(item.split, item.label) for item in starts] == [("test", 9), ("train", 7), ("train", 8), ("train", 9)]
    np.testing.assert_array_equal(joined([item for item in items if item.split == "train"]), EVENTS)
    assert sniff(path).name == "events-h5"


def write_external(path: Path) -> None:
    with h5py.File(path, "w") as file:
        group = file.create_group("train")
        for name in ("x", "y", "p", "t", "labels"):
            group[name] = np.zeros(1, int)
        group["offsets"] = h5py.ExternalLink("/etc/other.h5", "offsets")


def write_raw_external(path: Path) -> None:
    with h5py.File(path, "w") as file:
        group = file.create_group("train")
        for name in ("y", "p", "t", "labels"):
            group[name] = np.zeros(1, int)
        group["offsets"] = np.array([0, 1])
        group.create_dataset("x", (1,), "i8", external=[(__file__, 0, 8)])


def write_huge(path: Path) -> None:
    with h5py.File(path, "w") as file:
        for name in ("x", "y", "p", "t", "offsets", "labels"):
            file.create_dataset(f"train/{name}", (2**40,), "i8", chunks=(2**20,), compression="gzip")


def write_wide_chunks(path: Path) -> None:
    with h5py.File(path, "w") as file:
        for name in ("x", "y", "p", "t", "offsets", "labels"):
            file.create_dataset(f"train/{name}", (2**25,), "i8", chunks=(2**25,), compression="gzip")


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (write_external, "offsets is a link to another file"),
        (write_raw_external, "x lies in another file"),
        (write_huge, "declares 1099511627776 entries"),
        (write_wide_chunks, f"chunks of {2**28} bytes; allowed are at most {2**26}"),
        (lambda path: h5py.File(path, "w").close(), "neither splits of events"),
    ],
)
def test_hdf5_files_that_point_elsewhere_or_promise_too_much_are_refused(
    tmp_path: Path, write: Any, message: str
) -> None:
    write(tmp_path / "data")
    with pytest.raises(UserError, match=message):
        list(read(tmp_path / "data"))


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("labels", "labels missing; a file in the layout of SHD needs spikes/times, spikes/units, labels"),
        ("spikes/units", "spikes/units missing; a file in"),
        ("spikes", "an HDF5 file with neither splits of events"),
    ],
)
def test_what_an_shd_file_lacks_is_named(tmp_path: Path, missing: str, message: str) -> None:
    write_shd(tmp_path / "data", SHD, [3, 19, 0])
    with h5py.File(tmp_path / "data", "r+") as file:
        del file[missing]
    with pytest.raises(UserError, match=message):
        sniff(tmp_path / "data")


def test_no_code_of_the_working_directory_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_shd(tmp_path / "data", SHD, [3, 19, 0])
    for name in ("json", "h5py", "numpy"):
        (tmp_path / f"{name}.py").write_text("open('sprung', 'w').close()\nraise SystemExit(1)\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", *sys.path])  # as in an interactive session
    assert len(list(read("data"))) == 3
    assert not (tmp_path / "sprung").exists()


class Sleeper:
    """A child that says nothing until it is killed."""

    def __init__(self) -> None:
        reading, self._writing = os.pipe()
        self.stdout = os.fdopen(reading, "rb")
        self._code = 0

    def kill(self) -> None:
        if not self._code:
            self._code = -9
            os.close(self._writing)

    def wait(self) -> int:
        return self._code


def test_a_child_that_is_silent_too_long_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_shd(tmp_path / "data", SHD, [3, 19, 0])
    monkeypatch.setattr(hdf5, "SILENCE_SECONDS", 0.2)
    monkeypatch.setattr(hdf5, "start_child", lambda *_: Sleeper())
    start = time.monotonic()
    with pytest.raises(UserError, match="the process that read it was ended by signal 9"):
        read(tmp_path / "data")
    assert time.monotonic() - start < 10


def test_everything_in_a_file_is_read_before_a_task_reads_it(tmp_path: Path) -> None:
    path, out = tmp_path / "data", io.BytesIO()
    with h5py.File(path, "w") as file:
        file["train/x"], file["train/deep/words"] = np.arange(7), np.array([b"one", b"two"])
        file["one"], file["lists"] = 5, np.zeros((3, 4))
    hdf5_child.serve(str(path), "check", 3, out)
    out.seek(0)
    entries = []
    while (message := hdf5._message(out)) is not None:
        entries.append(message.meta.get("entries", message.meta["kind"]))
    assert entries == [12, 1, 2, 3, 3, 1, "end"]


@pytest.mark.parametrize("task", ["events-h5", "ntidigits"])
def test_a_file_that_the_library_dies_of_ends_no_run(
    task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / ("events.h5" if task == "events-h5" else "n-tidigits.hdf5")
    with h5py.File(path, "w") as file:
        file["x"] = np.arange(3)
    dies = [sys.executable, "-c", "import os; os.abort()"]
    monkeypatch.setattr(hdf5, "start_child", lambda *_: subprocess.Popen(dies, stdout=subprocess.PIPE))
    with pytest.raises(UserError, match=rf"{path.name}: damaged HDF5 file: the process that read it was ended by sig"):
        load_task(settings(task, path if task == "events-h5" else tmp_path), tmp_path, 1)


def test_a_lower_limit_of_memory_stands(tmp_path: Path) -> None:
    write_shd(tmp_path / "data", SHD, [3, 19, 0])
    code = """
import sys
from neurochip.readers import read
if sys.platform != "win32":
    import resource
    resource.setrlimit(resource.RLIMIT_DATA, (10**9, 10**9))
print(len(list(read(sys.argv[1]))))
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "data")], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("3\n", "")


def test_a_process_that_cannot_start_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_shd(tmp_path / "data", SHD, [3, 19, 0])
    fails = [sys.executable, "-c", "raise SystemExit(1)"]
    monkeypatch.setattr(hdf5, "start_child", lambda *_: subprocess.Popen(fails, stdout=subprocess.PIPE))
    with pytest.raises(UserError, match=r"the process that reads HDF5 files could not be started \(code 1\)"):
        read(tmp_path / "data")
    hdf5.check_readable(tmp_path / "data")
