"""Does bad input end with exit code 2 and one sentence that helps, before anything is written?

Each sentence must hold the given parts: the file, the key, the value, and what is allowed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from neurochip._data import data_folder
from neurochip.events import Recordings, write_recordings

from .conftest import Command

MODELS = data_folder("hw_models")
Parts = tuple[str, ...]

SETTINGS: dict[str, tuple[str, Parts]] = {
    "unknown key": ("task.stepz=20", ("task.stepz", "20", "allowed", "steps", "repeat")),
    "unknown table": ("tusk.steps=20", ("tusk", "allowed", "task", "network", "precision")),
    "unknown key in a layer": (
        'network.layers=[{kind="dense",neurons=8,leak=1},{kind="readout"}]',
        ("network.layers.0.leak", "1", "allowed", "leak_shift", "leak_constant"),
    ),
    "unknown kind of layer": (
        'network.layers=[{kind="conv"},{kind="readout"}]',
        ("network.layers.0", "conv", "dense", "readout"),
    ),
    "too wide": ("precision.weight.bits=40", ("precision.weight.bits", "40", "16")),
    "too narrow": ("precision.weight.bits=1", ("precision.weight.bits", "1", "2")),
    "a fraction for an integer": ("precision.weight.bits=8.5", ("precision.weight.bits", "8.5", "whole number")),
    "a word for a number": ("task.steps=many", ("task.steps", "many", "whole number")),
    "a number for a table": ("precision.weight=3", ("precision.weight", "3")),
    "no steps": ("task.steps=0", ("task.steps", "0", "1")),
    "negative epochs": ("learning.epochs=-1", ("learning.epochs", "-1", "1")),
    "not a number": ("learning.learning_rate=nan", ("learning.learning_rate", "nan", "above 0")),
    "unknown rule": ("learning.rule=otttt", ("learning.rule", "otttt", "allowed", "ottt-o", "bptt")),
    "unknown rounding": ("precision.weight.rounding=up", ("precision.weight.rounding", "up", "floor", "stochastic")),
    "unknown task": ("task.name=mnist", ("task.name", "mnist", "allowed", "digits-dvs", "events-h5")),
    "unknown chip": ("chip.name=tpu", ("chip", "tpu", "ottt-core-28nm")),
    "class without samples": ("task.classes=[0, 1, 77]", ("digits-dvs", "task.classes", "77", "allowed")),
    "no equals sign": ("learning.epochs", ("--set", "learning.epochs", "KEY=VALUE")),
    "no key": ("=3", ("--set", "=3", "KEY=VALUE")),
    "a table inside a number": ("task.steps.x=3", ("task.steps", "3")),
}


def holds(sentence: str, parts: Parts) -> None:
    for part in parts:
        assert re.search(rf"(?<![\w.]){re.escape(part)}(?!\w)", sentence), f"{part!r} is not in: {sentence}"


def nothing_was_written(folder: Path) -> bool:
    return not (folder / "run").exists() and not (folder / "runs").exists()


@pytest.mark.parametrize("name", SETTINGS)
def test_a_bad_setting_is_one_sentence(name: str, call: Command, folder: Path) -> None:
    setting, parts = SETTINGS[name]
    if name == "a table inside a number":
        (folder / "mine.toml").write_text("[task]\nsteps = 3\n", encoding="utf-8")
        done = call("learn", "mine.toml", "--quiet", "--set", setting)
    else:
        done = call("learn", "--quiet", "--out", "run", "--set", setting)
    holds(done.sentence(), parts)
    assert nothing_was_written(folder)


FILES: dict[str, tuple[str, Parts]] = {
    "unknown key": ("[task]\nstepz = 20\n", ("mine.toml", "task.stepz", "20", "allowed", "steps")),
    "unknown table": ("[tusk]\nsteps = 20\n", ("mine.toml", "tusk", "allowed", "task")),
    "key outside its table": ("steps = 20\n", ("mine.toml", "steps", "20", "allowed", "task")),
    "width out of range": (
        "[precision]\nweight = { bits = 40 }\n",
        ("mine.toml", "precision.weight.bits", "40", "16"),
    ),
    "wrong type": ('[task]\nsteps = "20"\n', ("mine.toml", "task.steps", "20", "whole number")),
    "no steps": ("[task]\nsteps = 0\n", ("mine.toml", "task.steps", "0", "1")),
    "negative epochs": ("[learning]\nepochs = -3\n", ("mine.toml", "learning.epochs", "-3", "1")),
    "unknown rule": ('[learning]\nrule = "x"\n', ("mine.toml", "learning.rule", "x", "allowed", "ottt-o")),
    "broken TOML": ("[task\nsteps = 20\n", ("mine.toml", "TOML", "line 1")),
    "broken value": ("[task]\nsteps = \n", ("mine.toml", "TOML", "line 2")),
}


@pytest.mark.parametrize("name", FILES)
def test_a_bad_file_is_one_sentence(name: str, call: Command, folder: Path) -> None:
    text, parts = FILES[name]
    (folder / "mine.toml").write_text(text, encoding="utf-8")
    holds(call("learn", "mine.toml", "--quiet", "--out", "run").sentence(), parts)
    assert nothing_was_written(folder)


@pytest.mark.parametrize("content", [b"\x89HDF\r\n\x1a\n\xff\xfe", None], ids=["bytes that are no text", "missing"])
def test_an_experiment_that_cannot_be_read(content: bytes | None, call: Command, folder: Path) -> None:
    if content is not None:
        (folder / "mine.toml").write_bytes(content)
    holds(call("learn", "mine.toml", "--out", "run").sentence(), ("mine.toml", "TOML"))
    assert nothing_was_written(folder)


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (("compare", "--rules", "ottt-o,oops"), ("run.rules", "oops", "allowed", "ottt-o")),
        (("compare", "--rules", ""), ("run.rules", "allowed", "ottt-o")),
        (("compare", "--rules", "bptt,bptt"), ("run.rules", "bptt", "once")),
        (("learn", "--chip", "tpu"), ("tpu", "ottt-core-28nm")),
        (("learn", "--chip", "chips/mine.toml"), ("chips/mine.toml", "exist")),
        (("learn", "--engine", "quick"), ("engine", "quick", "allowed", "fast", "reference")),
        (("learn", "--resume", "missing"), ("missing", "run directory", "--resume")),
        (("learn", "--resume", "old", "--set", "task.steps=3"), ("--resume", "old", "--set", "allowed")),
        (("learn", "mine.toml", "--resume", "old"), ("--resume", "old", "experiment file")),
        (("compare", "--resume", "old", "--tune"), ("--resume", "old", "--tune")),
        (("compare", "--resume", "old", "--out", "new"), ("--resume", "old", "--out")),
        (("learn", "--rules", "bptt"), ("--rules", "neurochip learn --help")),
        (("learn", "a.toml", "b.toml"), ("b.toml", "neurochip learn --help")),
        (("learn", "--out"), ("--out", "argument")),
        (("lern",), ("lern", "neurochip --help")),
    ],
    ids=" ".join,
)
def test_a_bad_option_is_one_sentence(words: Parts, parts: Parts, call: Command, folder: Path) -> None:
    holds(call(*words).sentence(), parts)
    assert nothing_was_written(folder)


def test_a_line_break_in_a_name_stays_one_line(call: Command) -> None:
    holds(call("learn", "two\nlines.toml").sentence(), ("two lines.toml",))


@pytest.mark.parametrize("words", [("learn", "missing.toml"), ("learn", "--foo"), ("learn", "--set", "task.steps=0")])
def test_the_process_ends_with_code_2_and_the_sentence_of_the_function(
    words: Parts, start: Command, call: Command
) -> None:
    assert start(*words).sentence() == call(*words).sentence()


def test_a_bug_keeps_its_traceback(folder: Path, start: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    # A module of this name in the current folder shadows the real one, as a broken installation would.
    (folder / "tomllib.py").write_text("raise ZeroDivisionError('a bug')\n", encoding="utf-8")
    done = start("learn")
    assert done.code == 1
    assert "Traceback" in done.err
    assert done.err.rstrip().endswith("ZeroDivisionError: a bug")


@pytest.mark.parametrize("command", ["out", "resume"])
def test_a_folder_that_is_no_run_stays_untouched(command: str, call: Command, folder: Path, small: Path) -> None:
    (folder / "photos").mkdir()
    (folder / "photos" / "cat.jpg").write_bytes(b"cat")
    words = ("learn", small, "--quiet", "--out", "photos") if command == "out" else ("learn", "--resume", "photos")
    holds(call(*words).sentence(), ("photos", "run directory", f"--{command}"))
    assert [path.name for path in (folder / "photos").iterdir()] == ["cat.jpg"]
    assert (folder / "photos" / "cat.jpg").read_bytes() == b"cat"


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_file_where_the_run_directory_should_be(place: str, call: Command, folder: Path, small: Path) -> None:
    (folder / "file").write_bytes(b"mine")
    holds(call("learn", small, "--quiet", "--out", place).sentence(), (place, "--out"))
    assert (folder / "file").read_bytes() == b"mine"


def edited_chip(folder: Path, cut: str, technology_cut: str) -> Path:
    """The default chip and its technology as files, each without the parts that match a pattern."""
    text = (MODELS / "chips" / "ottt-core-28nm.toml").read_text(encoding="utf-8")
    text = text.replace('technology = "28nm"', 'technology = "mine-28nm.toml"')
    technology = (MODELS / "technology" / "28nm.toml").read_text(encoding="utf-8")
    for name, content, pattern in (("mine.toml", text, cut), ("mine-28nm.toml", technology, technology_cut)):
        rest, n_cut = re.subn(pattern, "", content) if pattern else (content, 1)
        assert n_cut > 0
        (folder / name).write_text(rest, encoding="utf-8")
    return folder / "mine.toml"


def test_an_unchanged_copy_of_the_chip_is_accepted(call: Command, folder: Path, small: Path) -> None:
    """The control of the tests below: what they cut is what is refused."""
    done = call("learn", small, "--quiet", "--chip", edited_chip(folder, "", ""), "--out", "run")
    assert (done.code, done.err) == (0, "")


def entry(name: str) -> str:
    """A pattern of every `[[logic.name]]` entry: its heading and the lines up to the next heading or comment."""
    return rf"\[\[logic\.{name}\]\]\n(?:[^\[#\n].*\n)+"


@pytest.mark.parametrize("operation", ["add", "mul", "shift", "rng", "lut", "register"])
def test_an_operation_without_a_price_is_refused_before_anything_is_written(
    operation: str, call: Command, folder: Path, small: Path
) -> None:
    chip = edited_chip(folder, "", entry(operation))
    sentence = call("learn", small, "--quiet", "--chip", chip, "--out", "run").sentence()
    holds(sentence, ("mine-28nm.toml", f"logic.{operation}"))
    assert nothing_was_written(folder)


@pytest.mark.parametrize("table", ["clock_energy"])
def test_a_chip_without_a_price_of_its_own_is_refused(table: str, call: Command, folder: Path, small: Path) -> None:
    chip = edited_chip(folder, rf"\[{table}\]\n(?:[^\[#\n].*\n)+", "")
    holds(call("learn", small, "--quiet", "--chip", chip, "--out", "run").sentence(), ("mine.toml", table))
    assert nothing_was_written(folder)


def test_a_chip_without_a_memory_the_rule_needs_is_refused(call: Command, folder: Path, small: Path) -> None:
    chip = edited_chip(folder, r"\[memories\.history\]\n(?:[^\[#\n].*\n)+", "")
    sentence = call("compare", small, "--quiet", "--chip", chip, "--out", "run").sentence()
    holds(sentence, ("mine.toml", "memories.history"))
    assert nothing_was_written(folder)


def test_a_network_that_does_not_fit_is_refused(call: Command, folder: Path) -> None:
    layers = 'network.layers=[{kind="dense",neurons=60000},{kind="readout"}]'
    settings = ("--set", layers, "--set", "run.calibration_samples=1", "--set", "task.steps=2")
    sentence = call("learn", "--quiet", "--out", "run", *settings).sentence()
    holds(sentence, ("ottt-core-28nm.toml", "memories.synapse", "32768", "words", "chip.overflow", "grow", "dram"))
    assert nothing_was_written(folder)


def recordings(labels: list[int], n_events: int = 4) -> Recordings:
    n = len(labels) * n_events
    columns = (np.arange(n) % 5, np.arange(n) % 4, np.arange(n) % 2, np.tile(np.arange(n_events) * 10, len(labels)))
    return Recordings(*columns, np.arange(len(labels) + 1) * n_events, np.array(labels), (5, 4, 2))


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


def relabel(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file["test/labels"][0] = 9


def remove_events(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file["train/x"]


def other_layout(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["images"] = np.zeros((3, 8, 8))


def other_splits(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file.move("train", "training")


DAMAGE: dict[str, tuple[Callable[[Path], object], Parts]] = {
    "missing": (Path.unlink, ("mine.h5", "task.path")),
    "truncated": (truncate, ("mine.h5",)),
    "not HDF5": (lambda path: path.write_text("x,y,t\n"), ("mine.h5", "HDF5")),
    "HDF5 of something else": (other_layout, ("mine.h5", "sensor_size", "task.sensor_size")),
    "other names of splits": (other_splits, ("mine.h5", "train", "training")),
    "no x": (remove_events, ("mine.h5", "train", "x")),
    "a test label never seen in training": (relabel, ("mine.h5", "test/labels", "9", "allowed", "2", "4")),
}


@pytest.fixture
def event_experiment(folder: Path) -> Path:
    """An experiment on recordings beside it, in another folder than the current one."""
    home = folder / "data"
    home.mkdir()
    write_recordings(home / "mine.h5", {"train": recordings([2, 4] * 10), "test": recordings([2, 4])})
    path = home / "events.toml"
    path.write_text(
        '[task]\nname = "events-h5"\npath = "mine.h5"\nsteps = 4\n'
        '[network]\nlayers = [{ kind = "dense", neurons = 4, leak_shift = 1 }, { kind = "readout" }]\n'
        "[learning]\nepochs = 1\n",
        encoding="utf-8",
    )
    return path


@pytest.mark.parametrize("name", DAMAGE)
def test_bad_recordings_are_one_sentence(name: str, call: Command, folder: Path, event_experiment: Path) -> None:
    damage, parts = DAMAGE[name]
    damage(event_experiment.parent / "mine.h5")
    holds(call("learn", event_experiment, "--quiet", "--out", "run").sentence(), parts)
    assert nothing_was_written(folder)


def test_a_declared_class_without_samples(call: Command, folder: Path, event_experiment: Path) -> None:
    done = call("learn", event_experiment, "--quiet", "--out", "run", "--set", "task.classes=[2, 4, 5]")
    holds(done.sentence(), ("mine.h5", "task.classes", "5", "allowed", "2", "4"))
    assert nothing_was_written(folder)


def test_undamaged_recordings_run_from_another_folder(call: Command, folder: Path, event_experiment: Path) -> None:
    """The control of the tests above: the same experiment is accepted, so each was refused for its damage."""
    done = call("learn", event_experiment, "--quiet", "--out", "run")
    assert (done.code, done.err) == (0, "")
    assert (folder / "run" / "report.json").is_file()
