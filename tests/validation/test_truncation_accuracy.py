"""Does truncated local BPTT learn recordings, and is it BPTT where nothing is truncated? Few samples of the script."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

MOST_LOCAL = "unroll(1)/local(1)/window(1)"
END_TO_END = ("bptt", "unroll(10)/local(4)/window(10)", "unroll(16)/local(9)/sample")
TRUNCATED = ("unroll(5)/local(4)/sample", "unroll(10)/local(2)/sample")
RATE = 0.0625


@pytest.fixture(scope="module")
def script(source_tree: Path) -> Any:
    path = source_tree / "scripts" / "measure_truncation_accuracy.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def setup(script: Any, nmnist4_path: Path) -> Any:
    return script.prepared(nmnist4_path, 1, (MOST_LOCAL, *END_TO_END, *TRUNCATED), epochs=1)


def shortened(setup: Any, n_train: int) -> Any:
    """The same setup with fewer samples."""
    task = setup.task
    few = {"train": task.train.take(np.arange(n_train)), "test": task.test.take(np.arange(10))}
    return replace(setup, task=replace(task, validation=task.validation.take(np.arange(10)), **few))


@pytest.mark.recordings
def test_windows_of_one_step_and_blocks_of_one_layer_learn_recordings_in_one_epoch(script: Any, setup: Any) -> None:
    point = script.measured(setup, MOST_LOCAL, script.RATES[1])
    chance = 1 / len(setup.task.classes)
    print(f"\n{MOST_LOCAL}: {100 * point['test']:.1f} % after one epoch, chance is {100 * chance:.0f} %")
    assert point["test"] > chance + 0.35


@pytest.mark.recordings
def test_one_window_and_one_block_are_bptt_bit_for_bit_and_no_others_are(script: Any, setup: Any) -> None:
    short = shortened(setup, 100)
    weights = {name: script.trained(short, name, RATE).weights for name in (*END_TO_END, *TRUNCATED)}
    for name in END_TO_END[1:]:
        for layer, of_bptt in zip(weights[name], weights["bptt"], strict=True):
            np.testing.assert_array_equal(layer, of_bptt)
    for name in TRUNCATED:  # heads have weights of their own: the first layer is in every network
        assert (weights[name][0] != weights["bptt"][0]).any()


def test_runs_that_are_there_are_not_done_again(script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[tuple[str, float]] = []

    def measured(setup: Any, name: str, rate: float) -> dict[str, Any]:
        done.append((name, rate))
        return {"validation": [0.9 - abs(np.log2(rate) + 6)], "rate": rate}  # best at 1/64, below all of RATES

    monkeypatch.setattr(script, "measured", measured)
    monkeypatch.setattr(script, "prepared", lambda data, seed: None)
    for _ in range(2):
        assert script.Runs(tmp_path, Path("recordings.h5")).chosen_rate(MOST_LOCAL, 1) == 2**-6
    assert len(done) == len(set(done)) == len(script.RATES) + 3
    (tmp_path / "experiment.json").write_text("{}")
    with pytest.raises(SystemExit, match="another experiment"):
        script.Runs(tmp_path, Path("recordings.h5"))
