"""`ottt_mesh`: a network split over the cores of a mesh, each an `ottt_core` (docs/multicore.md).

A network that fits one core is counted as `ottt_core` counts it. Barriers need single steps, so the clocks of a split
network come from recorded samples, and so does what the split adds to the accesses.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurochip.activity import FIELD_INDEX, Activity, SampleTrace
from neurochip.counters import PHASES, Count
from neurochip.errors import UserError
from neurochip.microarch import ottt_core
from neurochip.microarch.chains import require_chain
from neurochip.microarch.interface import ALL_GATES, ChipTiming, Counted, Gates, Sampled
from neurochip.microarch.mesh import MeshTiming
from neurochip.microarch.multicore_slices import SliceActivity, even_trace, slice_activity
from neurochip.microarch.multicore_split import Split, core_bits, core_words, history_groups, split_network
from neurochip.microarch.multicore_stages import Stages
from neurochip.microarch.registry import CoreContents, register_microarchitecture
from neurochip.microarch.replay import activity_of_trace
from neurochip.microarch.replay_fields import per_sample_totals
from neurochip.microarch.sampling import half_width
from neurochip.microarch.shapes import ceil_div, learns
from neurochip.spec import CoreSpec

Tally = dict[tuple[str, str, int, tuple[int, ...]], float]
WORK_FIELDS = ("error_words", "update_words")  # besides events·W: what the clocks of a sample mostly follow


def count(
    activity: Activity,
    spec: CoreSpec,
    chip: ChipTiming,
    gates: Gates = ALL_GATES,
    trace: SampleTrace | None = None,
) -> Counted:
    """Count what a mesh of `ottt_core` cores does with this activity.

    Accesses and operations are those of one unsplit core, times what the split adds to them in the recorded samples.
    Clocks are those of a sample in which nothing happens, and what the recorded samples take longer, times the ratio
    of the work of all samples to theirs; hops are scaled by the same ratio. With no sample recorded one made-up sample
    of the mean rates stands in, and the half width is the whole number of cycles.

    Args:
        activity: totals of one pass.
        spec: the network and rule the activity was recorded with.
        chip: with a mesh; lanes, ports and memories are those of one core.
        gates: which zeros the cores skip.
        trace: recorded samples of the pass.

    Raises:
        UserError: if the network does not fit the mesh, or the activity or trace is of another network.
    """
    split = fitted_split(spec, chip)
    whole = ottt_core.count(activity, spec, chip, gates, trace)
    if len(split.cores) == 1:
        return whole
    is_recorded = trace is not None and len(trace.sample_indices) > 0
    recorded = trace if trace is not None and is_recorded else even_trace(activity, spec)
    replay = _Replay(recorded, activity, spec, chip, gates, split)
    counts = replay.counts(whole.counts)
    cycles = replay.cycles()
    if activity.n_applies and activity.learning:
        cycles["apply"] = replay.apply_cycles()
    total = sum(cycles.values())
    sampled: Sampled | None = None
    if not is_recorded:
        sampled = Sampled(0, activity.n_samples, total)
    elif not replay.is_complete:
        sampled = Sampled(len(recorded.sample_indices), activity.n_samples, replay.half_width(total))
    return Counted(counts, {phase: cycles[phase] for phase in PHASES}, total, {}, sampled)


def mesh_of(chip: ChipTiming) -> MeshTiming:
    """The mesh of a chip; UserError if it has none, or an overflow mode besides "refuse"."""
    mesh: MeshTiming | None = getattr(chip, "mesh", None)
    name = getattr(chip, "file", "the chip")
    if mesh is None:
        raise UserError(
            f"{name}: mesh is missing; the microarchitecture ottt_mesh needs it: columns, rows, link_bits, ..."
        )
    if chip.overflow != "refuse":
        raise UserError(
            f'overflow = "{chip.overflow}" is not for a mesh of cores ({name}); allowed is "refuse": a network too '
            "large for one core takes more cores"
        )
    return mesh


def fitted_split(spec: CoreSpec, chip: ChipTiming) -> Split:
    """The split of a network over the mesh of a chip; UserError if it is no chain, or does not fit the mesh."""
    require_chain(spec, "ottt_mesh")
    mesh, split = mesh_of(chip), split_network(spec, chip)
    if len(split.cores) > mesh.columns * mesh.rows:
        raise UserError(
            f"{getattr(chip, 'file', 'the chip')}: the network needs {len(split.cores)} cores, but mesh has "
            f"{mesh.columns * mesh.rows} ({mesh.columns} x {mesh.rows}); use a smaller network or a larger mesh"
        )
    return split


def cores(spec: CoreSpec, chip: ChipTiming) -> tuple[CoreContents, ...]:
    """What every core in use stores; UserError as `fitted_split`."""
    split = fitted_split(spec, chip)
    return tuple(CoreContents(core_words(core, spec, chip), core_bits(core, spec)) for core in split.cores)


@dataclass
class _Replay:
    """The recorded samples on the split network."""

    trace: SampleTrace
    activity: Activity
    spec: CoreSpec
    chip: ChipTiming
    gates: Gates
    split: Split

    def __post_init__(self) -> None:
        self.learning = self.activity.learning and learns(self.spec)
        self.slices = self._slices(self.trace)
        self.stages = self._stages(self.trace)
        self.empty = {phase: int(clocks.sum()) for phase, clocks in self._stages(_silent(self.trace)).clocks.items()}
        steps = per_sample_totals(self.trace, self.spec, self.chip.lanes, self.chip.trace_lanes, self.learning)
        self.work = np.array([self._work(totals) for totals in steps], dtype=np.int64)
        events = FIELD_INDEX["events"]
        same = np.array_equal(steps[..., events].sum(axis=0), self.activity.totals[..., events])
        self.is_complete = len(steps) == self.activity.n_samples and same

    def _slices(self, trace: SampleTrace) -> list[SliceActivity]:
        return [
            slice_activity(part, core, trace, self.spec, self.chip, self.learning)
            for core, held in enumerate(self.split.cores)
            for part in held
        ]

    def _stages(self, trace: SampleTrace) -> Stages:
        slices = self.slices if trace is self.trace else self._slices(trace)
        stages = Stages(self.spec, self.chip, self.gates, self.split, slices, mesh_of(self.chip))
        stages.run(self.learning)
        return stages

    def _work(self, totals: NDArray[np.int64]) -> int:
        """Words of weights moved, events·W and back and in updates: known for all samples, and the ratio's base."""
        words = np.array([ceil_div(layer.n_out, self.chip.lanes) for layer in self.spec.layers])
        moved = (totals[:-1, :, FIELD_INDEX["events"]] * words).sum()
        return int(moved + sum(totals[:-1, :, FIELD_INDEX[name]].sum() for name in WORK_FIELDS))

    @property
    def scale(self) -> float:
        """All samples over the recorded ones, in work."""
        if self.is_complete or not self.work.any():
            return self.activity.n_samples / len(self.work)
        return self._work(self.activity.totals) / int(self.work.sum())

    def cycles(self) -> dict[str, float]:
        """Clocks of all samples by phase, applies excluded: N·empty + (Σ recorded − n·empty)·scale."""
        n_samples, n_recorded = self.activity.n_samples, len(self.work)
        return {
            phase: self.empty[phase] * n_samples + (int(clocks.sum()) - self.empty[phase] * n_recorded) * self.scale
            for phase, clocks in self.stages.clocks.items()
        }

    def half_width(self, cycles: float) -> float:
        """Half the width of the 95 % interval of the cycles; all of them if one sample is recorded."""
        if len(self.work) < 2 or not self.work.any():
            return cycles
        per_sample: NDArray[np.int64] = sum(self.stages.clocks.values(), np.zeros_like(self.stages.idle)).sum(axis=1)
        longer = per_sample - sum(self.empty.values())
        return half_width(self.work, longer, self._work(self.activity.totals), self.activity.n_samples)

    def counts(self, of_one_core: Sequence[Count]) -> tuple[Count, ...]:
        """Counts of all samples: of one core, times split/unsplit in the recorded ones; and what only a mesh does."""
        unsplit, split = self._unsplit(), self.recorded_counts()
        result = [
            Count(c.key, c.phase, c.layer, c.widths_bits, c.number * split.get(place, 0) / unsplit[place])
            if unsplit.get(place := (c.key, c.phase, c.layer, c.widths_bits))
            else c
            for c in of_one_core
        ]
        known = {(c.key, c.phase, c.layer, c.widths_bits) for c in of_one_core}
        result += [Count(*place, number * self.scale) for place, number in split.items() if place not in known]
        return tuple(count for count in result if count.number)

    def _unsplit(self) -> Tally:
        lanes, trace_lanes = self.chip.lanes, self.chip.trace_lanes
        recorded = activity_of_trace(self.trace, self.spec, lanes, trace_lanes, self.learning)
        return _tally(ottt_core.count(recorded, self.spec, self.chip, self.gates).counts)

    def recorded_counts(self) -> Tally:
        """Counts of the recorded samples on the split network: every slice, copies, and the mesh."""
        records = self.stages.mesh.leaves() + self._history()
        for seen in self.slices:
            counted = ottt_core.count(seen.activity, seen.spec, self.chip, self.gates).counts
            records += [c for c in counted if c.layer == seen.layer and c.phase != "history"]
        return _tally(records)

    def _history(self) -> list[Count]:
        """History words of every core: input events are kept by every core that learns from them."""
        if not self.learning:
            return []
        steps, width = len(self.trace.sample_indices) * self.spec.n_steps, self.chip.history_word_bits
        return [
            Count(key, "history", layer, (width,), steps * ceil_div(bits, width))
            for core in self.split.cores
            for layer, bits in history_groups(core, self.spec)
            for key in ("history_write", "history_read")
        ]

    def apply_cycles(self) -> float:
        """Clocks of the applies; a slice has the share of its layer's gradient words that it has of its updates."""
        words = self.activity.applied("update_words")
        updates = [int(seen.at["update_words"].sum()) for seen in self.slices]
        of_layer: Counter[int] = Counter()
        for seen, number in zip(self.slices, updates, strict=True):
            of_layer[seen.layer] += number
        shares = [
            number / of_layer[seen.layer]
            if of_layer[seen.layer]
            else seen.part.n_out / self.spec.layers[seen.layer].n_out
            for seen, number in zip(self.slices, updates, strict=True)
        ]
        per_slice = [share * words[seen.layer] for seen, share in zip(self.slices, shares, strict=True)]
        return self.stages.apply(per_slice, self.activity.n_applies)


def _silent(trace: SampleTrace) -> SampleTrace:
    """One sample in which nothing happens."""
    bitmaps = {name: np.zeros((1, *bitmap.shape[1:]), dtype=np.bool_) for name, bitmap in trace.bitmaps.items()}
    return SampleTrace(np.zeros(1, dtype=np.int64), bitmaps)


def _tally(counts: Iterable[Count]) -> Tally:
    tally: Tally = defaultdict(float)
    for c in counts:
        tally[c.key, c.phase, c.layer, c.widths_bits] += c.number
    return tally


register_microarchitecture(
    "ottt_mesh",
    "ottt_core cores on a mesh: layers split by output neurons, stages end with the slowest core",
    count,
    cores,
)
