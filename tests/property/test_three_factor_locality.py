"""Is the update of a synapse a function of three things: its presynaptic factor, its neuron's psi, and the signal?

Two worlds hold these three for one synapse (ROW, COLUMN): the events of its address, all that reaches its neuron, and
the error that the readout forms. Everything else differs between them: the other events, and the other neurons'
weights, potentials, spikes, traces and signals. The update of the synapse must not.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from property_contract_network import LEAK, Axes, contract_case, contract_spec, layer_spec
from property_network_topology import Draft
from property_strategies import Case

from neurochip.core.engine import Engine
from neurochip.reference.core import GoldenCore, GoldenSample
from neurochip.spec import NETWORK_INPUT, CoreSpec, LayerSpec
from neurochip.topology import Connection

N_IN, N_HIDDEN, N_CLASSES = 6, 9, 3
ROW, COLUMN = 2, 5  # the synapse
N_WORLDS = 30
TEMPORALS = ("trace", "filtered trace", "spike")
Weights = list[NDArray[np.int64]]


def small_spec(temporal: str, spatial: str, leaky: bool, n_steps: int) -> CoreSpec:
    """6-9-3; over several steps the gradients are kept, so that the weights are what they were in every step."""
    cut = spatial == "feedback"
    drafts = [
        Draft("dense", N_IN, N_HIDDEN, [Connection(NETWORK_INPUT, N_IN)], (1, 1, N_HIDDEN), leak=LEAK),
        Draft("readout", N_HIDDEN, N_CLASSES, [Connection(0, N_HIDDEN, carries_error=not cut)], (1, 1, N_CLASSES)),
    ]
    drafts[-1].leak = LEAK if leaky else ("none", 0)
    if cut:
        drafts.insert(
            1,
            Draft("feedback", N_HIDDEN, N_CLASSES, [Connection(0, N_HIDDEN)], (1, 1, N_CLASSES), bias=False,
                  learns=False, signal_of=2),
        )  # fmt: skip
    layers: list[LayerSpec] = []
    for draft in drafts:
        layer = layer_spec(draft, trace=temporal != "spike")
        if temporal == "filtered trace" and layer.keeps_trace:
            layer = dataclasses.replace(layer, filter_leak_kind="constant", filter_leak_value=40000)
        layers.append(layer)
    axes = Axes("spike" if temporal == "spike" else "trace", "backprop", "sample" if n_steps > 1 else "immediate")
    return contract_spec(
        axes,
        layers=tuple(layers),
        n_steps=n_steps,
        batch=2 if n_steps > 1 else 1,
        weight_rounding="nearest",
        rate_shift=4,
    )


def world(spec: CoreSpec, held: np.random.Generator, other: np.random.Generator) -> Case:
    """A case of which `held` draws what the synapse may see, and `other` all the rest."""
    case = contract_case(spec)
    weights = [other.integers(-90, 91, size=rows.shape) for rows in case.weights]
    hidden, readout = weights[0], weights[-1]
    hidden[:, COLUMN] = 0
    hidden[ROW, COLUMN], hidden[-1, COLUMN] = held.integers(30, 100), held.integers(-10, 40)
    # Of the hidden neurons the readout sees only this one, so its error is the same in all worlds.
    readout[:] = 0
    readout[COLUMN], readout[-1] = held.integers(-90, 91, size=(2, N_CLASSES))
    if len(weights) == 3:
        weights[1][COLUMN] = held.integers(-90, 91, size=N_CLASSES)
        weights[1][-1] = 0
    steps = []
    for _ in range(spec.n_steps):
        hit = other.random(N_IN) < 0.5
        hit[ROW] = held.random() < 0.6
        steps.append([(int(address), 1) for address in np.flatnonzero(hit)])
    samples = [GoldenSample(steps, int(held.integers(N_CLASSES)))]
    return dataclasses.replace(case, weights=weights, samples=samples)


def updates(case: Case) -> tuple[list[NDArray[Any]], dict[str, NDArray[Any]]]:
    """Gradients, or changes of the weights, after one sample, equal in both cores; and the intermediates."""
    golden = GoldenCore(case.spec, [rows.tolist() for rows in case.weights])
    run = golden.run(case.samples, learn=True, end_of_epoch=False)
    fast = Engine(case.spec, case.weights)
    fast.run(case.dataset(), np.array([0]), learn=True, end_of_epoch=False)
    if case.spec.update == "accumulate":
        pairs = [(np.array(a), b) for a, b in zip(golden.gradients, fast.gradients, strict=True)]
    else:
        pairs = [
            (np.array(a) - before, b - before)
            for a, b, before in zip(golden.weights, fast.weights, case.weights, strict=True)
        ]
    assert all(np.array_equal(a, b) for a, b in pairs)
    return [a for a, _ in pairs], {name: np.array(values) for name, values in run.probes.items()}


@pytest.mark.parametrize("n_steps", [5, 1])
@pytest.mark.parametrize("leaky", [False, True])
@pytest.mark.parametrize("spatial", ["backprop", "feedback"])
@pytest.mark.parametrize("temporal", TEMPORALS)
def test_nothing_but_its_three_factors_changes_the_update_of_a_synapse(
    temporal: str, spatial: str, leaky: bool, n_steps: int
) -> None:
    spec = small_spec(temporal, spatial, leaky, n_steps)
    learned = others_differ = 0
    for seed in range(N_WORLDS):
        cases = [world(spec, np.random.default_rng(seed), np.random.default_rng([seed, k])) for k in (1, 2)]
        (first, one), (second, two) = updates(cases[0]), updates(cases[1])
        for name in ("psi/0", "signal/0", "potential/0", "d/0"):
            assert np.array_equal(one[name][..., COLUMN], two[name][..., COLUMN]), "the worlds hold too little"
        assert first[0][ROW, COLUMN] == second[0][ROW, COLUMN]
        assert np.array_equal(first[-1][COLUMN], second[-1][COLUMN])  # the neuron's own synapses onto the readout
        learned += first[0][ROW, COLUMN] != 0
        others_differ += not np.array_equal(first[0], second[0])
        assert not np.array_equal(one["potential/0"], two["potential/0"])
    assert learned > 0.2 * N_WORLDS and others_differ > 0.5 * N_WORLDS


@pytest.mark.parametrize("temporal", ["trace", "spike", "unroll(2)", "unroll(T)"])
@pytest.mark.parametrize("update", ["immediate", "deferred", "batch"])
def test_a_block_learns_from_its_own_head_alone(temporal: str, update: str) -> None:
    """local(1): no weight of a later layer has a part in what the first layer and its head learn."""
    spec = contract_spec(Axes(temporal, "local(1)", update))
    own = {0, next(k for k, layer in enumerate(spec.layers) if layer.kind == "readout")}
    case = contract_case(spec)
    assert [one.source for one in spec.connections(max(own))] == [0]
    other = np.random.default_rng(9)
    changed = [rows if k in own else other.integers(-90, 91, size=rows.shape) for k, rows in enumerate(case.weights)]
    cores = [GoldenCore(spec, [rows.tolist() for rows in weights]) for weights in (case.weights, changed)]
    runs = [core.run(case.samples, learn=True) for core in cores]
    for k in own:
        assert cores[0].weights[k] == cores[1].weights[k]
        assert not np.array_equal(cores[0].weights[k], case.weights[k])
    assert runs[0].readout_sums != runs[1].readout_sums
