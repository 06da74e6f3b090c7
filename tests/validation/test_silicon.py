"""Are the published figures reproduced, and would a wrong number be seen?"""

from __future__ import annotations

import copy
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from neurochip._data import data_folder
from neurochip.errors import UserError
from neurochip.silicon import Check, all_checks, summary
from neurochip.silicon.check import ROLES

HW_MODELS = data_folder("hw_models")
CHECKS = all_checks()
Path_ = tuple[str | int, ...]

# The numbers of the technology files that feed a check; in the files owned by the checks, all do.
LOGIC_KEYS = ("add", "mul", "shift", "rng")
SRAM_ANCHORS = {"28nm": {(22, 32), (22, 64), (22, 128), (32, 32), (32, 128)}, "45nm": {(45, 64)}}


def the(group: str, name: str, method: str) -> Check:
    (check,) = [c for c in CHECKS if (c.group, c.method) == (group, method) and c.name.startswith(name)]
    return check


def test_every_published_figure_is_reproduced_within_its_tolerance() -> None:
    assert [check for check in CHECKS if not check.holds] == []
    roles = summary(CHECKS).number
    assert all(roles[role] for role in ROLES)
    assert roles["prediction"] == 3
    assert roles["exact"] >= 100


def test_energies_of_reckon_from_cycles_and_mean_power() -> None:
    # By hand: 80/13 = 6.154 and 150/13 = 11.54 pJ/cycle; 42 nJ are 6825 cycles, an e-prop pass has 8704.
    operation = the("ReckOn", "energy of an operation", "calibrated")
    assert operation.predicted == pytest.approx(80 / 13, rel=1e-3)
    assert operation.error_percent == pytest.approx(16.1, abs=0.1)
    learning = the("ReckOn", "largest learning step", "calibrated")
    assert learning.predicted == pytest.approx((42e3 / (80 / 13) + 8704) * 150 / 13 * 1e-3, rel=1e-3)
    assert (learning.published, learning.role) == (178, "prediction")
    assert "24.7 events" in learning.name


def test_what_was_fitted_is_no_prediction() -> None:
    assert {c.role for c in CHECKS if c.name.startswith("largest inference step")} == {"fit"}
    assert {c.role for c in CHECKS if c.group == "ODIN" and c.method == "formula"} == {"fit"}
    assert the("ReckOn", "inference power", "calibrated").role == "calibration"
    assert the("ReckOn", "energy of an operation", "calibrated").role == "prediction"


def test_a_bound_holds_from_below_only() -> None:
    bound = Check("g", "n", 10, 5, "pJ", 0, "bound", "bottom-up", "s", "2nd")
    assert bound.holds
    assert not Check("g", "n", 10, 10.1, "pJ", 0, "bound", "bottom-up", "s", "2nd").holds
    assert not Check("g", "n", 10, 5, "pJ", 20, "prediction", "bottom-up", "s", "2nd").holds
    assert not Check("g", "n", 0, 1, "1", 0, "exact", "formula", "s", "RTL").holds
    assert Check("g", "n", 0, 0, "1", 0, "exact", "formula", "s", "RTL").holds


# ---- every number that feeds a check, made wrong ----------------------------------------------------------------


def numbers(value: Any, path: Path_ = ()) -> Iterator[tuple[Path_, float]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from numbers(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from numbers(item, (*path, index))
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield path, value


def feeds(file: str, table: dict[str, Any], path: Path_) -> bool:
    """Whether a number of a technology file feeds a check."""
    if "low" in path or "high" in path or "area" in path:
        return False  # bounds of a spread, and areas: energies alone are checked
    if path[0] == "node_nm":
        return file == "28nm"
    if path[0] == "logic":
        if path[1] in ("voltage", "node_exponent"):
            return file == "28nm" and path[-1] == "value"
        return file == "28nm" and path[1] in LOGIC_KEYS
    if path[:2] == ("sram", "macros"):
        anchor = table["sram"]["macros"][path[2]]
        return (anchor["node_nm"], anchor["macro_bits"]) in SRAM_ANCHORS[file]
    return False


def wrong(value: float, near: bool) -> list[float]:
    """The value times and divided by 1.5; for an integer also, if `near`, one more and one less."""
    if isinstance(value, int):
        found = {round(value * 1.5), round(value / 1.5), *([value + 1, value - 1] if near else [])}
        return sorted(found - {value})
    return [value * 1.5, value / 1.5]


def replaced(table: dict[str, Any], path: Path_, value: float) -> dict[str, Any]:
    changed = copy.deepcopy(table)
    place: Any = changed
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return changed


OWN = [f"silicon/{name}" for name in ("reckon", "odin", "loihi", "sram", "logic")] + ["chips/reckon-28nm"]
TECHNOLOGIES = [f"technology/{name}" for name in SRAM_ANCHORS]


@pytest.fixture
def hw_models(tmp_path: Path) -> Path:
    """A copy of the hardware models that a test may break."""
    return Path(shutil.copytree(HW_MODELS, tmp_path / "hw_models"))


def survives(hw_models: Path) -> bool:
    """Whether nothing is noticed: no failing check (exit code 1) and no refusal (exit code 2)."""
    try:
        return all(check.holds for check in all_checks(hw_models))
    except UserError:
        return False


def test_every_file_of_published_figures_is_read() -> None:
    assert {f"silicon/{path.stem}" for path in (HW_MODELS / "silicon").iterdir()} == {n for n in OWN if "silicon" in n}


@pytest.mark.slow
@pytest.mark.parametrize("name", OWN + TECHNOLOGIES)
def test_a_wrong_number_is_seen_wherever_it_is(name: str, hw_models: Path) -> None:
    file = hw_models / f"{name}.toml"
    table = tomllib.loads(file.read_text(encoding="utf-8"))
    places = [
        (path, value) for path, value in numbers(table) if name in OWN or feeds(name.partition("/")[2], table, path)
    ]
    unseen = []
    for path, value in places:
        # The node of an anchor that is 1 nm off moves a price by less than the error of its fit.
        for other in wrong(value, near=name in OWN):
            file.write_text(tomli_w.dumps(replaced(table, path, other)), encoding="utf-8")
            if survives(hw_models):
                unseen.append((*path, value, other))
    assert len(places) >= 5
    assert unseen == []


def test_the_copy_itself_holds(hw_models: Path) -> None:
    """Or the test above would see nothing but its own mistakes."""
    for name in OWN + TECHNOLOGIES:
        file = hw_models / f"{name}.toml"
        file.write_text(tomli_w.dumps(tomllib.loads(file.read_text(encoding="utf-8"))), encoding="utf-8")
    assert survives(hw_models)


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        ("silicon/reckon.toml", "[neuron_word]", "[neuron_words]", "neuron_word"),
        (
            "silicon/reckon.toml",
            "inference_power =",
            "power =",
            "reckon.toml: the published figure inference_power is missing",
        ),
        ("silicon/reckon.toml", "active = 44", "active = 47", "reckon.toml: steps.rows.1.*active is 47"),
        ("silicon/reckon.toml", "forward = {", "forward = { x_read = 1,", "forward has the keys x_read"),
        ("silicon/odin.toml", "virtual = 3\n", "", "odin.toml: cycles.events has keys"),
        ("silicon/sram.toml", "2kB = 0.54", "2MB = 0.54", "sram.toml: groups.1.*should match pattern"),
        ("silicon/logic.toml", 'technology = "28nm"', 'technology = "5nm"', "5nm.toml does not exist"),
        ("chips/reckon-28nm.toml", "[calibrated]", "[other]", "other is an unknown key"),
        ("silicon/loihi.toml", "[figures]", "[figures", "cannot be read as TOML"),
        ("silicon/logic.toml", "mul 8 bits, 45 nm", "mul of 8 bits", "should match pattern"),
        # Files that feed no check.
        ("technology/7nm.toml", "value = 5.57,", "value = -5.57,", r"7nm.toml: sram.macros.1.coeff.* is -5\.57"),
        ("chips/ottt-core-28nm.toml", "lanes = 16 ", "lanes = 0 ", "ottt-core-28nm.toml: lanes is 0"),
    ],
)
def test_a_broken_file_is_refused(file: str, old: str, new: str, words: str, hw_models: Path) -> None:
    path = hw_models / file
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(UserError, match=words):
        all_checks(hw_models)


def test_energies_that_are_left_out_of_the_chip_file_are_asked_for(hw_models: Path) -> None:
    path = hw_models / "chips" / "reckon-28nm.toml"
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    for key in ("calibrated", "clock_energy"):
        path.write_text(tomli_w.dumps({k: v for k, v in table.items() if k != key}), encoding="utf-8")
        with pytest.raises(UserError, match=f"{key} is missing"):
            all_checks(hw_models)


def test_the_page_shows_the_table_as_printed(source_tree: Path) -> None:
    from neurochip.cli.validate import HEADINGS, table_rows

    page = (source_tree / "docs" / "silicon.md").read_text(encoding="utf-8")
    shown = [index for index, heading in enumerate(HEADINGS) if heading not in ("source", "")]
    lines = [f"| {' | '.join(row[index] for index in shown)} |" for row in (HEADINGS, *table_rows(CHECKS))]
    assert [line for line in lines if line not in page.splitlines()] == []
    assert summary(CHECKS).sentence in page
