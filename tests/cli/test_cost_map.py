"""`neurochip cost --map`: what it prints and writes, and how it refuses."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from .conftest import Command

SMALL = ("cost", "--network", "40-20-4", "--quiet", "--samples", "2", "--map")
AXES = ("--axis", "steps=2,8,4000", "--axis", "rate=0.05,0.2", "--set", "chip.overflow=refuse")


def test_it_prints_grids_borders_and_winners(call: Command) -> None:
    done = call(*SMALL, *AXES)
    assert done.code == 0
    text = " ".join(done.out.split())
    assert "a map of 6 points" in text
    assert "ottt-o over bptt-o: below 1 OTTT is cheaper, above 1 BPTT" in text
    assert "energy: T across, rate down" in text
    assert "Borders in T, ottt-a against bptt" in text
    assert "Cheapest in memory: of all rules" in text
    assert "does not fit is recorded" not in text  # the overflow mode is no axis here
    row = next(line.split() for line in done.out.splitlines() if line.startswith("0.05"))
    assert row[-1] == "x"
    assert text.index("Cheapest in energy") < text.index("energy: T across")
    assert '"OTTT 2.0 BPTT (1.7)" is to say' in text
    assert '"x": one of the two does not fit' in text
    assert "the ratio farthest from 1" in text
    assert "up to 2.1" not in text


def test_every_line_fits_80_columns(call: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    done = call(*SMALL, *AXES)
    assert done.code == 0
    assert all(len(line) <= 80 for line in done.out.splitlines())
    heads = [line for line in done.out.splitlines() if line.startswith(("ottt-o over bptt-o: below", '"OTTT'))]
    following = [done.out.splitlines()[done.out.splitlines().index(head) + 1] for head in heads]
    assert len(heads) == 3  # the table of borders stands there for both groups
    assert all(line.startswith("  ") for line in following)


def test_one_point_is_a_point(call: Command) -> None:
    assert "a map of 1 point\n" in call(*SMALL, "--axis", "steps=2").out


def test_the_base_is_in_the_words_of_the_axes(call: Command) -> None:
    done = call("cost", "--network", "6-4-2", "--quiet", "--samples", "1", "--map", "--rules", "ottt-o")
    base = " ".join(done.out.split()).partition(" base ")[2].partition(";")[0]
    assert base == (
        "T 20, rate 0.1, hidden width x1, steps with an error 0.6, trace bits 8, surrogate sigmoid, batch 1, "
        "overflow grow"
    )


def test_json_is_the_document_alone(call: Command) -> None:
    document = json.loads(call(*SMALL, *AXES, "--json", "--rules", "ottt-o,bptt-o").out)
    assert document["schema"] == "neurochip-map/1"
    assert document["name"] == "40-20-4"
    assert [rule["name"] for rule in document["rules"]] == ["ottt-o", "bptt-o"]
    assert {point["n_samples"] for point in document["points"]} == {2}


def test_a_folder_gets_the_document_the_rows_and_the_pictures(call: Command, folder: Path) -> None:
    printed = json.loads(call(*SMALL, *AXES, "--json", "--out", "map").out)
    assert sorted(path.name for path in (folder / "map").iterdir()) == [
        "map.csv", "map.json", "map.png", "map.svg", "moves.png", "moves.svg",
    ]  # fmt: skip
    assert json.loads((folder / "map" / "map.json").read_text(encoding="utf-8")) == printed
    with (folder / "map" / "map.csv").open(encoding="utf-8", newline="") as file:
        assert len(list(csv.DictReader(file))) == 6 * 6 * 4
    assert (folder / "map" / "map.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / "map" / "map.svg").read_text(encoding="utf-8").startswith("<svg")
    again = call(*SMALL, *AXES, "--out", "map")
    assert again.sentence() == "--out map: the folder is not empty; give a new or empty folder"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--axis", "size=3"), "--axis size: is not an axis"),
        (("--axis", "steps="), "--axis steps=: a value is missing"),
        (("--axis", "precision.trace.bits=99"), "--axis precision.trace.bits: precision.trace.bits = 99"),
        (
            ("--axis", "rate=0.1:0.2:0.3"),
            "--axis rate: 0.1:0.2:0.3 has 3 values; allowed is one, or one for the inputs",
        ),
        (("--axis", "steps=2,3", "--rate", "0.1,0.2,0.3"), "--rate has 3 values; allowed is one, or one for"),
        (("--rules", "ottt-oo"), "--network 40-20-4: run.rules: 'ottt-oo' is not a rule"),
        (("--steps", "0"), "--network 40-20-4: task.steps = 0 is not allowed"),
        (("--set", "learning.epochs=-1"), "--network 40-20-4 with --set: learning.epochs = -1 is not allowed"),
        (("--rules", "infer"), "--rules infer: learns nothing"),
        (("--rules", "magic"), "'magic' is not a rule"),
        (("--chip", "abacus"), "abacus"),
        (("--samples", "0", "--axis", "steps=2"), "--samples is 0"),
        (("--rates-of", "run"), "--rates-of cannot be given with --map"),
    ],
)
def test_bad_input_is_one_sentence_and_nothing_is_written(
    words: tuple[str, ...], sentence: str, call: Command, folder: Path
) -> None:
    assert sentence in call(*SMALL, *words, "--out", "map").sentence()
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("out", "sentence"),
    [
        ("file", "--out file: is a file; give a new or empty folder"),
        ("file/map", "--out file/map: cannot be written (Not a directory); give a writable folder"),
    ],
)
def test_a_folder_that_cannot_be_written_is_found_before_anything_is_priced(
    out: str, sentence: str, call: Command, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("the map was computed")

    monkeypatch.setattr("neurochip.cost_map.cost_map", fail)
    (folder / "file").write_text("kept", encoding="utf-8")
    assert call(*SMALL, *AXES, "--out", out).sentence() == sentence
    assert [(path.name, path.read_text(encoding="utf-8")) for path in folder.iterdir()] == [("file", "kept")]


def test_a_folder_is_not_left_behind_by_a_map_that_fails(call: Command, folder: Path) -> None:
    assert "has 3 values" in call(*SMALL, "--axis", "rate=0.1:0.2:0.3", "--out", "new/map").sentence()
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("words", [("--axis", "steps=2"), ("--out", "map")])
def test_options_of_a_map_need_the_map(words: tuple[str, ...], call: Command) -> None:
    done = call("cost", "--network", "40-20-4", *words)
    assert done.sentence() == f"{words[0]} is an option of a map; give --map with it"
