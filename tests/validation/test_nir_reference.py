"""The artefacts of the NIR paper: the LIF trace its simulators agree on, its N-MNIST network, its recurrent graphs.

The files are those of github.com/neuromorphs/NIR, paper/, below reference/nir of NEUROCHIP_DATA_DIR.
"""

from __future__ import annotations

import math
import os
import runpy
from dataclasses import replace
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
from nir_graphs import golden_run

from neurochip.config import parse_experiment
from neurochip.config_nir import NirTable
from neurochip.errors import UserError
from neurochip.events import EventDataset, read_recordings
from neurochip.fixed_point import QFormat, quantise
from neurochip.network.formats import Fracs
from neurochip.network.nir_file import Graph, Node, read_nir
from neurochip.network.nir_import import import_graph
from neurochip.network.nir_neurons import Steps
from neurochip.network.nir_run import NirRunner
from neurochip.network.nir_shapes import infer_shapes
from neurochip.network.resolve import Lanes, core_spec
from neurochip.network.shape import layer_shapes
from neurochip.rules.presets import find_rule

pytestmark = pytest.mark.recordings

DT = 1e-4  # of the LIF and the recurrent graphs, in seconds
EXACT_SPIKES = [460, 510, 710, 760]
FILES = [
    "01_lif/lif_norse.nir", "01_lif/lif_rockpool.nir", "02_cnn/cnn_sinabs.nir", "03_rnn/braille_noDelay_bias_zero.nir",
    "03_rnn/braille_noDelay_noBias_subtract.nir",
]  # fmt: skip


def file(relative: str) -> Path:
    """A file below reference/nir, or a skip that names it."""
    folder = os.environ.get("NEUROCHIP_DATA_DIR")
    path = Path(folder or "") / "reference" / "nir" / relative
    if folder is None or not path.is_file():
        pytest.skip(f"NEUROCHIP_DATA_DIR holds no reference/nir/{relative}")
    return path


def table_of(**keys: Any) -> NirTable:
    return NirTable(**{"file": "x", "dt": DT, **keys})


def lif_trace() -> tuple[Any, Any, Any]:
    """Input spikes, potential and output spikes of the exact solution, 1000 steps."""
    given, potential, spikes = np.loadtxt(file("01_lif/lif_exact.csv"), delimiter=",").T
    assert np.flatnonzero(spikes).tolist() == EXACT_SPIKES
    return given, potential, spikes


@pytest.mark.parametrize("comparator", ["ge", "gt"])
@pytest.mark.parametrize(("scheme", "error"), [("euler", 1.4e-3), ("exact", 6.3e-4)])
def test_the_lif_trace(scheme: str, error: float, comparator: str) -> None:
    given, potential, _ = lif_trace()
    run = NirRunner(read_nir(file("01_lif/lif_norse.nir")), Steps(DT, scheme, "subtract", comparator)).run(given)
    fired = run.outputs["1"].reshape(-1)
    assert np.flatnonzero(fired).tolist() == EXACT_SPIKES
    after_reset = run.potentials["1"].reshape(-1) - 0.1 * fired
    largest = np.abs(after_reset - potential).max()
    assert error / 1.1 < largest < error


def with_a_readout(graph: Graph) -> Graph:
    """The LIF graph with one more Linear behind its neuron, so that the core has it as a hidden layer."""
    nodes = {**graph.nodes, "last": Node("Linear", {"weight": np.ones((1, 1))})}
    edges = [edge for edge in graph.edges if edge[1] != "output"]
    return Graph(nodes, (*edges, ("1", "last"), ("last", "output")), graph.metadata, graph.source, graph.sha256)


@pytest.mark.parametrize("scheme", ["euler", "exact"])
def test_the_lif_trace_in_integers(scheme: str) -> None:
    """The integer core fires at the same steps, its leak being 16 bits wide and its potential 16."""
    from neurochip.core.engine import Engine
    from neurochip.network.calibrate import integer_weights

    given, potential, _ = lif_trace()
    table = table_of(scheme=scheme, reset="subtract", comparator="ge")
    imported = import_graph(with_a_readout(read_nir(file("01_lif/lif_norse.nir"))), table)
    tables = {"network": {"layers": list(imported.tables)}, "task": {"steps": 1000}}
    experiment = parse_experiment(tables, "the graph")
    shapes = layer_shapes(experiment, 1, 1)
    spec = core_spec(experiment, find_rule("infer"), shapes, Fracs((8, 6), (14,), (7, 7), (7, 7), 6), Lanes(16, 16))
    weights = integer_weights(spec, [layer.weights for layer in imported.layers])
    times = np.flatnonzero(given)
    offsets = np.concatenate([[0], np.cumsum(given != 0)]).astype(np.int64)
    ones = np.ones(len(times), np.int32)
    data = EventDataset(offsets, ones * 0, ones, np.zeros(1, np.int32), 1, 1000)
    run = Engine(spec, weights).run(data, np.array([0]), learn=False, probe=[0])
    assert np.flatnonzero(run.probes["spike/0"][0, :, 0]).tolist() == EXACT_SPIKES
    fired = run.probes["spike/0"][0, :, 0]
    after_reset = 0.1 * (run.probes["potential/0"][0, :, 0] * 2.0**-14 - fired)  # the core counts in thresholds
    assert np.abs(after_reset - potential).max() < 3e-3
    decay = imported.layers[0].potential
    assert decay is not None
    assert decay.core == pytest.approx(decay.graph, abs=2**-17)


@pytest.mark.parametrize("name", FILES)
def test_files_are_read_as_the_package_nir_reads_them(name: str) -> None:
    """Older files make nir's type inference fail (`lif_rockpool.nir`, Output of [1, 1, 1]); without it both agree."""
    ours, theirs = read_nir(file(name)), nir.read(file(name), type_check=False)
    assert set(ours.edges) == set(theirs.edges)
    assert list(ours.nodes) == list(theirs.nodes)
    for node_name, node in ours.nodes.items():
        other = theirs.nodes[node_name]
        assert node.kind == type(other).__name__
        for key, value in node.parameters.items():
            if key != "shape":
                np.testing.assert_array_equal(value, np.asarray(getattr(other, key), dtype=float))


def test_a_file_whose_types_nir_refuses_is_imported() -> None:
    with pytest.raises(ValueError, match="Type inference error"):
        nir.read(file("01_lif/lif_rockpool.nir"))
    imported = import_graph(read_nir(file("01_lif/lif_rockpool.nir")), NirTable(file="x", dt=DT))
    assert (imported.n_inputs, imported.n_outputs) == (1, 1)
    assert imported.layers[0].weights[0, 0] == pytest.approx(0.04 * 24.019737 * 0.04 / 0.1, rel=1e-6)  # in thresholds


@pytest.mark.parametrize(
    ("reset", "swap", "counts", "right"),
    [
        ("subtract", False, [66, 27, 47, 176, 0, 55, 321, 819, 470, 868], 8),
        ("zero", False, [9, 9, 8, 40, 16, 18, 143, 182, 131, 227], 8),
        ("subtract", True, [80, 53, 49, 271, 0, 8, 288, 694, 539, 721], 7),
    ],
)
def test_the_nmnist_network(
    reset: str, swap: bool, counts: list[int], right: int, nmnist4_path: Path, source_tree: Path
) -> None:
    """The first eight test samples; scripts/check_nir_cnn.py does all 200 (docs/nir.md has its figures)."""
    script = runpy.run_path(str(source_tree / "scripts" / "check_nir_cnn.py"))
    recordings = read_recordings(nmnist4_path, "test")
    steps = Steps(None, "euler", reset, "gt")
    found = script["output_counts"](str(file("02_cnn/cnn_sinabs.nir")), recordings, 8, steps, swap=swap)
    assert found.sum(axis=0).tolist() == counts
    assert (found.argmax(axis=1) == recordings.labels[:8]).sum() == right


def test_the_nmnist_network_as_layers_of_the_core() -> None:
    imported = import_graph(read_nir(file("02_cnn/cnn_sinabs.nir")), NirTable(file="x", outputs=[6, 7, 8, 9]))
    kinds = [table["kind"] for table in imported.tables]
    assert kinds == ["conv2d", "conv2d", "sumpool", "conv2d", "sumpool", "flatten", "dense", "readout"]
    assert [layer.weights.shape for layer in imported.layers] == [(51, 16), (145, 16), (145, 8), (129, 256), (257, 4)]
    assert {layer.table.get("leak_constant") for layer in imported.layers} == {65536, None}
    assert imported.input_shape == (2, 34, 34)


BRAILLE = [  # reset and comparator as the names of the files say, neurons, leak and leak of the current per layer
    (FILES[3], "zero", "gt", 38, [(0.9, 0.55), (0.55, 0.5)]),
    (FILES[4], "subtract", "ge", 40, [(0.85, 0.75), (0.7, 0.45)]),
]


@pytest.mark.parametrize(("name", "reset", "comparator", "hidden", "factors"), BRAILLE)
def test_the_recurrent_graphs(
    name: str, reset: str, comparator: str, hidden: int, factors: list[tuple[float, float]]
) -> None:
    """Both layers have synaptic filters: they are imported with a current, and on request without."""
    graph = read_nir(file(name))
    assert infer_shapes(graph)["lif1.w_rec"] == infer_shapes(graph)["lif1.lif"] == (hidden,)
    imported = import_graph(graph, table_of(reset=reset, comparator=comparator))
    assert [layer.weights.shape for layer in imported.layers] == [(12 + hidden + 1, hidden), (hidden + 1, 7)]
    assert imported.tables[0]["recurrent"] is True
    assert imported.tables[0]["bias"] is imported.tables[1]["bias"] is name.endswith("bias_zero.nir")
    for layer, (alpha, beta) in zip(imported.layers, factors, strict=True):
        for decay, factor in ((layer.potential, alpha), (layer.current, beta)):
            assert decay is not None
            assert decay.graph == pytest.approx(factor, abs=1e-7)
            assert decay.core == pytest.approx(factor, abs=2**-16)
    own = [graph.nodes[node]["weight"] for node in ("fc1", "lif1.w_rec")]
    np.testing.assert_allclose(imported.layers[0].weights[:-1], np.concatenate(own, axis=1).T, rtol=1e-6)
    instant = import_graph(graph, NirTable(file="x", dt=DT, synapse="instant"))
    assert all(layer.current is None for layer in instant.layers)


@pytest.mark.parametrize(
    ("case", "synapse", "bits", "least", "most"),
    [
        (0, "current", 16, 0.0, 0.06), (1, "current", 16, 0.0, 0.01), (0, "current", 8, 0.4, 0.6),
        (1, "current", 8, 0.1, 0.2), (0, "instant", 16, 0.45, 0.6), (1, "instant", 16, 0.55, 0.7),
    ],
)  # fmt: skip
def test_the_recurrent_graphs_in_integers(case: int, synapse: str, bits: int, least: float, most: float) -> None:
    """Which share of the spikes differs on drawn inputs; potentials are the same until then with weights of 16 bits.

    The last neurons, whose thresholds are 1, run as CubaLI: potentials of a readout are never reset.
    """
    name, reset, comparator, _, _ = BRAILLE[case]
    graph = read_nir(file(name))
    imported = import_graph(graph, table_of(reset=reset, comparator=comparator, synapse=synapse))
    tables: dict[str, Any] = {"network": {"layers": list(imported.tables)}, "task": {"steps": 256}}
    tables["precision"] = {"weight": {"bits": bits}, "membrane": {"bits": 24}, "readout": {"bits": 31}}
    experiment = parse_experiment(tables, "the graph")
    frac = tuple(bits - 1 - math.ceil(math.log2(np.abs(layer.weights).max())) for layer in imported.layers)
    shapes, fracs = layer_shapes(experiment, 12, 7), Fracs(frac, (14,), (7, 7), (7, 7), 14)
    spec = core_spec(experiment, find_rule("infer"), shapes, fracs, Lanes(16, 16))
    codes = [quantise(layer.weights, QFormat(bits, f, True)) for layer, f in zip(imported.layers, frac, strict=True)]
    last = Node("CubaLI", {key: value for key, value in graph.nodes["lif2"].parameters.items() if key != "v_threshold"})
    runner = NirRunner(replace(graph, nodes={**graph.nodes, "lif2": last}), imported.steps)
    differing = fired = 0
    for seed in range(6):
        dense = np.random.default_rng(seed).random((256, 12)) < (0.05, 0.1, 0.3)[seed % 3]
        run, core = runner.run(dense.astype(np.float64)), golden_run(spec, codes, dense)
        spikes, theirs = np.array(core.probes["spike/0"][0]), run.outputs["lif1.lif"]
        differing, fired = differing + int((spikes != theirs).sum()), fired + int(theirs.sum() + spikes.sum())
        unlike = np.flatnonzero((spikes != theirs).any(axis=1))
        for layer, population in enumerate(("lif1.lif", "lif2") if (synapse, bits) == ("current", 16) else ()):
            until = unlike[0] if len(unlike) else 256
            potentials = np.array(core.probes[f"potential/{layer}"][0])[:until] * 2.0**-14
            assert np.abs(potentials - run.potentials[population][:until]).max() < 0.015
    assert fired > 1000
    assert least <= differing / fired <= most


def test_graphs_whose_edges_name_no_node_are_refused() -> None:
    """Two files of the paper call a node lif1 and its edges lif; nir refuses them too."""
    for name in ("bias_zero", "noBias_subtract"):
        with pytest.raises(UserError, match="an edge of lif1 names the node 'lif', which is not there"):
            read_nir(file(f"03_rnn/extras/braille_noDelay_{name}_subgraph.nir"))
