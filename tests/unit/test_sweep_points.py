"""Points of a sweep: they are what `learn` finds, are kept, shared and computed again only where that is needed."""

from __future__ import annotations

import json
import re
from itertools import product
from pathlib import Path

import pytest
from sweep_request import BITS, ROUNDING, files_of, results_of, sweep_tiny
from tiny_experiment import run_tiny, tiny_tables, write_tiny_task

from neurochip._data import data_folder
from neurochip.config import parse_experiment
from neurochip.errors import UserError
from neurochip.setup import chip_of
from neurochip.sweep import point as point_module
from neurochip.sweep.keys import configuration, point_key, simulation_key
from neurochip.sweep.point import compute_points


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the tiny task."""
    write_tiny_task(tmp_path)
    return tmp_path


@pytest.mark.parametrize("rule", ["ottt-o", "bptt", "infer"])
def test_a_point_is_what_learn_reports(rule: str, folder: Path) -> None:
    (point,) = sweep_tiny(folder, "out", f"learning.rule={rule}")
    (found,) = results_of([point])
    expected = run_tiny(folder, folder / "run", [rule], verb="learn").result(rule)
    assert found["accuracy"] == {key: expected["accuracy"][key] for key in ("test", "validation", "train")}
    assert found["energy_pj"] == expected["per_sample"]["energy_pj"]["total"]
    assert found["energy_inference_pj"] == expected["per_sample_inference"]["energy_pj"]["total"]
    assert found["latency_cycles"] == expected["per_sample"]["cycles"]
    assert found["area_mm2"] == expected["area_mm2"]["total"]
    assert found["footprint_bits"] == expected["footprint_bits"]["total"]
    assert found["formats"] == expected["formats"]
    numerics = expected["numerics"]
    assert {signal: sum(counts) for signal, counts in found["saturation"].items()} == numerics["saturation"]
    assert sum(found["underflow"]["error"]) == numerics["underflow"]["error"]
    shares = [share for share in found["saturation_share"].values() if share is not None]
    assert all(0 <= share <= 1 for share in shares)


def test_the_float_twin_has_an_accuracy_and_no_cost(folder: Path) -> None:
    points = sweep_tiny(folder, "out", "precision.arithmetic=fixed,float")
    fixed, real = results_of(points)
    twin = run_tiny(folder, folder / "run", ["ottt-o"], verb="learn").result("ottt-o", "float")
    assert (real["arithmetic"], real["accuracy"]["test"]) == ("float", twin["accuracy"]["test"])
    assert (fixed["energy_pj"] is None, real["energy_pj"]) == (False, None)


def test_a_rerun_computes_nothing_and_leaves_every_byte(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = (folder, "out", f"{BITS}=4,8", f"{ROUNDING}=floor,stochastic")
    first = sweep_tiny(*asked, seeds="1,2")
    before = files_of(folder / "out")
    assert len([name for name in before if name.startswith("points/")]) == 8

    def refuse(*_: object) -> None:
        raise AssertionError("a point was computed again")

    monkeypatch.setattr(point_module, "_learned", refuse)
    assert sweep_tiny(*asked, seeds="1,2") == first
    assert files_of(folder / "out") == before


def test_only_points_that_are_missing_or_damaged_are_computed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = sweep_tiny(folder, "out", f"{BITS}=3:8")
    before = files_of(folder / "out")
    places = [folder / "out" / "points" / f"{point.key}.json" for point in first]
    places[0].unlink()
    places[1].write_bytes(places[1].read_bytes()[:100])
    places[2].write_text(places[2].read_text().replace('"bits": 5', '"bits": 6'))
    places[3].write_text(places[5].read_text())
    places[4].write_text(places[4].read_text().replace(first[4].key or "", "0" * 64))  # of another version
    learned: list[int] = []
    learn = point_module._learned
    monkeypatch.setattr(
        point_module, "_learned", lambda setup, rule: learned.append(setup.spec(rule).weight_bits) or learn(setup, rule)
    )
    sweep_tiny(folder, "out", f"{BITS}=3:8")
    assert learned == [3, 4, 5, 6, 7]
    assert files_of(folder / "out") == before


def test_an_unknown_file_among_the_points_is_left_alone(folder: Path) -> None:
    (folder / "out" / "points").mkdir(parents=True)
    (folder / "out" / "points" / "note.json").write_text("{}")
    sweep_tiny(folder, "out", f"{BITS}=4")
    assert (folder / "out" / "points" / "note.json").read_text() == "{}"
    assert len(list((folder / "out" / "points").iterdir())) == 2


def test_a_folder_of_something_else_is_refused(folder: Path) -> None:
    with pytest.raises(UserError, match="holds no sweep; give a new or empty folder"):
        sweep_tiny(folder, ".", f"{BITS}=4")


def test_points_that_differ_in_price_alone_are_simulated_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    learned: list[str] = []
    learn = point_module._learned
    monkeypatch.setattr(
        point_module, "_learned", lambda setup, rule: learned.append(setup.chip.name) or learn(setup, rule)
    )
    axes = {"chip.overflow": ("grow", "dram"), "chip.gate_zero_trace": ("true", "false")}
    together = results_of(sweep_tiny(folder, "together", *(f"{key}={a},{b}" for key, (a, b) in axes.items())))
    assert len(learned) == 1
    assert len({result["energy_pj"] for result in together}) > 1
    alone = []
    for index, values in enumerate(product(*axes.values())):
        one = [f"{key}={value}" for key, value in zip(axes, values, strict=True)]
        alone += results_of(sweep_tiny(folder, f"alone-{index}", *one))
    assert len(learned) == 5
    assert alone == together


def test_chips_with_words_of_other_widths_are_simulated_each() -> None:
    def names(**changes: object) -> tuple[str, str]:
        experiment = parse_experiment(tiny_tables(**changes), "the test")
        chip = chip_of(experiment)
        configured = configuration(experiment, chip)
        return point_key(configured), simulation_key(configured, chip)

    point, simulation = names()
    assert names() == (point, simulation)
    assert names(run__name="other") == (point, simulation)
    assert names(chip__overflow="dram")[0] != point
    assert names(chip__overflow="dram")[1] == simulation
    assert names(chip__name="reckon-28nm")[1] != simulation
    assert names(run__seed=4)[1] != simulation


def test_a_changed_chip_file_is_another_point(folder: Path) -> None:
    packaged = data_folder("hw_models") / "chips" / "ottt-core-28nm.toml"
    chip = folder / "chip.toml"
    chip.write_text(packaged.read_text())
    base = {"chip__name": "chip.toml"}
    (before,) = sweep_tiny(folder, "out", f"{BITS}=4", base=base)
    changed = chip.read_text().replace("lanes = 16", "lanes = 8", 1)
    assert changed != chip.read_text()
    chip.write_text(changed)
    (after,) = sweep_tiny(folder, "out", f"{BITS}=4", base=base)
    assert after.key != before.key
    assert results_of([after])[0]["latency_cycles"] != results_of([before])[0]["latency_cycles"]
    kept = json.loads((folder / "out" / "points" / f"{after.key}.json").read_text())
    assert kept["configuration"]["experiment"]["chip"]["name"] == "chip.toml"


def test_a_point_that_fails_is_kept_with_its_error_and_the_others_run(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    points = sweep_tiny(folder, "out", "learning.batch=1,2", "learning.rule=ottt-o,ottt-a")
    assert [point.computed.error is not None for point in points] == [False, False, True, False]
    kept = json.loads((folder / "out" / "points" / f"{points[2].key}.json").read_text())
    assert kept["result"] is None
    assert kept["error"] == points[2].computed.error
    assert kept["error"].startswith("learning.batch = 2 is not allowed with learning.rule = 'ottt-o'")
    row = (folder / "out" / "sweep.csv").read_text().splitlines()[3]
    assert row.startswith(f"{points[2].key[:16]},2,ottt-o,3,,")
    monkeypatch.setattr(point_module, "rule_to_learn", None)  # a known failure is not tried again
    assert sweep_tiny(folder, "out", "learning.batch=1,2", "learning.rule=ottt-o,ottt-a") == points


def test_settings_that_are_no_experiment_are_a_failed_row(folder: Path) -> None:
    points = sweep_tiny(folder, "out", f"{BITS}=4,40")
    assert [point.key is None for point in points] == [False, True]
    assert points[1].computed.error is not None and "precision.weight.bits = 40" in points[1].computed.error
    assert len(list((folder / "out" / "points").iterdir())) == 1


def test_a_bug_in_one_point_is_its_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(error: Exception) -> None:
        def learn(*_: object) -> None:
            raise error

        monkeypatch.setattr(point_module, "_learned", learn)

    fails(ZeroDivisionError("by\nzero"))
    (done,) = compute_points([tiny_tables()], str(folder))
    assert (done.error, done.is_lasting) == ("ZeroDivisionError: by zero", True)
    fails(MemoryError())
    (done,) = compute_points([tiny_tables()], str(folder))
    assert not done.is_lasting


def test_data_that_come_later_are_used(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none of 1 points could be computed.*tiny\.h5"):
        sweep_tiny(tmp_path, "out", f"{BITS}=4")
    write_tiny_task(tmp_path)
    results_of(sweep_tiny(tmp_path, "out", f"{BITS}=4"))


def test_a_chip_that_the_network_does_not_fit_fails_by_itself(folder: Path) -> None:
    packaged = (data_folder("hw_models") / "chips" / "ottt-core-28nm.toml").read_text()
    small = re.sub(r"bank_words = \d+", "bank_words = 1", packaged)
    small = re.sub(r'overflow = "\w+"', 'overflow = "refuse"', small)
    (folder / "small.toml").write_text(small)
    points = sweep_tiny(folder, "out", "chip.name=small.toml,ottt-core-28nm")
    assert points[0].computed.error is not None
    assert str(folder) not in points[0].computed.error
    results_of(points[1:])


def test_a_base_whose_learning_rate_is_searched_is_refused(folder: Path) -> None:
    with pytest.raises(UserError, match=r"run\.tune = true is not allowed in a sweep"):
        sweep_tiny(folder, "out", f"{BITS}=4", base={"run__tune": True})
