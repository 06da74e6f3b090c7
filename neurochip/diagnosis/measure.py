"""The diagnosis of a core: what its formats do to the signals, the updates and the neurons of every layer.

Two passes over a few samples give all figures. In one the core learns as in a run, from the weights given: shares of
saturation, underflow and the rounding of the updates. In the other the weights are frozen, beside a float twin that has
the same ones: signal-to-noise ratios, the first spike that differs, and neurons that never fire.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neurochip.diagnosis.compared import Divergence, Neurons, divergence_of, layer_ratios, neurons_of
from neurochip.diagnosis.products import event_magnitudes, learning_layers
from neurochip.diagnosis.rounding import Rounding, rounding_of
from neurochip.diagnosis.shares import saturation_shares, underflow_share
from neurochip.diagnosis.updates import weight_updates
from neurochip.fixed_point import MAX_FRAC, QFormat
from neurochip.network.bias_rows import as_real
from neurochip.spec import CoreSpec

if TYPE_CHECKING:
    from neurochip.core.float_spec import FloatSpec
    from neurochip.events import EventDataset

WIDEST_GRADIENT_BITS = 32
LARGE_WEIGHTS = 0.999  # quantile; the largest of all is that of chance


@dataclass(frozen=True)
class LayerDiagnosis:
    """Figures of one layer; None where a layer has no such signal or nothing was there to measure.

    Attributes:
        kind: "dense" | "conv" | "readout" | "feedback".
        saturation: signal -> share of the results that had to be saturated.
        underflow: share of errors d and g other than 0 that were rounded to 0.
        weights_at_limit: share of the weights that lie on the lowest or highest code.
        unused_bits: log2 of the highest code over the 99.9 % quantile of abs(code), without the bias; bits of the
            weights that all but 1 in 1,000 of them leave empty.
        rounding: of the updates.
        snr_db: signal ("potential", "trace", "error", "gradient") -> 10 log10(sum x^2 / sum (x_q - x)^2) against the
            float twin with the same weights; None where x is always 0, or never differs.
        divergence: when spikes begin to differ from those of the twin (hidden layers).
        neurons: which of them are dead or saturated (hidden layers).
    """

    kind: str
    saturation: dict[str, float]
    underflow: float | None
    weights_at_limit: float
    unused_bits: float
    rounding: Rounding | None
    snr_db: dict[str, float | None]
    divergence: Divergence | None
    neurons: Neurons | None


@dataclass(frozen=True)
class Diagnosis:
    """The figures of all layers, first to last, from `n_samples` samples."""

    n_samples: int
    layers: tuple[LayerDiagnosis, ...]


def diagnose(
    spec: CoreSpec,
    float_spec: FloatSpec,
    weights: Sequence[NDArray[Any]],
    data: EventDataset,
    velocities: Sequence[NDArray[Any]] = (),
) -> Diagnosis:
    """Measure what limits a core.

    Args:
        spec: of the core.
        float_spec: of the same network and rule in real numbers.
        weights: codes, per layer [n_weight_rows + n_bias_rows, columns].
        data: the samples to run, at least one.
        velocities: of the momentum, where there is one.
    """
    from neurochip.core.engine import Engine

    n_layers, every = len(spec.layers), range(data.n_samples)
    learner = Engine(spec, weights)
    if velocities:
        learner.restore(weights, learner.registers, velocities)
    learned = learner.run(data, np.arange(data.n_samples), learn=True, probe=every)
    updates = weight_updates(spec, data, learned.probes, velocities)
    rounding = rounding_of(updates, spec.weight_rounding, n_layers)
    probes, twin = side_by_side(spec, float_spec, weights, data)
    events = event_magnitudes(data)
    limits = QFormat(spec.weight_bits, 0, True)
    return Diagnosis(
        data.n_samples,
        tuple(
            LayerDiagnosis(
                kind=layer.kind,
                saturation=saturation_shares(spec, index, learned, rounding[index]),
                underflow=underflow_share(spec, index, learned),
                weights_at_limit=_share_at_limit(weights[index][: layer.n_weight_rows], limits),
                unused_bits=_unused_bits(weights[index][: layer.n_weight_rows], limits),
                rounding=rounding[index],
                snr_db=layer_ratios(spec, float_spec, index, events, probes, twin),
                divergence=divergence_of(probes, twin, index) if layer.is_hidden else None,
                neurons=neurons_of(probes, twin, index, float_spec.layers[index].threshold)
                if layer.is_hidden
                else None,
            )
            for index, layer in enumerate(spec.layers)
        ),
    )


def _share_at_limit(codes: NDArray[Any], limits: QFormat) -> float:
    return float(np.mean((codes <= limits.lowest) | (codes >= limits.highest)))


def _unused_bits(codes: NDArray[Any], limits: QFormat) -> float:
    large = float(np.quantile(np.abs(codes.astype(np.int64)), LARGE_WEIGHTS)) if codes.size else 0.0
    return math.log2(limits.highest / min(max(large, 1.0), limits.highest)) if limits.highest > 0 else 0.0


def side_by_side(
    spec: CoreSpec, float_spec: FloatSpec, weights: Sequence[NDArray[Any]], data: EventDataset
) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]]:
    """Probes of the core and of its twin, both with the weights given throughout."""
    from neurochip.core.engine import Engine
    from neurochip.core.float_core import FloatCore

    order, learn = np.arange(data.n_samples), spec.credit != "none"
    frozen = Engine(frozen_spec(spec, data.n_samples) if learn else spec, weights)
    probes = frozen.run(data, order, learn=learn, end_of_epoch=False, probe=range(data.n_samples)).probes
    real = [as_real(layer, codes) for codes, layer in zip(weights, spec.layers, strict=True)]
    still = replace(float_spec, update="none", batch=1, momentum=0.0, standardise_every=0, apply_when="sample")
    twin = FloatCore(still, real).run(data, order, learn, probe_slots=order, end_of_epoch=False).probes
    return probes, twin


def frozen_spec(spec: CoreSpec, n_samples: int) -> CoreSpec:
    """The core with weights that do not change during `n_samples` samples; errors and signals are as with spec.

    It keeps gradients that are never applied, in a format and at a rate that are legal for them.
    """
    layers = tuple(
        replace(layer, frac_gradient=min(MAX_FRAC, layer.frac_presynaptic + layer.frac_error)) for layer in spec.layers
    )
    still = replace(
        spec,
        layers=layers,
        update="accumulate",
        apply_when="sample",
        apply_every=1,
        batch=n_samples + 1,
        gradient_bits=WIDEST_GRADIENT_BITS,
        momentum_shift=0,
        standardise_every=0,
    )
    lowest = min((still.apply_shift(index) for index in learning_layers(still)), default=0)
    return replace(still, rate_shift=still.rate_shift - lowest)
