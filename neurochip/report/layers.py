"""The layers of a report in words: sizes, and from the experiment what is recurrent, leaks or has a current."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

WITH_WEIGHTS = ("dense", "conv2d", "readout")
Layer = Mapping[str, Any]


def layer_texts(report: Mapping[str, Any]) -> list[str]:
    """A text per layer, such as "dense 512 → 20 (recurrent, λ = 0.5, synaptic current λ = 0.75)"."""
    texts = []
    for layer, table in _paired(report):
        current = _factor(table, "current_leak")
        words = [
            "recurrent" if table.get("recurrent") is True else "",
            f"λ = {leak}" if (leak := _factor(table, "leak")) else "",
            f"synaptic current λ = {current}" if current else "",
        ]
        said = ", ".join(filter(None, words))
        texts.append(f"{layer['kind']} {layer['n_in']} → {layer['n_out']}{f' ({said})' if said else ''}")
    return texts


def network_sentence(report: Mapping[str, Any]) -> str:
    """Sizes and number of weights, and which layers are recurrent or have a synaptic current."""
    network, tables = report["network"], [table for _, table in _paired(report)]
    recurrent = [index for index, table in enumerate(tables) if table.get("recurrent") is True]
    currents = [index for index, table in enumerate(tables) if _factor(table, "current_leak")]
    parts = [f"{network['shape']}, {network['n_weights']:,} weights"]
    for indices, what in ((recurrent, "recurrent"), (currents, "with a synaptic current")):
        if indices:
            parts.append(f"layer{'s' if len(indices) > 1 else ''} {' and '.join(map(str, indices))} {what}")
    return "; ".join(parts)


def _paired(report: Mapping[str, Any]) -> list[tuple[Layer, Layer]]:
    """Every layer with its table of the experiment; with an empty one where the two do not match."""
    layers = report["network"]["layers"]
    network = report["experiment"].get("network")
    found = network.get("layers") if isinstance(network, Mapping) else None
    tables = [one for one in found if isinstance(one, Mapping)] if isinstance(found, list) else []
    tables = [table for table in tables if table.get("kind") in WITH_WEIGHTS]
    if [table["kind"] for table in tables] != [_kind(layer) for layer in layers]:
        tables = [{} for _ in layers]
    return list(zip(layers, tables, strict=True))


def _kind(layer: Layer) -> str:
    return "conv2d" if layer["kind"] == "conv" else str(layer["kind"])


def _factor(table: Layer, leak: str) -> str:
    """The factor of a leak per step, as a text; "" where the table has none."""
    shift, constant = table.get(f"{leak}_shift"), table.get(f"{leak}_constant")
    if isinstance(shift, int) and 0 < shift < 16:
        return f"{1 - 2.0**-shift:.4g}"
    return f"{constant / 65536:.4g}" if isinstance(constant, int) else ""
