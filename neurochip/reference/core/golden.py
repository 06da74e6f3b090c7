"""The golden core: one sample after the other, exactly as docs/semantics.md, section 3, says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from neurochip.reference.core import forward
from neurochip.reference.core.arithmetic import signed_limits, surrogate_table, unsigned_limits
from neurochip.reference.core.checks import GoldenSample, check_sample
from neurochip.reference.core.learning import Learning
from neurochip.reference.core.memory import Memories, keeps_trace
from neurochip.reference.core.recording import Recorder, count_inputs, nonzero
from neurochip.reference.core.schedule import ApplySchedule, StandardiseSchedule
from neurochip.reference.core.standardise import standardise
from neurochip.reference.core.wiring import Event, Spikes, Wiring, magnitudes
from neurochip.spec import NETWORK_INPUT, CoreSpec


@dataclass(frozen=True)
class GoldenRun:
    """What one call of `GoldenCore.run` observed.

    Attributes:
        predictions: class index per sample.
        readout_sums: sum of z over the steps, [sample][class].
        probes: per name [sample][step][width]: "potential/l" (z of a readout), "current/l" (i, where there is one),
            "spike/l", and when learning "psi/l", "trace/l" (a), "d/l", "signal/l" (not of feedback layers); heads have
            none unless they run.
        activity: [n_steps + 1][n_layers][N_FIELDS], last axis as neurochip.activity.FIELDS; last row: applies
            and standardisations.
        drawn: (layer, row, column, r) of every random number used, in order; empty unless asked for.
        n_applies: how often accumulated gradients were applied.
        n_standardisations: how often the weights were standardised.
    """

    predictions: list[int]
    readout_sums: list[list[int]]
    probes: dict[str, list[list[list[int]]]]
    activity: list[list[list[int]]]
    drawn: list[tuple[int, int, int, int]]
    n_applies: int
    n_standardisations: int


class GoldenCore:
    """Integer LIF network with on-chip learning in plain Python, the reference of the fast core.

    Args:
        spec: resolved integers of the network, its formats and its rule.
        weights: [layer][row][column], o columns, N_w rows and then the bias rows (0 where the layer has none).

    Raises:
        UserError: if the specification or the weights are outside what docs/semantics.md allows.
    """

    def __init__(self, spec: CoreSpec, weights: Sequence[Sequence[Sequence[int]]]) -> None:
        spec.check()
        self.spec = spec
        self.memory = Memories(spec, weights)
        self.wiring = Wiring(spec)
        self.learning = Learning(spec, self.memory, self.wiring)
        self.schedule = ApplySchedule(spec)
        self.standardise_schedule = StandardiseSchedule(spec)
        self.surrogate_table = surrogate_table(spec.surrogate, spec.surrogate_bits)

    @property
    def weights(self) -> list[list[list[int]]]:
        """A copy of the weights [layer][row][column]; the bias rows of a layer without bias are 0."""
        return self._with_absent_rows(self.memory.synapse)

    @property
    def gradients(self) -> list[list[list[int]]]:
        """A copy of the accumulated gradients, shaped like the weights; empty unless the update accumulates."""
        return self._with_absent_rows(self.memory.gradient)

    @property
    def velocities(self) -> list[list[list[int]]]:
        """A copy of V, shaped like the weights; empty without momentum."""
        return self._with_absent_rows(self.memory.velocity)

    def set_velocities(self, velocities: Sequence[Sequence[Sequence[int]]]) -> None:
        """Put back V, [layer][row][column], saved between epochs."""
        for kept, given in zip(self.memory.velocity, velocities, strict=True):
            for row, values in zip(kept, given, strict=False):  # rows of absent biases are not stored
                row[:] = values

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

        Accumulated gradients are applied as section 3.6 says, and weights standardised after that as section 3.8 does;
        the last sample ends an epoch if `end_of_epoch`.
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
            if learn:
                self._end_sample(end_of_epoch and index == len(samples) - 1, rec)
        if learn and end_of_epoch:
            self._end_epoch(rec)
        return GoldenRun(
            predictions, readout_sums, rec.probes, rec.activity(), rec.draws, rec.n_applies, rec.n_standardisations
        )

    def _end_sample(self, ends_epoch: bool, rec: Recorder) -> None:
        if self.schedule.after_sample():
            self.learning.plasticity.apply(rec)
        if self.standardise_schedule.after_sample(ends_epoch):
            standardise(self.spec, self.memory, rec)

    def _end_epoch(self, rec: Recorder) -> None:
        if self.schedule.after_epoch():
            self.learning.plasticity.apply(rec)
        if self.standardise_schedule.after_epoch():
            standardise(self.spec, self.memory, rec)

    def _run_sample(self, sample: GoldenSample, learn: bool, rec: Recorder) -> None:
        """Section 3: forward in time, learning at each step, or for "unroll" in reverse after each window."""
        spec = self.spec
        unrolls = learn and spec.credit == "unroll"
        self.memory.start_sample()
        self.schedule.start_sample()
        window_steps = spec.window_steps if unrolls else spec.n_steps
        now: dict[int, Sequence[Event]] = {}
        for first in range(0, spec.n_steps, window_steps):
            window = range(first, min(first + window_steps, spec.n_steps))
            before_window = now
            for step in window:
                before, now = now, {NETWORK_INPUT: sample.steps[step]}
                m = self._forward(step, now, before, learn, rec)
                if learn:
                    self.learning.readout_errors(step, sample.label, rec)
                if unrolls:
                    self.learning.remember(step - first, now)
                elif learn and spec.has_loss(step + 1):
                    self._learn(step, m, rec)
                elif learn:
                    self.learning.without_loss(step, rec)
            if unrolls:
                self._reverse(window, before_window, rec)

    def _reverse(self, window: range, before_window: Spikes, rec: Recorder) -> None:
        """Section 3.7: back over the steps of a window; `before_window`: spikes of the step before it."""
        learning = self.learning
        self.memory.start_reverse()
        for slot in reversed(range(len(window))):
            learning.recall(slot)
            now = learning.kept_spikes(slot)
            before = learning.kept_spikes(slot - 1) if slot > 0 else before_window
            layers = range(len(self.spec.layers))
            m = [magnitudes(self.wiring.arrivals(index, now, before)) for index in layers]
            self._learn(window[slot], m, rec)
        if self.schedule.after_window(len(window), window[-1] == self.spec.n_steps - 1):
            self.learning.plasticity.apply(rec)

    def _learn(self, step: int, m: Sequence[dict[int, int]], rec: Recorder) -> None:
        """Sections 3.4 to 3.7: the errors of all layers, then the updates of all layers."""
        self.learning.errors(step, rec)
        self.learning.updates(step, m, rec)
        if self.schedule.after_step():
            self.learning.plasticity.apply(rec)

    def _forward(
        self, step: int, now: dict[int, Sequence[Event]], before: Spikes, learn: bool, rec: Recorder
    ) -> list[dict[int, int]]:
        """Sections 3.1 to 3.3 and z for every layer from first to last; puts spikes into `now`, returns m of all."""
        spec = self.spec
        m: list[dict[int, int]] = [{} for _ in spec.layers]
        for index, layer in enumerate(spec.layers):
            is_head = layer.kind == "readout" and index < len(spec.layers) - 1
            if layer.kind == "feedback" or (is_head and not learn):
                continue
            events = self.wiring.arrivals(index, now, before)
            m[index] = magnitudes(events)
            count_inputs(rec.counts(step, index), events, self.wiring.taps[index])
            if learn and keeps_trace(spec, layer):
                self._trace(step, index, m[index], rec)
            added = forward.addends(
                layer, self.memory.synapse[index], self.wiring.taps[index], self.wiring.bias_taps[index], events
            )
            if layer.is_hidden:
                now[index] = self._hidden_layer(step, index, added, learn, rec)
            else:
                self._read_out(step, index, added, rec)
        return m

    def _trace(self, step: int, index: int, m: dict[int, int], rec: Recorder) -> None:
        spec, layer, counts = self.spec, self.spec.layers[index], rec.counts(step, index)
        trace, filtered = self.memory.trace[index], self.memory.trace_filter[index]
        forward.count_trace_words(layer, trace, filtered, m, spec.trace_lanes, counts)
        forward.update_trace(layer, trace, filtered, m, unsigned_limits(spec.trace_bits), counts)
        counts["trace_nonzero"] += nonzero(trace)
        bias, not_counted = self.memory.bias_trace[index], {"sat_trace": 0}
        every_step = {0: 1 << layer.frac_event}
        limits = unsigned_limits(spec.trace_bits)
        forward.update_trace(layer, bias, self.memory.bias_filter[index], every_step, limits, not_counted)
        rec.probe(f"trace/{index}", step, trace)

    def _hidden_layer(
        self, step: int, index: int, added: Iterator[forward.Addend], learn: bool, rec: Recorder
    ) -> list[Event]:
        """Sections 3.1 and 3.2; returns the spikes as events."""
        spec, layer, counts = self.spec, self.spec.layers[index], rec.counts(step, index)
        potential, current = self.memory.potential[index], self.memory.current[index]
        deliver = forward.deliver_wide if spec.deliver == "neuron" else forward.deliver
        deliver(layer, potential, added, signed_limits(spec.membrane_bits), counts, current)
        self._probe_state(step, index, potential, rec)
        if learn:
            psi = self.memory.psi[index]
            forward.surrogate_codes(layer, potential, self.surrogate_table, psi)
            counts["psi_nonzero"] += nonzero(psi)
            rec.probe(f"psi/{index}", step, psi)
        spikes = forward.fire(layer, potential)
        counts["spikes"] += nonzero(spikes)
        rec.probe(f"spike/{index}", step, spikes)
        return [(j, 1) for j, s in enumerate(spikes) if s]

    def _read_out(self, step: int, index: int, added: Iterator[forward.Addend], rec: Recorder) -> None:
        memory, layer = self.memory, self.spec.layers[index]
        z = memory.readout[index]
        limits, counts = signed_limits(self.spec.readout_bits), rec.counts(step, index)
        forward.read_out(layer, z, added, limits, counts, memory.current[index])
        self._probe_state(step, index, z, rec)
        if index == len(self.spec.layers) - 1 and step + 1 >= self.spec.loss_start:
            for c, value in enumerate(z):
                memory.readout_sum[c] += value

    def _probe_state(self, step: int, index: int, potential: Sequence[int], rec: Recorder) -> None:
        rec.probe(f"potential/{index}", step, potential)
        if self.spec.layers[index].has_current:
            rec.probe(f"current/{index}", step, self.memory.current[index])

    def _with_absent_rows(self, rows_of: Sequence[list[list[int]]]) -> list[list[list[int]]]:
        """Copy rows that are stored without what is absent, and put rows of 0 in its place, bias rows last."""
        copies = []
        for layer, rows in zip(self.spec.layers, rows_of, strict=False):
            n_absent = layer.n_weight_rows + layer.n_bias_rows - len(rows)
            copies.append([list(row) for row in rows] + [[0] * layer.columns for _ in range(n_absent)])
        return copies
