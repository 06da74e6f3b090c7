"""A core beside its float twin with the same weights: signal-to-noise ratios, spikes that differ, and idle neurons."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neurochip.diagnosis.products import Probes, Taps, input_magnitudes, is_small_enough, learning_layers
from neurochip.diagnosis.updates import presynaptic_factors
from neurochip.spec import CoreSpec

if TYPE_CHECKING:
    from neurochip.core.float_spec import FloatSpec

Array = NDArray[Any]


@dataclass(frozen=True)
class Divergence:
    """Spikes of a layer against those of the twin.

    Attributes:
        samples_share: share of the samples in which some spike differs.
        first_step: the first step (from 1) with such a spike, over all samples; None: all are the same.
        median_step: the median over the samples that differ of their first such step.
        spikes_share: spikes that differ, as a share of those of the twin.
    """

    samples_share: float
    first_step: int | None
    median_step: float | None
    spikes_share: float | None


@dataclass(frozen=True)
class Neurons:
    """Shares of the neurons of a layer.

    Attributes:
        silent: never fire in the samples.
        dead: silent, and the surrogate derivative is 0 in every step, so that they cannot learn to fire; None without
            learning.
        saturated: fire in every step of every sample.
        peak: the highest potential of a neuron as a multiple of the threshold, median over the neurons; of the twin,
            whose potentials do not saturate.
    """

    silent: float
    dead: float | None
    saturated: float
    peak: float


def snr_db(quantised: Array, real: Array) -> float | None:
    """10 log10(sum x^2 / sum (x_q - x)^2); None if x is 0 or no value differs."""
    signal = float(np.sum(np.square(real, dtype=np.float64)))
    noise = float(np.sum(np.square(quantised - real, dtype=np.float64)))
    return _decibels(signal, noise)


def _decibels(signal: float, noise: float) -> float | None:
    return 10.0 * math.log10(signal / noise) if signal > 0 and noise > 0 else None


def layer_ratios(
    spec: CoreSpec, float_spec: FloatSpec, index: int, events: Array, probes: Probes, twin: Probes
) -> dict[str, float | None]:
    """Signal-to-noise ratios of the signals that a layer has, in dB.

    "error" is e of a readout, g of a hidden layer, under unroll delta; "gradient" is sum_t p signal over the steps of a
    sample, without the bias.
    """
    layer = spec.layers[index]
    fracs = {"potential": layer.frac_potential, "trace": layer.frac_trace, "signal": layer.frac_error}
    names = {"potential": "potential", "trace": "trace", "signal": "error"}
    ratios = {
        names[signal]: snr_db(probes[f"{signal}/{index}"] * 2.0**-frac, twin[f"{signal}/{index}"])
        for signal, frac in fracs.items()
        if f"{signal}/{index}" in probes and f"{signal}/{index}" in twin
    }
    if spec.credit != "none" and index in learning_layers(spec) and is_small_enough(layer):
        frac = layer.frac_presynaptic + layer.frac_error
        codes = presynaptic_factors(spec, index, events, probes), probes[f"signal/{index}"]
        real = _real_factors(float_spec, index, events, twin), twin[f"signal/{index}"]
        ratios["gradient"] = _gradient_snr_db(Taps(layer), codes, real, 2.0**-frac)
    return ratios


def _real_factors(spec: FloatSpec, index: int, events: Array, twin: Probes) -> Array:
    layer = spec.layers[index]
    if f"trace/{index}" not in twin:
        return input_magnitudes(spec, index, layer.n_in, events, twin) * layer.event_scale
    trace = twin[f"trace/{index}"]
    return np.where(trace >= layer.trace_gate, trace, 0.0)


def _gradient_snr_db(
    taps: Taps, codes: tuple[Array, Array], real: tuple[Array, Array], resolution: float
) -> float | None:
    """The ratio of sum_t p signal of every sample; each of the pairs is presynaptic factors and signals."""
    signal = noise = 0.0
    for p_q, signal_q, p, signal_of_sample in zip(*codes, *real, strict=True):
        used = np.flatnonzero(p_q.any(axis=0) | p.any(axis=0)) if taps.is_dense else slice(None)
        given = _gradient(taps, p_q, signal_q, used) * resolution
        asked = _gradient(taps, p, signal_of_sample, used)
        signal += float(np.sum(np.square(asked)))
        noise += float(np.sum(np.square(given - asked)))
    return _decibels(signal, noise)


def _gradient(taps: Taps, factors: Array, signals: Array, used: Any) -> Array:
    """sum_t p signal of one sample, [rows, columns]; of a dense layer only the rows in use."""
    if taps.is_dense:
        real = factors[:, used].astype(np.float64), signals.astype(np.float64)
        return np.asarray(np.einsum("ti,tj->ij", *real))
    total = np.zeros((taps.n_rows, taps.columns))
    for p, signal in zip(factors, signals, strict=True):
        total += taps.products(p, 0.0, signal)[: taps.n_rows]
    return total


def divergence_of(probes: Probes, twin: Probes, index: int) -> Divergence:
    """Where the spikes of a hidden layer differ from those of the twin."""
    real = np.asarray(twin[f"spike/{index}"]) != 0
    differs = (probes[f"spike/{index}"] != 0) != real
    in_step = differs.any(axis=2)
    first = 1 + np.argmax(in_step[in_step.any(axis=1)], axis=1)
    n_spikes = int(np.count_nonzero(real))
    return Divergence(
        samples_share=len(first) / len(in_step),
        first_step=int(first.min()) if len(first) else None,
        median_step=float(np.median(first)) if len(first) else None,
        spikes_share=float(np.count_nonzero(differs)) / n_spikes if n_spikes else None,
    )


def neurons_of(probes: Probes, twin: Probes, index: int, threshold: float) -> Neurons:
    """Which neurons of a hidden layer never fire, cannot learn to, or always fire."""
    spikes = probes[f"spike/{index}"] != 0
    silent = ~spikes.any(axis=(0, 1))
    psi = probes.get(f"psi/{index}")
    dead = None if psi is None else float(np.mean(silent & ~(psi != 0).any(axis=(0, 1))))
    peak = float(np.median(twin[f"potential/{index}"].max(axis=(0, 1)))) / threshold
    return Neurons(float(np.mean(silent)), dead, float(np.mean(spikes.all(axis=(0, 1)))), peak)
