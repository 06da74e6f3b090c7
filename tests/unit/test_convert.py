"""Does `convert` bring recordings, images and sounds into an event file, whole or not at all?"""

from __future__ import annotations

import gzip
import io
import json
import struct
import tarfile
import wave
import zipfile
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

from neurochip import event_writer
from neurochip.convert import Converted, ConvertOptions, convert
from neurochip.convert_options import read_options
from neurochip.encoding.registry import make_encoder
from neurochip.errors import UserError
from neurochip.event_file import read_recordings
from neurochip.event_writer import EventWriter
from neurochip.events import Recordings, write_recordings
from neurochip.readers.recording import ReadOptions
from neurochip.tasks import load_task
from neurochip.tasks.splits import hold_out

Events = list[tuple[int, int, int, int]]


def draw(seed: int, n: int = 40, size: tuple[int, int, int] = (34, 34, 2)) -> np.ndarray:
    """Events as rows x, y, p, t with ascending times."""
    rng = np.random.default_rng(seed)
    x, y, p = (rng.integers(0, high, n) for high in size)
    return np.stack([x, y, p, np.sort(rng.integers(0, 300_000, n))], axis=1)


def nmnist(events: np.ndarray) -> bytes:
    x, y, p, t = events.T
    return np.stack([x, y, (p << 7) | (t >> 16), (t >> 8) & 255, t & 255], axis=1).astype(np.uint8).tobytes()


def put(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def nmnist_tree(
    root: Path, classes: Sequence[str] = ("3", "7"), each: int = 3
) -> dict[tuple[str, str], list[np.ndarray]]:
    """Recordings in the layout of N-MNIST."""
    made: dict[tuple[str, str], list[np.ndarray]] = {}
    for split in ("Train", "Test"):
        for name in classes:
            found = [draw(len(made) * 100 + index) for index in range(each)]
            made[split, name] = found
            for index, events in enumerate(found):
                put(root / split / name / f"{index:05}.bin", nmnist(events))
    return made


def rows(recordings: Recordings, index: int) -> list[list[int]]:
    events = recordings.sample(index)
    return [[int(e["x"]), int(e["y"]), int(e["p"]), int(e["t"])] for e in events]


def run(source: Path, out: Path, **options: object) -> Converted:
    read = options.pop("read", ReadOptions())
    return convert(source, out, ConvertOptions(read=read, **options))  # type: ignore[arg-type]


@pytest.mark.parametrize("buffer", [1, 55, 1 << 18])
def test_every_event_comes_back_in_its_split_and_class(tmp_path, monkeypatch, buffer) -> None:
    monkeypatch.setattr(event_writer, "BUFFER_EVENTS", buffer)
    made = nmnist_tree(tmp_path / "in")
    done = run(tmp_path / "in", tmp_path / "out.h5", read=ReadOptions(chunk_events=7))
    assert done.splits == {"test": (6, 240), "train": (6, 240)}
    assert (done.sensor_size, done.class_names, done.n_classes) == ((34, 34, 2), None, 2)
    for split in ("Train", "Test"):
        found = read_recordings(tmp_path / "out.h5", split.lower())
        assert found.labels.tolist() == [3, 3, 3, 7, 7, 7]
        expected = [events.tolist() for name in ("3", "7") for events in made[split, name]]
        assert [rows(found, index) for index in range(6)] == expected


def test_what_is_converted_converts_to_itself(tmp_path) -> None:
    nmnist_tree(tmp_path / "in")
    run(tmp_path / "in", tmp_path / "once.h5")
    run(tmp_path / "once.h5", tmp_path / "twice.h5")
    for split in ("train", "test"):
        once, twice = (read_recordings(tmp_path / name, split) for name in ("once.h5", "twice.h5"))
        assert once.sha256() == twice.sha256()


def test_the_same_input_gives_the_same_bytes(tmp_path) -> None:
    nmnist_tree(tmp_path / "in")
    for name in ("a.h5", "b.h5"):
        run(tmp_path / "in", tmp_path / name)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_words_are_numbered_in_order_and_their_names_kept(tmp_path) -> None:
    nmnist_tree(tmp_path / "in", ("zebra", "ant", "10"))
    done = run(tmp_path / "in", tmp_path / "out.h5")
    assert done.class_names == ("10", "ant", "zebra")
    assert read_recordings(tmp_path / "out.h5", "train").labels.tolist() == [0] * 3 + [1] * 3 + [2] * 3
    with h5py.File(tmp_path / "out.h5") as file:
        assert list(file.attrs["class_names"]) == ["10", "ant", "zebra"]


def npy(events: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, events[:, [3, 0, 1, 2]])
    return stream.getvalue()


def poker(tmp_path: Path, form: str) -> Path:
    """Recordings in the layout of POKER-DVS, as archives."""
    for split in ("pips_train", "pips_test"):
        members = {
            f"{split}/{name}/{index}.npy": npy(draw(index, 30, (35, 35, 2)))
            for name in ("cl", "he")
            for index in range(2)
        }
        members |= {f"{split}/README.txt": b"text", f"{split}/._x": b"?"}
        (tmp_path / "in").mkdir(exist_ok=True)
        if form == "zip":
            with zipfile.ZipFile(tmp_path / "in" / f"{split}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
                for name, content in members.items():
                    archive.writestr(name, content)
        else:
            with tarfile.open(tmp_path / "in" / f"{split}.tar.gz", "w:gz") as tar:
                for name, content in members.items():
                    member = tarfile.TarInfo(name)
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))
    return tmp_path / "in"


PIPS = ReadOptions(sensor_size=(35, 35, 2), columns="txyp")


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
    from neurochip import convert_sources

    monkeypatch.setattr(convert_sources, "FREE_BYTES", 1000)
    monkeypatch.setattr(convert_sources, "COPY_BYTES", 1000)
    with zipfile.ZipFile(tmp_path / "train.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("1/bomb.npy", bytes(10**7))
    with pytest.raises(UserError, match=r"train\.zip expands to more than \d+ bytes, 200 times its size"):
        run(tmp_path / "train.zip", tmp_path / "out.h5")


@pytest.mark.parametrize("name", ["train.zip", "train.tar.gz"])
def test_a_broken_archive_is_refused(tmp_path, name) -> None:
    put(tmp_path / name, b"\x1f\x8b\x08nothing")
    with pytest.raises(UserError, match=rf"{name} is damaged or no archive"):
        run(tmp_path / name, tmp_path / "out.h5")


def idx(values: np.ndarray) -> bytes:
    return struct.pack(">HBB", 0, 8, values.ndim) + struct.pack(f">{values.ndim}I", *values.shape) + values.tobytes()


def mnist(folder: Path, n: int = 30) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Images and labels in the files of MNIST."""
    made = {}
    for split, prefix, suffix in (("train", "train", ".gz"), ("test", "t10k", "")):
        rng = np.random.default_rng(len(split))
        images, labels = rng.integers(0, 256, (n, 5, 4), dtype=np.uint8), rng.integers(0, 3, n, dtype=np.uint8)
        for name, values in ((f"{prefix}-images-idx3-ubyte", images), (f"{prefix}-labels-idx1-ubyte", labels)):
            content = idx(values)
            put(folder / f"{name}{suffix}", gzip.compress(content) if suffix else content)
        made[split] = images, labels
    return made


def test_images_become_what_the_encoder_makes_of_them(tmp_path) -> None:
    made = mnist(tmp_path / "in")
    done = run(tmp_path / "in", tmp_path / "out.h5", encoder="direct", parameters={"bits": "3", "steps": "2"})
    assert (done.sensor_size, done.window_us) == ((4, 5, 1), (0, 1999))
    encoder = make_encoder("direct", "images", {"bits": "3", "steps": "2"})
    for split, (images, labels) in made.items():
        found = read_recordings(tmp_path / "out.h5", split)
        assert found.labels.tolist() == labels.tolist()
        for index, image in enumerate(images):
            events = encoder.encode([image], [np.random.default_rng(0)])[0]
            assert rows(found, index) == np.stack(events, axis=1).tolist()
    with h5py.File(tmp_path / "out.h5") as file:
        kept = json.loads(file.attrs["encoding"])
    assert kept == {"encoder": "direct", "bits": 3, "steps": 2, "step_us": 1000, "seed": 1}


def test_magnitudes_of_the_direct_code_reach_the_network(tmp_path) -> None:
    images, _ = mnist(tmp_path / "in")["test"]
    run(tmp_path / "in", tmp_path / "out.h5", encoder="direct", parameters={"bits": "3", "steps": "2"})
    settings = SimpleNamespace(
        name="events-h5", path="out.h5", steps=2, repeat="count", classes=None, sensor_size=None, crop=None,
        validation=None, event_bits=3,
    )  # fmt: skip
    counts = load_task(settings, tmp_path, 1).test.counts()
    np.testing.assert_array_equal(counts, 2 * np.rint(images.reshape(30, -1) * (7 / 255)))


def test_a_seed_decides_what_is_drawn(tmp_path) -> None:
    mnist(tmp_path / "in", 6)
    found = []
    for index, seed in enumerate((1, 1, 2)):
        run(tmp_path / "in", tmp_path / f"{index}.h5", encoder="rate", seed=seed)
        found.append(read_recordings(tmp_path / f"{index}.h5", "train").sha256())
    assert found[0] == found[1] != found[2]


def wav(samples: np.ndarray, rate_hz: int = 8000) -> bytes:
    stream = io.BytesIO()
    with wave.open(stream, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(samples.astype("<i2").tobytes())
    return stream.getvalue()


def test_sounds_become_what_the_filter_bank_makes_of_them(tmp_path) -> None:
    for split in ("train", "test"):
        for name, frequency in (("low", 300), ("high", 2000)):
            samples = np.round(9000 * np.sin(2 * np.pi * frequency * np.arange(1600) / 8000))
            put(tmp_path / "in" / split / name / "a.wav", wav(samples))
    done = run(tmp_path / "in", tmp_path / "out.h5", parameters={"bands": "10"})
    assert (done.sensor_size, done.class_names) == ((10, 1, 2), ("high", "low"))
    encoder = make_encoder("filter-bank", "sounds", {"bands": "10"})
    events = encoder.encode(samples.astype(np.int32) << 16, 8000)
    assert rows(read_recordings(tmp_path / "out.h5", "test"), 0) == np.stack(events, axis=1).tolist()


def test_a_test_split_is_cut_from_the_only_one_as_validation_splits_are(tmp_path) -> None:
    made = nmnist_tree(tmp_path / "in", ("a", "b"), each=7)
    out = tmp_path / "out.h5"
    done = run(tmp_path / "in" / "Train", out, split_fraction=0.3, seed=9)
    everything = [events.tolist() for name in ("a", "b") for events in made["Train", name]]
    kept, held = hold_out(np.repeat([0, 1], 7), 0.3, 9)
    assert len(held) == 4
    assert done.splits["train"][0], done.splits["test"][0] == (10, 4)
    for split, chosen in (("train", kept), ("test", held)):
        found = read_recordings(out, split)
        assert [rows(found, index) for index in range(len(chosen))] == [everything[index] for index in chosen]
        assert found.labels.tolist() == np.repeat([0, 1], 7)[chosen].tolist()


def test_a_test_split_is_cut_from_one_file_of_many_recordings(tmp_path) -> None:
    labels = np.tile([4, 5], 10)
    ones = np.ones(20, np.int64)
    whole = Recordings(ones, ones, ones, np.arange(20), np.arange(21), labels, (5, 5, 2))
    write_recordings(tmp_path / "in.h5", {"train": whole})
    run(tmp_path / "in.h5", tmp_path / "out.h5", split_fraction=0.2)
    kept, held = hold_out(labels, 0.2, 1)
    assert read_recordings(tmp_path / "out.h5", "test").t.tolist() == held.tolist()
    assert read_recordings(tmp_path / "out.h5", "train").t.tolist() == kept.tolist()


def test_the_limit_is_of_every_class_and_split(tmp_path) -> None:
    made = nmnist_tree(tmp_path / "in")
    assert run(tmp_path / "in", tmp_path / "out.h5", limit=2).splits == {"test": (4, 160), "train": (4, 160)}
    found = read_recordings(tmp_path / "out.h5", "test")
    assert found.labels.tolist() == [3, 3, 7, 7]
    assert rows(found, 3) == made["Test", "7"][1].tolist()


def broken(tmp_path: Path) -> Path:
    """A tree in which one recording of the class 3 breaks off after some events, larger than the writer's buffer."""
    nmnist_tree(tmp_path / "in", each=4)
    events = draw(77, 4500)
    events[4400:, 3] = 5  # back in time
    return put(tmp_path / "in" / "Train" / "3" / "00001.bin", nmnist(events))


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


def test_progress_adds_up_to_the_size_of_the_input(tmp_path) -> None:
    source = poker(tmp_path, "tar.gz")
    seen: list[tuple[str, int]] = []

    class Listen:
        def message(self, text: str) -> None: ...
        def begin(self, key: str, label: str, total: int) -> None:
            seen.append(("total", total))

        def end(self, key: str) -> None:
            seen.append(("end", 0))

        def advance(self, key: str, amount: int, text: str = "") -> None:
            seen.append(("advance", amount))

    convert(source, tmp_path / "out.h5", ConvertOptions(read=PIPS), Listen())
    assert seen[0] == ("total", sum(path.stat().st_size for path in source.iterdir()))
    assert sum(amount for what, amount in seen if what == "advance") == seen[0][1]
    assert seen[-1] == ("end", 0)


def refused(tmp_path: Path, **options: object) -> str:
    with pytest.raises(UserError) as caught:
        run(tmp_path / "in", tmp_path / "out.h5", **options)
    assert not (tmp_path / "out.h5").exists()
    assert not list(tmp_path.glob(".*"))
    return str(caught.value)


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
