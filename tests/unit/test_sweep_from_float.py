"""Sweeps that put one quantiser at a time into the float twin: their points, their table, and what they refuse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tiny_experiment as tiny
from sweep_request import results_of, sweep_tiny

from neurochip.core.float_formats import QUANTISERS
from neurochip.errors import UserError
from neurochip.rules.presets import find_rule
from neurochip.sweep.design import ONE_AT_A_TIME, signals_of
from neurochip.sweep.request import parse_request, settings_of

ARITHMETIC, QUANTISED = "precision.arithmetic", "precision.quantisers"
BITS, ROUNDING, ERROR = "precision.weight.bits", "precision.weight.rounding", "precision.error.bits"
FROM_FLOAT: dict[str, Any] = {"method": ONE_AT_A_TIME, "start": "float"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("from_float")
    tiny.write_tiny_task(found)
    return found


@pytest.mark.parametrize(
    ("rule", "without"),
    [
        ("ottt-o", {"delta", "gradient"}),
        ("ottt-a", {"delta"}),
        ("sltt-o", {"trace", "delta", "gradient"}),
        ("bptt-o", {"trace", "gradient"}),
        ("tbptt", {"trace"}),
        ("trace/local(2)/deferred(4)", {"delta"}),
        ("infer", {"surrogate", "trace", "error", "delta", "gradient"}),
    ],
)
def test_a_rule_has_its_signals(rule: str, without: set[str]) -> None:
    assert signals_of(find_rule(rule)) == tuple(name for name in QUANTISERS if name not in without)


def test_the_points_are_the_twin_each_quantiser_alone_and_the_fixed_experiment() -> None:
    points = settings_of(parse_request([], **FROM_FLOAT), tiny.tiny_experiment())
    names = [(point[ARITHMETIC], point[QUANTISED]) for point in points]
    signals = ("weight", "membrane", "surrogate", "trace", "error", "readout")
    assert names == [("float", []), *(("float", [name]) for name in signals), ("fixed", None)]
    assert {point["run.seed"] for point in points} == {3}


def test_swept_formats_vary_with_their_own_quantiser_alone() -> None:
    """Other signals keep the values of the experiment, of which the swept ones need not have one."""
    request = parse_request([f"{BITS}=4,6", f"{ROUNDING}=floor,nearest", f"{ERROR}=5"], seeds="1,2", **FROM_FLOAT)
    points = settings_of(request, tiny.tiny_experiment(learning__rule="sltt-o"))
    shown = [(point[QUANTISED], point[BITS], point[ROUNDING], point[ERROR]) for point in points[::2]]
    own = (8, "stochastic", 8)
    assert shown == [
        ([], *own),
        *((["weight"], bits, rounding, 8) for bits in (4, 6) for rounding in ("floor", "nearest")),
        (["membrane"], *own),
        (["surrogate"], *own),
        (["error"], 8, "stochastic", 5),
        (["readout"], *own),
        (None, *own),
    ]
    assert [point["run.seed"] for point in points] == [1, 2] * len(shown)
    assert len({tuple(point) for point in points}) == 1  # the same columns in the same order


def test_float32_stays_float32_and_ends_with_fixed_point() -> None:
    base = tiny.tiny_experiment(precision={"arithmetic": "float32", "quantisers": ["error"]})
    points = settings_of(parse_request([], **FROM_FLOAT), base)
    assert [point[ARITHMETIC] for point in points] == ["float32"] * 7 + ["fixed"]


def test_points_are_those_of_the_experiments_they_stand_for(folder: Path) -> None:
    """The quantisers reach the run: errors of two bits stop it from learning as the twin does, and nothing else."""
    base = {"learning__epochs": 4, "precision": {"error": {"bits": 2}}}
    points = sweep_tiny(folder, "sweep", base=base, **FROM_FLOAT)
    results = dict(zip([str(point.settings[QUANTISED]) for point in points], results_of(points), strict=True))
    fixed, twin = results.pop("None"), results["[]"]
    assert (fixed["arithmetic"], twin["arithmetic"]) == ("fixed", "float")
    assert fixed["energy_pj"] > 0 and all(result["energy_pj"] is None for result in results.values())
    assert len({point.key for point in points}) == len(points) == 8
    text = (folder / "sweep" / "sweep.csv").read_text(encoding="utf-8")
    assert text.splitlines()[0].split(",")[1:3] == [ARITHMETIC, QUANTISED]
    assert '"[""trace""]"' in text
    again = sweep_tiny(folder, "alone", "run.seed=3", base={**base, "precision": {
        "arithmetic": "float", "quantisers": ["error"], "error": {"bits": 2}}})  # fmt: skip
    assert results_of(again)[0] == results["['error']"]
    assert results["['error']"]["accuracy"] != twin["accuracy"]


@pytest.mark.parametrize(
    ("sweeps", "options", "sentence"),
    [
        ([f"{BITS}=4"], {"start": "float"}, "--from float: is not allowed with --method grid"),
        ([], {"start": "zero", "method": ONE_AT_A_TIME}, "--from zero: is not allowed with --method one-at-a-time"),
        ([], {"method": ONE_AT_A_TIME}, "--sweep is missing"),
        (["chip.name=odin-28nm"], FROM_FLOAT, "--sweep chip.name: cannot be varied with --from float"),
        (["precision.event.bits=2"], FROM_FLOAT, "--sweep precision.event.bits: cannot be varied with --from float"),
        (["precision.weight=4"], FROM_FLOAT, "--sweep precision.weight: cannot be varied with --from float"),
        ([f"{QUANTISED}=[]"], FROM_FLOAT, f"--sweep {QUANTISED}: cannot be varied with --from float"),
    ],
)
def test_requests_that_make_no_sense_are_refused(sweeps: list[str], options: dict[str, str], sentence: str) -> None:
    with pytest.raises(UserError, match=r".") as error:
        parse_request(sweeps, **options)
    assert sentence in str(error.value)


def test_a_signal_that_the_rule_does_not_have_is_refused(folder: Path) -> None:
    with pytest.raises(UserError, match=r"precision.delta.bits: cannot be varied with --from float: the rule ottt-o"):
        sweep_tiny(folder, "none", "precision.delta.bits=9", **FROM_FLOAT)
    assert not (folder / "none").exists()
