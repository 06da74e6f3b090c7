"""`ottt_core`: activity -> counts, cycles and stalls (docs/microarchitecture.md).

All are linear in the totals of the activity, but for the clocks of FIRE beside DELIVER, which need the recorded events.
"""

from __future__ import annotations

from collections.abc import Callable

from neurochip.activity import FIELD_INDEX, FIELDS, Activity, SampleTrace
from neurochip.counters import PHASES, STALL_CAUSES, Count
from neurochip.errors import UserError
from neurochip.microarch import ottt_core_error
from neurochip.microarch import ottt_core_forward as forward
from neurochip.microarch import ottt_core_learning as learning
from neurochip.microarch.error_paths import delayed_path
from neurochip.microarch.footprint import spilled_memories
from neurochip.microarch.interface import ALL_GATES, ChipTiming, Counted, Gates
from neurochip.microarch.ottt_core_groups import forward_totals
from neurochip.microarch.ottt_core_site import Site, Work
from neurochip.microarch.ottt_core_standardise import standardise
from neurochip.microarch.registry import register_microarchitecture
from neurochip.microarch.shapes import learns
from neurochip.spec import CoreSpec

PHASE_MODELS: tuple[Callable[[Site], Work], ...] = (
    forward.deliver,
    forward.fire,
    forward.trace,
    ottt_core_error.error,
    learning.update,
    learning.apply,
    standardise,
    forward.history,
)


def count(
    activity: Activity,
    spec: CoreSpec,
    chip: ChipTiming,
    gates: Gates = ALL_GATES,
    trace: SampleTrace | None = None,
) -> Counted:
    """Count what `ottt_core` does with this activity: totals over all its samples.

    Args:
        activity: totals of one pass.
        spec: the network and rule the activity was recorded with.
        chip: lanes, ports and latencies.
        gates: which zeros the chip skips.
        trace: recorded events. Cycles of FIRE beside DELIVER are exact if it has all samples of the activity, estimated
            if it has some of them or samples of another pass of this network, serial without it (`Counted.sampled`).

    Raises:
        UserError: if the activity or the trace is of another network, or the activity, where learning was on, of
            another word width; if the chip lacks a memory, or cannot run this network in these gates.
    """
    _check(activity, spec, chip)
    if activity.learning:
        _check_gates(spec, gates)
    merged: dict[tuple[str, str, int, tuple[int, ...]], float] = {}
    cycles_by_phase = dict.fromkeys(PHASES, 0.0)
    stalls = dict.fromkeys(STALL_CAUSES, 0.0)
    forward_groups = forward_totals(activity, spec, chip, trace)
    for phase, cycles in forward_groups.phases.items():
        cycles_by_phase[phase] += cycles
    for cause, cycles in forward_groups.stalls.items():
        stalls[cause] += cycles
    for site in _sites(activity, spec, chip, gates):
        for model in PHASE_MODELS:
            work = model(site)
            cycles_by_phase[work.phase] += work.cycles
            for cause, cycles in work.stalls.items():
                stalls[cause] += cycles
            for item in work.counts:
                place = (item.key, item.phase, item.layer, item.widths_bits)
                merged[place] = merged.get(place, 0.0) + item.number
    counts = tuple(Count(*place, number) for place, number in merged.items() if number)
    return Counted(counts, cycles_by_phase, sum(cycles_by_phase.values()), stalls, forward_groups.sampled)


def _sites(activity: Activity, spec: CoreSpec, chip: ChipTiming, gates: Gates) -> list[Site]:
    spilled = spilled_memories(spec, chip)
    seen = {name: activity.per_layer(name) for name in FIELDS}
    applied = {name: activity.applied(name) for name in FIELDS}
    unrolls = activity.learning and spec.credit == "unroll"
    steps = [t for t in range(spec.n_steps) if unrolls or spec.has_loss(t + 1)]  # those with ERROR and UPDATE
    psi_nonzero = [int(number) for number in activity.totals[steps, :, FIELD_INDEX["psi_nonzero"]].sum(axis=0)]
    return [
        Site(
            index=index,
            spec=spec,
            chip=chip,
            gates=gates,
            seen={name: values[index] for name, values in seen.items()},
            applied={name: values[index] for name, values in applied.items()},
            n_samples=activity.n_samples,
            n_applies=activity.n_applies,
            n_standardisations=activity.n_standardisations,
            learning=activity.learning and learns(spec),
            spilled=spilled,
            psi_nonzero=psi_nonzero,
        )
        for index in range(len(spec.layers))
    ]


def _check_gates(spec: CoreSpec, gates: Gates) -> None:
    """What a recurrent layer under unroll reads in its two passes is one total, so what gates skip is not known."""
    recurrent = [index for index in range(len(spec.layers)) if delayed_path(spec, index) is not None]
    if recurrent and gates != ALL_GATES:
        raise UserError(
            f"layer {recurrent[0]} is recurrent and learns by unrolling; gates that are switched off are not counted "
            "for such a network, allowed are all of zero_trace, zero_error and zero_surrogate"
        )


def _check(activity: Activity, spec: CoreSpec, chip: ChipTiming) -> None:
    if (activity.n_layers, activity.n_steps) != (len(spec.layers), spec.n_steps):
        raise UserError(
            f"the activity has {activity.n_layers} layers and {activity.n_steps} steps; "
            f"the network has {len(spec.layers)} layers and {spec.n_steps} steps"
        )
    if not (activity.learning and learns(spec)):
        return  # nothing of an inference pass depends on a word width
    for key, of_chip, declared in (
        ("lanes", chip.lanes, activity.synapse_lanes),
        ("trace_lanes", chip.trace_lanes, activity.trace_lanes),
    ):
        if of_chip != declared:
            raise UserError(
                f"{key} of the chip is {of_chip}, but the activity was recorded in words of {declared}; "
                f"run the experiment again with this chip, or choose a chip with {key} = {declared}"
            )


register_microarchitecture(
    "ottt_core", "one learning core: L lanes, bitmap scanners, FIRE of a layer beside DELIVER of the next", count
)
