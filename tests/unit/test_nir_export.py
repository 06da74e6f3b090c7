"""Networks that become NIR graphs and networks again: the same integers, and the same spikes as the graph itself."""

from __future__ import annotations

import io
import itertools
import json
import random
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
import tiny_experiment as tiny
from exported_runs import CASES, finished_runs
from hypothesis import given, settings
from hypothesis import strategies as st
from nir_graphs import DT, golden_run

from neurochip.config import Experiment, parse_experiment
from neurochip.config_nir import NirTable
from neurochip.errors import UserError
from neurochip.export import export_files, load_learned
from neurochip.export.load import Learned
from neurochip.export.nir_graph import nir_files
from neurochip.network.bias_rows import as_stored
from neurochip.network.formats import Fracs
from neurochip.network.nir_compare import in_our_order
from neurochip.network.nir_experiment import with_nir
from neurochip.network.nir_file import Graph, parse_nir
from neurochip.network.nir_import import import_graph
from neurochip.network.nir_imported import Imported
from neurochip.network.nir_run import NirRunner
from neurochip.network.resolve import Lanes, core_spec
from neurochip.network.shape import layer_shapes
from neurochip.rules.presets import find_rule
from neurochip.spec import CoreSpec

N_CLASSES, N_STEPS = 3, 12


POOLS: list[dict[str, Any] | None] = [
    None, {"kind": "avgpool", "kernel": [1, 2]}, {"kind": "sumpool", "kernel": [2, 1]}, {"kind": "flatten"},
    {"kind": "avgpool", "kernel": 2}, {"kind": "sumpool"}, {"kind": "avgpool", "kernel": [1, 1]},
]  # fmt: skip


def draw_leak(rng: random.Random) -> dict[str, int]:
    if rng.random() < 0.5:
        return {"leak_shift": rng.randint(1, 15)}
    return {"leak_constant": rng.choice([0, 32768, 65535, 65536, rng.randint(0, 65536)])}


def draw_current(rng: random.Random) -> dict[str, int]:
    """The leak of a synaptic current, or none."""
    return {f"current_{key}": value for key, value in draw_leak(rng).items()} if rng.random() < 0.5 else {}


def draw_readout(rng: random.Random) -> dict[str, Any]:
    """A readout, memoryless or leaky, with a current where that has a potential to go into."""
    leak = draw_leak(rng) if rng.random() < 0.7 else {}
    current = draw_current(rng) if leak.get("leak_constant", int(bool(leak))) else {}
    return {"kind": "readout", "bias": rng.random() < 0.5, **leak, **current}


def draw_hidden(rng: random.Random, has_map: bool, reset: str) -> dict[str, Any]:
    """A convolution, most often where there is a map, or a dense layer."""
    common: dict[str, Any] = {"reset": reset, "bias": rng.random() < 0.5, "threshold": rng.choice([1, 0.7])}
    common |= {"comparator": rng.choice(["ge", "gt"]), **draw_leak(rng), **draw_current(rng)}
    if not has_map or rng.random() < 0.25:
        return {"kind": "dense", "neurons": rng.randint(1, 5), "recurrent": rng.random() < 0.5, **common}
    return {
        "kind": "conv2d", "channels": rng.choice([2, 4]), "groups": rng.choice([1, 2]),
        "kernel": rng.choice([[3, 3], [1, 2], [2, 1], [2, 3]]), "stride": rng.choice([[1, 1], [2, 1], [1, 2]]),
        "padding": rng.choice([1, 0, [1, 0]]), **common,
    }  # fmt: skip


def draw_network(rng: random.Random) -> Experiment:
    """An experiment on a map of 2 x 5 x 4, or on a list of inputs, with random layers, pools and residual sums."""
    is_map, reset = rng.random() < 0.75, rng.choice(["subtract", "zero"])
    layers: list[dict[str, Any]] = []
    has_map = is_map and (rng.random() < 0.5 or add_pool(rng, layers))
    for index in range(rng.randint(0, 3)):
        layer = draw_hidden(rng, has_map, reset) | {"name": f"h{index}"}
        layers.append(layer)
        has_map = layer["kind"] == "conv2d"
        if rng.random() < 0.3:  # a second layer of the same shape, and their sum
            same = {"kernel": [1, 1], "stride": 1, "padding": 0} if has_map else {}
            layers += [layer | same | {"name": f"twin{index}"}, {"kind": "add", "layer": f"h{index}"}]
        has_map = has_map and add_pool(rng, layers)
    layers.append(draw_readout(rng))
    network: dict[str, Any] = {"layers": layers} | ({"input_shape": [2, 5, 4]} if is_map else {})
    precision = {"weight": {"bits": rng.choice([4, 8, 12])}}
    return parse_experiment({"network": network, "precision": precision, "task": {"steps": N_STEPS}}, "the test")


def add_pool(rng: random.Random, layers: list[dict[str, Any]]) -> bool:
    """Add a pool, a flatten or nothing; returns whether there still is a map."""
    pool = rng.choice(POOLS)
    layers += [] if pool is None else [pool]
    return pool is None or pool["kind"] != "flatten"


def learned_of(experiment: Experiment, seed: int) -> Learned:
    """Random integers for a network, as if it had learned them."""
    shapes = layer_shapes(experiment, 40, N_CLASSES)
    rng, bits = np.random.default_rng(seed), experiment.precision.weight.bits
    n = len(shapes)
    membrane = tuple(int(f) for f in rng.integers(6, 10, n - 1))
    bound = [*membrane, 12]
    weight = tuple(int(rng.integers(0, b - shape.frac_event + 1)) for b, shape in zip(bound, shapes, strict=True))
    fracs = Fracs(weight, membrane, (4,) * n, (4,) * n, 12)
    spec = core_spec(experiment, find_rule("infer"), shapes, fracs, Lanes(4, 4))
    half = 1 << (bits - 1)
    weights = []
    for layer in spec.layers:
        codes = rng.integers(-half, half, (layer.n_weight_rows + layer.n_bias_rows, layer.columns))
        codes[layer.n_weight_rows :] *= layer.bias
        weights.append(codes)
    return Learned("drawn", "infer", (0, 1, 2), 1, None, "ottt_core", spec, tuple(weights), np.zeros((n, 1), np.uint32),
                   (), DT)  # fmt: skip


def read_back(learned: Learned) -> tuple[Graph, Imported]:
    graph = parse_nir(nir_files(learned)["network.nir"], "exported.nir")
    return graph, import_graph(graph, NirTable(file="exported.nir"))


def spec_again(experiment: Experiment, imported: Imported) -> CoreSpec:
    """The specification of the imported network in the formats that the file states."""
    own: dict[str, Any] = {"layers": list(imported.tables)}
    if imported.input_shape is not None:
        own["input_shape"] = list(imported.input_shape)
    tables = experiment.to_tables() | {"network": own}
    again = parse_experiment(tables, "the graph")
    shapes = layer_shapes(again, imported.n_inputs, imported.n_outputs)
    found, n = imported.formats, len(shapes)
    fracs = Fracs(tuple(found["weight_frac"]), tuple(found["membrane_frac"]), (4,) * n, (4,) * n, found["readout_frac"])
    return core_spec(again, find_rule("infer"), shapes, fracs, Lanes(4, 4))


@settings(max_examples=150)
@given(seed=st.integers(0, 2**32))
def test_a_network_comes_back_to_the_bit(seed: int) -> None:
    experiment = draw_network(random.Random(seed))
    try:
        learned = learned_of(experiment, seed)
    except UserError:  # layers that do not fit each other are no network
        return
    _, imported = read_back(learned)
    assert spec_again(experiment, imported) == learned.spec
    for index, layer in enumerate(imported.layers):
        made = learned.spec.layers[index]
        codes = as_stored(made, made.frac_event, layer.weights) * 2.0**made.frac_weight
        np.testing.assert_array_equal(codes, learned.weights[index])
    assert imported.formats["weight_bits"] == learned.spec.weight_bits


@settings(max_examples=100)
@given(seed=st.integers(0, 2**32))
def test_the_graph_spikes_as_the_golden_core_does(seed: int) -> None:
    """Without rounding leaks and saturation both compute the same: leaks of 0 or none, wide membranes."""
    tables = draw_network(random.Random(seed)).to_tables()
    for layer, leak in itertools.product(tables["network"]["layers"], ("leak", "current_leak")):
        if layer.pop(f"{leak}_shift", None) is not None or layer.get(f"{leak}_constant", 0) not in (0, 65536):
            layer[f"{leak}_constant"] = 65536
    tables["precision"] = {"weight": {"bits": 4}, "membrane": {"bits": 24}}
    try:
        learned = learned_of(parse_experiment(tables, "the test"), seed)
    except UserError:
        return
    dense = np.random.default_rng(seed).random((N_STEPS, learned.spec.n_inputs)) < 0.2
    graph, imported = read_back(learned)
    run = NirRunner(graph, imported.steps).run(dense.astype(np.float64))
    probes = golden_run(learned.spec, learned.weights, dense).probes
    for index, layer in enumerate(imported.layers[:-1]):
        found = in_our_order(run.outputs[str(layer.population)])
        np.testing.assert_array_equal(found, probes[f"spike/{index}"][0])


@pytest.mark.parametrize(("network", "rule"), CASES)
def test_a_finished_run_comes_back_to_the_bit(
    network: str, rule: str, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    """Weights, thresholds and leaks of runs with scaled spikes, several rules and heads, which are left out."""
    learned = load_learned(finished_runs(tmp_path_factory.getbasetemp())[network], rule)
    (path,) = export_files(learned, "nir", tmp_path / "out.nir")
    assert path == tmp_path / "out.nir"
    changes = {"precision__weight": {"bits": learned.spec.weight_bits}} | {"network": {"nir": {"file": path.name}}}
    experiment, imported = with_nir(tiny.tiny_experiment(**changes), tmp_path)
    assert imported is not None
    spec = learned.spec
    own = [*(i for i, layer in enumerate(spec.layers) if layer.is_hidden), len(spec.layers) - 1]
    assert experiment.precision.weight.frac == [spec.layers[index].frac_weight for index in own]
    assert experiment.precision.membrane.frac == [spec.layers[index].frac_potential for index in own[:-1]]
    assert experiment.precision.readout.frac == spec.layers[-1].frac_potential
    for layer, index in zip(imported.layers, own, strict=True):
        made = spec.layers[index]
        codes = np.asarray(learned.weights[index], dtype=np.int64).copy()
        codes[made.n_weight_rows :] *= made.bias
        stored = as_stored(made, made.frac_event, layer.weights)
        np.testing.assert_array_equal(stored * 2.0**made.frac_weight, codes)
        if made.leak_kind != "none":
            assert layer.table[f"leak_{made.leak_kind}"] == made.leak_value
        if made.is_hidden:
            assert layer.table["threshold"] * 2.0**made.frac_potential == made.threshold_q


def test_the_file_is_one_for_nir(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> None:
    """The package itself reads and checks it, and finds our formats, rule and classes beside the graph."""
    learned = load_learned(finished_runs(tmp_path_factory.getbasetemp())["dense"], "ottt-o")
    export_files(learned, "nir", tmp_path / "folder")
    graph = nir.read(tmp_path / "folder" / "network.nir", type_check=True)
    kinds = [type(node).__name__ for node in graph.nodes.values()]
    assert kinds.count("LIF") == 2 and kinds.count("Affine") == 2 and kinds.count("Linear") == 1
    assert graph.metadata["reset"] == "subtract" and graph.metadata["comparator"] == "ge"
    assert json.loads(graph.metadata["classes"]) == [2, 4, 7]
    document = json.loads(graph.metadata["document"])
    assert document["rule"] == graph.metadata["rule"] == "ottt-o"
    weights = graph.nodes["layer1_weights"].weight
    np.testing.assert_array_equal(weights.T * 2.0 ** learned.spec.layers[1].frac_weight, learned.weights[1][:-1])
    assert nir_files(learned) == nir_files(learned)


def test_currents_go_out_as_the_neurons_of_nir() -> None:
    """dt = 2^-10: tau = dt / (1 - leak), and R and w_in make every spike a jump of its weight."""
    layers = [
        {"kind": "dense", "neurons": 2, "leak_shift": 2, "current_leak_shift": 3},
        {"kind": "dense", "neurons": 2, "leak_constant": 65536, "current_leak_constant": 32768},
        {"kind": "dense", "neurons": 2, "leak_shift": 1, "current_leak_constant": 65536},
        {"kind": "readout", "leak_shift": 1, "current_leak_constant": 0},
    ]
    learned = learned_of(parse_experiment({"network": {"layers": layers}}, "the test"), 1)
    graph = nir.read(io.BytesIO(nir_files(learned)["network.nir"]), type_check=True)
    found = [graph.nodes[f"layer{index}_neurons"] for index in range(4)]
    assert [type(node).__name__ for node in found] == ["CubaLIF", "CubaLIF", "CubaLIF", "CubaLI"]
    steps = [(4, 8), (2.0**60, 2), (2, 2.0**60), (2, 1)]
    for node, (membrane, synapse) in zip(found, steps, strict=True):
        n = 3 if node is found[-1] else 2
        for key, value in (("tau_mem", membrane * DT), ("r", membrane), ("tau_syn", synapse * DT), ("w_in", synapse)):
            np.testing.assert_array_equal(getattr(node, key), np.full(n, value))
        np.testing.assert_array_equal(node.v_leak, np.zeros(n))
    noted = [(node.metadata["current_leak_kind"], node.metadata["current_leak_value"]) for node in found]
    assert noted == [("shift", 3), ("constant", 32768), ("constant", 65536), ("constant", 0)]


def test_what_a_graph_cannot_say_is_refused(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> None:
    learned = learned_of(
        parse_experiment(
            {"network": {"layers": [
                {"kind": "dense", "neurons": 2}, {"kind": "dense", "neurons": 2, "reset": "zero"}, {"kind": "readout"},
            ]}}, "the test",
        ), 1,
    )  # fmt: skip
    with pytest.raises(UserError, match="the resets subtract and zero"):
        nir_files(learned)


def test_without_the_package_the_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "nir", None)
    experiment = parse_experiment(
        {"network": {"layers": [{"kind": "readout"}]}, "task": {"steps": N_STEPS}}, "the test"
    )
    with pytest.raises(UserError, match=r"needs the package nir; install neurochip\[nir\]"):
        nir_files(learned_of(experiment, 1))


def test_a_file_that_exists_is_kept(tmp_path: Path) -> None:
    from neurochip.export.formats import check_folder

    there = tmp_path / "there.nir"
    there.write_bytes(b"")
    with pytest.raises(UserError, match=r"there\.nir: the file exists"):
        check_folder(there, tmp_path / "run", "nir")
    check_folder(tmp_path / "new.nir", tmp_path / "run", "nir")
    assert io.BytesIO(there.read_bytes()).read() == b""
