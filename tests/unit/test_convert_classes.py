"""Does `convert` refuse classes that nothing tells apart, and tell what it took for granted and whose fault it is?"""

from __future__ import annotations

import bz2
import os
from pathlib import Path

import h5py
import numpy as np
import pytest
from convert_inputs import draw, nmnist, nmnist_tree, npy, put, refused, run

from neurochip.errors import UserError
from neurochip.events import Recordings, write_recordings
from neurochip.printable import printable
from neurochip.readers.recording import ReadOptions


def tree(root: Path, *folders: str, each: int = 1) -> None:
    """Recordings in these folders of both splits."""
    for split in ("train", "test"):
        for number, folder in enumerate(folders):
            for index in range(each):
                put(root / split / folder / f"{index}.bin", nmnist(draw(number)))


@pytest.mark.parametrize(("one", "other"), [("1", "01"), ("007", "7"), ("0", "000")])
def test_one_number_written_in_two_ways_is_refused(tmp_path, one, other) -> None:
    tree(tmp_path / "in", one, other, "cat")
    first, second = sorted((one, other))
    message = f"the classes {first} and {second} are the same number; rename one of them"
    assert message in refused(tmp_path)
    assert message in refused(tmp_path, skip_damaged=True)
    (tmp_path / "in" / "test").rename(tmp_path / "away")
    assert message in refused(tmp_path, split_fraction=0.5)


def test_numbers_with_leading_zeros_are_numbers(tmp_path) -> None:
    tree(tmp_path / "in", "01", "02", "10")
    done = run(tmp_path / "in", tmp_path / "out.h5")
    assert (done.class_names, done.n_classes) == (None, 3)


def test_folders_between_the_split_and_the_class_are_refused_if_they_differ(tmp_path) -> None:
    tree(tmp_path / "in", "0/morning", "0/evening", "1/morning")
    message = "its folder lies in 1, that of"
    assert message in refused(tmp_path)
    assert message in refused(tmp_path, skip_damaged=True)


def test_a_folder_around_all_classes_is_none(tmp_path) -> None:
    tree(tmp_path / "in", "data/cat", "data/dog")
    assert run(tmp_path / "in", tmp_path / "out.h5").class_names == ("cat", "dog")


def test_users_of_dvs_gesture_are_no_classes(tmp_path) -> None:
    for folder in ("ibmGestureTrain/user01_lab", "ibmGestureTest/user24_led"):
        put(tmp_path / "in" / folder / "3.npy", npy(draw(1)))
    message = "in DVS Gesture the folders are users, not classes; the task dvs-gesture reads it"
    assert message in refused(tmp_path, read=ReadOptions(columns="txyp", sensor_size=(128, 128, 2)))
    (tmp_path / "in" / "ibmGestureTrain").rename(tmp_path / "ibmGestureTrain")
    with pytest.raises(UserError, match="the task dvs-gesture reads it"):
        run(tmp_path / "ibmGestureTrain", tmp_path / "out.h5", split_fraction=0.5)


def test_names_that_are_no_utf8_end_in_a_sentence(tmp_path) -> None:
    name = os.fsdecode(b"caf\xe9")
    tree(tmp_path / "in", name, "tea")
    sentence = refused(tmp_path)
    assert "the name of the class 'caf\\udce9' is not UTF-8; rename it" in sentence
    assert printable(sentence).encode().isascii()
    tree(tmp_path / name, "tea")
    run(tmp_path / name, tmp_path / "out.h5")
    with h5py.File(tmp_path / "out.h5") as file:
        assert file.attrs["title"] == "caf?"


def test_what_a_terminal_would_obey_is_escaped() -> None:
    assert printable("a\x1b[31mred\nb\u202ec é 漢") == "a\\x1b[31mred\\nb\\u202ec é 漢"


def test_a_packed_file_is_told_to_be_unpacked(tmp_path) -> None:
    nmnist_tree(tmp_path / "in")
    put(tmp_path / "in" / "Train" / "3" / "9.bin.bz2", bz2.compress(nmnist(draw(1))))
    assert "9.bin.bz2 is packed with bzip2 and no archive that is read; unpack it first" in refused(tmp_path)


def test_what_readers_remark_is_told_once_for_all_files(tmp_path) -> None:
    for split in ("train", "test"):
        for index in range(3):
            put(tmp_path / "in" / split / "1" / f"{index}.npy", npy(draw(index)))
    done = run(tmp_path / "in", tmp_path / "out.h5", read=ReadOptions(sensor_size=(34, 34, 2)))
    first = tmp_path / "in" / "test" / "1" / "0.npy"
    assert done.notes == (
        f"{first}: the four columns were taken as t, x, y, p; columns says otherwise (likewise 5 more)",
    )


def test_the_image_that_is_at_fault_is_named_however_late_it_is_encoded(tmp_path) -> None:
    for split, sizes in (("test", (4, 4, 6)), ("train", (4, 4))):
        for index, pixels in enumerate(sizes):
            put(tmp_path / "in" / split / "1" / f"{index}.pgm", b"P5 4 %d 255\n" % pixels + bytes(4 * pixels))
    sentence = refused(tmp_path)
    assert sentence.startswith(f"{tmp_path / 'in' / 'test' / '1' / '2.pgm'}: the sensor size (4, 6, 1) differs from ")
    assert sentence.endswith("0.pgm; one event file holds one; scale them to one size")
    assert "train" not in sentence


def test_an_out_that_cannot_be_opened_is_no_fault_of_a_recording(tmp_path) -> None:
    nmnist_tree(tmp_path / "in")
    out = tmp_path / ("a" * 240 + ".h5")
    for skip_damaged in (False, True):
        with pytest.raises(UserError, match=rf"^{out} cannot be written \(") as caught:
            run(tmp_path / "in", out, skip_damaged=skip_damaged)
        assert "bin" not in str(caught.value)


def test_soft_links_in_an_event_file_are_refused(tmp_path) -> None:
    one = np.ones(2, np.int64)
    whole = Recordings(one, one, one, np.arange(2), np.arange(3), one, (5, 5, 2))
    write_recordings(tmp_path / "in.h5", {"train": whole, "test": whole})
    with h5py.File(tmp_path / "in.h5", "r+") as file:
        file.move("train/x", "train/kept")
        file["train/x"] = h5py.SoftLink("/train/kept")
    with pytest.raises(UserError, match=r"in\.h5: x is a soft link"):
        run(tmp_path / "in.h5", tmp_path / "out.h5")
