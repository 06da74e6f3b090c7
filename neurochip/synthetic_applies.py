"""Which weights the applies of accumulated gradients reach in drawn activity (semantics 3.6)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurochip.activity import SampleTrace
from neurochip.microarch import taps
from neurochip.microarch.replay_fields import learning_steps, presynaptic, signal_of
from neurochip.spec import CoreSpec

Bitmap = NDArray[np.bool_]


def apply_spans(spec: CoreSpec, n_samples: int) -> list[tuple[slice, Any]]:
    """(samples, steps) whose gradients are applied together (semantics 3.6)."""
    if spec.apply_when == "sample":
        return [(slice(start, start + spec.batch), slice(None)) for start in range(0, n_samples, spec.batch)]
    formed = np.flatnonzero(learning_steps(spec))
    if spec.apply_when == "deferred":
        # Under unroll the steps are formed last to first inside every window.
        ordered = _formed_order(spec, formed)
        groups = [ordered[start : start + spec.apply_every] for start in range(0, len(ordered), spec.apply_every)]
    else:
        ends, groups, start = range(spec.window_steps, spec.n_steps + spec.window_steps, spec.window_steps), [], 0
        for end in ends:
            if end - start >= spec.apply_every or end >= spec.n_steps:
                groups.append(np.arange(start, min(end, spec.n_steps)))
                start = end
    return [(slice(sample, sample + 1), group) for sample in range(n_samples) for group in groups]


def _formed_order(spec: CoreSpec, formed: NDArray[np.int64]) -> NDArray[np.int64]:
    if spec.credit != "unroll":
        return formed
    starts = range(0, spec.n_steps, spec.window_steps)
    return np.concatenate([np.arange(start, min(start + spec.window_steps, spec.n_steps))[::-1] for start in starts])


def touched_weights(
    trace: SampleTrace, spec: CoreSpec, index: int, spans: Sequence[tuple[slice, Any]]
) -> Iterator[Bitmap]:
    """Per span, rows of weights with those of the bias: where row and column were both not 0 in some step."""
    layer = spec.layers[index]
    shape = taps.map_of(layer)
    factors = taps.input_blocks(shape, presynaptic(trace, spec, index) & learning_steps(spec)[:, None])
    signal = taps.output_blocks(shape, signal_of(trace, spec, index))
    for samples, steps in spans:
        part_in = factors[samples][:, steps].reshape(-1, *factors.shape[2:])
        part_out = signal[samples][:, steps].reshape(-1, *signal.shape[2:])
        rows = taps.met_rows(shape, part_in, part_out).reshape(-1, shape.columns)
        if layer.bias:
            rows = np.concatenate([rows, part_out.any(axis=(0, 1, 2))])
        yield rows
