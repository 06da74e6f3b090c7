"""Is standardising the stored weights after a step the published scaled weight standardisation, and the fold its scale?

The paper (Xiao et al., NeurIPS 2022) keeps raw weights W beside W^ = gain (W - mean) / sqrt(K var + eps) and sends the
gradient through the standardisation; its spikes are multiplied by 2.74. Here W^ itself is stored, and 2.74 is in it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neurochip
from neurochip.config import Experiment, parse_experiment
from neurochip.core.float_core import FloatCore
from neurochip.core.float_spec import FloatSpec
from neurochip.events import EventDataset
from neurochip.network.initial import Events, draw_network
from neurochip.network.resolve import float_spec
from neurochip.network.shape import Fracs, LayerShape, layer_shapes
from neurochip.rules.presets import find_rule

N_STEPS, N_CLASSES, SCALE, STD = 6, 3, 2.74, 0.4
Arrays = list[np.ndarray]


def dataset_of(frames: np.ndarray, label: int) -> EventDataset:
    """One sample from frames [T, inputs] of 0 and 1."""
    rows, addresses = np.nonzero(frames)
    offsets = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=N_STEPS))])
    magnitudes = np.ones(len(rows), dtype=np.int64)
    return EventDataset(offsets, addresses, magnitudes, np.array([label]), frames.shape[1], N_STEPS)


def network(layers: list[dict[str, Any]], input_map: tuple[int, int, int], rate: float, **learning: Any) -> Any:
    """The specification and initial weights that an experiment gives, and the frames of a sample."""
    tables = {
        "task": {"steps": N_STEPS},
        "network": {"layers": [*layers, {"kind": "readout"}]},
        "learning": {"learning_rate": rate * N_STEPS, "rate_bits": 8, **learning},
    }
    experiment: Experiment = parse_experiment(tables, "the test")
    shapes = layer_shapes(experiment, int(np.prod(input_map)), N_CLASSES, input_map)
    std = [shape.standardised_std if shape.gain else STD for shape in shapes]
    table = experiment.network.model_copy(update={"weight_std": std})
    experiment = experiment.model_copy(update={"network": table})
    drawn = draw_network(experiment, shapes, lambda weights, index: Events({}, 1))
    spec = float_spec(experiment, find_rule("ottt-a"), shapes, _no_gates(shapes))
    frames = (np.random.default_rng(4).random((N_STEPS, int(np.prod(input_map)))) < 0.4).astype(float)
    return spec, [layer.copy() for layer in drawn.weights], frames


def _no_gates(shapes: tuple[LayerShape, ...]) -> Fracs:
    n = len(shapes)
    return Fracs((0,) * n, (0,) * (n - 1), (0,) * n, (0,) * n, 0)


def standardised(raw: np.ndarray, gain: float, eps: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """W^, c = W - mean and r = sqrt(K var + eps) of raw weights [K, columns]."""
    c = raw - raw.mean(axis=0)
    r = np.sqrt(len(raw) * raw.var(axis=0, ddof=1) + eps)
    return gain * c / r, c, r


def through_standardisation(
    raw: np.ndarray, gain: float, eps: float, gradient: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """dL/dW and dL/dgain of raw weights from dL/dW^ = gradient."""
    _, c, r = standardised(raw, gain, eps)
    n = len(raw)
    along = (gradient * c).sum(axis=0)
    dc = gain * (gradient / r - c * along * n / ((n - 1) * r**3))
    return dc - dc.mean(axis=0), along / r


CONV = {"kind": "conv2d", "channels": 5, "kernel": 3, "padding": 1, "standardise": True}


def step_and_exact(rate: float, every: int, eps: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Stored weights before and after one learned sample, and W^ after the same step of the raw weights."""
    spec, weights, frames = network([CONV], (2, 5, 5), rate, standardise_every=every)
    layer = spec.layers[0]
    rows = slice(layer.n_weight_rows)
    raw = np.random.default_rng(8).normal(0.3, 1.0, weights[0][rows].shape)
    raw /= np.sqrt((len(raw) * raw.var(axis=0, ddof=1)) / (1 - eps))  # r = 1, as the page assumes
    weights[0][rows] = standardised(raw, 1.0, eps)[0]
    core = FloatCore(spec, weights)
    data = dataset_of(frames, 1)
    gradient = core.gradient(data, 0)[0][rows]
    dw, _ = through_standardisation(raw, 1.0, eps, gradient)
    core.run(data, [0], learn=True)
    assert np.abs(spec.rate * gradient).max() > rate * 0.1
    return weights[0][rows], core.weights[0][rows], standardised(raw - spec.rate * dw, 1.0, eps)[0]


def test_the_backward_formula_is_the_gradient_of_the_standardisation() -> None:
    rng = np.random.default_rng(0)
    raw, gradient, gain, eps, tiny = rng.normal(0.2, 0.7, (7, 2)), rng.normal(size=(7, 2)), 1.3, 1e-4, 1e-6
    dw, dgain = through_standardisation(raw, gain, eps, gradient)

    def loss(weights: np.ndarray, g: float) -> np.ndarray:
        return np.array((standardised(weights, g, eps)[0] * gradient).sum(axis=0))

    for i in range(7):
        nudge = np.zeros((7, 1))
        nudge[i] = tiny
        numeric = (loss(raw + nudge, gain) - loss(raw - nudge, gain)) / (2 * tiny)
        np.testing.assert_allclose(dw[i], numeric, rtol=0, atol=1e-8)
    np.testing.assert_allclose(dgain, (loss(raw, gain + tiny) - loss(raw, gain - tiny)) / (2 * tiny), atol=1e-8)


def test_standardising_after_the_step_is_the_gradient_through_standardisation_to_first_order() -> None:
    errors, plain = [], []
    for rate in (0.02, 0.01, 0.005):
        before, after, exact = step_and_exact(rate, every=1, eps=0.0)
        errors.append(np.abs(after - exact).max())
        assert errors[-1] < 0.2 * np.abs(after - before).max()
        _, unstandardised, exact = step_and_exact(rate, every=0, eps=0.0)
        plain.append(np.abs(unstandardised - exact).max())
    ratios = np.array(errors[:-1]) / errors[1:]
    print(f"\ndifference {errors}, ratios {ratios}; without standardisation {plain}")
    np.testing.assert_allclose(ratios, 4.0, atol=0.25)  # second order in the rate
    np.testing.assert_allclose(np.array(plain[:-1]) / plain[1:], 2.0, atol=0.15)  # first order


def test_the_floor_of_the_paper_makes_a_difference_of_its_own_size() -> None:
    before, after, exact = step_and_exact(1e-4, every=1, eps=1e-4)
    step = np.abs(exact - before).max()
    # The stored column is brought from K var = 1 - eps to 1, a change of eps / 2 per weight, once; then it stays.
    assert np.abs(after - exact / np.sqrt(1 - 1e-4)).max() < 1e-3 * step


def test_what_is_projected_out_along_the_weights_is_the_gradient_of_the_gain() -> None:
    rate = 1e-6
    spec, weights, frames = network([CONV], (2, 5, 5), rate, standardise_every=1)
    core, data = FloatCore(spec, weights), dataset_of(frames, 1)
    core.run(data, [0], learn=True)  # from here on K var = 1 exactly
    rows = slice(spec.layers[0].n_weight_rows)
    before, gradient = core.weights[0][rows].copy(), core.gradient(data, 0)[0][rows]
    core.run(data, [0], learn=True)
    projected_out = gradient + (core.weights[0][rows] - before) / spec.rate
    n = len(before)
    _, dgain = through_standardisation(before, 1.0, 0.0, gradient)
    expected = gradient.mean(axis=0) + before * dgain * n / (n - 1)
    np.testing.assert_allclose(projected_out, expected, rtol=0, atol=1e-4 * np.abs(gradient).max())


DENSE = [
    {"kind": "dense", "neurons": 7, "spike_scale": SCALE},
    {"kind": "dense", "neurons": 6, "standardise": True, "gain": 1.5, "spike_scale": SCALE},
    {"kind": "dense", "neurons": 5, "spike_scale": SCALE},
]


def unfolded(weights: Arrays, frames: np.ndarray, label: int) -> tuple[Arrays, Arrays]:
    """Potentials per layer [T, n] and gradients of OTTT, the spikes of every hidden layer counting 2.74."""
    sizes = [len(w) - 1 for w in weights]
    u = [np.zeros(w.shape[1]) for w in weights]
    trace = [np.zeros(n) for n in sizes]
    potentials: Arrays = [np.zeros((N_STEPS, w.shape[1])) for w in weights]
    gradients = [np.zeros_like(w) for w in weights]
    for t, events in enumerate(frames):
        x, inputs, last = events, [], len(weights) - 1
        for layer, w in enumerate(weights):
            inputs.append(x)
            trace[layer] = 0.5 * trace[layer] + x
            u[layer] = x @ w[:-1] + w[-1] + (0.5 * u[layer] if layer < last else 0.0)
            potentials[layer][t] = u[layer]
            if layer < last:
                fired = u[layer] >= 1.0
                u[layer] = u[layer] - fired
                x = SCALE * fired
        z = potentials[last][t]
        signal = np.exp(z - z.max()) / np.exp(z - z.max()).sum() - np.eye(N_CLASSES)[label]
        for layer in range(last, -1, -1):
            p = inputs[layer] if layer == last else trace[layer]
            gradients[layer][:-1] += np.outer(p, signal)
            gradients[layer][-1] += signal
            if layer > 0:
                sigma = 1 / (1 + np.exp(-4 * (potentials[layer - 1][t] - 1.0)))
                signal = SCALE * (weights[layer][:-1] @ signal) * 4 * sigma * (1 - sigma)
    return potentials, gradients


def test_the_folded_network_is_the_one_whose_spikes_count_2_74() -> None:
    spec, folded, frames = network(DENSE, (1, 1, 9), 0.01)
    assert isinstance(spec, FloatSpec)
    for layer in folded:
        layer[-1] = np.linspace(-0.1, 0.5, layer.shape[1])
    own = [np.vstack([w[:-1] / (SCALE if layer else 1.0), w[-1:]]) for layer, w in enumerate(folded)]
    potentials, gradients = unfolded(own, frames, 2)
    core = FloatCore(spec, folded)
    run = core.run(dataset_of(frames, 2), [0], learn=True, probe_slots=[0])
    assert run.spikes_per_layer[:3].min() >= 5
    for layer, expected in enumerate(potentials):
        np.testing.assert_allclose(run.probes[f"potential/{layer}"][0], expected, rtol=0, atol=1e-12)
    for layer, gradient in enumerate(gradients):
        changed = (core.weights[layer] - folded[layer])[:-1] / (SCALE if layer else 1.0)
        expected = -spec.rate * gradient[:-1] * (8.0 / SCALE**2 if layer else 1.0)
        np.testing.assert_allclose(changed, expected, rtol=0, atol=1e-12)
        assert np.abs(expected).max() > 1e-3
        # A bias is not folded, but has the rate of its layer.
        bias = core.weights[layer][-1] - folded[layer][-1]
        np.testing.assert_allclose(bias, -spec.rate * gradient[-1] * (8.0 if layer else 1.0), rtol=0, atol=1e-12)


LEARNED = '[{kind="dense", neurons=48, standardise=true, gain=4, spike_scale=2.74}, {kind="readout"}]'


@pytest.mark.parametrize("every", [0, 1])
def test_a_standardised_network_learns_in_8_bits(tmp_path: Path, every: int) -> None:
    overrides = [
        f"network.layers={LEARNED}",
        f"learning.standardise_every={every}",
        "learning.epochs=2",
        "learning.learning_rate=0.03",
    ]
    report = neurochip.learn(out=tmp_path / "run", overrides=overrides)
    accuracies = {word: report.result("ottt-o", word)["accuracy"]["test"] for word in ("fixed", "float")}
    print(f"\nstandardise_every = {every}: {accuracies}")
    assert min(accuracies.values()) > 0.5  # of ten classes


def test_the_published_scale_keeps_the_activity_from_layer_to_layer() -> None:
    """Spikes of neurons that fire in 16 % of the steps have variance 1 when they count 2.74, and so on to the next."""
    conv = {"kind": "conv2d", "channels": 48, "kernel": 3, "padding": 1, "standardise": True, "spike_scale": SCALE}
    rate = 0.1
    layers = [
        {**conv, "gain": 1 / np.sqrt(rate * (1 - rate))},
        conv,
        {"kind": "avgpool", "kernel": 2},
        {**conv, "gain": 2.0},  # a mean of four spikes has a quarter of their variance
        conv,
    ]
    spec, weights, _ = network(layers, (2, 16, 16), 0.0625)
    events = (np.random.default_rng(4).random((N_STEPS, 512)) < rate).astype(float)
    run = FloatCore(spec, weights).run(dataset_of(events, 0), [0], learn=False)
    rates = run.spikes_per_layer[:4] / [N_STEPS * layer.n_out for layer in spec.layers[:4]]
    print(f"\nspikes per neuron and step: {rates}")
    assert np.all((rates > 0.1) & (rates < 0.22))
