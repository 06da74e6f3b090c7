"""What `CoreSpec.check` refuses: formats, shifts and connections outside docs/semantics.md, sections 1 and 3."""

from __future__ import annotations

import math

from neurochip.errors import UserError
from neurochip.fixed_point import MAX_FRAC, QFormat
from neurochip.spec import (
    MAX_DELIVER_BITS,
    MAX_READOUT_BITS,
    MAX_SHIFT,
    MAX_WIDE_REGISTER,
    CoreSpec,
)
from neurochip.spec_network import check_network
from neurochip.spec_rule import check_rule

_PAGE = "docs/semantics.md, section 1"


def check_spec(spec: CoreSpec) -> None:
    """Refuse what is not legal.

    Raises:
        UserError: naming the key, the value and what is allowed.
    """
    _require("precision.readout.bits", len(spec.layers) - 1, spec.readout_bits, 8, MAX_READOUT_BITS)
    check_network(spec)
    for index in range(len(spec.layers)):
        _check_formats(spec, index)
        _check_learning(spec, index)
    check_rule(spec)


def _check_formats(spec: CoreSpec, index: int) -> None:
    layer = spec.layers[index]
    _require("precision.weight.frac", index, layer.frac_weight, 0, MAX_FRAC)
    _require("precision.error.frac", index, layer.frac_error, 0, MAX_FRAC)
    if layer.kind == "feedback":
        return
    potential = "precision.membrane.frac" if layer.is_hidden else "precision.readout.frac"
    _require(potential, index, layer.frac_potential, 0, MAX_FRAC)
    _require("precision.trace.frac", index, layer.frac_trace, 0, MAX_FRAC)
    if spec.update == "accumulate":
        _require("precision.gradient.frac", index, layer.frac_gradient, 0, MAX_FRAC)
    _require(f"{potential} minus precision.weight.frac", index, layer.deliver_shift, 0, MAX_FRAC)
    if layer.keeps_trace:
        _require("precision.trace.frac minus that of the events", index, layer.trace_shift, 0, MAX_FRAC)
    widest = spec.weight_bits - 1 + spec.event_bits - 1 + layer.deliver_shift
    _require("precision: weight.bits + event.bits - 2 + alignment shift", index, widest, 0, MAX_DELIVER_BITS)
    if layer.is_hidden:
        _require(potential, index, layer.frac_potential, 4, MAX_FRAC)
        top = QFormat(spec.membrane_bits, 0, True).highest
        _require("network threshold in units of 2^-membrane.frac", index, layer.threshold_q, 1, top)
        _check_wide_register(spec, index)


def _check_wide_register(spec: CoreSpec, index: int) -> None:
    layer = spec.layers[index]
    largest_product = (1 << (spec.weight_bits - 1)) * ((1 << spec.event_bits) - 1) << layer.deliver_shift
    peak = (_most_events(spec, index) + 1) * largest_product + (1 << (spec.membrane_bits - 1))
    if spec.deliver == "neuron" and peak > MAX_WIDE_REGISTER:
        raise UserError(
            f"learning.deliver = 'neuron' may sum up to {peak} in layer {index}; allowed is {MAX_WIDE_REGISTER} "
            "(fewer precision.weight.bits or a smaller precision.membrane.frac)"
        )


def _most_events(spec: CoreSpec, index: int) -> int:
    """The largest number of events a neuron can get in a step."""
    conv = spec.layers[index].conv
    most = 0
    for connection in spec.connections(index):
        window = connection.pool_height * connection.pool_width
        reached = connection.n_addresses
        if conv is not None:
            reached = conv.kernel_height * conv.kernel_width * (conv.channels // conv.groups)
        most += window * reached
    return most


def _check_learning(spec: CoreSpec, index: int) -> None:
    if spec.credit == "none":
        return
    if spec.layers[index].is_hidden:
        for consumer, _ in spec.error_connections(index):
            hint = "precision.weight.frac + precision.error.frac of the next layer, minus precision.error.frac"
            key = "precision: frac shift from weight x error to error"
            _require(key, index, spec.error_shift(index, consumer), 0, MAX_SHIFT, hint)
    if not spec.layers[index].learns or spec.layers[index].kind == "feedback":
        return
    key = "precision: shift of the weight update"
    if spec.update == "immediate":
        hint = "trace.frac + error.frac - weight.frac of [precision], plus the shift of learning_rate / steps"
        _require(key, index, spec.update_shift(index), 0, MAX_SHIFT, hint)
    else:
        shift = spec.gradient_shift(index)
        _require("precision.gradient.frac: shift into the gradient", index, shift, 0, MAX_SHIFT)
        hint = "gradient.frac - weight.frac of [precision], plus the shift of learning_rate / (steps * batch)"
        _require(key, index, spec.apply_shift(index), 0, MAX_SHIFT, hint)
    _check_sum(spec, index)


def _check_sum(spec: CoreSpec, index: int) -> None:
    """The sum D of semantics 3.5 is kept in 32 bits."""
    layer = spec.layers[index]
    positions = layer.conv.n_positions if layer.conv is not None else 1
    presynaptic = (1 << spec.trace_bits) - 1 if layer.keeps_trace else spec.highest_magnitude(index)
    presynaptic = max(presynaptic, 1 << layer.frac_presynaptic)
    signal_bits = spec.delta_bits if spec.credit == "unroll" else spec.error_bits
    peak = positions * presynaptic << (signal_bits - 1)
    if peak > MAX_WIDE_REGISTER:
        raise UserError(
            f"the update of layer {index} may sum up to {peak} over its {positions} positions; allowed is "
            f"{MAX_WIDE_REGISTER} (fewer precision.trace.bits or precision.error.bits: now needs "
            f"{math.ceil(math.log2(peak + 1)) + 1} bits)"
        )


def _require(key: str, layer: int, value: int, low: int, high: int, hint: str = _PAGE) -> None:
    if not low <= value <= high:
        raise UserError(f"{key} of layer {layer} is {value}; allowed is {low} to {high} ({hint})")
