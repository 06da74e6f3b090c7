"""Does following the advice of a diagnosis gain accuracy, whatever limits the run, and does a healthy run get none?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from neurochip import experiment as story
from neurochip.config import load_experiment
from neurochip.diagnosis.of_run import diagnose_run

BASE = ("learning.epochs=3",)
LEAST_GAIN = 0.01


def layers(threshold: float) -> str:
    return f'network.layers=[{{kind="dense", neurons=128, threshold={threshold}}}, {{kind="readout"}}]'


def learned(folder: Path, overrides: tuple[str, ...]) -> tuple[float, dict[str, Any]]:
    """Test accuracy of a run on digits-dvs, and its diagnosis."""
    report = story.learn(load_experiment(None, [*BASE, *overrides]), base_dir=folder, out=folder / "run")
    (result,) = diagnose_run(folder / "run")["results"]
    return report.result("ottt-o")["accuracy"]["test"], result


@pytest.mark.parametrize(
    ("cause", "overrides"),
    [
        ("rounding", ("precision.weight.rounding=nearest", "learning.learning_rate=0.03")),
        ("saturation", ("precision.membrane.frac=14",)),
        ("saturation", ("precision.weight.frac=9", "run.seed=2")),
        ("saturation", ("precision.error.frac=9",)),
        ("resolution", ("precision.membrane.bits=10",)),
        ("resolution", ("precision.error.bits=4", "run.seed=2")),
        ("dead neurons", (layers(3.0),)),
    ],
    ids=["nearest", "membrane", "weight", "error", "membrane-bits", "error-bits", "dead"],
)
def test_following_the_advice_gains_a_point(
    tmp_path_factory: pytest.TempPathFactory, cause: str, overrides: tuple[str, ...]
) -> None:
    before, result = learned(tmp_path_factory.mktemp("before"), overrides)
    assert result["advice"] is not None
    assert result["advice"]["cause"] == cause
    after, _ = learned(tmp_path_factory.mktemp("after"), (*overrides, *result["advice"]["overrides"]))
    print(f"\n{cause}: {100 * before:.2f} to {100 * after:.2f} %")
    assert after - before >= LEAST_GAIN


@pytest.mark.parametrize("overrides", [(), ("learning.rule=bptt", "run.seed=2")], ids=["ottt-o", "bptt"])
def test_a_healthy_run_gets_no_advice(tmp_path: Path, overrides: tuple[str, ...]) -> None:
    run = story.learn(load_experiment(None, [*BASE, *overrides]), base_dir=tmp_path, out=tmp_path / "run")
    assert run.data["results"][0]["accuracy"]["test"] > 0.87
    (result,) = diagnose_run(tmp_path / "run")["results"]
    assert result["advice"] is None
