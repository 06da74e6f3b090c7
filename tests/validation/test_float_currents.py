"""Do layers with a synaptic current follow closed forms: sums over all earlier events, with no state kept in between?

u follows i and i the events, so an event n steps ago counts h[n] = sum_k leak^k current_leak^(n - k), k = 0 ... n.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from neurochip.core.float_core import FloatCore
from neurochip.core.float_spec import FloatLayerSpec, FloatSpec
from neurochip.errors import UserError
from neurochip.events import EventDataset

N_STEPS, N_INPUTS, N_HIDDEN, N_CLASSES = 9, 6, 5, 3
LEAKS = [(0.75, 0.5), (0.5, 0.9375), (0.625, 0.625), (0.875, 0.0), (1.0, 0.75)]  # of u, of i


def response(n: int, leak: float, current_leak: float) -> float:
    """h[n]: what an event n steps ago adds to u now."""
    return sum(leak**k * current_leak ** (n - k) for k in range(n + 1))


def network_of(leak: float, current_leak: float, credit: str, readout: bool = False) -> FloatSpec:
    """One hidden layer and a readout, memoryless or with the same leaks, traces as the resolver makes them."""
    keeps = credit == "trace"
    fields: dict[str, Any] = {
        "leak": leak,
        "current_leak": current_leak,
        "trace_leak": current_leak,
        "trace_filter": leak,
    }
    hidden = FloatLayerSpec("dense", N_INPUTS, N_HIDDEN, **fields, keeps_trace=keeps, bias_trace=keeps)
    last = FloatLayerSpec("readout", N_HIDDEN, N_CLASSES)
    if readout:
        last = replace(last, **fields, keeps_trace=keeps, bias_trace=keeps)
    return FloatSpec((hidden, last), N_STEPS, credit=credit, update="accumulate")


def problem() -> tuple[EventDataset, np.ndarray, list[np.ndarray]]:
    """A sample, its frames [T, inputs], and weights that make some neurons spike, not always."""
    rng = np.random.default_rng(11)
    frames = rng.integers(1, 3, (N_STEPS, N_INPUTS)) * (rng.random((N_STEPS, N_INPUTS)) < 0.35)
    rows, addresses = np.nonzero(frames)
    offsets = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=N_STEPS))])
    data = EventDataset(offsets, addresses, frames[rows, addresses], np.array([1]), N_INPUTS, N_STEPS)
    shapes = (N_INPUTS + 1, N_HIDDEN), (N_HIDDEN + 1, N_CLASSES)
    return data, frames.astype(float), [rng.normal(0.05, 0.5, shape) for shape in shapes]


@pytest.mark.parametrize(("leak", "current_leak"), LEAKS)
def test_currents_and_potentials_are_sums_over_all_events_before(leak: float, current_leak: float) -> None:
    """i[t] = sum_s current_leak^(t-s) x[s], z[t] = sum_s h[t-s] x[s], of u less what the resets took."""
    data, frames, weights = problem()
    core = FloatCore(network_of(leak, current_leak, "spike", readout=True), weights)
    probes = {name: values[0] for name, values in core.run(data, [0], True, [0]).probes.items()}
    spikes = probes["spike/0"].astype(float)
    assert 3 < spikes.sum() < spikes.size
    for k, events in enumerate((frames, spikes)):
        came = events @ weights[k][:-1] + weights[k][-1]
        for t in range(N_STEPS):
            i = sum(current_leak ** (t - s) * came[s] for s in range(t + 1))
            u = sum(response(t - s, leak, current_leak) * came[s] for s in range(t + 1))
            if k == 0:
                u = u - sum(leak ** (t - s) * spikes[s] for s in range(t))  # threshold 1
            np.testing.assert_allclose(probes[f"current/{k}"][t], i, rtol=0, atol=1e-12)
            np.testing.assert_allclose(probes[f"potential/{k}"][t], u, rtol=0, atol=1e-12)


@pytest.mark.parametrize("readout", [False, True])
@pytest.mark.parametrize(("leak", "current_leak"), LEAKS)
def test_ottt_is_the_sum_of_filtered_events_times_signals(leak: float, current_leak: float, readout: bool) -> None:
    """dW_ij = sum over t and s <= t of h[t-s] x_i[s] g_j[t], a bias being an event in every step."""
    data, frames, weights = problem()
    core = FloatCore(network_of(leak, current_leak, "trace", readout), weights)
    probes = {name: values[0] for name, values in core.run(data, [0], True, [0], end_of_epoch=False).probes.items()}
    gradients = FloatCore(core.spec, weights).gradient(data, 0)
    hidden_signal = probes["psi/0"] * (probes["signal/1"] @ weights[1][:-1].T)
    np.testing.assert_allclose(probes["signal/0"], hidden_signal, rtol=0, atol=1e-12)
    for k, events in enumerate((frames, probes["spike/0"].astype(float)) if readout else (frames,)):
        events = np.hstack([events, np.ones((N_STEPS, 1))])
        expected = np.zeros_like(weights[k])
        for t in range(N_STEPS):
            for s in range(t + 1):
                expected += response(t - s, leak, current_leak) * np.outer(events[s], probes[f"signal/{k}"][t])
        assert np.abs(expected).max() > 0.1
        np.testing.assert_allclose(gradients[k], expected, rtol=0, atol=1e-11)


@pytest.mark.parametrize(("leak", "current_leak"), LEAKS)
def test_ottt_is_detached_bptt_in_the_last_hidden_layer(leak: float, current_leak: float) -> None:
    """Below a memoryless readout both sum the same paths, from the events on or from the errors back."""
    data, _, weights = problem()
    both = [
        FloatCore(network_of(leak, current_leak, credit), weights).gradient(data, 0) for credit in ("trace", "unroll")
    ]
    for online, unrolled in zip(*both, strict=True):
        assert np.abs(unrolled).max() > 0.1
        np.testing.assert_allclose(online, unrolled, rtol=0, atol=1e-11)


@pytest.mark.parametrize("readout", [False, True])
def test_unrolled_signals_are_sums_over_all_later_errors(readout: bool) -> None:
    """epsilon[t] = sum_s h[s-t] e[s] of a leaky readout, and of the hidden layer with g = psi d for e."""
    leak, current_leak = 0.75, 0.5
    data, _, weights = problem()
    core = FloatCore(network_of(leak, current_leak, "unroll", readout), weights)
    probes = {name: values[0] for name, values in core.run(data, [0], True, [0], end_of_epoch=False).probes.items()}
    z = probes["potential/1"]
    errors = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True) - np.eye(N_CLASSES)[1]
    given = [probes["psi/0"] * probes["d/0"], errors]
    for k in range(2):
        filtered = np.array([
            sum(response(s - t, leak, current_leak) * given[k][s] for s in range(t, N_STEPS)) for t in range(N_STEPS)
        ])  # fmt: skip
        expected = given[k] if k == 1 and not readout else filtered
        np.testing.assert_allclose(probes[f"signal/{k}"], expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(probes["d/0"], probes["signal/1"] @ weights[1][:-1].T, rtol=0, atol=1e-12)


def test_a_current_that_is_gone_at_once_is_no_current() -> None:
    """current_leak = 0: i is what came in this step; only its probe is new."""
    data, _, weights = problem()
    for credit in ("trace", "spike", "unroll"):
        with_current = network_of(0.75, 0.0, credit, readout=True)
        layers = tuple(
            replace(one, current_leak=None, trace_leak=0.75, trace_filter=None) for one in with_current.layers
        )
        runs = []
        for spec in (with_current, replace(with_current, layers=layers)):
            core = FloatCore(spec, weights)
            run = core.run(data, [0], True, [0], end_of_epoch=False)
            runs.append((run.probes, core.gradients))
        (probes, gradients), (plain, plain_gradients) = runs
        assert set(probes) - set(plain) == {"current/0", "current/1"}
        for name, values in plain.items():
            np.testing.assert_allclose(probes[name], values, rtol=0, atol=1e-12, err_msg=name)
        for one, other in zip(gradients, plain_gradients, strict=True):
            np.testing.assert_allclose(one, other, rtol=0, atol=1e-12)


def test_samples_do_not_see_the_current_of_the_one_before() -> None:
    data, _, weights = problem()
    for credit in ("trace", "unroll"):
        core = FloatCore(network_of(0.75, 0.9375, credit, readout=True), weights)
        probes = core.run(data, [0, 0], True, [0, 1], end_of_epoch=False).probes
        for name, values in probes.items():
            np.testing.assert_array_equal(values[0], values[1], err_msg=name)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (FloatLayerSpec("readout", 5, 3, current_leak=0.5), "layer 1 has a synaptic current; allowed is that of"),
        (FloatLayerSpec("readout", 5, 3, leak=0.5, current_leak=1.5), "current_leak of layer 1 must be 0 to 1"),
        (FloatLayerSpec("readout", 5, 3, leak=0.5, current_leak=-0.5), "current_leak of layer 1 must be 0 to 1"),
    ],
)
def test_currents_that_cannot_be_are_refused(layer: FloatLayerSpec, message: str) -> None:
    with pytest.raises(UserError, match=message):
        FloatSpec((FloatLayerSpec("dense", 6, 5), layer), N_STEPS)
