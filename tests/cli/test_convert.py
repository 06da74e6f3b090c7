"""Does `neurochip convert` make event files that `neurochip learn` takes, and say in one sentence what is wrong?"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from neurochip.event_file import read_recordings

from .conftest import Command

TINY = (
    *("--set", "task.name=events-h5", "--set", 'network.layers=[{kind="readout"}]', "--set", "learning.epochs=1"),
    *("--set", "task.steps=5", "--set", "run.activity_samples=2", "--set", "run.calibration_samples=4", "--quiet"),
)


def recording(seed: int, n: int = 60) -> bytes:
    """N-MNIST events."""
    rng = np.random.default_rng(seed)
    x, y, p = (rng.integers(0, high, n) for high in (34, 34, 2))
    t = np.sort(rng.integers(0, 300_000, n))
    return np.stack([x, y, p << 7 | t >> 16, t >> 8 & 255, t & 255], axis=1).astype(np.uint8).tobytes()


def image(seed: int, pixels: int = 5) -> bytes:
    levels = np.random.default_rng(seed).integers(0, 256, pixels * 4, dtype=np.uint8)
    return b"P5 4 %d 255\n" % pixels + levels.tobytes()


@pytest.fixture
def tree(folder: Path) -> Path:
    """Ten recordings in the layout of N-MNIST."""
    for split, n in (("Train", 3), ("Test", 2)):
        for label in "38":
            for index in range(n):
                path = folder / "in" / split / label / f"{index:05}.bin"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(recording(index + 10 * n))
    (folder / "in" / "README.txt").write_text("what this is")
    return folder / "in"


def images(folder: Path) -> Path:
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            for index in range(4):
                path = folder / "in" / split / name / f"{index}.pgm"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(image(index))
    return folder / "in"


def test_a_folder_of_recordings_is_converted_and_learned(call: Command, tree: Path, folder: Path) -> None:
    done = call("convert", tree, "out.h5", "--quiet")
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines() == [
        "out.h5: sensor 34 x 34 x 2, 2 classes",
        "  train: 6 recordings, 360 events",
        "  test: 4 recordings, 240 events",
        "  files: 10 nmnist-bin",
        f"  not a recording, ignored: {tree / 'README.txt'}",
    ]
    learned = call("learn", "--set", "task.path=out.h5", *TINY, "--out", "run", "--json")
    assert learned.code == 0, learned
    assert json.loads(learned.out)["task"]["classes"] == [3, 8]


@pytest.mark.parametrize("encoder", ["rate", "latency", "direct"])
def test_images_are_encoded_and_learned(encoder: str, call: Command, folder: Path) -> None:
    words = ("--encoder", encoder) + (("--set", "bits=2", "--set", "steps=5") if encoder == "direct" else ())
    done = call("convert", images(folder), "out.h5", *words, "--quiet")
    assert (done.code, done.err) == (0, "")
    assert "  classes: 0 = cat, 1 = dog" in done.out.splitlines()
    count = ("--set", "task.repeat=count", "--set", "precision.event.bits=2") if encoder == "direct" else ()
    assert call("learn", "--set", "task.path=out.h5", *TINY, *count, "--out", "run").code == 0


def test_names_cannot_drive_the_terminal(start: Command, folder: Path) -> None:
    for split in ("train", "test"):
        for name in ("\x1b[31mred", "b\nlue"):
            path = folder / "in" / split / name / "0.bin"
            path.parent.mkdir(parents=True)
            path.write_bytes(recording(1))
    done = start("convert", "in", "out.h5")
    assert done.code == 0
    assert done.out.splitlines()[-1] == "  classes: 0 = \\x1b[31mred, 1 = b\\nlue"
    (folder / "in" / "train" / "b\nlue" / "1.bin").write_bytes(b"?")
    assert "train/b\\nlue/1.bin: " in start("convert", "in", "bad.h5", "--quiet").sentence()


def test_progress_goes_to_standard_error_and_can_be_silenced(start: Command, tree: Path) -> None:
    done = start("convert", tree, "out.h5")
    assert done.code == 0
    assert done.err.splitlines()[-1] == "converting in: 10 recordings, 100%"
    assert start("convert", tree, "silent.h5", "--quiet").err == ""


def test_the_seed_and_the_limit_are_those_asked_for(call: Command, folder: Path) -> None:
    source = images(folder)
    for name, seed in (("a", 1), ("b", 2), ("c", 1)):
        assert call("convert", source, f"{name}.h5", "--seed", str(seed), "--limit", "3", "--quiet").code == 0
    found = {name: read_recordings(folder / f"{name}.h5", "train").sha256() for name in "abc"}
    assert found["a"] == found["c"] != found["b"]
    assert read_recordings(folder / "a.h5", "train").n_samples == 6


def test_what_is_damaged_is_named_or_left_out(call: Command, tree: Path, folder: Path) -> None:
    path = tree / "Train" / "3" / "00001.bin"
    path.write_bytes(recording(5)[:-2])
    sentence = call("convert", tree, "out.h5", "--format", "nmnist-bin", "--quiet").sentence()
    assert sentence.startswith(f"{path}: ")
    assert not (folder / "out.h5").exists()
    done = call("convert", tree, "out.h5", "--format", "nmnist-bin", "--skip-damaged", "--quiet")
    assert (done.code, done.err) == (0, "")
    assert "  train: 5 recordings, 300 events" in done.out
    assert f"  left out: {sentence}" in done.out.splitlines()


def test_what_is_excluded_is_listed(call: Command, tree: Path, folder: Path) -> None:
    extra = tree / "more" / "3" / "0.bin"
    extra.parent.mkdir(parents=True)
    extra.write_bytes(recording(1))
    sentence = call("convert", tree, "out.h5", "--quiet").sentence()
    assert sentence == f"{extra}: lies outside of the splits test, train; --exclude more/3/0.bin leaves it out"
    done = call("convert", tree, "out.h5", "--exclude", "more/3/0.bin", "--exclude", "*.txt", "--quiet")
    assert (done.code, done.err) == (0, "")
    assert [line for line in done.out.splitlines() if "excluded" in line] == [
        f"  excluded: {tree / 'README.txt'}", f"  excluded: {extra}",
    ]  # fmt: skip
    assert "  files: 10 nmnist-bin" in done.out.splitlines()


BAD = {
    "missing": (("nowhere", "out.h5"), "nowhere does not exist; give a file or a folder"),
    "empty folder": (("empty", "out.h5"), "empty holds no recording, image or sound"),
    "no out folder": (("in", "no/out.h5"), "no/out.h5 cannot be written: the folder no does not exist"),
    "out exists": (("in", "exists.h5"), "exists.h5 exists; name another file, or remove it first"),
    "out is a folder": (("in", "empty"), "empty exists; name another file"),
    "unknown format": (("in", "out.h5", "--format", "aer"), "--format aer is unknown; allowed are aedat2, "),
    "wrong format": (("in", "out.h5", "--format", "wav"), "00000.bin: "),
    "unknown encoder": (("in", "out.h5", "--encoder", "rate"), "--encoder rate does not apply to recordings"),
    "unknown parameter": (("in", "out.h5", "--set", "steps=3"), "--set steps: recordings have no encoder"),
    "option of another format": (("in", "out.h5", "--set", "channel=0"), "channel = 0 does not apply to nmnist-bin"),
    "no value": (("in", "out.h5", "--set", "steps"), "--set steps must be KEY=VALUE"),
    "sensor of two": (("in", "out.h5", "--sensor-size", "3,4"), "--sensor-size = [3, 4] must be three integers"),
    "small sensor": (("in", "out.h5", "--sensor-size", "3,4,2"), "00000.bin: "),
    "fraction of all": (("in", "out.h5", "--split-fraction", "1"), "--split-fraction 1.0 must be a number between"),
    "fraction is none": (("in", "out.h5", "--split-fraction", "nan"), "--split-fraction nan must be a number between"),
    "two splits to cut": (("in", "out.h5", "--split-fraction", "0.2"), "is of the split test; --split-fraction is"),
    "one split": (("in/Train", "out.h5"), "the splits train and test are needed, and there is none"),
    "one file": (("in/Train/3/00000.bin", "out.h5", "--split-fraction", "0.5"), "nothing names its class"),
    "no limit": (("in", "out.h5", "--limit", "0"), "--limit 0 must be 1 or more"),
    "excludes nothing": (("in", "out.h5", "--exclude", "in"), "--exclude in: no file or folder below in has this"),
    "negative seed": (("in", "out.h5", "--seed", "-1"), "--seed -1 must be 0 to"),
    "an experiment": (("exists.h5", "out.h5"), "exists.h5: "),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_ends_in_one_sentence_and_leaves_nothing(name: str, call: Command, tree: Path, folder: Path) -> None:
    (folder / "empty").mkdir()
    (folder / "exists.h5").write_text("mine")
    words, message = BAD[name]
    assert message in call("convert", *words).sentence()
    assert sorted(path.name for path in folder.iterdir()) == ["empty", "exists.h5", "in"]
    assert (folder / "exists.h5").read_text() == "mine"


def test_a_damaged_out_of_a_run_is_no_event_file(call: Command, tree: Path) -> None:
    assert call("convert", tree, "out.h5", "--quiet").code == 0
    content = Path("out.h5").read_bytes()
    Path("out.h5").write_bytes(content[: len(content) // 2])
    assert "out.h5: " in call("learn", "--set", "task.path=out.h5", *TINY, "--out", "run").sentence()
