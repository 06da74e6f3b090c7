"""Does the public API run what it is asked to, on small and strange tasks too, and refuse what cannot run?"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import tiny_experiment as tiny
import tomli_w

import neurochip
from neurochip import experiment as story
from neurochip.report import load_schema

ONE_LAYER = [{"kind": "dense", "neurons": 4}, {"kind": "readout"}]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tiny.write_tiny_task(tmp_path)
    return tmp_path


def small_tables(folder: Path, **changes: Any) -> dict[str, Any]:
    tables: dict[str, Any] = tiny.tiny_tables(
        task__path=str(folder / "tiny.h5"), network__layers=ONE_LAYER, learning__epochs=1, **changes
    )
    return tables


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = "import sys, neurochip; print([m for m in ('numpy', 'numba', 'h5py', 'pydantic') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_tables_and_a_file_give_the_same_report(folder: Path) -> None:
    tables = small_tables(folder)
    by_tables = neurochip.learn(tables, out=folder / "a")
    place = folder / "elsewhere"
    place.mkdir()
    tables["task"]["path"] = "../tiny.h5"  # relative to the experiment file
    (place / "experiment.toml").write_text(tomli_w.dumps(tables), encoding="utf-8")
    by_file = neurochip.learn(place / "experiment.toml", out=str(folder / "b"))
    assert by_file.data == by_tables.data
    assert (folder / "a" / "report.json").read_bytes() == (folder / "b" / "report.json").read_bytes()


def test_rules_and_overrides_reach_the_run(folder: Path) -> None:
    report = neurochip.compare(
        small_tables(folder), rules=["sltt-o", "ottt-o"], overrides=["run.seed=8", "precision=float"], out=folder / "a"
    )
    assert [result["rule"] for result in report.results] == ["sltt-o", "ottt-o"]
    assert report.data["experiment"]["run"]["seed"] == 8
    assert report.result("sltt-o", "float")["precision"] == "float"
    with pytest.raises(KeyError, match="sltt-o, fixed"):
        report.result("sltt-o")


@pytest.mark.parametrize("rule", ["sltt-o", "ottt-o", "bptt-o"])
def test_learning_at_every_step_with_a_batch_is_refused(rule: str, folder: Path) -> None:
    before = sorted(folder.iterdir())
    with pytest.raises(
        neurochip.UserError, match=rf"learning.batch = 2 .*learning.rule = '{rule}'.*sltt, ottt-a, bptt"
    ):
        neurochip.learn(small_tables(folder, learning__batch=2, learning__rule=rule), out=folder / "a")
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize("rule", ["infer", "sltt", "ottt-a", "bptt"])
def test_other_rules_take_a_batch_even_one_larger_than_the_epoch(rule: str, folder: Path) -> None:
    report = neurochip.learn(small_tables(folder, learning__batch=64, learning__rule=rule), out=folder / "a")
    jsonschema.validate(report.data, load_schema())


def test_an_unknown_engine_is_refused(folder: Path) -> None:
    with pytest.raises(neurochip.UserError, match="engine = 'slow' is not allowed; allowed are fast, reference"):
        tiny.run_tiny(folder, folder / "a", engine="slow")


STRANGE: dict[str, tuple[dict[str, int], tuple[int, ...], dict[str, Any]]] = {
    "one class": ({"train": 5, "validation": 2, "test": 2}, (4,), {}),
    "one class of several": (tiny.SPLITS, (2, 4, 7), {"task__classes": [4]}),
    "no validation split": ({"train": 1, "test": 2}, (4,), {}),
    "a validation split cut from the training samples": ({"train": 9, "test": 3}, (2, 4, 7), {"task__validation": 0.4}),
    "the only training sample has no event": ({"train": 1, "validation": 1, "test": 1}, (4,), {}),
    "one step": (tiny.SPLITS, (2, 4, 7), {"task__steps": 1}),
    "more steps than microseconds": (
        dict.fromkeys(tiny.SPLITS, 3),
        (2, 4, 7),
        {"task__steps": 5000, "chip__overflow": "grow"},
    ),
    "no hidden layer": (tiny.SPLITS, (2, 4, 7), {"network__layers": [{"kind": "readout"}]}),
    "one neuron": (tiny.SPLITS, (2, 4, 7), {"network__layers": [{"kind": "dense", "neurons": 1}, {"kind": "readout"}]}),
    "counts": (tiny.SPLITS, (2, 4, 7), {"task__repeat": "count", "precision__event__bits": 4}),
    "more calibration and recorded samples than there are": (
        tiny.SPLITS, (2, 4, 7), {"run__calibration_samples": 999, "run__activity_samples": 999}
    ),
    "mixed loss": (tiny.SPLITS, (2, 4, 7), {"learning__mse_share": 0.3}),
}  # fmt: skip


@pytest.mark.parametrize("name", STRANGE)
def test_a_strange_task_runs_and_its_report_follows_the_schema(name: str, tmp_path: Path) -> None:
    sizes, classes, changes = STRANGE[name]
    tiny.write_tiny_task(tmp_path, sizes, classes)
    tables = {"network__layers": ONE_LAYER, "learning__epochs": 1, **changes}
    report = tiny.run_tiny(tmp_path, tmp_path / "run", ["infer", "ottt-o", "bptt"], **tables)
    jsonschema.validate(report.data, load_schema())
    for result in report.results:
        if name.startswith(("one class", "no validation")):
            assert result["accuracy"]["test"] == 1.0  # there is one class to choose from
        assert (result["accuracy"]["validation"] is None) == (name == "no validation split")
        if result["precision"] == "fixed":
            assert result["per_sample"]["energy_pj"]["total"] > 0


def test_without_a_validation_split_no_epoch_reaches_a_target(tmp_path: Path) -> None:
    tiny.write_tiny_task(tmp_path, {"train": 1, "test": 1}, (4,))
    report = tiny.run_tiny(tmp_path, tmp_path / "run", ["ottt-o"], run__target_accuracy=0.1)
    assert report.result("ottt-o")["energy_to_accuracy"]["epoch"] is None
    with pytest.raises(neurochip.UserError, match=r"run\.tune = true needs a validation split"):
        tiny.run_tiny(tmp_path, tmp_path / "tuned", ["ottt-o"], run__tune=True)


def tuned_rate(
    folder: Path, monkeypatch: pytest.MonkeyPatch, score: Callable[[float], float], **changes: Any
) -> tuple[float, list[float]]:
    """The rate `run.tune` chooses when `score` is the validation accuracy of a rate, and the rates it tried."""
    tried: list[float] = []
    original = story._validation_score

    def scored(setup: Any, rule: Any, rate: float, listener: Any) -> float:
        tried.append(rate)
        try:
            setup.with_rates({rule.name: rate}).spec(rule)
        except neurochip.UserError:
            return original(setup, rule, rate, listener)
        return score(rate)

    monkeypatch.setattr(story, "_validation_score", scored)
    report = tiny.run_tiny(folder, folder / "tuned", ["ottt-o"], run__tune=True, **changes)
    rate: float = report.data["experiment"]["learning"]["rates"]["ottt-o"]
    assert report.result("ottt-o")["learning_rate"]["asked"] == rate
    return rate, tried


SCORES: dict[str, tuple[Callable[[float], float], float]] = {
    "best below": (lambda rate: -abs(rate - 0.0625), 0.0625),
    "best above": (lambda rate: -abs(rate - 2.0), 2.0),
    "best where it starts": (lambda rate: -abs(rate - 0.25), 0.25),
    "all the same": (lambda rate: 0.5, 2.0**-13),  # ties go to the smaller rate, until the search ends
}


@pytest.mark.parametrize("name", SCORES)
def test_tuning_climbs_by_powers_of_two_to_the_best_rate(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    score, expected = SCORES[name]
    rate, tried = tuned_rate(folder, monkeypatch, score)
    assert rate == expected
    assert 0.25 in tried
    assert len(tried) == len(set(tried))


def test_tuning_stops_at_a_rate_no_shift_realises(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rate, tried = tuned_rate(folder, monkeypatch, lambda rate: rate, precision__weight__frac=11,
                             precision__membrane__frac=12, precision__readout__frac=12,
                             precision__error__frac=7)  # fmt: skip
    assert rate == max(tried) / 2
    assert rate < 2**6


def test_a_tuned_run_that_continues_does_not_search_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = tiny.run_tiny(folder, folder / "run", ["sltt-o"], run__tune=True)
    monkeypatch.setattr(story, "_tune", lambda *_: pytest.fail("it searched again"))
    (folder / "run" / "report.json").unlink()
    assert story.resume(folder / "run").data == report.data


def test_the_same_tuned_run_given_again_is_not_searched_again_and_another_is_refused_at_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = tiny.run_tiny(folder, folder / "twice", ["sltt-o"], run__tune=True)
    monkeypatch.setattr(story, "_tune", lambda *_: pytest.fail("it searched again"))
    assert tiny.run_tiny(folder, folder / "twice", ["sltt-o"], run__tune=True).data == report.data
    with pytest.raises(neurochip.UserError, match="holds another experiment"):
        tiny.run_tiny(folder, folder / "twice", ["sltt-o"], run__tune=True, run__seed=9)
