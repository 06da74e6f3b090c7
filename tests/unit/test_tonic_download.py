"""Downloads through tonic, on files laid out as it leaves them: what it finds there it does not fetch."""

from __future__ import annotations

import sys
from pathlib import Path

import h5py
import numpy as np
import published_trees
import pytest
from published_trees import settings

from neurochip.errors import UserError
from neurochip.tasks import load_task


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setattr("neurochip.tasks.digits_dvs.default_cache_dir", lambda: folder)
    return folder


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **named: object) -> None:
        raise OSError("no network in this test")

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    monkeypatch.setattr("requests.get", refuse)


def spoken(root: Path, class_name: str, names: dict[str, str]) -> None:
    """SHD or SSC as tonic leaves it: archives by name, and the speakers and keys it looks for."""
    published_trees.spoken(root / class_name, names)
    for name in names:
        (root / class_name / f"{name}.zip").write_bytes(b"")
        with h5py.File(root / class_name / name, "r+") as file:
            file["extra/keys"] = np.array(["null", "eins"], dtype="S")
            file["extra/speaker"] = np.zeros(4, np.uint16)


def gestures(root: Path) -> None:
    """100 files of either split, as many as tonic asks for."""
    for folder in ("ibmGestureTrain", "ibmGestureTest"):
        (root / "DVSGesture").mkdir(exist_ok=True, parents=True)
        (root / "DVSGesture" / f"{folder}.tar.gz").write_bytes(b"")
        for user in range(10):
            for label in range(10):
                events = np.array([[label, user, 0, 5], [3, 4, 1, 9]], float)
                name = Path(folder) / f"user{user:02}_led" / f"{label}.npy"
                published_trees.put_array(root / "DVSGesture" / name, events)


LAYOUTS = {
    "shd": lambda root: spoken(root, "SHD", published_trees.SHD),
    "ssc": lambda root: spoken(root, "SSC", published_trees.SSC),
    "ntidigits": lambda root: published_trees.ntidigits(root / "NTIDIGITS18"),
    "smnist": lambda root: published_trees.mnist(root / "smnist"),
    "dvs-gesture": gestures,
}


@pytest.mark.parametrize("name", sorted(LAYOUTS))
@pytest.mark.parametrize("with_path", [True, False])
@pytest.mark.usefixtures("no_network")
def test_what_tonic_left_is_read(name: str, with_path: bool, tmp_path: Path, cache: Path) -> None:
    root = tmp_path / "mine" if with_path else cache / "tonic"
    LAYOUTS[name](root)
    asked = settings(name, root if with_path else None, download=True)
    task = load_task(asked, tmp_path, 1)
    again = load_task(settings(name, root), tmp_path, 1)
    assert task.provenance["content_sha256"] == again.provenance["content_sha256"]


@pytest.mark.parametrize("name", [*sorted(LAYOUTS), "nmnist", "cifar10-dvs", "ncaltech101"])
@pytest.mark.usefixtures("no_network", "cache")
def test_a_download_that_fails_says_where_the_files_are_from(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"tonic could not fetch \w+ \(.*no network.*\); get the files from http"):
        load_task(settings(name, None, download=True), tmp_path, 1)


@pytest.mark.usefixtures("cache")
def test_what_tonic_prints_is_kept_from_standard_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tonic.datasets.NMNIST.download", lambda self: print("Downloading"))
    with pytest.raises(UserError):
        load_task(settings("nmnist", None, download=True), tmp_path, 1)
    found = capsys.readouterr()
    assert found.out == ""
    assert "Downloading" in found.err


@pytest.mark.usefixtures("cache")
def test_poker_dvs_cannot_be_downloaded(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"task\.download = true is not possible with 'poker-dvs'; allowed are cifar10"):
        load_task(settings("poker-dvs", None, download=True), tmp_path, 1)


@pytest.mark.parametrize("name", ["digits-dvs", "events-h5", "delayed-recall"])
def test_other_tasks_have_no_download(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"task.download = true is not possible with '{name}'"):
        load_task(settings(name, None, download=True), tmp_path, 1)


@pytest.mark.usefixtures("cache")
def test_a_missing_tonic_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tonic", None)
    with pytest.raises(UserError, match=r"task\.download = true needs the package tonic"):
        load_task(settings("shd", None, download=True), tmp_path, 1)
