"""From an experiment, a rule and calibrated fracs to the specifications of the integer core and its float twin."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from neurochip.config import Experiment
from neurochip.core.float_formats import Quantisers
from neurochip.core.float_spec import FloatLayerSpec, FloatSpec
from neurochip.errors import UserError
from neurochip.fixed_point import MAX_FRAC, LearningRateCode, encode_learning_rate, quantise_scalar
from neurochip.network.formats import Fracs, LayerFracs
from neurochip.network.rule_layers import concrete, rule_layers
from neurochip.network.shape import NO_LEAK, LayerShape, leak_factor
from neurochip.rules.presets import Rule
from neurochip.spec import CoreSpec, LayerSpec

DEFAULT_LEARNING_RATE = 0.125


@dataclass(frozen=True)
class Lanes:
    """Word widths of the chip in columns, declared to the core for its activity: L and M."""

    synapse: int
    trace: int


def learning_rate_of(experiment: Experiment, rule: Rule) -> float:
    """The learning rate asked for: learning.rates.<rule>, else learning.learning_rate, else the default."""
    learning = experiment.learning
    if rule.name in learning.rates:
        return learning.rates[rule.name]
    return learning.learning_rate if learning.learning_rate is not None else DEFAULT_LEARNING_RATE


def batch_of(experiment: Experiment, rule: Rule) -> int:
    """Samples per apply: learning.batch for rules that apply after samples, 1 otherwise."""
    return experiment.learning.batch if rule.update == "sample" else 1


def rate_code(experiment: Experiment, rule: Rule) -> LearningRateCode:
    """The realised learning rate per step: eta = learning_rate / (T * batch) as m * 2^-s."""
    eta = learning_rate_of(experiment, rule) / (experiment.task.steps * batch_of(experiment, rule))
    return encode_learning_rate(eta, experiment.learning.rate_bits)


def learned_together(experiment: Experiment, rule: Rule) -> int:
    """Learned samples after which nothing waits for the next: neither gradients of a batch nor a standardisation."""
    return math.lcm(batch_of(experiment, rule), _standardise_every(experiment, rule) or 1)


def _standardise_every(experiment: Experiment, rule: Rule) -> int:
    return experiment.learning.standardise_every if rule.update != "none" else 0


def halvings_of(experiment: Experiment, epoch: int) -> int:
    """How often the learning rate was halved before epoch 0, 1, ...: its shift s is larger by so much."""
    every = experiment.learning.halve_every
    return epoch // every if every is not None else 0


def core_spec(
    experiment: Experiment,
    rule: Rule,
    shapes: tuple[LayerShape, ...],
    fracs: Fracs,
    lanes: Lanes,
    halvings: int = 0,
) -> CoreSpec:
    """Return the integer specification, checked against the legal ranges.

    Args:
        experiment: bits, choices and rates.
        rule: as `find_rule` gives it.
        shapes: the layers of the network, as `layer_shapes` gives them; those the rule adds are added here.
        fracs: calibrated formats.
        lanes: word widths of the chip.
        halvings: how often the learning rate was halved (`halvings_of`).

    Raises:
        UserError: if a format or an alignment shift is not legal.
    """
    precision, learning = experiment.precision, experiment.learning
    rule = concrete(experiment, rule)
    if learning.reset_path == "exact" and rule.temporal == "unroll":
        _check_exact_reset(shapes)
    code = rate_code(experiment, rule)
    layers = rule_layers(experiment, rule, shapes)
    spec = CoreSpec(
        layers=tuple(
            _layer_spec(experiment, rule, shape, index, fracs.of_layer(layers, index))
            for index, shape in enumerate(layers)
        ),
        n_steps=experiment.task.steps,
        event_bits=precision.event.bits,
        weight_bits=precision.weight.bits,
        weight_rounding=precision.weight.rounding,
        membrane_bits=precision.membrane.bits,
        trace_bits=precision.trace.bits,
        trace_gate=precision.trace.gate,
        error_bits=precision.error.bits,
        error_rounding=precision.error.rounding,
        delta_bits=precision.delta_bits,
        surrogate_bits=precision.surrogate.bits,
        surrogate=learning.surrogate,
        gradient_bits=precision.gradient.bits,
        readout_bits=precision.readout.bits,
        credit=rule.temporal,
        update="accumulate" if rule.accumulates else rule.update,
        batch=batch_of(experiment, rule),
        rate_multiplier=code.multiplier,
        rate_shift=code.shift + halvings,
        mse_share_q=math.floor(256 * learning.mse_share + 0.5),
        deliver=learning.deliver,
        reset_path=learning.reset_path,
        rng_lanes=learning.rng_lanes,
        seed=experiment.run.seed,
        synapse_lanes=lanes.synapse,
        trace_lanes=lanes.trace,
        unroll_steps=rule.unroll or 0,
        apply_when=rule.update if rule.accumulates else "sample",
        apply_every=rule.every or 1,
        loss_start=learning.loss_start,
        update_every=learning.update_every,
        momentum_shift=learning.momentum_shift if rule.accumulates else 0,
        standardise_every=_standardise_every(experiment, rule),
        bias_trace=learning.bias_trace and rule.temporal == "trace",
    )
    spec.check()
    return spec


def _check_exact_reset(shapes: tuple[LayerShape, ...]) -> None:
    if any(shape.reset == "zero" for shape in shapes[:-1]):
        raise UserError(
            "learning.reset_path = 'exact' needs reset = 'subtract' in every layer: the potential at a reset to zero "
            "is not in the history; allowed with reset = 'zero' is 'detached'"
        )


def _layer_spec(experiment: Experiment, rule: Rule, shape: LayerShape, index: int, fracs: LayerFracs) -> LayerSpec:
    keeps_trace = rule.temporal == "trace" and shape.keeps_trace
    frac_presynaptic = fracs.trace if keeps_trace else shape.frac_event
    asked = experiment.precision.gradient.frac
    if isinstance(asked, list):  # one per layer of the network
        asked = None if shape.attached is not None else asked[index if shape.is_hidden else -1]
    exact = min(MAX_FRAC, frac_presynaptic + fracs.error)
    filter_leak = shape.filter_leak if keeps_trace else NO_LEAK
    spec = LayerSpec(
        kind=shape.kind,
        n_in=shape.n_in,
        n_out=shape.n_out,
        bias=shape.bias,
        leak_kind=shape.leak[0],
        leak_value=shape.leak[1],
        threshold_q=quantise_scalar(shape.threshold, fracs.potential) + shape.fires_above if shape.is_hidden else 0,
        reset=shape.reset,
        keeps_trace=keeps_trace,
        trace_leak_kind=shape.trace_leak[0],
        trace_leak_value=shape.trace_leak[1],
        frac_weight=fracs.weight,
        frac_potential=fracs.potential,
        frac_trace=fracs.trace,
        frac_error=fracs.error,
        frac_gradient=asked if isinstance(asked, int) else exact,
        frac_event=shape.frac_event,
        inputs=shape.inputs,
        conv=shape.conv,
        learns=shape.learns,
        signal_of=shape.signal_of,
        filter_leak_kind=filter_leak[0],
        filter_leak_value=filter_leak[1],
        rate_boost=shape.rate_boost,
        current_leak_kind=shape.current_leak[0],
        current_leak_value=shape.current_leak[1],
    )
    return replace(spec, standardise_constant=_standardise_constant(spec, shape.gain))


def _standardise_constant(spec: LayerSpec, gain: float) -> int:
    """C = floor(g 2^(frac_w + p) sqrt(K - 1) / K + 1/2) of semantics 3.8; 0 for a layer that is not standardised."""
    if gain == 0.0:
        return 0
    n_rows, frac = spec.n_weight_rows, spec.frac_weight + spec.standardise_shift
    constant = math.floor(gain * 2.0**frac * math.sqrt(n_rows - 1) / n_rows + 0.5)
    if constant == 0:
        raise UserError(
            f"gain times spike_scale = {gain:g} is too small for weights with {spec.frac_weight} fractional bits: all "
            "would be 0; a larger gain or precision.weight.frac is allowed"
        )
    return constant


def float_layers(
    shapes: tuple[LayerShape, ...],
    credit: str,
    gates: Sequence[float] | None = None,
    bias_trace: bool = False,
) -> tuple[FloatLayerSpec, ...]:
    """Return the layers in real numbers.

    Args:
        shapes: the layers of a rule.
        credit: its temporal credit.
        gates: the trace gates per layer (default: none).
        bias_trace: that of `[learning]`.
    """
    return tuple(
        FloatLayerSpec(
            kind=shape.kind,
            n_in=shape.n_in,
            n_out=shape.n_out,
            bias=shape.bias,
            leak=leak_factor(shape.leak),
            threshold=math.nextafter(shape.threshold, math.inf) if shape.fires_above else shape.threshold or 1.0,
            reset=shape.reset,
            keeps_trace=credit == "trace" and shape.keeps_trace,
            trace_leak=leak_factor(shape.trace_leak),
            trace_gate=gate,
            event_scale=2.0**-shape.frac_event,
            inputs=shape.inputs,
            conv=shape.conv,
            learns=shape.learns,
            signal_of=shape.signal_of,
            trace_filter=None if shape.filter_leak == NO_LEAK else leak_factor(shape.filter_leak),
            gain=shape.gain,
            rate_scale=2.0**shape.rate_boost,
            bias_trace=bias_trace,
            current_leak=None if shape.current_leak == NO_LEAK else leak_factor(shape.current_leak),
        )
        for shape, gate in zip(shapes, gates or [0.0] * len(shapes), strict=True)
    )


def float_spec(
    experiment: Experiment,
    rule: Rule,
    shapes: tuple[LayerShape, ...],
    fracs: Fracs,
    halvings: int = 0,
    quantisers: Quantisers | None = None,
) -> FloatSpec:
    """Return the real-valued specification of the same rule, with the realised learning rate and trace gate."""
    learning = experiment.learning
    rule = concrete(experiment, rule)
    code = rate_code(experiment, rule)
    layers = rule_layers(experiment, rule, shapes)
    gates = [
        experiment.precision.trace.gate * 2.0 ** -fracs.of_layer(layers, index).trace for index in range(len(layers))
    ]
    momentum = learning.momentum_shift if rule.accumulates else 0
    return FloatSpec(
        layers=float_layers(layers, rule.temporal, gates, learning.bias_trace),
        n_steps=experiment.task.steps,
        surrogate=learning.surrogate,
        credit=rule.temporal,
        update="accumulate" if rule.accumulates else rule.update,
        batch=batch_of(experiment, rule),
        rate=code.value * 2.0**-halvings if rule.update != "none" else 0.0,
        mse_share=learning.mse_share,
        reset_path=learning.reset_path,
        unroll_steps=rule.unroll or 0,
        apply_when=rule.update if rule.accumulates else "sample",
        apply_every=rule.every or 1,
        loss_start=learning.loss_start,
        update_every=learning.update_every,
        momentum=1.0 - 2.0**-momentum if momentum else 0.0,
        standardise_every=_standardise_every(experiment, rule),
        quantisers=quantisers,
    )
