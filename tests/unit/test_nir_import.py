"""What layers and weights come out of a NIR graph."""

from __future__ import annotations

from typing import Any

import nir
import numpy as np
import pytest
from nir_graphs import (
    DT,
    chain,
    conv,
    cuba,
    flatten,
    imported,
    integrate_and_fire,
    lif,
    parsed,
    recurrent_graph,
    small_chain,
)

from neurochip.network.nir_neurons import Steps
from neurochip.network.nir_shapes import infer_shapes


def test_a_chain_becomes_layers_with_its_weights() -> None:
    nodes, edges = small_chain()
    found = imported(parsed(nodes, edges), reset="subtract", comparator="ge")
    assert found.tables == (
        {
            "kind": "dense", "neurons": 3, "recurrent": False, "leak_shift": 2, "threshold": 1.0, "reset": "subtract",
            "bias": False, "comparator": "ge",
        },
        {"kind": "readout", "bias": True},
    )  # fmt: skip
    hidden, readout = (layer.weights for layer in found.layers)
    np.testing.assert_array_equal(hidden, np.concatenate([nodes["0"].weight.T, np.zeros((1, 3))]))
    np.testing.assert_array_equal(readout, np.concatenate([nodes["2"].weight.T, nodes["2"].bias[None]]))
    assert (found.n_inputs, found.n_outputs, found.input_shape) == (4, 2, None)


@pytest.mark.parametrize(
    ("scheme", "alpha", "share"),
    [("euler", 1 - 1 / 2.5, 1 / 2.5), ("exact", np.exp(-1 / 2.5), 1 - np.exp(-1 / 2.5))],
)
def test_time_constants_become_leak_gain_and_drift(scheme: str, alpha: float, share: float) -> None:
    nodes, edges = chain(
        nir.Affine(np.full((2, 4), 0.5), np.array([0.25, 0.0])), lif((2,), tau=2.5 * DT, r=3.0, v_leak=0.125),
        nir.Linear(np.ones((2, 2))),
    )  # fmt: skip
    layer = imported(parsed(nodes, edges), scheme=scheme).layers[0]
    assert layer.potential is not None
    assert layer.potential.graph == pytest.approx(alpha, abs=1e-15)
    assert layer.table["leak_constant"] == round(alpha * 65536)
    np.testing.assert_allclose(layer.weights[:-1], 0.5 * 3.0 * share)
    np.testing.assert_allclose(layer.weights[-1], [0.25 * 3 * share + 0.125 * share, 0.125 * share])
    assert layer.table["bias"] is True


def test_thresholds_of_their_own_are_folded_into_the_weights_of_a_neuron() -> None:
    nodes, edges = chain(nir.Linear(np.ones((2, 4))), lif((2,), v_threshold=[0.5, 2.0]), nir.Linear(np.ones((2, 2))))
    layer = imported(parsed(nodes, edges)).layers[0]
    assert layer.table["threshold"] == 1.0
    np.testing.assert_array_equal(layer.weights[0], [2.0, 0.5])
    assert "thresholds" in layer.notes[0]
    assert layer.unit == (0.5, 2.0)


def in_other_units(k: float) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """A network whose hidden potentials are written in other units; its spikes are the same."""
    rng = np.random.default_rng(7)
    return chain(
        nir.Affine(k * rng.normal(size=(3, 4)), k * rng.normal(size=3)), lif((3,), v_threshold=0.3 * k, v_leak=0.1 * k),
        nir.Linear(k * rng.normal(size=(2, 3))), lif((2,), v_threshold=0.7 * k), nir.Linear(rng.normal(size=(2, 2))),
    )  # fmt: skip


@pytest.mark.parametrize("k", [2.0**-9, 128.0, 100.0, 0.01])
def test_layers_do_not_depend_on_the_units_of_a_file(k: float) -> None:
    ours, theirs = (imported(parsed(*in_other_units(scale)), reset="subtract") for scale in (1.0, k))
    assert ours.tables == theirs.tables
    assert [table.get("threshold") for table in ours.tables] == [1.0, 1.0, None]
    for one, other in zip(ours.layers, theirs.layers, strict=True):
        np.testing.assert_allclose(other.weights, one.weights, rtol=0 if k in (2.0**-9, 128.0) else 1e-15)


def test_a_file_of_ours_keeps_its_thresholds() -> None:
    graph = parsed(*in_other_units(1.0), {"neurochip": "0.1.0"})
    found = imported(graph, reset="subtract")
    assert [table.get("threshold") for table in found.tables] == [0.3, 0.7, None]
    assert {layer.unit for layer in found.layers} == {None}


def test_a_v_reset_that_has_no_use_is_noted() -> None:
    """With subtract no neuron goes there, and the last population is never reset."""
    last = lif((2,), v_reset=0.25)
    hidden = lif((2,), v_reset=[0.5, 0.75])
    nodes, edges = chain(nir.Linear(np.ones((2, 4))), hidden, nir.Linear(np.ones((2, 2))), last)
    found = imported(parsed(nodes, edges), reset="subtract")
    assert found.layers[0].notes == ("its v_reset of 0.5 to 0.75 is not used",)
    assert found.layers[1].notes[-1] == "its v_reset of 0.25 is not used"
    hidden.v_reset[:] = 0.0
    assert imported(parsed(nodes, edges)).layers[1].notes[-1] == "its v_reset of 0.25 is not used"


@pytest.mark.parametrize(
    ("last", "leak", "factor"),
    [
        (integrate_and_fire((2,), 0.5), {}, 2.0),
        (lif((2,), v_threshold=0.5), {"leak_shift": 2}, 2.0),
        (nir.LI(tau=np.full(2, 2 * DT), r=np.full(2, 2.0), v_leak=np.zeros(2)), {"leak_shift": 1}, 1.0),
        (nir.I(r=np.full(2, 3.0)), {"leak_constant": 65536}, 3.0),
        (cuba((2,), DT, 3.0), {"leak_shift": 2}, 3.0),
    ],
    ids=["IF", "LIF", "LI", "I", "CubaLIF"],
)
def test_the_last_neurons_become_the_readout(last: Any, leak: dict[str, int], factor: float) -> None:
    nodes, edges = chain(nir.Linear(np.ones((3, 4))), lif((3,)), nir.Linear(np.full((2, 3), 0.5)), last)
    readout = imported(parsed(nodes, edges)).layers[-1]
    assert readout.table == {"kind": "readout", "bias": False, **leak}
    np.testing.assert_array_equal(readout.weights[:-1], 0.5 * factor)


def test_maps_keep_their_places() -> None:
    """Rows of a flattened map are in the order of our addresses, (y W + x) C + c; those of a kernel as they are."""
    rng = np.random.default_rng(1)
    kernel, matrix = rng.normal(size=(4, 1, 2, 3)), rng.normal(size=(2, 4 * 2 * 2))
    nodes, edges = chain(
        conv(kernel, groups=2, stride=(2, 1), padding=(0, 1), bias=np.array([0.0, 0.0, 0.0, 1.0])), lif((4, 2, 4)),
        nir.SumPool2d(np.array([1, 2]), np.array([1, 2]), np.zeros(2, int)),
        flatten(), nir.Linear(matrix), shape=(2, 4, 4),
    )  # fmt: skip
    found = imported(parsed(nodes, edges))
    assert [table["kind"] for table in found.tables] == ["conv2d", "sumpool", "flatten", "readout"]
    assert {key: found.tables[0][key] for key in ("channels", "kernel", "stride", "padding", "groups")} == {
        "channels": 4, "kernel": [2, 3], "stride": [2, 1], "padding": [0, 1], "groups": 2,
    }  # fmt: skip
    first, last = (layer.weights for layer in found.layers)
    for c in range(2):  # input channel c is group c here, with output channels 2 c and 2 c + 1
        for y in range(2):
            for x in range(3):
                np.testing.assert_array_equal(first[(c * 2 + y) * 3 + x], kernel[2 * c : 2 * c + 2, 0, y, x])
    np.testing.assert_array_equal(first[-2:], [[0, 0], [0, 1]])
    for y in range(2):
        for x in range(2):
            for c in range(4):
                np.testing.assert_array_equal(last[(y * 2 + x) * 4 + c], matrix[:, (c * 2 + y) * 2 + x])


def test_recurrent_neurons_nested_or_flat_are_one_layer() -> None:
    flat, nested = (parsed(*recurrent_graph(way)) for way in (False, True))
    assert flat.edges == nested.edges
    assert set(flat.nodes) == set(nested.nodes)
    for graph in (flat, nested):
        found = imported(graph)
        nodes = recurrent_graph(False)[0]
        assert found.tables[0]["recurrent"] is True
        rows = np.concatenate([nodes["fc"].weight.T, nodes["pop.own"].weight.T, [[0.5, 0.0, 0.0]]])
        np.testing.assert_array_equal(found.layers[0].weights, rows)


def test_a_residual_sum_becomes_an_add() -> None:
    nodes, edges = chain(
        nir.Linear(np.ones((3, 4))), lif((3,)), nir.Linear(np.ones((3, 3))), lif((3,)), nir.Linear(np.ones((2, 3)))
    )
    found = imported(parsed(nodes, [*edges, ("1", "4")]))
    assert [table["kind"] for table in found.tables] == ["dense", "dense", "add", "readout"]
    assert found.tables[0]["name"] == found.tables[2]["layer"]


@pytest.mark.parametrize("shape", [(2, 4, 3), (1, 2, 4, 3)])
@pytest.mark.parametrize("axes", [(0, -1), (1, -1), (0, 2), (1, 3)])
def test_a_flatten_counts_the_axis_of_the_batch_or_not(shape: tuple[int, ...], axes: tuple[int, int]) -> None:
    rng = np.random.default_rng(4)
    nodes, edges = chain(
        nir.Flatten(np.array(shape), 0, -1), nir.Linear(rng.normal(size=(3, 24))), lif((3,)),
        nir.Linear(rng.normal(size=(2, 3))), shape=shape,
    )  # fmt: skip
    expected = imported(parsed(nodes, edges)).layers[0].weights
    nodes["0"].start_dim, nodes["0"].end_dim = axes
    np.testing.assert_array_equal(imported(parsed(nodes, edges)).layers[0].weights, expected)


def test_shapes_are_found_where_the_file_has_none() -> None:
    """nir itself refuses such a file: its Output says [1], and kernels that are no squares confuse it."""
    nodes, edges = chain(
        conv(np.ones((3, 2, 3, 2)), stride=(2, 1), padding="valid"), lif((3, 2, 4)), shape=(1, 2, 6, 5)
    )
    assert infer_shapes(parsed(nodes, edges)) == {
        "input": (2, 6, 5), "0": (3, 2, 4), "1": (3, 2, 4), "output": (3, 2, 4),
    }  # fmt: skip


def test_what_a_graph_of_ours_says_of_time_holds_unless_the_experiment_says_more() -> None:
    noted = {"dt": DT / 2, "scheme": "exact", "reset": "subtract", "comparator": "ge"}
    graph = parsed(*small_chain(), noted)
    assert imported(graph, dt=None).steps == Steps(DT / 2, "exact", "subtract", "ge")
    given = imported(graph, dt=DT, scheme="euler", reset="zero", comparator="gt")
    assert given.steps == Steps(DT, "euler", "zero", "gt")
    assert imported(parsed(*small_chain(), {"reset": "other", "dt": "soon"})).steps == Steps(DT, "euler", "zero", "gt")
