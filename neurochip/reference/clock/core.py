"""The clock model of `ottt_core`: the phases of docs/microarchitecture.md, section 2, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from neurochip.reference.clock.apply import Apply
from neurochip.reference.clock.error import BackInSpace, ClearDeltas
from neurochip.reference.clock.forward_group import Fire, ForwardGroup, HostBuffer
from neurochip.reference.clock.history import History
from neurochip.reference.clock.layout import ChipShape, Gates
from neurochip.reference.clock.machine import Machine
from neurochip.reference.clock.memory import AccessCounts
from neurochip.reference.clock.readout import FireReadout, Softmax, WriteError
from neurochip.reference.clock.trace import Trace
from neurochip.reference.clock.update import Update
from neurochip.reference.core.checks import GoldenSample, check_rule, check_sample
from neurochip.reference.core.memory import keeps_trace
from neurochip.spec import CoreSpec

Rows = list[list[int]]


@dataclass(frozen=True)
class ClockRun:
    """What one call of `ClockCore.run` did, and how long it took.

    Attributes:
        predictions: class index per sample.
        readout_sums: sum of z over the steps, [sample][class].
        ticks: all clocks.
        ticks_by_phase: clocks of every phase of neurochip.counters.PHASES; their sum is `ticks`.
        stalls: clocks in which a unit could not begin work, by every cause of neurochip.counters.STALL_CAUSES.
        accesses: (key, phase, layer, (bits of the word,)) -> granted accesses; only those that occurred.
    """

    predictions: list[int]
    readout_sums: list[list[int]]
    ticks: int
    ticks_by_phase: dict[str, int]
    stalls: dict[str, int]
    accesses: AccessCounts


class ClockCore:
    """The learning core, one Python call of `tick` per clock, computing out of its own memories.

    Args:
        spec: resolved integers of the network, its formats and its rule.
        weights: [layer][N_in + 1][N_out], last row the bias (0 where the layer has none).
        chip: lanes, widths, latencies and memories (see `ChipShape`).
        gates: which zeros are skipped.

    Raises:
        UserError: if the specification is illegal, or its words do not fit the memories of the chip.
    """

    def __init__(
        self, spec: CoreSpec, weights: Sequence[Sequence[Sequence[int]]], chip: ChipShape, gates: Gates
    ) -> None:
        check_rule(spec)
        self.spec = spec
        self.machine = Machine(spec, weights, chip, gates)
        self._samples_in_batch = 0

    @property
    def weights(self) -> list[Rows]:
        """The image of the synapse memory [layer][N_in + 1][N_out]; the bias row of a layer without bias is 0."""
        return self._matrices("synapse")

    @property
    def gradients(self) -> list[Rows]:
        """The image of the gradient memory, shaped like the weights; empty unless the update accumulates."""
        accumulates = self.spec.credit != "none" and self.spec.update == "accumulate"
        return self._matrices("gradient") if accumulates else []

    @property
    def registers(self) -> list[list[int]]:
        """The random registers [layer][lane]."""
        return [list(random.registers) for random in self.machine.random]

    def set_registers(self, registers: Sequence[Sequence[int]]) -> None:
        """Put back random registers saved between epochs, [layer][lane]."""
        for random, values in zip(self.machine.random, registers, strict=True):
            random.registers[:] = values

    @property
    def potentials(self) -> Rows:
        """The potentials of hidden layers and z of the readout as they lie in the neuron memory [layer][neuron]."""
        layout = self.machine.layout
        return [layout.region("potential", index).image()[0] for index in range(len(self.spec.layers))]

    @property
    def traces(self) -> Rows:
        """The traces [layer][input], 0 in words whose valid bit is not set; empty where no trace is kept."""
        layout = self.machine.layout
        found: Rows = []
        for index, layer in enumerate(self.spec.layers):
            if not keeps_trace(self.spec, layer):
                found.append([])
                continue
            region, valid = layout.region("trace", index), self.machine.buffer.valid_traces[index]
            found.append([a * valid[i // region.lanes] for i, a in enumerate(region.image()[0])])
        return found

    @property
    def high_water_words(self) -> dict[str, int]:
        """Words of each memory that were ever written or loaded; of the event FIFO the most it ever held."""
        layout = self.machine.layout
        return {name: space.used_words() for name, space in layout.spaces.items()} | {
            "event_fifo": layout.fifo.most_held
        }

    def run(self, samples: Sequence[GoldenSample], learn: bool, end_of_epoch: bool = True) -> ClockRun:
        """Run samples in order, learning by the rule of the specification if `learn`.

        Accumulated gradients are applied after every `batch`-th sample and, if `end_of_epoch`, after the last one.

        Raises:
            UserError: if a sample does not fit the specification.
        """
        spec, machine = self.spec, self.machine
        learn = learn and spec.credit != "none"
        machine.start_counting()
        predictions, readout_sums = [], []
        for index, sample in enumerate(samples):
            check_sample(spec, sample, index, learn)
            self._run_sample(sample, learn)
            sums = machine.layout.region("sum", len(spec.layers) - 1).image()[0]
            readout_sums.append(sums)
            predictions.append(sums.index(max(sums)))  # the lowest class of equals
            if learn and spec.update == "accumulate":
                self._samples_in_batch += 1
                if self._samples_in_batch == spec.batch:
                    self._apply()
        if learn and end_of_epoch and self._samples_in_batch > 0:
            self._apply()
        return ClockRun(
            predictions, readout_sums, sum(machine.ticks.values()), machine.ticks, machine.stalls, self._accesses()
        )

    def _run_sample(self, sample: GoldenSample, learn: bool) -> None:
        machine, unrolls = self.machine, self.spec.credit == "unroll"
        for step, events in enumerate(sample.steps):
            self._forward(step, events, learn)
            if not learn:
                continue
            if not unrolls:
                for index, layer in enumerate(self.spec.layers):
                    if keeps_trace(self.spec, layer):
                        machine.run(Trace(machine, index, step))
            machine.run(Softmax(machine, sample.label))
            if unrolls:
                machine.run(History(machine, step, is_write=True))
            else:
                self._learn()
        if learn and unrolls:
            machine.run(ClearDeltas(machine))
            for step in reversed(range(self.spec.n_steps)):
                machine.run(History(machine, step, is_write=False))
                machine.run(WriteError(machine))
                self._learn()

    def _forward(self, step: int, events: Sequence[tuple[int, int]], learn: bool) -> None:
        """Group 0 is DELIVER of the first layer alone; the others run FIRE of the layer below beside it."""
        machine = self.machine
        machine.run(ForwardGroup(machine, 0, HostBuffer(machine, events)))
        is_last_step = step == self.spec.n_steps - 1
        for index in range(1, len(self.spec.layers)):
            fire = Fire(machine, index - 1, is_last_step, learn)
            machine.run(ForwardGroup(machine, index, fire))
        machine.run(FireReadout(machine, step))

    def _learn(self) -> None:
        """ERROR, last layer to second, with the weights as they are; then UPDATE, last to first."""
        machine, n_layers = self.machine, len(self.spec.layers)
        for index in reversed(range(1, n_layers)):
            machine.run(BackInSpace(machine, index))
        for index in reversed(range(n_layers)):
            machine.run(Update(machine, index))

    def _apply(self) -> None:
        for index in reversed(range(len(self.spec.layers))):
            self.machine.run(Apply(self.machine, index))
        self._samples_in_batch = 0

    def _accesses(self) -> AccessCounts:
        accesses: AccessCounts = {}
        for counted in (self.machine.layout.fifo, *self.machine.layout.spaces.values()):
            counted.add_counts(accesses)
        return accesses

    def _matrices(self, content: str) -> list[Rows]:
        """Rows as they lie in memory, with a row of 0 in place of an absent bias row."""
        return [
            self.machine.layout.region(content, index).image() + ([] if layer.bias else [[0] * layer.n_out])
            for index, layer in enumerate(self.spec.layers)
        ]
