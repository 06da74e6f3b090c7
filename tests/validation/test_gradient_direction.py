"""Do the gradient of the rate mapping, the direction of OTTT and the memory it takes follow from their equations?"""

from __future__ import annotations

import importlib.util
import sys
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from neurochip.core.float_core import FloatCore
from neurochip.core.float_spec import FloatLayerSpec, FloatSpec
from neurochip.events import EventDataset
from neurochip.microarch.footprint import footprint_bits, history_bits_per_step, steps_where_history_equals_weights
from neurochip.topology import Connection

SCRIPTS = Path(__file__).parents[2] / "scripts"
STEPS = (1, 2, 4, 8, 16, 32, 64)
SIZES = (12, 20, 16, 18, 4)
LEAK = 0.75


def script(name: str) -> ModuleType:
    """A module of scripts/, which is no package."""
    path = SCRIPTS / f"{name}.py"
    if not path.is_file():
        pytest.skip(f"scripts/{name}.py is not here")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses look for the annotations
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def mapping() -> ModuleType:
    return script("rate_mapping")


# --- the rate mapping


def rates_of_mapping(layers: list, inputs: np.ndarray) -> list[np.ndarray]:
    """Presynaptic rates [1, n_in + n_own] of every layer; a recurrent layer at its fixed point."""
    presynaptic, rates = [], inputs[None]
    for layer in layers[:-1]:
        own = np.zeros((1, layer.n_own))
        for _ in range(150 if layer.n_own else 1):
            given = np.concatenate([rates, own], axis=1)
            reached = np.clip((given @ layer.weights + layer.bias) / layer.threshold, 0, 1)
            own = reached[:, : layer.n_own]
        presynaptic.append(np.concatenate([rates, own], axis=1))
        rates = reached
    return [*presynaptic, rates]


def loss_of_mapping(layers: list, inputs: np.ndarray, label: int) -> float:
    logits = rates_of_mapping(layers, inputs)[-1] @ layers[-1].weights + layers[-1].bias
    return float(np.log(np.exp(logits).sum()) - logits[0, label])


def drawn_layers(mapping: ModuleType, n_own: int) -> tuple[list, np.ndarray]:
    """Three layers, some of whose rates are clamped to 0 or 1; the second is recurrent if n_own > 0."""
    rng = np.random.default_rng(3)
    layers = []
    for index, (n_in, n) in enumerate(zip((7, 9, 8), (9, 8, 5), strict=True)):
        own = n_own if index == 1 else 0
        weights = rng.normal(0, 1.2 / np.sqrt(n_in), (n_in + own, n))
        weights[n_in:] *= 0.4
        layers.append(mapping.RateLayer(weights, rng.normal(0.3, 0.4, n), (1.0, 1.5, 1.0)[index], own))
    return layers, rng.random(7)


@pytest.mark.parametrize("n_own", [0, 8], ids=["dense", "recurrent"])
def test_gradient_of_the_rate_mapping_is_its_numerical_derivative(mapping: ModuleType, n_own: int) -> None:
    layers, inputs = drawn_layers(mapping, n_own)
    presynaptic = rates_of_mapping(layers, inputs)
    clamped = [mapping.slope_of(layer, rates) == 0 for layer, rates in zip(layers[:2], presynaptic[:2], strict=True)]
    assert all(0 < one.sum() < one.size for one in clamped)
    gradients = mapping.rate_gradient(layers, presynaptic, 2)
    for layer, gradient in zip(layers, gradients, strict=True):
        numerical = np.zeros_like(gradient)
        for place in np.ndindex(gradient.shape):
            kept, width = layer.weights[place], 1e-6
            layer.weights[place] = kept + width
            above = loss_of_mapping(layers, inputs, 2)
            layer.weights[place] = kept - width
            numerical[place] = (above - loss_of_mapping(layers, inputs, 2)) / (2 * width)
            layer.weights[place] = kept
        assert np.abs(numerical).max() > 1e-3
        np.testing.assert_allclose(gradient, numerical, rtol=0, atol=1e-8)


def test_the_loop_matters_only_to_a_recurrent_layer_and_those_before(mapping: ModuleType) -> None:
    layers, inputs = drawn_layers(mapping, 8)
    presynaptic = rates_of_mapping(layers, inputs)
    whole, cut = (mapping.rate_gradient(layers, presynaptic, 2, loop=loop) for loop in (True, False))
    assert [mapping.cosine(a, b) > 1 - 1e-12 for a, b in zip(whole, cut, strict=True)] == [False, False, True]
    assert 0 < mapping.loop_radius(layers[1], presynaptic[1]) < 1


def test_many_rates_at_once_sum_their_gradients(mapping: ModuleType) -> None:
    layers, inputs = drawn_layers(mapping, 8)
    first, second = rates_of_mapping(layers, inputs), rates_of_mapping(layers, inputs[::-1].copy())
    both = [np.concatenate(pair) for pair in zip(first, second, strict=True)]
    alone = (mapping.rate_gradient(layers, rates, 1) for rates in (first, second))
    for summed, one, other in zip(mapping.rate_gradient(layers, both, 1), *alone, strict=True):
        np.testing.assert_allclose(summed, one + other, atol=1e-12)


# --- directions


def network(credit: str, n_steps: int, recurrent: bool = False) -> FloatSpec:
    """Three dense hidden layers, or one that also takes its own spikes."""
    neuron = {"leak": LEAK, "trace_leak": LEAK, "keeps_trace": credit == "trace"}
    if recurrent:
        inputs = Connection(-1, SIZES[0]), Connection(0, SIZES[1], delay=1, offset=SIZES[0])
        hidden = [FloatLayerSpec("dense", SIZES[0] + SIZES[1], SIZES[1], inputs=inputs, **neuron)]
    else:
        hidden = [FloatLayerSpec("dense", *pair, **neuron) for pair in pairwise(SIZES[:-1])]
    return FloatSpec((*hidden, FloatLayerSpec("readout", hidden[-1].n_out, SIZES[-1])), n_steps, credit=credit)


def cores(recurrent: bool, n_steps: int = 10) -> tuple[FloatCore, FloatCore, EventDataset]:
    """OTTT, BPTT with the reset path detached, and a sample."""
    rng = np.random.default_rng(4)
    layers = network("trace", n_steps, recurrent).layers
    weights = [rng.normal(0.05, 1.2 / np.sqrt(layer.n_in), (layer.n_in + 1, layer.n_out)) for layer in layers]
    step, address = np.nonzero(rng.random((n_steps, SIZES[0])) < 0.5)
    offsets = np.searchsorted(step, np.arange(n_steps + 1))
    data = EventDataset(offsets, address, np.ones_like(address), np.array([1]), SIZES[0], n_steps)
    ottt, bptt = (FloatCore(network(credit, n_steps, recurrent), weights) for credit in ("trace", "unroll"))
    return ottt, bptt, data


def test_ottt_has_the_direction_of_bptt_in_the_last_hidden_layer_only(mapping: ModuleType) -> None:
    ottt, bptt, data = cores(recurrent=False)
    pairs = zip(ottt.gradient(data, 0), bptt.gradient(data, 0), strict=True)
    first, second, last, readout = (mapping.cosine(one[:-1], other[:-1]) for one, other in pairs)
    assert last == pytest.approx(1, abs=1e-12) and readout == pytest.approx(1, abs=1e-12)
    assert 0.3 < first < second < 0.999


def test_ottt_lacks_the_error_along_recurrent_weights(mapping: ModuleType) -> None:
    """Even in the only hidden layer its direction is another one, unless these weights are 0."""
    ottt, bptt, data = cores(recurrent=True)
    pairs = zip(ottt.gradient(data, 0), bptt.gradient(data, 0), strict=True)
    assert next(mapping.cosine(one[:-1], other[:-1]) for one, other in pairs) < 0.99
    for core in (ottt, bptt):
        core.weights[0][SIZES[0] : -1] = 0
    pairs = zip(ottt.gradient(data, 0), bptt.gradient(data, 0), strict=True)
    assert next(mapping.cosine(one[:-1], other[:-1]) for one, other in pairs) == pytest.approx(1, abs=1e-12)


def test_rates_are_the_mapping_but_for_the_potential_that_is_left(mapping: ModuleType) -> None:
    """r = (W r_x + b) / theta - (u[T] - theta s[T]) / (theta A), at every step, in every layer."""
    ottt, _, data = cores(recurrent=False)
    probes = ottt.run(data, [0], learn=True, probe_slots=[0]).probes
    weight = np.cumsum(LEAK ** np.arange(data.n_steps))[:, None]
    for index in range(3):
        spikes, trace = probes[f"spike/{index}"][0].astype(float), probes[f"trace/{index}"][0]
        layer = mapping.RateLayer(ottt.weights[index][:-1], ottt.weights[index][-1])
        left = (probes[f"potential/{index}"][0] - spikes) / weight
        rates = mapping.weighted_rates(spikes, LEAK)
        assert spikes.sum() > 10 and np.abs(left).max() > 0.1
        np.testing.assert_allclose(mapping.unclamped(layer, trace / weight) - left, rates, atol=1e-12)


# --- memory on the chip


def footprints(rule: str) -> list[dict[str, int]]:
    """Bits per memory of vgg-sws at every T; the sums of the readout, the only bits that all rules add, taken off."""
    memory = script("measure_training_memory")
    specs = [memory.spec_of("vgg-sws", rule, n_steps) for n_steps in STEPS]
    bits = [footprint_bits(spec) for spec in specs]
    for found, n_steps in zip(bits, STEPS, strict=True):
        found["neuron"] -= 10 * (n_steps - 1).bit_length()  # ⌈log2 T⌉ bits for each of 10 classes
    return bits


@pytest.mark.parametrize("rule", ["ottt-o", "ottt-a"])
def test_on_chip_memory_of_ottt_does_not_depend_on_the_steps(rule: str) -> None:
    bits = footprints(rule)
    assert bits[0]["trace"] > 0 and bits[0]["history"] == 0
    assert all(found == bits[0] for found in bits)


@pytest.mark.parametrize("rule", ["bptt-o", "bptt"])
def test_on_chip_memory_of_bptt_grows_by_the_same_bits_every_step(rule: str) -> None:
    bits = footprints(rule)
    assert bits[0]["history"] > 0
    assert [found["history"] for found in bits] == [n_steps * bits[0]["history"] for n_steps in STEPS]
    rest = [{key: value for key, value in found.items() if key != "history"} for found in bits]
    assert all(found == rest[0] for found in rest)


def test_history_equals_the_weights_at_t_star() -> None:
    memory = script("measure_training_memory")
    spec = memory.spec_of("vgg-sws", "bptt", 8)
    t_star = steps_where_history_equals_weights(spec)
    assert t_star * history_bits_per_step(spec) == pytest.approx(footprint_bits(spec)["synapse"])
