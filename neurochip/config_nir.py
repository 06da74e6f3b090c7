"""The table `[network.nir]` of an experiment: a network trained elsewhere, and what a NIR file does not say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from neurochip.config_table import Table

EARLIER = "refuse"  # a graph that was accepted under it has no filter, so "current" is the same


def as_read_now(value: Any) -> Any:
    """A value of `synapse`, that of earlier runs included."""
    return "current" if value == EARLIER else value


def tables_as_read_now(tables: dict[str, Any]) -> dict[str, Any]:
    """The tables of a stored experiment, with `network.nir.synapse` as it is read now."""
    network = tables.get("network")
    nir = network.get("nir") if isinstance(network, Mapping) else None
    if not isinstance(network, Mapping) or not isinstance(nir, Mapping) or nir.get("synapse") != EARLIER:
        return tables
    return {**tables, "network": {**network, "nir": {**nir, "synapse": as_read_now(EARLIER)}}}


Synapse = Annotated[
    Literal["current", "instant"],
    BeforeValidator(as_read_now),
    WithJsonSchema({"type": "string", "enum": ["current", "instant", EARLIER]}),
]


class NirTable(Table):
    """`[network.nir]`: the layers and the initial weights come from a NIR graph (docs/nir.md).

    `dt` is the step in the unit of the time constants of the file (seconds in practice); a graph of IF neurons alone
    needs none. `scheme`: "euler" takes alpha = 1 - dt/tau, "exact" exp(-dt/tau). `reset` and `comparator` ("gt": a
    neuron fires above its threshold, "ge": also at it) are those of the framework that trained it. What is left out is
    taken from a file that neurochip wrote; else NIR's own definition holds, zero and gt. `synapse` "current" makes the
    filter of CubaLIF synapses a synaptic current of the layer, "instant" drops it and keeps its charge ("refuse" of
    earlier runs is read as "current"). `outputs` are the outputs of the graph that stand for the classes of the task,
    in their order. A run writes `sha256`, the hash of the file.
    """

    file: Annotated[str, Field(min_length=1)]
    dt: Annotated[float, Field(gt=0.0, allow_inf_nan=False)] | None = None
    scheme: Literal["euler", "exact"] | None = None
    reset: Literal["subtract", "zero"] | None = None
    comparator: Literal["ge", "gt"] | None = None
    synapse: Synapse = "current"
    outputs: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)] | None = None
    sha256: str | None = None
