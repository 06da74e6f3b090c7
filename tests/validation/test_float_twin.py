"""Does the float twin follow its rules? Against a worked example, a dense rewrite, and what must hold of any rule."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurochip.core.float_core import FloatCore
from neurochip.core.float_spec import FloatLayerSpec, FloatSpec
from neurochip.errors import UserError
from neurochip.events import EventDataset

RULES = [("trace", "immediate"), ("trace", "accumulate"), ("spike", "immediate"), ("spike", "accumulate")]
RULES += [("unroll", "immediate"), ("unroll", "accumulate")]
SIZES = (9, 7, 6, 5, 3)
LEAKS = (0.5, 0.75, 0.875)


def dataset_of(frames: np.ndarray, labels: Any) -> EventDataset:
    """Events of dense integer frames [samples, steps, inputs]."""
    n_samples, n_steps, n_inputs = frames.shape
    rows, addresses = np.nonzero(frames.reshape(-1, n_inputs))
    offsets = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=n_samples * n_steps))])
    magnitudes = frames.reshape(-1, n_inputs)[rows, addresses]
    return EventDataset(offsets, addresses, magnitudes, np.asarray(labels), n_inputs, n_steps)


def spec_of(
    credit: str, update: str, *, reset: str = "subtract", readout_trace: bool = False, **fields: Any
) -> FloatSpec:
    """Three hidden layers with different leaks, and traces whose leaks differ from those of the membranes."""
    layers = [
        FloatLayerSpec(
            "dense", n_in, n_out, leak=leak, reset=reset, keeps_trace=credit == "trace", trace_leak=0.9 * leak
        )
        for n_in, n_out, leak in zip(SIZES[:-2], SIZES[1:-1], LEAKS, strict=True)
    ]
    layers.append(FloatLayerSpec("readout", *SIZES[-2:], keeps_trace=readout_trace, trace_leak=LEAKS[-1]))
    return FloatSpec(**({"layers": tuple(layers), "n_steps": 6, "credit": credit, "update": update} | fields))


def random_problem(seed: int, n_samples: int = 5) -> tuple[EventDataset, list[np.ndarray], np.ndarray]:
    """Return data, weights and the frames the data were made of."""
    rng = np.random.default_rng(seed)
    frames = rng.integers(1, 3, (n_samples, 6, SIZES[0])) * (rng.random((n_samples, 6, SIZES[0])) < 0.4)
    weights = [
        np.vstack([rng.normal(0.1, 1.6 / np.sqrt(n), (n, m)), rng.normal(0.1, 0.2, (1, m))]) for n, m in pairwise(SIZES)
    ]
    return dataset_of(frames, rng.integers(0, SIZES[-1], n_samples)), weights, frames


EXAMPLE: dict[str, Any] = json.loads((Path(__file__).parent / "data" / "ottt_four_steps.json").read_text())


def example_core(update: str = "none") -> FloatCore:
    shapes = (("dense", 3, 2), ("dense", 2, 2), ("readout", 2, 2))
    layers = tuple(FloatLayerSpec(*shape, keeps_trace=True) for shape in shapes)
    return FloatCore(FloatSpec(layers, 4, credit="trace", update=update, rate=0.25), EXAMPLE["weights"])


def test_four_step_example_step_by_step() -> None:
    run = example_core().run(dataset_of(np.array(EXAMPLE["frames"]), [0]), [0], learn=True, probe_slots=[0])
    for name, expected in EXAMPLE["steps"].items():
        np.testing.assert_allclose(run.probes[name][0], expected, rtol=0, atol=1e-12, err_msg=name)
    for name, expected in EXAMPLE["signals"].items():
        np.testing.assert_allclose(run.probes[name][0] / 4, expected, rtol=0, atol=5.1e-7, err_msg=name)
    np.testing.assert_allclose(run.losses, [EXAMPLE["loss"]], rtol=0, atol=5.1e-11)


def test_four_step_example_gradients() -> None:
    data = dataset_of(np.array(EXAMPLE["frames"]), [0])
    for gradient, expected in zip(example_core().gradient(data, 0), EXAMPLE["gradients"], strict=True):
        np.testing.assert_allclose(gradient / 4, expected, rtol=0, atol=5.1e-9)
    core = example_core("accumulate")  # rate = 1/T: the update is the gradient of the table
    core.run(data, [0], learn=True)
    for weights, start, expected in zip(core.weights, EXAMPLE["weights"], EXAMPLE["gradients"], strict=True):
        np.testing.assert_allclose(np.array(start) - weights, expected, rtol=0, atol=5.1e-9)


def test_a_membrane_at_its_threshold_fires() -> None:
    """H(0) = 1, and psi(0) = 1 for every surrogate; just below there is no spike."""
    frames = np.ones((1, 2, 1), dtype=int)
    layers = FloatLayerSpec("dense", 1, 2, leak=0.0, threshold=1.5), FloatLayerSpec("readout", 2, 2)
    weights = [[[1.0, 1.0 - 2.0**-50], [0.5, 0.5]], np.ones((3, 2))]
    for surrogate in ("sigmoid", "triangle", "rectangle"):
        core = FloatCore(FloatSpec(layers, 2, surrogate, credit="spike"), weights)
        probes = core.run(dataset_of(frames, [0]), [0], learn=True, probe_slots=[0]).probes
        assert probes["spike/0"][0].tolist() == [[1, 0], [1, 0]]
        assert probes["psi/0"][0, :, 0].tolist() == [1, 1]


def dense_run(spec: FloatSpec, weights: list[np.ndarray], frames: np.ndarray, labels: np.ndarray) -> list[np.ndarray]:
    """Train on all samples with dense vectors, one line per formula of docs/semantics.md, and return the weights."""
    weights = [w.copy() for w in weights]
    gradients = [np.zeros_like(w) for w in weights]
    last = len(weights) - 1
    for sample, frame in enumerate(frames):
        residual, traces = [0.0] * last, [0.0] * (last + 1)
        history = []
        for step in frame:
            x, p, us, psis = step.astype(float), [], [], []
            for n, layer in enumerate(spec.layers):
                traces[n] = layer.trace_leak * traces[n] + x
                p.append(np.append(traces[n] if layer.keeps_trace else x, 1.0))
                u = x @ weights[n][:-1] + weights[n][-1]
                if n < last:
                    u = u + layer.leak * residual[n]
                    x = (u >= layer.threshold).astype(float)
                    residual[n] = u - layer.threshold * x if layer.reset == "subtract" else u * (1 - x)
                    sigma = 1 / (1 + np.exp(-4 * (u - layer.threshold)))
                    psis.append(4 * sigma * (1 - sigma))
                us.append(u)
            y = np.eye(len(u))[labels[sample]]
            softmax = np.exp(u) / np.exp(u).sum()
            error = (1 - spec.mse_share) * (softmax - y) + spec.mse_share * 2 * (u - y) / len(u)
            history.append((p, us, psis, error))
            if spec.credit != "unroll":
                learn_dense(spec, weights, gradients, history[-1:], [0.0] * last)
        if spec.credit == "unroll":
            deltas = [0.0] * last
            while history:
                deltas = learn_dense(spec, weights, gradients, history, deltas)
                history.pop()
        if spec.update == "accumulate" and ((sample + 1) % spec.batch == 0 or sample + 1 == len(frames)):
            weights = [w - spec.rate * g for w, g in zip(weights, gradients, strict=True)]
            gradients = [0 * g for g in gradients]
    return weights


def learn_dense(spec: FloatSpec, weights: list, gradients: list, history: list, deltas: list) -> list:
    """Phases 4 and 5 of the last step in `history`; deltas are those of the step after it."""
    p, us, psis, signal = history[-1]
    signals = [signal]
    for n in range(len(weights) - 2, -1, -1):
        layer, u = spec.layers[n], us[n]
        signal = (weights[n + 1][:-1] @ signal) * psis[n]
        if spec.credit == "unroll":
            passed = 1.0
            if spec.reset_path == "exact":
                s = u >= layer.threshold
                passed = 1 - layer.threshold * psis[n] if layer.reset == "subtract" else (1 - s) - u * psis[n]
            signal = signal + layer.leak * deltas[n] * passed
        signals.insert(0, signal)
    for n, signal in enumerate(signals):
        if spec.update == "immediate":
            weights[n] -= spec.rate * np.outer(p[n], signal)
        else:
            gradients[n] += np.outer(p[n], signal)
    return signals[:-1]


@pytest.mark.parametrize("reset", ["subtract", "zero"])
@pytest.mark.parametrize("reset_path", ["detached", "exact"])
@pytest.mark.parametrize(("credit", "update"), RULES)
def test_weights_after_training_equal_a_dense_rewrite(credit: str, update: str, reset: str, reset_path: str) -> None:
    """Five samples, batches of two: order of phases, resets, and the incomplete last batch all matter."""
    data, weights, frames = random_problem(3)
    batch = 2 if update == "accumulate" else 1
    spec = spec_of(
        credit,
        update,
        reset=reset,
        reset_path=reset_path,
        batch=batch,
        rate=0.02,
        mse_share=0.1,
        readout_trace=credit == "trace" and reset == "zero",
    )
    core = FloatCore(spec, weights)
    core.run(data, np.arange(5), learn=True)
    for got, expected, start in zip(core.weights, dense_run(spec, weights, frames, data.labels), weights, strict=True):
        assert np.abs(expected - start).max() > 1e-3
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-11)


@pytest.mark.parametrize("credit", ["trace", "spike", "unroll"])
def test_immediate_update_tends_to_the_accumulated_one_with_the_rate(credit: str) -> None:
    data, weights, _ = random_problem(4)
    gradient = FloatCore(spec_of(credit, "accumulate"), weights).gradient(data, 1)
    departure = []
    for rate in (1e-5, 1e-6):
        core = FloatCore(spec_of(credit, "immediate", rate=rate), weights)
        core.run(data, [1], learn=True)
        steps = [(new - old) / rate + g for new, old, g in zip(core.weights, weights, gradient, strict=True)]
        departure.append(max(np.abs(step).max() for step in steps) / np.abs(gradient[0]).max())
    assert departure[0] < 1e-2
    assert departure[1] / departure[0] == pytest.approx(0.1, rel=0.05)


@pytest.mark.parametrize(("credit", "update"), RULES)
@pytest.mark.parametrize("mse_share", [0.0, 1.0])
def test_zero_error_leaves_weights_unchanged(credit: str, update: str, mse_share: float) -> None:
    """z = y makes the squared error 0; a margin of 1000 makes softmax(z) - y exactly 0."""
    data, weights, _ = random_problem(5, n_samples=1)
    weights[-1][:-1] = 0
    weights[-1][-1] = np.eye(3)[data.labels[0]] * (1 if mse_share else 1000)
    core = FloatCore(spec_of(credit, update, rate=1.0, mse_share=mse_share), weights)
    run = core.run(data, [0], learn=True)
    assert run.spikes_per_layer[:-1].min() > 0
    assert all(np.array_equal(new, old) for new, old in zip(core.weights, weights, strict=True))
    weights[-1][-1] = weights[-1][-1][::-1] + 0.5
    other = FloatCore(core.spec, weights)
    other.run(data, [0], learn=True)
    assert not np.array_equal(other.weights[-1], weights[-1])


@pytest.mark.parametrize(("credit", "update"), RULES)
def test_float32_is_close_to_float64(credit: str, update: str) -> None:
    data, weights, _ = random_problem(6)
    spec = spec_of(credit, update, rate=0.01)
    double, single = FloatCore(spec, weights), FloatCore(spec, weights, dtype="float32")
    runs = [core.run(data, np.arange(5), learn=True) for core in (double, single)]
    assert runs[0].spikes_per_layer.tolist() == runs[1].spikes_per_layer.tolist()
    for wide, narrow in zip(double.weights, single.weights, strict=True):
        assert narrow.dtype == np.float32
        np.testing.assert_allclose(narrow, wide, rtol=0, atol=2e-5)
        assert not np.array_equal(narrow, wide)


def test_inference_and_gradient_change_nothing() -> None:
    data, weights, _ = random_problem(7)
    core = FloatCore(spec_of("trace", "immediate", rate=0.1), weights)
    first = core.run(data, np.arange(5), learn=False)
    core.gradient(data, 2)
    second = core.run(data, np.arange(5), learn=False)
    assert all(np.array_equal(new, old) for new, old in zip(core.weights, weights, strict=True))
    assert np.array_equal(first.readout_sums, second.readout_sums)
    assert first.predictions.tolist() == first.readout_sums.argmax(axis=1).tolist()


def test_a_run_in_two_parts_is_one_epoch() -> None:
    """Batches of three over 2 + 3 samples: the accumulated gradients wait for the second part."""
    data, weights, _ = random_problem(8)
    spec = spec_of("unroll", "accumulate", batch=3, rate=0.05)
    whole, parts = FloatCore(spec, weights), FloatCore(spec, weights)
    whole.run(data, np.arange(5), learn=True)
    parts.run(data, [0, 1], learn=True, end_of_epoch=False)
    assert np.array_equal(parts.weights[0], weights[0]) and np.abs(parts.gradients[0]).max() > 0
    parts.run(data, [2, 3, 4], learn=True)
    assert all(np.array_equal(a, b) for a, b in zip(whole.weights, parts.weights, strict=True))
    assert not any(gradient.any() for gradient in parts.gradients)


def test_probes_are_kept_for_the_chosen_samples_only() -> None:
    data, weights, frames = random_problem(9)
    core = FloatCore(spec_of("trace", "none"), weights)
    run = core.run(data, np.arange(5), learn=True, probe_slots=[-1, 1, -1, 0, -1])
    for slot, sample in ((0, 3), (1, 1)):
        alone = core.run(data, [sample], learn=True, probe_slots=[0])
        assert set(alone.probes) == set(run.probes)
        for name, values in alone.probes.items():
            assert np.array_equal(run.probes[name][slot], values[0]), name
        np.testing.assert_allclose(run.probes["potential/3"][slot].sum(axis=0), run.readout_sums[sample])
    trace = 0.0
    for step, frame in enumerate(frames[3]):
        trace = 0.9 * LEAKS[0] * trace + frame
        np.testing.assert_array_equal(run.probes["trace/0"][0, step], trace)
    spikes = sum(int(run.probes[f"spike/{layer}"].sum()) for layer in range(3))
    assert 0 < spikes < run.spikes_per_layer.sum()


def test_trace_gate_removes_the_rows_below_it() -> None:
    """Events of magnitude 1 in step 1 only: with leak 1/2 the trace is 1, 1/2, 1/4, 1/8 and the gate keeps three."""
    frames = np.zeros((1, 4, 2), dtype=int)
    frames[0, 0, 0] = 1
    weights = [np.array([[0.3, 0.4], [0.1, 0.2], [0.2, 0.1]]), np.array([[0.5, -0.5], [-0.3, 0.4], [0.0, 0.0]])]
    rows = []
    for gate in (0.0, 0.25, 0.3):
        layers = (
            FloatLayerSpec("dense", 2, 2, keeps_trace=True, trace_gate=gate),
            FloatLayerSpec("readout", 2, 2),
        )
        core = FloatCore(FloatSpec(layers, 4, credit="trace", update="accumulate"), weights)
        data = dataset_of(frames, [1])
        signal = core.run(data, [0], learn=True, probe_slots=[0]).probes["signal/0"][0]
        rows.append(core.gradient(data, 0)[0][0])
        kept = np.array([1, 0.5, 0.25, 0.125]) * (np.array([1, 0.5, 0.25, 0.125]) >= gate)
        np.testing.assert_allclose(rows[-1], kept @ signal, rtol=1e-13)
    assert not np.allclose(rows[0], rows[1]) and not np.allclose(rows[1], rows[2])


def test_small_traces_are_cut_to_zero_below_two_to_the_minus_60() -> None:
    frames = np.zeros((1, 80, 1), dtype=int)
    frames[0, 0] = 1
    layers = FloatLayerSpec("dense", 1, 1, keeps_trace=True), FloatLayerSpec("readout", 1, 2)
    core = FloatCore(FloatSpec(layers, 80, credit="trace"), [[[0.5], [0.0]], np.ones((2, 2))])
    run = core.run(dataset_of(frames, [0]), [0], learn=True, probe_slots=[0])
    expected = 0.5 ** np.arange(80.0)
    expected[61:] = 0
    np.testing.assert_array_equal(run.probes["trace/0"][0, :, 0], expected)


def test_layers_without_bias_never_learn_one() -> None:
    data, weights, _ = random_problem(10)
    spec = spec_of("trace", "immediate", rate=0.1)
    layers = tuple(FloatLayerSpec(**{**vars(layer), "bias": False}) for layer in spec.layers)
    core = FloatCore(FloatSpec(layers, 6, credit="trace", update="immediate", rate=0.1), weights)
    core.run(data, np.arange(5), learn=True)
    assert not any(w[-1].any() for w in core.weights)
    assert not np.array_equal(core.weights[0][:-1], weights[0][:-1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"order": [5]}, "outside 0 to 4"),
        ({"order": [0], "probe_slots": [0, 1]}, "probe_slots needs 1 entries"),
    ],
)
def test_bad_arguments_are_named(arguments: dict[str, Any], message: str) -> None:
    data, weights, _ = random_problem(11)
    with pytest.raises(UserError, match=message):
        FloatCore(spec_of("trace", "none"), weights).run(data, learn=True, **arguments)


def test_bad_specifications_are_named() -> None:
    data, weights, _ = random_problem(11)
    with pytest.raises(UserError, match="credit = 'stdp' is not one of"):
        spec_of("stdp", "none")
    with pytest.raises(UserError, match="batch = 2 must be 1"):
        spec_of("trace", "immediate", batch=2)
    with pytest.raises(UserError, match="weights of layer 1"):
        FloatCore(spec_of("trace", "none"), [weights[0], weights[0], *weights[2:]])
    with pytest.raises(UserError, match="'none' has no gradient"):
        FloatCore(spec_of("none", "none"), weights).gradient(data, 0)
    with pytest.raises(UserError, match="the data set has 9 inputs and 6 steps"):
        FloatCore(spec_of("trace", "none", n_steps=7), weights).run(data, [0], learn=True)


@pytest.mark.parametrize("bias_trace", [False, True])
def test_with_a_trace_the_bias_of_the_last_hidden_layer_has_the_gradient_of_bptt(bias_trace: bool) -> None:
    """dL/db = sum_t g[t] sum_k lambda^k: what the trace of a constant input holds; without it the sum is g alone."""
    data, weights, _ = random_problem(7)
    gradients = {}
    for credit in ("trace", "unroll"):
        spec = spec_of(credit, "accumulate", batch=10)
        layers = tuple(replace(layer, trace_leak=layer.state_leak, bias_trace=bias_trace) for layer in spec.layers)
        core = FloatCore(replace(spec, layers=layers), weights)
        core.run(data, np.arange(data.n_samples), learn=True, end_of_epoch=False)
        gradients[credit] = core.gradients[-2]
    np.testing.assert_allclose(gradients["trace"][:-1], gradients["unroll"][:-1], rtol=0, atol=1e-12)
    difference = np.abs(gradients["trace"][-1] - gradients["unroll"][-1]).max()
    assert (difference < 1e-12) == bias_trace
