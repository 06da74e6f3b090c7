"""Saturations and underflows of a pass per signal and layer, and as shares of the values that were formed."""

from __future__ import annotations

from typing import Any

from neurochip.activity import SATURATION_FIELDS, Activity
from neurochip.spec import LEAK_NONE, CoreSpec

SIGNALS = tuple(name.removeprefix("sat_") for name in SATURATION_FIELDS)


def saturation_counts(activity: Activity) -> dict[str, list[int]]:
    """Saturations per signal and layer, those of the applies included."""
    return {signal: _per_layer(activity, f"sat_{signal}") for signal in SIGNALS}


def underflow_counts(activity: Activity) -> list[int]:
    """Errors d and g per layer that were rounded to 0 from something else."""
    return _per_layer(activity, "underflow_error")


def saturation_shares(activity: Activity, spec: CoreSpec) -> dict[str, float | None]:
    """Saturations per value that was formed and could have saturated; None for a signal that the rule does not have.

    Values are additions to membranes (one per neuron and step with `deliver = "neuron"`) and to readout sums, with a
    synaptic current those to either of the two, traces of inputs per step, e of readouts and d and g of hidden neurons
    per step, carried errors per step, and products that are added to gradients and weights.
    """
    values = _values(activity, spec)
    return {signal: _share(sum(_per_layer(activity, f"sat_{signal}")), values.get(signal, 0)) for signal in SIGNALS}


def underflow_share(activity: Activity, spec: CoreSpec) -> float | None:
    """Errors d and g that were rounded to 0 from something else, of all d and g; None without errors."""
    if not activity.learning:
        return None
    return _share(sum(underflow_counts(activity)), 2 * _neurons(spec, hidden=True) * _cells(activity))


def _per_layer(activity: Activity, field: str) -> list[int]:
    steps, applied = activity.per_layer(field), activity.applied(field)
    return [a + b for a, b in zip(steps, applied, strict=True)]


def _cells(activity: Activity) -> int:
    return activity.n_samples * activity.n_steps


def _neurons(spec: CoreSpec, hidden: bool) -> int:
    """Hidden neurons, or outputs of readouts."""
    return sum(layer.n_out for layer in spec.layers if layer.is_hidden == hidden and layer.kind != "feedback")


def _currents(spec: CoreSpec, hidden: bool) -> int:
    """Those of them that have a synaptic current."""
    return sum(layer.n_out for layer in spec.layers if layer.is_hidden == hidden and layer.has_current)


def _additions(activity: Activity, spec: CoreSpec, hidden: bool) -> int:
    """Additions to membranes, or to readout sums: one per event and column it reaches, and one per bias and step."""
    currents = _currents(spec, hidden) * _cells(activity)  # of these into membranes or sums
    if hidden and spec.deliver == "neuron":
        return _neurons(spec, hidden) * _cells(activity) + currents
    number = currents
    for layer, taps in zip(spec.layers, activity.per_layer("deliver_taps"), strict=True):
        if layer.is_hidden == hidden and layer.kind != "feedback":
            number += taps * layer.columns + int(layer.bias) * layer.n_out * _cells(activity)
    return number


def _values(activity: Activity, spec: CoreSpec) -> dict[str, int]:
    cells, hidden, readouts = _cells(activity), _neurons(spec, hidden=True), _neurons(spec, hidden=False)
    values = {name: _additions(activity, spec, name == "membrane") for name in ("membrane", "readout")}
    if not activity.learning:
        return values
    values["error"] = (2 * hidden + readouts) * cells
    if spec.credit == "trace":
        traced = [layer for layer in spec.layers if layer.keeps_trace]
        filtered = [layer for layer in traced if layer.filter_leak_kind != LEAK_NONE]  # they have two values
        values["trace"] = sum(layer.n_in for layer in [*traced, *filtered]) * cells
    if spec.credit == "unroll":
        carried = _currents(spec, hidden=True) + _currents(spec, hidden=False)
        values["delta"] = (hidden + readouts + carried) * cells
    formed, applied = sum(activity.per_layer("update_products")), sum(activity.applied("update_products"))
    if spec.update == "accumulate":
        values["gradient"] = formed + (applied if spec.momentum_shift else 0)
    values["weight"] = applied if spec.update == "accumulate" else formed
    return values


def _share(count: int, values: int) -> float | None:
    return count / values if values else None


def numerics_section(activity: Activity, spec: CoreSpec) -> dict[str, Any]:
    """What a point stores of both: counts per layer, and shares."""
    return {
        "saturation": saturation_counts(activity),
        "saturation_share": saturation_shares(activity, spec),
        "underflow": {"error": underflow_counts(activity)},
        "underflow_share": {"error": underflow_share(activity, spec)},
    }
