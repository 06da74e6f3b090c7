"""Do the real recordings and images under NEUROCHIP_DATA_DIR convert, event by event, and can they be learned?"""

from __future__ import annotations

import io
import os
import shutil
import tarfile
from pathlib import Path

import h5py
import numpy as np
import pytest

import neurochip
from neurochip.convert import ConvertOptions, convert
from neurochip.errors import UserError
from neurochip.event_file import read_recordings
from neurochip.readers.recording import ReadOptions

pytestmark = pytest.mark.recordings


def data(relative: str) -> Path:
    """A file or folder below NEUROCHIP_DATA_DIR; the test is skipped if there is none."""
    folder = os.environ.get("NEUROCHIP_DATA_DIR")
    if not folder or not (Path(folder) / relative).exists():
        pytest.skip(f"NEUROCHIP_DATA_DIR is not set or holds no {relative}")
    return Path(folder) / relative


PIPS = ReadOptions(sensor_size=(35, 35, 2), columns="txyp")


def learned(path: Path, out: Path) -> float:
    """Accuracy on the test split after a short run."""
    tables = {
        "task": {"name": "events-h5", "path": str(path), "steps": 10},
        "network": {"layers": [{"kind": "readout"}]},
        "learning": {"epochs": 4},
    }
    return float(neurochip.learn(tables, out=out).results[0]["accuracy"]["test"])


def plain_events(path: Path) -> list[tuple[int, int, int, bool]]:
    """x, y, t, p of an N-MNIST file, byte by byte."""
    content = path.read_bytes()
    rows = [content[at : at + 5] for at in range(0, len(content), 5)]
    return [(x, y, (a & 127) << 16 | b << 8 | c, bool(a >> 7)) for x, y, a, b, c in rows]


def test_raw_nmnist_recordings_convert_event_by_event(tmp_path) -> None:
    source = data("nmnist4/raw")
    done = convert(source, tmp_path / "out.h5", ConvertOptions(split_fraction=0.2))
    assert done.splits == {"train": (16, 59_043), "test": (4, 14_355)}
    parsed = sorted((int(path.parent.name), plain_events(path)) for path in source.rglob("*.bin"))
    ours = []
    for split in ("train", "test"):
        found = read_recordings(tmp_path / "out.h5", split)
        assert sorted(np.unique(found.labels)) == [6, 7, 8, 9]
        ours += [(int(found.labels[index]), found.sample(index).tolist()) for index in range(found.n_samples)]
    assert sorted(ours) == parsed
    assert learned(tmp_path / "out.h5", tmp_path / "run") >= 0


def test_poker_archives_convert_and_are_learned(tmp_path) -> None:
    for name in ("pips_train.tar.gz", "pips_test.tar.gz"):
        (tmp_path / "in").mkdir(exist_ok=True)
        shutil.copy(data(f"pokerdvs/{name}"), tmp_path / "in")
    done = convert(tmp_path / "in", tmp_path / "out.h5", ConvertOptions(PIPS))
    assert done.splits == {"train": (48, 143_569), "test": (20, 63_847)}
    assert done.class_names == ("cl", "di", "he", "sp")
    found, index = read_recordings(tmp_path / "out.h5", "test"), 0
    with tarfile.open(data("pokerdvs/pips_test.tar.gz")) as archive:
        for member in archive:
            if not member.isfile():
                continue
            content = archive.extractfile(member)
            assert content is not None
            t, x, y, p = np.load(io.BytesIO(content.read())).T
            events = found.sample(index)
            for name, values in (("t", t), ("x", x), ("y", y), ("p", p)):
                np.testing.assert_array_equal(events[name], values)
            assert done.class_names[found.labels[index]] == member.name.split("/")[-2]
            index += 1
    assert index == 20
    assert learned(tmp_path / "out.h5", tmp_path / "run") > 0.5  # chance is 0.25


def test_the_published_folder_of_poker_dvs_converts_without_the_archive_of_no_split(tmp_path) -> None:
    archive = data("pokerdvs/poker_dvs.tar.gz")  # AEDAT recordings beside the pips
    with pytest.raises(UserError, match=r"outside of the splits test, train; --exclude poker_dvs.tar.gz leaves"):
        convert(archive.parent, tmp_path / "out.h5", ConvertOptions(PIPS))
    done = convert(archive.parent, tmp_path / "out.h5", ConvertOptions(PIPS, exclude=["poker_dvs.tar.gz"]))
    assert done.splits == {"train": (48, 143_569), "test": (20, 63_847)}
    assert (done.excluded, done.left_out) == ((str(archive),), ())


def test_images_of_mnist_convert_and_are_learned(tmp_path) -> None:
    source = data("mnist")
    done = convert(source, tmp_path / "out.h5", ConvertOptions(encoder="rate", limit=60))
    assert {name: n for name, (n, _) in done.splits.items()} == {"train": 600, "test": 600}
    with h5py.File(tmp_path / "out.h5") as file:
        assert file["train/labels"][:5].tolist() == [5, 0, 4, 1, 9]
    assert learned(tmp_path / "out.h5", tmp_path / "run") > 0.6  # chance is 0.1
