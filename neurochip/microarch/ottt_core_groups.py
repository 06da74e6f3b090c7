"""The forward groups of `ottt_core`, FIRE beside DELIVER: clocks of recorded samples, and of all samples from them.

docs/microarchitecture.md, sections 3, 4 and 10. Where the spikes fall decides these clocks, so totals alone give only
the *serial* clocks, an upper bound: FIRE of a group, then DELIVER, as if nothing overlapped, and for every word of FIRE
the longest it can wait for late writes of DELIVER. Per layer l and over NT steps, with R = max(W·II + B, λ_D + 1)
clocks from row to row, B the clocks of a burst (0 on the chip), and s = 2 on a 1rw memory, else λ_D:

    DELIVER(l): (events + β)·R + NT·λ_D, and for l = 0 without a bias NT·II until the first event is at hand
    FIRE(l − 1): NT·W₋·(φ + 1 + s) + events

It is a bound because in every clock FIRE reads, computes, writes or pushes (at most φ + 1 clocks per word and one per
spike); or DELIVER has a row, at most R clocks for each; or FIRE waits for a late write; or both are done but for the
last writes.

They are linear in the totals, so recorded samples give all samples by a ratio estimate with them (sampling.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurochip.activity import Activity, SampleTrace
from neurochip.counters import STALL_CAUSES
from neurochip.errors import UserError
from neurochip.microarch.footprint import spilled_memories
from neurochip.microarch.interface import ChipTiming, Sampled
from neurochip.microarch.sampling import half_width, ratio
from neurochip.microarch.shapes import ceil_div
from neurochip.microarch.timing import burst_cycles, read_latency, stream
from neurochip.spec import CoreSpec

# Columns of clocks, in the order of the kernel.
COLUMNS = ("fire", "deliver", "event_wait", "raw_hazard", "port", "arbitration", "fifo_full", "latency", "dram")
PHASE_COLUMNS = COLUMNS[:2]
CELLS_PER_BATCH = 4096  # of (sample, step); bounds the memory for spikes per word


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


@dataclass(frozen=True)
class Group:
    """Numbers of group l: DELIVER of layer l beside FIRE of the layer below (docs/microarchitecture.md, section 3)."""

    ii: int
    deliver_latency: int
    fire_latency: int
    fifo_events: int
    words: int
    first_word: int
    words_below: int
    first_word_below: int
    bank_words: int
    bias: int
    burst: int

    @property
    def row_cycles(self) -> int:
        """R, clocks from one row of DELIVER to the next if events never lack."""
        return max(self.words * self.ii + self.burst, self.deliver_latency + 1)

    def serial(self, events: Any, steps: int) -> dict[str, Any]:
        """Serial clocks by column, for `events` (a number, or one per sample) in `steps` steps."""
        rows = events + steps * self.bias
        hazard = self.row_cycles - self.words * self.ii - self.burst
        first = 0 if self.bias or self.words_below else steps  # the first event is at hand in clock 1
        late = steps * self.words_below * (2 if self.ii == 2 else self.deliver_latency)
        spikes = events if self.words_below else 0
        return {
            "fire": steps * self.words_below * (self.fire_latency + 1) + late + spikes,
            "deliver": rows * self.row_cycles + steps * self.deliver_latency + first * self.ii,
            "event_wait": first,
            "raw_hazard": rows * (hazard // self.ii),
            "port": rows * (self.words * (self.ii - 1) + hazard - hazard // self.ii) + first * (self.ii - 1),
            "arbitration": late,
            "latency": steps * (self.deliver_latency + self.words_below * (self.fire_latency - 1)),
            "dram": rows * self.burst,
        }

    def least(self, events: int, steps: int) -> int:
        """Clocks that the busier of the two cannot do without."""
        early = self.ii - 1 if self.burst else 0  # a burst may begin in the second clock of a slot
        deliver = (events + steps * self.bias) * (self.words * self.ii + self.burst - early)
        return max(deliver, steps * self.words_below * (self.fire_latency + 1))


def groups(spec: CoreSpec, chip: ChipTiming) -> list[Group]:
    """Every group of a step, in order."""
    spilled = spilled_memories(spec, chip)
    words = [ceil_div(layer.n_out, chip.lanes) for layer in spec.layers]
    first_words = [sum(words[:index]) for index in range(len(words))]
    slots = stream(chip, ("neuron",), ("synapse",), spilled)
    if "event_fifo" not in chip.memories:
        raise UserError("memories.event_fifo is missing, but the event FIFO needs a depth; add this memory")
    return [
        Group(
            ii=slots.ii,
            deliver_latency=slots.latency,
            fire_latency=read_latency(chip, "neuron") + chip.pipeline_latency_cycles,
            fifo_events=chip.memories["event_fifo"].words,
            words=words[index],
            first_word=first_words[index],
            words_below=words[index - 1] if index else 0,
            first_word_below=first_words[index - 1] if index else 0,
            bank_words=chip.memories["neuron"].bank_words,
            bias=int(layer.bias),
            burst=burst_cycles(chip, words[index], chip.lanes * spec.weight_bits) if "synapse" in spilled else 0,
        )
        for index, layer in enumerate(spec.layers)
    ]


def forward_cycles_of(trace: SampleTrace, spec: CoreSpec, chip: ChipTiming) -> ForwardCycles:
    """Clocks of the forward groups of every recorded sample, exactly, from its events.

    Raises:
        UserError: if the bitmaps "event/<layer>" are not those of this network.
    """
    n_samples, shapes = len(trace.sample_indices), groups(spec, chip)
    clocks = np.zeros((n_samples, len(COLUMNS)), dtype=np.int64)
    serial = np.zeros(n_samples, dtype=np.int64)
    per_batch = max(1, CELLS_PER_BATCH // spec.n_steps)
    for index, group in enumerate(shapes):
        bitmap = _events(trace, spec, index)
        lanes = chip.lanes if index else spec.layers[0].n_in  # in group 0 only the number of events matters
        for start in range(0, n_samples, per_batch):
            batch = slice(start, start + per_batch)
            cells = _spikes_per_word(bitmap[batch], lanes)
            clocks[batch] += _run(group, cells).reshape(-1, spec.n_steps, len(COLUMNS)).sum(axis=1)
            alone = group.serial(cells.sum(axis=1).reshape(-1, spec.n_steps).sum(axis=1), spec.n_steps)
            serial[batch] += alone["fire"] + alone["deliver"]
    by_column = {name: clocks[:, column] for column, name in enumerate(COLUMNS)}
    none = np.zeros(n_samples, dtype=np.int64)
    return ForwardCycles(
        {phase: by_column[phase] for phase in PHASE_COLUMNS},
        {cause: by_column.get(cause, none) for cause in STALL_CAUSES},
        serial,
    )


def _events(trace: SampleTrace, spec: CoreSpec, index: int) -> NDArray[np.bool_]:
    """The bitmap of the input events of a layer, [samples, steps, inputs]."""
    name, wanted = f"event/{index}", (len(trace.sample_indices), spec.n_steps, spec.layers[index].n_in)
    found = trace.bitmaps[name].shape if name in trace.bitmaps else None
    if found != wanted:
        raise UserError(f"recorded bitmap {name} has shape {found}; the network needs {wanted}")
    return trace.bitmaps[name]


def _spikes_per_word(bitmap: NDArray[np.bool_], lanes: int) -> NDArray[np.int64]:
    """[samples, steps, inputs] -> [samples·steps, words]."""
    starts = np.arange(0, bitmap.shape[2], lanes)
    counts: NDArray[np.int64] = np.add.reduceat(bitmap, starts, axis=2, dtype=np.int64)
    return counts.reshape(-1, len(starts))


def _run(group: Group, cells: NDArray[np.int64]) -> NDArray[np.int64]:
    """Clocks of one group for every (sample, step), [cells, columns]; equal ones are run once."""
    from neurochip.microarch.kernels.forward_groups import Timing, run_groups  # numba loads here

    different, places = np.unique(cells, axis=0, return_inverse=True)
    clocks = np.zeros((len(different), len(COLUMNS)), dtype=np.int64)
    run_groups(Timing(**vars(group)), different, clocks)
    of_cell: NDArray[np.int64] = clocks[places.reshape(-1)]
    return of_cell


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
    recorded = forward_cycles_of(trace, spec, chip)
    if _is_complete(trace, activity):
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


def _is_complete(trace: SampleTrace, activity: Activity) -> bool:
    """Whether the recorded samples are those of the activity: as many, with as many events in every layer."""
    events = [int(trace.bitmaps[f"event/{index}"].sum()) for index in range(activity.n_layers)]
    return len(trace.sample_indices) == activity.n_samples and events == activity.per_layer("events")


def _serial_totals(activity: Activity, spec: CoreSpec, chip: ChipTiming) -> dict[str, int]:
    """Serial clocks of all samples by column."""
    totals: dict[str, int] = {}
    steps = activity.n_samples * spec.n_steps
    for group, events in zip(groups(spec, chip), activity.per_layer("events"), strict=True):
        for column, clocks in group.serial(events, steps).items():
            totals[column] = totals.get(column, 0) + clocks
    return totals


def _least(activity: Activity, spec: CoreSpec, chip: ChipTiming) -> int:
    """Clocks that the forward groups take at least."""
    steps = activity.n_samples * spec.n_steps
    per_group = zip(groups(spec, chip), activity.per_layer("events"), strict=True)
    return sum(group.least(events, steps) for group, events in per_group)
