"""Do the float twins of a sweep stand beside its points, once for all that differ in formats and chip alone?"""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny_experiment as tiny
from sweep_request import BITS, results_of, sweep_tiny

from neurochip.errors import UserError
from neurochip.sweep.request import parse_request, settings_of
from neurochip.sweep.summary import summary_of

ARITHMETIC, RULE, CHIP = "precision.arithmetic", "learning.rule", "chip.name"


def test_one_twin_for_all_formats_and_chips_and_one_per_rule() -> None:
    sweeps = [f"{BITS}=4,6", f"{RULE}=ottt-o,bptt-o", f"{CHIP}=ottt-core-28nm,ottt-mesh-28nm"]
    points = settings_of(parse_request(sweeps, seeds="1,2", twin=True), tiny.tiny_experiment())
    fixed = [point for point in points if point[ARITHMETIC] == "fixed"]
    twins = [point for point in points if point[ARITHMETIC] == "float"]
    assert len(fixed) == 16
    assert points == fixed + twins
    assert [(twin[RULE], twin["run.seed"]) for twin in twins] == [
        ("ottt-o", 1),
        ("ottt-o", 2),
        ("bptt-o", 1),
        ("bptt-o", 2),
    ]
    assert {(twin[BITS], twin[CHIP]) for twin in twins} == {(None, None)}
    assert {tuple(point) for point in points} == {(ARITHMETIC, BITS, RULE, CHIP, "run.seed")}


def test_the_points_are_those_of_a_sweep_without_twins(tmp_path: Path) -> None:
    tiny.write_tiny_task(tmp_path)
    alone = results_of(sweep_tiny(tmp_path, "alone", f"{BITS}=3,4"))
    with_twin = results_of(sweep_tiny(tmp_path, "twin", f"{BITS}=3,4", twin=True))
    assert with_twin[:2] == alone
    assert [result["arithmetic"] for result in with_twin] == ["fixed", "fixed", "float"]
    by_hand = results_of(sweep_tiny(tmp_path, "float", f"{BITS}=7", base={"precision__arithmetic": "float"}))
    assert with_twin[2]["accuracy"] == by_hand[0]["accuracy"]  # its formats are not looked at


@pytest.mark.parametrize(
    ("sweep", "options"),
    [
        (f"{BITS}=4", {"method": "optuna", "n_points": 2}),
        (f"{BITS}=4", {"method": "one-at-a-time", "start": "float"}),
        (f"{ARITHMETIC}=fixed,float", {}),
    ],
)
def test_sweeps_that_have_float_points_of_their_own_take_no_twins(sweep: str, options: dict[str, str | int]) -> None:
    with pytest.raises(UserError, match=r"--twin: is not allowed with .*; leave it out"):
        parse_request([sweep], twin=True, **options)


def test_a_float_experiment_has_no_twin() -> None:
    with pytest.raises(UserError, match=r"'float' is the float twin already; allowed is 'fixed'"):
        settings_of(parse_request([f"{BITS}=4"], twin=True), tiny.tiny_experiment(precision__arithmetic="float"))


def test_the_page_says_that_twins_stand_beside_the_points(tmp_path: Path) -> None:
    tiny.write_tiny_task(tmp_path)
    sweep_tiny(tmp_path, "out", f"{BITS}=3,4", twin=True, page=True)
    page = (tmp_path / "out" / "sweep.html").read_text(encoding="utf-8")
    assert f"{BITS} over 3, 4; all combinations, and their float twins; seed 3: 3 settings, 3 points." in page


def test_a_rule_that_does_not_learn_is_no_candidate_beside_those_that_do(tmp_path: Path) -> None:
    """It would always be the cheapest per learned sample, as it learns none on the chip."""
    tiny.write_tiny_task(tmp_path)
    points = sweep_tiny(tmp_path, "out", f"{RULE}=infer,ottt-o")
    summary = summary_of(points, tiny.tiny_experiment(), "grid")
    assert [setting["learns"] for setting in summary["settings"]] == [False, True]
    assert (summary["best"], summary["cheapest"], summary["front"]) == (1, 1, [1])
