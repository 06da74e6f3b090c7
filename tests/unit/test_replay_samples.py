"""Is it the sample that was asked for, of either split, of a stream and on a chip with DRAM, in every format?"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_experiment as tiny
import vcd_reading
from exported_runs import CASES, finished_runs
from off_chip_run import RULES, off_chip_run

from neurochip.errors import UserError
from neurochip.experiment import Report
from neurochip.replay import Opened, load_sample, open_run, replay
from neurochip.replay_raster import raster_records
from neurochip.replay_timeline import timeline_records
from neurochip.replay_waves import wave_records
from neurochip.report.perfetto import perfetto_trace
from neurochip.report.vcd import vcd_dump
from neurochip.repricing import load_run
from neurochip.step_records import step_records

STREAM: dict[str, Any] = {
    "learning__mode": "stream",
    "stream": {"samples": 40, "window": 10, "drift": "inputs", "drift_every": 15},
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """Finished runs by network, and one with its weights in DRAM."""
    folder = tmp_path_factory.getbasetemp()
    return {**finished_runs(folder), "dram": off_chip_run(folder)}


@pytest.fixture(scope="module")
def streamed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of two rules on a stream whose inputs drift."""
    folder = tmp_path_factory.mktemp("streamed")
    tiny.write_tiny_task(folder)
    return tiny.run_tiny(folder, folder / "run", ["sltt-o", "ottt-o"], **STREAM).directory


def task_of(run: Opened) -> Any:
    from neurochip.setup import task_settings
    from neurochip.tasks import load_task

    return load_task(task_settings(run.experiment), run.directory, run.experiment.run.seed)


def events_of(data: Any, index: int) -> list[list[int]]:
    """[step, address] of a sample of a split."""
    cells = [index * data.n_steps + step for step in range(data.n_steps)]
    parts = [data.addresses[data.step_offsets[cell] : data.step_offsets[cell + 1]] for cell in cells]
    return [[step, int(address)] for step, part in enumerate(parts) for address in part]


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_sample_is_the_one_of_its_split_in_the_picture_and_step_by_step(split: str, runs: Mapping[str, Path]) -> None:
    data = getattr(task_of(open_run(runs["dense"], None, "ottt-o")), split)
    for index in (0, 4, data.n_samples - 1):
        picture = raster_records(runs["dense"], None, index, split=split, rule="ottt-o")
        steps = step_records(runs["dense"], None, index, split=split)
        of_rule = next(one for one in steps["rules"] if one["rule"] == "ottt-o")
        inputs = [[step - 1, address] for group, address, step in of_rule["spikes"] if group == "input"]
        assert picture["inputs"]["events"] == inputs == events_of(data, index)
        for records in (picture, steps):
            assert (records["split"], records["sample"]) == (split, index)


@pytest.mark.parametrize(("network", "rule"), CASES)
def test_a_test_sample_is_inferred_as_the_run_inferred_it(network: str, rule: str, runs: Mapping[str, Path]) -> None:
    opened = open_run(runs[network], None, rule)
    trace = load_run(runs[network]).recorded_of(rule).test_subset
    assert trace is not None
    for place, index in enumerate(trace.sample_indices.tolist()):
        one = replay(opened, index, split="test")
        assert not one.learn
        assert all(np.array_equal(a, b) for a, b in zip(one.weights, one.learned.weights, strict=True))
        assert np.array_equal(one.registers, one.learned.registers)
        for name, recorded in trace.bitmaps.items():
            assert np.array_equal(one.trace.bitmaps[name][0], recorded[place]), (name, index)
    records = timeline_records(runs[network], None, index, split="test", rule=rule)
    assert not {"error", "update", "apply"} & {piece["phase"] for piece in records["slices"]}
    assert records["learning"] is False


def test_a_sample_of_a_stream_is_as_after_the_last_drift_in_every_format(streamed: Path) -> None:
    opened = open_run(streamed, None, "ottt-o")
    task = task_of(opened)
    for split in ("train", "test"):
        plain, moved = getattr(task, split), load_sample(opened, 3, split=split)
        assert events_of(moved.data, 0) != events_of(plain, 3)
        assert [step for step, _ in events_of(moved.data, 0)] == [step for step, _ in events_of(plain, 3)]
        picture = raster_records(streamed, None, 3, split=split, rule="ottt-o")
        timeline = timeline_records(streamed, None, 3, split=split, rule="ottt-o")
        steps = step_records(streamed, None, 3, split=split)
        assert picture["inputs"]["events"] == events_of(moved.data, 0)
        assert timeline["learning"] is (split == "train")
        for records in (picture, timeline, steps):
            assert (records["split"], records["sample"]) == (split, 3)
        assert f'"split":"{split}","sample":3' in perfetto_trace(timeline)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("split", ["train", "test"])
def test_a_sample_on_a_chip_with_its_weights_in_dram_goes_through_every_clock(
    rule: str, split: str, runs: Mapping[str, Path]
) -> None:
    pytest.importorskip("vcd", reason="pyvcd is not installed")
    records = timeline_records(runs["dram"], None, 4, split=split, rule=rule)
    accesses = records["totals"]["accesses"]
    assert accesses["dram_read"] > 0 and accesses.get("synapse_read", 0) == 0
    assert ("dram_write" in accesses and accesses["dram_write"] > 0) == records["learning"]
    assert records["totals"]["stalls"]["dram"] > 0
    assert sum(one["clocks"] for one in records["slices"]) == records["totals"]["clocks"]
    waves = wave_records(runs["dram"], None, 4, split=split, rule=rule, synapses="0:12:5")
    dump = vcd_reading.read_vcd(vcd_dump(waves))
    assert dump is not None and waves["end_clock"] == records["totals"]["clocks"]


@pytest.mark.parametrize("rule", RULES)
def test_weights_in_dram_are_energy_of_synapses(rule: str, runs: Mapping[str, Path]) -> None:
    for split in ("train", "test"):
        steps = step_records(runs["dram"], None, 4, split=split)
        energy = next(one["energy_j"] for one in steps["rules"] if one["rule"] == rule)
        accesses = timeline_records(runs["dram"], None, 4, split="test", rule=rule)["totals"]["accesses"]
        assert energy["synapse"] > 0.9 * energy["total"] > 0 < accesses["dram_read"]
        assert 0 < energy["dendrite"] < 0.1 * energy["total"]


def test_recordings_that_are_others_now_are_refused(tmp_path: Path) -> None:
    tiny.write_tiny_task(tmp_path)
    report: Report = tiny.run_tiny(tmp_path, tmp_path / "run", ["infer"])
    tiny.write_tiny_task(tmp_path, {**tiny.SPLITS, "test": 12})
    with pytest.raises(UserError, match=r"the test split had 9 samples and has 12 now"):
        replay(open_run(report.directory), 0, split="test")
