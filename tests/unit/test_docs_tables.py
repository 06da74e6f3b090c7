"""Do the pages of docs/ that come from code say what the code says, and name what it counts?"""

from __future__ import annotations

import importlib
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from architecture_page import named_in, rows_of, section, widths_in

from neurochip.config import Experiment, load_experiment
from neurochip.config_precision import PrecisionTable
from neurochip.counters import COUNTER_KEYS, COUNTERS, PHASES, STALL_CAUSES
from neurochip.errors import UserError
from neurochip.microarch.interface import Gates
from neurochip.network.resolve import DEFAULT_LEARNING_RATE
from neurochip.tasks.prepare import DEFAULT_VALIDATION

BITS = PrecisionTable()
LANES, HISTORY_WORD = 16, 128  # of the default chip
VALUES: dict[
    str, tuple[int, ...]
] = {  # of the symbols of docs/microarchitecture.md, for 512-128-10 and the default rules
    "membrane.bits": (BITS.membrane.bits,),
    "weight.bits": (BITS.weight.bits,),
    "trace.bits": (BITS.trace.bits,),
    "error.bits": (BITS.error.bits,),
    "surrogate.bits": (BITS.surrogate.bits,),
    "readout.bits": (BITS.readout.bits,),
    "gradient.bits": (BITS.gradient.bits,),
    "delta.bits": (BITS.delta_bits,),
    "sb": (BITS.error.bits, BITS.delta_bits),
    "pb": (BITS.trace.bits, 1),
    "rb": (4,),
    "frac_e": tuple(range(25)),
    "⌈log2 C⌉": (4,),  # 10 classes
    "⌈log2 T⌉": (5,),  # 20 steps
    "L": (LANES,),
    "H": (HISTORY_WORD,),
}
WORDS: dict[str, tuple[int, ...]] = {
    "event word": (9 + BITS.event.bits, 7 + 1),  # 512 and 128 addresses
    "synapse word": (LANES * BITS.weight.bits,),
    "potential (readout: z) word": (LANES * BITS.membrane.bits, LANES * BITS.readout.bits),
    "potential word": (LANES * BITS.membrane.bits,),
    "z word": (LANES * BITS.readout.bits,),
    "Σz word": (LANES * (BITS.readout.bits + 5),),
    "trace word": (LANES * BITS.trace.bits,),
    "signal word": (LANES * BITS.error.bits, LANES * BITS.delta_bits),
    "ψ word": (LANES * BITS.surrogate.bits,),
    "g word": (LANES * BITS.error.bits,),
    "e word": (LANES * BITS.error.bits,),
    "δ word": (LANES * BITS.delta_bits,),
    "gradient word": (LANES * BITS.gradient.bits,),
    "word of m": (LANES * BITS.weight.bits, LANES * BITS.gradient.bits),
}


@pytest.fixture
def scripts(source_tree: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = source_tree / "scripts"
    monkeypatch.syspath_prepend(str(folder))
    return folder


@pytest.fixture
def script(scripts: Path) -> Any:
    return importlib.import_module("make_docs_tables")


@pytest.fixture
def counted(scripts: Path) -> Any:
    return importlib.import_module("docs_counted")


@pytest.fixture
def architecture(source_tree: Path) -> str:
    return (source_tree / "docs" / "microarchitecture.md").read_text(encoding="utf-8")


@pytest.fixture
def experiment_rows(source_tree: Path) -> list[list[str]]:
    """The cells of every key on docs/experiment.md."""
    text = (source_tree / "docs" / "experiment.md").read_text(encoding="utf-8")
    return [cells for cells in rows_of(text) if cells[0].startswith("`")]


def test_generated_parts_are_up_to_date(script: Any) -> None:
    for page, text in script.updated_pages().items():
        assert page.read_text(encoding="utf-8") == text, f"run scripts/make_docs_tables.py for {page.name}"


def test_a_stale_part_is_replaced_and_the_text_around_it_kept(script: Any) -> None:
    names = list(script.PAGES["counting.md"])
    stale = "\nbetween\n".join(f"{script.BEGIN.format(name=n)}\nstale row\n{script.END.format(name=n)}" for n in names)
    text = script.updated("counting.md", f"before\n{stale}\nafter\n")
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert text.count("\nbetween\n") == len(names) - 1
    assert "stale row" not in text
    assert all(text.count(f"| `{key}` |") == 1 for key in (*COUNTER_KEYS, *STALL_CAUSES, *PHASES))


def test_a_page_without_marks_is_refused(script: Any) -> None:
    with pytest.raises(ValueError, match="the marks of table counters are missing"):
        script.with_table("no marks", "counters", "")


@pytest.mark.parametrize("phase", PHASES)
def test_the_section_of_a_phase_names_the_counters_that_the_code_counts_in_it(
    counted: Any, architecture: str, phase: str
) -> None:
    kinds = {key for place, key in counted.counted_kinds() if place == phase and not key.startswith("dram_")}
    assert named_in(architecture, phase) == kinds


def test_the_section_of_a_phase_states_every_width_that_the_default_rules_count(
    counted: Any, architecture: str
) -> None:
    for (phase, key), by_widths in counted.default_counted().items():
        assert set(by_widths) <= widths_in(architecture, phase, key, VALUES, WORDS), (phase, key)


def test_the_section_of_dram_names_the_phases_whose_words_the_code_takes_from_there(
    counted: Any, architecture: str
) -> None:
    rows = [cells for cells in rows_of(section(architecture, "## 10. DRAM")) if cells[0] != "where"]
    named = [re.split(r"\W", cells[0])[0] for cells in rows]
    assert sorted(named) == sorted({phase for phase, key in counted.counted_kinds() if key.startswith("dram_")})


def test_counts_have_as_many_widths_as_their_counter_says(counted: Any) -> None:
    seen: dict[str, set[int]] = {}
    for part in (counted.default_counted(), *map(counted.option_counted, counted.OPTIONS)):
        for (_, key), by_widths in part.items():
            seen.setdefault(key, set()).update(map(len, by_widths))
    said = {counter.key: {len(names) for names in counter.widths} for counter in COUNTERS if counter.key in seen}
    assert seen == said


def test_every_symbol_of_a_chip_file_and_every_gate_has_a_row(script: Any) -> None:
    symbols = [cells[0] for cells in rows_of(script.symbol_table())][1:]
    assert symbols == ["L", "M", "H", "K", "D", "P", "F", "ρ(m)", "II(m)"]
    gates = [cells[0].strip("`") for cells in rows_of(script.gate_table())][1:]
    assert gates == list(vars(Gates()))


def _leaves(table: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def test_every_key_of_the_default_experiment_has_a_row_with_its_default(experiment_rows: list[list[str]]) -> None:
    defaults = {cells[0].strip("`"): cells[2].strip("`") for cells in experiment_rows}
    for key, value in _leaves(Experiment().to_tables()):
        said = tomllib.loads(f"value = {defaults[key] or '{}'}")["value"]  # a table of keys without a default is empty
        if key != "network.layers":  # whose defaults are in the tables of the layers
            assert said == value, key


def _key_names(schema: dict[str, Any]) -> set[str]:
    return {key for part in (schema, *schema["$defs"].values()) for key in part.get("properties", {})}


def test_every_key_of_every_table_has_a_row_that_says_what_it_is(experiment_rows: list[list[str]]) -> None:
    last = {cells[0].strip("`").rpartition(".")[2] for cells in experiment_rows}
    assert _key_names(Experiment.model_json_schema()) - set(Experiment.model_fields) - {"kind"} <= last
    assert all(len(cells) == 6 and cells[5].endswith(".") for cells in experiment_rows)


def test_a_value_past_a_range_is_refused_with_the_end_that_the_page_states(experiment_rows: list[list[str]]) -> None:
    ranges = [(cells[0].strip("`"), re.fullmatch(r"(-?\d+) to (\d+)", cells[3])) for cells in experiment_rows]
    tried = 0
    for key, ends in ranges:
        table = key.partition(".")[0]
        if ends is None or table not in Experiment.model_fields or re.search("[A-Z]", key):
            continue
        for value, end in ((int(ends[1]) - 1, ends[1]), (int(ends[2]) + 1, ends[2])):
            tried += 1
            with pytest.raises(UserError, match=rf"{re.escape(key)} = {value} is not allowed.* {end}\b"):
                load_experiment(None, [f"{key}={value}"])
    assert tried > 50


def test_defaults_that_are_decided_elsewhere_are_the_ones_the_page_states(experiment_rows: list[list[str]]) -> None:
    said = {cells[0].strip("`"): cells[5] for cells in experiment_rows}
    assert f"omitted, {DEFAULT_LEARNING_RATE:g}." in said["learning.learning_rate"]
    assert f", {DEFAULT_VALIDATION:g} if omitted" in said["task.validation"]
