"""The clock model of `ottt_core`: the phases of docs/microarchitecture.md, section 2, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from neurochip.reference.clock.apply import Apply
from neurochip.reference.clock.error import ClearDeltas, back_in_space
from neurochip.reference.clock.forward_group import ForwardGroup
from neurochip.reference.clock.gate import Gate
from neurochip.reference.clock.history import History
from neurochip.reference.clock.machine import Machine
from neurochip.reference.clock.memory import AccessCounts
from neurochip.reference.clock.network import (
    Gates,
    check_network,
    error_ways,
    groups,
    hidden_layers,
    learning_layers,
    readouts,
    recurrent_way,
)
from neurochip.reference.clock.observer import Observer
from neurochip.reference.clock.readout import FireReadout, Softmax, error_of_step
from neurochip.reference.clock.schedule import Applies
from neurochip.reference.clock.shapes import ChipShape
from neurochip.reference.clock.standardise import Standardise
from neurochip.reference.clock.trace import Trace
from neurochip.reference.clock.update import Update
from neurochip.reference.clock.update_tiles import UpdateTiles
from neurochip.reference.core.checks import GoldenSample, check_sample
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
        weights: [layer][rows and bias rows][columns], bias rows last (0 where the layer has none).
        chip: lanes, widths, latencies and memories (see `ChipShape`).
        gates: which zeros are skipped.

    Raises:
        UserError: if the specification is illegal, or its words do not fit the memories of the chip.
    """

    def __init__(
        self, spec: CoreSpec, weights: Sequence[Sequence[Sequence[int]]], chip: ChipShape, gates: Gates
    ) -> None:
        spec.check()
        check_network(spec, gates)
        self.spec = spec
        self.machine = Machine(spec, weights, chip, gates)
        self._ways = error_ways(spec)
        self._fed_directly = {
            spec.connections(way.layer)[way.numbers[0]].source for way in self._ways.values() if way.direct
        }
        self._samples_in_batch = 0
        self._samples_since_standardise = 0

    @property
    def weights(self) -> list[Rows]:
        """The image of the synapse memory, shaped as given; absent bias rows are 0.

        Layers that lie in no memory, as the rule does not need them, are as given.
        """
        return self._matrices("synapse", self.machine.layout.given)

    @property
    def gradients(self) -> list[Rows]:
        """The image of the gradient memory, shaped like the weights, 0 of layers that do not learn.

        Empty unless the update accumulates.
        """
        if self.spec.credit == "none" or self.spec.update != "accumulate":
            return []
        given = self.machine.layout.given
        return self._matrices("gradient", [[[0] * len(row) for row in rows] for rows in given])

    @property
    def registers(self) -> list[list[int]]:
        """The random registers [layer][lane]."""
        return [list(random.registers) for random in self.machine.random]

    def set_registers(self, registers: Sequence[Sequence[int]]) -> None:
        """Put back random registers saved between epochs, [layer][lane]."""
        for random, values in zip(self.machine.random, registers, strict=True):
            random.registers[:] = values

    def set_velocities(self, velocities: Sequence[Sequence[Sequence[int]]]) -> None:
        """Put back V, [layer][row][column], saved between epochs, and the bits of the words that hold something."""
        for index, given in enumerate(velocities):
            region = self.machine.layout.find("velocity", index)
            if region is None:
                continue
            rows = [list(row) for row in given[: region.n_rows]]  # rows of absent biases are not stored
            region.load(rows)
            words = [any(row[region.columns(word)]) for row in rows for word in range(region.row_words)]
            self.machine.buffer.valid_velocities[index][:] = words

    @property
    def potentials(self) -> Rows:
        """Potentials of hidden layers and z of readouts as they lie in the neuron memory [layer][neuron].

        Empty for layers that have neither.
        """
        found = [self.machine.layout.find("potential", index) for index in range(len(self.spec.layers))]
        return [[] if region is None else region.flat() for region in found]

    @property
    def traces(self) -> Rows:
        """The traces [layer][input], 0 in words whose valid bit is not set; empty where no trace is kept."""
        found: Rows = []
        for index, valid in enumerate(self.machine.buffer.valid_traces):
            region = self.machine.layout.find("trace", index)
            found.append([])
            if region is not None:
                found[-1] = [a * valid[region.word_of(i)] for i, a in enumerate(region.flat())]
        return found

    @property
    def high_water_words(self) -> dict[str, int]:
        """Words of each memory that were ever written or loaded; of the event FIFO the most it ever held."""
        layout = self.machine.layout
        return {name: space.used_words() for name, space in layout.spaces.items()} | {
            "event_fifo": layout.fifo.most_held
        }

    def observe(self, observer: Observer | None) -> None:
        """Have someone told of every clock from now on; None: nobody."""
        self.machine.observer = observer

    def run(self, samples: Sequence[GoldenSample], learn: bool, end_of_epoch: bool = True) -> ClockRun:
        """Run samples in order, learning by the rule of the specification if `learn`.

        Gradients that are accumulated over samples are applied after every `batch`-th sample and, if `end_of_epoch`,
        after the last one; weights are standardised after every `standardise_every`-th sample, and likewise.

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
            sums = machine.layout.region("sum", len(spec.layers) - 1).flat()
            readout_sums.append(sums)
            predictions.append(sums.index(max(sums)))  # the lowest class of equals
            if learn:
                self._after_sample(end_of_epoch and index + 1 == len(samples))
        if learn and end_of_epoch:
            self._after_epoch()
        return ClockRun(
            predictions, readout_sums, sum(machine.ticks.values()), machine.ticks, machine.stalls, self._accesses()
        )

    def _after_sample(self, is_last: bool) -> None:
        """APPLY of a full batch, then STANDARDISE if it is due; an epoch may first have more to apply when it ends."""
        spec = self.spec
        if spec.update == "accumulate" and spec.apply_when == "sample":
            self._samples_in_batch += 1
            if self._samples_in_batch == spec.batch:
                self._apply()
        self._samples_since_standardise += 1
        if self._samples_since_standardise == spec.standardise_every and not is_last:
            self._standardise()

    def _after_epoch(self) -> None:
        if self._samples_in_batch > 0:
            self._apply()
        if self._samples_since_standardise > 0:
            self._standardise()

    def _run_sample(self, sample: GoldenSample, learn: bool) -> None:
        machine, spec = self.machine, self.spec
        applies, window_start = Applies(spec), 0
        machine.buffer.start_sample()
        for step, events in enumerate(sample.steps):
            machine.step = step
            machine.buffer.take_input(events)
            self._forward(step, learn)
            if not learn:
                continue
            if spec.credit != "unroll":
                self._traces(step)
            has_loss = spec.has_loss(step + 1)
            for index in readouts(spec):
                machine.buffer.error[index][:] = [0] * spec.layers[index].n_out
                if has_loss:
                    machine.run(Softmax(machine, index, sample.label), index)
            if spec.credit == "unroll":
                machine.run(History(machine, step - window_start, is_write=True))
                if step + 1 in (window_start + spec.window_steps, spec.n_steps):
                    self._back_over_window(window_start, step + 1 - window_start, applies)
                    window_start = step + 1
            elif has_loss:
                self._learn(applies)
        machine.step = None

    def _forward(self, step: int, learn: bool) -> None:
        """The groups of the step, and FIRE of a readout after its own."""
        machine = self.machine
        is_last_step = step == self.spec.n_steps - 1
        for index, fires in groups(self.spec, learn):
            machine.run(ForwardGroup(machine, index, fires, is_last_step, learn), index, fires)
            if self.spec.layers[index].kind == "readout":
                machine.run(FireReadout(machine, index, step), index)

    def _traces(self, step: int) -> None:
        for index in range(len(self.spec.layers)):
            if self.machine.layout.find("trace", index) is not None:
                self.machine.run(Trace(self.machine, index, step), index)

    def _back_over_window(self, start: int, n_steps: int, applies: Applies) -> None:
        """Unroll: its steps in reverse; then the spikes of its last step are those that the next window starts from."""
        machine, buffer = self.machine, self.machine.buffer
        last_spikes = [list(spikes) for spikes in buffer.spikes]
        machine.run(ClearDeltas(machine))
        for step in reversed(range(n_steps)):
            machine.step = start + step
            machine.run(History(machine, step, is_write=False, is_window_end=step == n_steps - 1))
            for index in readouts(self.spec):
                machine.run(error_of_step(machine, index), index)
            self._learn(applies)
        if applies.after_window(n_steps):
            self._apply()
        buffer.spikes = last_spikes

    def _learn(self, applies: Applies) -> None:
        """The errors, last layer to first, with the weights as they are; UPDATE, last to first; perhaps an apply."""
        for index in reversed(range(len(self.spec.layers))):
            self._error(index)
        for index in reversed(learning_layers(self.spec)):
            is_conv = self.spec.layers[index].conv is not None
            update = UpdateTiles(self.machine, index) if is_conv else Update(self.machine, index)
            self.machine.run(update, index)
        if applies.after_update():
            self._apply()

    def _error(self, index: int) -> None:
        """GATE of a layer that does not get its error directly, after its recurrent one; then what it gives."""
        machine = self.machine
        if index in hidden_layers(self.spec) and index not in self._fed_directly:
            own = recurrent_way(self.spec, index)
            if own is not None:
                machine.run(back_in_space(machine, own), index)
            machine.run(Gate(machine, index), index)
        if index in self._ways:
            machine.run(back_in_space(machine, self._ways[index]), index)

    def _apply(self) -> None:
        for index in reversed(learning_layers(self.spec)):
            self.machine.run(Apply(self.machine, index), index)
        self._samples_in_batch = 0

    def _standardise(self) -> None:
        for index in reversed(learning_layers(self.spec)):
            if self.spec.is_standardised(index):
                self.machine.run(Standardise(self.machine, index), index)
        self._samples_since_standardise = 0

    def _accesses(self) -> AccessCounts:
        accesses: AccessCounts = {}
        for counted in (self.machine.layout.fifo, *self.machine.layout.spaces.values()):
            counted.add_counts(accesses)
        return accesses

    def _matrices(self, content: str, instead: list[Rows]) -> list[Rows]:
        """Rows as they lie in memory, or what is given instead, with rows of 0 in place of absent bias rows."""
        found = []
        for index, layer in enumerate(self.spec.layers):
            region = self.machine.layout.find(content, index)
            rows = [list(row) for row in instead[index]] if region is None else region.image()
            absent = 0 if layer.bias else layer.n_bias_rows
            found.append(rows + [[0] * layer.columns for _ in range(absent)])
        return found
