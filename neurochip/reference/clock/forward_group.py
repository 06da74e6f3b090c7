"""DELIVER of a layer, and beside it whoever sends its events: the host buffer, or FIRE of the layer below."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from neurochip.reference.clock import lanes
from neurochip.reference.clock.dram import Burst, DramSpace
from neurochip.reference.clock.fifo import Event
from neurochip.reference.clock.layout import Region
from neurochip.reference.clock.machine import Machine, Pipeline
from neurochip.reference.clock.memory import Memory, Tag, Word
from neurochip.reference.core.arithmetic import signed_limits


def on_chip(region: Region) -> Memory:
    """The memory of a region that is never in DRAM, and so has ports to ask for."""
    if not isinstance(region.space, Memory):
        raise TypeError(f"the {region.space.name} memory must be on the chip")
    return region.space


def event_tag(machine: Machine, layer: int) -> Tag:
    """What the pushes and pops of a layer's input events are counted under."""
    spec = machine.spec
    magnitude_bits = spec.event_bits if layer == 0 else 1
    return ("deliver", layer, (spec.layers[layer].n_in - 1).bit_length() + magnitude_bits)


class HostBuffer:
    """The input events of a step on their way into the FIFO, one per clock."""

    def __init__(self, machine: Machine, events: Sequence[Event]) -> None:
        self._fifo = machine.layout.fifo
        self._tag = event_tag(machine, 0)
        self._events = deque(events)

    @property
    def done(self) -> bool:
        """Whether all events have entered the FIFO."""
        return not self._events

    def tick(self, now: int) -> None:
        """One clock."""
        if self._events and not self._fifo.was_full:
            self._fifo.push(self._events.popleft(), self._tag)


class Fire:
    """One pass over the neuron words of a hidden layer: read, compare, write back leaked, push the spikes."""

    def __init__(self, machine: Machine, layer: int, is_last_step: bool, learn: bool) -> None:
        spec = machine.spec
        self._machine, self._layer, self._is_last_step = machine, layer, is_last_step
        self._neuron = machine.layout.region("potential", layer)
        self._memory = on_chip(self._neuron)
        self._tag = self._neuron.tag("fire")
        self._psi = machine.layout.region("psi", layer) if learn and spec.credit != "unroll" else None
        self._learn = learn
        self._event_tag = event_tag(machine, layer + 1)
        self._limits = signed_limits(spec.membrane_bits)
        self._result_latency = self._memory.read_latency_cycles + machine.chip.pipeline_latency_cycles  # phi
        self._word = 0
        self._operands: Word = []
        self._due = -1  # clock in which the result is there; -1 before the read
        self._write_back: Word | None = None
        self._spikes: deque[Event] = deque()

    @property
    def done(self) -> bool:
        """Whether the last word is written back and its last spike is pushed."""
        return self._word == self._neuron.row_words

    def tick(self, now: int) -> None:
        """One clock, after DELIVER has taken the ports it needs in it."""
        if self._due < 0:
            self._read(now)
            return
        if now < self._due:
            self._machine.stalls["latency"] += 1
            return
        if now == self._due:
            self._compute(now)
        self._write(now)
        self._push()
        if self._write_back is None and not self._spikes:
            self._word += 1
            self._due = -1

    def _read(self, now: int) -> None:
        address = self._neuron.base + self._word
        if not self._memory.can_read(now, address):
            self._machine.stalls["arbitration"] += 1
            return
        self._operands = self._memory.read(now, address, self._tag)
        self._due = now + self._result_latency

    def _compute(self, now: int) -> None:
        machine, layer, word = self._machine, self._layer, self._word
        columns = self._neuron.columns(word)
        spikes, leaked, indices = lanes.fire(machine.spec.layers[layer], self._operands, self._limits)
        self._write_back = [0] * len(leaked) if self._is_last_step else leaked
        self._spikes = deque((columns.start + j, 1) for j, s in enumerate(spikes) if s)
        if not self._learn:
            return
        codes = [machine.surrogate_table[index] for index in indices]
        machine.buffer.psi[layer][columns] = codes
        if self._psi is not None:
            self._psi.space.write(now, self._psi.base + word, codes, self._psi.tag("fire"))

    def _write(self, now: int) -> None:
        if self._write_back is None:
            return
        address = self._neuron.base + self._word
        if not self._memory.can_write(now, address):
            self._machine.stalls["arbitration"] += 1
            return
        self._memory.write(now, address, self._write_back, self._tag)
        self._write_back = None

    def _push(self) -> None:
        if not self._spikes:
            return
        fifo = self._machine.layout.fifo
        if fifo.was_full:
            self._machine.stalls["fifo_full"] += 1
            return
        fifo.push(self._spikes.popleft(), self._event_tag)


class Deliver:
    """Takes rows (the bias row, then events) and adds each to the potentials of a layer, a word per clock."""

    def __init__(self, machine: Machine, layer: int) -> None:
        spec, layout = machine.spec, machine.layout
        self._machine, self._spec, self._layer = machine, spec.layers[layer], layer
        self._synapse, self._neuron = layout.region("synapse", layer), layout.region("potential", layer)
        self._memory = on_chip(self._neuron)
        self._weights = self._synapse.space
        self._synapse_tag, self._neuron_tag = self._synapse.tag("deliver"), self._neuron.tag("deliver")
        self._event_tag = event_tag(machine, layer)
        is_readout = self._spec.kind == "readout"
        limits = signed_limits(spec.readout_bits if is_readout else spec.membrane_bits)
        self._limits = None if spec.deliver == "neuron" and not is_readout else limits
        latency = machine.latency(self._memory, self._weights)
        # (word, potentials, weights, magnitude)
        self._pipeline: Pipeline[tuple[int, Word, Word, int]] = Pipeline(latency)
        self._outstanding_until = [-1] * self._neuron.row_words
        self._start = machine.now
        self._bias_waits = self._spec.bias
        self._row: Event | None = None
        self._word = 0
        self._burst: Burst | None = None
        self._empty_clocks = 0  # without a row; `event_wait` only if an event still comes
        self._n_unwritten = 0
        self._magnitudes = machine.buffer.magnitudes[layer]
        self._magnitudes[:] = [0] * len(self._magnitudes)

    @property
    def idle(self) -> bool:
        """Whether it has no row, of its own or in the FIFO, to begin words of."""
        return self._row is None and not self._bias_waits and self._machine.layout.fifo.empty

    @property
    def done(self) -> bool:
        """Whether it is idle and everything begun is written."""
        return self.idle and self._n_unwritten == 0

    def tick(self, now: int, sender_ended: bool) -> None:
        """One clock: write what leaves the pipeline, then begin at most one word."""
        finished = self._pipeline.leave(now)
        if finished is not None:
            self._write(now, *finished)
        stalls, fifo = self._machine.stalls, self._machine.layout.fifo
        if self._row is None and not self._bias_waits and fifo.held_at_start == 0:
            if sender_ended:
                stalls["latency"] += 1
            else:
                self._empty_clocks += 1
            return
        stalls["event_wait"] += self._empty_clocks
        self._empty_clocks = 0
        if isinstance(self._weights, DramSpace) and self._fetch(now, self._weights):
            return
        if (now - self._start) % self._memory.interval:
            stalls["port"] += 1
        elif now <= self._outstanding_until[self._word]:
            stalls["raw_hazard"] += 1
        else:
            self._begin(now)

    def _fetch(self, now: int, space: DramSpace) -> bool:
        """One clock of the burst that brings the row from DRAM; false once it is there."""
        if self._row is None:
            row, _ = self._take()
            words = self._synapse.row_words
            tags = [self._synapse_tag] * words
            self._burst = Burst(space, self._synapse.base + row * words, tags, False, self._machine.stalls)
        if self._burst is None:
            return False
        if self._burst.clock(now):
            self._burst = None
        return True

    def _take(self) -> Event:
        if self._bias_waits:
            self._bias_waits = False
            self._row = (self._spec.n_in, 1)
        else:
            self._row = self._machine.layout.fifo.pop(self._event_tag)
            address, magnitude = self._row
            self._magnitudes[address] = magnitude
        return self._row

    def _begin(self, now: int) -> None:
        row, magnitude = self._row or self._take()
        word = self._word
        weights = self._weights.read(now, self._synapse.base + row * self._synapse.row_words + word, self._synapse_tag)
        potentials = self._memory.read(now, self._neuron.base + word, self._neuron_tag)
        self._pipeline.enter(now, (word, potentials, weights, magnitude))
        self._outstanding_until[word] = now + self._pipeline.latency
        self._n_unwritten += 1
        self._word += 1
        if self._word == self._neuron.row_words:
            self._row, self._word = None, 0

    def _write(self, now: int, word: int, potentials: Word, weights: Word, magnitude: int) -> None:
        summed = lanes.deliver(potentials, weights, magnitude, self._spec.deliver_shift, self._limits)
        self._memory.write(now, self._neuron.base + word, summed, self._neuron_tag)
        self._n_unwritten -= 1


class ForwardGroup:
    """FIRE of the layer below, or the host buffer for the first layer, beside DELIVER."""

    def __init__(self, machine: Machine, layer: int, sender: HostBuffer | Fire) -> None:
        self._fifo = machine.layout.fifo
        self._sender, self._deliver = sender, Deliver(machine, layer)

    @property
    def phase(self) -> str:
        """`fire` up to the last write or push of FIRE, then `deliver`."""
        return "fire" if isinstance(self._sender, Fire) and not self._sender.done else "deliver"

    @property
    def done(self) -> bool:
        """Whether both have ended."""
        return self._sender.done and self._deliver.done

    def tick(self, now: int) -> None:
        """One clock; DELIVER takes its ports first, so FIRE never takes one from it."""
        self._fifo.start_clock()
        sender_ended = self._sender.done
        self._deliver.tick(now, sender_ended)
        if not sender_ended:
            self._sender.tick(now)

    def check_empty(self) -> None:
        """Nothing to check: `done` waits for every write."""
