"""Does the fast core integrate synaptic currents, and carry errors back through them, as docs/semantics.md says?

A walker of a few lines of numpy per formula goes along with the core: two hidden layers, the first of them recurrent,
and a leaky readout, all with currents. It takes spikes, codes psi and the error d from the probes, so that every
formula is checked by itself.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from neurochip.activity import PassResult
from neurochip.core.engine import Engine
from neurochip.events import EventDataset
from neurochip.spec import CoreSpec, LayerSpec
from neurochip.topology import Connection

Array = NDArray[np.int64]
N_STEPS, N_INPUTS = 9, 7
LEAKS = (("shift", 2), ("constant", 50000), ("shift", 1))
CURRENT_LEAKS = (("constant", 40000), ("shift", 1), ("shift", 2))


def make_layer(index: int, kind: str, n_in: int, n_out: int, keeps: bool, **more: Any) -> LayerSpec:
    (leak, current) = (LEAKS[index], CURRENT_LEAKS[index])
    return LayerSpec(
        kind=kind, n_in=n_in, n_out=n_out, bias=index != 1, leak_kind=leak[0], leak_value=leak[1],
        threshold_q=0 if kind == "readout" else 64, reset="subtract", keeps_trace=keeps, trace_leak_kind=current[0],
        trace_leak_value=current[1], frac_weight=5, frac_potential=6, frac_trace=5, frac_error=6,
        frac_gradient=9 if keeps else 5, filter_leak_kind=leak[0], filter_leak_value=leak[1],
        current_leak_kind=current[0], current_leak_value=current[1], **more,
    )  # fmt: skip


def make_spec(credit: str, **changes: Any) -> CoreSpec:
    keeps = credit == "trace"
    inputs = (Connection(-1, N_INPUTS), Connection(0, 18, delay=1, offset=N_INPUTS))
    layers = (
        make_layer(0, "dense", N_INPUTS + 18, 18, keeps, inputs=inputs),
        make_layer(1, "dense", 18, 17, keeps),
        make_layer(2, "readout", 17, 3, keeps),
    )
    spec = CoreSpec(
        layers=layers, n_steps=N_STEPS, event_bits=2, weight_bits=8, weight_rounding="nearest", membrane_bits=10,
        trace_bits=6, trace_gate=0, error_bits=8, error_rounding="nearest", delta_bits=8, surrogate_bits=4,
        surrogate="triangle", gradient_bits=24, readout_bits=8, credit=credit, update="accumulate", batch=9,
        rate_multiplier=11, rate_shift=9, mse_share_q=0, deliver="synapse", reset_path="detached", rng_lanes=16,
        seed=7, synapse_lanes=16, trace_lanes=4,
    )  # fmt: skip
    return dataclasses.replace(spec, **changes)


def make_weights(spec: CoreSpec) -> list[Array]:
    rng = np.random.default_rng(3)
    weights = []
    for layer in spec.layers:
        rows = rng.integers(-24, 30, size=(layer.n_weight_rows + layer.n_bias_rows, layer.columns))
        rows[layer.n_weight_rows :] *= layer.bias
        weights.append(rows)
    return weights


def make_data(event_bits: int = 2) -> EventDataset:
    rng = np.random.default_rng(5)
    hits = rng.random((2 * N_STEPS, N_INPUTS)) < 0.5
    return EventDataset(
        step_offsets=np.cumsum([0, *hits.sum(axis=1)]).astype(np.int64),
        addresses=np.nonzero(hits)[1].astype(np.int32),
        magnitudes=rng.integers(1, 1 << event_bits, hits.sum()).astype(np.int32),
        labels=np.array([2, 0], np.int32),
        n_inputs=N_INPUTS,
        n_steps=N_STEPS,
    )


def leak(x: Array, kind: str, value: int) -> Array:
    m = np.abs(x)
    kept: Array = np.sign(x) * ((m * value) >> 16 if kind == "constant" else m - ((m + (1 << value) - 1) >> value))
    return kept


def nearest(x: Array, shift: int) -> Array:
    rounded: Array = np.sign(x) * ((np.abs(x) + (1 << shift >> 1)) >> shift)
    return rounded


class Walker:
    """One sample of a run, sample 0 of its probes, step by step; counts saturations by signal and layer."""

    def __init__(self, spec: CoreSpec, weights: list[Array], result: PassResult, data: EventDataset) -> None:
        self.spec, self.weights, self.result = spec, weights, result
        self.saturations = {name: np.zeros(3, np.int64) for name in ("membrane", "delta", "trace")}
        self.input = np.zeros((N_STEPS, N_INPUTS), np.int64)
        for t in range(N_STEPS):
            first, last = data.step_offsets[t], data.step_offsets[t + 1]
            self.input[t, data.addresses[first:last]] = data.magnitudes[first:last]

    def probe(self, name: str, index: int) -> Array:
        return np.array(self.result.probes[f"{name}/{index}"][0], np.int64)

    def counted(self, field: str) -> Array:
        return np.array(self.result.activity.per_layer(field))

    def sat(self, x: Array, bits: int, signal: str, index: int) -> Array:
        low, high = (0, (1 << bits) - 1) if signal == "trace" else (-(1 << (bits - 1)), (1 << (bits - 1)) - 1)
        self.saturations[signal][index] += np.count_nonzero((x < low) | (x > high))
        return np.clip(x, low, high)

    def events(self, index: int) -> Array:
        """m of every input address in every step."""
        if index > 0:
            return self.probe("spike", index - 1)
        own = np.vstack([np.zeros((1, 18), np.int64), self.probe("spike", 0)[:-1]])
        return np.hstack([self.input, own])

    def integrate(self, index: int) -> tuple[Array, Array]:
        """i and u (z) of all steps, u after reset from the spikes of the probes."""
        layer, rows = self.spec.layers[index], self.weights[index]
        bits = self.spec.membrane_bits if layer.is_hidden else self.spec.readout_bits
        wide = self.spec.deliver == "neuron" and layer.is_hidden
        i, u = np.zeros(layer.n_out, np.int64), np.zeros(layer.n_out, np.int64)
        currents, potentials = [], []
        for t, m in enumerate(self.events(index)):
            i = leak(i, layer.current_leak_kind, layer.current_leak_value)
            terms = [rows[-1], *(rows[k] * m[k] for k in np.flatnonzero(m))]
            for term in [sum(terms)] if wide else terms:
                i = self.sat(i + (term << layer.deliver_shift), bits, "membrane", index)
            u = self.sat(leak(u, layer.leak_kind, layer.leak_value) + i, bits, "membrane", index)
            currents.append(i)
            potentials.append(u)
            if layer.is_hidden:
                u = u - layer.threshold_q * self.probe("spike", index)[t]
        return np.array(currents), np.array(potentials)

    def traces(self, index: int) -> Array:
        layer = self.spec.layers[index]
        f = a = np.zeros(layer.n_in, np.int64)
        kept = []
        for m in self.events(index):
            f = leak(f, layer.trace_leak_kind, layer.trace_leak_value) + (m << layer.trace_shift)
            f = self.sat(f, self.spec.trace_bits, "trace", index)
            a = self.sat(
                leak(a, layer.filter_leak_kind, layer.filter_leak_value) + f, self.spec.trace_bits, "trace", index
            )
            kept.append(a)
        return np.array(kept)

    def readout_error(self, t: int) -> Array:
        frac, layer = self.spec.layers[2].frac_error, self.spec.layers[2]
        z = self.probe("potential", 2)[t]
        k = np.minimum(255, (z.max() - z) >> (layer.frac_potential - 4))
        powers = np.floor(2.0**15 * np.exp(-k / 16.0) + 0.5).astype(np.int64)
        e = ((powers << frac) + powers.sum() // 2) // powers.sum() - (np.arange(3) == 2) * (1 << frac)
        return np.array(np.clip(e, -128, 127))

    def backward(self, window: int) -> list[Array]:
        """epsilon of every layer in all steps, and d as it follows from those of the layers above."""
        signals = [np.zeros((N_STEPS, layer.n_out), np.int64) for layer in self.spec.layers]
        delta = [np.zeros(layer.n_out, np.int64) for layer in self.spec.layers]
        for t in range(N_STEPS - 1, -1, -1):
            ends = t == N_STEPS - 1 or (t + 1) % window == 0
            for index in (2, 1, 0):
                layer, bits = self.spec.layers[index], self.spec.delta_bits
                after = np.zeros(layer.n_out, np.int64) if ends else signals[index][t + 1]
                v = leak(delta[index] * (not ends), layer.leak_kind, layer.leak_value)
                g = self.readout_error(t) if index == 2 else self.hidden_error(index, t, signals[index + 1][t], after)
                reset = np.zeros_like(v)
                if self.spec.reset_path == "exact" and index < 2:
                    psi = self.probe("psi", index)[t]
                    reset = nearest(layer.threshold_q * psi * v, self.spec.surrogate_bits + layer.frac_potential)
                delta[index] = self.sat(v - reset + g, bits, "delta", index)
                carried = leak(after, layer.current_leak_kind, layer.current_leak_value)
                signals[index][t] = self.sat(carried + delta[index], bits, "delta", index)
        return signals

    def hidden_error(self, index: int, t: int, above: Array, after: Array) -> Array:
        """g from the epsilon of the layer above, and of the recurrent one in the step after."""
        layer, up = self.spec.layers[index], self.spec.layers[index + 1]
        shift = up.frac_weight + up.frac_error - layer.frac_error
        total = nearest(self.weights[index + 1][: layer.n_out] @ above, shift)
        if index == 0:
            total = total + nearest(self.weights[0][N_INPUTS : N_INPUTS + 18] @ after, layer.frac_weight)
        psi = self.probe("psi", index)[t]
        d = np.where(psi == 0, 0, np.clip(total, -128, 127))
        assert (d == self.probe("d", index)[t]).all()
        return np.clip(nearest(d * psi, self.spec.surrogate_bits), -128, 127)


def run(spec: CoreSpec, **options: Any) -> tuple[Engine, Walker]:
    data, weights = make_data(spec.event_bits), make_weights(spec)
    engine = Engine(spec, weights)
    result = engine.run(data, np.array([0]), probe=[0], end_of_epoch=False, **options)
    return engine, Walker(spec, weights, result, data)


def assert_forward(walker: Walker) -> None:
    for index, layer in enumerate(walker.spec.layers):
        currents, potentials = walker.integrate(index)
        assert (walker.probe("current", index) == currents).all(), index
        assert (walker.probe("potential", index) == potentials).all(), index
        assert currents.any() and (currents != potentials).any()
        if layer.is_hidden:
            spikes = walker.probe("spike", index)
            assert ((potentials >= layer.threshold_q) == spikes).all() and 0 < spikes.sum() < spikes.size
    counted = walker.counted("sat_membrane") + walker.counted("sat_readout")
    assert (counted == walker.saturations["membrane"]).all() and counted.all()


@pytest.mark.parametrize("deliver", ["synapse", "neuron"])
@pytest.mark.parametrize("event_bits", [1, 2])
def test_events_go_into_the_current_and_the_current_into_the_potential(deliver: str, event_bits: int) -> None:
    _, walker = run(make_spec("none", update="none", batch=1, deliver=deliver, event_bits=event_bits), learn=False)
    assert_forward(walker)


def test_the_current_starts_every_sample_at_zero() -> None:
    data, spec = make_data(), make_spec("none", update="none", batch=1)
    engine = Engine(spec, make_weights(spec))
    both = engine.run(data, np.array([1, 0]), learn=False, probe=[1])
    alone = engine.run(data, np.array([0]), learn=False, probe=[0])
    assert (both.probes["current/0"] == alone.probes["current/0"]).all()


def test_traces_follow_both_leaks() -> None:
    _, walker = run(make_spec("trace"), learn=True)
    assert_forward(walker)
    for index in range(3):
        assert (walker.probe("trace", index) == walker.traces(index)).all()
    counted = walker.counted("sat_trace")
    assert (counted == walker.saturations["trace"]).all() and counted.any()


@pytest.mark.parametrize("window", [1, 4, N_STEPS])
@pytest.mark.parametrize("reset_path", ["detached", "exact"])
def test_the_error_of_the_current_is_the_signal_under_unroll(window: int, reset_path: str) -> None:
    spec = make_spec("unroll", unroll_steps=window, reset_path=reset_path)
    engine, walker = run(spec, learn=True)
    assert_forward(walker)
    signals = walker.backward(window)
    for index, layer in enumerate(spec.layers):
        assert (walker.probe("signal", index) == signals[index]).all(), index
        terms = walker.events(index)[:, :, None] * signals[index][:, None, :]
        gradient = nearest(terms, spec.gradient_shift(index)).sum(axis=0)
        assert (engine.gradients[index][: layer.n_in] == gradient).all() and gradient.any()
        if layer.bias:
            bias = nearest(signals[index], spec.gradient_shift(index)).sum(axis=0)
            assert (engine.gradients[index][-1] == bias).all()
    counted = walker.counted("sat_delta")
    assert (counted == walker.saturations["delta"]).all() and (window == 1 or counted.all())
