"""SpikingJelly's online training through time on the network and the events of the benchmark."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurochip.setup import Setup

TAU = 2.0  # the factor 1 - 1/tau of SpikingJelly is the leak 1 - 2^-1 of the benchmark


def dense_frames(setup: Setup, samples: NDArray[np.int64]) -> NDArray[np.float32]:
    """The events of the samples as frames of 0 and 1, [n_samples, n_steps, n_inputs]."""
    data = setup.task.train
    frames = np.zeros((len(samples), data.n_steps, data.n_inputs), dtype=np.float32)
    for position, sample in enumerate(samples):
        for step in range(data.n_steps):
            cell = int(sample) * data.n_steps + step
            frames[position, step, data.addresses[data.step_offsets[cell] : data.step_offsets[cell + 1]]] = 1
    return frames


def with_input_trace(network: Any) -> Any:
    """Wrap a network: its first layer gets [x, trace of x], so that it learns from the trace like every other layer."""
    import torch

    class WithInputTrace(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network
            self.input_trace: Any = 0.0

        def reset(self) -> None:
            self.input_trace = 0.0

        def forward(self, x: Any) -> Any:
            self.input_trace = self.input_trace * (1.0 - 1.0 / TAU) + x
            return self.network([x, self.input_trace])

    return WithInputTrace()


class SpikingJellyTrainer:
    """The same layer sizes and leak, threshold 1, soft reset, SGD and cross-entropy at every step, one thread."""

    def __init__(self, setup: Setup, samples: NDArray[np.int64]) -> None:
        import torch
        from spikingjelly.activation_based import layer, neuron

        torch.set_num_threads(1)
        torch.manual_seed(0)
        hidden, readout = setup.shapes
        labels = torch.from_numpy(setup.task.train.labels[samples].astype(np.int64))
        self.frames = torch.from_numpy(dense_frames(setup, samples))
        self.targets = labels[:, None].expand(-1, self.frames.shape[1]).contiguous()
        lif = neuron.OTTTLIFNode(tau=TAU, decay_input=False, v_threshold=1.0, v_reset=None)
        self.network = with_input_trace(
            layer.OTTTSequential(
                torch.nn.Linear(hidden.n_in, hidden.n_out), lif, torch.nn.Linear(readout.n_in, readout.n_out)
            )
        )
        rate = setup.resolved.learning.rates["ottt-o"] / self.frames.shape[1]
        self.optimizer = torch.optim.SGD(self.network.parameters(), lr=rate)

    def time_pass(self) -> float:
        """Learn all samples one by one, a step of the optimizer after every time step; returns samples per second."""
        from spikingjelly.activation_based import functional
        from spikingjelly.activation_based.learning import online_learning
        from torch.nn.functional import cross_entropy

        start = time.process_time()
        for index in range(len(self.frames)):
            functional.reset_net(self.network)
            online_learning.ottt_online_training(
                model=self.network,
                optimizer=self.optimizer,
                x_seq=self.frames[index : index + 1],
                target_seq=self.targets[index : index + 1],
                f_loss_t=cross_entropy,
                online=True,
            )
        return len(self.frames) / (time.process_time() - start)
