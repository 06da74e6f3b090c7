"""An experiment whose network comes out of a NIR graph: its layers written out, its weights beside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from neurochip.config import Experiment
from neurochip.config_errors import sentence
from neurochip.config_layers import NetworkTable
from neurochip.config_nir import NirTable
from neurochip.errors import UserError
from neurochip.fixed_point import QFormat, quantise_scalar
from neurochip.network.choose import given_fracs
from neurochip.network.formats import Fracs
from neurochip.network.nir_file import Graph, read_nir
from neurochip.network.nir_import import import_graph
from neurochip.network.nir_imported import Imported, ImportedLayer
from neurochip.network.shape import LayerShape

COPY = "network.nir"  # the graph in a run directory
MOST_CLIPPED = 0.5  # of the weights of a layer, whatever their frac


def with_nir(experiment: Experiment, base_dir: Path) -> tuple[Experiment, Imported | None]:
    """Read `network.nir.file` and write its layers, and what it says of time and formats, into the experiment.

    An experiment without `network.nir` stays as it is. `network.nir.file` is relative to `base_dir`.

    Raises:
        UserError: a file that is no NIR graph, is not the one of `network.nir.sha256`, or needs what the core does not
            have; or `network.layers` that are other than those of the graph.
    """
    table = experiment.network.nir
    if table is None:
        return experiment, None
    graph = read_nir(base_dir / table.file)
    _check_content(table, graph)
    imported = import_graph(graph, table)
    _check_sizes(experiment, imported)
    network = _network(experiment, imported)
    if "layers" in experiment.network.model_fields_set and experiment.network.layers != network.layers:
        raise UserError(
            f"network.layers is not allowed with network.nir.file = {table.file!r}, whose graph has other layers; "
            "leave network.layers out"
        )
    steps = imported.steps
    known: dict[str, Any] = {
        "dt": steps.dt, "scheme": steps.scheme, "reset": steps.reset, "comparator": steps.comparator,
        "sha256": graph.sha256,
    }  # fmt: skip
    changed = network.model_copy(update={"nir": table.model_copy(update=known)})
    return _with_formats(experiment, imported).model_copy(update={"network": changed}), imported


def stored(experiment: Experiment) -> Experiment:
    """The experiment as a run directory holds it: with the copy of its graph that lies there."""
    if experiment.network.nir is None:
        return experiment
    table = experiment.network.nir.model_copy(update={"file": COPY})
    return experiment.model_copy(update={"network": experiment.network.model_copy(update={"nir": table})})


def initial_weights(
    imported: Imported | None, shapes: tuple[LayerShape, ...], labels: tuple[int, ...]
) -> list[NDArray[np.float64]] | None:
    """The weights of a graph, one array per layer of the network; None without a graph.

    Raises:
        UserError: a task that has other inputs or classes than the graph, saying what both have.
    """
    if imported is None:
        return None
    graph = imported.graph
    if imported.n_outputs != len(labels):
        raise graph.refuse(
            graph.only("Output"),
            f"has {imported.n_outputs} values, the task {len(labels)} classes with the labels {list(labels)}; "
            "network.nir.outputs lists the output of every class, for example the labels themselves",
        )
    for layer, shape in zip(imported.layers, shapes, strict=True):
        needed = (shape.n_weight_rows + shape.n_bias_rows, shape.columns)
        if layer.weights.shape != needed:
            raise graph.refuse(
                layer.weights_node,
                f"has weights for {layer.weights.shape[0] - shape.n_bias_rows} inputs, the task gives "
                f"{shape.n_weight_rows}; allowed are tasks with the input of the graph",
            )
    return [layer.weights for layer in imported.layers]


def check_thresholds(
    imported: Imported | None, experiment: Experiment, shapes: tuple[LayerShape, ...], fracs: Fracs
) -> None:
    """Refuse potentials that calibration found so small that their format does not hold the threshold.

    Raises:
        UserError: naming the population, and what its weights bring it in a step.
    """
    if imported is None:
        return
    bits, given = experiment.precision.membrane.bits, given_fracs(experiment, len(shapes))["membrane"]
    for index, (layer, shape, frac) in enumerate(zip(imported.layers, shapes, fracs.membrane, strict=False)):
        threshold_q = quantise_scalar(shape.threshold, frac) + shape.fires_above
        if given[index] is not None or threshold_q <= QFormat(bits, 0, True).highest:
            continue
        raise imported.graph.refuse(
            str(layer.population),
            f"stays so far below its threshold that no format of precision.membrane.bits = {bits} holds both "
            f"(calibrated precision.membrane.frac: {frac}): with all its inputs at 1 it gets "
            f"{_most_input(layer, shape):.3g} thresholds in a step at most; allowed are weights, R, tau and "
            "v_threshold of the same size, or a precision.membrane.frac",
        )


def _most_input(layer: ImportedLayer, shape: LayerShape) -> float:
    """The largest input of a neuron in a step, in thresholds, where only weights above 0 get an event."""
    groups, n_rows = shape.n_bias_rows, shape.n_weight_rows
    rows = np.maximum(layer.weights[:n_rows], 0.0).reshape(groups, n_rows // groups, shape.columns)
    return float((rows.sum(axis=1) + layer.weights[n_rows:]).max()) / shape.threshold


def _network(experiment: Experiment, imported: Imported) -> NetworkTable:
    """`[network]` with the layers of the graph, checked like one that a user wrote."""
    tables = {key: value for key, value in experiment.to_tables()["network"].items() if key != "layers"}
    tables["layers"] = list(imported.tables)
    asked = experiment.network.input_shape
    if imported.input_shape is not None:
        if asked is not None and tuple(asked) != imported.input_shape:
            raise UserError(
                f"network.input_shape = {asked} is not allowed with {imported.graph.source}, whose input is "
                f"{list(imported.input_shape)}"
            )
        tables["input_shape"] = list(imported.input_shape)
    try:
        return NetworkTable.model_validate(tables)
    except ValidationError as error:
        raise UserError(f"{imported.graph.source}: as network: {sentence(error, NetworkTable)}") from error


def _with_formats(experiment: Experiment, imported: Imported) -> Experiment:
    """The fracs that a file of neurochip states, where the experiment has none and the bits are the same."""
    precision, formats = experiment.precision, imported.formats
    n_layers = len(imported.layers)
    fits = len(formats.get("weight_frac", ())) == n_layers == len(formats.get("membrane_frac", ())) + 1
    if not fits or formats["weight_bits"] != precision.weight.bits:
        return experiment
    changed = {
        signal: getattr(precision, signal).model_copy(update={"frac": formats[f"{signal}_frac"]})
        for signal in ("weight", "membrane", "readout")
        if getattr(precision, signal).frac is None
    }
    return experiment.model_copy(update={"precision": precision.model_copy(update=changed)})


def _check_sizes(experiment: Experiment, imported: Imported) -> None:
    """Weights that no format of their bits holds: not a network any more if they are most of a layer."""
    bits = experiment.precision.weight.bits
    if experiment.precision.arithmetic != "fixed":
        return
    for layer in imported.layers:
        sizes = np.abs(layer.weights)
        share = float(np.mean(sizes >= 2.0 ** (bits - 1)))
        if share > MOST_CLIPPED:
            raise imported.graph.refuse(
                layer.weights_node,
                f"has {share:.0%} of its weights beyond {2 ** (bits - 1)}, the range of precision.weight.bits = {bits} "
                f"without a fraction (the largest is {sizes.max():.3g}); allowed is half of them",
            )


def _check_content(table: NirTable, graph: Graph) -> None:
    if table.sha256 is not None and table.sha256 != graph.sha256:
        raise UserError(
            f"{graph.source}: has the hash {graph.sha256[:16]}..., network.nir.sha256 is {table.sha256[:16]}...; the "
            "file is not the one that the experiment began with"
        )


__all__ = ["COPY", "check_thresholds", "initial_weights", "stored", "with_nir"]
