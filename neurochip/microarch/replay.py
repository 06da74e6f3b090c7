"""Recorded bitmaps -> activity at any word widths: what lets a saved run be counted again on another chip.

The bitmaps say which events, traces, codes ψ and learning signals were not 0, sample by sample and step by step. All
fields of docs/semantics.md, section 5, that counting needs follow from them, except two kinds. Saturations and
underflows depend on values: they are 0 here, and no count uses them. Applies of accumulated gradients depend on sums
over samples: `replayed_epoch` and `at_word_widths` take them from the totals of the run.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from neurochip.activity import FIELD_INDEX, N_FIELDS, Activity, SampleTrace
from neurochip.errors import UserError
from neurochip.microarch.shapes import ceil_div, keeps_trace, learns
from neurochip.spec import CoreSpec, LayerSpec

Bitmap = NDArray[np.bool_]
Integers = NDArray[np.int64]
WORD_FIELDS = ("trace_words", "signal_words", "error_words", "update_words")  # those that depend on the word widths


def words_with_any(bitmap: Bitmap, width: int) -> Bitmap:
    """Which words of `width` neighbours hold a set bit; [..., n] -> [..., ⌈n/width⌉]."""
    n = bitmap.shape[-1]
    n_words = ceil_div(n, width)
    padded = np.zeros((*bitmap.shape[:-1], n_words * width), dtype=np.bool_)
    padded[..., :n] = bitmap
    words: Bitmap = np.logical_or.reduce(padded.reshape(*bitmap.shape[:-1], n_words, width), axis=-1)
    return words


def per_sample_totals(trace: SampleTrace, spec: CoreSpec, lanes: int, trace_lanes: int, learning: bool) -> Integers:
    """Recompute the fields of semantics section 5 for every recorded sample.

    Args:
        trace: bitmaps "event/<l>"; "graded/0" if events have more than one bit; when learning also "psi/<l>" of hidden
            layers, "signal/<l>", "trace/<l>" of layers that keep one and, with trace.gate > 0, their "presynaptic/<l>".
        spec: the network and rule of the recording; its own word widths are not used.
        lanes: L, columns in a synapse, neuron and signal word.
        trace_lanes: M, traces in a trace word.
        learning: whether the recorded pass learned.

    Returns:
        int64 [n_samples, n_steps + 1, n_layers, N_FIELDS]; saturations, underflows and the row of the applies are 0.

    Raises:
        UserError: a bitmap that is missing or has another shape.
    """
    learning = learning and learns(spec)
    n_layers = len(spec.layers)
    totals = np.zeros((len(trace.sample_indices), spec.n_steps + 1, n_layers, N_FIELDS), dtype=np.int64)
    for index, layer in enumerate(spec.layers):
        at = {name: totals[:, :-1, index, place] for name, place in FIELD_INDEX.items()}
        events = _bitmap(trace, spec, f"event/{index}", layer.n_in)
        at["events"][...] = events.sum(-1)
        if index == 0 and spec.event_bits > 1:
            at["graded_events"][...] = _bitmap(trace, spec, "graded/0", layer.n_in).sum(-1)
        if index < n_layers - 1:
            at["spikes"][...] = _bitmap(trace, spec, f"event/{index + 1}", layer.n_out).sum(-1)
        if learning:
            _add_learning(at, trace, spec, index, lanes, trace_lanes)
    return totals


def _add_learning(
    at: dict[str, Integers], trace: SampleTrace, spec: CoreSpec, index: int, lanes: int, trace_lanes: int
) -> None:
    """The fields of one layer that only learning fills; `at`: field -> view [n_samples, n_steps]."""
    layer = spec.layers[index]
    if index < len(spec.layers) - 1:
        at["psi_nonzero"][...] = _bitmap(trace, spec, f"psi/{index}", layer.n_out).sum(-1)
    if keeps_trace(spec, index):
        after = _bitmap(trace, spec, f"trace/{index}", layer.n_in)
        touched = _bitmap(trace, spec, f"event/{index}", layer.n_in).copy()
        touched[:, 1:] |= after[:, :-1]  # not 0 before a step: not 0 after the step before; traces start at 0
        at["trace_words"][...] = words_with_any(touched, trace_lanes).sum(-1)
        at["trace_nonzero"][...] = after.sum(-1)
    signal = _bitmap(trace, spec, f"signal/{index}", layer.n_out)
    nonzero = signal.sum(-1)
    words = words_with_any(signal, lanes).sum(-1)
    active = nonzero > 0
    at["signal_nonzero"][...], at["signal_words"][...], at["signal_steps"][...] = nonzero, words, active
    if index > 0:
        rows = _bitmap(trace, spec, f"psi/{index - 1}", layer.n_in).sum(-1)
        at["error_rows"][...], at["error_words"][...] = rows * active, rows * words
        at["error_products"][...] = rows * nonzero
    rows = presynaptic(trace, spec, index).sum(-1) + int(layer.bias)
    at["presynaptic_rows"][...], at["update_rows"][...] = rows, rows * active
    at["update_words"][...], at["update_products"][...] = rows * words, rows * nonzero
    if spec.update == "immediate" and spec.weight_rounding == "stochastic":
        at["random_advances"][...] = rows * words_with_any(signal, spec.rng_lanes).sum(-1)


def presynaptic(trace: SampleTrace, spec: CoreSpec, index: int) -> Bitmap:
    """Rows of layer `index` with p ≠ 0, the bias row left out, [n_samples, n_steps, n_in].

    With trace.gate > 0 the rows with 0 < a < gate have p = 0, which "trace/<l>" does not tell: there is a bitmap of
    its own.
    """
    layer: LayerSpec = spec.layers[index]
    if not keeps_trace(spec, index):
        return _bitmap(trace, spec, f"event/{index}", layer.n_in)
    name = "presynaptic" if spec.trace_gate > 0 else "trace"
    return _bitmap(trace, spec, f"{name}/{index}", layer.n_in)


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
    """Return the activity of the recorded samples, with applies in the proportion of the whole epoch `run`.

    The recorded samples count m/n times and the applies m/N times, m = lcm(n, N): then all numbers stay integers. m = n
    where the rule does not accumulate, and where all N samples are recorded. Gradient words that hold something
    depend on L in a way no recording holds; see `apply_words`.
    """
    replayed = activity_of_trace(trace, spec, lanes, trace_lanes, run.learning)
    if run.n_applies == 0:
        return replayed
    n_samples = math.lcm(replayed.n_samples, run.n_samples)
    totals = replayed.totals * (n_samples // replayed.n_samples)
    totals[-1] = run.totals[-1]
    totals[-1, :, FIELD_INDEX["update_words"]] = apply_words(run, trace, spec, lanes)
    totals[-1] *= n_samples // run.n_samples
    return replace(replayed, totals=totals, n_samples=n_samples, n_applies=run.n_applies * (n_samples // run.n_samples))


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
        rows = presynaptic(trace, spec, index).astype(np.float32)
        words = words_with_any(_bitmap(trace, spec, f"signal/{index}", layer.n_out), lanes).astype(np.float32)
        for sample in range(n_samples):
            met = rows[sample].T @ words[sample]  # steps in which row and word met
            reached[sample, index] = np.count_nonzero(met)
            reached[sample, index] += int(layer.bias) * np.count_nonzero(words[sample].any(axis=0))
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


def _bitmap(trace: SampleTrace, spec: CoreSpec, name: str, width: int) -> Bitmap:
    shape = (len(trace.sample_indices), spec.n_steps, width)
    if name not in trace.bitmaps:
        raise UserError(f"the recorded samples have no bitmap {name}; run the experiment again to record it")
    bitmap = trace.bitmaps[name]
    if bitmap.shape != shape:
        raise UserError(f"bitmap {name} of the recorded samples has shape {bitmap.shape}, not {shape}")
    return bitmap
