"""The workload of the benchmark of convolutions: conv-dvs on random events, and SpikingJelly's OTTT on the same."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from bench_spikingjelly_peer import TAU, with_input_trace
from numpy.typing import NDArray

from neurochip.activity import Activity
from neurochip.config import load_experiment
from neurochip.core.engine import Engine
from neurochip.events import EventDataset
from neurochip.network.calibrate import integer_weights, prepare
from neurochip.network.resolve import Lanes, core_spec
from neurochip.network.shape import layer_shapes
from neurochip.rules.presets import find_rule

CHANNELS, SIDE, STEPS, RATE, CLASSES, BATCH = 2, 32, 10, 0.03, 10, 64
LAYERS: list[dict[str, Any]] = [
    {"kind": "conv2d", "channels": 32, "kernel": 3, "padding": 1, "bias": False},
    {"kind": "avgpool", "kernel": 2},
    {"kind": "conv2d", "channels": 64, "kernel": 3, "padding": 1, "bias": False},
    {"kind": "avgpool", "kernel": 2},
    {"kind": "readout", "bias": False},
]


def random_events() -> NDArray[np.float32]:
    """Frames of 0 and 1, [samples, steps, channels, y, x]."""
    drawn = np.random.default_rng(1234).random((BATCH, STEPS, CHANNELS, SIDE, SIDE))
    return (drawn < RATE).astype(np.float32)


def dataset(frames: NDArray[np.float32]) -> EventDataset:
    """The same as lists of events."""
    cells = frames.reshape(BATCH * STEPS, -1)
    offsets = np.concatenate([[0], np.cumsum(cells.sum(axis=1, dtype=np.int64))])
    addresses = np.nonzero(cells)[1].astype(np.int32)
    return EventDataset(offsets, addresses, np.ones_like(addresses), labels(), cells.shape[1], STEPS)


def labels() -> NDArray[np.int32]:
    """A class for every sample."""
    return np.random.default_rng(5).integers(0, CLASSES, BATCH).astype(np.int32)


class Learner:
    """The fast core with `ottt-o` in 8 bits, activity counted as always; every pass starts from the same state."""

    def __init__(self, data: EventDataset) -> None:
        tables = {
            "network": {"layers": LAYERS, "input_shape": [CHANNELS, SIDE, SIDE], "init_gain": 0.6},
            "task": {"steps": STEPS},
            "learning": {"learning_rate": 0.01},
        }
        experiment, rule = load_experiment(None, tables=tables), find_rule("ottt-o")
        shapes = layer_shapes(experiment, data.n_inputs, CLASSES)
        prepared = prepare(experiment, shapes, data, [rule])
        spec = core_spec(experiment, rule, shapes, prepared.fracs, Lanes(16, 8))
        self.data, self.real_weights = data, list(prepared.weights)
        self._core = Engine(spec, integer_weights(spec, prepared.weights))
        self._start = self._core.weights, self._core.registers

    def time_pass(self) -> tuple[float, Activity]:
        """Learn every sample once; returns samples per second of processor time, and what happened."""
        self._core.restore(*self._start)
        start = time.process_time()
        result = self._core.run(self.data, np.arange(self.data.n_samples), learn=True)
        return self.data.n_samples / (time.process_time() - start), result.activity


class Peer:
    """SpikingJelly's OTTT, all samples as one batch, a step of the optimizer after every time step, one thread."""

    def __init__(self, frames: NDArray[np.float32], weights: list[NDArray[Any]]) -> None:
        import torch
        from spikingjelly.activation_based import layer, neuron

        torch.set_num_threads(1)
        self.frames = torch.from_numpy(frames)
        self.targets = torch.from_numpy(labels().astype(np.int64))[:, None].expand(-1, STEPS).contiguous()

        def lif() -> Any:
            return neuron.OTTTLIFNode(tau=TAU, decay_input=False, v_threshold=1.0, v_reset=None)

        first = torch.nn.Conv2d(CHANNELS, 32, 3, padding=1, bias=False)
        second = torch.nn.Conv2d(32, 64, 3, padding=1, bias=False)
        readout = torch.nn.Linear(64 * (SIDE // 4) ** 2, CLASSES, bias=False)
        pools = torch.nn.AvgPool2d(2), torch.nn.AvgPool2d(2)
        with torch.no_grad():
            for module, rows, channels in ((first, weights[0], CHANNELS), (second, weights[1], 32)):
                kernel = torch.from_numpy(rows[: channels * 9].astype(np.float32))
                module.weight.copy_(kernel.reshape(channels, 3, 3, -1).permute(3, 0, 1, 2))
        self.network = with_input_trace(
            layer.OTTTSequential(first, lif(), pools[0], second, lif(), pools[1], torch.nn.Flatten(), readout)
        )
        self.optimizer = torch.optim.SGD(self.network.parameters(), lr=0.01 / STEPS)

    def time_pass(self) -> float:
        """Learn the batch once; returns samples per second of processor time."""
        from spikingjelly.activation_based import functional
        from spikingjelly.activation_based.learning import online_learning
        from torch.nn.functional import cross_entropy

        functional.reset_net(self.network)
        start = time.process_time()
        online_learning.ottt_online_training(
            model=self.network,
            optimizer=self.optimizer,
            x_seq=self.frames,
            target_seq=self.targets,
            f_loss_t=cross_entropy,
            online=True,
        )
        return len(self.frames) / (time.process_time() - start)
