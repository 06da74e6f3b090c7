"""Everything but the arrays of an export, as plain JSON data: specification, formats and shifts (docs/export.md)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from neurochip._version import __version__
from neurochip.errors import UserError
from neurochip.export.load import Learned
from neurochip.fixed_point import QFormat
from neurochip.report.schema import load_schema
from neurochip.report.schema_check import first_problem
from neurochip.spec import CoreSpec, LayerSpec
from neurochip.topology import Connection, ConvShape

SCHEMA = "neurochip-export/1"
Document = dict[str, Any]


def document_of(learned: Learned) -> Document:
    """Describe a network and its rule in integers: `core` and `layers` hold all fields of `CoreSpec`."""
    spec = learned.spec
    core = dataclasses.asdict(spec)
    layers = core.pop("layers")
    return {
        "schema": SCHEMA,
        "neurochip": __version__,
        "name": learned.name,
        "rule": learned.rule,
        "epochs": learned.epochs,
        "stream_samples": learned.stream_samples,
        "n_inputs": spec.n_inputs,
        "classes": list(learned.classes),
        "core": core,
        "layers": [_layer(spec, index, fields) for index, fields in enumerate(layers)],
    }


def spec_of(document: Mapping[str, Any]) -> CoreSpec:
    """The specification that a document describes; the reverse of `document_of`.

    Raises:
        UserError: a document of another schema, or a key is missing or of another type.
    """
    if document.get("schema") != SCHEMA:
        raise UserError(f"the export has schema {document.get('schema')!r}; allowed is {SCHEMA!r}")
    problem = first_problem(document, load_schema(SCHEMA))
    if problem is not None:
        raise UserError(f"the export: {problem}; allowed is a document as `neurochip export` writes it")
    return CoreSpec(layers=tuple(_layer_spec(layer) for layer in document["layers"]), **document["core"])


def _layer(spec: CoreSpec, index: int, fields: Document) -> Document:
    layer = spec.layers[index]
    fields["inputs"] = [dataclasses.asdict(connection) for connection in spec.connections(index)]
    return {
        "role": _role(spec, index),
        "n_weight_rows": layer.n_weight_rows,
        "n_bias_rows": layer.n_bias_rows if layer.bias else 0,
        "columns": layer.columns,
        "n_blocks": layer.n_blocks,
        **fields,
        "formats": {name: dataclasses.asdict(fmt) for name, fmt in layer_formats(spec, index).items()},
        "shifts": _shifts(spec, index),
    }


def _role(spec: CoreSpec, index: int) -> str:
    layer = spec.layers[index]
    if layer.is_hidden:
        return "hidden"
    if layer.kind == "feedback":
        return "feedback"
    return "readout" if index == len(spec.layers) - 1 else "head"


def layer_formats(spec: CoreSpec, index: int) -> dict[str, QFormat]:
    """The formats of the signals that a layer has (semantics, section 1)."""
    layer = spec.layers[index]
    learns = spec.credit != "none"
    formats = {"weight": QFormat(spec.weight_bits, layer.frac_weight, True)}
    if layer.kind == "feedback":
        return formats
    formats["event"] = QFormat(spec.event_bits, layer.frac_event, False)
    if layer.is_hidden:
        formats["membrane"] = QFormat(spec.membrane_bits, layer.frac_potential, True)
        formats["surrogate"] = QFormat(spec.surrogate_bits, spec.surrogate_bits, False)
    else:
        formats["readout"] = QFormat(spec.readout_bits, layer.frac_potential, True)
    if learns:
        formats["error"] = QFormat(spec.error_bits, layer.frac_error, True)
    if layer.keeps_trace and layer.learns:
        formats["trace"] = QFormat(spec.trace_bits, layer.frac_trace, False)
    if spec.credit == "unroll":
        formats["delta"] = QFormat(spec.delta_bits, layer.frac_error, True)
    if spec.update == "accumulate" and layer.learns:
        formats["gradient"] = QFormat(spec.gradient_bits, layer.frac_gradient, True)
    return formats


def _shifts(spec: CoreSpec, index: int) -> Document:
    """The alignment shifts that a layer uses (semantics, section 1; their symbols are in docs/export.md)."""
    layer = spec.layers[index]
    shifts: Document = {}
    if layer.kind != "feedback":
        shifts["deliver"] = layer.deliver_shift
    if layer.is_hidden:
        shifts["surrogate"] = layer.frac_potential - 4
        if spec.credit != "none":
            consumers = [n for n, _ in spec.error_connections(index)]
            shifts["error"] = [{"layer": n, "shift": spec.error_shift(index, n)} for n in consumers]
    if layer.keeps_trace and layer.learns:
        shifts["trace"] = layer.trace_shift
    if not layer.learns or layer.kind == "feedback":
        return shifts
    if spec.update == "immediate":
        shifts["update"] = spec.update_shift(index)
    elif spec.update == "accumulate":
        shifts |= {"gradient": spec.gradient_shift(index), "apply": spec.apply_shift(index)}
    if spec.is_standardised(index):
        shifts["standardise"] = layer.standardise_shift
    return shifts


def _layer_spec(layer: Mapping[str, Any]) -> LayerSpec:
    """The layer of a document; one that is older than a key with a default has a layer without what the key says."""
    names = {field.name for field in dataclasses.fields(LayerSpec)} - {"inputs", "conv"}
    conv = layer["conv"]
    return LayerSpec(
        **{name: layer[name] for name in names if name in layer},
        inputs=tuple(Connection(**connection) for connection in layer["inputs"]),
        conv=None if conv is None else ConvShape(**conv),
    )


__all__ = ["SCHEMA", "Document", "document_of", "layer_formats", "spec_of"]
