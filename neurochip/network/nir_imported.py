"""What importing a NIR graph gives, and what the graph itself says of time and formats if neurochip wrote it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurochip.config_nir import NirTable
from neurochip.network.nir_file import Graph
from neurochip.network.nir_leaks import Decay
from neurochip.network.nir_neurons import Steps

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ImportedLayer:
    """A layer with weights.

    Attributes:
        weights_node, population: names in the graph; no population where the weights lead to the Output.
        table: its entry of network.layers.
        weights: [n_weight_rows + n_bias_rows, columns], biases as the float twin adds them.
        potential: its leak; None for a readout without memory.
        current: the leak of its synaptic current; None without.
        notes: what differs from the graph, in words.
        unit: the lowest and the highest threshold of the graph by which weights were divided; None: they are as there.
    """

    weights_node: str
    population: str | None
    table: dict[str, Any]
    weights: Array
    potential: Decay | None
    current: Decay | None
    notes: tuple[str, ...] = ()
    unit: tuple[float, float] | None = None


@dataclass(frozen=True, eq=False)
class Imported:
    """A network out of a NIR graph.

    Attributes:
        graph, steps: what was read, and how.
        tables: all entries of network.layers.
        layers: those with weights.
        input_shape: [channels, height, width]; None for a list of inputs.
        n_inputs, n_outputs: addresses of the input and classes.
        formats: fracs that a file of neurochip states, by signal.
    """

    graph: Graph
    steps: Steps
    tables: tuple[dict[str, Any], ...]
    layers: tuple[ImportedLayer, ...]
    input_shape: tuple[int, int, int] | None
    n_inputs: int
    n_outputs: int
    formats: Mapping[str, Any] = field(default_factory=dict)


def steps_of(graph: Graph, table: NirTable) -> Steps:
    """What the experiment says of time, else the file if neurochip wrote it, else NIR's own definition."""
    noted = graph.metadata

    def choose(key: str, allowed: Sequence[str]) -> str:
        asked = getattr(table, key)
        return asked if asked is not None else noted[key] if noted.get(key) in allowed else allowed[0]

    dt = noted.get("dt")
    usable = isinstance(dt, float) and 0 < dt < math.inf
    return Steps(
        dt=table.dt if table.dt is not None else dt if usable else None,
        scheme=choose("scheme", ("euler", "exact")),
        reset=choose("reset", ("zero", "subtract")),
        comparator=choose("comparator", ("gt", "ge")),
    )


def formats_of(graph: Graph, table: NirTable) -> dict[str, Any]:
    """weight_bits, weight_frac, membrane_frac and readout_frac that a file of neurochip states; else nothing."""
    text = graph.metadata.get("formats")
    try:
        found = json.loads(text) if isinstance(text, str) else {}
    except ValueError:
        return {}
    lists = ("weight_frac", "membrane_frac")
    whole = (
        all(_is_frac(found.get(key)) for key in ("weight_bits", "readout_frac")) if isinstance(found, dict) else False
    )
    if not whole or not all(isinstance(found.get(k), list) and all(map(_is_frac, found[k])) for k in lists):
        return {}
    return {key: found[key] for key in (*lists, "weight_bits", "readout_frac")}


def _is_frac(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 24


__all__ = ["Imported", "ImportedLayer", "formats_of", "steps_of"]
