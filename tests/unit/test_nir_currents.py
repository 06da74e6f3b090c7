"""CubaLIF and CubaLI as layers with a synaptic current: what they become, and that they spike as their graph does."""

from __future__ import annotations

import random
from typing import Any

import nir
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from nir_graphs import DT, chain, conv, cuba, flatten, golden_run, imported, lif, parsed

from neurochip.activity import FIELDS
from neurochip.config import parse_experiment
from neurochip.fixed_point import QFormat, quantise
from neurochip.network.formats import Fracs
from neurochip.network.nir_compare import in_our_order
from neurochip.network.nir_file import Graph
from neurochip.network.nir_imported import Imported, ImportedLayer
from neurochip.network.nir_neurons import Steps, neurons_of
from neurochip.network.nir_run import NirRunner
from neurochip.network.resolve import Lanes, core_spec
from neurochip.network.shape import layer_shapes
from neurochip.rules.presets import find_rule
from neurochip.spec import CoreSpec

Graphed = tuple[dict[str, Any], list[tuple[str, str]]]
N_STEPS = 8
SLOW = DT * 2.0**60  # a time constant without leak


def current_li(shape: Any, tau_syn: float, tau_mem: float, r: float = 1.0) -> nir.CubaLI:
    values = {"tau_syn": tau_syn, "tau_mem": tau_mem, "r": r, "v_leak": 0.0, "w_in": tau_syn / DT}
    return nir.CubaLI(**{key: np.full(shape, value) for key, value in values.items()})


def leaks_of(layer: ImportedLayer) -> dict[str, int]:
    return {key: value for key, value in layer.table.items() if "leak" in key}


def only_hidden(population: Any, **table: Any) -> ImportedLayer:
    nodes, edges = chain(nir.Linear(np.full((3, 4), 0.5)), population, nir.Linear(np.ones((2, 3))))
    return imported(parsed(nodes, edges), **table).layers[0]


def only_readout(population: Any, **table: Any) -> ImportedLayer:
    nodes, edges = chain(nir.Linear(np.full((3, 4), 0.5)), lif((3,)), nir.Linear(np.full((2, 3), 0.5)), population)
    return imported(parsed(nodes, edges), **table).layers[-1]


@pytest.mark.parametrize(
    ("scheme", "beta", "alpha"), [("euler", 0.6, 0.75), ("exact", np.exp(-1 / 2.5), np.exp(-1 / 4))]
)
def test_a_filter_becomes_a_current_with_the_nearest_leak(scheme: str, beta: float, alpha: float) -> None:
    layer = only_hidden(cuba((3,), 2.5 * DT, 6.0, r=3.0, v_threshold=2.0), scheme=scheme)
    assert layer.current is not None and layer.potential is not None
    assert (layer.current.graph, layer.potential.graph) == pytest.approx((beta, alpha), abs=1e-15)
    leak = {"leak_shift": 2} if scheme == "euler" else {"leak_constant": round(alpha * 65536)}
    assert leaks_of(layer) == {**leak, "current_leak_constant": round(beta * 65536)}
    assert layer.current.core == round(beta * 65536) / 65536
    np.testing.assert_allclose(layer.weights[:-1], 0.5 * 6.0 * (1 - beta) * 3.0 * (1 - alpha) / 2.0)
    assert layer.notes == ()


def test_biases_go_through_the_current_as_events_do() -> None:
    nodes, edges = chain(nir.Affine(np.ones((3, 4)), np.full(3, 0.25)), cuba((3,), 2 * DT, 6.0), nir.Linear(np.eye(3)))
    layer = imported(parsed(nodes, edges)).layers[0]
    np.testing.assert_array_equal(layer.weights, [[3.0] * 3] * 4 + [[0.75] * 3])
    assert leaks_of(layer) == {"leak_shift": 2, "current_leak_shift": 1}


@pytest.mark.parametrize(
    ("tau_syn", "tau_mem", "hidden", "readout"),
    [
        (2 * DT, 4 * DT, {"leak_shift": 2, "current_leak_shift": 1}, None),
        (2 * DT, SLOW, {"leak_constant": 65536, "current_leak_shift": 1}, None),
        (SLOW, 4 * DT, {"leak_shift": 2, "current_leak_constant": 65536}, None),
        (2 * DT, DT, {"leak_constant": 0, "current_leak_shift": 1}, {"leak_shift": 1}),
        (DT, 4 * DT, {"leak_shift": 2}, None),
        (DT * (1 - 1e-8), 4 * DT, {"leak_shift": 2}, None),
        (DT, DT, {"leak_constant": 0}, {}),
    ],
    ids=["both", "no leak", "a current that stays", "no memory but the current", "no current", "float32", "neither"],
)
def test_which_of_both_leaks_are_there(
    tau_syn: float, tau_mem: float, hidden: dict[str, int], readout: dict[str, int] | None
) -> None:
    """A readout whose potential has no memory is its current: a sum with one leak."""
    changes: dict[str, Any] = {"w_in": tau_syn / DT, "tau_mem": tau_mem, "r": tau_mem / DT}
    layer, last = only_hidden(cuba((3,), tau_syn, **changes)), only_readout(current_li((2,), tau_syn, tau_mem, 3.0))
    assert leaks_of(layer) == hidden
    np.testing.assert_allclose(layer.weights[:-1], 0.5, rtol=1e-7)
    assert leaks_of(last) == (hidden if readout is None else readout)
    np.testing.assert_allclose(last.weights[:-1], 0.5 * 3.0 / (tau_mem / DT), rtol=1e-7)
    assert leaks_of(only_readout(cuba((2,), tau_syn, **changes))) == leaks_of(last)


def test_time_constants_a_last_place_below_dt_are_dt() -> None:
    """As float32 makes them."""
    nodes, edges = chain(nir.Linear(np.ones((3, 4))), cuba((3,), DT * (1 - 1e-8), tau_mem=DT * (1 - 1e-7)))
    found = neurons_of(parsed(nodes, edges), "1", 3, Steps(DT))
    assert found.beta.tolist() == found.alpha.tolist() == [0.0] * 3
    assert found.charge.tolist() == [1.0] * 3


def test_a_filter_that_is_dropped_keeps_its_charge() -> None:
    nodes, edges = chain(nir.Linear(np.ones((3, 4))), cuba((3,), 2 * DT, 6.0), nir.Linear(np.ones((2, 3))))
    layer = imported(parsed(nodes, edges), synapse="instant").layers[0]
    assert layer.current is None and leaks_of(layer) == {"leak_shift": 2}
    np.testing.assert_array_equal(layer.weights[:-1], 6.0)
    assert "filter of its synapses (0.5 per step) is dropped" in layer.notes[0]
    inputs = np.zeros((60, 4))
    inputs[0, 0] = 1.0
    nodes["1"].v_threshold[:] = 1e9  # silent: the potentials add up to the same charge
    totals = []
    for tau_syn in (2 * DT, DT):
        nodes["1"].tau_syn[:] = tau_syn
        totals.append(NirRunner(parsed(nodes, edges), Steps(DT)).run(inputs).potentials["1"].sum(axis=0))
    np.testing.assert_allclose(totals[0], totals[1], rtol=1e-5)


def test_a_v_leak_is_no_hindrance_without_the_current() -> None:
    assert only_hidden(cuba((3,), 2 * DT, 6.0, v_leak=0.5), synapse="instant").weights[-1].tolist() == [0.125] * 3


def draw_population(rng: random.Random, shape: Any) -> nir.CubaLIF:
    """CubaLIF with leaks of at most two bits, and thresholds and gains of powers of two, alike in a channel."""
    tau_syn, tau_mem = (rng.choice([DT, 2 * DT, 4 * DT, SLOW]) for _ in range(2))
    thresholds = np.array([rng.choice([0.5, 1.0, 2.0]) for _ in range(shape[0])])
    thresholds = thresholds.reshape(-1, *[1] * (len(shape) - 1))
    changes: dict[str, Any] = {"w_in": tau_syn / DT * rng.choice([0.5, 1.0]), "tau_mem": tau_mem}
    changes |= {
        "r": tau_mem / DT * rng.choice([1.0, 2.0]),
        "v_threshold": thresholds.reshape(-1, *[1] * (len(shape) - 1)),
    }
    return cuba(shape, tau_syn, **changes)


def quarters(rng: random.Random, *size: int) -> Any:
    """Weights that are multiples of 1/4, more of them above 0."""
    return np.random.default_rng(rng.getrandbits(32)).integers(-3, 5, size) * 0.25


def draw_graph(rng: random.Random) -> Graphed:
    """A convolution or a dense layer, a second one that may be recurrent, and CubaLI neurons at the end."""
    if rng.random() < 0.3:
        nodes, edges = chain(
            conv(quarters(rng, 2, 1, 2, 2), bias=quarters(rng, 2)), draw_population(rng, (2, 1, 2)), flatten(),
            nir.Affine(quarters(rng, 4, 4), quarters(rng, 4)), draw_population(rng, (4,)),
            nir.Linear(quarters(rng, 2, 4)), current_li((2,), 2 * DT, 4 * DT, 4.0), shape=(1, 2, 3),
        )  # fmt: skip
        return nodes, edges
    first = nir.Affine(quarters(rng, 3, 4), quarters(rng, 3)) if rng.random() < 0.5 else nir.Linear(quarters(rng, 3, 4))
    tau_syn, tau_mem = rng.choice([2 * DT, SLOW]), rng.choice([DT, 4 * DT, SLOW])
    nodes, edges = chain(
        first, draw_population(rng, (3,)), nir.Linear(quarters(rng, 4, 3)), draw_population(rng, (4,)),
        nir.Affine(quarters(rng, 2, 4), quarters(rng, 2)), current_li((2,), tau_syn, tau_mem, tau_mem / DT),
    )  # fmt: skip
    for place, n in (("1", 3), ("3", 4)):
        if rng.random() < 0.5:
            nodes[f"back{place}"] = nir.Affine(quarters(rng, n, n), quarters(rng, n))
            edges += [(place, f"back{place}"), (f"back{place}", place)]
    return nodes, edges


def spec_of(found: Imported, weight: int, membrane: int, bits: int, deliver: str = "synapse") -> CoreSpec:
    """The core of an imported network: all fracs alike."""
    network: dict[str, Any] = {"layers": list(found.tables)}
    if found.input_shape is not None:
        network["input_shape"] = list(found.input_shape)
    precision = {"weight": {"bits": bits}, "membrane": {"bits": 24}, "readout": {"bits": 31}}
    tables = {"network": network, "precision": precision, "task": {"steps": N_STEPS}, "learning": {"deliver": deliver}}
    experiment = parse_experiment(tables, "the graph")
    shapes = layer_shapes(experiment, found.n_inputs, found.n_outputs)
    n = len(shapes)
    fracs = Fracs((weight,) * n, (membrane,) * (n - 1), (7,) * n, (7,) * n, membrane)
    return core_spec(experiment, find_rule("infer"), shapes, fracs, Lanes(4, 4))


def both(graph: Graph, found: Imported, spec: CoreSpec, dense: Any) -> tuple[Any, Any]:
    """(run of the graph, run of the golden core) on one sample."""
    codes = [
        quantise(layer.weights, QFormat(spec.weight_bits, made.frac_weight, True))
        for layer, made in zip(found.layers, spec.layers, strict=True)
    ]
    return NirRunner(graph, found.steps).run(dense), golden_run(spec, codes, dense)


@settings(max_examples=150)
@given(seed=st.integers(0, 2**32))
def test_a_graph_without_rounding_spikes_as_the_golden_core_does(seed: int) -> None:
    """Leaks of at most two bits in eight steps, and weights in sixteenths: 18 bits hold every potential exactly."""
    rng = random.Random(seed)
    graph = parsed(*draw_graph(rng))
    reset, comparator = rng.choice([("subtract", "ge"), ("zero", "ge"), ("zero", "gt")])
    found = imported(graph, reset=reset, comparator=comparator)
    spec = spec_of(found, 4, 18, 12, rng.choice(["synapse", "neuron"]))
    dense = np.random.default_rng(seed).random((N_STEPS, found.n_inputs)) < 0.4
    run, core = both(graph, found, spec, dense)
    counts = np.array(core.activity).sum(axis=(0, 1))
    assume(not any(counts[FIELDS.index(name)] for name in ("sat_membrane", "sat_readout")))
    for index, layer in enumerate(found.layers):
        name = str(layer.population)
        unit = graph.nodes[name].parameters.get("v_threshold", np.ones(1))
        shape = run.outputs[name].shape
        potentials = in_our_order(run.potentials[name].reshape(shape) / np.broadcast_to(unit, shape[1:]))
        np.testing.assert_array_equal(np.array(core.probes[f"potential/{index}"][0]) * 2.0**-18, potentials)
        if index < len(found.layers) - 1:
            np.testing.assert_array_equal(core.probes[f"spike/{index}"][0], in_our_order(run.outputs[name]))
