"""Does `convert` take every recording once, where a folder holds it in two places or two forms?"""

from __future__ import annotations

import gzip
import zipfile
from pathlib import Path

import numpy as np
import pytest
from convert_inputs import draw, mnist, nmnist, nmnist_tree, npy, put, refused, run

from neurochip.event_file import read_text_attributes
from neurochip.events import Recordings, write_recordings
from neurochip.readers.recording import ReadOptions

SIZE = ReadOptions(sensor_size=(34, 34, 2), columns="txyp")


def zipped(folder: Path, target: Path, top: str = "") -> None:
    """Put the files below a folder into an archive, under a folder `top`."""
    with zipfile.ZipFile(target, "w") as archive:
        for path in sorted(folder.rglob("*.bin")):
            archive.write(path, f"{top}{path.relative_to(folder)}")


def event_file(path: Path, labels: tuple[int, ...] = (3, 7), **attributes: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    n = len(labels)
    one = np.ones(n, np.int64)
    whole = Recordings(one, one, one, np.arange(n), np.arange(n + 1), np.array(labels), (5, 5, 2))
    write_recordings(path, {"train": whole, "test": whole}, attributes)
    return path


def test_archives_beside_what_they_unpack_to_are_not_read(tmp_path) -> None:
    nmnist_tree(tmp_path / "in")
    zipped(tmp_path / "in" / "Train", tmp_path / "in" / "train.zip", "Train/")
    (tmp_path / "in" / "test.zip").write_bytes(b"")
    done = run(tmp_path / "in", tmp_path / "out.h5")
    assert {split: n_samples for split, (n_samples, _) in done.splits.items()} == {"train": 6, "test": 6}
    assert done.notes == tuple(
        f"{tmp_path / 'in' / name}.zip: not read, because {name.title()} lies beside it" for name in ("test", "train")
    )


def test_a_packed_file_beside_what_it_holds_is_not_read(tmp_path) -> None:
    path = event_file(tmp_path / "in" / "all.h5")
    (tmp_path / "in" / "all.h5.gz").write_bytes(gzip.compress(path.read_bytes()))
    done = run(tmp_path / "in", tmp_path / "out.h5")
    assert (done.splits["train"][0], len(done.notes)) == (2, 1)


def test_images_of_mnist_unpacked_beside_what_they_came_from_are_read_once(tmp_path) -> None:
    mnist(tmp_path / "in", 5)
    for name in ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"):
        (tmp_path / "in" / name).write_bytes(gzip.decompress((tmp_path / "in" / f"{name}.gz").read_bytes()))
    done = run(tmp_path / "in", tmp_path / "out.h5")
    assert (done.splits["train"][0], len(done.notes)) == (5, 2)


def test_an_archive_of_files_that_lie_elsewhere_too_is_refused(tmp_path) -> None:
    nmnist_tree(tmp_path / "in")
    zipped(tmp_path / "in", tmp_path / "in" / "N-MNIST.zip", "N-MNIST/")
    first = tmp_path / "in" / "N-MNIST.zip:N-MNIST" / "Test" / "3"
    message = f"{tmp_path / 'in' / 'Test' / '3' / '00000.bin'}: the same file lies in {first}/; each is allowed once"
    assert refused(tmp_path) == message
    done = run(tmp_path / "in", tmp_path / "out.h5", skip_damaged=True)
    assert done.splits["train"][0] == 6


def test_archives_with_other_recordings_of_the_same_names_are_read(tmp_path) -> None:
    for index, name in enumerate(("first", "second")):
        for split in ("train", "test"):
            put(tmp_path / name / split / "3" / "0.bin", nmnist(draw(index)))
        (tmp_path / "in").mkdir(exist_ok=True)
        zipped(tmp_path / name, tmp_path / "in" / f"{name}.zip")
    assert run(tmp_path / "in", tmp_path / "out.h5").splits["train"] == (2, 80)


def test_one_recording_in_two_formats_is_refused(tmp_path) -> None:
    nmnist_tree(tmp_path / "in")
    put(tmp_path / "in" / "Train" / "3" / "00001.npy", npy(draw(1)))
    sentence = refused(tmp_path, read=SIZE)
    assert sentence.endswith("00001.bin and 00001.npy have one name; one form of a recording is allowed")
    assert refused(tmp_path, read=SIZE, split_fraction=0.5) == sentence


def test_images_and_sounds_may_share_a_name(tmp_path) -> None:
    for split in ("train", "test"):
        for form in ("pgm", "ppm"):
            put(tmp_path / "in" / split / "1" / f"0.{form}", b"P5 4 4 255\n" + bytes(range(16)))
    assert run(tmp_path / "in", tmp_path / "out.h5").splits["train"][0] == 2


def test_an_event_file_of_before_is_not_converted_again(tmp_path) -> None:
    nmnist_tree(tmp_path / "in")
    run(tmp_path / "in", tmp_path / "in" / "before.h5")
    message = "before.h5: an event file beside files of another format, or made of them"
    for skip_damaged in (False, True):
        assert message in refused(tmp_path, skip_damaged=skip_damaged)
        assert message in refused(tmp_path, skip_damaged=skip_damaged, split_fraction=0.5)


def test_an_event_file_in_an_archive_beside_others_is_refused(tmp_path) -> None:
    nmnist_tree(tmp_path / "in")
    with zipfile.ZipFile(tmp_path / "in" / "more.zip", "w") as archive:
        archive.write(event_file(tmp_path / "all.h5"), "all.h5")
    for skip_damaged in (False, True):
        assert "more.zip:all.h5: an event file beside" in refused(tmp_path, skip_damaged=skip_damaged)


def test_sets_of_mnist_do_not_merge_their_classes(tmp_path) -> None:
    mnist(tmp_path / "in" / "mnist", 5)
    mnist(tmp_path / "in" / "fashion", 5)
    assert "mnist/t10k-images-idx3-ubyte: " in refused(tmp_path)
    assert "numbers classes of the same split; convert one set at a time" in refused(tmp_path, skip_damaged=True)


@pytest.mark.parametrize("names", [("a", "b"), None])
def test_event_files_keep_what_they_say_of_themselves(tmp_path, names) -> None:
    said = {"title": "mine", "license": "CC0", "citation": "me", "encoding": "{}"}
    listed = {} if names is None else {"class_names": list(names)}
    event_file(tmp_path / "in" / "a.h5", (0, 1), note="first", **said, **listed)
    event_file(tmp_path / "in" / "b.h5", (0, 1), note="second", **said, **listed)
    done = run(tmp_path / "in", tmp_path / "out.h5")
    assert done.class_names == names
    assert done.splits["train"][0] == 4
    found = read_text_attributes(tmp_path / "out.h5")
    assert {key: found.get(key) for key in said} == said
    assert "note" not in found
    assert found["converter"].startswith("neurochip ")


def test_class_names_that_differ_are_not_merged(tmp_path) -> None:
    event_file(tmp_path / "in" / "a.h5", (0, 1), class_names=["cat", "dog"])
    event_file(tmp_path / "in" / "b.h5", (0, 1), class_names=["bird", "dog"])
    message = "b.h5: its class_names differ from those of "
    assert message in refused(tmp_path)
    assert message in refused(tmp_path, skip_damaged=True)


def test_times_of_another_unit_are_not_taken_for_microseconds(tmp_path) -> None:
    event_file(tmp_path / "in" / "a.h5", time_unit="millisecond")
    assert "a.h5: root attribute time_unit = 'millisecond'; an event file holds times in micro" in refused(tmp_path)


def test_files_are_counted_by_format(tmp_path) -> None:
    for split in ("train", "test"):
        put(tmp_path / "in" / split / "1" / "a.bin", nmnist(draw(1)))
        put(tmp_path / "in" / split / "1" / "b.npy", npy(draw(1)))
    put(tmp_path / "in" / "train" / "1" / "c.bin", nmnist(draw(2)))
    assert run(tmp_path / "in", tmp_path / "out.h5", read=ReadOptions(sensor_size=(34, 34, 2))).formats == {
        "event-array": 2,
        "nmnist-bin": 3,
    }
