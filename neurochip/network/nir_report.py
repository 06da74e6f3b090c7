"""What importing a NIR graph cost: errors of weights and leaks, and spikes of the integer core against the graph."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neurochip.events import EventDataset
from neurochip.fixed_point import QFormat, quantise
from neurochip.listener import Listener
from neurochip.network.calibrate import epoch_order
from neurochip.network.nir_experiment import COPY
from neurochip.network.nir_import import channels_last_order
from neurochip.network.nir_imported import Imported, ImportedLayer
from neurochip.network.nir_run import NirRun, NirRunner
from neurochip.spec import CoreSpec

if TYPE_CHECKING:
    from neurochip.setup import Setup

FILE, SCHEMA = "nir_import.json", "neurochip-nir-import/1"
COMPARED_SAMPLES = 8

Document = dict[str, Any]


def import_files(setup: Setup, listener: Listener) -> Mapping[str, bytes]:
    """What the run directory of an imported network holds beside: the graph, and the report on its import."""
    if setup.imported is None:
        return {}
    document = import_report(setup)
    listener.message(summary(document))
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
    return {COPY: setup.imported.graph.content, FILE: f"{text}\n".encode()}


def import_report(setup: Setup) -> Document:
    """Describe an import: per layer what quantisation did, and how far the spikes of some samples are from the graph's.

    The samples are the first of those that calibrated the formats.
    """
    imported = setup.imported
    if imported is None:
        raise ValueError("the network of this setup comes from no NIR graph")
    table = setup.resolved.network.nir
    spec = setup.spec(setup.rules[0])
    own = [index for index, shape in enumerate(spec.layers) if shape.is_hidden] + [len(spec.layers) - 1]
    layers = [_layer(layer, spec, index) for layer, index in zip(imported.layers, own, strict=True)]
    return {
        "schema": SCHEMA,
        **({} if table is None else table.model_dump(exclude_none=True, exclude={"file"})),
        "layers": layers,
        "spikes": _spikes(setup, imported, spec),
    }


def summary(document: Document) -> str:
    """One line on an import."""
    layers, spikes = document["layers"], document["spikes"]
    weight = max(layer["max_weight_error"] / (layer["max_weight"] or 1.0) for layer in layers)
    leak = max(abs(layer.get("leak_error", 0.0)) for layer in layers)
    threshold = max((abs(layer["threshold_error"]) / layer["threshold"] for layer in layers[:-1]), default=0.0)
    clipped = max(layer["clipped_fraction"] for layer in layers)
    worst = max((layer["differing_share"] for layer in spikes["populations"]), default=0.0)
    return (
        f"NIR graph as integers: weights off by at most {weight:.2%} of the largest of their layer, {clipped:.2%} "
        f"clipped, thresholds off by {threshold:.2%}, leaks by {leak:.1e}; on {spikes['samples']} samples {worst:.1%} "
        f"of the spikes of the worst layer differ, {spikes['same_answers']} answers are the same ({FILE})"
    )


def _layer(layer: ImportedLayer, spec: CoreSpec, index: int) -> Document:
    made = spec.layers[index]
    fmt = QFormat(spec.weight_bits, made.frac_weight, True)
    codes = quantise(layer.weights, fmt)
    unbounded = quantise(layer.weights, QFormat(63, made.frac_weight, True))
    found: Document = {
        "weights": layer.weights_node,
        "population": layer.population,
        "kind": layer.table["kind"],
        "weight_bits": fmt.bits,
        "weight_frac": fmt.frac,
        "max_weight": float(np.abs(layer.weights).max()),
        "max_weight_error": float(np.abs(codes * 2.0**-fmt.frac - layer.weights).max()),
        "clipped_fraction": float(np.mean(codes != unbounded)),
    }
    if layer.alpha is not None and layer.leak is not None:
        found |= {"alpha": layer.alpha, "leak": layer.leak, "leak_error": layer.leak - layer.alpha}
    if made.is_hidden:
        threshold = layer.table["threshold"]
        found |= {
            "membrane_bits": spec.membrane_bits,
            "membrane_frac": made.frac_potential,
            "threshold": threshold,
            "threshold_error": made.threshold_q * 2.0**-made.frac_potential - threshold,
        }
    return found | {"notes": list(layer.notes)}


def _spikes(setup: Setup, imported: Imported, spec: CoreSpec) -> Document:
    """Run the graph in real numbers and the integer core on the same samples."""
    from neurochip.setup import Run

    train = setup.task.train
    samples = epoch_order(setup.resolved.run.seed, 0, train.n_samples)[:COMPARED_SAMPLES]
    core = setup.core(Run(setup.rules[0], "fixed", "."), None)
    result = core.run(train, samples, learn=False, end_of_epoch=False, probe=range(len(samples)))
    runner = NirRunner(imported.graph, imported.steps)
    runs = [runner.run(dense_input(train, int(sample))) for sample in samples]
    populations = []
    for index, layer in enumerate(imported.layers[:-1]):
        fired = result.probes[f"spike/{index}"] != 0
        graph = np.stack([in_our_order(run.outputs[str(layer.population)]) for run in runs]) != 0
        differing, total = int((fired != graph).sum()), int(fired.sum() + graph.sum())
        populations.append(
            {
                "population": layer.population,
                "graph_spikes": int(graph.sum()),
                "core_spikes": int(fired.sum()),
                "differing": differing,
                "differing_share": differing / max(1, total),
            }
        )
    answers = np.array([answer(run, imported, setup.resolved.network.nir) for run in runs])
    return {
        "samples": len(samples),
        "steps": train.n_steps,
        "populations": populations,
        "same_answers": int((answers == result.predictions).sum()),
    }


def dense_input(data: EventDataset, sample: int) -> NDArray[np.float64]:
    """The events of a sample as [steps, inputs], their magnitudes as values."""
    found = np.zeros((data.n_steps, data.n_inputs))
    for t in range(data.n_steps):
        cell = sample * data.n_steps + t
        part = slice(data.step_offsets[cell], data.step_offsets[cell + 1])
        found[t, data.addresses[part]] = data.magnitudes[part]
    return found


def in_our_order(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """[steps, channels, height, width] or [steps, n] as [steps, addresses]."""
    flat: NDArray[np.float64] = values.reshape(len(values), -1)[:, channels_last_order(values.shape[1:])]
    return flat


def answer(run: NirRun, imported: Imported, table: Any) -> int:
    """The class whose output of the graph has the largest sum over the steps; ties go to the lowest."""
    sums = run.outputs[imported.graph.only("Output")].sum(axis=0).reshape(-1)
    chosen = None if table is None else table.outputs
    return int(np.argmax(sums if chosen is None else sums[chosen]))


__all__ = ["FILE", "answer", "dense_input", "import_files", "import_report", "in_our_order", "summary"]
