"""Does the float twin train networks as a dense rewrite of docs/semantics.md does, for every rule and every update?

The rewrite turns each convolution into a matrix, written from its outputs, and each connection into a 0/1 matrix.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from neurochip.core.float_core import FloatCore
from neurochip.core.float_spec import FloatLayerSpec, FloatSpec
from neurochip.events import EventDataset
from neurochip.topology import Connection, ConvShape

N_STEPS, N_CLASSES = 7, 3


def places_of(layer: FloatLayerSpec) -> np.ndarray:
    """[n_in, n_out]: the place in the weights of the synapse from input to output, -1 where there is none."""
    if layer.conv is None:
        return np.arange(layer.n_in * layer.n_out).reshape(layer.n_in, layer.n_out)
    c = layer.conv
    places = np.full((c.height, c.width, c.channels, c.out_height, c.out_width, c.out_channels), -1)
    per_group, columns = c.channels // c.groups, c.out_channels // c.groups
    for out_y, out_x, out, local, k_y, k_x in np.ndindex(
        c.out_height, c.out_width, c.out_channels, per_group, c.kernel_height, c.kernel_width
    ):
        y, x = out_y * c.stride_y + k_y - c.padding_y, out_x * c.stride_x + k_x - c.padding_x
        channel = out // columns * per_group + local
        if 0 <= y < c.height and 0 <= x < c.width:
            row = (channel * c.kernel_height + k_y) * c.kernel_width + k_x
            places[y, x, channel, out_y, out_x, out] = row * columns + out % columns
    return places.reshape(layer.n_in, layer.n_out)


def bias_places_of(layer: FloatLayerSpec) -> np.ndarray:
    """[n_out]: the place in the weights of the bias of every output."""
    channels = layer.n_out if layer.conv is None else layer.conv.out_channels
    return layer.n_weight_rows * layer.columns + np.arange(layer.n_out) % channels


class Rewrite:
    """A network with dense matrices; `weights` are flat, per layer."""

    def __init__(self, spec: FloatSpec, weights: list[np.ndarray]) -> None:
        self.spec, self.layers = spec, spec.layers
        self.weights = [w.flatten() for w in weights]
        self.gradients = [0 * w for w in self.weights]
        self.velocities = [0 * w for w in self.weights]
        self.places = [places_of(layer) for layer in self.layers]
        self.paths = [[self.path(layer, c) for c in spec.connections(k)] for k, layer in enumerate(self.layers)]
        self.formed = 0

    def path(self, layer: FloatLayerSpec, connection: Connection) -> np.ndarray:
        """[inputs, sources] of a connection, scaled as its pool is."""
        matrix = np.zeros((layer.n_in, connection.n_source))
        for i in range(connection.n_source):
            address = connection.address(i)
            if address is not None:
                matrix[address, i] = layer.event_scale
        return matrix

    def matrix(self, k: int) -> np.ndarray:
        return np.where(self.places[k] >= 0, self.weights[k][self.places[k]], 0.0)

    def start(self) -> None:
        self.u = [np.zeros(layer.n_out) for layer in self.layers]
        self.i = [np.zeros(layer.n_out) for layer in self.layers]
        self.s = [np.zeros(layer.n_out) for layer in self.layers]
        self.f = [np.zeros(layer.n_in) for layer in self.layers]
        self.a = [np.zeros(layer.n_in) for layer in self.layers]
        self.formed = self.since_apply = 0

    def forward(self, frame: np.ndarray, label: int, step: int) -> dict[str, list[Any]]:
        """Run a step and return p, psi, u and the errors of the readouts."""
        before, self.s = self.s, [np.zeros(layer.n_out) for layer in self.layers]
        kept: dict[str, list[Any]] = {"p": [], "psi": [], "u": [], "e": []}
        for k, layer in enumerate(self.layers):
            x = np.zeros(layer.n_in)
            for path, c in zip(self.paths[k], self.spec.connections(k), strict=True):
                x += path @ (frame if c.source < 0 else (before if c.delay else self.s)[c.source])
            self.f[k] = layer.trace_leak * self.f[k] + x
            self.a[k] = self.f[k] if layer.trace_filter is None else layer.trace_filter * self.a[k] + self.f[k]
            # i of a layer without a synaptic current is what came in this step.
            self.i[k] = (layer.current_leak or 0.0) * self.i[k] + self.weights[k][bias_places_of(layer)]
            self.i[k] += x @ self.matrix(k)
            u = layer.state_leak * self.u[k] + self.i[k]
            psi = error = np.zeros(layer.n_out)
            self.u[k] = u
            if layer.is_hidden:
                self.s[k] = (u >= layer.threshold).astype(float)
                self.u[k] = u - layer.threshold * self.s[k]
                sigma = 1 / (1 + np.exp(-4 * (u - layer.threshold)))
                psi = 4 * sigma * (1 - sigma)
            elif layer.kind == "readout" and self.spec.has_loss(step):
                error = np.exp(u) / np.exp(u).sum() - np.eye(N_CLASSES)[label]
            uses_trace = layer.keeps_trace and self.spec.credit == "trace"
            for name, value in zip(kept, (self.a[k].copy() if uses_trace else x, psi, u, error), strict=True):
                kept[name].append(value)
        return kept

    def errors(self, kept: dict[str, list[Any]], deltas: list[Any], later: list[Any]) -> tuple[list[Any], list[Any]]:
        """The deltas, errors of u, and the signals, those of what events go into, of a step.

        Given are both of the step after it, 0 past the end of a window.
        """
        signals: list[Any] = [None] * len(self.layers)
        own: list[Any] = [None] * len(self.layers)

        def settle(k: int, error: np.ndarray) -> None:
            leak = self.layers[k].current_leak
            own[k] = error
            signals[k] = error if leak is None else error + leak * later[k]

        for k, layer in enumerate(self.layers):
            if layer.kind == "readout":
                settle(k, kept["e"][k] + layer.state_leak * deltas[k])
        for k, layer in enumerate(self.layers):
            if layer.kind == "feedback":
                own[k] = signals[k] = signals[layer.signal_of]
        for k in range(len(self.layers) - 1, -1, -1):
            layer = self.layers[k]
            if not layer.is_hidden:
                continue
            d = np.zeros(layer.n_out)
            for n in range(k, len(self.layers)):
                for path, c in zip(self.paths[n], self.spec.connections(n), strict=True):
                    if c.source == k and (c.delay or c.carries_error):
                        d += path.T @ (self.matrix(n) @ (later[k] if c.delay else signals[n]))
            exact = self.spec.reset_path == "exact"
            passed = 1 - layer.threshold * kept["psi"][k] if exact else 1.0
            settle(k, d * kept["psi"][k] + layer.state_leak * deltas[k] * passed)
        return own, signals

    def update(self, kept: dict[str, list[Any]], signals: list[np.ndarray], n_formed: int) -> None:
        for k, layer in enumerate(self.layers):
            if not layer.learns or layer.kind == "feedback":
                continue
            p = np.where(kept["p"][k] >= layer.trace_gate, kept["p"][k], 0)
            there = self.places[k] >= 0
            change = np.zeros(self.weights[k].size)
            np.add.at(change, self.places[k][there], np.outer(p, signals[k])[there])
            np.add.at(change, bias_places_of(layer), signals[k])
            if self.spec.update == "immediate":
                self.weights[k] -= self.spec.rate * change
            else:
                self.gradients[k] += change
        self.formed += 1
        if self.spec.apply_when == "deferred" and (self.formed % self.spec.apply_every == 0 or self.formed == n_formed):
            self.apply()

    def apply(self) -> None:
        for k in range(len(self.layers)):
            self.velocities[k] = self.spec.momentum * self.velocities[k] + self.gradients[k]
            self.weights[k] -= self.spec.rate * self.velocities[k]
            self.gradients[k][:] = 0
        self.since_apply = 0

    def sample(self, frames: np.ndarray, label: int) -> None:
        self.start()
        unroll, n_steps = self.spec.credit == "unroll", len(frames)
        window = self.spec.window_steps if unroll else 1
        n_losses = sum(self.spec.has_loss(step + 1) for step in range(n_steps))
        nothing = [np.zeros(layer.n_out) for layer in self.layers]
        for start in range(0, n_steps, window):
            end = min(n_steps, start + window)
            history = [self.forward(frames[step], label, step + 1) for step in range(start, end)]
            deltas = later = nothing
            for step in range(end - 1, start - 1, -1):
                if unroll or self.spec.has_loss(step + 1):
                    deltas, later = self.errors(history[step - start], deltas, later)
                    self.update(history[step - start], later, n_steps if unroll else n_losses)
            self.since_apply += end - start
            due = self.since_apply >= self.spec.apply_every or end == n_steps
            if unroll and self.spec.apply_when == "window" and due:
                self.apply()

    def train(self, frames: np.ndarray, labels: np.ndarray) -> None:
        for number, (sample, label) in enumerate(zip(frames, labels, strict=True), 1):
            self.sample(sample, label)
            whole = number % self.spec.batch == 0 or number == len(frames)
            if self.spec.update == "accumulate" and self.spec.apply_when == "sample" and whole:
                self.apply()


def conv_network() -> list[FloatLayerSpec]:
    """Groups and stride, an average pool that drops a row, a leaky readout behind a sum pool."""
    first = ConvShape(5, 6, 2, 4, 3, 3, 1, 1, 1, 1, groups=2)
    second = ConvShape(2, 3, 4, 6, 2, 2, 2, 1, 1, 0)
    return [
        FloatLayerSpec("conv", 60, 120, leak=0.75, conv=first, inputs=(Connection(-1, 2, 5, 6, channels_first=True),)),
        FloatLayerSpec("conv", 24, 24, conv=second, event_scale=0.25, inputs=(Connection(0, 4, 5, 6, 2, 2),)),
        FloatLayerSpec("readout", 6, 3, leak=0.875, inputs=(Connection(1, 6, 2, 2, 2, 2),)),
    ]


def recurrent_network() -> list[FloatLayerSpec]:
    """Two recurrent layers, the second adding the input of the network to its spikes from the first."""
    return [
        FloatLayerSpec("dense", 11, 5, inputs=(Connection(-1, 6), Connection(0, 5, delay=1, offset=6))),
        FloatLayerSpec(
            "dense", 10, 4, leak=0.75,
            inputs=(Connection(0, 5), Connection(-1, 6), Connection(1, 4, delay=1, offset=6)),
        ),
        FloatLayerSpec("readout", 9, 3, inputs=(Connection(1, 4), Connection(0, 5, offset=4))),
    ]  # fmt: skip


def local_network() -> list[FloatLayerSpec]:
    """Blocks of one layer, one head that learns and one that does not."""
    return [
        FloatLayerSpec("dense", 6, 5),
        FloatLayerSpec("dense", 5, 4, leak=0.75, inputs=(Connection(0, 5, carries_error=False),)),
        FloatLayerSpec("dense", 4, 5, inputs=(Connection(1, 4, carries_error=False),)),
        FloatLayerSpec("readout", 5, 3, inputs=(Connection(0, 5),)),
        FloatLayerSpec("readout", 4, 3, learns=False, leak=0.5, inputs=(Connection(1, 4),)),
        FloatLayerSpec("readout", 5, 3, inputs=(Connection(2, 5),)),
    ]


def feedback_network() -> list[FloatLayerSpec]:
    """Random feedback for the first layer, symmetric for the second, both recurrent."""
    first, second, last = recurrent_network()
    inputs = replace(second.inputs[0], carries_error=False), *second.inputs[1:]
    return [
        first,
        replace(second, inputs=inputs),
        FloatLayerSpec("feedback", 5, 3, bias=False, learns=False, signal_of=3, inputs=(Connection(0, 5),)),
        replace(last, leak=0.75, inputs=(last.inputs[0], replace(last.inputs[1], carries_error=False))),
    ]


def with_currents(layers: list[FloatLayerSpec]) -> list[FloatLayerSpec]:
    """Synaptic currents wherever they may be, but for the first layer of a network of four and more."""
    return [
        replace(layer, current_leak=0.5 + 0.1 * k if len(layers) == 3 or k > 0 else None)
        if layer.is_hidden or (layer.kind == "readout" and layer.state_leak > 0)
        else layer
        for k, layer in enumerate(layers)
    ]


MAKERS = conv_network, recurrent_network, local_network, feedback_network
NETWORKS = {maker.__name__.split("_")[0]: maker() for maker in MAKERS}
NETWORKS |= {f"{name}-currents": with_currents(layers) for name, layers in NETWORKS.items()}
RULES: dict[str, dict[str, Any]] = {
    "trace-immediate": {"credit": "trace", "update": "immediate"},
    "trace-filter": {"credit": "trace", "update": "immediate", "filter": 0.6, "loss_start": 3, "update_every": 2},
    "trace-gate-deferred": {"credit": "trace", "apply_when": "deferred", "apply_every": 3, "gate": 0.6},
    "trace-deferred-loss": {"credit": "trace", "apply_when": "deferred", "apply_every": 2, "update_every": 2},
    "spike-sample-momentum": {"credit": "spike", "batch": 2, "momentum": 0.75},
    "spike-deferred-momentum": {"credit": "spike", "apply_when": "deferred", "apply_every": 2, "momentum": 0.5},
    "unroll-immediate": {"credit": "unroll", "update": "immediate", "unroll_steps": 3},
    "unroll-exact": {"credit": "unroll", "batch": 3, "reset_path": "exact", "unroll_steps": 50},
    "unroll-deferred": {"credit": "unroll", "apply_when": "deferred", "apply_every": 4, "loss_start": 3},
    "unroll-window": {"credit": "unroll", "unroll_steps": 2, "apply_when": "window", "apply_every": 3, "momentum": 0.5},
    "unroll-window-of-one": {"credit": "unroll", "unroll_steps": 1, "apply_when": "window", "apply_every": 1},
}


def problem(network: str, rule: str) -> tuple[FloatSpec, list[np.ndarray], np.ndarray, np.ndarray]:
    """Return the specification, weights, frames [samples, T, inputs] and labels."""
    rng = np.random.default_rng(17)
    rate = 0.01 if network.endswith("currents") else 0.03  # gradients are larger there
    fields = {"update": "accumulate", "rate": rate, **RULES[rule]}
    filter_leak, gate = fields.pop("filter", None), fields.pop("gate", 0.0)
    layers = [
        replace(
            layer, keeps_trace=layer.kind != "readout" or layer.state_leak > 0, trace_leak=0.9 * layer.state_leak,
            trace_filter=filter_leak, trace_gate=gate * layer.event_scale,
        )
        for layer in NETWORKS[network]
    ]  # fmt: skip
    spec = FloatSpec(tuple(layers), N_STEPS, **fields)
    weights = []
    for layer in layers:
        rows = layer.n_weight_rows // (layer.conv.groups if layer.conv else 1)
        shape = layer.n_weight_rows + layer.n_bias_rows, layer.columns
        gain = (0.7 if layer.kind == "readout" else 1.8) * (1 - (layer.current_leak or 0.0)) ** 0.5
        weights.append(rng.normal(0.1, gain / np.sqrt(rows * layer.event_scale), shape))
        if not layer.bias:
            weights[-1][-1] = 0
    frames = rng.integers(1, 3, (5, N_STEPS, spec.n_inputs)) * (rng.random((5, N_STEPS, spec.n_inputs)) < 0.4)
    return spec, weights, frames, rng.integers(0, N_CLASSES, 5)


def dataset_of(frames: np.ndarray, labels: np.ndarray) -> EventDataset:
    rows, addresses = np.nonzero(frames.reshape(-1, frames.shape[-1]))
    offsets = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=frames.shape[0] * N_STEPS))])
    magnitudes = frames.reshape(-1, frames.shape[-1])[rows, addresses]
    return EventDataset(offsets, addresses, magnitudes, labels, frames.shape[-1], N_STEPS)


@pytest.mark.parametrize("rule", list(RULES))
@pytest.mark.parametrize("network", list(NETWORKS))
def test_training_equals_the_dense_rewrite(network: str, rule: str) -> None:
    spec, weights, frames, labels = problem(network, rule)
    core, rewrite = FloatCore(spec, weights), Rewrite(spec, weights)
    run = core.run(dataset_of(frames, labels), np.arange(5), learn=True)
    rewrite.train(frames, labels)
    hidden = [k for k, layer in enumerate(spec.layers) if layer.is_hidden]
    assert run.spikes_per_layer[hidden].min() > 5
    for layer, got, expected, start in zip(spec.layers, core.weights, rewrite.weights, weights, strict=True):
        np.testing.assert_allclose(got.flatten(), expected, rtol=0, atol=1e-9)
        moved = np.abs(got - start).max()
        assert moved > 1e-3 if layer.learns else moved == 0
