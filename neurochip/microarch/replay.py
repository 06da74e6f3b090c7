"""Recorded bitmaps -> activity at any word widths: what lets a saved run be counted again on another chip.

The bitmaps say which events, traces, codes ψ and learning signals were not 0, sample by sample and step by step. All
fields of docs/semantics.md, section 5, that counting needs follow from them, except two kinds. Saturations and
underflows depend on values: they are 0 here, and no count uses them. Applies of accumulated gradients depend on sums
over samples: `replayed_epoch` and `at_word_widths` take them from the totals of the run, as they do standardisations.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from neurochip.activity import FIELD_INDEX, Activity, SampleTrace
from neurochip.microarch import taps
from neurochip.microarch.replay_fields import (
    arrivals_of,
    learning_steps,
    per_sample_totals,
    presynaptic,
    signal_of,
)
from neurochip.microarch.shapes import learns
from neurochip.microarch.taps import words_with_any
from neurochip.spec import CoreSpec

Integers = NDArray[np.int64]
# Those that depend on the word widths.
WORD_FIELDS = (
    "trace_words",
    "signal_words",
    "all_tap_words",
    "error_words",
    "update_tiles",
    "update_words",
    "weight_words",
)


def activity_of_trace(trace: SampleTrace, spec: CoreSpec, lanes: int, trace_lanes: int, learning: bool) -> Activity:
    """Return the activity of the recorded samples at word widths L = `lanes`, M = `trace_lanes`.

    It equals what the core reports for these samples, but for saturations, underflows and applies, which are 0.
    Arguments and errors as for `per_sample_totals`.
    """
    totals = per_sample_totals(trace, spec, lanes, trace_lanes, learning)
    return _activity(totals.sum(axis=0), len(totals), spec, lanes, trace_lanes, learning)


def activities_of_samples(
    trace: SampleTrace, spec: CoreSpec, lanes: int, trace_lanes: int, learning: bool
) -> list[tuple[Activity, SampleTrace]]:
    """Return the same one sample at a time, each with its own bitmaps: for intervals."""
    totals = per_sample_totals(trace, spec, lanes, trace_lanes, learning)
    return [
        (
            _activity(one, 1, spec, lanes, trace_lanes, learning),
            SampleTrace(
                trace.sample_indices[index : index + 1],
                {name: bitmap[index : index + 1] for name, bitmap in trace.bitmaps.items()},
            ),
        )
        for index, one in enumerate(totals)
    ]


def _activity(totals: Integers, n: int, spec: CoreSpec, lanes: int, trace_lanes: int, learning: bool) -> Activity:
    return Activity(totals, n, 0, learning and learns(spec), lanes, trace_lanes)


def replayed_epoch(run: Activity, trace: SampleTrace, spec: CoreSpec, lanes: int, trace_lanes: int) -> Activity:
    """Return the activity of the recorded samples, with applies and standardisations as in the whole epoch `run`.

    The recorded samples count m/n times, applies and standardisations m/N times, m = lcm(n, N): then all numbers stay
    integers. m = n where there are none of either, and where all N samples are recorded. Gradient words that hold
    something depend on L in a way no recording holds; see `apply_words`.
    """
    replayed = activity_of_trace(trace, spec, lanes, trace_lanes, run.learning)
    if run.n_applies == run.n_standardisations == 0:
        return replayed
    n_samples = math.lcm(replayed.n_samples, run.n_samples)
    times = n_samples // run.n_samples
    totals = replayed.totals * (n_samples // replayed.n_samples)
    totals[-1] = run.totals[-1]
    if run.n_applies:
        totals[-1, :, FIELD_INDEX["update_words"]] = apply_words(run, trace, spec, lanes)
    totals[-1] *= times
    return replace(
        replayed,
        totals=totals,
        n_samples=n_samples,
        n_applies=run.n_applies * times,
        n_standardisations=run.n_standardisations * times,
    )


def apply_words(run: Activity, trace: SampleTrace, spec: CoreSpec, lanes: int) -> Integers:
    """Words of L = `lanes` gradients with some G ≠ 0 over the applies of a run, per layer.

    Exact at the L of the run. At another L it is estimated: words(L') = words(L)·B(L')/B(L), B the words that one
    recorded sample reaches with some product p·g ≠ 0, whatever cancels in the sum or rounds to 0. Never fewer than
    ⌈products/L'⌉ nor more than the products G ≠ 0.
    """
    field = FIELD_INDEX["update_words"]
    exact: Integers = run.totals[-1, :, field]
    if lanes == run.synapse_lanes:
        return exact.copy()
    products = run.totals[-1, :, FIELD_INDEX["update_products"]]
    here, there = (reached_words(trace, spec, width).sum(axis=0) for width in (run.synapse_lanes, lanes))
    estimate = np.rint(exact * there / np.maximum(here, 1)).astype(np.int64)
    words: Integers = np.clip(estimate, -(-products // lanes), products)
    return words


def reached_words(trace: SampleTrace, spec: CoreSpec, lanes: int) -> Integers:
    """Words of L = `lanes` columns that some product p·g ≠ 0 of a sample falls into, [n_samples, n_layers].

    An upper bound of the gradient words of one sample that are not all 0.
    """
    n_samples = len(trace.sample_indices)
    reached = np.zeros((n_samples, len(spec.layers)), dtype=np.int64)
    for index, layer in enumerate(spec.layers):
        if not layer.learns or layer.kind == "feedback":
            continue
        shape = taps.map_of(layer)
        arrivals = arrivals_of(trace, spec, index)
        factors = taps.input_blocks(shape, presynaptic(trace, spec, index, arrivals) & learning_steps(spec)[:, None])
        words = words_with_any(taps.output_blocks(shape, signal_of(trace, spec, index)), lanes)
        for sample in range(n_samples):
            reached[sample, index] = np.count_nonzero(taps.met_rows(shape, factors[sample], words[sample]))
            reached[sample, index] += int(layer.bias) * np.count_nonzero(words[sample].any(axis=(0, 1, 2)))
    return reached


def at_word_widths(run: Activity, trace: SampleTrace, spec: CoreSpec, lanes: int, trace_lanes: int) -> Activity:
    """Return the totals of all samples of `run`, with the fields that count words moved to other word widths.

    A ratio estimate per layer: words(L') = words(L)·(words(L') / words(L) in the recorded samples); all other fields
    stay exact. Exact, but for `apply_words`, if the recorded samples are all samples of the run.
    """
    if (lanes, trace_lanes) == (run.synapse_lanes, run.trace_lanes):
        return run
    here = activity_of_trace(trace, spec, run.synapse_lanes, run.trace_lanes, run.learning)
    there = activity_of_trace(trace, spec, lanes, trace_lanes, run.learning)
    complete = is_complete(here, run)
    totals = run.totals.copy()
    for name in WORD_FIELDS:
        field = FIELD_INDEX[name]
        if complete:
            totals[:-1, :, field] = there.totals[:-1, :, field]
            continue
        ratio = there.totals[:, :, field].sum(axis=0) / np.maximum(here.totals[:, :, field].sum(axis=0), 1)
        totals[:-1, :, field] = np.rint(totals[:-1, :, field] * ratio)
    if run.n_applies:
        totals[-1, :, FIELD_INDEX["update_words"]] = apply_words(run, trace, spec, lanes)
    return replace(run, totals=totals, synapse_lanes=lanes, trace_lanes=trace_lanes)


def is_complete(replayed: Activity, run: Activity) -> bool:
    """Tell whether the replayed samples are all samples of `run`: at the same word widths their fields are equal."""
    shared = [index for name, index in FIELD_INDEX.items() if not name.startswith(("sat_", "underflow_"))]
    same = np.array_equal(replayed.totals[:-1, :, shared], run.totals[:-1, :, shared])
    return replayed.n_samples == run.n_samples and same
