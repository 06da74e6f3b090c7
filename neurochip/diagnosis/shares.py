"""Shares of saturation and underflow: what the activity counts, against how often it could have happened."""

from __future__ import annotations

import numpy as np

from neurochip.activity import PassResult
from neurochip.diagnosis.rounding import Rounding
from neurochip.diagnosis.updates import round_shift
from neurochip.fixed_point import QFormat
from neurochip.spec import LEAK_NONE, CoreSpec


def saturation_shares(spec: CoreSpec, index: int, result: PassResult, rounding: Rounding | None) -> dict[str, float]:
    """Saturations of every signal of a layer as shares of the results that could have saturated; probes of all samples.

    Results are: every addition to a potential or its synaptic current (with deliver = "neuron" one per neuron and step
    for either), every trace other than 0, every e, every d and g of a neuron whose surrogate derivative is not 0, every
    delta, with a current every epsilon, every product other than 0 that is added to a gradient (with momentum: every
    velocity too), every weight update.
    """
    activity, layer = result.activity, spec.layers[index]
    taps, products = activity.per_layer("deliver_taps")[index], activity.per_layer("update_products")[index]
    if spec.momentum_shift:
        products += activity.applied("update_products")[index]
    steps = activity.n_samples * spec.n_steps
    bias = steps * layer.n_out if layer.bias else 0
    currents = steps * layer.n_out if layer.has_current else 0  # what goes from them into potentials
    shares: dict[str, float] = {}

    def add(signal: str, results: float) -> None:
        field = f"sat_{signal}"
        count = activity.per_layer(field)[index] + activity.applied(field)[index]
        if results > 0:
            shares[signal] = count / results

    if layer.is_hidden and spec.deliver == "neuron":
        add("membrane", steps * layer.n_out + currents)
    elif layer.is_hidden:
        add("membrane", taps * layer.columns + bias + currents)
    elif layer.kind == "readout":
        add("readout", taps * layer.columns + bias + currents)
    if not activity.learning or layer.kind == "feedback":
        return shares
    add("trace", activity.per_layer("trace_nonzero")[index] * (1 if layer.filter_leak_kind == LEAK_NONE else 2))
    if layer.is_hidden:
        add("error", 2 * _neurons_with_error(spec, index, result))
    else:
        add("error", activity.n_samples * spec.n_loss_steps * layer.n_out)
    if spec.credit == "unroll" and (layer.is_hidden or layer.leak_kind != LEAK_NONE):
        add("delta", steps * layer.n_out + currents)
    if spec.update == "accumulate":
        add("gradient", products)
    if rounding is not None:
        add("weight", rounding.n_updates)
    return shares


def _neurons_with_error(spec: CoreSpec, index: int, result: PassResult) -> int:
    """Neurons, over samples and steps, of which d and g are formed: psi is not 0 in a step in which 3.4 is reached."""
    return int(np.count_nonzero(result.probes[f"psi/{index}"][:, _reached(spec)]))


def _reached(spec: CoreSpec) -> list[int]:
    """Steps from 0 in which errors are formed."""
    return [step for step in range(spec.n_steps) if spec.credit == "unroll" or spec.has_loss(step + 1)]


def underflow_share(spec: CoreSpec, index: int, result: PassResult) -> float | None:
    """Share of the errors d and g of a hidden layer, other than 0, that were rounded to 0; None without any."""
    layer = spec.layers[index]
    if not result.activity.learning or not layer.is_hidden:
        return None
    underflows = result.activity.per_layer("underflow_error")[index]
    d = result.probes[f"d/{index}"][:, _reached(spec)].astype(np.int64)
    psi = result.probes[f"psi/{index}"][:, _reached(spec)].astype(np.int64)
    fmt = QFormat(spec.error_bits, 0, True)
    g = np.clip(round_shift(d * psi, spec.surrogate_bits, spec.error_rounding), fmt.lowest, fmt.highest)
    kept = np.count_nonzero(d) + np.count_nonzero(g)
    return underflows / (underflows + kept) if underflows + kept else None
