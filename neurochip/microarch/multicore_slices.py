"""Recorded bitmaps of a network -> those of one slice, and what happened in it step by step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from neurochip.activity import FIELD_INDEX, Activity, SampleTrace
from neurochip.microarch.interface import ChipTiming
from neurochip.microarch.multicore_split import Slice
from neurochip.microarch.replay import activity_of_trace
from neurochip.microarch.replay_fields import per_sample_totals
from neurochip.microarch.shapes import learns
from neurochip.spec import CoreSpec

Clocks = NDArray[np.int64]  # [samples, steps]
OUTPUTS_OF_LAYER = ("psi", "signal")
INPUTS_OF_NEXT = ("event", "trace", "presynaptic", "graded")


@dataclass(frozen=True)
class SliceActivity:
    """A slice on its core, with the recorded samples seen from there.

    Attributes:
        part: the slice.
        core: where it lies.
        spec: the network with this layer as narrow as the slice.
        activity: of that network over the recorded samples; only the fields of this layer are used.
        at: activity field of this layer -> int64 [samples, steps].
        psi: ψ ≠ 0 of its neurons, [samples, steps, neurons]; None unless it is hidden and learns.
        spikes: of its neurons, likewise; None for the readout.
    """

    part: Slice
    core: int
    spec: CoreSpec
    activity: Activity
    at: Mapping[str, Clocks]
    psi: NDArray[np.bool_] | None
    spikes: NDArray[np.bool_] | None

    @property
    def layer(self) -> int:
        return self.part.layer


def narrowed(spec: CoreSpec, part: Slice) -> CoreSpec:
    """The network with the layer of `part` reduced to its neurons, and the next layer to these inputs."""
    layers = list(spec.layers)
    layers[part.layer] = replace(layers[part.layer], n_out=part.n_out)
    if part.layer + 1 < len(layers):
        layers[part.layer + 1] = replace(layers[part.layer + 1], n_in=part.n_out)
    return replace(spec, layers=tuple(layers))


def narrowed_trace(trace: SampleTrace, part: Slice) -> SampleTrace:
    """The bitmaps of `narrowed`."""
    columns = {f"{name}/{part.layer}" for name in OUTPUTS_OF_LAYER}
    columns |= {f"{name}/{part.layer + 1}" for name in INPUTS_OF_NEXT}
    return SampleTrace(
        trace.sample_indices,
        {
            name: bitmap[:, :, part.first : part.last] if name in columns else bitmap
            for name, bitmap in trace.bitmaps.items()
        },
    )


def slice_activity(
    part: Slice, core: int, trace: SampleTrace, spec: CoreSpec, chip: ChipTiming, learning: bool
) -> SliceActivity:
    """Replay the recorded samples as a slice sees them; raises UserError as `per_sample_totals` does."""
    narrow, bitmaps = narrowed(spec, part), narrowed_trace(trace, part)
    steps = per_sample_totals(bitmaps, narrow, chip.lanes, chip.trace_lanes, learning)[:, :-1, part.layer]
    hidden = part.layer < len(spec.layers) - 1
    return SliceActivity(
        part=part,
        core=core,
        spec=narrow,
        activity=activity_of_trace(bitmaps, narrow, chip.lanes, chip.trace_lanes, learning),
        at={name: steps[:, :, place] for name, place in FIELD_INDEX.items()},
        psi=bitmaps.bitmaps[f"psi/{part.layer}"] if hidden and learning and learns(spec) else None,
        spikes=bitmaps.bitmaps[f"event/{part.layer + 1}"] if hidden else None,
    )


def even_trace(activity: Activity, spec: CoreSpec) -> SampleTrace:
    """One made-up sample with the mean numbers of an activity, spread evenly over addresses: when none was recorded."""
    n = activity.n_samples

    def spread(name: str, layer: int, width: int) -> NDArray[np.bool_]:
        bits = np.zeros((1, spec.n_steps, width), dtype=np.bool_)
        totals = activity.totals[:-1, layer, FIELD_INDEX[name]]
        for step, total in enumerate(totals):
            number = min(width, round(int(total) / n))
            bits[0, step, np.arange(number) * width // max(1, number)] = True
        return bits

    bitmaps = {}
    for index, layer in enumerate(spec.layers):
        bitmaps[f"event/{index}"] = spread("events", index, layer.n_in)
        bitmaps[f"graded/{index}"] = spread("graded_events", index, layer.n_in)
        bitmaps[f"trace/{index}"] = spread("trace_nonzero", index, layer.n_in)
        bitmaps[f"presynaptic/{index}"] = bitmaps[f"trace/{index}"]
        bitmaps[f"psi/{index}"] = spread("psi_nonzero", index, layer.n_out)
        bitmaps[f"signal/{index}"] = spread("signal_nonzero", index, layer.n_out)
    return SampleTrace(np.zeros(1, dtype=np.int64), bitmaps)
