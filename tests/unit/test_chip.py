"""Are chip files complete, sourced, and refused with a clear sentence when they are wrong?"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from neurochip._data import data_folder
from neurochip.chip import Chip, list_chips, load_chip, load_technology
from neurochip.errors import UserError
from neurochip.technology import KINDS

MODELS = data_folder("hw_models")
FILES = sorted((*MODELS.glob("chips/*.toml"), *MODELS.glob("technology/*.toml")))
# Counts of hardware and coordinates of anchors; every other number must be a table with a source.
PLAIN_NUMBERS = {
    *("lanes", "trace_lanes", "scan_width", "history_word_bits", "div_cycles", "pipeline_latency_cycles"),
    *("banks", "bank_words", "read_latency_cycles", "node_nm", "width_bits", "macro_bits"),
    *("exponent_from_nm", "exponent_to_nm"),
    *("bus_bits", "latency_cycles"),
    *("columns", "rows", "link_bits", "hop_cycles", "barrier_cycles"),
}


def numbers(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any, dict[str, Any]]]:
    """Every number of a TOML file: its keys, itself, and the table that holds it."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items:
        if isinstance(item, dict | list):
            yield from numbers(item, (*path, str(key)))
        elif isinstance(item, int | float):
            yield (*path, str(key)), item, value


def edited(tmp_path: Path, old: str, new: str) -> Path:
    """The default chip with one text replaced, as a file."""
    text = (MODELS / "chips" / "ottt-core-28nm.toml").read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "mine.toml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return path


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_number_has_value_unit_source_and_kind(path: Path) -> None:
    found = list(numbers(tomllib.loads(path.read_text(encoding="utf-8"))))
    assert len(found) > 20
    for keys, _, table in found:
        if keys[-1] in PLAIN_NUMBERS or "widths" in keys:
            continue
        assert keys[-1] in ("value", "low", "high"), keys
        assert {"value", "unit", "source", "kind"} <= set(table) <= {"value", "unit", "source", "kind", "low", "high"}
        assert len(table["source"]) > 5, keys
        assert table["kind"] in KINDS, keys


def test_provenance_lists_every_number_of_both_files() -> None:
    chip = load_chip("ottt-core-28nm")
    stated = [
        item
        for path in (Path(chip.file), Path(chip.technology.file))
        for keys, item, _ in numbers(tomllib.loads(path.read_text(encoding="utf-8")))
        if keys[-1] == "value"
    ]
    assert sorted(entry.value for entry in chip.provenance) == sorted(map(float, stated))
    keys = [entry.key for entry in chip.provenance]
    assert len(set(keys)) == len(keys)
    assert "technology.logic.register[40 nm, 1 bits].energy" in keys
    assert "clock" in keys


def test_chips_are_named_after_their_files_and_can_be_loaded() -> None:
    assert "ottt-core-28nm" in list_chips()
    for name in list_chips():
        assert load_chip(name).name == name


def test_default_chip_holds_both_reference_networks() -> None:
    memories = load_chip("ottt-core-28nm").memories
    # 2312-128-4, words of 16, rows + bias row: 2313 * 8 + 129 * 1 (512-128-10 needs 513 * 8 + 129).
    words = 2313 * 8 + 129
    assert memories["synapse"].words >= words
    assert memories["gradient"].words >= words
    assert memories["history"].words * 128 >= 20 * (2312 + 128 * 5 + 4 * 8)
    assert memories["trace"].words >= -(-2312 // 16) + 128 // 16
    assert memories["neuron"].words >= 128 // 16 + 1
    assert memories["error"].words >= 2 * (128 // 16 + 1)


def test_a_chip_cannot_be_changed() -> None:
    chip = load_chip("ottt-core-28nm")
    with pytest.raises(ValueError, match="frozen"):
        chip.__setattr__("lanes", 8)


def test_unknown_chip_lists_the_known_ones() -> None:
    with pytest.raises(UserError, match=r"chip 'nope' is unknown; known are .*ottt-core-28nm"):
        load_chip("nope")
    with pytest.raises(UserError, match=r"chip file .*nope\.toml does not exist"):
        load_chip("nope.toml")
    with pytest.raises(UserError, match=r"technology '3nm' is unknown; known are .*28nm"):
        load_technology("3nm")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("lanes = 16", "lanse = 16", "lanse is an unknown key, and lanes is missing"),
        ("lanes = 16", 'lanes = "16"', "lanes: '16' is no number; allowed is a number without quotes"),
        ("value = 150", 'value = "150"', r"clock\.value: '150' is no number"),
        ("value = 150", "value = true", r"clock\.value: True is no number"),
        ('technology = "28nm"\n', "", "technology is missing; allowed is"),
        ('overflow = "refuse"', 'overflow = "refuse"\ncolour = "red"', "colour is an unknown key"),
        ("lanes = 16", "lanes = 0", "lanes is 0; input should be greater than or equal to 1"),
        (
            'kind = "model"',
            'kind = "guess"',
            r"clock\.kind is 'guess'; .*'measured', 'simulated', 'model' or 'assumed'",
        ),
        ('unit = "MHz"', 'unit = "GHz"', r"clock: unit is 'GHz'; allowed is 'MHz'"),
        ("value = 150", "value = 0", "clock: value is 0; allowed is a number above 0"),
        ("[memories.trace]", "[memories.traces]", "memories: memory 'traces' is unknown; allowed are event_fifo"),
        ('ports = "1rw"', 'ports = "2rw"', r"memories\.synapse\.ports is '2rw'"),
        ("[dram]\nbus_bits = 64", "[dram]\nwidth = 64", "dram.width is an unknown key, and dram.bus_bits is missing"),
        ("[dram]\nbus_bits = 64", "[dram]", "dram.bus_bits is missing"),
        ('overflow = "refuse"', 'file = "x"', "file is an unknown key"),
        ("lanes = 16", "lanes = ", "cannot be read as TOML"),
        ('technology = "28nm"', "technology = 28", "technology is 28; allowed is"),
    ],
)
def test_a_wrong_chip_file_is_refused_by_name_key_and_value(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = edited(tmp_path, old, new)
    with pytest.raises(UserError, match=message) as caught:
        load_chip(path)
    assert str(path) in str(caught.value)


def test_a_technology_path_is_relative_to_the_chip_file(tmp_path: Path) -> None:
    path = edited(tmp_path, 'technology = "28nm"', 'technology = "tech/my.toml"')
    (tmp_path / "tech").mkdir()
    text = (MODELS / "technology" / "28nm.toml").read_text(encoding="utf-8")
    (tmp_path / "tech" / "my.toml").write_text(text.replace("node_nm = 28", "node_nm = 30", 1), encoding="utf-8")
    chip = load_chip(str(path))
    assert isinstance(chip, Chip)
    assert chip.technology.node_nm == 30
    assert chip.clock_mhz == 150
    assert chip.voltage_v == 0.9
    assert chip.fifo_depth == 16


def test_repeated_anchors_are_refused(tmp_path: Path) -> None:
    text = (MODELS / "technology" / "28nm.toml").read_text(encoding="utf-8")
    path = tmp_path / "twice.toml"
    path.write_text(text.replace("width_bits = 32", "width_bits = 8", 1), encoding="utf-8")
    with pytest.raises(UserError, match=r"twice\.toml: logic\.add: two anchors have the same node_nm and width_bits"):
        load_technology(path)


def test_data_folder_looks_inside_the_package_first_and_beside_it_second(tmp_path: Path) -> None:
    package = tmp_path / "neurochip"
    package.mkdir()
    with pytest.raises(FileNotFoundError, match="hw_models"):
        data_folder("hw_models", package)
    (tmp_path / "hw_models").mkdir()
    assert data_folder("hw_models", package) == tmp_path / "hw_models"
    (package / "hw_models").mkdir()
    assert data_folder("hw_models", package) == package / "hw_models"
    with pytest.raises(ValueError, match="unknown"):
        data_folder("secrets", package)


def test_a_chip_that_overflows_to_dram_says_how_dram_is_reached(tmp_path: Path) -> None:
    path = edited(tmp_path, 'overflow = "refuse"', 'overflow = "dram"')
    assert load_chip(path).overflow == "dram"
    text = path.read_text(encoding="utf-8")
    begin, end = text.index("[dram]"), text.index("[voltage]")
    path.write_text(text[:begin] + text[end:], encoding="utf-8")
    with pytest.raises(UserError, match='overflow is "dram", which needs the table dram with bus_bits'):
        load_chip(path)
