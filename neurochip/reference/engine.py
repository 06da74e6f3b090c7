"""The golden core behind the interface of the fast engine: `--engine reference` runs an experiment on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neurochip.activity import Activity, PassResult
from neurochip.reference.core import GoldenCore, GoldenSample
from neurochip.spec import CoreSpec

if TYPE_CHECKING:
    from neurochip.events import EventDataset


class ReferenceEngine:
    """Runs the golden core; slow and obvious. Arguments and results as for the fast engine."""

    def __init__(self, spec: CoreSpec, weights: Sequence[NDArray[Any]]) -> None:
        spec.check()
        self.spec = spec
        self._core = GoldenCore(spec, [np.asarray(layer).tolist() for layer in weights])

    @property
    def weights(self) -> list[NDArray[Any]]:
        """Weights per layer, [n_in + 1, n_out]."""
        dtype = np.int8 if self.spec.weight_bits <= 8 else np.int16
        return [np.array(layer, dtype=dtype) for layer in self._core.weights]

    @property
    def registers(self) -> NDArray[np.uint32]:
        """Random registers, [n_layers, rng_lanes]."""
        return np.array(self._core.registers, dtype=np.uint32)

    def restore(self, weights: Sequence[NDArray[Any]], registers: NDArray[np.uint32]) -> None:
        """Put back weights and random registers saved between epochs."""
        self._core = GoldenCore(self.spec, [np.asarray(layer).tolist() for layer in weights])
        self._core.memory.registers[:] = registers.tolist()

    def run(
        self,
        data: EventDataset,
        order: NDArray[np.integer[Any]],
        *,
        learn: bool,
        end_of_epoch: bool = True,
        probe: Sequence[int] = (),
    ) -> PassResult:
        """Run the samples `order` of `data`."""
        run = self._core.run([_sample(data, int(i)) for i in order], learn, end_of_epoch)
        activity = Activity(
            totals=np.array(run.activity, dtype=np.int64),
            n_samples=len(order),
            n_applies=run.n_applies,
            learning=learn and self.spec.credit != "none",
            synapse_lanes=self.spec.synapse_lanes,
            trace_lanes=self.spec.trace_lanes,
        )
        chosen = list(probe)
        probes = {name: np.array([values[i] for i in chosen], dtype=np.int32) for name, values in run.probes.items()}
        return PassResult(
            predictions=np.array(run.predictions, dtype=np.int32),
            readout_sums=np.array(run.readout_sums, dtype=np.int64),
            activity=activity,
            probes=probes if chosen else {},
        )


def _sample(data: EventDataset, index: int) -> GoldenSample:
    steps: list[list[tuple[int, int]]] = []
    for cell in range(index * data.n_steps, (index + 1) * data.n_steps):
        part = slice(int(data.step_offsets[cell]), int(data.step_offsets[cell + 1]))
        steps.append(list(zip(data.addresses[part].tolist(), data.magnitudes[part].tolist(), strict=True)))
    return GoldenSample(steps, int(data.labels[index]))
