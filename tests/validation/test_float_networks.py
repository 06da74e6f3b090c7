"""Do the online rules of the float twin follow their published equations, read off its probes? And its refusals."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from neurochip.core.float_core import FloatCore, FloatRun
from neurochip.core.float_spec import FloatLayerSpec, FloatSpec
from neurochip.errors import UserError
from neurochip.events import EventDataset
from neurochip.topology import Connection, ConvShape

N_STEPS = 6
FIRST = ConvShape(6, 6, 2, 4, 3, 3, padding_y=1, padding_x=1)
SECOND = ConvShape(3, 3, 4, 3, 2, 2)
RECURRENT = Connection(-1, 5), Connection(0, 4, delay=1, offset=5)


def dataset_of(frames: np.ndarray) -> EventDataset:
    """Frames [samples, T, inputs] of magnitudes; labels 0, 1, 2, 0 ..."""
    rows, addresses = np.nonzero(frames.reshape(-1, frames.shape[-1]))
    offsets = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=frames.shape[0] * N_STEPS))])
    magnitudes = frames.reshape(-1, frames.shape[-1])[rows, addresses]
    return EventDataset(offsets, addresses, magnitudes, np.arange(len(frames)) % 3, frames.shape[-1], N_STEPS)


def weights_of(layers: tuple[FloatLayerSpec, ...]) -> list[np.ndarray]:
    rng = np.random.default_rng(5)
    shapes = [(layer.n_weight_rows + layer.n_bias_rows, layer.columns) for layer in layers]
    return [rng.normal(0.1, 1.6 / np.sqrt(rows), (rows, columns)) for rows, columns in shapes]


def run_probed(spec: FloatSpec) -> tuple[FloatRun, list[np.ndarray], list[np.ndarray], np.ndarray]:
    """Return a probed run of one sample, its gradient, the weights and the frames."""
    rng = np.random.default_rng(6)
    frames = rng.integers(1, 3, (1, N_STEPS, spec.n_inputs)) * (rng.random((1, N_STEPS, spec.n_inputs)) < 0.4)
    core = FloatCore(spec, weights_of(spec.layers))
    run = core.run(dataset_of(frames), [0], learn=True, probe_slots=[0])
    assert min(run.spikes_per_layer[k] for k, layer in enumerate(spec.layers) if layer.is_hidden) > 5
    return run, core.gradient(dataset_of(frames), 0), core.weights, frames[0].astype(float)


def leaky_sum(values: np.ndarray, leak: float) -> np.ndarray:
    """a[t] = leak a[t-1] + x[t] along the first axis."""
    out = np.array(values, dtype=float)
    for t in range(1, len(out)):
        out[t] += leak * out[t - 1]
    return out


def windows_of(maps: np.ndarray, shape: ConvShape) -> np.ndarray:
    """[T, H', W', C, k_h, k_w] of the padded maps [T, H x W x C] that each output position sees."""
    maps = maps.reshape(-1, shape.height, shape.width, shape.channels)
    maps = np.pad(maps, ((0, 0), (shape.padding_y,) * 2, (shape.padding_x,) * 2, (0, 0)))
    return np.lib.stride_tricks.sliding_window_view(maps, (shape.kernel_height, shape.kernel_width), axis=(1, 2))


def correlate(presynaptic: np.ndarray, signal: np.ndarray, shape: ConvShape) -> np.ndarray:
    """dW[c, k_y, k_x, j] = sum over t, y', x' of p[t, y' + k_y - pad, x' + k_x - pad, c] g[t, y', x', j], in rows."""
    signal = signal.reshape(-1, shape.out_height, shape.out_width, shape.out_channels)
    return np.einsum("tyxckl,tyxj->cklj", windows_of(presynaptic, shape), signal).reshape(-1, shape.out_channels)


def conv_spec(credit: str, trace_filter: float | None = None) -> FloatSpec:
    fields = {"keeps_trace": credit == "trace", "trace_filter": trace_filter}
    layers = (
        FloatLayerSpec("conv", 72, 144, leak=0.75, trace_leak=0.75, conv=FIRST, **fields),
        FloatLayerSpec("conv", 36, 12, event_scale=0.25, conv=SECOND, inputs=(Connection(0, 4, 6, 6, 2, 2),), **fields),
        FloatLayerSpec("readout", 12, 3),
    )
    return FloatSpec(layers, N_STEPS, credit=credit)


def pooled(spikes: np.ndarray) -> np.ndarray:
    """Means of 2 x 2 neighbours of maps [T, 6 x 6 x 4]."""
    return spikes.reshape(-1, 3, 2, 3, 2, 4).mean(axis=(2, 4)).reshape(len(spikes), -1)


@pytest.mark.parametrize("trace_filter", [None, 0.0, 0.6])
def test_conv_gradient_is_the_correlation_of_signal_and_trace(trace_filter: float | None) -> None:
    """OTTT: dW = sum_t g[t] * a[t], a[t] = leak a[t-1] + x[t], and once more leaky with a filter."""
    run, gradient, _, frames = run_probed(conv_spec("trace", trace_filter))
    inputs = frames, pooled(run.probes["spike/0"][0].astype(float))
    for k, (x, leak, shape) in enumerate(zip(inputs, (0.75, 0.5), (FIRST, SECOND), strict=True)):
        trace, signal = leaky_sum(leaky_sum(x, leak), trace_filter or 0.0), run.probes[f"signal/{k}"][0]
        np.testing.assert_allclose(run.probes[f"trace/{k}"][0], trace, rtol=1e-12)
        np.testing.assert_allclose(gradient[k][:-1], correlate(trace, signal, shape), rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(gradient[k][-1], signal.reshape(-1, shape.out_channels).sum(axis=0), rtol=1e-9)


def test_conv_gradient_of_the_spike_rule_has_the_events_for_traces() -> None:
    run, gradient, _, frames = run_probed(conv_spec("spike"))
    for k, (x, shape) in enumerate(((frames, FIRST), (pooled(run.probes["spike/0"][0].astype(float)), SECOND))):
        expected = correlate(x, run.probes[f"signal/{k}"][0], shape)
        np.testing.assert_allclose(gradient[k][:-1], expected, rtol=1e-9, atol=1e-12)


def test_conv_signal_is_the_transposed_convolution_behind_the_pool() -> None:
    """d = (1/4 W^T g) of the pooled address of a neuron, g = d psi."""
    run, _, weights, _ = run_probed(conv_spec("trace"))
    kernels = weights[1][:-1].reshape(4, 2, 2, 3)
    signal = run.probes["signal/1"][0].reshape(N_STEPS, 2, 2, 3)
    back = np.zeros((N_STEPS, 3, 3, 4))
    for y, x in np.ndindex(2, 2):
        back[:, y : y + 2, x : x + 2] += np.einsum("tj,cklj->tklc", signal[:, y, x], kernels)
    d = back.repeat(2, axis=1).repeat(2, axis=2).reshape(N_STEPS, -1) / 4
    np.testing.assert_allclose(run.probes["d/0"][0], d, rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(run.probes["signal/0"][0], d * run.probes["psi/0"][0], rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("credit", ["trace", "spike"])
def test_recurrent_gradient_has_the_spikes_of_the_step_before(credit: str) -> None:
    """dW_rec = sum_t a[t-1] g[t]^T, a the trace of the layer's own spikes, or these themselves."""
    layers = FloatLayerSpec("dense", 9, 4, inputs=RECURRENT, keeps_trace=True), FloatLayerSpec("readout", 4, 3)
    run, gradient, weights, frames = run_probed(FloatSpec(layers, N_STEPS, credit=credit))
    spikes, leak = run.probes["spike/0"][0].astype(float), 0.5 if credit == "trace" else 0.0
    before = np.vstack([np.zeros(4), spikes[:-1]])
    signal = run.probes["signal/0"][0]
    np.testing.assert_allclose(gradient[0][5:9], leaky_sum(before, leak).T @ signal, rtol=1e-9, atol=1e-12)
    u = run.probes["potential/0"][0]
    drive = np.hstack([frames, before, np.ones((N_STEPS, 1))]) @ weights[0]
    np.testing.assert_allclose(u[1:] - 0.5 * (u - spikes)[:-1], drive[1:], rtol=1e-9, atol=1e-12)
    # Online rules send no error along the delay.
    np.testing.assert_allclose(run.probes["d/0"][0], run.probes["signal/1"][0] @ weights[1][:-1].T, rtol=1e-9)


def eprop_spec(**fields: Any) -> FloatSpec:
    layers = (
        FloatLayerSpec("dense", 9, 4, inputs=RECURRENT, keeps_trace=True, trace_filter=0.875),
        FloatLayerSpec("feedback", 4, 3, bias=False, learns=False, signal_of=2, inputs=(Connection(0, 4),)),
        FloatLayerSpec("readout", 4, 3, leak=0.875, keeps_trace=True, trace_leak=0.875),
    )
    cut = replace(layers[2], inputs=(Connection(0, 4, carries_error=False),))
    return FloatSpec((*layers[:2], cut), N_STEPS, credit="trace", **fields)


def test_feedback_brings_the_error_of_the_readout_through_fixed_weights() -> None:
    """e-prop: g = psi B e; dW = sum_t g[t] filter(a)[t]; z[t] = kappa z[t-1] + W s[t] + b."""
    run, gradient, weights, frames = run_probed(eprop_spec())
    z, spikes = run.probes["potential/2"][0], run.probes["spike/0"][0].astype(float)
    np.testing.assert_allclose(z, leaky_sum(np.hstack([spikes, np.ones((N_STEPS, 1))]) @ weights[2], 0.875), rtol=1e-9)
    softmax = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    error = softmax - np.eye(3)[0]
    np.testing.assert_allclose(run.probes["signal/1"][0], error, rtol=1e-9)
    g = error @ weights[1][:-1].T * run.probes["psi/0"][0]
    trace = leaky_sum(leaky_sum(np.hstack([frames, np.vstack([np.zeros(4), spikes[:-1]])]), 0.5), 0.875)
    np.testing.assert_allclose(gradient[0][:-1], trace.T @ g, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(gradient[2][:-1], leaky_sum(spikes, 0.875).T @ error, rtol=1e-9, atol=1e-12)
    assert not gradient[1].any() and "potential/1" not in run.probes


def test_steps_without_loss_have_no_signal_but_traces() -> None:
    run, _, _, _ = run_probed(eprop_spec(loss_start=3, update_every=2))
    full, _, _, _ = run_probed(eprop_spec())
    for k in range(3):
        signal = run.probes[f"signal/{k}"][0]
        assert signal.any(axis=1).tolist() == [False, False, False, True, False, True]
    np.testing.assert_array_equal(run.probes["trace/0"], full.probes["trace/0"])
    np.testing.assert_array_equal(run.probes["signal/0"][0, [3, 5]], full.probes["signal/0"][0, [3, 5]])


def test_heads_and_feedback_do_nothing_without_learning() -> None:
    layers = (
        FloatLayerSpec("dense", 6, 5),
        FloatLayerSpec("readout", 5, 3, inputs=(Connection(0, 5),)),
        FloatLayerSpec("readout", 5, 3, inputs=(Connection(0, 5),)),
    )
    core = FloatCore(FloatSpec(layers, N_STEPS, credit="spike"), weights_of(layers))
    data = dataset_of(np.ones((1, N_STEPS, 6), dtype=int))
    assert core.run(data, [0], learn=True, probe_slots=[0]).probes["potential/1"].any()
    run = core.run(data, [0], learn=False, probe_slots=[0])
    assert not run.probes["potential/1"].any() and run.probes["potential/2"].any()


def test_a_pool_drops_and_renames_the_events_that_are_counted() -> None:
    """3 x 3 pixels, pool 2 x 2: four of nine reach the one address."""
    layers = FloatLayerSpec("dense", 1, 2, inputs=(Connection(-1, 1, 3, 3, 2, 2),)), FloatLayerSpec("readout", 2, 3)
    frames = np.ones((1, N_STEPS, 9), dtype=int)
    run = FloatCore(FloatSpec(layers, N_STEPS), weights_of(layers)).run(dataset_of(frames), [0], learn=False)
    assert run.events_per_layer.tolist() == [4 * N_STEPS, run.spikes_per_layer[0]]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_map_of_one_position_is_a_dense_layer(dtype: str) -> None:
    frames = np.random.default_rng(7).integers(0, 2, (3, N_STEPS, 6))
    weights = []
    for kind, conv in (("dense", None), ("conv", ConvShape(1, 1, 6, 5, 1, 1))):
        layers = FloatLayerSpec(kind, 6, 5, conv=conv, keeps_trace=True), FloatLayerSpec("readout", 5, 3)
        core = FloatCore(
            FloatSpec(layers, N_STEPS, credit="trace", update="immediate", rate=0.1), weights_of(layers), dtype
        )
        core.run(dataset_of(frames), np.arange(3), learn=True)
        weights.append(core.weights)
    for one, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_velocity_lives_on_between_runs() -> None:
    spec = eprop_spec(update="accumulate", batch=1, rate=0.1, momentum=0.75)
    frames = np.random.default_rng(8).integers(0, 2, (4, N_STEPS, 5))
    whole, parts = FloatCore(spec, weights_of(spec.layers)), FloatCore(spec, weights_of(spec.layers))
    whole.run(dataset_of(frames), np.arange(4), learn=True)
    parts.run(dataset_of(frames), [0, 1], learn=True)
    assert np.abs(parts.velocities[0]).max() > 0
    parts.run(dataset_of(frames), [2, 3], learn=True)
    assert all(np.array_equal(a, b) for a, b in zip(whole.weights, parts.weights, strict=True))


DENSE, LAST = FloatLayerSpec("dense", 6, 5), FloatLayerSpec("readout", 5, 3)


@pytest.mark.parametrize(
    ("layers", "fields", "message"),
    [
        ((DENSE, replace(LAST, n_in=4)), {}, "layer 1 has 4 inputs; layer 0 has 5 outputs"),
        ((DENSE,), {}, "the last layer must be a readout"),
        ((replace(DENSE, kind="conv"), LAST), {}, "conv with a shape"),
        ((replace(DENSE, inputs=(Connection(1, 5),)), LAST), {}, "takes events from layer 1 with delay 0"),
        ((replace(DENSE, inputs=(Connection(-1, 6, offset=1),)), LAST), {}, "does not fit its 6 inputs"),
        ((DENSE, FloatLayerSpec("feedback", 5, 3, signal_of=0), LAST), {}, "which is no later readout"),
        ((DENSE, LAST), {"update": "accumulate", "apply_when": "window", "credit": "trace"}, "needs credit = 'unroll'"),
        ((DENSE, LAST), {"update": "accumulate", "apply_when": "window", "credit": "unroll"}, "is below the 6 steps"),
        ((DENSE, LAST), {"apply_when": "deferred", "batch": 2}, "batch = 2 must be 1 with update = 'deferred'"),
        ((DENSE, LAST), {"momentum": 1.0}, "momentum = 1.0"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(layers: tuple[FloatLayerSpec, ...], fields: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        FloatSpec(layers, N_STEPS, **fields)
