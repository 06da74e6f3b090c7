"""The float twin of the integer core: the same learning rules in float64 or float32, without quantisation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurochip.core import float_backward, float_kernels, float_standardise
from neurochip.core import float_state as fs
from neurochip.core import float_tables as ft
from neurochip.core.float_grid import WEIGHT
from neurochip.core.float_spec import FloatSpec
from neurochip.errors import UserError
from neurochip.events import EventDataset
from neurochip.fixed_point import QFormat, quantise

DTYPES = ("float64", "float32")
_FROZEN: dict[str, Any] = {"standardise_every": 0}  # of a pass that leaves the weights alone


@dataclass(frozen=True, eq=False)
class FloatRun:
    """What one pass over samples gave; n = samples run, C = classes.

    Attributes:
        predictions: int64 [n], argmax of the summed readout, ties to the lowest class.
        readout_sums: [n, C], z summed over the steps.
        losses: float64 [n], cross-entropy of the last layer averaged over the steps that have a loss.
        spikes_per_layer: int64 [layers], output spikes summed over samples and steps (0 where there are no neurons).
        events_per_layer: int64 [layers], input events that reach each layer, summed over samples and steps.
        probes: name -> array [probed samples, T, width]: "potential/l", "current/l", "spike/l" and, while learning,
            "psi/l", "trace/l", "d/l", "signal/l", each for the layers l that have it.
    """

    predictions: NDArray[np.int64]
    readout_sums: NDArray[np.floating[Any]]
    losses: NDArray[np.float64]
    spikes_per_layer: NDArray[np.int64]
    events_per_layer: NDArray[np.int64]
    probes: dict[str, NDArray[Any]] = field(default_factory=dict)


class FloatCore:
    """A spiking network that learns in floating point (docs/semantics.md without quantisation).

    Attributes:
        weights: per layer, (n_weight_rows + n_bias_rows, columns), dense (n_in + 1, n_out), the bias last; views that
            `run` changes in place.
        gradients: same shapes; accumulated and not yet applied.
        velocities: same shapes; the velocity of the momentum, an empty list without.
    """

    def __init__(self, spec: FloatSpec, weights: Sequence[ArrayLike], dtype: str = "float64") -> None:
        """Copy `weights`, one array per layer, the bias rows last; dtype is "float64" or "float32".

        Raises:
            UserError: for another dtype, or weights that do not fit the layers.
        """
        if dtype not in DTYPES:
            raise UserError(f"dtype = {dtype!r} is not one of {', '.join(DTYPES)}")
        ft.check_weights(spec, weights)
        self.spec = spec
        self.dtype = np.dtype(dtype)
        flat_weights, self.weights = ft.flat_views(spec, self.dtype)
        flat_gradients, self.gradients = ft.flat_views(spec, self.dtype)
        velocity: NDArray[np.floating[Any]] = np.zeros(0, self.dtype)
        self.velocities: list[NDArray[np.floating[Any]]] = []
        if spec.momentum:
            velocity, self.velocities = ft.flat_views(spec, self.dtype)
        for layer, view, values in zip(spec.layers, self.weights, weights, strict=True):
            view[...] = values
            if not layer.bias:
                view[layer.n_weight_rows :] = 0
        self._network = ft.new_network(spec, flat_weights, flat_gradients, velocity)
        self._quantise_weights()
        self._rule = ft.new_rule(spec)
        self._state = fs.new_state(spec, self.dtype)
        self._pending = 0

    @property
    def registers(self) -> NDArray[np.uint32]:
        """The random registers of quantised weights, [layers, lanes], which `run` advances; empty without any."""
        return self._network.grid.registers

    def _quantise_weights(self) -> None:
        quantisers = self.spec.quantisers
        if quantisers is None or not self._network.grid.on[WEIGHT]:
            return
        for view, layer in zip(self.weights, quantisers.formats.layers, strict=True):
            fmt = QFormat(quantisers.formats.weight_bits, layer.frac_weight, True)
            view[...] = quantise(view, fmt) * 2.0**-fmt.frac

    def run(
        self,
        dataset: EventDataset,
        order: ArrayLike,
        learn: bool,
        probe_slots: ArrayLike | None = None,
        end_of_epoch: bool = True,
    ) -> FloatRun:
        """Run the samples `order` (indices into `dataset`), learning or not.

        `probe_slots`, one per entry of `order`, gives the place of that sample in the probe arrays, or -1.
        At the end of an epoch the gradients of an incomplete batch are applied, and the weights standardised if samples
        were learned since; otherwise the next run goes on counting.

        Raises:
            UserError: if the data set, the order or the slots do not fit the network.
        """
        rule = self._rule if learn else self._rule._replace(credit=ft.CREDIT_NONE, update=ft.UPDATE_NONE, **_FROZEN)
        ends = learn and end_of_epoch
        result, pending = self._run(dataset, order, probe_slots, rule, self._network, self._pending, ends)
        if ends:
            if pending:
                float_backward.apply_gradients(self._network, rule, self._state)
                pending = 0
            if self._state.counters[fs.SINCE_STANDARDISE]:
                float_standardise.standardise(self._network, self._state)
        if learn:
            self._pending = pending
        return result

    def gradient(self, dataset: EventDataset, index: int) -> list[NDArray[np.floating[Any]]]:
        """Return sum_t p_i g_j of one sample, the weights frozen: no rate and no 1/T; shapes as `weights`.

        For credit "unroll" with reset_path "exact" it is T times the gradient of the loss averaged over the steps.

        Raises:
            UserError: if the credit of the rule is "none".
        """
        if self.spec.credit == "none":
            raise UserError("credit = 'none' has no gradient; choose trace, spike or unroll")
        flat, views = ft.flat_views(self.spec, self.dtype)
        rule = self._rule._replace(update=ft.UPDATE_ACCUMULATE, apply_when=ft.APPLY_NEVER, **_FROZEN)
        self._run(dataset, [index], None, rule, self._network._replace(gradients=flat), 0)
        return views

    def _run(
        self,
        dataset: EventDataset,
        order: ArrayLike,
        probe_slots: ArrayLike | None,
        rule: ft.Rule,
        network: ft.Network,
        pending: int,
        ends_epoch: bool = False,
    ) -> tuple[FloatRun, int]:
        samples = np.array(order, dtype=np.int64, ndmin=1)
        slots = np.full(samples.size, -1) if probe_slots is None else np.array(probe_slots, dtype=np.int64, ndmin=1)
        self._check(dataset, samples, slots)
        results = fs.new_results(self.spec, self._state, slots)
        events = fs.event_arrays(dataset)
        state = self._state
        pending = float_kernels.run_samples(events, network, rule, state, results, samples, pending, int(ends_epoch))
        probes = {}
        if probe_slots is not None:
            probes = fs.probes_by_name(self.spec, network, results, rule.credit != ft.CREDIT_NONE)
        predictions = np.argmax(results.readout_sums, axis=1)
        totals = results.spike_totals, results.event_totals
        return FloatRun(predictions, results.readout_sums, results.losses, *totals, probes), pending

    def _check(self, dataset: EventDataset, samples: NDArray[np.int64], slots: NDArray[np.int64]) -> None:
        n_inputs, n_classes = self.spec.n_inputs, self.spec.layers[-1].n_out
        if (dataset.n_inputs, dataset.n_steps) != (n_inputs, self.spec.n_steps):
            raise UserError(
                f"the data set has {dataset.n_inputs} inputs and {dataset.n_steps} steps; "
                f"the network has {n_inputs} and {self.spec.n_steps}"
            )
        if samples.min(initial=0) < 0 or samples.max(initial=-1) >= dataset.n_samples:
            raise UserError(f"order holds sample indices outside 0 to {dataset.n_samples - 1}")
        if samples.size and dataset.labels[samples].max() >= n_classes:
            raise UserError(f"labels reach {dataset.labels[samples].max()}; the readout has {n_classes} classes")
        if slots.shape != samples.shape or slots.min(initial=0) < -1:
            raise UserError(f"probe_slots needs {samples.size} entries, each -1 or a place")
