"""Do the $readmemh images hold the words of the memories as the tick model lays them out?"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from exported_runs import CASES, finished_runs

from neurochip.chip import load_chip
from neurochip.errors import UserError
from neurochip.export import Learned, export_files, load_learned
from neurochip.export.arrays import arrays_of
from neurochip.export.readmemh import pack, unpack
from neurochip.reference.clock.layout import Layout


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """Finished runs by network."""
    return finished_runs(tmp_path_factory.getbasetemp())


def parsed_image(path: Path) -> dict[int, int]:
    """Address -> word, as $readmemh reads a file: comments, addresses behind @, hexadecimal words."""
    words, address = {}, 0
    for token in re.sub(r"//[^\n]*", "", path.read_text(encoding="ascii")).split():
        if token.startswith("@"):
            address = int(token[1:], 16)
        else:
            words[address] = int(token, 16)
            address += 1
    return words


def region_rows(words: Mapping[int, int], memory: Mapping[str, Any], region: Mapping[str, Any]) -> list[list[int]]:
    """The rows of a region out of an image, by what the manifest says."""
    rows = []
    for row in range(region["rows"]):
        first = region["first_word"] + row * region["words_per_row"]
        numbers: list[int] = []
        for word in range(region["words_per_row"]):
            numbers += unpack(words[first + word], memory["number_bits"], memory["lanes"], memory["signed"])
        assert not any(numbers[region["columns"] :]), "columns behind the last one are 0"
        rows.append(numbers[: region["columns"]])
    return rows


@pytest.mark.parametrize(("network", "rule"), CASES)
def test_the_images_hold_the_words_of_the_tick_model(
    network: str, rule: str, runs: Mapping[str, Path], tmp_path: Path
) -> None:
    learned = load_learned(runs[network], rule)
    *images, manifest_path = export_files(learned, "readmemh", tmp_path / "out")
    manifest = json.loads(manifest_path.read_text(encoding="utf-8"))
    memories = manifest["memories"]
    assert {path.name for path in images} == {memory["file"] for memory in memories.values()}
    arrays = arrays_of(learned)
    layout = Layout(learned.spec, [rows.tolist() for rows in learned.weights], load_chip("ottt-core-28nm"))
    for name, memory in memories.items():
        words = parsed_image(tmp_path / "out" / memory["file"])
        assert sorted(words) == list(range(memory["words"]))
        assert max(words.values()) < 1 << memory["word_bits"]
        for region in memory["regions"]:
            rows = region_rows(words, memory, region)
            if name in ("synapse", "gradient"):
                there = layout.region(region["content"], region["layer"])
                assert (there.base, there.n_rows, there.row_words) == (
                    region["first_word"], region["rows"], region["words_per_row"]
                )  # fmt: skip
            if name == "synapse":
                assert rows == there.image()
            elif region["content"] == "velocity":
                assert rows == learned.velocities[region["layer"]][: len(rows)].tolist()
            elif name != "gradient":
                expected = arrays[name][region["layer"]][None] if "layer" in region else arrays[name][:, None]
                assert rows == expected.tolist()
            else:
                assert not np.any(rows)
    synapses = [layout.region("synapse", index) for index in range(len(learned.spec.layers))]
    assert memories["synapse"]["words"] == sum(region.n_words for region in synapses)
    assert ("gradient" in memories) == (network == "dense" and rule in ("bptt", "e-prop"))
    first = (tmp_path / "out" / "synapse.hex").read_text(encoding="ascii").splitlines()[1]
    assert first == "// column 0 of a word in its lowest bits, row by row, two's complement"


@pytest.mark.parametrize(("bits", "signed"), [(2, True), (5, False), (8, True), (24, True)])
def test_words_are_two_s_complement_with_column_0_lowest(bits: int, signed: bool) -> None:
    lowest, highest = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
    numbers = [lowest, highest, lowest + 1, 0, 1]
    assert unpack(pack(numbers, bits), bits, 5, signed) == numbers
    assert pack([1], bits) == 1
    assert pack([0, 1], bits) == 1 << bits


def test_a_column_minus_one_fills_its_bits_and_no_others() -> None:
    assert pack([3, -1, 0, 5], 4) == 0x50F3


def test_images_of_other_microarchitectures_are_refused(runs: Mapping[str, Path], tmp_path: Path) -> None:
    learned: Learned = replace(load_learned(runs["dense"], "ottt-o"), microarchitecture="ottt_mesh")
    with pytest.raises(UserError, match="only the memories of ottt_core have a word layout; allowed are npz and c"):
        export_files(learned, "readmemh", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert export_files(learned, "c", tmp_path / "out")
