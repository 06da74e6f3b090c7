"""Every change that a rule asks of its weights, before it is rounded: P of semantics 3.5 and 3.6, from probes.

W <- sat((W 2^S + P + c) >> S) changes W by (P + c) >> S, which does not depend on W. So what a rule asked for, and what
the rounding made of it, follow exactly from the presynaptic factors and the signals.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neurochip.core.bias import bias_factors
from neurochip.diagnosis.products import (
    Probes,
    Taps,
    event_magnitudes,
    input_magnitudes,
    is_small_enough,
    learning_layers,
)
from neurochip.fixed_point import QFormat
from neurochip.spec import CoreSpec

if TYPE_CHECKING:
    from neurochip.events import EventDataset

Array = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class WeightUpdate:
    """What is to be added to the weights of a layer at one time: P 2^-S.

    Attributes:
        layer: its index.
        scaled: P, [n_weight_rows + n_bias_rows, columns]; where it is 0 nothing is written.
        shift: S.
    """

    layer: int
    scaled: Array
    shift: int


def presynaptic_factors(spec: CoreSpec, layer: int, events: Array, probes: Probes) -> Array:
    """p of the inputs of a layer that learns, [samples, steps, n_in] (semantics 3.3)."""
    if f"trace/{layer}" not in probes:
        return input_magnitudes(spec, layer, spec.layers[layer].n_in, events, probes)
    trace = np.asarray(probes[f"trace/{layer}"], dtype=np.int64)
    return np.where(trace >= spec.trace_gate, trace, 0)


def round_shift(x: Array, n: int, rounding: str) -> Array:
    """The right shift with rounding of semantics section 2."""
    if n == 0:
        return x
    half = 1 << (n - 1)
    found: Array = x >> n if rounding == "floor" else np.sign(x) * ((np.abs(x) + half) >> n)
    return found


def leak_shift(x: Array, k: int) -> Array:
    """The leak m - ((m + 2^k - 1) >> k) of semantics section 2, towards 0."""
    magnitude = np.abs(x)
    found: Array = np.sign(x) * (magnitude - ((magnitude + (1 << k) - 1) >> k))
    return found


class _Replay:
    """The gradients of a pass, and the updates in their order."""

    def __init__(self, spec: CoreSpec, events: Array, probes: Probes, velocities: Sequence[NDArray[Any]]) -> None:
        self.spec = spec
        self.layers = [index for index in reversed(learning_layers(spec)) if is_small_enough(spec.layers[index])]
        self._factors = {index: presynaptic_factors(spec, index, events, probes) for index in self.layers}
        self._signals = {index: probes[f"signal/{index}"] for index in self.layers}
        self._taps = {index: Taps(spec.layers[index]) for index in self.layers}
        self._bias = bias_factors(spec)
        self._format = QFormat(spec.gradient_bits, 0, True)
        self._gradients = {index: self._zeros(index) for index in self.layers}
        self._velocities = {
            index: velocities[index].astype(np.int64) if len(velocities) else self._zeros(index)
            for index in self.layers
        }

    def _zeros(self, index: int) -> Array:
        layer = self.spec.layers[index]
        return np.zeros((layer.n_weight_rows + layer.n_bias_rows, layer.columns), dtype=np.int64)

    def _products(self, index: int, sample: int, step: int) -> Array:
        bias = int(self._bias[step, index]) if self.spec.layers[index].bias else 0
        found = self._taps[index].products(self._factors[index][sample, step], bias, self._signals[index][sample, step])
        return found.astype(np.int64)

    def change(self, sample: int, step: int) -> Iterator[WeightUpdate]:
        """One step in which 3.5 is reached: updates at once, or gradients that grow."""
        for index in self.layers:
            if not np.any(self._signals[index][sample, step]):
                continue
            products = self._products(index, sample, step)
            if self.spec.update == "immediate":
                yield WeightUpdate(index, -self.spec.rate_multiplier * products, self.spec.update_shift(index))
                continue
            added = round_shift(products, self.spec.gradient_shift(index), self.spec.error_rounding)
            self._gradients[index] = self._saturated(self._gradients[index] + added)

    def apply(self) -> Iterator[WeightUpdate]:
        """Apply the gradients, or with momentum the velocities."""
        for index in self.layers:
            values = self._gradients[index]
            if self.spec.momentum_shift:
                values = self._saturated(leak_shift(self._velocities[index], self.spec.momentum_shift) + values)
                self._velocities[index] = values
            yield WeightUpdate(index, -self.spec.rate_multiplier * values, self.spec.apply_shift(index))
            self._gradients[index] = self._zeros(index)

    def _saturated(self, values: Array) -> Array:
        return np.clip(values, self._format.lowest, self._format.highest)


def _windows(spec: CoreSpec) -> Iterator[list[int]]:
    """Steps (from 0) in the order in which 3.5 is reached, one list per window."""
    if spec.credit != "unroll":
        yield from ([step] for step in range(spec.n_steps) if spec.has_loss(step + 1))
        return
    for first in range(0, spec.n_steps, spec.window_steps):
        yield list(range(min(first + spec.window_steps, spec.n_steps) - 1, first - 1, -1))


def weight_updates(
    spec: CoreSpec, data: EventDataset, probes: Probes, velocities: Sequence[NDArray[Any]] = ()
) -> Iterator[WeightUpdate]:
    """The updates of a pass with learning, all of whose samples were probed; it starts and ends with no gradient.

    Args:
        spec: the core that ran; with credit "none" there are no updates.
        data: the samples in the order in which they ran.
        probes: "trace/l", "spike/l" and "signal/l", [samples, steps, width].
        velocities: those of the momentum at the start.
    """
    if spec.credit == "none":
        return
    replay = _Replay(spec, event_magnitudes(data), probes, velocities)
    accumulates, windows = spec.update == "accumulate", list(_windows(spec))
    n_changes = sum(len(window) for window in windows)
    for sample in range(data.n_samples):
        done = since = 0
        for number, window in enumerate(windows):
            for step in window:
                yield from replay.change(sample, step)
                done += 1
                is_due = done % spec.apply_every == 0 or done == n_changes
                if accumulates and spec.apply_when == "deferred" and is_due:
                    yield from replay.apply()
            since += len(window)
            is_due = since >= spec.apply_every or number == len(windows) - 1
            if accumulates and spec.apply_when == "window" and is_due:
                yield from replay.apply()
                since = 0
        is_due = (sample + 1) % spec.batch == 0 or sample == data.n_samples - 1
        if accumulates and spec.apply_when == "sample" and is_due:
            yield from replay.apply()
