"""The golden core: one sample after the other, exactly as docs/semantics.md, section 3, says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from neurochip.reference.core import error, forward
from neurochip.reference.core.arithmetic import (
    exponential_table,
    signed_limits,
    surrogate_table,
    unsigned_limits,
)
from neurochip.reference.core.checks import GoldenSample, check_rule, check_sample
from neurochip.reference.core.memory import Memories, keeps_trace
from neurochip.reference.core.recording import Recorder, count_inputs, count_signal, count_update, nonzero
from neurochip.reference.core.update import Plasticity, presynaptic_factors
from neurochip.spec import CoreSpec

Events = Sequence[tuple[int, int]]


@dataclass(frozen=True)
class GoldenRun:
    """What one call of `GoldenCore.run` observed.

    Attributes:
        predictions: class index per sample.
        readout_sums: sum of z over the steps, [sample][class].
        probes: per name [sample][step][width]: "potential/l", "spike/l", and when learning "psi/l", "trace/l",
            "d/l", "signal/l".
        activity: [n_steps + 1][n_layers][N_FIELDS], last axis as neurochip.activity.FIELDS; last row: applies.
        drawn: (layer, row, column, r) of every random number used, in order; empty unless asked for.
        n_applies: how often accumulated gradients were applied.
    """

    predictions: list[int]
    readout_sums: list[list[int]]
    probes: dict[str, list[list[list[int]]]]
    activity: list[list[list[int]]]
    drawn: list[tuple[int, int, int, int]]
    n_applies: int


class GoldenCore:
    """Integer LIF network with on-chip learning in plain Python, the reference of the fast core.

    Args:
        spec: resolved integers of the network, its formats and its rule.
        weights: [layer][N_in + 1][N_out], last row the bias (0 where the layer has none).

    Raises:
        UserError: if the specification or the weights are outside what docs/semantics.md allows.
    """

    def __init__(self, spec: CoreSpec, weights: Sequence[Sequence[Sequence[int]]]) -> None:
        check_rule(spec)
        self.spec = spec
        self.memory = Memories(spec, weights)
        self.plasticity = Plasticity(spec, self.memory)
        self.surrogate_table = surrogate_table(spec.surrogate, spec.surrogate_bits)
        self.exponential_table = exponential_table()
        self.samples_in_batch = 0

    @property
    def weights(self) -> list[list[list[int]]]:
        """A copy of the weights [layer][N_in + 1][N_out]; the bias row of a layer without bias is 0."""
        return self._with_bias_rows(self.memory.synapse)

    @property
    def gradients(self) -> list[list[list[int]]]:
        """A copy of the accumulated gradients, shaped like the weights; empty unless the update accumulates."""
        return self._with_bias_rows(self.memory.gradient)

    @property
    def registers(self) -> list[list[int]]:
        """A copy of the random registers [layer][lane]."""
        return [list(lanes) for lanes in self.memory.registers]

    def footprint_bits(self) -> dict[str, int]:
        """Bits of every memory allocated for this specification (docs/decisions/0002-footprint.md)."""
        return self.memory.footprint_bits()

    def run(
        self, samples: Sequence[GoldenSample], learn: bool, end_of_epoch: bool = True, record_draws: bool = False
    ) -> GoldenRun:
        """Run samples in order, learning by the rule of the specification if `learn`.

        Accumulated gradients are applied after every `batch`-th sample and, if `end_of_epoch`, after the last one.
        A rule without credit ("none") never learns.

        Raises:
            UserError: if a sample does not fit the specification.
        """
        spec = self.spec
        learn = learn and spec.credit != "none"
        rec = Recorder(spec.n_steps, len(spec.layers), record_draws)
        predictions, readout_sums = [], []
        for index, sample in enumerate(samples):
            check_sample(spec, sample, index, learn)
            rec.start_sample()
            self._run_sample(sample, learn, rec)
            sums = list(self.memory.readout_sum)
            readout_sums.append(sums)
            predictions.append(sums.index(max(sums)))  # the lowest class of equals
            if learn and spec.update == "accumulate":
                self._end_sample(rec)
        if learn and end_of_epoch and self.samples_in_batch > 0:
            self._end_batch(rec)
        return GoldenRun(predictions, readout_sums, rec.probes, rec.activity(), rec.draws, rec.n_applies)

    def _end_sample(self, rec: Recorder) -> None:
        self.samples_in_batch += 1
        if self.samples_in_batch == self.spec.batch:
            self._end_batch(rec)

    def _end_batch(self, rec: Recorder) -> None:
        self.plasticity.apply(rec)
        self.samples_in_batch = 0

    def _run_sample(self, sample: GoldenSample, learn: bool, rec: Recorder) -> None:
        """Section 3: forward in time, learning at each step, or for "unroll" in reverse after the last step."""
        spec, memory = self.spec, self.memory
        memory.start_sample()
        for step, events in enumerate(sample.steps):
            inputs = self._forward(step, events, learn, rec)
            if not learn:
                continue
            counts = rec.counts(step, len(spec.layers) - 1)
            memory.signal[-1][:] = error.readout_error(
                spec, memory.readout, sample.label, self.exponential_table, counts
            )
            if spec.credit == "unroll":
                self._remember(step, inputs)
            else:
                self._errors(step, rec)
                self._updates(step, inputs, rec)
        if learn and spec.credit == "unroll":
            for step in reversed(range(spec.n_steps)):
                inputs = self._recall(step)
                self._errors(step, rec)
                self._updates(step, inputs, rec)

    def _forward(self, step: int, events: Events, learn: bool, rec: Recorder) -> list[Events]:
        """Sections 3.1 to 3.3 for every layer from first to last, and z; returns the input events of every layer."""
        spec, memory = self.spec, self.memory
        inputs: list[Events] = []
        for index, layer in enumerate(spec.layers):
            counts = rec.counts(step, index)
            inputs.append(events)
            count_inputs(counts, events)
            if learn and keeps_trace(spec, layer):
                limits = unsigned_limits(spec.trace_bits)
                forward.update_trace(layer, memory.trace[index], events, limits, spec.trace_lanes, counts)
                rec.probe(f"trace/{index}", step, memory.trace[index])
            if layer.kind == "readout":
                self._read_out(step, index, events, rec)
            else:
                events = self._hidden_layer(step, index, events, learn, rec)
        return inputs

    def _hidden_layer(self, step: int, index: int, events: Events, learn: bool, rec: Recorder) -> Events:
        spec, layer, counts = self.spec, self.spec.layers[index], rec.counts(step, index)
        potential = self.memory.potential[index]
        deliver = forward.deliver_wide if spec.deliver == "neuron" else forward.deliver
        deliver(layer, self.memory.synapse[index], potential, events, signed_limits(spec.membrane_bits), counts)
        rec.probe(f"potential/{index}", step, potential)
        if learn:
            psi = self.memory.psi[index]
            forward.surrogate_codes(layer, potential, self.surrogate_table, psi)
            counts["psi_nonzero"] += nonzero(psi)
            rec.probe(f"psi/{index}", step, psi)
        spikes = forward.fire(layer, potential)
        counts["spikes"] += nonzero(spikes)
        rec.probe(f"spike/{index}", step, spikes)
        return [(j, 1) for j, s in enumerate(spikes) if s]

    def _read_out(self, step: int, index: int, events: Events, rec: Recorder) -> None:
        memory, layer = self.memory, self.spec.layers[index]
        limits = signed_limits(self.spec.readout_bits)
        forward.read_out(layer, memory.synapse[index], memory.readout, events, limits, rec.counts(step, index))
        rec.probe(f"potential/{index}", step, memory.readout)
        for c, z in enumerate(memory.readout):
            memory.readout_sum[c] += z

    def _remember(self, step: int, inputs: Sequence[Events]) -> None:
        """Section 3.7: keep m of the inputs, s and psi of the hidden layers and e of this step."""
        memory = self.memory
        fill(memory.history_input[step], inputs[0])
        for index, psi in enumerate(memory.psi):
            fill(memory.history_spike[step][index], inputs[index + 1])
            memory.history_psi[step][index][:] = psi
        memory.history_error[step][:] = memory.signal[-1]

    def _recall(self, step: int) -> list[Events]:
        """Put psi and e of this step back in place and return the input events of every layer."""
        memory = self.memory
        for index, psi in enumerate(memory.psi):
            psi[:] = memory.history_psi[step][index]
        memory.signal[-1][:] = memory.history_error[step]
        kept = [memory.history_input[step], *memory.history_spike[step]]
        return [[(i, m) for i, m in enumerate(magnitudes) if m] for magnitudes in kept]

    def _signal(self, index: int) -> list[int]:
        """What layer `index` learns from: delta of a hidden layer under "unroll", else g; e for the readout."""
        if self.spec.credit == "unroll" and index < len(self.memory.delta):
            return self.memory.delta[index]
        return self.memory.signal[index]

    def _errors(self, step: int, rec: Recorder) -> None:
        """Sections 3.4 and 3.7: d, g and delta of all hidden layers, last to first, before any update of the step."""
        spec, memory = self.spec, self.memory
        rec.probe(f"signal/{len(spec.layers) - 1}", step, memory.signal[-1])
        for index in reversed(range(len(spec.layers) - 1)):
            counts, psi, signal = rec.counts(step, index), memory.psi[index], memory.signal[index]
            next_weights, next_signal = memory.synapse[index + 1], self._signal(index + 1)
            d = error.back_in_space(spec, index, next_weights, next_signal, psi, signal, counts)
            if spec.credit == "unroll":
                error.back_in_time(spec, index, psi, signal, memory.delta[index], counts)
            rec.probe(f"d/{index}", step, d)
            rec.probe(f"signal/{index}", step, self._signal(index))
        for index in range(len(spec.layers)):
            rows_needing_error = nonzero(memory.psi[index - 1]) if index > 0 else 0
            count_signal(rec.counts(step, index), self._signal(index), spec.synapse_lanes, rows_needing_error)

    def _updates(self, step: int, inputs: Sequence[Events], rec: Recorder) -> None:
        """Section 3.5 or 3.6 for all layers, last to first."""
        spec, memory = self.spec, self.memory
        for index in reversed(range(len(spec.layers))):
            signal, counts = self._signal(index), rec.counts(step, index)
            factors = presynaptic_factors(spec.layers[index], memory.trace[index], inputs[index], spec.trace_gate)
            count_update(counts, signal, spec.synapse_lanes, len(factors))
            if spec.update == "immediate":
                self.plasticity.update(index, factors, signal, step, rec)
            else:
                self.plasticity.accumulate(index, factors, signal, counts)

    def _with_bias_rows(self, rows_of: Sequence[list[list[int]]]) -> list[list[list[int]]]:
        """Copy rows that are stored without the absent bias rows, and put rows of 0 in their place."""
        return [
            [list(row) for row in rows] + ([] if layer.bias else [[0] * layer.n_out])
            for layer, rows in zip(self.spec.layers, rows_of, strict=False)
        ]


def fill(magnitudes: list[int], events: Events) -> None:
    """Write events into a list of one magnitude per address, 0 where there is none."""
    magnitudes[:] = [0] * len(magnitudes)
    for address, m in events:
        magnitudes[address] = m
