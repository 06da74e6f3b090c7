"""Learning half of a step: errors, back in space and time, and what is learnt from them (semantics 3.3 to 3.7)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from neurochip.reference.core import error
from neurochip.reference.core.arithmetic import exponential_table
from neurochip.reference.core.error import ErrorPath
from neurochip.reference.core.memory import Memories, learns
from neurochip.reference.core.recording import (
    BlockCounts,
    Recorder,
    count_error,
    count_signal,
    count_tiles,
    count_update,
)
from neurochip.reference.core.update import Factor, Plasticity, presynaptic_factors, products
from neurochip.reference.core.wiring import Event, Spikes, Wiring, carries_error, input_word
from neurochip.spec import NETWORK_INPUT, CoreSpec
from neurochip.topology import Connection

Magnitudes = Sequence[Mapping[int, int]]  # [layer] -> m_i


class Learning:
    """Forms the errors of one core, and updates its weights or gradients from them."""

    def __init__(self, spec: CoreSpec, memory: Memories, wiring: Wiring) -> None:
        self.spec = spec
        self.memory = memory
        self.wiring = wiring
        self.plasticity = Plasticity(spec, memory)
        self.exponential_table = exponential_table()

    def readout_errors(self, step: int, label: int, rec: Recorder) -> None:
        """Section 3.4: e of every readout; 0, without a softmax, in a step without loss."""
        for index, layer in enumerate(self.spec.layers):
            if layer.kind != "readout":
                continue
            errors = [0] * layer.n_out
            if self.spec.has_loss(step + 1):
                z, counts = self.memory.readout[index], rec.counts(step, index)
                errors = error.readout_error(self.spec, z, label, self.exponential_table, counts, index)
            self.memory.signal[index][:] = errors

    def without_loss(self, step: int, rec: Recorder) -> None:
        """Section 3, loss steps: no signal at all, for rules that are not unrolled."""
        for index, layer in enumerate(self.spec.layers):
            if layer.kind == "feedback":
                continue
            self.memory.signal[index][:] = [0] * layer.n_out
            rec.probe(f"signal/{index}", step, [0] * layer.n_out)
            if layer.is_hidden:
                rec.probe(f"d/{index}", step, [0] * layer.n_out)

    def signal(self, index: int) -> list[int]:
        """What a layer learns from: e, g, delta or eps; a feedback layer has the signal of the readout it names."""
        signal_of = self.spec.layers[index].signal_of
        if self.spec.layers[index].kind == "feedback" and signal_of is not None:
            return self.signal(signal_of)
        return self.memory.delta_current[index] or self.memory.delta[index] or self.memory.signal[index]

    def errors(self, step: int, rec: Recorder) -> None:
        """Sections 3.4 and 3.7: the signals of all layers, last to first, before any update of the step."""
        spec, memory = self.spec, self.memory
        for index, layer in enumerate(spec.layers):
            if layer.kind == "readout" and memory.delta[index]:
                self._back_in_time(step, index, rec)
        for index in reversed(range(len(spec.layers))):
            if spec.layers[index].is_hidden:
                self._hidden_error(step, index, rec)
        for index, layer in enumerate(spec.layers):
            signal = BlockCounts.of(self.signal(index), layer.columns, spec.synapse_lanes)
            counts, taps = rec.counts(step, index), self.wiring.taps[index]
            count_signal(counts, signal, taps)
            count_error(counts, signal, self._psi_addresses(index), taps)
            if layer.kind != "feedback":  # its signal is that of a readout, which has a probe
                rec.probe(f"signal/{index}", step, self.signal(index))

    def _hidden_error(self, step: int, index: int, rec: Recorder) -> None:
        """d and g, under unroll delta and eps, of one hidden layer, out of the signals of the layers it leads to."""
        spec, memory, counts = self.spec, self.memory, rec.counts(step, index)
        psi, signal = memory.psi[index], memory.signal[index]
        paths = []
        for n in range(index + 1, len(spec.layers)):
            for number, connection in enumerate(self.wiring.connections[n]):
                if connection.source == index and carries_error(connection):
                    paths.append(self._path(n, number, spec.error_shift(index, n)))
        for number, connection in enumerate(self.wiring.connections[index]):
            if connection.delay == 1 and spec.credit == "unroll":  # self.signal still is that of t + 1
                delayed = self._path(index, number, spec.layers[index].frac_weight + spec.layers[index].frac_event)
                paths.append(delayed)
                later = BlockCounts.of(delayed.signal, delayed.columns, spec.synapse_lanes)
                count_error(counts, later, delayed.addresses(psi), delayed.taps)
        rec.probe(f"d/{index}", step, error.back_in_space(spec, paths, psi, signal, counts))
        if spec.credit == "unroll":
            self._back_in_time(step, index, rec)

    def _back_in_time(self, step: int, index: int, rec: Recorder) -> None:
        """Section 3.7: delta of u or z, and with a synaptic current eps of i, of one layer."""
        spec, memory, counts = self.spec, self.memory, rec.counts(step, index)
        delta = memory.delta[index]
        error.back_in_time(spec, index, memory.psi[index], memory.signal[index], delta, counts)
        error.back_through_current(spec, index, delta, memory.delta_current[index], counts)

    def _path(self, n: int, number: int, shift: int) -> ErrorPath:
        """The way back along connection `number` of layer n."""
        return ErrorPath(
            connection=self.wiring.connections[n][number],
            shift=shift,
            taps=self.wiring.taps[n],
            weights=self.memory.synapse[n],
            columns=self.spec.layers[n].columns,
            signal=self.signal(n),
            stored=self.memory.partial_error[n][number],
        )

    def _psi_addresses(self, index: int) -> set[int]:
        """Section 5: input addresses to which, along a connection that carries error, a neuron with psi != 0 leads."""

        def leads_to(connection: Connection) -> set[int | None]:
            return {connection.address(i) for i, code in enumerate(self.memory.psi[connection.source]) if code}

        carrying = [connection for connection in self.wiring.connections[index] if carries_error(connection)]
        return {address for c in carrying for address in leads_to(c) if address is not None}

    def updates(self, step: int, m: Magnitudes, rec: Recorder) -> None:
        """Section 3.5 or 3.6 for all layers that learn, last to first."""
        spec = self.spec
        for index, layer in reversed(list(enumerate(spec.layers))):
            if not learns(layer):
                continue
            signal, counts, taps = self.signal(index), rec.counts(step, index), self.wiring.taps[index]
            p = presynaptic_factors(layer, self.memory.trace[index], m[index], spec.trace_gate)
            factors: list[Factor] = [(p_i, taps[i]) for i, p_i in p.items()]
            (bias_p,) = self.memory.bias_trace[index] or [1 << layer.frac_presynaptic]
            factors += [(bias_p, row_taps) for row_taps in self.wiring.bias_taps[index]]
            blocks = BlockCounts.of(signal, layer.columns, spec.synapse_lanes)
            count_update(counts, blocks, [factor_taps for _, factor_taps in factors])
            count_tiles(counts, blocks, [(input_word(layer, i, spec.trace_lanes), taps[i]) for i in p])
            self.plasticity.learn(index, products(factors, signal, layer.columns), step, rec)

    def remember(self, slot: int, now: Spikes) -> None:
        """Section 3.7: keep m of the input of the network, s and psi of the hidden layers and e of the readouts."""
        memory = self.memory
        fill(memory.history_input[slot], now[NETWORK_INPUT])
        for index in range(len(self.spec.layers)):
            fill(memory.history_spike[slot][index], now.get(index, []))
            memory.history_psi[slot][index][:] = memory.psi[index]
            if self.spec.layers[index].kind == "readout":
                memory.history_error[slot][index][:] = memory.signal[index]

    def recall(self, slot: int) -> None:
        """Put psi and e of a step back in place."""
        memory = self.memory
        for index in range(len(self.spec.layers)):
            memory.psi[index][:] = memory.history_psi[slot][index]
            if self.spec.layers[index].kind == "readout":
                memory.signal[index][:] = memory.history_error[slot][index]

    def kept_spikes(self, slot: int) -> dict[int, list[Event]]:
        """The events of every source in a kept step."""
        memory = self.memory
        kept = {NETWORK_INPUT: memory.history_input[slot]} | dict(enumerate(memory.history_spike[slot]))
        return {source: [(i, m) for i, m in enumerate(values) if m] for source, values in kept.items()}


def fill(magnitudes: list[int], events: Sequence[Event]) -> None:
    """Write events into a list of one magnitude per address, 0 where there is none."""
    magnitudes[:] = [0] * len(magnitudes)
    for address, m in events:
        magnitudes[address] = m
