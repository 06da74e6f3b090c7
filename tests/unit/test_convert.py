"""Does `convert` bring recordings, images and sounds into an event file, event by event?"""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from convert_inputs import PIPS, mnist, nmnist_tree, poker, put, refused, rows, run, wav

from neurochip import event_writer
from neurochip.convert import ConvertOptions, convert
from neurochip.encoding.registry import make_encoder
from neurochip.event_file import read_recordings
from neurochip.events import Recordings, write_recordings
from neurochip.readers.recording import ReadOptions
from neurochip.tasks import load_task
from neurochip.tasks.splits import hold_out


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


def test_the_window_of_an_event_file_is_kept(tmp_path) -> None:
    mnist(tmp_path / "in", 6)
    run(tmp_path / "in", tmp_path / "once.h5", encoder="latency", parameters={"duration_us": "700"})
    assert run(tmp_path / "once.h5", tmp_path / "twice.h5").window_us == (0, 699)
    once, twice = (read_recordings(tmp_path / name, "test") for name in ("once.h5", "twice.h5"))
    assert once.sha256() == twice.sha256()
    (tmp_path / "in").rename(tmp_path / "images")
    (tmp_path / "in").mkdir()
    (tmp_path / "twice.h5").rename(tmp_path / "in" / "a.h5")
    write_recordings(tmp_path / "in" / "b.h5", {"train": replace(once, window_us=None)})
    assert "b.h5: window_us = None differs from (0, 699)" in refused(tmp_path)


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
        validation=None, event_bits=3, download=False, transforms=None,
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
