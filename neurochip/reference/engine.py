"""The reference models behind the interface of the fast engine: `--engine reference` runs an experiment on them.

The golden core says what happens. Beside it the tick model goes through every clock of the same samples out of its own
memories; whatever it ends with must be what the golden core ended with.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neurochip.activity import Activity, PassResult
from neurochip.clocked import Clocked
from neurochip.reference.clocks import TickModel, clock_of
from neurochip.reference.core import GoldenCore, GoldenRun, GoldenSample
from neurochip.spec import CoreSpec

if TYPE_CHECKING:
    from neurochip.events import EventDataset


class ReferenceEngine:
    """Runs the golden core, and beside it the tick model of the chip, if one is given that has one; slow and obvious.

    Arguments and results as for the fast engine, and in `PassResult.clocked` what the tick model counted.
    """

    def __init__(
        self,
        spec: CoreSpec,
        weights: Sequence[NDArray[Any]],
        chip: Any = None,
        gates: Any = None,
    ) -> None:
        spec.check()
        self.spec, self._chip, self._gates = spec, chip, gates
        self._load(weights)

    def _load(self, weights: Sequence[NDArray[Any]]) -> None:
        lists = [np.asarray(layer).tolist() for layer in weights]
        self._core = GoldenCore(self.spec, lists)
        make = None if self._chip is None else clock_of(self._chip.microarchitecture)
        self._clock: TickModel | None = None
        if make is not None:
            self._clock = make(self.spec, lists, self._chip, self._gates)

    @property
    def weights(self) -> list[NDArray[Any]]:
        """Weights per layer, [rows and bias rows, columns]."""
        dtype = np.int8 if self.spec.weight_bits <= 8 else np.int16
        return [np.array(layer, dtype=dtype) for layer in self._core.weights]

    @property
    def registers(self) -> NDArray[np.uint32]:
        """Random registers, [n_layers, rng_lanes]."""
        return np.array(self._core.registers, dtype=np.uint32)

    @property
    def velocities(self) -> list[NDArray[Any]]:
        """Velocities per layer, empty without momentum."""
        if self.spec.momentum_shift == 0:
            return []
        return [np.array(layer, dtype=np.int32) for layer in self._core.velocities]

    def restore(
        self,
        weights: Sequence[NDArray[Any]],
        registers: NDArray[np.uint32],
        velocities: Sequence[NDArray[Any]] = (),
    ) -> None:
        """Put back weights, random registers and, with momentum, velocities saved between epochs."""
        self._load(weights)
        self._core.memory.registers[:] = registers.tolist()
        kept = [np.asarray(layer).tolist() for layer in velocities]
        if kept:
            self._core.set_velocities(kept)
        if self._clock is not None:
            self._clock.set_registers(registers.tolist())
            if kept:
                self._clock.set_velocities(kept)

    def run(
        self,
        data: EventDataset,
        order: NDArray[np.integer[Any]],
        *,
        learn: bool,
        end_of_epoch: bool = True,
        probe: Sequence[int] = (),
    ) -> PassResult:
        """Run the samples `order` of `data`.

        Raises:
            RuntimeError: the two models differ, which is a fault of this program.
        """
        samples = [golden_sample(data, int(i)) for i in order]
        run = self._core.run(samples, learn, end_of_epoch)
        clocked = self._clocked(samples, learn, end_of_epoch, run)
        activity = Activity(
            totals=np.array(run.activity, dtype=np.int64),
            n_samples=len(order),
            n_applies=run.n_applies,
            learning=learn and self.spec.credit != "none",
            synapse_lanes=self.spec.synapse_lanes,
            trace_lanes=self.spec.trace_lanes,
            n_standardisations=run.n_standardisations,
        )
        chosen = list(probe)
        probes = {name: np.array([values[i] for i in chosen], dtype=np.int32) for name, values in run.probes.items()}
        return PassResult(
            predictions=np.array(run.predictions, dtype=np.int32),
            readout_sums=np.array(run.readout_sums, dtype=np.int64),
            activity=activity,
            probes=probes if chosen else {},
            clocked=clocked,
        )

    def _clocked(
        self, samples: Sequence[GoldenSample], learn: bool, end_of_epoch: bool, golden: GoldenRun
    ) -> Clocked | None:
        """Run the same samples on the tick model and hold what it ends with against the golden core."""
        if self._clock is None:
            return None
        run = self._clock.run(samples, learn, end_of_epoch)
        ends = {
            "predictions": (run.predictions, golden.predictions),
            "readout sums": (run.readout_sums, golden.readout_sums),
            "weights": (self._clock.weights, self._core.weights),
            "gradients": (self._clock.gradients, self._core.gradients),
            "random registers": (self._clock.registers, self._core.registers),
        }
        for name, (ticked, expected) in ends.items():
            if ticked != expected:
                raise RuntimeError(f"the tick model ended with other {name} than the golden core")
        return Clocked(run.ticks_by_phase, run.stalls, run.accesses)


def golden_sample(data: EventDataset, index: int) -> GoldenSample:
    """One sample of a split as the reference models take it."""
    steps: list[list[tuple[int, int]]] = []
    for cell in range(index * data.n_steps, (index + 1) * data.n_steps):
        part = slice(int(data.step_offsets[cell]), int(data.step_offsets[cell + 1]))
        steps.append(list(zip(data.addresses[part].tolist(), data.magnitudes[part].tolist(), strict=True)))
    return GoldenSample(steps, int(data.labels[index]))
