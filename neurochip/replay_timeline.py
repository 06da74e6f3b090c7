"""When a replayed sample was in which phase, stalled and went to its memories: the records of a trace."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from neurochip.listener import Listener
from neurochip.replay import Record, open_run, replay
from neurochip.replay_clocks import tick_model, tick_through

WINDOW_CLOCKS = 16  # of the first windows of traffic; doubled as often as there are too many
MOST_WINDOWS = 4096
MOST_EVENTS = 1_000_000  # of a trace: beyond it viewers become slow
EVENTS_OF_SLICE = 4  # step, phase, layer, and a layer beside
BACK = "ClearDeltas"  # with it the reverse pass begins
FORWARD = "ForwardGroup"


class Timeline:
    """An observer that writes down slices of phases, intervals of stalls, and accesses per window of clocks.

    Args:
        beside: layer that fires -> layer that its events are delivered to meanwhile.

    Attributes:
        slices: what one unit did in one phase without a break, in order.
        stalls: cause -> [first clock, clocks], adjoining ones joined.
        unplaced: cause -> clocks of stalls that are counted, but not placed, as there are too many.
        window: clocks of a window.
        traffic: access -> [accesses in each window]; the last window may be shorter.
    """

    def __init__(self, beside: Mapping[int, int] | None = None) -> None:
        self._beside = beside or {}
        self.slices: list[Record] = []
        self.stalls: dict[str, list[list[int]]] = {}
        self.unplaced: Counter[str] = Counter()
        self.window = WINDOW_CLOCKS
        self.traffic: dict[str, list[int]] = {}
        self._n_stalls = 0
        self._is_back = False
        self._key: tuple[Any, ...] = ()
        self._seen_stalls: dict[str, int] = {}
        self._slice_stalls: dict[str, int] = {}
        self._slice_accesses: dict[str, int] = {}
        self._window_accesses: dict[str, int] = {}

    def clock(self, machine: Any, unit: str, phase: str, layer: int | None) -> None:
        """A clock begins; what is counted by now belongs to those before it."""
        self._place_stalls(machine)
        if machine.now % self.window == 0 and machine.now > 0:
            self._end_window(machine)
        if unit in (BACK, FORWARD):
            self._is_back = unit == BACK
        key = (unit, phase, layer, machine.step, self._is_back)
        if key != self._key:
            self._end_slice(machine)
            self._key = key
            beside = self._beside.get(layer) if unit == FORWARD and phase == "fire" and layer is not None else None
            self.slices.append(
                {"unit": unit, "phase": phase, "layer": layer, "beside": beside, "step": machine.step}
                | {"back": self._is_back, "start": machine.now}
            )

    def end(self, machine: Any) -> None:
        """The clock stands still."""
        self._place_stalls(machine)
        self._end_slice(machine)
        self._end_window(machine)

    def cut(self, most_events: int = MOST_EVENTS) -> None:
        """Leave out the last stalls, so that a trace has as many events; slices and traffic stay whole."""
        others = EVENTS_OF_SLICE * len(self.slices) + sum(len(series) for series in self.traffic.values())
        placed = sorted((first, cause) for cause, found in self.stalls.items() for first, _ in found)
        for _, cause in placed[max(0, most_events - others) :]:
            _, clocks = self.stalls[cause].pop()
            self.unplaced[cause] += clocks

    def _place_stalls(self, machine: Any) -> None:
        """What was counted in the clock before; `event_wait` of DELIVER lies before it and ends there."""
        seen = self._seen_stalls
        for cause, total in machine.stalls.items():
            clocks = total - seen.get(cause, 0)
            if clocks:
                seen[cause] = total
                first = machine.now - 1 - (machine.waited if cause == "event_wait" else 0)
                self._place(cause, first, clocks)

    def _place(self, cause: str, first: int, clocks: int) -> None:
        placed = self.stalls.setdefault(cause, [])
        if placed and placed[-1][0] + placed[-1][1] == first:
            placed[-1][1] += clocks
        elif self._n_stalls < MOST_EVENTS:
            placed.append([first, clocks])
            self._n_stalls += 1
        else:
            self.unplaced[cause] += clocks

    def _end_slice(self, machine: Any) -> None:
        if not self.slices:
            return
        last, accesses = self.slices[-1], accesses_by_key(machine)
        last["clocks"] = machine.now - last["start"]
        last["stalls"] = _difference(machine.stalls, self._slice_stalls)
        last["accesses"] = _difference(accesses, self._slice_accesses)
        self._slice_stalls, self._slice_accesses = dict(machine.stalls), accesses

    def _end_window(self, machine: Any) -> None:
        accesses = accesses_by_key(machine)
        n_windows = -(-machine.now // self.window)
        for key, number in _difference(accesses, self._window_accesses).items():
            series = self.traffic.setdefault(key, [])
            series += [0] * (n_windows - len(series))
            series[-1] += number
        self._window_accesses = accesses
        if n_windows >= MOST_WINDOWS and machine.now % (2 * self.window) == 0:
            self.window *= 2
            self.traffic = {key: _in_pairs(series) for key, series in self.traffic.items()}


def accesses_by_key(machine: Any) -> dict[str, int]:
    """Accesses granted so far, by memory and kind of access."""
    found: dict[Any, int] = {}
    for counted in (machine.layout.fifo, *machine.layout.spaces.values()):
        counted.add_counts(found)
    by_key: dict[str, int] = {}
    for (key, *_), number in found.items():
        by_key[key] = by_key.get(key, 0) + number
    return by_key


def _difference(now: dict[str, int], before: dict[str, int]) -> dict[str, int]:
    changes = {key: number - before.get(key, 0) for key, number in now.items()}
    return {key: change for key, change in changes.items() if change}


def _in_pairs(series: list[int]) -> list[int]:
    return [sum(series[first : first + 2]) for first in range(0, len(series), 2)]


def timeline_records(
    directory: Path,
    chip: str | None = None,
    sample: int | None = None,
    *,
    split: str | None = None,
    rule: str | None = None,
    listener: Listener | None = None,
) -> Record:
    """Return what a trace shows of one sample: what `Replay.about` says, and

    * `totals`: `clocks`, `phases`, `stalls` (clocks by cause) and `accesses` (by memory and kind);
    * `slices`: `unit`, `phase`, `layer` (None: all), `beside` (the layer that events are delivered to while `layer`
      fires), `step` (None: behind the last), `back`, `start` and `clocks`, and the `stalls` and `accesses` in it; they
      follow each other without a gap, and sum to the totals;
    * `stalls`: cause -> [first clock, clocks]; `unplaced_stalls`: cause -> clocks that are not in that list, as a trace
      holds `most_events`;
    * `window`, `traffic`: access -> accesses in every `window` clocks; the last window ends with the sample.

    Arguments and errors as of `neurochip.replay.open_run` and `replay`; a chip without a tick model is refused too.
    """
    from neurochip.reference.clock.network import groups

    run = open_run(directory, chip, rule)
    run.check_clocked()
    one = replay(run, sample, listener, split=split)
    beside = {fires: layer for layer, fires in groups(one.spec, one.learn) if fires is not None}
    model, timeline = tick_model(one), Timeline(beside)
    ticked = tick_through(one, model, timeline, listener)
    timeline.end(model.machine)
    timeline.cut()
    if listener is not None and timeline.unplaced:
        listener.message(
            f"stalls of {sum(timeline.unplaced.values()):,} clocks have no slice of their own: a trace holds "
            f"{MOST_EVENTS:,} events"
        )
    totals = {
        "clocks": ticked.ticks,
        "phases": ticked.ticks_by_phase,
        "stalls": ticked.stalls,
        "accesses": accesses_by_key(model.machine),
    }
    return one.about() | {
        "totals": totals,
        "slices": timeline.slices,
        "stalls": timeline.stalls,
        "unplaced_stalls": dict(timeline.unplaced),
        "most_events": MOST_EVENTS,
        "window": timeline.window,
        "traffic": timeline.traffic,
    }


__all__ = ["Timeline", "timeline_records"]
