"""DVS128 Gesture in the authors' layout: recordings of AEDAT 3.1, cut by a list of gestures, split by two lists."""

from __future__ import annotations

import tarfile
import tracemalloc
from pathlib import Path

import numpy as np
import published_trees
import pytest
from published_trees import settings
from true_formats import Events, aedat3, aedat3_packet, aedat3_text, some_events

from neurochip.errors import UserError
from neurochip.readers.blocks import Block
from neurochip.tasks import TaskData, load_task
from neurochip.tasks.dvs_gesture import MAX_FALL_US, Gesture, cut, read_file, read_gestures
from neurochip.tasks.published_files import DataFile

HEADER = "class,startTime_usec,endTime_usec\n"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache folder, which is not the user's."""
    folder = tmp_path / "cache"
    monkeypatch.setattr("neurochip.tasks.digits_dvs.default_cache_dir", lambda: folder)
    return folder


@pytest.fixture
def data(tmp_path: Path, cache: Path) -> Path:
    """The folder DvsGesture with four recordings."""
    published_trees.dvs_gesture_authors(tmp_path / "data")
    return tmp_path / "data" / "DvsGesture"


def loaded(folder: Path, notes: list[str] | None = None) -> TaskData:
    return load_task(settings("dvs-gesture", folder), folder, 1, (notes if notes is not None else []).append)


def content(task: TaskData) -> str:
    return task.provenance["content_sha256"]


def test_the_archive_and_the_folder_itself_give_the_same(tmp_path: Path, data: Path) -> None:
    loose = loaded(data.parent)
    (tmp_path / "packed").mkdir()
    with tarfile.open(tmp_path / "packed" / "DvsGesture.tar.gz", "w:gz") as archive:
        for file in sorted(data.iterdir(), reverse=True):  # lists come after the recordings, and before
            archive.add(file, f"./DvsGesture/{file.name}")
    assert content(loaded(tmp_path / "packed")) == content(loaded(data)) == content(loose)
    assert loose.provenance["recordings"] == "test 4, train 8 (the whole published set: test 288, train 1176)"


def test_what_is_there_of_the_lists_is_said(data: Path) -> None:
    notes: list[str] = []
    loaded(data, notes)
    assert "dvs-gesture: 1 recordings that are in none of the lists left out" in notes
    assert "dvs-gesture: 3 of the 4 recordings in the lists are there" in notes


def test_recordings_beside_files_of_tonic_are_left_out(data: Path) -> None:
    made = published_trees.dvs_gesture(data.parent, each=2)
    notes: list[str] = []
    task = loaded(data.parent, notes)
    assert task.test.n_samples == len(made["test"])
    assert task.provenance["recordings"].endswith("(the whole published set: test 264, train 1077)")
    assert any("4 files of no official split left out" in note for note in notes)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "user01_led_labels.csv",
            None,
            "user01_led.aedat: user01_led_labels.csv, which lists its gestures, does not lie",
        ),
        ("trials_to_train.txt", None, "trials_to_train.txt, which says the split, does not lie beside it"),
        ("trials_to_test.txt", None, "trials_to_test.txt, which says the split, does not lie beside it"),
        (
            "trials_to_test.txt",
            "user24_led.aedat\nuser02_lab.aedat",
            "user02_lab.aedat is in both of trials_to_train.txt",
        ),
        ("trials_to_test.txt", "nobody.aedat", "has no recording of the split test"),
        ("trials_to_test.txt", "\x80", r"trials_to_test.txt: is no text \(.* at byte 0\)"),
        ("trials_to_test.txt", "a" * 2**20 + "b", "is longer than the 1048576 bytes of a list"),
        ("user24_led_labels.csv", "1,2,3\n", "user24_led_labels.csv: the first line must be class,startTime_usec,end"),
        ("user24_led_labels.csv", f"{HEADER}0,1,2\n", "'0,1,2': the class must be 1 to 11"),
        ("user24_led_labels.csv", f"{HEADER}12,1,2\n", "the class must be 1 to 11"),
        ("user24_led_labels.csv", f"{HEADER}1,5,5\n", "the gesture must end after it starts"),
        ("user24_led_labels.csv", f"{HEADER}1,5\n", "must be three whole numbers"),
        ("user24_led_labels.csv", f"{HEADER}1,-5,9\n", "must be three whole numbers"),
        ("user24_led_labels.csv", f"{HEADER}1,{'9' * 5000},9\n", "must be three whole numbers"),
        (
            "user24_led_labels.csv",
            f"{HEADER}1,1,2\n",
            "user24_led.aedat: the gesture from 1 to 2 us has no valid event",
        ),
        ("user24_led_labels.csv", HEADER, "has no recording of the split test"),
    ],
)
def test_lists_that_are_missing_or_say_nothing_possible_are_refused(
    data: Path, name: str, text: str | None, message: str
) -> None:
    if text is None:
        (data / name).unlink()
    else:
        (data / name).write_text(text, encoding="latin-1")
    with pytest.raises(UserError, match=rf'{message}.*; "dvs-gesture" expects DvsGesture/userNN_LIGHT\.aedat'):
        loaded(data)


def test_a_recording_that_breaks_off_is_named(data: Path, cache: Path) -> None:
    victim = data / "user24_led.aedat"
    victim.write_bytes(victim.read_bytes()[:-50])
    with pytest.raises(UserError, match=r"user24_led\.aedat: packet \d+ at byte .* has \d+ bytes left; .* expects"):
        loaded(data)
    assert list(cache.glob("*.h5")) == []


def test_a_changed_list_of_gestures_is_read_anew(data: Path) -> None:
    before = content(loaded(data))
    path = data / "user02_lab_labels.csv"
    path.write_text(path.read_text().replace("\n11,", "\n10,"))
    task = loaded(data)
    assert content(task) != before
    assert set(task.classes) == {0, 3, 9, 10}


def block(*times: int) -> Block:
    t = np.array(times, np.int64)
    return Block(t % 7, t % 5, t % 2, t)


def test_gestures_are_cut_at_their_first_microsecond_and_before_their_end() -> None:
    gestures = [Gesture(3, 10, 20), Gesture(5, 15, 30)]
    found = list(cut(iter([block(9, 10, 19), block(), block(20, 14, 29, 30)]), gestures))
    assert [(gesture, [part.t.tolist() for part in parts]) for gesture, parts in found] == [
        (gestures[0], [[0, 9], [4]]),
        (gestures[1], [[4], [5, 14]]),
    ]
    assert [part.x.tolist() for part in found[1][1]] == [[19 % 7], [20 % 7, 29 % 7]]


def test_a_clock_may_step_back_by_a_second_and_no_further() -> None:
    gestures = [Gesture(0, 0, 10), Gesture(1, 10, 5 * MAX_FALL_US)]
    late = [block(5, MAX_FALL_US + 9), block(9), block(3 * MAX_FALL_US)]
    assert [sum(len(part.t) for part in parts) for _, parts in cut(iter(late), gestures)] == [2, 2]
    with pytest.raises(UserError, match=f"the clock falls from {3 * MAX_FALL_US} to {2 * MAX_FALL_US - 1} us"):
        list(cut(iter([*late, block(2 * MAX_FALL_US - 1)]), gestures))
    with pytest.raises(UserError, match="the clock falls from 2000000 to 0 us"):
        list(cut(iter([block(2_000_000, 0, 3_000_000)]), gestures))


def test_a_gesture_is_given_out_once_its_end_is_past(tmp_path: Path) -> None:
    blocks = iter([block(5), block(20 + MAX_FALL_US), block(40)])
    gestures = cut(blocks, [Gesture(0, 0, 10), Gesture(1, 10, 50)])
    assert next(gestures)[0].label == 0
    assert next(blocks).t.tolist() == [40]


def test_rows_stand_in_the_order_of_their_ends(tmp_path: Path) -> None:
    (tmp_path / "list").write_text("class, startTime_usec, endTime_usec\r\n2, 50, 90\r\n\r\n11,10,60\n1,20,60")
    found = read_gestures(tmp_path / "list", "list")
    assert found == [Gesture(10, 10, 60), Gesture(0, 20, 60), Gesture(1, 50, 90)]


def test_a_pixel_outside_of_the_camera_is_refused(data: Path) -> None:
    events = some_events(600, side=128, last_us=9_000_000)
    events.x[300] = 128
    (data / "user24_led.aedat").write_bytes(aedat3(Events(*events)))
    (data / "user24_led_labels.csv").write_text(f"{HEADER}1,0,9000000\n")
    with pytest.raises(UserError, match=r"user24_led.aedat: the gesture from 0 to 9000000 us, event 300: x = 128"):
        loaded(data)


def test_a_long_recording_is_cut_in_little_memory(tmp_path: Path) -> None:
    n_packets, n_events, gap_us = 512, 4096, 100_000
    words = np.zeros(n_events, np.dtype([("word", "<u4"), ("t", "<i4")]))
    words["word"] = 5 << 17 | 6 << 2 | 3
    path, labels = tmp_path / "user01_led.aedat", tmp_path / "labels"
    with path.open("wb") as file:
        file.write(aedat3_text())
        for number in range(n_packets):
            words["t"] = number * gap_us
            file.write(aedat3_packet(1, words.tobytes(), 8))
    spans = [(start * gap_us, (start + 8) * gap_us) for start in range(0, n_packets, 8)]
    labels.write_text(HEADER + "".join(f"1,{start},{end}\n" for start, end in spans))
    tracemalloc.start()
    try:
        parts = read_file(DataFile(path, path.name, (path.name,), "train", None, labels))
        sizes = [part.events.t.size for part in parts]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert sizes == [8 * n_events] * len(spans)
    assert peak < 8_000_000 < path.stat().st_size
