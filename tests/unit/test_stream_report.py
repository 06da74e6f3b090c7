"""Do whole runs on a stream write, continue, show and price what they should?"""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import tiny_experiment as tiny

from neurochip import experiment as story
from neurochip import stream_training
from neurochip.errors import UserError
from neurochip.experiment import Report
from neurochip.listener import Silent
from neurochip.report import load_schema
from neurochip.repricing import load_run, reprice
from neurochip.run_directory import RunDirectory, read_activity

STREAM: dict[str, Any] = {"samples": 60, "label_every": 2, "drift": "classes", "drift_every": 25, "window": 5}
RULES = ["sltt-o", "ottt-o", "unroll(2)/backprop/immediate", "bptt-o", "bptt"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    tiny.write_tiny_task(folder)
    return folder


def run_tiny(folder: Path, out: Path, rules: list[str], **changes: Any) -> Report:
    return tiny.run_tiny(folder, out, rules, learning__mode="stream", stream=STREAM, **changes)


@pytest.fixture(scope="module")
def finished(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Report:
    return run_tiny(folder, tmp_path_factory.mktemp("runs") / "run", RULES)


class StopsAt(Silent):
    """Interrupts when a run has come so far."""

    def __init__(self, key: str, samples: int) -> None:
        self.key, self.left = key, samples

    def advance(self, key: str, amount: int, text: str = "") -> None:
        self.left -= amount if key == self.key else 0
        if self.left <= 0 and key == self.key and amount:
            raise KeyboardInterrupt


def test_an_interrupted_run_continues_to_the_same_bytes(
    folder: Path, finished: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_training, "CHECKPOINT_SAMPLES", 1)
    with pytest.raises(KeyboardInterrupt):
        run_tiny(folder, tmp_path / "run", RULES, listener=StopsAt("ottt-o", 40))
    directory = RunDirectory(tmp_path / "run")
    directory.open(story.read_experiment(tmp_path / "run"))
    state = directory.state("ottt-o")
    assert state is not None
    assert len(state.stream.right) == 25
    continued = story.resume(tmp_path / "run")
    assert (continued.directory / "report.json").read_bytes() == (finished.directory / "report.json").read_bytes()


def test_a_rerun_gives_the_same_bytes_and_another_seed_does_not(folder: Path, finished: Report, tmp_path: Path) -> None:
    again = run_tiny(folder, tmp_path / "again", RULES)
    for name in ("report.json", "report.html"):
        assert (again.directory / name).read_bytes() == (finished.directory / name).read_bytes()
    other = run_tiny(folder, tmp_path / "other", ["ottt-o"], run__seed=4)
    assert other.result("ottt-o")["stream"] != finished.result("ottt-o")["stream"]


def test_the_reference_models_run_the_same_stream(folder: Path, finished: Report, tmp_path: Path) -> None:
    slow = run_tiny(folder, tmp_path / "slow", ["ottt-o", "bptt"], engine="reference", learning__batch=2)
    fast = run_tiny(folder, tmp_path / "fast", ["ottt-o", "bptt"], learning__batch=2)
    for rule in ("ottt-o", "bptt"):
        one, other = slow.result(rule), fast.result(rule)
        assert (one["stream"], one["accuracy"]) == (other["stream"], other["accuracy"])
        assert one["per_sample"]["counts"] == pytest.approx(other["per_sample"]["counts"])


def test_the_report_holds_the_stream_of_every_result_and_follows_the_schema(finished: Report) -> None:
    data = finished.data
    jsonschema.validate(data, load_schema())
    assert data["experiment"]["stream"]["drift_every"] == 25
    for result in finished.results:
        stream = result["stream"]
        assert (stream["n_samples"], stream["n_labelled"], len(stream["segments"])) == (60, 30, 3)
        assert result["accuracy"]["per_epoch"] == []
        assert result["energy_to_accuracy"] is None
        weighted = sum(window["accuracy"] * (window["end"] - start) for window, start in zip(
            stream["windows"], [0, *(w["end"] for w in stream["windows"])], strict=False))  # fmt: skip
        assert weighted / 60 == pytest.approx(stream["accuracy"])


def test_the_page_and_the_console_show_the_stream(finished: Report) -> None:
    from rich.console import Console

    from neurochip.report import print_report

    page = (finished.directory / "report.html").read_text(encoding="utf-8")
    assert "Accuracy along the stream" in page
    assert "per learned sample of the stream" in page
    first_screen = page[: page.index("What was run")]
    (chart,) = re.findall(r"<figcaption><b>accuracy in the stream</b>.*?</figure>", first_screen, re.DOTALL)
    fixed = [result for result in finished.data["results"] if result["precision"] == "fixed" and result["per_sample"]]
    shown = re.findall(r"data-tip=[^>]*>([\d.]+)</span>", chart)
    assert shown == [f"{100 * result['stream']['accuracy']:.1f}" for result in fixed]
    assert "test accuracy" not in first_screen and "% test)" not in first_screen
    assert re.search(r"most accurate [^;]* % in the stream\)", re.sub(r"<[^>]+>", "", first_screen))
    console = Console(record=True, width=100, file=io.StringIO())
    print_report(finished.data, console)
    text = console.export_text()
    result = finished.result("ottt-o")
    assert "predicted" in text
    assert f"{100 * result['stream']['accuracy']:.1f}" in text


@pytest.mark.parametrize(("chip", "method"), [("ottt-core-28nm", "totals"), ("ottt-mesh-28nm", "samples")])
def test_a_finished_stream_is_priced_again(chip: str, method: str, finished: Report) -> None:
    recorded = read_activity(finished.directory)["ottt-o"]
    assert (recorded.epochs[0].n_samples, recorded.test.n_samples) == (30, 60)
    report = reprice(load_run(finished.directory), chip)
    jsonschema.validate(report, load_schema())
    assert {entry["method"] for entry in report["repriced"]["results"]} == {method}
    for result, original in zip(report["results"], finished.results, strict=True):
        assert result["stream"] == original["stream"]
        if method == "totals":
            assert result["per_sample"] == original["per_sample"]


def test_by_default_a_comparison_leaves_infer_out(folder: Path, tmp_path: Path) -> None:
    experiment = tiny.tiny_experiment(learning__mode="stream", stream={"samples": 10})
    report = story.compare(experiment, base_dir=folder, out=tmp_path / "run")
    assert {result["rule"] for result in report.results} == {"sltt-o", "ottt-o", "bptt-o", "ottt-a", "bptt"}


def test_a_drift_of_one_class_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    tiny.write_tiny_task(tmp_path)
    with pytest.raises(UserError, match="needs 2 classes or more; the task has 1"):
        run_tiny(tmp_path, tmp_path / "run", ["ottt-o"], task__classes=[4])
    assert not (tmp_path / "run").exists()
