"""The forward groups of `ottt_core`, FIRE beside DELIVER: clocks of recorded samples, and of all samples from them.

docs/microarchitecture.md, sections 3, 4 and 10. The clocks of recorded samples are exact. Serial clocks
(forward_group.py) are linear in the totals, so recorded samples give all samples by a ratio estimate with them
(sampling.py).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurochip.activity import Activity, SampleTrace
from neurochip.counters import STALL_CAUSES
from neurochip.microarch.forward_events import EventLists, GroupEvents
from neurochip.microarch.forward_group import Group, groups
from neurochip.microarch.forward_plan import plan_groups
from neurochip.microarch.interface import ChipTiming, Sampled
from neurochip.microarch.sampling import half_width, ratio
from neurochip.spec import CoreSpec

# Columns of clocks, in the order of the kernel.
COLUMNS = ("fire", "deliver", "event_wait", "raw_hazard", "port", "arbitration", "fifo_full", "latency", "dram")
PHASE_COLUMNS = COLUMNS[:2]
CELLS_PER_BATCH = 4096  # of (sample, step); bounds the memory for spikes per word
MOST_WALKED = 4096
# Clocks of groups of convolutions by all they depend on: a memory of a pure function, which has no other state.
_WALKED: dict[tuple[Any, ...], NDArray[np.int64]] = {}


@dataclass(frozen=True)
class ForwardCycles:
    """Clocks of the forward groups, per sample.

    Attributes:
        phases: "deliver" and "fire" -> int64 [samples].
        stalls: cause -> int64 [samples], every cause of `neurochip.counters.STALL_CAUSES`.
        serial: int64 [samples], the clocks if FIRE and DELIVER of a group ran one after the other.
    """

    phases: Mapping[str, NDArray[np.int64]]
    stalls: Mapping[str, NDArray[np.int64]]
    serial: NDArray[np.int64]

    @property
    def cycles(self) -> NDArray[np.int64]:
        """Clocks of all forward groups, [samples]."""
        return self.phases["deliver"] + self.phases["fire"]


@dataclass(frozen=True)
class ForwardTotals:
    """Clocks of the forward groups of all samples, and how well they are known; `sampled` is None if exactly."""

    phases: Mapping[str, float]
    stalls: Mapping[str, float]
    sampled: Sampled | None


def forward_cycles_of(trace: SampleTrace, spec: CoreSpec, chip: ChipTiming, learning: bool = True) -> ForwardCycles:
    """Clocks of the forward groups of every recorded sample, exactly, from its events.

    Args:
        trace: recorded events.
        spec, chip: the network and the chip.
        learning: whether heads run.

    Raises:
        UserError: if the bitmaps "event/<l>" are not those of this network.
    """
    n_samples = len(trace.sample_indices)
    clocks = np.zeros((n_samples, len(COLUMNS)), dtype=np.int64)
    serial = np.zeros(n_samples, dtype=np.int64)
    per_batch = max(1, CELLS_PER_BATCH // spec.n_steps)
    for group in groups(spec, chip, learning):
        events = GroupEvents(trace, spec, group.plan)
        for start in range(0, n_samples, per_batch):
            batch = slice(start, start + per_batch)
            pushed = events.pushed(batch, chip.lanes)
            of_cells = _run(group, pushed) if group.conv is None else _run_lists(group, pushed, events.lists(batch))
            clocks[batch] += of_cells.reshape(-1, spec.n_steps, len(COLUMNS)).sum(axis=1)
        taps = 0 if group.conv is None else events.n_taps(group.conv)
        alone = group.serial(events.n_events(), spec.n_steps, taps)
        serial += alone["fire"] + alone["deliver"]
    by_column = {name: clocks[:, column] for column, name in enumerate(COLUMNS)}
    none = np.zeros(n_samples, dtype=np.int64)
    return ForwardCycles(
        {phase: by_column[phase] for phase in PHASE_COLUMNS},
        {cause: by_column.get(cause, none) for cause in STALL_CAUSES},
        serial,
    )


def _run(group: Group, pushed: NDArray[np.int64]) -> NDArray[np.int64]:
    """Clocks of a dense group for every (sample, step), [cells, columns]; equal ones are run once."""
    from neurochip.microarch.kernels.forward_groups import Timing, run_groups  # numba loads here

    different, places = np.unique(pushed, axis=0, return_inverse=True)
    clocks = np.zeros((len(different), len(COLUMNS)), dtype=np.int64)
    run_groups(Timing(**group.timing), different, clocks)
    of_cell: NDArray[np.int64] = clocks[places.reshape(-1)]
    return of_cell


def _run_lists(group: Group, pushed: NDArray[np.int64], events: EventLists) -> NDArray[np.int64]:
    """Clocks of the group of a convolution for every (sample, step), [cells, columns]: addresses decide them."""
    from neurochip.microarch.kernels.convolution_groups import Map, run_groups  # numba loads here
    from neurochip.microarch.kernels.forward_groups import Timing

    # Every price that does not change the timing asks for the same clocks again, and this walk is the dearest of all.
    key = (group, *(_digest(array) for array in (pushed, events.offsets, events.addresses)))
    if (known := _WALKED.get(key)) is not None:
        return known
    clocks = np.zeros((len(pushed), len(COLUMNS)), dtype=np.int64)
    shape = Map(*(getattr(group.conv, name) for name in Map._fields))
    run_groups(Timing(**group.timing), shape, pushed, events.offsets, events.addresses, clocks)
    clocks.setflags(write=False)
    if len(_WALKED) >= MOST_WALKED:
        _WALKED.clear()
    _WALKED[key] = clocks
    return clocks


def _digest(array: NDArray[np.int64]) -> bytes:
    return hashlib.blake2b(np.ascontiguousarray(array).data, digest_size=16).digest()


def forward_totals(activity: Activity, spec: CoreSpec, chip: ChipTiming, trace: SampleTrace | None) -> ForwardTotals:
    """Clocks of the forward groups of an activity.

    Exact if `trace` has all its samples; a ratio estimate if it has fewer, or samples of another pass; serial clocks
    if it has none. Fewer than two samples give no interval: the half width is then the whole range of what is possible.

    Raises:
        UserError: if the trace is of another network.
    """
    alone = _serial_totals(activity, spec, chip)
    serial = alone["fire"] + alone["deliver"]
    n_recorded = len(trace.sample_indices) if trace is not None else 0
    if trace is None or n_recorded == 0:
        phases = {phase: alone[phase] for phase in PHASE_COLUMNS}
        sampled = Sampled(0, activity.n_samples, serial - _least(activity, spec, chip))
        return ForwardTotals(phases, {cause: alone.get(cause, 0) for cause in STALL_CAUSES}, sampled)
    recorded = forward_cycles_of(trace, spec, chip, activity.learning)
    if _is_complete(trace, spec, activity):
        return ForwardTotals(
            {phase: int(clocks.sum()) for phase, clocks in recorded.phases.items()},
            {cause: int(clocks.sum()) for cause, clocks in recorded.stalls.items()},
            None,
        )
    if n_recorded > 1:
        width = half_width(recorded.serial, recorded.cycles, serial, activity.n_samples)
    else:
        width = float(serial - _least(activity, spec, chip))
    return ForwardTotals(
        {phase: ratio(recorded.serial, clocks, serial) for phase, clocks in recorded.phases.items()},
        {cause: ratio(recorded.serial, clocks, serial) for cause, clocks in recorded.stalls.items()},
        Sampled(n_recorded, activity.n_samples, width),
    )


def _is_complete(trace: SampleTrace, spec: CoreSpec, activity: Activity) -> bool:
    """Whether the recorded samples are those of the activity: as many, with as many events in every layer."""
    if len(trace.sample_indices) != activity.n_samples:
        return False
    total = activity.per_layer("events")
    plans = plan_groups(spec, activity.learning)
    return all(int(GroupEvents(trace, spec, plan).n_events().sum()) == total[plan.layer] for plan in plans)


def _serial_totals(activity: Activity, spec: CoreSpec, chip: ChipTiming) -> dict[str, int]:
    """Serial clocks of all samples by column."""
    totals: dict[str, int] = {}
    steps = activity.n_samples * spec.n_steps
    events, taps = activity.per_layer("events"), activity.per_layer("deliver_taps")
    for group in groups(spec, chip, activity.learning):
        layer = group.plan.layer
        for column, clocks in group.serial(events[layer], steps, taps[layer]).items():
            totals[column] = totals.get(column, 0) + clocks
    return totals


def _least(activity: Activity, spec: CoreSpec, chip: ChipTiming) -> int:
    """Clocks that the forward groups take at least."""
    steps = activity.n_samples * spec.n_steps
    events, taps = activity.per_layer("events"), activity.per_layer("deliver_taps")
    return sum(
        group.least(events[group.plan.layer], steps, taps[group.plan.layer])
        for group in groups(spec, chip, activity.learning)
    )
