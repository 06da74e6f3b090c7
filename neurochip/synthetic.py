"""Synthetic activity: bitmaps of independent events drawn at assumed rates, in place of those a run records.

Events, surrogate codes and errors are drawn; what follows from them by the rules of docs/semantics.md (which traces and
carried errors are not 0) is computed in integers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurochip.activity import FIELD_INDEX, Activity, SampleTrace
from neurochip.errors import UserError
from neurochip.microarch.replay import activity_of_trace
from neurochip.microarch.replay_fields import arrivals_of
from neurochip.microarch.shapes import ceil_div
from neurochip.microarch.taps import words_with_any
from neurochip.spec import LEAK_CONSTANT, LEAK_NONE, LEAK_SHIFT, CoreSpec, LayerSpec
from neurochip.synthetic_applies import apply_spans, touched_weights

Bitmap = NDArray[np.bool_]
Fractions = NDArray[np.float64]
Shares = float | tuple[float, ...] | tuple[tuple[float, ...], ...]  # of all, of each layer, or [step][layer]
_EVENT, _PSI, _STEP, _SIGNAL, _SIGN, _WORD = range(6)  # random streams
# Learning signals are a few units of their format; at lambda = 1/2 an error of 2 units is carried on by one step, as
# in the recorded runs of docs/cost.md.
CARRIED_ERROR_Q = 2
TINY = 1e-12  # where nothing is to be divided


@dataclass(frozen=True)
class Assumed:
    """What is assumed of the activity; all are fractions. The defaults come from runs (docs/cost.md).

    One number stands for all steps and layers, a list has one number per layer, a list of lists is [step][layer].

    Attributes:
        rate: inputs of the network with an event in a step, then the neurons of every hidden layer in order.
        psi: hidden neurons with psi != 0.
        signal_steps: samples with an error in a step: the hidden layers, then the readout. A layer of a larger share
            has one in all samples in which a layer of a smaller share has.
        signal: in these, neurons with a learning signal != 0 of those with psi != 0 of every hidden layer (in a list of
            two: of all), and last the outputs of the readout with an error != 0.
        signal_words: words of `word_lanes` outputs of a hidden layer that hold all its signals; 1: they come anywhere.
        word_lanes: width of these words.
        carried: `signal` are the carried errors delta != 0 (with a synaptic current epsilon != 0) of all neurons, as an
            unrolled rule records them; else the errors that such a rule starts from.
    """

    rate: Shares
    psi: Shares = 0.4
    signal_steps: Shares = 0.6
    signal: Shares = (0.7, 0.4)
    signal_words: Shares = 1.0
    word_lanes: int = 1
    carried: bool = False

    def check(self) -> None:
        """Refuse what is no fraction.

        Raises:
            UserError: naming the option and the value.
        """
        for name in ("rate", "psi", "signal_steps", "signal", "signal_words"):
            for fraction in np.ravel(getattr(self, name)):
                if not 0.0 <= fraction <= 1.0:
                    option = name.replace("_", "-")
                    raise UserError(f"--{option} is {fraction:g}; allowed are fractions from 0 to 1")


def steps_and_layers(shares: Shares, n_steps: int, n_layers: int) -> Fractions:
    """Shares written out, [steps, layers]."""
    return np.broadcast_to(np.asarray(shares, dtype=np.float64), (n_steps, n_layers))


def draw_trace(assumed: Assumed, spec: CoreSpec, n_samples: int, seed: int) -> SampleTrace:
    """Draw the bitmaps of `n_samples` samples of a rule, named as a run records them.

    The same seed gives every rule the same events, surrogate codes and errors.

    Args:
        assumed: rates and fractions.
        spec: shapes, formats and the rule.
        n_samples, seed: size and random seed of the drawing.
    """
    hidden = [index for index, layer in enumerate(spec.layers) if layer.is_hidden]
    sources = [(0, spec.n_inputs), *((index + 1, spec.layers[index].n_out) for index in hidden)]
    rates = steps_and_layers(assumed.rate, spec.n_steps, len(sources))
    bitmaps = {
        f"event/{source}": draw_events((n_samples, spec.n_steps, width), rate, seed, source)
        for (source, width), rate in zip(sources, rates.T, strict=True)
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


def draw_events(shape: tuple[int, int, int], rate: Fractions, seed: int, layer: int) -> Bitmap:
    """The input events of a layer, [samples, steps, inputs], at the rate of every step."""
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
    """Activity of a drawing, with its standardisations and, for accumulating rules, its applies.

    A gradient counts as not 0 wherever a product p*g != 0 fell since the last apply, as if no sum cancelled or rounded
    to 0.
    """
    activity = activity_of_trace(trace, spec, lanes, trace_lanes, spec.credit != "none")
    if spec.credit != "none" and spec.standardise_every > 0:
        activity = replace(activity, n_standardisations=-(-len(trace.sample_indices) // spec.standardise_every))
    if spec.update != "accumulate":
        return activity
    totals = activity.totals.copy()
    spans = apply_spans(spec, len(trace.sample_indices))
    for index, layer in enumerate(spec.layers):
        if not layer.learns or layer.kind == "feedback":
            continue
        row = totals[-1, index]
        for rows in touched_weights(trace, spec, index, spans):
            row[FIELD_INDEX["update_products"]] += rows.sum()
            words = words_with_any(rows, lanes).sum()
            row[FIELD_INDEX["update_words"]] += words
            row[FIELD_INDEX["weight_words"]] += words
            if spec.weight_rounding == "stochastic":
                row[FIELD_INDEX["random_advances"]] += words_with_any(rows, spec.rng_lanes).sum()
    return replace(activity, totals=totals, n_applies=len(spans))


def _learning_bitmaps(assumed: Assumed, spec: CoreSpec, n_samples: int, seed: int) -> dict[str, Bitmap]:
    """Surrogate codes and signals; a hidden neuron without a surrogate gets no signal but a carried one."""
    bitmaps: dict[str, Bitmap] = {}
    n_steps, n_hidden = spec.n_steps, sum(layer.is_hidden for layer in spec.layers)
    psi_shares = steps_and_layers(assumed.psi, n_steps, n_hidden)
    signal_shares = _signal_shares(assumed.signal, n_steps, n_hidden)
    word_shares = steps_and_layers(assumed.signal_words, n_steps, n_hidden)
    has_error = _steps_with_error(assumed, spec, n_samples, n_hidden, seed)
    number = 0  # of the hidden layer
    for index, layer in enumerate(spec.layers):
        if layer.kind == "feedback":
            continue
        shape = (n_samples, n_steps, layer.n_out)
        if layer.is_hidden:
            psi = _draw(shape, psi_shares[:, number], seed, _PSI, index)
            bitmaps[f"psi/{index}"] = psi
            words = word_shares[:, number]
            signal = _draw(shape, signal_shares[:, number] / np.maximum(words, TINY), seed, _SIGNAL, index)
            signal &= has_error[..., number, None]
            signal &= _chosen_words(layer, n_samples, words, assumed.word_lanes, seed, index)
            if not assumed.carried:
                signal &= psi
            number += 1
        else:
            signal = _draw(shape, signal_shares[:, -1], seed, _SIGNAL, index) & has_error[..., -1, None]
        starts = spec.credit == "unroll" and not assumed.carried and layer.leak_kind != LEAK_NONE
        bitmaps[f"signal/{index}"] = _carried(signal, layer, spec, seed, index) if starts else signal
    return bitmaps


def _signal_shares(signal: Shares, n_steps: int, n_hidden: int) -> Fractions:
    """[steps, hidden layers and the readout]; of two numbers the first is that of all hidden layers."""
    if np.shape(signal) == (2,):
        of_all, of_readout = np.ravel(signal)
        signal = (*[float(of_all)] * n_hidden, float(of_readout))
    return steps_and_layers(signal, n_steps, n_hidden + 1)


def _steps_with_error(assumed: Assumed, spec: CoreSpec, n_samples: int, n_hidden: int, seed: int) -> Bitmap:
    """Which layers have an error, [samples, steps, hidden layers and the readout].

    Of n samples the share of a step is met to 1/n: each sample has a range of its own of the numbers that are drawn.
    """
    rng = np.random.default_rng([seed, _STEP, 0])
    drawn = rng.random((n_samples, spec.n_steps), dtype=np.float32)
    ranges = rng.permuted(np.tile(np.arange(n_samples)[:, None], spec.n_steps), axis=0)
    shares = steps_and_layers(assumed.signal_steps, spec.n_steps, n_hidden + 1)
    has_error: Bitmap = ((ranges + drawn) / n_samples)[..., None] < shares.astype(np.float32)
    if not assumed.carried:
        has_error &= np.array([spec.has_loss(step) for step in range(1, spec.n_steps + 1)])[:, None]
    return has_error


def _chosen_words(
    layer: LayerSpec, n_samples: int, shares: Fractions, lanes: int, seed: int, index: int
) -> Bitmap | np.bool_:
    """The outputs of the words that are drawn to hold signals."""
    if (shares == 1).all():
        return np.bool_(True)
    words = ceil_div(layer.columns, lanes)
    drawn = _draw((n_samples, len(shares), layer.n_blocks * words), shares, seed, _WORD, index)
    columns = np.repeat(drawn.reshape(n_samples, len(shares), layer.n_blocks, words), lanes, axis=-1)
    return columns[..., : layer.columns].reshape(n_samples, len(shares), layer.n_out)


def _carried(signal: Bitmap, layer: LayerSpec, spec: CoreSpec, seed: int, index: int) -> Bitmap:
    """Where delta != 0: delta[t] = sat(leak(delta[t+1]) + g[t]) with g = 0 or +-CARRIED_ERROR_Q, sign drawn.

    With a synaptic current where epsilon != 0: epsilon[t] = sat(current_leak(epsilon[t+1]) + delta[t]), from that
    delta, so that an error is carried on by as many steps as both leaks let it.
    """
    negative = _draw(signal.shape, np.full(spec.n_steps, 0.5), seed, _SIGN, index)
    amount = np.where(negative, -CARRIED_ERROR_Q, CARRIED_ERROR_Q).astype(np.int32) * signal
    carried = np.zeros_like(signal)
    highest = (1 << (spec.delta_bits - 1)) - 1
    for start in range(0, spec.n_steps, spec.window_steps):
        window = slice(start, start + spec.window_steps)
        delta = _decaying(amount[:, window][:, ::-1], layer.leak_kind, layer.leak_value, highest)
        if layer.has_current:
            delta = _decaying(delta, layer.current_leak_kind, layer.current_leak_value, highest)
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


def _draw(shape: tuple[int, int, int], shares: Fractions, seed: int, stream: int, layer: int) -> Bitmap:
    """[samples, steps, width], set with the share of the step."""
    rng = np.random.default_rng([seed, stream, layer])
    drawn: Bitmap = rng.random(shape, dtype=np.float32) < shares.astype(np.float32)[:, None]
    return drawn
