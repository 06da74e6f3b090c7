"""The fast integer core: one jitted call runs a pass over samples, with the time and layer loops inside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neurochip.activity import N_FIELDS, Activity, PassResult
from neurochip.core import layout as lay
from neurochip.core.pass_kernel import run_pass
from neurochip.core.state import Events, Output, Probes, new_history, new_scratch, new_state
from neurochip.spec import CoreSpec

if TYPE_CHECKING:
    from neurochip.events import EventDataset


class Engine:
    """A core with its state: weights, gradients and random registers persist from pass to pass.

    Args:
        spec: the resolved integers (checked here).
        weights: per layer an integer array [n_in + 1, n_out], bias in the last row.
    """

    def __init__(self, spec: CoreSpec, weights: Sequence[NDArray[Any]]) -> None:
        spec.check()
        self.spec = spec
        self.layout = lay.build_layout(spec)
        self._state = new_state(spec, self.layout)
        self._history = new_history(self.layout)
        self._scratch = new_scratch(self.layout)
        for index, values in enumerate(weights):
            self._rows(self._state.weights, index)[:, : spec.layers[index].n_out] = values

    def _rows(self, flat: NDArray[Any], index: int) -> NDArray[Any]:
        row = self.layout.layers[index]
        at, stride, n_rows = int(row[lay.WEIGHT_AT]), int(row[lay.STRIDE]), int(row[lay.N_IN]) + 1
        return flat[at : at + n_rows * stride].reshape(n_rows, stride)

    def _unpadded(self, flat: NDArray[Any]) -> list[NDArray[Any]]:
        return [self._rows(flat, index)[:, : layer.n_out].copy() for index, layer in enumerate(self.spec.layers)]

    @property
    def weights(self) -> list[NDArray[Any]]:
        """Copies of the weights, per layer [n_in + 1, n_out], int8 or int16."""
        return self._unpadded(self._state.weights)

    @property
    def gradients(self) -> list[NDArray[Any]]:
        """Copies of the accumulated gradients, per layer (empty unless the rule accumulates)."""
        return self._unpadded(self._state.gradients) if self._state.gradients.size else []

    @property
    def registers(self) -> NDArray[np.uint32]:
        """Copy of the random registers, [n_layers, rng_lanes]."""
        return self._state.registers.copy()

    def restore(self, weights: Sequence[NDArray[Any]], registers: NDArray[np.uint32]) -> None:
        """Put back weights and random registers saved between epochs."""
        for index, values in enumerate(weights):
            self._rows(self._state.weights, index)[:, : self.spec.layers[index].n_out] = values
        self._state.registers[:] = registers

    def run(
        self,
        data: EventDataset,
        order: NDArray[np.integer[Any]],
        *,
        learn: bool,
        end_of_epoch: bool = True,
        probe: Sequence[int] = (),
    ) -> PassResult:
        """Run the samples `order` of `data`; `probe` lists positions in `order` whose intermediates are kept."""
        spec = self.spec
        learn = learn and spec.credit != "none"
        order = np.ascontiguousarray(order, dtype=np.int64)
        probes = self._new_probes(len(order), probe)
        output = Output(
            totals=np.zeros((spec.n_steps + 1, len(spec.layers), N_FIELDS), dtype=np.int64),
            predictions=np.zeros(len(order), dtype=np.int32),
            readout_sums=np.zeros((len(order), spec.layers[-1].n_out), dtype=np.int64),
            n_applies=np.zeros(1, dtype=np.int64),
        )
        events = Events(data.step_offsets, data.addresses, data.magnitudes, data.labels)
        run_pass(
            order, events, self.layout, self._state, self._history, self._scratch, probes, output, learn, end_of_epoch
        )
        activity = Activity(
            totals=output.totals,
            n_samples=len(order),
            n_applies=int(output.n_applies[0]),
            learning=learn,
            synapse_lanes=spec.synapse_lanes,
            trace_lanes=spec.trace_lanes,
        )
        return PassResult(output.predictions, output.readout_sums, activity, self._named_probes(probes, learn))

    def _new_probes(self, n_samples: int, probe: Sequence[int]) -> Probes:
        slot_of = np.full(n_samples, -1, dtype=np.int64)
        slot_of[list(probe)] = np.arange(len(probe))
        rows = len(probe) * self.spec.n_steps
        total_in = int(self.layout.constants[lay.TOTAL_IN])
        total_out = int(self.layout.constants[lay.TOTAL_OUT])
        outputs = [np.zeros((rows, total_out), dtype=np.int32) for _ in range(5)]
        return Probes(
            slot_of, outputs[0], outputs[1], outputs[2], np.zeros((rows, total_in), dtype=np.int32), *outputs[3:]
        )

    def _named_probes(self, probes: Probes, learn: bool) -> dict[str, NDArray[np.int32]]:
        steps = self.spec.n_steps
        named: dict[str, NDArray[np.int32]] = {}
        if len(probes.potential) == 0:
            return named
        last = len(self.spec.layers) - 1
        for index, layer in enumerate(self.spec.layers):
            row = self.layout.layers[index]
            out = slice(int(row[lay.OUTPUT_AT]), int(row[lay.OUTPUT_AT]) + layer.n_out)
            inp = slice(int(row[lay.INPUT_AT]), int(row[lay.INPUT_AT]) + layer.n_in)
            keep: dict[str, NDArray[np.int32]] = {"potential": probes.potential[:, out]}
            if index < last:
                keep["spike"] = probes.spike[:, out]
            if learn:
                keep["signal"] = probes.signal[:, out]
                if index < last:
                    keep |= {"psi": probes.psi[:, out], "d": probes.error[:, out]}
                if layer.keeps_trace and self.spec.credit == "trace":
                    keep["trace"] = probes.trace[:, inp]
            for name, values in keep.items():
                named[f"{name}/{index}"] = values.reshape(-1, steps, values.shape[1])
        return named
