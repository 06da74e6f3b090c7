"""The tick model of `toy`: `_clock` is called once per clock, and the data that move decide how often."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from neurochip.counters import PHASES, STALL_CAUSES
from neurochip.errors import UserError
from neurochip.reference.clocks import register_clock
from neurochip.reference.core import GoldenSample
from neurochip.reference.core.arithmetic import (
    advance,
    exponential_table,
    initial_register,
    leak,
    saturate,
    signed_limits,
    surrogate_table,
)
from neurochip.reference.core.error import readout_error, requantise
from neurochip.spec import CoreSpec

Events = Sequence[tuple[int, int]]  # (address, magnitude)


@dataclass(frozen=True)
class ToyRun:
    """What a pass ended with, its clocks, and its granted accesses."""

    predictions: list[int]
    readout_sums: list[list[int]]
    ticks_by_phase: dict[str, int]
    stalls: dict[str, int]
    accesses: dict[tuple[str, str, int, tuple[int, ...]], int]


class ToyClock:
    """A serial machine with a synapse memory of one weight per word; gates are ignored, as it skips no zero."""

    def __init__(self, spec: CoreSpec, weights: Sequence[Sequence[Sequence[int]]], chip: Any, gates: Any) -> None:
        self.spec, self.div_cycles = spec, chip.div_cycles
        self.has_two_ports = chip.memories["synapse"].ports == "1r1w"
        self.weights = [[list(row) for row in rows] for rows in weights]
        self.gradients: list[list[list[int]]] = []
        self.registers = [
            [initial_register(spec.seed, index, lane) for lane in range(spec.rng_lanes)]
            for index in range(len(spec.layers))
        ]
        self.surrogate, self.exponential = surrogate_table(spec.surrogate, spec.surrogate_bits), exponential_table()
        self.saturations: Counter[str] = Counter()
        self._start_sample()

    def set_registers(self, registers: Sequence[Sequence[int]]) -> None:
        """Put back random registers, [layer][lane]."""
        self.registers = [list(lanes) for lanes in registers]

    def set_velocities(self, velocities: Sequence[Sequence[Sequence[int]]]) -> None:
        """There is no momentum here."""
        raise UserError("learning.momentum_shift is not known to this machine")

    def run(self, samples: Sequence[GoldenSample], learn: bool, end_of_epoch: bool = True) -> ToyRun:
        """Run samples in order."""
        self.ticks, self.stalls = dict.fromkeys(PHASES, 0), dict.fromkeys(STALL_CAUSES, 0)
        self.accesses: Counter[tuple[str, str, int, tuple[int, ...]]] = Counter()
        sums = [self._run_sample(sample, learn and self.spec.credit != "none") for sample in samples]
        predictions = [one.index(max(one)) for one in sums]
        return ToyRun(predictions, sums, self.ticks, self.stalls, dict(self.accesses))

    def _start_sample(self) -> None:
        self.potentials = [[0] * layer.n_out for layer in self.spec.layers]
        self.psi = [[0] * layer.n_out for layer in self.spec.layers]
        self.signal = [[0] * layer.n_out for layer in self.spec.layers]
        self.sums = [0] * self.spec.layers[-1].n_out

    def _run_sample(self, sample: GoldenSample, learn: bool) -> list[int]:
        self._start_sample()
        last = len(self.spec.layers) - 1
        for events in sample.steps:
            inputs: list[Events] = [events]
            for index in range(last):
                self._deliver(index, inputs[index])
                inputs.append(self._fire(index))
            self._deliver(last, inputs[last])
            z = self._read_out(last)
            if learn:
                self._error(z, sample.label)
                for index in reversed(range(last + 1)):
                    for row, p in [*inputs[index], *self._bias_row(index)]:
                        self._update_row(index, row, p)
        return self.sums

    def _clock(self, phase: str, index: int, *accesses: str) -> None:
        """One clock, with these accesses to the synapse memory."""
        if len(accesses) > 1 and not self.has_two_ports:
            raise RuntimeError(f"two accesses to a one-port synapse memory in one clock of {phase}")
        self.ticks[phase] += 1
        for access in accesses:
            self.accesses[f"synapse_{access}", phase, index, (self.spec.weight_bits,)] += 1

    def _bias_row(self, index: int) -> Events:
        """The bias as an event of its own; none if the layer has no bias."""
        layer = self.spec.layers[index]
        return [(layer.n_in, 1)] if layer.bias else []

    def _deliver(self, index: int, events: Events) -> None:
        layer, potential = self.spec.layers[index], self.potentials[index]
        is_readout = index == len(self.spec.layers) - 1
        limits = signed_limits(self.spec.readout_bits if is_readout else self.spec.membrane_bits)
        for row, magnitude in [*self._bias_row(index), *events]:
            for j in range(layer.n_out):
                self._clock("deliver", index, "read")
                added = (self.weights[index][row][j] * magnitude) << layer.deliver_shift
                potential[j] = saturate(potential[j] + added, limits, self.saturations, "potential")

    def _fire(self, index: int) -> Events:
        """One neuron a clock: surrogate, threshold, reset, and the leak of the next step."""
        layer, potential, spikes = self.spec.layers[index], self.potentials[index], []
        for j, u in enumerate(potential):
            self._clock("fire", index)
            distance = (u - layer.threshold_q) >> (layer.frac_potential - 4)
            self.psi[index][j] = self.surrogate[max(-32, min(31, distance)) + 32]
            if u >= layer.threshold_q:
                spikes.append((j, 1))
                u = u - layer.threshold_q if layer.reset == "subtract" else 0
            potential[j] = leak(u, layer.leak_kind, layer.leak_value)
        return spikes

    def _read_out(self, index: int) -> list[int]:
        """One class a clock: z is added to its sum and starts again at 0."""
        z = list(self.potentials[index])
        for c, value in enumerate(z):
            self._clock("fire", index)
            self.sums[c] += value
            self.potentials[index][c] = 0
        return z

    def _error(self, z: list[int], label: int) -> None:
        """One division after the other; then every weight on the way back, one a clock."""
        spec, last, ignored = self.spec, len(self.spec.layers) - 1, self.saturations
        for _ in range(len(z) * self.div_cycles):
            self._clock("error", last)
        self.signal[last] = readout_error(spec, z, label, self.exponential, ignored)
        for index in reversed(range(last)):
            for i, psi in enumerate(self.psi[index]):
                total = 0
                for j, g in enumerate(self.signal[index + 1]):
                    self._clock("error", index + 1, "read")
                    total += self.weights[index + 1][i][j] * g
                d = requantise(spec, total, spec.error_shift(index), ignored)
                self.signal[index][i] = requantise(spec, d * psi, spec.surrogate_bits, ignored)

    def _update_row(self, index: int, row: int, p: int) -> None:
        """Read a weight, write it in the same clock if the memory has two ports, else in the next."""
        spec, signal, weights = self.spec, self.signal[index], self.weights[index][row]
        shift = spec.update_shift(index)
        for j, g in enumerate(signal):
            if j % spec.rng_lanes == 0 and any(signal[j : j + spec.rng_lanes]):
                self._draw(index)
            summed = (weights[j] << shift) - spec.rate_multiplier * p * g + self._offset(index, j, shift)
            weights[j] = saturate(summed >> shift, signed_limits(spec.weight_bits), self.saturations, "weight")
            if self.has_two_ports:
                self._clock("update", index, "read", "write")
            else:
                self._clock("update", index, "read")
                self._clock("update", index, "write")
                self.stalls["port"] += 1

    def _draw(self, index: int) -> None:
        if self.spec.weight_rounding == "stochastic":
            self.registers[index] = [advance(x) for x in self.registers[index]]

    def _offset(self, index: int, column: int, shift: int) -> int:
        """The c of section 3.5 of docs/semantics.md."""
        if self.spec.weight_rounding == "stochastic":
            return self.registers[index][column % self.spec.rng_lanes] & ((1 << shift) - 1)
        return (1 << shift) >> 1 if self.spec.weight_rounding == "nearest" else 0


register_clock("toy", ToyClock)
