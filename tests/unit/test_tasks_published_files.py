"""Files of published data sets that are packed, missing, damaged or misplaced, and the cache of what was read."""

from __future__ import annotations

import gzip
import tarfile
import zipfile
from pathlib import Path

import published_trees
import pytest
from published_trees import WITH_SPLITS, WITHOUT_SPLITS, settings

from neurochip.archives import NoRoomError
from neurochip.errors import UserError
from neurochip.tasks import TaskData, load_task, registry

TREES = (
    {name: write for name, write in WITH_SPLITS.items() if "," not in name}
    | {name: write for name, write, _ in WITHOUT_SPLITS.values()}
    | {"smnist": published_trees.mnist}
)
TREES["poker-dvs"] = published_trees.poker_pips
TREES["cifar10-dvs"] = published_trees.cifar10_dvs
DOWNLOADS = sorted(set(TREES) - {"poker-dvs"})


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache folder, which is not the user's."""
    folder = tmp_path / "cache"
    monkeypatch.setattr("neurochip.tasks.digits_dvs.default_cache_dir", lambda: folder)
    return folder


def content(task: TaskData) -> str:
    return task.provenance["content_sha256"]


def packed(source: Path, target: Path, backwards: bool = True) -> None:
    """Pack every folder below `source`, its files in the reverse of their order."""
    target.mkdir(parents=True, exist_ok=True)
    for folder in source.iterdir():
        files = sorted((path for path in folder.rglob("*") if path.is_file()), reverse=backwards)
        with tarfile.open(target / f"{folder.name}.tar.gz", "w:gz") as archive:
            for file in files:
                archive.add(file, file.relative_to(source))


@pytest.mark.parametrize("name", ["poker-dvs", "dvs-gesture", "nmnist", "cifar10-dvs"])
def test_an_archive_gives_what_its_files_give(name: str, tmp_path: Path, cache: Path) -> None:
    TREES[name](tmp_path / "loose")
    packed(tmp_path / "loose", tmp_path / "packed")
    loose, from_archive = (load_task(settings(name, tmp_path / kind), tmp_path, 1) for kind in ("loose", "packed"))
    assert content(loose) == content(from_archive)


def test_zip_files_of_shd_are_read(tmp_path: Path, cache: Path) -> None:
    TREES["shd"](tmp_path / "loose")
    (tmp_path / "packed").mkdir()
    for name in ("shd_train.h5", "shd_test.h5"):
        with zipfile.ZipFile(tmp_path / "packed" / f"{name}.zip", "w") as archive:
            archive.write(tmp_path / "loose" / name, name)
    loose, from_archive = (load_task(settings("shd", tmp_path / kind), tmp_path, 1) for kind in ("loose", "packed"))
    assert content(loose) == content(from_archive)


@pytest.mark.parametrize("unpacked", ["none", "shd_train.h5", "shd_test.h5"])
def test_gz_files_of_shd_are_read(unpacked: str, tmp_path: Path, cache: Path) -> None:
    TREES["shd"](tmp_path / "loose")
    (tmp_path / "packed").mkdir()
    for name in ("shd_train.h5", "shd_test.h5"):
        data = (tmp_path / "loose" / name).read_bytes()
        if name == unpacked:
            (tmp_path / "packed" / name).write_bytes(data)
            (tmp_path / "packed" / f"{name}.gz").write_bytes(b"not looked at")
        else:
            (tmp_path / "packed" / f"{name}.gz").write_bytes(gzip.compress(data))
    (tmp_path / "packed" / "else.h5.gz").write_bytes(b"of another set")
    loose, from_gz = (load_task(settings("shd", tmp_path / kind), tmp_path, 1) for kind in ("loose", "packed"))
    assert content(loose) == content(from_gz)


def test_a_damaged_gz_file_is_named(tmp_path: Path, cache: Path) -> None:
    TREES["ssc"](tmp_path)
    packed = gzip.compress((tmp_path / "ssc_test.h5").read_bytes())
    (tmp_path / "ssc_test.h5").unlink()
    (tmp_path / "ssc_test.h5.gz").write_bytes(packed[: len(packed) // 2])
    with pytest.raises(UserError, match=r'ssc_test\.h5\.gz is damaged or no archive.*; "ssc" expects the files'):
        load_task(settings("ssc", tmp_path), tmp_path, 1)


def test_a_full_temporary_folder_is_not_blamed_on_the_layout(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(archive: Path, place: Path) -> None:
        raise NoRoomError("the temporary folder is full")

    for name in ("shd_train.h5", "shd_test.h5"):
        (tmp_path / f"{name}.gz").write_bytes(b"is not reached")
    monkeypatch.setattr("neurochip.tasks.published_files.unpacked", full)
    with pytest.raises(UserError, match=r"^the temporary folder is full$"):
        load_task(settings("shd", tmp_path), tmp_path, 1)


def test_linked_folders_are_followed(tmp_path: Path, cache: Path) -> None:
    TREES["nmnist"](tmp_path / "real")
    (tmp_path / "linked" / "Test").mkdir(parents=True)
    (tmp_path / "linked" / "Train").symlink_to(tmp_path / "real" / "Train", target_is_directory=True)
    for digit in (tmp_path / "real" / "Test").iterdir():
        (tmp_path / "linked" / "Test" / digit.name).symlink_to(digit, target_is_directory=True)
    one, two = (load_task(settings("nmnist", tmp_path / kind), tmp_path, 1) for kind in ("real", "linked"))
    assert content(one) == content(two)
    (tmp_path / "linked" / "all").symlink_to(tmp_path / "linked", target_is_directory=True)
    with pytest.raises(UserError, match="is a link to a folder around it"):
        load_task(settings("nmnist", tmp_path / "linked"), tmp_path, 1)


def test_archives_beside_their_unpacked_files_are_left_alone(tmp_path: Path, cache: Path) -> None:
    made = published_trees.poker_pips(tmp_path / "data")
    (tmp_path / "data" / "pips_train.tar.gz").write_bytes(b"")
    (tmp_path / "data" / "pips_test.tar.gz").write_bytes(b"no archive")
    task = load_task(settings("poker-dvs", tmp_path / "data"), tmp_path, 1)
    assert task.test.n_samples == len(made["test"])


@pytest.mark.parametrize("name", sorted(TREES))
def test_without_path_and_download_the_layout_is_said(name: str, tmp_path: Path, cache: Path) -> None:
    with pytest.raises(UserError, match=f'task.path is missing; "{name}" needs the folder of its files: ') as error:
        load_task(settings(name, None), tmp_path, 1)
    assert ("task.download = true lets tonic" in str(error.value)) == (name in DOWNLOADS)


@pytest.mark.parametrize("name", sorted(TREES))
def test_a_folder_that_is_empty_or_absent_says_the_layout(name: str, tmp_path: Path, cache: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "tune.mp3").write_bytes(b"la la")
    for folder, what in (("empty", "holds no"), ("absent", "is no folder"), ("other", "holds no file of this data")):
        with pytest.raises(UserError, match=rf'{folder} {what}.*; "{name}" expects '):
            load_task(settings(name, tmp_path / folder), tmp_path, 1)


@pytest.mark.parametrize("name", sorted(TREES))
def test_a_damaged_file_is_named_with_the_layout(name: str, tmp_path: Path, cache: Path) -> None:
    TREES[name](tmp_path / "data")
    endings = (".bin", ".npy", ".aedat4", ".h5", ".hdf5", "train-images-idx3-ubyte")
    files = [path for path in (tmp_path / "data").rglob("*") if path.name.endswith(endings)]
    victim = sorted(file for file in files if "annotation" not in file.name)[-1]
    victim.write_bytes(victim.read_bytes()[: victim.stat().st_size // 2 - 1])
    with pytest.raises(UserError, match=rf'^[^\n]*{victim.name}: [^\n]*; "{name}" expects [^\n]*$'):
        load_task(settings(name, tmp_path / "data"), tmp_path, 1)
    assert list(cache.glob("*.h5")) == []


@pytest.mark.parametrize("name", ["nmnist", "poker-dvs", "dvs-gesture", "shd"])
def test_a_missing_split_is_said(name: str, tmp_path: Path, cache: Path) -> None:
    made = tmp_path / "data"
    TREES[name](made)
    for path in [*made.glob("Test"), *made.glob("pips_test"), *made.glob("*GestureTest"), *made.glob("*test.h5")]:
        path.rename(tmp_path / "elsewhere")
    with pytest.raises(UserError, match=rf'has no recording of the split test .*; "{name}" expects '):
        load_task(settings(name, made), tmp_path, 1)


@pytest.mark.parametrize(
    ("name", "wrong", "what"),
    [
        ("nmnist", "Train/eleven/00001.bin", "lies in no folder of a digit"),
        ("nmnist", "3/00001.bin", "lies in no folder of a digit"),
        ("poker-dvs", "pips_train/joker/1.npy", "lies in no folder cl, he, di, sp"),
        ("poker-dvs", "joker01.aedat", "its name begins with none of xclub"),
        ("dvs-gesture", "ibmGestureTrain/user01_led/11.npy", "is no user's gesture 0.npy to 10.npy"),
        ("cifar10-dvs", "zebra/cifar10_zebra_0.aedat4", "lies in no folder airplane"),
        ("ncaltech101", "image_0001.bin", "lies in no folder of a class"),
    ],
)
def test_a_misplaced_file_is_refused(name: str, wrong: str, what: str, tmp_path: Path, cache: Path) -> None:
    TREES[name](tmp_path / "data")
    published_trees.put(tmp_path / "data" / wrong, b"anything")
    with pytest.raises(UserError, match=rf'{wrong}: .*{what}.*; "{name}" expects '):
        load_task(settings(name, tmp_path / "data"), tmp_path, 1)


def test_the_same_recording_twice_is_refused(tmp_path: Path, cache: Path) -> None:
    published_trees.nmnist(tmp_path / "data")
    published_trees.nmnist(tmp_path / "data" / "copy")
    with pytest.raises(UserError, match="stand for the same recording"):
        load_task(settings("nmnist", tmp_path / "data"), tmp_path, 1)


def test_an_unknown_digit_of_ntidigits_is_refused(tmp_path: Path, cache: Path) -> None:
    import h5py

    published_trees.ntidigits(tmp_path / "data")
    with h5py.File(tmp_path / "data" / "n-tidigits.hdf5", "r+") as file:
        names = file["test_labels"][:]
        names[1] = b"man-ab-q"
        file["test_labels"][:] = names
    with pytest.raises(UserError, match="'man-ab-q' ends in none of o, 1, 2"):
        load_task(settings("ntidigits", tmp_path / "data"), tmp_path, 1)


def test_what_was_read_is_kept_until_a_file_changes_or_the_cache_does(tmp_path: Path, cache: Path) -> None:
    published_trees.nmnist(tmp_path / "data")
    notes: list[str] = []

    def load() -> tuple[str, bool]:
        notes.clear()
        task = load_task(settings("nmnist", tmp_path / "data"), tmp_path, 1, notes.append)
        return content(task), any("reading" in note for note in notes)

    first, was_read = load()
    assert was_read
    assert load() == (first, False)
    (kept,) = cache.glob("*.h5")
    kept.write_bytes(kept.read_bytes()[:-1] + b"!")
    assert load() == (first, True)
    one = sorted((tmp_path / "data").rglob("*.bin"))[0]
    one.write_bytes(one.read_bytes()[:-5])
    changed, was_read = load()
    assert changed != first and was_read


def test_a_cache_folder_that_cannot_be_written_costs_a_note(tmp_path: Path, cache: Path) -> None:
    published_trees.nmnist(tmp_path / "data")
    cache.write_bytes(b"a file stands in the way")
    notes: list[str] = []
    task = load_task(settings("nmnist", tmp_path / "data"), tmp_path, 1, notes.append)
    assert task.test.n_samples == 6
    assert any("recordings not kept" in note for note in notes)


def test_a_set_too_large_for_memory_is_mapped(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from neurochip.mapped_events import MappedEvents

    published_trees.nmnist(tmp_path / "data")
    small = load_task(settings("nmnist", tmp_path / "data"), tmp_path, 1)
    monkeypatch.setattr("neurochip.tasks.prepare_large.LARGE_EVENTS", 10)
    large = load_task(settings("nmnist", tmp_path / "data"), tmp_path, 1)
    assert isinstance(large.train, MappedEvents)
    assert content(small) == content(large)
    assert small.train.addresses.tolist() == large.train.addresses.tolist()


def test_the_order_of_the_file_system_changes_nothing(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    TREES["dvs-gesture"](tmp_path / "data")
    found = Path.iterdir
    one = load_task(settings("dvs-gesture", tmp_path / "data"), tmp_path, 1)
    monkeypatch.setattr(Path, "iterdir", lambda self: reversed(list(found(self))))
    notes: list[str] = []
    two = load_task(settings("dvs-gesture", tmp_path / "data"), tmp_path, 1, notes.append)
    assert content(one) == content(two)
    assert any("taken from" in note for note in notes)


def test_every_published_task_is_listed() -> None:
    assert set(TREES) <= {info.name for info in registry.list_tasks()}
