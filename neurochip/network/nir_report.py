"""What importing a NIR graph cost: errors of weights and leaks, accuracy before learning, spikes beside the graph's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neurochip.fixed_point import QFormat, quantise
from neurochip.listener import Listener
from neurochip.network.bias_rows import as_stored
from neurochip.network.nir_compare import accuracy_and_spikes
from neurochip.network.nir_experiment import COPY
from neurochip.network.nir_imported import Imported, ImportedLayer
from neurochip.rules.presets import NO_LEARNING, find_rule
from neurochip.spec import CoreSpec

if TYPE_CHECKING:
    from neurochip.setup import Setup

FILE, SCHEMA = "nir_import.json", "neurochip-nir-import/1"
SECTION = "nir_import"  # of report.json
SAME_STEP = 0.05  # relative: recordings are not all equally long
NOTED_CLIPPED = 0.01

Document = dict[str, Any]


def import_files(setup: Setup, listener: Listener) -> Mapping[str, bytes]:
    """What the run directory of an imported network holds beside: the graph, and the report on its import."""
    if setup.imported is None:
        return {}
    listener.message("running the NIR graph, and the network made of it before it learns")
    document = import_report(setup)
    listener.message(summary(document))
    for note in document["notes"]:  # now, as well as with the report: learning may take long
        listener.message(f"NIR graph: {note}")
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
    return {COPY: setup.imported.graph.content, FILE: f"{text}\n".encode()}


def import_section(setup: Setup, directory: Path) -> Document:
    """The report on the import as a section of report.json; nothing for other networks.

    It is the one that the run directory got at its start; made again where that cannot be read.
    """
    if setup.imported is None:
        return {}
    try:
        document = json.loads((directory / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        document = import_report(setup)
    return {SECTION: document}


def import_report(setup: Setup) -> Document:
    """Describe an import: what quantisation did per layer, accuracy before learning, and how far spikes are off."""
    imported = setup.imported
    if imported is None:
        raise ValueError("the network of this setup comes from no NIR graph")
    table = setup.resolved.network.nir
    return {
        "schema": SCHEMA,
        **({} if table is None else table.model_dump(exclude_none=True, exclude={"file"})),
        **({} if setup.task.step_us is None else {"task_step_us": setup.task.step_us}),
        "notes": import_notes(setup),
        "layers": _layers(setup, imported),
        **accuracy_and_spikes(setup, imported),
    }


def import_notes(setup: Setup) -> list[str]:
    """What an imported network does otherwise than its graph, one sentence each."""
    imported = setup.imported
    if imported is None:
        return []
    found = _about_steps(setup, imported)
    for layer, document in zip(imported.layers, _layers(setup, imported), strict=True):
        name = layer.weights_node if layer.population is None else layer.population
        found += [f"node {name!r} ({imported.graph.nodes[name].kind}): {note}" for note in document["notes"]]
    return found


def _about_steps(setup: Setup, imported: Imported) -> list[str]:
    """What a step of the task that is not dt does to time constants; nothing on a dt that neurochip itself wrote."""
    dt, step_us, noted = imported.steps.dt, setup.task.step_us, imported.graph.metadata
    if dt is None or step_us is None or ("neurochip" in noted and noted.get("dt") == dt):
        return []
    ratio = step_us * 1e-6 / dt
    if any(abs(ratio * unit - 1.0) <= SAME_STEP for unit in (1, 1000)):  # files in milliseconds are rare
        return []
    return [
        f"a step of the task lasts {step_us / 1000:.3g} ms (median), network.nir.dt = {dt:g} seconds: in the time of "
        f"the recordings, time constants are {ratio:.3g} times those of the graph; steps of dt need task.steps = "
        f"{max(1, round(setup.task.n_steps * ratio))}"
    ]


def summary(document: Document) -> str:
    """One line on an import."""
    layers, accuracy, spikes = document["layers"], document["accuracy"], document["spikes"]
    weight = max(layer["max_weight_error"] / (layer["max_weight"] or 1.0) for layer in layers)
    leak = max(abs(layer.get(key, 0.0)) for layer in layers for key in ("leak_error", "current_leak_error"))
    threshold = max((abs(layer["threshold_error"]) / layer["threshold"] for layer in layers[:-1]), default=0.0)
    clipped = max(layer["clipped_fraction"] for layer in layers)
    worst = max((layer["differing_share"] for layer in spikes["populations"]), default=0.0)
    return (
        f"NIR graph as integers: {accuracy['fixed']:.1%} of the {accuracy['samples']} {accuracy['split']} samples "
        f"right before learning, {accuracy['float']:.1%} in real numbers; weights off by at most {weight:.2%} of the "
        f"largest of their layer, {clipped:.2%} clipped, thresholds off by {threshold:.2%}, leaks by {leak:.1e}; on "
        f"{spikes['samples']} samples {worst:.1%} of the spikes of the worst layer differ, {spikes['same_answers']} "
        f"answers are the same ({FILE})"
    )


def _layers(setup: Setup, imported: Imported) -> list[Document]:
    spec = setup.spec(find_rule(NO_LEARNING))
    own = [index for index, shape in enumerate(spec.layers) if shape.is_hidden] + [len(spec.layers) - 1]
    return [_layer(layer, spec, index) for layer, index in zip(imported.layers, own, strict=True)]


def _layer(layer: ImportedLayer, spec: CoreSpec, index: int) -> Document:
    made = spec.layers[index]
    fmt = QFormat(spec.weight_bits, made.frac_weight, True)
    weights = as_stored(made, made.frac_event, layer.weights)
    codes = quantise(weights, fmt)
    unbounded = quantise(weights, QFormat(63, made.frac_weight, True))
    clipped = float(np.mean(codes != unbounded))
    notes = list(layer.notes)
    if clipped > NOTED_CLIPPED:
        notes.append(f"{clipped:.1%} of its weights are beyond the range of their format, and clipped")
    found: Document = {
        "weights": layer.weights_node,
        "population": layer.population,
        "kind": layer.table["kind"],
        "weight_bits": fmt.bits,
        "weight_frac": fmt.frac,
        "max_weight": float(np.abs(weights).max()),
        "max_weight_error": float(np.abs(codes * 2.0**-fmt.frac - weights).max()),
        "clipped_fraction": clipped,
    }
    if layer.unit is not None:
        found["unit"] = list(layer.unit)
    for graph, core, decay in (("alpha", "leak", layer.potential), ("beta", "current_leak", layer.current)):
        if decay is not None:
            found |= {graph: decay.graph, core: decay.core, f"{core}_error": decay.core - decay.graph}
    if made.is_hidden:
        threshold = layer.table["threshold"]
        found |= {
            "membrane_bits": spec.membrane_bits,
            "membrane_frac": made.frac_potential,
            "threshold": threshold,
            "threshold_error": made.threshold_q * 2.0**-made.frac_potential - threshold,
        }
    return found | {"notes": notes}


__all__ = ["FILE", "SECTION", "import_files", "import_notes", "import_report", "import_section", "summary"]
