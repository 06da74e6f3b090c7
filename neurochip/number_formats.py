"""The number formats of a rule as report.json shows them, with what they hold and where they are from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from neurochip.config_precision import DERIVED, GIVEN, CalibratedFracs, PrecisionTable
from neurochip.fixed_point import QFormat
from neurochip.network.shape import LayerShape
from neurochip.spec import CoreSpec

Formats = dict[str, list[tuple[int, QFormat]]]
Numbers = dict[str, Any]


def formats_section(spec: CoreSpec) -> dict[str, list[str]]:
    """Formats per layer, such as s8.7: signed, 8 bits, 7 of them fractional."""
    return {signal: [str(fmt) for _, fmt in layers] for signal, layers in _formats(spec).items()}


def ranges_section(spec: CoreSpec, layers: Sequence[LayerShape], precision: PrecisionTable) -> dict[str, list[Numbers]]:
    """What the formats of `formats_section` hold, in real numbers, and where their fracs are from.

    Args:
        spec: of a rule.
        layers: its layers, as `rule_layers` gives them.
        precision: of the resolved experiment.

    Returns:
        Per signal and entry of its list of formats `layer` (None: all), `lsb`, `lowest`, `highest`, `magnitude` (None:
        not measured) and `origin`.
    """
    sections: dict[str, list[Numbers]] = {}
    for signal, found in _formats(spec).items():
        sections[signal] = []
        for index, fmt in found:
            at = 0 if signal == "surrogate" else index
            magnitude, origin = _origin(precision, signal, layers, at, fmt.frac)
            lsb = 2.0**-fmt.frac
            sections[signal].append(
                {
                    "layer": None if signal == "surrogate" else index,
                    "lsb": lsb,
                    "lowest": fmt.lowest * lsb,
                    "highest": fmt.highest * lsb,
                    "magnitude": magnitude,
                    "origin": origin,
                }
            )
    return sections


def _formats(spec: CoreSpec) -> Formats:
    """Signal -> index of a layer and its format; one for all layers where there is only one."""
    layers = list(enumerate(spec.layers))
    hidden = [(index, layer) for index, layer in layers if layer.is_hidden]
    readouts = [(index, layer) for index, layer in layers if layer.kind == "readout"]
    errors = [(index, layer) for index, layer in layers if layer.kind != "feedback"]
    formats: Formats = {
        "weight": [(i, QFormat(spec.weight_bits, layer.frac_weight, True)) for i, layer in layers],
        "membrane": [(i, QFormat(spec.membrane_bits, layer.frac_potential, True)) for i, layer in hidden],
        "readout": [(i, QFormat(spec.readout_bits, layer.frac_potential, True)) for i, layer in readouts],
    }
    if spec.credit == "none":
        return formats
    formats["error"] = [(i, QFormat(spec.error_bits, layer.frac_error, True)) for i, layer in errors]
    formats["surrogate"] = [(0, QFormat(spec.surrogate_bits, spec.surrogate_bits, False))]
    if spec.credit == "trace":
        traced = [(i, layer) for i, layer in layers if layer.keeps_trace]
        formats["trace"] = [(i, QFormat(spec.trace_bits, layer.frac_trace, False)) for i, layer in traced]
    if spec.credit == "unroll":
        formats["delta"] = [(i, QFormat(spec.delta_bits, layer.frac_error, True)) for i, layer in hidden]
    if spec.update == "accumulate":
        formats["gradient"] = [(i, QFormat(spec.gradient_bits, layer.frac_gradient, True)) for i, layer in errors]
    return formats


def _origin(
    precision: PrecisionTable, signal: str, layers: Sequence[LayerShape], index: int, frac: int
) -> tuple[float | None, str]:
    """The magnitude that a frac has to hold, and where it is from."""
    layer = layers[index]
    if signal in ("surrogate", "delta"):
        return None, DERIVED
    if signal == "gradient":
        return None, _gradient_origin(precision, layer, index)
    if layer.attached is not None and signal == "readout":
        return None, DERIVED
    table, place = _entry(precision, signal, layer, index)
    if table is None or not -len(table.frac) <= place < len(table.frac):
        return None, GIVEN
    magnitude = table.magnitude[place] if table.magnitude is not None else None
    return magnitude, table.origin[place] if table.frac[place] == frac else GIVEN


def _entry(precision: PrecisionTable, signal: str, layer: LayerShape, index: int) -> tuple[CalibratedFracs | None, int]:
    """Where the resolved experiment says how a frac came about: a list, and the place in it."""
    table = precision.calibrated
    if table is None:
        return None, 0
    if layer.attached is None:
        return getattr(table, signal), index if layer.is_hidden else -1
    kept: dict[str, Any] = (precision.feedback if layer.kind == "feedback" else precision.heads) or {}
    if str(layer.attached) not in kept:
        return None, 0
    place = sorted(map(int, kept)).index(layer.attached)
    return (table.feedback if layer.kind == "feedback" else getattr(table, f"head_{signal}")), place


def _gradient_origin(precision: PrecisionTable, layer: LayerShape, index: int) -> str:
    asked = precision.gradient.frac
    if isinstance(asked, list):
        asked = None if layer.attached is not None else asked[index if layer.is_hidden else -1]
    return GIVEN if isinstance(asked, int) else DERIVED
