"""Each quantiser of the float twin alone: recomputed line by line from the page of semantics, its grid, its range."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from float_of_core import RULES, core_of, data_of, small_spec

from neurochip.core.float_core import FloatCore, FloatRun
from neurochip.core.layout import initial_registers
from neurochip.spec import CoreSpec


def run_of(name: str, currents: bool = False, **changes: Any) -> tuple[CoreSpec, FloatCore, FloatRun, np.ndarray]:
    """One learned sample of the twin with one quantiser, every signal probed; gradients stay unapplied."""
    spec = small_spec(*RULES[name], **changes)
    if currents:
        fields: dict[str, Any] = {"current_leak_kind": "constant", "current_leak_value": 40000}
        spec = replace(spec, layers=tuple(replace(layer, **fields) for layer in spec.layers))
    data, frames = data_of(spec)
    core = core_of(spec, name)
    run = core.run(data, [0], True, [0], end_of_epoch=False)
    run = replace(run, probes={key: values[0] for key, values in run.probes.items()})
    return spec, core, run, frames[0]


def towards_zero(x: np.ndarray) -> np.ndarray:
    return np.trunc(x)


def nearest(x: np.ndarray) -> np.ndarray:
    return np.sign(x) * np.floor(np.abs(x) + 0.5)


def snapped(x: np.ndarray, frac: int, bits: int, signed: bool = True) -> np.ndarray:
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    return np.clip(nearest(x * 2.0**frac), low, high) * 2.0**-frac


def test_a_membrane_leaks_towards_zero_and_is_rounded_and_saturates_once() -> None:
    spec, core, run, frames = run_of("membrane")
    residual, weights = np.zeros(9), core.weights[0]
    reached = []
    for t, frame in enumerate(frames):
        u = towards_zero(residual * 64 * 0.75) / 64 + frame @ weights[:-1] + weights[-1]
        u = snapped(u, 6, 9)
        np.testing.assert_allclose(run.probes["potential/0"][t], u, rtol=0, atol=1e-12)
        fired = u >= 1.25
        np.testing.assert_array_equal(run.probes["spike/0"][t], fired)
        residual = u - 1.25 * fired
        reached += [u.min(), u.max()]
    assert min(reached) == -4.0 or max(reached) == 255 / 64
    assert spec.layers[0].threshold_q == 80


def test_a_readout_leaks_towards_zero_and_is_rounded_once() -> None:
    _, core, run, _ = run_of("readout")
    z = np.zeros(3)
    for t, spikes in enumerate(run.probes["spike/0"].astype(float)):
        z = snapped(towards_zero(z * 64 * 0.5) / 64 + spikes @ core.weights[1][:-1] + core.weights[1][-1], 6, 10)
        np.testing.assert_allclose(run.probes["potential/1"][t], z, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["membrane", "readout"])
def test_currents_and_what_they_go_into_leak_towards_zero_and_are_rounded_and_saturate_each(name: str) -> None:
    """i = Q(leak i + what comes), then u = Q(leak u + i): of the hidden layer, or of the readout."""
    _, core, run, frames = run_of(name, currents=True)
    k, bits = (0, 9) if name == "membrane" else (1, 10)
    weights, leak = core.weights[k], (0.75, 0.5)[k]
    i = residual = np.zeros(weights.shape[1])
    saturated = []
    for t, came in enumerate(frames if k == 0 else run.probes["spike/0"].astype(float)):
        before = towards_zero(i * 64 * 40000 / 65536) / 64 + came @ weights[:-1] + weights[-1]
        i = snapped(before, 6, bits)
        u = snapped(towards_zero(residual * 64 * leak) / 64 + i, 6, bits)
        np.testing.assert_allclose(run.probes[f"current/{k}"][t], i, rtol=0, atol=1e-12)
        np.testing.assert_allclose(run.probes[f"potential/{k}"][t], u, rtol=0, atol=1e-12)
        residual = u - 1.25 * (u >= 1.25) if k == 0 else u
        saturated += [np.abs(before).max() >= 4, np.abs(u).max() >= 3.98]
    assert k == 1 or (any(saturated[::2]) and any(saturated[1::2]))


def test_surrogates_are_those_of_the_table() -> None:
    _, _, run, _ = run_of("surrogate")
    index = np.clip(np.floor((run.probes["potential/0"] - 1.25) * 16), -32, 31)
    sigma = 1 / (1 + np.exp(-4 * (index + 0.5) / 16))
    psi = np.minimum(15, np.floor(4 * sigma * (1 - sigma) * 16 + 0.5)) / 16
    np.testing.assert_array_equal(run.probes["psi/0"], psi)
    assert len(np.unique(psi)) > 4


@pytest.mark.parametrize("filter_shift", [0, 2])
def test_traces_leak_towards_zero_and_saturate(filter_shift: int) -> None:
    spec = small_spec("trace", "accumulate")
    if filter_shift:
        filtered = {"filter_leak_kind": "shift", "filter_leak_value": filter_shift}
        spec = replace(spec, layers=tuple(replace(layer, **filtered) for layer in spec.layers))
    data, frames = data_of(spec)
    run = core_of(spec, "trace").run(data, [0], True, [0])
    first = second = np.zeros(12)
    for t, frame in enumerate(frames[0]):
        first = np.minimum(63, towards_zero(first * 50000 / 65536) + 8 * frame)
        second = np.minimum(63, towards_zero(second * 0.75) + first)
        np.testing.assert_array_equal(run.probes["trace/0"][0, t], (second if filter_shift else first) / 8)
    assert first.max() == 63 or second.max() == 63


@pytest.mark.parametrize("share", [0, 90])
@pytest.mark.parametrize("rounding", ["nearest", "floor"])
def test_errors_are_those_of_the_integer_softmax(rounding: str, share: int) -> None:
    spec, core, run, _ = run_of("error", error_rounding=rounding, mse_share_q=share)

    def rounded(x: float) -> int:
        if rounding == "floor":
            return math.floor(x)
        return int(math.copysign(math.floor(abs(x) + 0.5), x))

    for t, z in enumerate(run.probes["potential/1"]):
        codes = [math.floor(2**15 * math.exp(-min(255, math.floor((max(z) - one) * 16)) / 16) + 0.5) for one in z]
        for c, code in enumerate(codes):
            target = 32 * (c == 0)
            x = (code * 32 + sum(codes) // 2) // sum(codes) - target
            if share:
                x = rounded(((256 - share) * 3 * x + 2 * share * (rounded(z[c] * 32) - target)) / 768)
            assert run.probes["signal/1"][t, c] * 32 == max(-32, min(31, x))
        for i, psi in enumerate(run.probes["psi/0"][t]):
            total = float(core.weights[1][i] @ run.probes["signal/1"][t])
            d = max(-32, min(31, rounded(total * 32)))
            assert run.probes["d/0"][t, i] * 32 == d
            assert run.probes["signal/0"][t, i] * 32 == max(-32, min(31, rounded(d * psi)))
    assert spec.layers[0].frac_error == 5


@pytest.mark.parametrize("reset_path", ["detached", "exact"])
def test_carried_errors_leak_towards_zero_and_saturate(reset_path: str) -> None:
    _, _, run, _ = run_of("delta", reset_path=reset_path, delta_bits=6)
    delta = np.zeros(9)
    for t in range(6, -1, -1):
        psi = run.probes["psi/0"][t]
        carried = towards_zero(delta * 32 * 0.75)
        through = nearest(1.25 * psi * carried) if reset_path == "exact" else 0.0
        delta = snapped((carried - through + run.probes["d/0"][t] * psi * 32) / 32, 5, 6)
        np.testing.assert_allclose(run.probes["signal/0"][t], delta, rtol=0, atol=1e-12)
    assert np.abs(delta).max() > 0


@pytest.mark.parametrize("reset_path", ["detached", "exact"])
def test_both_errors_of_a_layer_with_a_current_leak_towards_zero_and_saturate(reset_path: str) -> None:
    """delta, the error of u, as above; epsilon, that of i and the signal, follows it."""
    _, _, run, _ = run_of("delta", currents=True, reset_path=reset_path, delta_bits=6)
    delta = epsilon = np.zeros(9)
    reached = []
    for t in range(6, -1, -1):
        psi = run.probes["psi/0"][t]
        carried = towards_zero(delta * 32 * 0.75)
        through = nearest(1.25 * psi * carried) if reset_path == "exact" else 0.0
        delta = snapped((carried - through + run.probes["d/0"][t] * psi * 32) / 32, 5, 6)
        epsilon = snapped(towards_zero(epsilon * 32 * 40000 / 65536) / 32 + delta, 5, 6)
        np.testing.assert_allclose(run.probes["signal/0"][t], epsilon, rtol=0, atol=1e-12)
        reached += [epsilon.min(), epsilon.max()]
    assert min(reached) == -1 or max(reached) == 31 / 32
    assert (epsilon != delta).any()


def test_gradients_add_up_rounded_products_and_saturate() -> None:
    spec, core, run, _ = run_of("gradient", gradient_bits=8)
    sums = np.zeros((13, 9))
    for trace, signal in zip(run.probes["trace/0"], run.probes["signal/0"], strict=True):
        sums = np.clip(sums + nearest(np.outer(np.append(trace, 1), signal) * 128), -128, 127)
    np.testing.assert_array_equal(core.gradients[0] * 128, sums)
    assert np.abs(sums).max() >= 127
    assert spec.layers[0].frac_gradient == 7


def random_numbers(spec: CoreSpec) -> Any:
    """The registers of layer 0 after every advance, in plain Python."""
    lanes = [int(x) for x in initial_registers(spec)[0]]
    while True:
        for q, x in enumerate(lanes):
            x ^= x << 13 & 0xFFFFFFFF
            x ^= x >> 17
            lanes[q] = x ^ x << 5 & 0xFFFFFFFF
        yield lanes


@pytest.mark.parametrize("rounding", ["stochastic", "nearest", "floor"])
def test_weights_are_rounded_at_every_apply(rounding: str) -> None:
    """G of the twin with weights on the grid, and W - rate G rounded word by word of four columns."""
    spec = small_spec("spike", "accumulate", weight_rounding=rounding, batch=1)
    data, _ = data_of(spec)
    core = core_of(spec, "weight")
    start = core.weights[0].copy()
    np.testing.assert_array_equal(start, snapped(core_of(spec).weights[0], 4, 6))
    gradient = core.gradient(data, 0)[0]
    core.run(data, [0], learn=True)
    rate, shift, draws = 11 * 2.0**-7, spec.apply_shift(0), random_numbers(spec)
    expected = np.zeros_like(start)
    for row in range(13):
        for first in range(0, 9, 4):
            columns = range(first, min(first + 4, 9))
            if rounding == "stochastic" and gradient[row, columns].any():
                lanes = next(draws)
            for j in columns:
                offset = {"nearest": 0.5, "floor": 0.0}.get(rounding)
                if offset is None:
                    low = lanes[j - first] % (1 << shift)
                    offset = (low << 32 - shift | lanes[j - first] >> shift) / 2**32
                code = math.floor((start[row, j] - rate * gradient[row, j]) * 16 + offset)
                expected[row, j] = max(-32, min(31, code)) / 16
    np.testing.assert_array_equal(core.weights[0], expected)
    assert (expected != start).any()


def test_stochastic_rounding_keeps_the_mean_of_real_updates() -> None:
    """The bits of a register behind those of the fixed core follow, so real numbers are not rounded down."""
    means = []
    for seed in range(40):
        spec = small_spec("spike", "accumulate", batch=1, rate_shift=2, seed=seed)
        data, _ = data_of(spec)
        core = core_of(spec, "weight")
        exact = core.weights[0] - 11 / 4 * core.gradient(data, 0)[0]
        core.run(data, [0], learn=True)
        inside = np.abs(exact) < 1.8
        means.append(float((core.weights[0] - exact)[inside].mean() * 16))
    assert spec.apply_shift(0) == 2  # with two random bits alone the mean would be -1/8
    assert abs(np.mean(means)) < 0.03
