"""The fast integer core: one jitted call runs a pass over samples, with the time and layer loops inside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neurochip.activity import N_FIELDS, Activity, PassResult
from neurochip.core import columns as col
from neurochip.core.layout import build_layout
from neurochip.core.pass_kernel import run_pass
from neurochip.core.routes import network_inputs
from neurochip.core.state import Events, Output, Probes, has_currents, new_history, new_scratch, new_state
from neurochip.errors import UserError
from neurochip.spec import CoreSpec

if TYPE_CHECKING:
    from neurochip.events import EventDataset


class Engine:
    """A core with its state: weights, gradients, velocities and random registers persist from pass to pass.

    Args:
        spec: the resolved integers (checked here).
        weights: per layer an integer array [n_weight_rows + n_bias_rows, columns], bias rows last.
    """

    def __init__(self, spec: CoreSpec, weights: Sequence[NDArray[Any]]) -> None:
        spec.check()
        self.spec = spec
        self.layout = build_layout(spec)
        self._state = new_state(spec, self.layout)
        self._history = new_history(self.layout)
        self._scratch = new_scratch(self.layout)
        self._write(self._state.weights, weights)

    def _rows(self, flat: NDArray[Any], index: int) -> NDArray[Any]:
        """A view of the rows of a layer without the padding."""
        row, layer = self.layout.layers[index], self.spec.layers[index]
        at, stride, n_rows = int(row[col.WEIGHT_AT]), int(row[col.STRIDE]), layer.n_weight_rows + layer.n_bias_rows
        return flat[at : at + n_rows * stride].reshape(n_rows, stride)[:, : layer.columns]

    def _copies(self, flat: NDArray[Any]) -> list[NDArray[Any]]:
        return [self._rows(flat, index).copy() for index in range(len(self.spec.layers))] if flat.size else []

    def _write(self, flat: NDArray[Any], rows: Sequence[NDArray[Any]]) -> None:
        for index, values in enumerate(rows):
            self._rows(flat, index)[:] = values

    @property
    def weights(self) -> list[NDArray[Any]]:
        """Copies of the weights, per layer [n_weight_rows + n_bias_rows, columns], int8 or int16."""
        return self._copies(self._state.weights)

    @property
    def gradients(self) -> list[NDArray[Any]]:
        """Copies of the accumulated gradients, per layer (empty unless the rule accumulates)."""
        return self._copies(self._state.gradients)

    @property
    def velocities(self) -> list[NDArray[Any]]:
        """Copies of the velocities of momentum, per layer (empty without momentum)."""
        return self._copies(self._state.velocities)

    @property
    def registers(self) -> NDArray[np.uint32]:
        """Copy of the random registers, [n_layers, rng_lanes]."""
        return self._state.registers.copy()

    def restore(
        self,
        weights: Sequence[NDArray[Any]],
        registers: NDArray[np.uint32],
        velocities: Sequence[NDArray[Any]] = (),
    ) -> None:
        """Put back weights, random registers and, with momentum, velocities saved between epochs."""
        self._write(self._state.weights, weights)
        self._state.registers[:] = registers
        self._write(self._state.velocities, velocities)

    def run(
        self,
        data: EventDataset,
        order: NDArray[np.integer[Any]],
        *,
        learn: bool,
        end_of_epoch: bool = True,
        probe: Sequence[int] = (),
    ) -> PassResult:
        """Run the samples `order` of `data`; `probe` lists positions in `order` whose intermediates are kept.

        Raises:
            UserError: if the data set does not fit the network: kernels would read past their tables.
        """
        spec = self.spec
        if data.n_steps != spec.n_steps or data.n_inputs > network_inputs(spec):
            raise UserError(
                f"the data set has {data.n_inputs} inputs in {data.n_steps} steps; allowed are up to "
                f"{network_inputs(spec)} inputs in {spec.n_steps} steps"
            )
        learn = learn and spec.credit != "none"
        order = np.ascontiguousarray(order, dtype=np.int64)
        probes = self._new_probes(len(order), probe)
        output = Output(
            totals=np.zeros((spec.n_steps + 1, len(spec.layers), N_FIELDS), dtype=np.int64),
            predictions=np.zeros(len(order), dtype=np.int32),
            readout_sums=np.zeros((len(order), spec.layers[-1].n_out), dtype=np.int64),
            n_applies=np.zeros(1, dtype=np.int64),
            n_standardisations=np.zeros(1, dtype=np.int64),
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
            n_standardisations=int(output.n_standardisations[0]),
        )
        return PassResult(output.predictions, output.readout_sums, activity, self._named_probes(probes, learn))

    def _new_probes(self, n_samples: int, probe: Sequence[int]) -> Probes:
        slot_of = np.full(n_samples, -1, dtype=np.int64)
        slot_of[list(probe)] = np.arange(len(probe))
        rows = len(probe) * self.spec.n_steps
        total_in = int(self.layout.constants[col.TOTAL_IN])
        total_out = int(self.layout.constants[col.TOTAL_OUT])
        currents = (rows, total_out) if has_currents(self.layout) else (0, 0)
        return Probes(
            slot_of=slot_of,
            potential=np.zeros((rows, total_out), dtype=np.int32),
            current=np.zeros(currents, dtype=np.int32),
            spike=np.zeros((rows, total_out), dtype=np.int32),
            psi=np.zeros((rows, total_out), dtype=np.int32),
            trace=np.zeros((rows, total_in), dtype=np.int32),
            error=np.zeros((rows, total_out), dtype=np.int32),
            signal=np.zeros((rows, total_out), dtype=np.int32),
        )

    def _named_probes(self, probes: Probes, learn: bool) -> dict[str, NDArray[np.int32]]:
        named: dict[str, NDArray[np.int32]] = {}
        if len(probes.potential) == 0:
            return named
        for index, layer in enumerate(self.spec.layers):
            row = self.layout.layers[index]
            keep: dict[str, NDArray[np.int32]] = {}
            if row[col.RUNS_ALWAYS] or (learn and layer.kind == "readout"):
                keep["potential"] = self._outputs(probes.potential, index)
                if layer.has_current:
                    keep["current"] = self._outputs(probes.current, index)
            if layer.is_hidden:
                keep["spike"] = self._outputs(probes.spike, index)
            if learn and layer.kind != "feedback":
                keep["signal"] = self._outputs(probes.signal, index)
            if learn and layer.is_hidden:
                keep |= {"psi": self._outputs(probes.psi, index), "d": self._outputs(probes.error, index)}
            if learn and row[col.KEEPS_TRACE]:
                at = int(row[col.INPUT_AT])
                keep["trace"] = probes.trace[:, at : at + layer.n_in]
            for name, values in keep.items():
                named[f"{name}/{index}"] = values.reshape(-1, self.spec.n_steps, values.shape[1])
        return named

    def _outputs(self, flat: NDArray[np.int32], index: int) -> NDArray[np.int32]:
        """The outputs of a layer without the padding of its blocks, [rows, n_out]."""
        row, layer = self.layout.layers[index], self.spec.layers[index]
        at, width = int(row[col.OUTPUT_AT]), int(row[col.WIDTH])
        blocks = flat[:, at : at + width].reshape(len(flat), layer.n_blocks, -1)
        return blocks[:, :, : layer.columns].reshape(len(flat), layer.n_out)
