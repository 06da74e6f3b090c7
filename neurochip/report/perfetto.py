"""A replayed sample as a trace that ui.perfetto.dev and chrome://tracing open: phases, stalls and memory traffic."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

CHIP = 1  # pid
STEPS, PHASES, FIRST_LAYER, FIRST_STALL = 1, 2, 10, 1000  # tid
DELIVER_BESIDE = "deliver beside fire"
DIGITS = 3  # of a time in us: ns, all that Perfetto keeps; it drops slices that overlap once rounded
Event = dict[str, Any]


def perfetto_trace(records: Mapping[str, Any]) -> str:
    """Return the JSON object format of trace events; times in us of the chip's clock, `clocks` beside them.

    Slices of category `phase` follow each other without a gap; their `clocks`, `stalls` and accesses sum to the totals.
    Those of category `layer` are the same on a line per layer; while a layer fires, the one that its events are
    delivered to has a slice beside it. A counter is the accesses in a window of clocks.
    """
    us = 1 / records["clock_mhz"]
    parts = (_names(records), _steps(records, us), _phases(records, us), _layers(records, us), _traffic(records, us))
    events = [event for part in (*parts, _stalls(records, us)) for event in part]
    content = {"displayTimeUnit": "ns", "otherData": _about(records), "traceEvents": events}
    return json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":")) + "\n"


def _about(records: Mapping[str, Any]) -> dict[str, Any]:
    """What was replayed; stalls without a slice of their own where there were more than `most_events`."""
    names = ("name", "rule", "chip", "clock_mhz", "split", "sample", "learning", "label", "prediction", "neurochip")
    about = {name: records[name] for name in (*names, "totals", "most_events")}
    return about | {"stall_clocks_left_out": records["unplaced_stalls"]}


def _names(records: Mapping[str, Any]) -> Iterator[Event]:
    title = (
        f"{records['chip']}: {records['rule']}, sample {records['sample']} of the {records['split']} split, "
        f"run {records['name']}"
    )
    yield {"ph": "M", "name": "process_name", "pid": CHIP, "args": {"name": title}}
    lines = [(STEPS, "steps"), (PHASES, "phases")]
    lines += [(FIRST_LAYER + index, name) for index, name in enumerate(records["layers"])]
    lines += [(FIRST_STALL + index, f"stall: {cause}") for index, cause in enumerate(records["totals"]["stalls"])]
    for tid, name in lines:
        yield {"ph": "M", "name": "thread_name", "pid": CHIP, "tid": tid, "args": {"name": name}}
        yield {"ph": "M", "name": "thread_sort_index", "pid": CHIP, "tid": tid, "args": {"sort_index": tid}}


def _slice(name: str, category: str, tid: int, first: int, clocks: int, us: float, args: Mapping[str, Any]) -> Event:
    """A complete event; its end is rounded like the beginning of the next, so that they neither overlap nor gape."""
    ts, end = round(first * us, DIGITS), round((first + clocks) * us, DIGITS)
    return {
        "ph": "X",
        "name": name,
        "cat": category,
        "pid": CHIP,
        "tid": tid,
        "ts": ts,
        "dur": round(end - ts, DIGITS),
        "args": {"first_clock": first, "clocks": clocks, **args},
    }


def _step_name(one: Mapping[str, Any]) -> str:
    if one["step"] is None:
        return "end of sample"
    return f"step {one['step'] + 1}{' back' if one['back'] else ''}"


def _steps(records: Mapping[str, Any], us: float) -> Iterator[Event]:
    """Neighbouring slices of one step, joined."""
    under_way: tuple[str, int] | None = None
    for one in [*records["slices"], None]:
        name = None if one is None else _step_name(one)
        if under_way is not None and name != under_way[0]:
            first = under_way[1]
            end = records["totals"]["clocks"] if one is None else one["start"]
            yield _slice(under_way[0], "step", STEPS, first, end - first, us, {})
            under_way = None
        if one is not None and name is not None and under_way is None:
            under_way = (name, one["start"])


def _phases(records: Mapping[str, Any], us: float) -> Iterator[Event]:
    for one in records["slices"]:
        args = {key: one[key] for key in ("unit", "layer", "stalls", "accesses")} | {"step": _step_name(one)}
        yield _slice(one["phase"], "phase", PHASES, one["start"], one["clocks"], us, args)


def _layers(records: Mapping[str, Any], us: float) -> Iterator[Event]:
    for one in records["slices"]:
        if one["layer"] is not None:
            tid, args = FIRST_LAYER + one["layer"], {"unit": one["unit"], "step": _step_name(one)}
            yield _slice(one["phase"], "layer", tid, one["start"], one["clocks"], us, args)
        if one["beside"] is not None:
            tid, args = FIRST_LAYER + one["beside"], {"unit": one["unit"], "step": _step_name(one)}
            yield _slice(DELIVER_BESIDE, "layer", tid, one["start"], one["clocks"], us, args)


def _stalls(records: Mapping[str, Any], us: float) -> Iterator[Event]:
    causes = {cause: FIRST_STALL + index for index, cause in enumerate(records["totals"]["stalls"])}
    placed = [(first, tid, cause, clocks) for cause, tid in causes.items() for first, clocks in _of(records, cause)]
    for first, tid, cause, clocks in sorted(placed):
        yield _slice(cause, "stall", tid, first, clocks, us, {})


def _of(records: Mapping[str, Any], cause: str) -> list[list[int]]:
    found: list[list[int]] = records["stalls"].get(cause, [])
    return found


def _traffic(records: Mapping[str, Any], us: float) -> Iterator[Event]:
    """A counter per memory and kind of access; a window without any after one without any is not written.

    The last window is as long as the sample leaves it, and the counters fall to 0 at the end of the sample.
    """
    window, end = records["window"], records["totals"]["clocks"]
    for key, series in records["traffic"].items():
        name, before = f"{key} per {window} clocks", 0
        for index, number in enumerate([*series, 0]):
            if number or before:
                ts = round(min(index * window, end) * us, DIGITS)
                yield {"ph": "C", "name": name, "pid": CHIP, "ts": ts, "args": {"accesses": number}}
            before = number


__all__ = ["perfetto_trace"]
