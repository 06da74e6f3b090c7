"""Is the trace one that Perfetto reads, and do its events add up to what the tick model counted?"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import pytest
from exported_runs import finished_runs

from neurochip.replay_timeline import timeline_records
from neurochip.report.perfetto import perfetto_trace

SAMPLE = 5
Event = dict[str, Any]


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Any]:
    """A sample that is unrolled: every phase but trace and standardise."""
    runs = finished_runs(tmp_path_factory.getbasetemp())
    return timeline_records(runs["dense"], None, SAMPLE, rule="bptt")


@pytest.fixture(scope="module")
def trace(records: Mapping[str, Any]) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(perfetto_trace(records))
    return loaded


def events_of(trace: Mapping[str, Any], ph: str, category: str | None = None) -> list[Event]:
    return [one for one in trace["traceEvents"] if one["ph"] == ph and one.get("cat") == category]


def test_it_has_the_shape_of_the_format(trace: dict[str, Any], records: Mapping[str, Any]) -> None:
    assert trace["displayTimeUnit"] == "ns"
    assert {one["ph"] for one in trace["traceEvents"]} == {"M", "X", "C"}
    assert {one["pid"] for one in trace["traceEvents"]} == {1}
    for one in trace["traceEvents"]:
        assert isinstance(one["name"], str)
        if one["ph"] != "M":
            assert one["ts"] >= 0
        if one["ph"] == "X":
            assert one["dur"] > 0
            assert isinstance(one["tid"], int)
    named = {one["tid"] for one in events_of(trace, "M") if one["name"] == "thread_name"}
    assert {one["tid"] for one in trace["traceEvents"] if one["ph"] == "X"} <= named
    titles = [one["args"]["name"] for one in events_of(trace, "M") if one["name"] == "process_name"]
    assert titles == [f"{records['chip']}: bptt, sample {SAMPLE} of the train split, run {records['name']}"]


def test_slices_add_up_to_the_totals(trace: dict[str, Any], records: Mapping[str, Any]) -> None:
    totals = records["totals"]
    assert trace["otherData"]["totals"] == totals
    assert trace["otherData"]["stall_clocks_left_out"] == {}
    phases, stalls, accesses = Counter[str](), Counter[str](), Counter[str]()
    for one in events_of(trace, "X", "phase"):
        phases[one["name"]] += one["args"]["clocks"]
        stalls.update(one["args"]["stalls"])
        accesses.update(one["args"]["accesses"])
    assert phases == Counter(totals["phases"])
    assert stalls == Counter(totals["stalls"])
    assert accesses == Counter(totals["accesses"])
    placed = Counter[str]()
    for one in events_of(trace, "X", "stall"):
        placed[one["name"]] += one["args"]["clocks"]
    assert placed == Counter(totals["stalls"])
    counted = Counter[str]()
    for one in events_of(trace, "C"):
        counted[one["name"].removesuffix(f" per {records['window']} clocks")] += one["args"]["accesses"]
    assert counted == Counter(totals["accesses"])
    assert sum(one["args"]["clocks"] for one in events_of(trace, "X", "step")) == totals["clocks"]


def test_times_are_those_of_the_clock_and_lines_do_not_overlap(
    trace: dict[str, Any], records: Mapping[str, Any]
) -> None:
    lines: dict[int, list[Event]] = {}
    for one in trace["traceEvents"]:
        if one["ph"] == "X":
            lines.setdefault(one["tid"], []).append(one)
            assert one["ts"] == pytest.approx(one["args"]["first_clock"] / records["clock_mhz"], abs=0.00051)
            assert one["dur"] == pytest.approx(one["args"]["clocks"] / records["clock_mhz"], abs=0.00101)
    for line in lines.values():
        for one, after in pairwise(line):
            assert round((one["ts"] + one["dur"]) * 1000, 6) <= round(after["ts"] * 1000, 6)
            assert round(one["ts"] * 1000, 6).is_integer(), "Perfetto keeps whole ns"
    assert [one["name"] for one in lines[1]] == [
        "step 1", "step 2", "step 3", "step 4", "step 4 back", "step 3 back", "step 2 back", "step 1 back",
        "end of sample",
    ]  # fmt: skip


def test_every_layer_has_its_line(trace: dict[str, Any], records: Mapping[str, Any]) -> None:
    for layer in range(len(records["layers"])):
        clocks = sum(one["args"]["clocks"] for one in events_of(trace, "X", "layer") if one["tid"] == 10 + layer)
        assert clocks == sum(one["clocks"] for one in records["slices"] if layer in (one["layer"], one["beside"]))


def test_events_are_delivered_on_the_line_of_the_next_layer_while_a_layer_fires(
    trace: dict[str, Any], records: Mapping[str, Any]
) -> None:
    fires = [one for one in records["slices"] if (one["unit"], one["phase"]) == ("ForwardGroup", "fire")]
    assert {(one["layer"], one["beside"]) for one in fires} == {(0, 1), (1, 2)}
    for fire in fires:
        (beside,) = (
            one
            for one in events_of(trace, "X", "layer")
            if (one["tid"], one["args"]["first_clock"]) == (10 + fire["beside"], fire["start"])
        )
        assert (beside["name"], beside["args"]["clocks"]) == ("deliver beside fire", fire["clocks"])
    pairs = [(one, after) for one, after in pairwise(records["slices"]) if one in fires and after["phase"] == "deliver"]
    assert pairs  # where FIRE pushed something, it is delivered to the end on the same line
    assert all(after["layer"] == one["beside"] for one, after in pairs)


def test_a_counter_falls_to_zero_and_is_silent_then(records: Mapping[str, Any]) -> None:
    made = {**records, "window": 10, "traffic": {"synapse_read": [3, 3, 0, 0, 2]}, "clock_mhz": 10.0}
    counters = events_of(json.loads(perfetto_trace(made)), "C")
    found = [(one["ts"], one["args"]["accesses"]) for one in counters]
    assert found == [(0.0, 3), (1.0, 3), (2.0, 0), (4.0, 2), (5.0, 0)]


def test_no_counter_stands_behind_the_end_of_the_sample(trace: dict[str, Any], records: Mapping[str, Any]) -> None:
    """The last window is shorter than the others, and ends with the sample."""
    n_clocks, window = records["totals"]["clocks"], records["window"]
    assert n_clocks % window, "the windows of this sample have to end behind it"
    end = round(n_clocks / records["clock_mhz"], 3)
    last = {one["name"]: one for one in events_of(trace, "C")}  # of each counter
    assert max(one["ts"] for one in last.values()) == end
    assert round(sum(one["dur"] for one in events_of(trace, "X", "step")), 3) == end
    assert all(one["args"]["accesses"] == 0 for one in last.values())
    made = {**records, "window": 10, "traffic": {"synapse_read": [3, 0, 2]}, "clock_mhz": 10.0}
    for clocks, ts in ((21, 2.1), (30, 3.0)):
        made["totals"] = {**records["totals"], "clocks": clocks}
        counters = events_of(json.loads(perfetto_trace(made)), "C")
        assert [(one["ts"], one["args"]["accesses"]) for one in counters] == [(0.0, 3), (1.0, 0), (2.0, 2), (ts, 0)]


def test_what_is_left_out_is_in_the_metadata(records: Mapping[str, Any]) -> None:
    made = {**records, "unplaced_stalls": {"port": 12}, "most_events": 7}
    about = json.loads(perfetto_trace(made))["otherData"]
    assert (about["stall_clocks_left_out"], about["most_events"]) == ({"port": 12}, 7)


def test_the_same_records_give_the_same_bytes(records: Mapping[str, Any]) -> None:
    assert perfetto_trace(records) == perfetto_trace(json.loads(json.dumps(records)))
