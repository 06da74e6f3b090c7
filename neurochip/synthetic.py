"""Synthetic activity: bitmaps of independent events drawn at assumed rates, in place of those a run records.

Events, surrogate codes and errors are drawn; what follows from them by the rules of docs/semantics.md (which traces and
carried errors are not 0) is computed in integers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurochip.activity import FIELD_INDEX, Activity, SampleTrace
from neurochip.errors import UserError
from neurochip.microarch import taps
from neurochip.microarch.replay import activity_of_trace
from neurochip.microarch.replay_fields import arrivals_of, learning_steps, presynaptic, signal_of
from neurochip.microarch.taps import words_with_any
from neurochip.spec import LEAK_CONSTANT, LEAK_NONE, LEAK_SHIFT, CoreSpec, LayerSpec

Bitmap = NDArray[np.bool_]
_EVENT, _PSI, _STEP, _SIGNAL, _SIGN = range(5)  # random streams
# Learning signals are a few units of their format; at lambda = 1/2 an error of 2 units is carried on by one step, as
# in the recorded runs of docs/cost.md.
CARRIED_ERROR_Q = 2


@dataclass(frozen=True)
class Assumed:
    """What is assumed of the activity; all are fractions. The defaults come from runs (docs/cost.md).

    Attributes:
        rate: inputs of the network with an event in a step, then the neurons of every hidden layer in order.
        psi: hidden neurons with psi != 0; one number, or one per hidden layer.
        signal_steps: steps in which the readout has an error.
        signal: in these steps, neurons with a learning signal != 0 of those with psi != 0, of all hidden layers or of
            each, and last the outputs of the readout with an error != 0.
    """

    rate: tuple[float, ...]
    psi: float | tuple[float, ...] = 0.4
    signal_steps: float = 0.6
    signal: tuple[float, ...] = (0.7, 0.4)

    def psi_of(self, hidden: int) -> float:
        """The share of psi != 0 in a hidden layer, counted from 0."""
        return self.psi[hidden] if isinstance(self.psi, tuple) else self.psi

    def signal_of(self, hidden: int) -> float:
        """The share of signals among the psi != 0 of a hidden layer, counted from 0."""
        return self.signal[hidden if len(self.signal) > 2 else 0]

    def check(self) -> None:
        """Refuse what is no fraction.

        Raises:
            UserError: naming the option and the value.
        """
        for item in fields(self):
            value = getattr(self, item.name)
            for fraction in value if isinstance(value, tuple) else (value,):
                if not 0.0 <= fraction <= 1.0:
                    option = item.name.replace("_", "-")
                    raise UserError(f"--{option} is {fraction:g}; allowed are fractions from 0 to 1")


def draw_trace(assumed: Assumed, spec: CoreSpec, n_samples: int, seed: int) -> SampleTrace:
    """Draw the bitmaps of `n_samples` samples of a rule, named as a run records them.

    The same seed gives every rule the same events, surrogate codes and errors.

    Args:
        assumed: rates and fractions; `rate` has one value for the input and one per hidden layer.
        spec: shapes, formats and the rule.
        n_samples, seed: size and random seed of the drawing.
    """
    hidden = [index for index, layer in enumerate(spec.layers) if layer.is_hidden]
    sources = [(0, spec.n_inputs), *((index + 1, spec.layers[index].n_out) for index in hidden)]
    bitmaps = {
        f"event/{source}": draw_events((n_samples, spec.n_steps, width), rate, seed, source)
        for (source, width), rate in zip(sources, assumed.rate, strict=True)
    }
    if spec.event_bits > 1:
        bitmaps["graded/0"] = np.zeros_like(bitmaps["event/0"])  # every event drawn has magnitude 1
    if spec.credit != "none":
        bitmaps |= _learning_bitmaps(assumed, spec, n_samples, seed)
    trace = SampleTrace(np.arange(n_samples, dtype=np.int64), bitmaps)
    for index, layer in enumerate(spec.layers):
        if spec.credit == "trace" and layer.keeps_trace:
            trace_q = trace_values(arrivals_of(trace, spec, index), layer, spec.trace_bits)
            bitmaps[f"trace/{index}"] = trace_q != 0
            if spec.trace_gate > 0:
                bitmaps[f"presynaptic/{index}"] = trace_q >= spec.trace_gate
    return trace


def draw_events(shape: tuple[int, int, int], rate: float, seed: int, layer: int) -> Bitmap:
    """The input events of a layer, [samples, steps, inputs]."""
    return _draw(shape, rate, seed, _EVENT, layer)


def trace_values(arrivals: NDArray[np.integer[Any]], layer: LayerSpec, bits: int) -> NDArray[np.int32]:
    """Traces after each step, a <- sat(leak(a) + (m << sa)); with a filter those of the second leak.

    arrivals: events per input address, [samples, steps, inputs].
    """
    highest = (1 << bits) - 1
    amount = arrivals.astype(np.int32) << layer.trace_shift
    values = _decaying(amount, layer.trace_leak_kind, layer.trace_leak_value, highest)
    if layer.filter_leak_kind == LEAK_NONE:
        return values
    return _decaying(values, layer.filter_leak_kind, layer.filter_leak_value, highest)


def activity_of_drawing(trace: SampleTrace, spec: CoreSpec, lanes: int, trace_lanes: int) -> Activity:
    """Activity of a drawing; for accumulating rules with its applies.

    A gradient counts as not 0 wherever a product p*g != 0 fell since the last apply, as if no sum cancelled or rounded
    to 0.
    """
    activity = activity_of_trace(trace, spec, lanes, trace_lanes, spec.credit != "none")
    if spec.update != "accumulate":
        return activity
    totals = activity.totals.copy()
    spans = _apply_spans(spec, len(trace.sample_indices))
    for index, layer in enumerate(spec.layers):
        if not layer.learns or layer.kind == "feedback":
            continue
        row = totals[-1, index]
        for rows in _touched(trace, spec, index, spans):
            row[FIELD_INDEX["update_products"]] += rows.sum()
            words = words_with_any(rows, lanes).sum()
            row[FIELD_INDEX["update_words"]] += words
            row[FIELD_INDEX["weight_words"]] += words
            if spec.weight_rounding == "stochastic":
                row[FIELD_INDEX["random_advances"]] += words_with_any(rows, spec.rng_lanes).sum()
    return replace(activity, totals=totals, n_applies=len(spans))


def _apply_spans(spec: CoreSpec, n_samples: int) -> list[tuple[slice, Any]]:
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


def _touched(trace: SampleTrace, spec: CoreSpec, index: int, spans: Sequence[tuple[slice, Any]]) -> Iterator[Bitmap]:
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


def _learning_bitmaps(assumed: Assumed, spec: CoreSpec, n_samples: int, seed: int) -> dict[str, Bitmap]:
    """Surrogate codes and signals; a hidden neuron without a surrogate gets no signal."""
    bitmaps: dict[str, Bitmap] = {}
    has_error = _draw((n_samples, spec.n_steps, 1), assumed.signal_steps, seed, _STEP, 0)
    has_error &= np.array([[[spec.has_loss(step)] for step in range(1, spec.n_steps + 1)]])
    for index, layer in enumerate(spec.layers):
        shape = (n_samples, spec.n_steps, layer.n_out)
        if layer.kind == "feedback":
            continue
        if layer.kind == "readout":
            signal = _draw(shape, assumed.signal[-1], seed, _SIGNAL, index) & has_error
            if spec.credit == "unroll" and layer.leak_kind != LEAK_NONE:
                signal = _carried(signal, layer, spec, seed, index)
            bitmaps[f"signal/{index}"] = signal
            continue
        number = sum(before.is_hidden for before in spec.layers[:index])
        psi = _draw(shape, assumed.psi_of(number), seed, _PSI, index)
        signal = _draw(shape, assumed.signal_of(number), seed, _SIGNAL, index) & psi & has_error
        bitmaps[f"psi/{index}"] = psi
        if spec.credit == "unroll":
            signal = _carried(signal, layer, spec, seed, index)
        bitmaps[f"signal/{index}"] = signal
    return bitmaps


def _carried(signal: Bitmap, layer: LayerSpec, spec: CoreSpec, seed: int, index: int) -> Bitmap:
    """Where delta != 0: delta[t] = sat(leak(delta[t+1]) + g[t]) with g = 0 or +-CARRIED_ERROR_Q, sign drawn."""
    negative = _draw(signal.shape, 0.5, seed, _SIGN, index)
    amount = np.where(negative, -CARRIED_ERROR_Q, CARRIED_ERROR_Q).astype(np.int32) * signal
    carried = np.zeros_like(signal)
    highest = (1 << (spec.delta_bits - 1)) - 1
    for start in range(0, spec.n_steps, spec.window_steps):
        window = slice(start, start + spec.window_steps)
        delta = _decaying(amount[:, window][:, ::-1], layer.leak_kind, layer.leak_value, highest)
        carried[:, window] = delta[:, ::-1] != 0
    return carried


def _decaying(amount: NDArray[np.int32], leak_kind: str, leak_value: int, highest: int) -> NDArray[np.int32]:
    """x after each step of x <- clip(leak(x) + amount[:, t]), t ascending; amount [samples, steps, width]."""
    x = np.zeros_like(amount[:, 0])
    kept = np.zeros_like(amount)
    for t in range(amount.shape[1]):
        x = np.clip(_leak(x, leak_kind, leak_value) + amount[:, t], -highest, highest)
        kept[:, t] = x
    return kept


def _leak(x: NDArray[np.int32], kind: str, value: int) -> NDArray[np.int32]:
    """leak(x) = sign(x) * floor(|x| * lambda), as semantics section 2 computes it."""
    m = np.abs(x)
    if kind == LEAK_SHIFT:
        m = m - ((m + (1 << value) - 1) >> value)
    elif kind == LEAK_CONSTANT:
        m = ((m.astype(np.int64) * value) >> 16).astype(np.int32)
    else:
        m = np.zeros_like(m)
    leaked: NDArray[np.int32] = np.sign(x) * m
    return leaked


def _draw(shape: tuple[int, ...], rate: float, seed: int, stream: int, layer: int) -> Bitmap:
    rng = np.random.default_rng([seed, stream, layer])
    drawn: Bitmap = rng.random(shape, dtype=np.float32) < np.float32(rate)
    return drawn
