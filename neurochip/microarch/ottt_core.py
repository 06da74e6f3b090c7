"""`ottt_core`: activity -> counts and cycles in closed form, all linear in the totals of the activity.

Every line is defined in docs/microarchitecture.md. Phases and layers run one after the other: no overlap is credited.
"""

from __future__ import annotations

from collections.abc import Callable

from neurochip.activity import FIELDS, Activity
from neurochip.counters import PHASES, Count
from neurochip.errors import UserError
from neurochip.microarch import ottt_core_forward as forward
from neurochip.microarch import ottt_core_learning as learning
from neurochip.microarch.interface import ALL_GATES, ChipTiming, Counted, Gates
from neurochip.microarch.ottt_core_site import Site, Work
from neurochip.microarch.registry import register_microarchitecture
from neurochip.microarch.shapes import learns
from neurochip.spec import CoreSpec

PHASE_MODELS: tuple[Callable[[Site], Work], ...] = (
    forward.deliver,
    forward.fire,
    forward.trace,
    learning.error,
    learning.update,
    learning.apply,
    forward.history,
)


def count(activity: Activity, spec: CoreSpec, chip: ChipTiming, gates: Gates = ALL_GATES) -> Counted:
    """Count what `ottt_core` does with this activity: totals over all its samples.

    Args:
        activity: totals of one pass.
        spec: the network and rule the activity was recorded with.
        chip: lanes, ports and latencies.
        gates: which zeros the chip skips.

    Raises:
        UserError: if the activity is of another network, or, where learning was on, of another word width.
    """
    _check(activity, spec, chip)
    merged: dict[tuple[str, str, int, tuple[int, ...]], float] = {}
    cycles_by_phase = dict.fromkeys(PHASES, 0.0)
    for site in _sites(activity, spec, chip, gates):
        for model in PHASE_MODELS:
            work = model(site)
            cycles_by_phase[work.phase] += work.cycles
            for item in work.counts:
                place = (item.key, item.phase, item.layer, item.widths_bits)
                merged[place] = merged.get(place, 0.0) + item.number
    counts = tuple(Count(*place, number) for place, number in merged.items() if number)
    return Counted(counts, cycles_by_phase, sum(cycles_by_phase.values()))


def _sites(activity: Activity, spec: CoreSpec, chip: ChipTiming, gates: Gates) -> list[Site]:
    sites: list[Site] = []
    seen = {name: activity.per_layer(name) for name in FIELDS}
    applied = {name: activity.applied(name) for name in FIELDS}
    for index in range(len(spec.layers)):
        sites.append(
            Site(
                index=index,
                spec=spec,
                chip=chip,
                gates=gates,
                seen={name: values[index] for name, values in seen.items()},
                applied={name: values[index] for name, values in applied.items()},
                below=sites[-1] if sites else None,
                n_samples=activity.n_samples,
                n_applies=activity.n_applies,
                learning=activity.learning and learns(spec),
            )
        )
    return sites


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
    "ottt_core", "one learning core: L lanes, bitmap scanners, phases one after the other", count
)
