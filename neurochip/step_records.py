"""Inference of one sample step by step: spikes, time and energy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from neurochip._version import __version__
from neurochip.activity import FIELD_INDEX, Activity, SampleTrace
from neurochip.counters import Count
from neurochip.listener import Listener
from neurochip.microarch.interface import Counted
from neurochip.pricing import EVENT_FIFO, Pricer
from neurochip.recorded_passes import pricers_of
from neurochip.replay import Replay, load_sample, open_run, replay_of
from neurochip.repricing import load_run
from neurochip.spec import CoreSpec

Record = dict[str, Any]
INPUT = "input"  # group of the addresses of the network's input
FIFO_KEYS = (f"{EVENT_FIFO}_read", f"{EVENT_FIFO}_write")
# Which unit of SANA-FE's pipeline a count belongs to; the first that says yes.
UNITS: Mapping[str, Callable[[Count], bool]] = {
    "network": lambda count: count.key == "hop" or count.key in FIFO_KEYS,
    # Potentials are never in DRAM, so what delivering events reads there is weights.
    "synapse": lambda count: count.key.startswith("synapse_") or (count.key, count.phase) == ("dram_read", "deliver"),
    "dendrite": lambda count: count.phase == "deliver",
    "soma": lambda count: True,
}


def step_records(
    directory: Path,
    chip: str | None = None,
    sample: int | None = None,
    *,
    split: str | None = None,
    listener: Listener | None = None,
) -> Record:
    """Return `name`, `chip`, `version`, `sample`, `split` and `rules` of a run: inference of one sample.

    A rule has `steps` (one per step: `step` from 1, `fired`, `updated`, `packets`, `hops`, `spikes`, `time_s`,
    `energy_j`), `spikes` ([group, neuron, step]) and `energy_j` (by unit, and `total`). What a step costs is what the
    first t steps cost more than the first t - 1, so that the steps sum to the sample.

    Args:
        directory: the run directory.
        chip: another chip than that of the run.
        sample, split: which sample, as of `neurochip.replay.replay`; here it is not learned, whichever split it is of.
        listener: told what happens.

    Raises:
        UserError: no finished run, no such split or sample, recordings that are gone, or a chip that can run no rule.
    """
    run = load_run(directory)
    opened = [open_run(directory, chip, rule) for rule in pricers_of(run, chip)]
    chosen = load_sample(opened[0], sample, listener, split=split)
    return {
        "name": run.report["name"],
        "chip": opened[0].pricer.chip.name,
        "version": __version__,
        "sample": chosen.index,
        "split": chosen.split,
        "rules": [
            {"rule": one.learned.rule, **_rule_record(replay_of(one, chosen, learn=False), one.pricer)}
            for one in opened
        ],
    }


def _rule_record(one: Replay, pricer: Pricer) -> Record:
    spec, activity, trace = one.spec, one.result.activity, one.trace
    prefixes = [Counted((), {}, 0.0), *(_first_steps(activity, trace, pricer, t + 1) for t in range(spec.n_steps))]
    steps = [
        {"step": index + 1, **_happened(activity, spec, index), **_cost(before, after, pricer)}
        for index, (before, after) in enumerate(pairwise(prefixes))
    ]
    return {"steps": steps, "spikes": _spikes(trace, spec), "energy_j": _by_unit(prefixes[-1], pricer)}


def _first_steps(activity: Activity, trace: SampleTrace, pricer: Pricer, n_steps: int) -> Counted:
    """Counts and cycles of the first steps of a sample, as of a sample that has no more."""
    totals = np.concatenate([activity.totals[:n_steps], activity.totals[-1:]])
    shorter = SampleTrace(trace.sample_indices, {name: bits[:, :n_steps] for name, bits in trace.bitmaps.items()})
    counts_by = replace(pricer, spec=replace(pricer.spec, n_steps=n_steps))
    return counts_by.count(replace(activity, totals=totals), shorter)


def _cost(before: Counted, after: Counted, pricer: Pricer) -> Record:
    spent, spent_before = pricer.energy(after), pricer.energy(before)
    return {
        "hops": _number(after, "hop") - _number(before, "hop"),
        "spikes": sum(_number(after, key) - _number(before, key) for key in ("ac", "mac")),
        "time_s": (spent.latency_us - spent_before.latency_us) * 1e-6,
        "energy_j": (spent.total_pj - spent_before.total_pj) * 1e-12,
    }


def _number(counted: Counted, key: str) -> int:
    """How often something was counted in delivering events, which is a whole number for a single sample."""
    return round(sum(count.number for count in counted.counts if count.key == key and count.phase == "deliver"))


def _happened(activity: Activity, spec: CoreSpec, index: int) -> Record:
    """What the activity says of a step: spikes of neurons, neurons brought up to date, events delivered to layers."""
    of_step = activity.totals[index]
    runs = [place for place, layer in enumerate(spec.layers) if layer.is_hidden or place == len(spec.layers) - 1]
    return {
        "fired": int(of_step[:, FIELD_INDEX["spikes"]].sum()),
        "updated": sum(spec.layers[place].n_out for place in runs),
        "packets": int(of_step[:, FIELD_INDEX["events"]].sum()),
    }


def _spikes(trace: SampleTrace, spec: CoreSpec) -> list[list[Any]]:
    """[group, neuron, step from 1] of every input event and spike, step by step."""
    names = {0: INPUT} | {index + 1: f"layer{index}" for index, layer in enumerate(spec.layers) if layer.is_hidden}
    found = [
        (int(step), place, int(neuron))
        for place in names
        for step, neuron in np.argwhere(trace.bitmaps[f"event/{place}"][0])
    ]
    return [[names[place], neuron, step + 1] for step, place, neuron in sorted(found)]


def _by_unit(counted: Counted, pricer: Pricer) -> Record:
    """Energy of the sample in J: by unit of SANA-FE's pipeline, clock, leakage and all."""
    parts: dict[str, list[Count]] = {unit: [] for unit in UNITS}
    for count in counted.counts:
        parts[next(unit for unit, holds in UNITS.items() if holds(count))].append(count)
    energy = pricer.energy(counted)
    units = {unit: pricer.energy(Counted(tuple(counts), {}, 0.0)).total_pj for unit, counts in parts.items()}
    all_parts = {**units, "clock": energy.clock_pj, "leakage": energy.leakage_pj, "total": energy.total_pj}
    return {name: value * 1e-12 for name, value in all_parts.items()}


__all__ = ["step_records"]
