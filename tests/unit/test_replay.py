"""Does a replayed sample show what the tick model goes through and the count says, and is what cannot be refused?"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_experiment as tiny
from exported_runs import CASES, finished_runs

import neurochip.replay_clocks as clocks_module
from neurochip.counters import is_memory
from neurochip.errors import UserError
from neurochip.export import load_learned
from neurochip.reference.clock import ClockCore
from neurochip.reference.engine import golden_sample
from neurochip.replay import counted, open_run, replay
from neurochip.replay_choice import chosen, parse_cycles, parse_neurons, parse_synapses, weight_number
from neurochip.replay_timeline import Timeline, timeline_records

SAMPLE = 5


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """Finished runs by network."""
    return finished_runs(tmp_path_factory.getbasetemp())


def summed(parts: list[Mapping[str, int]]) -> dict[str, int]:
    keys = dict.fromkeys(key for part in parts for key in part)
    return {key: sum(part.get(key, 0) for part in parts) for key in keys}


@pytest.mark.parametrize(("network", "rule"), CASES)
def test_slices_stalls_and_traffic_sum_to_what_the_clock_and_the_count_say(
    network: str, rule: str, runs: Mapping[str, Path]
) -> None:
    records = timeline_records(runs[network], None, SAMPLE, rule=rule)
    one = replay(open_run(runs[network], None, rule), SAMPLE)
    model = ClockCore(one.spec, [layer.tolist() for layer in one.learned.weights], one.chip, one.pricer.gates)
    model.set_registers(one.learned.registers.tolist())
    if one.learned.velocities:
        model.set_velocities([layer.tolist() for layer in one.learned.velocities])
    run, count = model.run([golden_sample(one.sample.data, 0)], one.learn), counted(one)

    accesses = {key: 0 for key in records["totals"]["accesses"]}
    for (key, *_), number in run.accesses.items():
        accesses[key] += number
    totals = {"clocks": run.ticks, "phases": run.ticks_by_phase, "stalls": run.stalls, "accesses": accesses}
    assert records["totals"] == totals
    assert (count.cycles, dict(count.cycles_by_phase), dict(count.stalls)) == (
        run.ticks, run.ticks_by_phase, run.stalls
    )  # fmt: skip
    assert sum(item.number for item in count.counts if is_memory(item.key)) == sum(accesses.values())
    check_sums(records)


def check_sums(records: Mapping[str, Any]) -> None:
    """Everything on the time axis, added up, is the totals."""
    slices, totals = records["slices"], records["totals"]
    ends = [one["start"] + one["clocks"] for one in slices]
    assert [one["start"] for one in slices] == [0, *ends[:-1]]
    assert ends[-1] == totals["clocks"]
    phases = summed([{one["phase"]: one["clocks"]} for one in slices])
    assert phases == {phase: clocks for phase, clocks in totals["phases"].items() if clocks}
    stalls = {cause: clocks for cause, clocks in totals["stalls"].items() if clocks}
    assert summed([one["stalls"] for one in slices]) == stalls
    assert summed([one["accesses"] for one in slices]) == totals["accesses"]
    assert {key: sum(series) for key, series in records["traffic"].items()} == totals["accesses"]
    unplaced = records["unplaced_stalls"]
    for cause, clocks in stalls.items():
        placed = records["stalls"][cause]
        assert sum(n for _, n in placed) + unplaced.get(cause, 0) == clocks
        assert all(n > 0 for _, n in placed)
        assert all(a + n < b for (a, n), (b, _) in pairwise(placed))
        assert placed[0][0] >= 0
        assert placed[-1][0] + placed[-1][1] <= totals["clocks"]


def test_unrolled_steps_come_back_in_reverse(runs: Mapping[str, Path]) -> None:
    slices = timeline_records(runs["dense"], None, SAMPLE, rule="bptt")["slices"]
    steps = list(dict.fromkeys((one["step"], one["back"]) for one in slices))
    forward, back = ([(step, is_back) for step in range(tiny.N_STEPS)] for is_back in (False, True))
    assert steps == [*forward, *reversed(back), (None, True)]
    assert {one["phase"] for one in slices if one["step"] is None} == {"apply"}
    assert {one["phase"] for one in slices if one["back"]} == {"history", "error", "update", "apply"}
    assert not any(one["back"] for one in timeline_records(runs["dense"], None, SAMPLE, rule="ottt-o")["slices"])


def test_the_run_stays_as_it_is_and_the_same_sample_gives_the_same(runs: Mapping[str, Path]) -> None:
    before = {path.name: path.read_bytes() for path in runs["dense"].iterdir()}
    first, second = (timeline_records(runs["dense"], None, SAMPLE, rule="e-prop") for _ in range(2))
    assert first == second
    assert {path.name: path.read_bytes() for path in runs["dense"].iterdir()} == before
    assert timeline_records(runs["dense"], rule="e-prop")["sample"] == 0


def test_it_starts_from_the_weights_of_the_end(runs: Mapping[str, Path]) -> None:
    one = replay(open_run(runs["dense"], None, "ottt-o"), SAMPLE)
    learned = load_learned(runs["dense"], "ottt-o")
    assert all(np.array_equal(a, b) for a, b in zip(one.learned.weights, learned.weights, strict=True))
    assert any(not np.array_equal(a, b) for a, b in zip(one.weights, learned.weights, strict=True))
    about = one.about()
    assert (about["split"], about["sample"], about["learning"]) == ("train", SAMPLE, True)
    assert about["label"] in ("2", "4", "7")
    inferred = replay(open_run(runs["dense"], None, "infer"), SAMPLE)
    assert inferred.about()["learning"] is False
    assert all(np.array_equal(a, b) for a, b in zip(inferred.weights, inferred.learned.weights, strict=True))


def test_another_chip_has_other_clocks_and_the_same_weights(runs: Mapping[str, Path], tmp_path: Path) -> None:
    from neurochip._data import data_folder

    text = (data_folder("hw_models") / "chips" / "ottt-core-28nm.toml").read_text(encoding="utf-8")
    narrow = tmp_path / "narrow.toml"
    narrow.write_text(text.replace("\nlanes = 16 ", "\nlanes = 2 "), encoding="utf-8")
    wide, other = (replay(open_run(runs["dense"], chip, "ottt-o"), SAMPLE) for chip in (None, str(narrow)))
    assert counted(other).cycles > counted(wide).cycles
    assert all(np.array_equal(a, b) for a, b in zip(wide.weights, other.weights, strict=True))
    check_sums(timeline_records(runs["dense"], str(narrow), SAMPLE, rule="ottt-o"))


def test_stalls_that_a_trace_has_no_room_for_are_the_last_and_are_counted(runs: Mapping[str, Path]) -> None:
    records = timeline_records(runs["dense"], None, SAMPLE, rule="ottt-o")
    timeline = Timeline()
    timeline.slices, timeline.traffic = records["slices"], records["traffic"]
    timeline.stalls = {cause: [list(one) for one in placed] for cause, placed in records["stalls"].items()}
    others = 4 * len(timeline.slices) + sum(len(series) for series in timeline.traffic.values())
    timeline.cut(others + 7)
    kept = sorted(first for placed in timeline.stalls.values() for first, _ in placed)
    every = sorted(first for placed in records["stalls"].values() for first, _ in placed)
    assert len(kept) == 7
    assert kept == every[:7]
    for cause, clocks in records["totals"]["stalls"].items():
        assert sum(n for _, n in timeline.stalls.get(cause, [])) + timeline.unplaced[cause] == clocks


class Heard:
    """A listener that keeps what it hears."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.done = self.total = 0

    def message(self, text: str) -> None:
        self.messages.append(text)

    def begin(self, key: str, label: str, total: int) -> None:
        self.total = total

    def advance(self, key: str, amount: int, text: str = "") -> None:
        self.done += amount

    def end(self, key: str) -> None:
        self.messages.append("end")


def test_the_listener_hears_every_clock_and_what_is_left_out(
    runs: Mapping[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("neurochip.replay_timeline.MOST_EVENTS", 40)
    heard = Heard()
    records = timeline_records(runs["dense"], None, SAMPLE, rule="ottt-o", listener=heard)
    assert heard.done == heard.total == records["totals"]["clocks"]
    left_out = sum(records["unplaced_stalls"].values())
    assert left_out > 0
    assert f"stalls of {left_out:,} clocks" in heard.messages[-1]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"rule": None}, "several rules; give --rule one of infer, ottt-o"),
        ({"rule": "sltt"}, "--rule sltt: the run"),
        ({"sample": 18}, "--sample 18: the train split has 18 samples; allowed is 0 to 17"),
        ({"sample": -1}, "--sample -1: the train split has 18 samples; allowed is 0 to 17"),
        ({"chip": "ottt-mesh-28nm"}, "ottt-mesh-28nm: ottt_mesh has no tick model"),
        ({"chip": "no-such-chip"}, "--chip: "),
    ],
)
def test_what_cannot_be_replayed_is_said(options: dict[str, Any], sentence: str, runs: Mapping[str, Path]) -> None:
    asked = {"chip": None, "sample": SAMPLE, "rule": "ottt-o"} | options
    with pytest.raises(UserError) as error:
        timeline_records(runs["dense"], asked["chip"], asked["sample"], rule=asked["rule"])
    assert sentence in str(error.value)


def test_a_sample_of_too_many_clocks_is_refused(runs: Mapping[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clocks_module, "MOST_CLOCKS", 100)
    with pytest.raises(
        UserError, match=r"sample 5 of the train split takes [0-9,]+ clocks under ottt-o; .* takes up to 100"
    ):
        timeline_records(runs["dense"], None, SAMPLE, rule="ottt-o")


def test_a_tick_model_that_differs_from_the_count_is_a_fault(
    runs: Mapping[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    monkeypatch.setattr(clocks_module, "counted", lambda one: replace(counted(one), stalls={}))
    with pytest.raises(RuntimeError, match="other stalls"):
        timeline_records(runs["dense"], None, SAMPLE, rule="ottt-o")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("0", "is not understood; allowed is LAYER:INDEX"),
        ("0:x", "is not understood"),
        ("0:-1", "is not understood"),
        ("0:1,", "is not understood"),
        ("3:0", "the rule has layers 0 to 2"),
        ("1:5", "layer 1 has 5 neurons; allowed is 0 to 4"),
    ],
)
def test_neurons_that_are_not_there_are_refused(text: str, sentence: str, runs: Mapping[str, Path]) -> None:
    spec = load_learned(runs["dense"], "ottt-o").spec
    assert parse_neurons("0:6, 1:4,0:6", spec) == [(0, 6), (1, 4)]
    with pytest.raises(UserError) as error:
        parse_neurons(text, spec)
    assert sentence in str(error.value)


def test_synapses_are_those_of_the_network(runs: Mapping[str, Path]) -> None:
    spec = load_learned(runs["dense"], "ottt-o").spec
    assert parse_synapses("0:49:6,1:0:4", spec) == [(0, 49, 6), (1, 0, 4)]
    for text, sentence in (
        ("0:50:6", "layer 0 has 50 inputs"),
        ("0:1:7", "layer 0 has 7 neurons"),
        ("0:1", "LAYER:INP"),
    ):
        with pytest.raises(UserError, match=sentence):
            parse_synapses(text, spec)
    conv = load_learned(runs["conv"], "ottt-o").spec
    shape = conv.layers[0].conv
    assert shape is not None
    for address in range(conv.layers[0].n_in):
        reached = {
            block * conv.layers[0].columns + column: row * conv.layers[0].columns + column
            for row, block in shape.taps(address)
            for column in range(conv.layers[0].columns)
        }
        for neuron in range(conv.layers[0].n_out):
            assert weight_number(conv, (0, address, neuron)) == reached.get(neuron)
    with pytest.raises(UserError, match="is a convolution, and no weight of it joins input 0"):
        parse_synapses(f"0:0:{conv.layers[0].n_out - 1}", conv)


def test_cycles_are_a_range() -> None:
    assert parse_cycles("0:20") == (0, 20)
    for text in ("20", "5:5", "6:5", "a:b", "1:2:3", "-1:3", ""):
        with pytest.raises(UserError, match="--cycles"):
            parse_cycles(text)


def test_without_a_choice_the_busiest_are_shown(runs: Mapping[str, Path]) -> None:
    one = replay(open_run(runs["dense"], None, "ottt-o"), SAMPLE)
    neurons, synapses = chosen(one, None, None)
    spikes = one.result.probes["spike/0"][0].sum(axis=0)
    shown = [index for layer, index in neurons if layer == 0]
    assert len(shown) == 4
    assert min(spikes[shown]) >= max(np.delete(spikes, shown))
    assert [index for layer, index in neurons if layer == 2] == [0, 1, 2]
    events = one.trace.bitmaps["event/0"][0].sum(axis=0)
    assert {address for layer, address, _ in synapses if layer == 0} == {int(events.argmax())}
    assert chosen(one, [(0, 1)], []) == ([(0, 1)], [])
