"""NeuroBench's metrics of a run, by their definitions (NeuroBench 2.3), from activity.h5 and the learned weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurochip.activity import Activity, SampleTrace
from neurochip.export.load import load_learned
from neurochip.microarch.replay_fields import arrivals_of
from neurochip.microarch.taps import map_of
from neurochip.recorded_passes import INFERENCE, LEARNING, recorded_passes
from neurochip.repricing import SavedRun, load_run
from neurochip.spec import NETWORK_INPUT, CoreSpec, LayerSpec

Record = dict[str, Any]
Weights = Sequence[NDArray[np.integer[Any]]]
NO_POTENTIALS = "the potentials of every step are not recorded, so those that changed cannot be told from the others"
NO_COST_TABLE = "needs MembraneUpdates, and NeuroBench has no table of costs for this neuron"
NOT_RECORDED = "no sample of the test split was recorded (run.activity_samples = 0)"
STREAM = "the weights changed between the samples of the stream, and only those of its end are known"
NO_NEURONS = "the network has no spiking neurons"
CHIP_KEYS = ("cycles", "latency_us", "average_power_mw")


def neurobench_records(directory: Path, chip: str | None = None) -> Record:
    """Return `name`, `task` and `results` of a run: per rule the metrics, why some are null, and the chip.

    `metrics` has NeuroBench's names: Footprint (bytes), ParameterCount, ConnectionSparsity, ClassificationAccuracy,
    ActivationSparsity, SynapticOperations (per sample), MembraneUpdates, NeuronOperations. `null` says why a metric is
    None; `n_samples`: samples of inference; `n_recorded`: those of them that SynapticOperations is a mean of; `chip`:
    what NeuroBench leaves out.

    Args:
        directory: the run directory.
        chip: another chip than that of the run, for `chip`.

    Raises:
        UserError: no finished run, no weights, or a chip that can run no rule.
    """
    run = load_run(directory)
    on_chip = _on_chip(run, chip)
    results = [
        {"rule": result["rule"], **_metrics(run, result), "chip": on_chip.get(result["rule"])}
        for result in run.report["results"]
        if result["precision"] == "fixed"
    ]
    return {"name": run.report["name"], "task": run.report["task"]["name"], "results": results}


def _metrics(run: SavedRun, result: Mapping[str, Any]) -> Record:
    learned = load_learned(run.directory, result["rule"])
    recorded = run.recorded_of(result["rule"])
    layers = network_layers(learned.spec)
    trace = recorded.test_subset
    why: dict[str, str] = {"MembraneUpdates": NO_POTENTIALS, "NeuronOperations": NO_COST_TABLE}
    operations = None
    if "stream" in result:
        why["SynapticOperations"] = STREAM
    elif trace is None or len(trace.sample_indices) == 0:
        why["SynapticOperations"] = NOT_RECORDED
    else:
        operations = synaptic_operations(learned.spec, learned.weights, trace)
    sparsity = None if recorded.test is None else activation_sparsity(learned.spec, recorded.test)
    if sparsity is None:
        why["ActivationSparsity"] = NO_NEURONS if recorded.test is not None else "inference was not run"
    accuracy = result["stream"]["accuracy"] if "stream" in result else result["accuracy"]["test"]
    if accuracy is None:
        why["ClassificationAccuracy"] = "the task has no test split"
    n_bits = result["footprint_bits"]["synapse"] + result["footprint_bits"]["neuron"]
    metrics = {
        "Footprint": n_bits / 8,
        "ParameterCount": sum(_n_parameters(learned.spec.layers[index]) for index in layers),
        "ConnectionSparsity": connection_sparsity(learned.spec, learned.weights),
        "ClassificationAccuracy": accuracy,
        "ActivationSparsity": sparsity,
        "SynapticOperations": operations,
        "MembraneUpdates": None,
        "NeuronOperations": None,
    }
    n_recorded = 0 if operations is None or trace is None else len(trace.sample_indices)
    n_samples = 0 if recorded.test is None else recorded.test.n_samples
    return {"metrics": metrics, "null": why, "n_samples": n_samples, "n_recorded": n_recorded}


def _n_parameters(layer: LayerSpec) -> int:
    return (layer.n_weight_rows + int(layer.bias) * layer.n_bias_rows) * layer.columns


def network_layers(spec: CoreSpec) -> list[int]:
    """The layers that inference runs: no heads, no feedback."""
    return [index for index, layer in enumerate(spec.layers) if layer.is_hidden or index == len(spec.layers) - 1]


def connection_sparsity(spec: CoreSpec, weights: Weights) -> float:
    """Zeros over all weights of the layers of the network, biases left out, to four digits as NeuroBench rounds it."""
    parts = [weights[index][: spec.layers[index].n_weight_rows] for index in network_layers(spec)]
    return round(sum(np.count_nonzero(part == 0) for part in parts) / sum(part.size for part in parts), 4)


def activation_sparsity(spec: CoreSpec, activity: Activity) -> float | None:
    """1 - spikes / (samples · steps · neurons) over the spiking layers; None where there are none."""
    hidden = [index for index, layer in enumerate(spec.layers) if layer.is_hidden]
    n_activations = activity.n_samples * spec.n_steps * sum(spec.layers[index].n_out for index in hidden)
    spikes = activity.per_layer("spikes")
    return 1 - sum(spikes[index] for index in hidden) / n_activations if n_activations else None


def synaptic_operations(spec: CoreSpec, weights: Weights, trace: SampleTrace) -> dict[str, float]:
    """Effective_MACs, Effective_ACs and Dense, means per recorded sample; biases are not counted.

    Effective: weight ≠ 0 meets input ≠ 0. The call of a layer, one sample and step, counts as ACs where all its inputs
    are 0 or 1, else as MACs. Dense: every weight meets every input.
    """
    n_samples, macs, acs, dense = len(trace.sample_indices), 0, 0, 0
    for index in network_layers(spec):
        layer = spec.layers[index]
        arrivals = arrivals_of(trace, spec, index)
        nonzero = weights[index][: layer.n_weight_rows] != 0
        effective = (arrivals > 0).astype(np.int64) @ weights_met(layer, nonzero)
        pooled: NDArray[np.bool_] = np.logical_or.reduce(arrivals > 1, axis=-1)
        multiplies = pooled | _has_graded(trace, spec, index)
        macs += int(effective[multiplies].sum())
        acs += int(effective[~multiplies].sum())
        dense += spec.n_steps * int(weights_met(layer, np.ones_like(nonzero)).sum())
    return {"Effective_MACs": macs / n_samples, "Effective_ACs": acs / n_samples, "Dense": float(dense)}


def weights_met(layer: LayerSpec, chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
    """How many of the chosen weights an event of each input address meets, over all its taps, [n_in].

    Args:
        layer: the layer.
        chosen: which weights count, [rows, columns].
    """
    shape = map_of(layer)
    per_row = chosen.sum(axis=1, dtype=np.int64).reshape(shape.channels, shape.kernel_height, shape.kernel_width)
    along_y = _offsets(shape.height, shape.out_height, shape.kernel_height, shape.stride_y, shape.padding_y)
    along_x = _offsets(shape.width, shape.out_width, shape.kernel_width, shape.stride_x, shape.padding_x)
    met: NDArray[np.int64] = np.einsum("yk,xl,ckl->yxc", along_y, along_x, per_row).reshape(layer.n_in)
    return met


def _offsets(n_in: int, n_out: int, kernel: int, stride: int, padding: int) -> NDArray[np.int64]:
    """1 where an input position meets an offset in the kernel at some output position, [n_in, kernel]."""
    offsets = np.arange(n_in)[:, None] + padding - stride * np.arange(n_out)[None, :]
    met: NDArray[np.int64] = (offsets[:, :, None] == np.arange(kernel)).any(axis=1).astype(np.int64)
    return met


def _has_graded(trace: SampleTrace, spec: CoreSpec, index: int) -> NDArray[np.bool_]:
    """Where a layer has an input event with m ≠ 1, [samples, steps]."""
    from_input = any(connection.source == NETWORK_INPUT for connection in spec.connections(index))
    if spec.event_bits == 1 or not from_input:
        return np.zeros((len(trace.sample_indices), spec.n_steps), dtype=np.bool_)
    graded: NDArray[np.bool_] = np.logical_or.reduce(trace.bitmaps["graded/0"], axis=-1)
    return graded


def _on_chip(run: SavedRun, chip: str | None) -> dict[str, Record]:
    """Per rule what its passes cost on the chip, per sample."""
    found: dict[str, Record] = {}
    for one in recorded_passes(run, chip):
        costs = one.known if one.known is not None else one.pricer.per_sample(one.activity, one.trace)
        entry = found.setdefault(one.rule, {"chip": one.pricer.chip.name})
        name = {LEARNING: "learning", INFERENCE: "inference"}[one.name]
        entry[name] = {"energy_pj": costs["energy_pj"]["total"], **{key: costs[key] for key in CHIP_KEYS}}
        entry[name] |= costs["totals"]
    return found


__all__ = [
    "activation_sparsity",
    "connection_sparsity",
    "network_layers",
    "neurobench_records",
    "synaptic_operations",
    "weights_met",
]
