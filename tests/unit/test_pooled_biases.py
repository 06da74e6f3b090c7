"""Does a bias behind an average pool count the same in integers, in the float twin and in the graph it comes from?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nir
import numpy as np
import tiny_experiment as tiny
from nir_graphs import chain, conv, integrate_and_fire, write
from nir_runs import learn, tables
from numpy.typing import NDArray

from neurochip.config import Experiment, load_experiment
from neurochip.core.engine import Engine
from neurochip.core.float_core import FloatCore
from neurochip.diagnosis.measure import side_by_side
from neurochip.listener import Silent
from neurochip.network.nir_compare import dense_input, in_our_order
from neurochip.network.nir_run import NirRunner
from neurochip.network.resolve import float_spec
from neurochip.rules.presets import find_rule
from neurochip.setup import Run, Setup, prepare_setup

INFER = find_rule("infer")
# Potentials do not round: weights and biases have few bits, no leak, and wide memories.
FORMATS: dict[str, Any] = {"weight": {"bits": 12}, "membrane": {"bits": 24}, "readout": {"bits": 31}}


def prepared(experiment: Experiment, folder: Path) -> Setup:
    return prepare_setup(experiment, [INFER], folder, "fast", Silent())


def potentials(setup: Setup, weights: list[NDArray[Any]] | None = None) -> tuple[list[Any], list[Any]]:
    """Of every layer, [samples, steps, neurons], on the test split: in integers as real numbers, and of the twin."""
    data, order = setup.task.test, np.arange(setup.task.test.n_samples)
    codes = setup.core(Run(INFER, "fixed", "."), weights).weights
    real = setup.core(Run(INFER, "float", "float"), weights).weights
    spec, twin = setup.spec(INFER), float_spec(setup.resolved, INFER, setup.shapes, setup.prepared.fracs)
    fixed = Engine(spec, codes).run(data, order, learn=False, end_of_epoch=False, probe=order.tolist()).probes
    floats = FloatCore(twin, real).run(data, order, False, probe_slots=order).probes
    found = [fixed[f"potential/{i}"] * 2.0**-layer.frac_potential for i, layer in enumerate(spec.layers)]
    return found, [floats[f"potential/{i}"] for i in range(len(spec.layers))]


def test_an_imported_bias_counts_as_in_the_graph(tmp_path: Path) -> None:
    """One average pool before a convolution, two before the readout; their biases decide most spikes and answers."""
    tiny.write_tiny_task(tmp_path)
    rng, pool = np.random.default_rng(3), nir.AvgPool2d(np.array([2, 2]), np.array([2, 2]), np.zeros(2, int))
    nodes, edges = chain(
        pool, conv(rng.integers(-8, 9, (4, 2, 1, 1)) / 16, bias=np.array([0.75, 0.5, -0.25, 0.375])),
        integrate_and_fire((4, 2, 2)), pool, nir.Flatten(np.array([1]), 0, -1),
        nir.Affine(rng.integers(-8, 9, (3, 4)) / 16, np.array([-0.5, 0.25, 0.25])), integrate_and_fire((3,)),
        shape=(2, 5, 5),
    )  # fmt: skip
    write(tmp_path / "model.nir", nodes, edges)
    setup = prepared(load_experiment(None, tables=tables(learning__rule="infer", precision=FORMATS)), tmp_path)
    assert setup.imported is not None
    runner, data = NirRunner(setup.imported.graph, setup.imported.steps), setup.task.test
    runs = [runner.run(dense_input(data, sample)) for sample in range(data.n_samples)]
    hidden = np.stack([in_our_order(run.potentials["2"].reshape(-1, 4, 2, 2)) for run in runs])
    for found in potentials(setup):
        np.testing.assert_array_equal(found[0], hidden)
    fixed, real = potentials(setup)
    np.testing.assert_array_equal(fixed[1], real[1])
    assert (hidden >= 1).any() and (hidden[1:] < 1).any()


def test_the_accuracy_of_an_import_is_that_of_its_graph(tmp_path: Path) -> None:
    tiny.write_tiny_task(tmp_path, {"train": 18, "validation": 60, "test": 9})
    rows = np.zeros((3, 2, 2, 2))
    rows[0, :, 0], rows[2, :, 1] = 1.0, 1.0
    nodes, edges = chain(
        nir.AvgPool2d(np.array([2, 2]), np.array([2, 2]), np.zeros(2, int)), nir.Flatten(np.array([1]), 0, -1),
        nir.Affine(rows.reshape(3, 8), np.array([0.0, 0.25, 0.0])), shape=(2, 5, 5),
    )  # fmt: skip
    write(tmp_path / "model.nir", nodes, edges)
    learn(tmp_path, tmp_path / "run", learning__rule="infer", precision__weight={"bits": 12})
    section = json.loads((tmp_path / "run" / "nir_import.json").read_text())
    right = section["spikes"]["graph_right"] / section["accuracy"]["samples"]
    assert section["spikes"]["samples"] == section["accuracy"]["samples"] == 60
    assert section["accuracy"]["float"] == section["accuracy"]["fixed"] == right > 0.4


def test_inference_adds_the_biases_that_the_float_twin_learned(tmp_path: Path) -> None:
    tiny.write_tiny_task(tmp_path)
    neuron = {"leak_constant": 65536}
    layers = [
        {"kind": "avgpool", "kernel": 2}, {"kind": "conv2d", "channels": 4, "kernel": 1, "groups": 2, **neuron},
        {"kind": "avgpool", "kernel": 2}, {"kind": "dense", "neurons": 5, **neuron},
        {"kind": "readout"},
    ]  # fmt: skip
    precision = {**FORMATS, "weight": {"bits": 12, "frac": [6, 6, 6]}, "membrane": {"bits": 24, "frac": [12, 12]}}
    setup = prepared(tiny.tiny_experiment(network__layers=layers, precision=precision), tmp_path)
    rng, learned = np.random.default_rng(1), []
    for layer in setup.shapes:
        values = rng.integers(-12, 24, (layer.n_weight_rows + layer.n_bias_rows, layer.columns)) / 16
        learned.append(values)
    fixed, real = potentials(setup, learned)
    assert [layer.frac_event for layer in setup.shapes] == [2, 2, 0]
    for one, other in zip(fixed, real, strict=True):
        np.testing.assert_array_equal(one, other)
    assert (real[1] >= 1).any()


def test_the_diagnosis_gives_the_twin_the_same_biases(tmp_path: Path) -> None:
    """With wide formats there is no noise to find; a bias four times too large would be all of the readout."""
    tiny.write_tiny_task(tmp_path)
    layers = [{"kind": "avgpool", "kernel": 2}, {"kind": "readout"}]
    setup = prepared(
        load_experiment(None, tables=tiny.tiny_tables(network__layers=layers, precision=FORMATS)), tmp_path
    )
    spec, data = setup.spec(INFER), setup.task.test
    rng = np.random.default_rng(1)
    codes = [rng.integers(-100, 101, (layer.n_weight_rows + layer.n_bias_rows, layer.columns)) for layer in spec.layers]
    twin = float_spec(setup.resolved, INFER, setup.shapes, setup.prepared.fracs)
    core, real = side_by_side(spec, twin, codes, data)
    np.testing.assert_array_equal(core["potential/0"] * 2.0 ** -spec.layers[0].frac_potential, real["potential/0"])
