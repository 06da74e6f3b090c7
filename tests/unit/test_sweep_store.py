"""The store of points: whole files or none, also on a full disk, and nothing read that is not what was asked for."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from neurochip.errors import UserError
from neurochip.sweep.point import Computed
from neurochip.sweep.store import PointStore

CONFIGURED: dict[str, Any] = {"experiment": {"run": {"seed": 1}}, "chip_sha256": "ab"}
DONE = Computed(result={"accuracy": {"test": 0.5}})
FAILED = Computed(error="it cannot")


@pytest.fixture
def store(tmp_path: Path) -> PointStore:
    store = PointStore(tmp_path / "out")
    store.open()
    return store


def file_of(store: PointStore, key: str = "k") -> Path:
    return store.directory / "points" / f"{key}.json"


@pytest.mark.parametrize("computed", [DONE, FAILED])
def test_what_is_written_is_read(store: PointStore, computed: Computed) -> None:
    store.write("k", CONFIGURED, computed)
    assert store.read("k", CONFIGURED) == computed
    assert [path.name for path in file_of(store).parent.iterdir()] == ["k.json"]


def test_what_may_go_well_another_time_is_not_written(store: PointStore) -> None:
    store.write("k", CONFIGURED, Computed(error="no memory", is_lasting=False))
    assert not file_of(store).exists()


@pytest.mark.parametrize(
    "change",
    [
        {"schema": "neurochip-point/0"},
        {"key": "other"},
        {"configuration": {}},
        {"result": None},
        {"result": [1]},
        {"error": "both"},
        {"result": None, "error": 3},
    ],
)
def test_a_file_that_is_not_this_point_is_unknown(store: PointStore, change: dict[str, Any]) -> None:
    store.write("k", CONFIGURED, DONE)
    content = json.loads(file_of(store).read_text())
    file_of(store).write_text(json.dumps(content | change))
    assert store.read("k", CONFIGURED) is None


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"\xff\xfe", b"null"])
def test_a_damaged_file_is_unknown_and_written_again(store: PointStore, damage: bytes) -> None:
    file_of(store).write_bytes(damage)
    assert store.read("k", CONFIGURED) is None
    store.write("k", CONFIGURED, DONE)
    assert store.read("k", CONFIGURED) == DONE


def test_a_folder_with_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("mine")
    with pytest.raises(UserError, match=r"holds no sweep; give a new or empty folder"):
        PointStore(tmp_path).open()
    with pytest.raises(UserError, match=r"letter\.txt: holds no sweep"):
        PointStore(tmp_path / "letter.txt").open()
    with pytest.raises(UserError, match=r"cannot be written"):
        PointStore(tmp_path / "letter.txt" / "below").open()
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_an_empty_folder_and_that_of_a_sweep_are_taken(tmp_path: Path, store: PointStore) -> None:
    (tmp_path / "empty").mkdir()
    PointStore(tmp_path / "empty").open()
    store.write("k", CONFIGURED, DONE)
    (store.directory / "sweep.csv").write_text("")
    PointStore(store.directory).open()
    assert store.read("k", CONFIGURED) == DONE


@contextmanager
def full_disk() -> Iterator[None]:
    """No file may grow beyond 100 bytes: a write of more ends in the middle, as on a disk that is full.

    Only around what is tested: the report of the tests may be a file as well.
    """
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_full_disk_is_one_sentence_and_leaves_the_points_before_it(store: PointStore) -> None:
    said = r"k\.json: cannot be written \(File too large\); the points before it are ke"
    with pytest.raises(UserError, match=said), full_disk():
        store.write("k", CONFIGURED, Computed(result={"text": "x" * 1000}))
    assert list(file_of(store).parent.iterdir()) == []
    assert store.read("k", CONFIGURED) is None
