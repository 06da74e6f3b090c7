"""Does `convert` write an event file whole or not at all, and say in one sentence what is wrong?"""

from __future__ import annotations

import gzip
import signal
import sys
import tarfile
import zipfile

import numpy as np
import pytest
from convert_inputs import PIPS, broken, draw, nmnist, nmnist_tree, npy, poker, put, refused, rows, run, wav

from neurochip import convert_files, event_writer
from neurochip.convert import convert
from neurochip.convert_items import EncodedSounds, Place
from neurochip.convert_options import read_options
from neurochip.encoding.registry import make_encoder
from neurochip.errors import UserError
from neurochip.event_file import read_recordings
from neurochip.event_writer import EventWriter
from neurochip.events import Recordings, write_recordings
from neurochip.readers.recording import RawSound, ReadOptions


@pytest.mark.parametrize("form", ["zip", "tar.gz"])
def test_archives_are_read_without_unpacking_them(tmp_path, form) -> None:
    done = run(poker(tmp_path, form), tmp_path / "out.h5", read=PIPS)
    assert done.splits == {"test": (4, 120), "train": (4, 120)}
    found = read_recordings(tmp_path / "out.h5", "train")
    assert found.labels.tolist() == [0, 0, 1, 1]
    assert rows(found, 3) == draw(1, 30, (35, 35, 2)).tolist()
    assert len(done.ignored) == 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out.h5"]


def test_an_archive_that_leads_out_of_itself_is_refused(tmp_path) -> None:
    for name in ("../../evil.npy", "/evil.npy", "a/../../evil.npy", "C:/evil.npy"):
        with zipfile.ZipFile(tmp_path / "train.zip", "w") as archive:
            archive.writestr(name, npy(draw(1)))
        with pytest.raises(UserError, match=r"train\.zip: the member '.*evil.npy' lies outside of the archive"):
            run(tmp_path / "train.zip", tmp_path / "out.h5", read=PIPS)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["train.zip"]


def test_an_archive_with_a_link_is_refused(tmp_path) -> None:
    with tarfile.open(tmp_path / "train.tar", "w") as tar:
        member = tarfile.TarInfo("a/link.npy")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(member)
    with pytest.raises(UserError, match=r"train\.tar: a/link\.npy is a link or device"):
        run(tmp_path / "train.tar", tmp_path / "out.h5")


def test_an_archive_that_expands_without_end_is_refused(tmp_path, monkeypatch) -> None:
    from neurochip import archives

    monkeypatch.setattr(archives, "FREE_BYTES", 1000)
    monkeypatch.setattr(archives, "COPY_BYTES", 1000)
    with zipfile.ZipFile(tmp_path / "train.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("1/bomb.npy", bytes(10**7))
    with pytest.raises(UserError, match=r"train\.zip expands to more than \d+ bytes, 200 times its size"):
        run(tmp_path / "train.zip", tmp_path / "out.h5")


@pytest.mark.parametrize("name", ["train.zip", "train.tar.gz"])
def test_a_broken_archive_is_refused(tmp_path, name) -> None:
    put(tmp_path / name, b"\x1f\x8b\x08nothing")
    with pytest.raises(UserError, match=rf"{name} is damaged or no archive"):
        run(tmp_path / name, tmp_path / "out.h5")


def test_a_damaged_recording_ends_the_conversion_and_leaves_nothing(tmp_path) -> None:
    path = broken(tmp_path)
    with pytest.raises(UserError) as caught:
        run(tmp_path / "in", tmp_path / "out.h5")
    assert str(caught.value).startswith(str(path))
    assert str(caught.value).count(str(path)) == 1
    assert [item.name for item in tmp_path.iterdir()] == ["in"]


@pytest.mark.parametrize("limit", [None, 3])
@pytest.mark.parametrize("buffer", [64, 1 << 18])
def test_a_damaged_recording_can_be_left_out(tmp_path, monkeypatch, buffer, limit) -> None:
    monkeypatch.setattr(event_writer, "BUFFER_EVENTS", buffer)
    path = broken(tmp_path)
    read = ReadOptions(chunk_events=1000)
    done = run(tmp_path / "in", tmp_path / "out.h5", skip_damaged=True, limit=limit, read=read)
    assert len(done.left_out) == 1
    assert str(path) in done.left_out[0]
    found = read_recordings(tmp_path / "out.h5", "train")
    assert found.labels.tolist() == [3, 3, 3] + [7] * (limit or 4)
    assert rows(found, 1) == draw(2).tolist()


def test_a_damaged_archive_member_is_called_by_its_name(tmp_path) -> None:
    source = poker(tmp_path, "zip")
    with zipfile.ZipFile(source / "pips_train.zip", "a") as archive:
        archive.writestr("pips_train/he/9.npy", npy(draw(3, 20, (35, 35, 2)))[:-50])
    name = f"{source / 'pips_train.zip'}:pips_train/he/9.npy"
    with pytest.raises(UserError) as caught:
        run(source, tmp_path / "out.h5", read=PIPS)
    assert str(caught.value).startswith(name)
    assert run(source, tmp_path / "out.h5", read=PIPS, skip_damaged=True).splits["train"][0] == 4


def test_an_interrupted_conversion_leaves_nothing(tmp_path) -> None:
    nmnist_tree(tmp_path / "in")

    class Stop:
        def message(self, text: str) -> None: ...
        def begin(self, key: str, label: str, total: int) -> None: ...
        def end(self, key: str) -> None: ...
        def advance(self, key: str, amount: int, text: str = "") -> None:
            if text.startswith("4 "):
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert(tmp_path / "in", tmp_path / "out.h5", listener=Stop())
    assert [item.name for item in tmp_path.iterdir()] == ["in"]


def test_a_signal_is_looked_for_after_every_recording(tmp_path, monkeypatch) -> None:
    one = np.ones(30, np.int64)
    whole = Recordings(one, one, one, np.arange(30), np.arange(31), one, (5, 5, 2))
    write_recordings(tmp_path / "in.h5", {"train": whole, "test": whole})
    taken = []

    def items_of(*arguments):
        for item in convert_files.items_of(*arguments):
            taken.append(item)
            if len(taken) == 5:
                signal.raise_signal(signal.SIGINT)
            yield item

    monkeypatch.setattr(sys.modules["neurochip.convert"], "items_of", items_of)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "in.h5", tmp_path / "out.h5", skip_damaged=True)
    assert len(taken) == 5
    assert [item.name for item in tmp_path.iterdir()] == ["in.h5"]


def test_what_cannot_be_converted_is_refused_in_one_sentence(tmp_path) -> None:
    assert "does not exist; give a file or a folder" in refused(tmp_path)
    (tmp_path / "in").mkdir()
    assert "holds no recording, image or sound" in refused(tmp_path)
    put(tmp_path / "in" / "train" / "1" / "a.dat", b"what is this?")
    assert "train/1/a.dat: the content is of no known format" in refused(tmp_path, split_fraction=0.5)
    assert "nothing in it could be read" in refused(tmp_path, skip_damaged=True, split_fraction=0.5)


def test_splits_and_classes_that_nothing_names_are_refused(tmp_path) -> None:
    put(tmp_path / "in" / "Train" / "1" / "a.bin", nmnist(draw(1)))
    assert "the splits train and test are needed, and there is train; --split-fraction 0.2" in refused(tmp_path)
    put(tmp_path / "in" / "Test" / "1" / "a.bin", nmnist(draw(2)))
    assert "is of the split test; --split-fraction is allowed where" in refused(tmp_path, split_fraction=0.2)
    put(tmp_path / "in" / "more" / "1" / "a.bin", nmnist(draw(2)))
    assert "in/more/1/a.bin: lies outside of the splits test, train" in refused(tmp_path)
    (tmp_path / "in" / "more" / "1" / "a.bin").unlink()
    put(tmp_path / "in" / "Train" / "b.bin", nmnist(draw(2)))
    assert "Train/b.bin: nothing names its class" in refused(tmp_path)


def test_sensors_that_differ_are_refused(tmp_path) -> None:
    for name, pixels in (("a", 4), ("b", 6)):
        for split in ("train", "test"):
            content = b"P5 4 %d 255\n" % pixels + bytes(4 * pixels)
            put(tmp_path / "in" / split / "1" / f"{name}.pgm", content)
    sentence = refused(tmp_path)
    assert "b.pgm: the sensor size (4, 6, 1) differs from (4, 4, 1) of" in sentence
    done = run(tmp_path / "in", tmp_path / "out.h5", skip_damaged=True)
    assert (done.splits["train"][0], len(done.left_out)) == (1, 2)


def test_a_sensor_size_that_nothing_says_is_asked_for(tmp_path) -> None:
    poker(tmp_path, "zip")
    sentence = refused(tmp_path, read=ReadOptions(columns="txyp"))
    assert "does not say the sensor size; --sensor-size W,H,P must give it" in sentence


def test_an_archive_that_breaks_off_can_be_left_out_from_there(tmp_path) -> None:
    path = poker(tmp_path, "tar.gz") / "pips_train.tar.gz"
    put(path, gzip.compress(gzip.decompress(path.read_bytes())[:4000]))
    assert f"{path} is damaged or no archive" in refused(tmp_path, read=PIPS)
    done = run(tmp_path / "in", tmp_path / "out.h5", read=PIPS, skip_damaged=True)
    assert (done.splits["train"][0], done.splits["test"][0], len(done.left_out)) == (2, 4, 1)


def test_kinds_do_not_mix(tmp_path) -> None:
    put(tmp_path / "in" / "train" / "1" / "a.wav", wav(np.arange(4000)))
    put(tmp_path / "in" / "test" / "1" / "a.bin", nmnist(draw(1)))
    assert "holds sounds, the files before it events; allowed is one kind" in refused(tmp_path)


def test_encoders_are_for_images_and_sounds(tmp_path) -> None:
    nmnist_tree(tmp_path / "in")
    assert "--encoder rate does not apply to recordings" in refused(tmp_path, encoder="rate")
    assert "--set steps: recordings have no encoder" in refused(tmp_path, parameters={"steps": "3"})


def test_the_writer_refuses_events_it_cannot_hold(tmp_path) -> None:
    one = np.array([1])
    with EventWriter(tmp_path / "out.h5", (4, 4, 1), (0, 10)) as writer:
        writer.begin("train")
        writer.append(one, one, one - 1, one + 4)
        for x, p, t, message in (
            (4, 0, 6, "x = 4 is outside the sensor size"),
            (-1, 0, 6, "x = -1 is outside"),
            (1, 1, 6, "p = 1 is outside"),
            (1, 0, 4, "t falls within the recording"),
            (1, 0, 11, "t runs from 11 to 11 microseconds; allowed is 0 to 10"),
        ):
            with pytest.raises(UserError, match=message):
                writer.append(one * x, one, one * p, one * t)
        with pytest.raises(UserError, match="t falls"):
            writer.append(np.array([1, 1]), np.array([1, 1]), np.array([0, 0]), np.array([7, 6]))
    assert list(tmp_path.iterdir()) == []


def test_options_of_readers_and_encoders_are_told_apart() -> None:
    read, parameters = read_options("wav", "34,34,2", ["channel=1", "sort=true", "bands=3"])
    assert read == ReadOptions(format="wav", sensor_size=(34, 34, 2), channel=1, sort=True)
    assert parameters == {"bands": "3"}
    for arguments, message in (
        (("waf", None, []), "--format waf is unknown; allowed are aedat2, "),
        ((None, "34,34", []), r"--sensor-size = \[34, 34\] must be three integers"),
        ((None, "a,b,2", []), "--sensor-size a,b,2 must be three integers W,H,P"),
        ((None, None, ["steps"]), "--set steps must be KEY=VALUE"),
        ((None, None, ["sort=yes"]), "--set sort=yes must be true or false"),
        ((None, None, ["channel=x"]), "--set channel=x must be an integer"),
        ((None, None, ["steps=1", "steps=2"]), "--set steps is given twice"),
    ):
        with pytest.raises(UserError, match=message):
            read_options(*arguments)


def test_a_sound_that_broke_off_is_forgotten() -> None:
    sounds = EncodedSounds("filter-bank", make_encoder("filter-bank", "sounds", {}))
    place = Place(0, "a.wav", "train", 1)
    part = RawSound(np.zeros(800, np.int32), 8000)
    assert list(sounds.add(place, part)) == []
    assert sounds.forget()
    assert list(sounds.flush()) == []
    assert list(sounds.add(place, part)) == []
    assert len(list(sounds.add(place, part))) == len(list(sounds.end_of_file())) == 1
