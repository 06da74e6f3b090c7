"""Synthetic activity: bitmaps of independent events drawn at assumed rates, in place of those a run records.

Events, surrogate codes and errors are drawn; what follows from them by the rules of docs/semantics.md (which traces and
carried errors are not 0) is computed in integers.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from neurochip.activity import FIELD_INDEX, Activity, SampleTrace
from neurochip.errors import UserError
from neurochip.microarch.replay import activity_of_trace, presynaptic, words_with_any
from neurochip.spec import LEAK_CONSTANT, LEAK_SHIFT, CoreSpec, LayerSpec

Bitmap = NDArray[np.bool_]
_EVENT, _PSI, _STEP, _SIGNAL, _SIGN = range(5)  # random streams
# Learning signals are a few units of their format; at lambda = 1/2 an error of 2 units is carried on by one step, as
# in the recorded runs of docs/cost.md.
CARRIED_ERROR_Q = 2


@dataclass(frozen=True)
class Assumed:
    """What is assumed of the activity; all are fractions. The defaults come from runs (docs/cost.md).

    Attributes:
        rate: per layer, inputs with an event in a step: the inputs of the network, then the neurons of every hidden
            layer.
        psi: hidden neurons with psi != 0.
        signal_steps: steps in which the readout has an error.
        signal: in these steps, neurons with a learning signal != 0 of those with psi != 0, and outputs of the readout
            with an error != 0.
    """

    rate: tuple[float, ...]
    psi: float = 0.4
    signal_steps: float = 0.6
    signal: tuple[float, float] = (0.7, 0.4)

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
        assumed: rates and fractions; `rate` has one value per layer.
        spec: shapes, formats and the rule.
        n_samples, seed: size and random seed of the drawing.
    """
    widths = [layer.n_in for layer in spec.layers]
    bitmaps = {
        f"event/{index}": draw_events((n_samples, spec.n_steps, widths[index]), assumed.rate[index], seed, index)
        for index in range(len(widths))
    }
    if spec.credit != "none":
        bitmaps |= _learning_bitmaps(assumed, spec, n_samples, seed)
    if spec.event_bits > 1:
        bitmaps["graded/0"] = np.zeros_like(bitmaps["event/0"])  # every event drawn has magnitude 1
    for index, layer in enumerate(spec.layers):
        if spec.credit == "trace" and layer.keeps_trace:
            trace_q = trace_values(bitmaps[f"event/{index}"], layer, spec.trace_bits)
            bitmaps[f"trace/{index}"] = trace_q != 0
            if spec.trace_gate > 0:
                bitmaps[f"presynaptic/{index}"] = trace_q >= spec.trace_gate
    return SampleTrace(np.arange(n_samples, dtype=np.int64), bitmaps)


def draw_events(shape: tuple[int, int, int], rate: float, seed: int, layer: int) -> Bitmap:
    """The input events of a layer, [samples, steps, inputs]."""
    return _draw(shape, rate, seed, _EVENT, layer)


def trace_values(events: Bitmap, layer: LayerSpec, bits: int) -> NDArray[np.int64]:
    """Traces after each step: a <- sat(leak(a) + (1 << frac)); events [samples, steps, inputs]."""
    amount = events.astype(np.int64) << layer.frac_trace
    return _decaying(amount, layer.trace_leak_kind, layer.trace_leak_value, (1 << bits) - 1)


def activity_of_drawing(trace: SampleTrace, spec: CoreSpec, lanes: int, trace_lanes: int) -> Activity:
    """Activity of a drawing; for accumulating rules with its applies, one after every `spec.batch` samples.

    A gradient counts as not 0 wherever a product p*g != 0 of the batch fell, as if no sum cancelled or rounded to 0.
    """
    activity = activity_of_trace(trace, spec, lanes, trace_lanes, spec.credit != "none")
    if spec.update != "accumulate":
        return activity
    n_samples = len(trace.sample_indices)
    starts = range(0, n_samples, spec.batch)
    totals = activity.totals.copy()
    for index, layer in enumerate(spec.layers):
        row = totals[-1, index]
        rows = presynaptic(trace, spec, index)
        if layer.bias:
            rows = np.concatenate([rows, np.ones_like(rows[:, :, :1])], axis=-1)
        signal = trace.bitmaps[f"signal/{index}"]
        for start in starts:
            batch = slice(start, start + spec.batch)
            touched = _touched(rows[batch], signal[batch])
            row[FIELD_INDEX["update_products"]] += touched.sum()
            row[FIELD_INDEX["update_words"]] += words_with_any(touched, lanes).sum()
            if spec.weight_rounding == "stochastic":
                row[FIELD_INDEX["random_advances"]] += words_with_any(touched, spec.rng_lanes).sum()
    return replace(activity, totals=totals, n_applies=len(starts))


def _touched(rows: Bitmap, signal: Bitmap) -> Bitmap:
    """[n_in, n_out]: where row and column were both not 0 in some step of some sample."""
    flat = [bitmap.reshape(-1, bitmap.shape[-1]).astype(np.float32) for bitmap in (rows, signal)]
    met: Bitmap = (flat[0].T @ flat[1]) > 0
    return met


def _learning_bitmaps(assumed: Assumed, spec: CoreSpec, n_samples: int, seed: int) -> dict[str, Bitmap]:
    """Surrogate codes and signals; a hidden neuron without a surrogate gets no signal."""
    bitmaps: dict[str, Bitmap] = {}
    has_error = _draw((n_samples, spec.n_steps, 1), assumed.signal_steps, seed, _STEP, 0)
    for index, layer in enumerate(spec.layers):
        shape = (n_samples, spec.n_steps, layer.n_out)
        if layer.kind == "readout":
            bitmaps[f"signal/{index}"] = _draw(shape, assumed.signal[1], seed, _SIGNAL, index) & has_error
            continue
        psi = _draw(shape, assumed.psi, seed, _PSI, index)
        signal = _draw(shape, assumed.signal[0], seed, _SIGNAL, index) & psi & has_error
        bitmaps[f"psi/{index}"] = psi
        if spec.credit == "unroll":
            signal = _carried(signal, layer, spec.delta_bits, seed, index)
        bitmaps[f"signal/{index}"] = signal
    return bitmaps


def _carried(signal: Bitmap, layer: LayerSpec, bits: int, seed: int, index: int) -> Bitmap:
    """Where delta != 0: delta[t] = sat(leak(delta[t+1]) + g[t]) with g = 0 or +-CARRIED_ERROR_Q, sign drawn."""
    negative = _draw(signal.shape, 0.5, seed, _SIGN, index)
    amount = np.where(negative, -CARRIED_ERROR_Q, CARRIED_ERROR_Q) * signal.astype(np.int64)
    delta = _decaying(amount[:, ::-1], layer.leak_kind, layer.leak_value, (1 << (bits - 1)) - 1)
    carried: Bitmap = delta[:, ::-1] != 0
    return carried


def _decaying(amount: NDArray[np.int64], leak_kind: str, leak_value: int, highest: int) -> NDArray[np.int64]:
    """x after each step of x <- clip(leak(x) + amount[:, t]), t ascending; amount [samples, steps, width]."""
    x = np.zeros_like(amount[:, 0])
    kept = np.zeros_like(amount)
    for t in range(amount.shape[1]):
        x = np.clip(_leak(x, leak_kind, leak_value) + amount[:, t], -highest, highest)
        kept[:, t] = x
    return kept


def _leak(x: NDArray[np.int64], kind: str, value: int) -> NDArray[np.int64]:
    """leak(x) = sign(x) * floor(|x| * lambda), as semantics section 2 computes it."""
    m = np.abs(x)
    if kind == LEAK_SHIFT:
        m = m - ((m + (1 << value) - 1) >> value)
    elif kind == LEAK_CONSTANT:
        m = (m * value) >> 16
    else:
        m = np.zeros_like(m)
    leaked: NDArray[np.int64] = np.sign(x) * m
    return leaked


def _draw(shape: tuple[int, ...], rate: float, seed: int, stream: int, layer: int) -> Bitmap:
    rng = np.random.default_rng([seed, stream, layer])
    drawn: Bitmap = rng.random(shape, dtype=np.float32) < np.float32(rate)
    return drawn
