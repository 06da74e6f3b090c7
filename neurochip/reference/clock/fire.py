"""FIRE of a hidden layer: one pass over its neuron words, beside DELIVER of the layer that takes its spikes."""

from __future__ import annotations

from collections import deque

from neurochip.reference.clock import lanes
from neurochip.reference.clock.fifo import Event
from neurochip.reference.clock.layout import Region, halves
from neurochip.reference.clock.machine import Machine
from neurochip.reference.clock.memory import Memory, Tag, Word
from neurochip.reference.core.arithmetic import signed_limits
from neurochip.topology import Connection


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


class Fire:
    """Read, add i if there is one, compare, write back leaked, push the spikes as a connection renames them."""

    def __init__(
        self, machine: Machine, layer: int, connection: Connection, tag: Tag, is_last_step: bool, learn: bool
    ) -> None:
        spec = machine.spec
        self._machine, self._layer, self._is_last_step = machine, layer, is_last_step
        self._neuron = machine.layout.region("potential", layer)
        self._memory = on_chip(self._neuron)
        self._tag = self._neuron.tag("fire")
        self._psi = machine.layout.region("psi", layer) if learn and spec.credit != "unroll" else None
        self._learn = learn
        self._connection, self._event_tag = connection, tag
        self._limits = signed_limits(spec.membrane_bits)
        self._result_latency = self._memory.read_latency_cycles + machine.chip.pipeline_latency_cycles  # phi
        self._word = 0
        self._operands: Word = []
        self._due = -1  # clock in which the result is there; -1 before the read
        self._write_back: Word | None = None
        self._spikes: deque[Event] = deque()
        machine.buffer.spikes_before[layer][:] = machine.buffer.spikes[layer]

    @property
    def done(self) -> bool:
        """Whether the last word is written back and its last spike is pushed."""
        return self._word == self._neuron.n_words

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
        neurons = self._neuron.numbers(word)
        spec, potentials = machine.spec.layers[layer], self._operands
        currents: Word = []
        if self._neuron.pairs:
            potentials, currents = lanes.add_currents(spec, *halves(self._operands), self._limits)
        spikes, leaked, indices = lanes.fire(spec, potentials, self._limits)
        self._write_back = [0] * len(self._operands) if self._is_last_step else leaked + currents
        machine.buffer.spikes[layer][neurons] = spikes
        renamed = (self._connection.address(neurons.start + j) for j, s in enumerate(spikes) if s)
        self._spikes = deque((address, 1) for address in renamed if address is not None)
        if not self._learn:
            return
        codes = [machine.surrogate_table[index] for index in indices]
        machine.buffer.psi[layer][neurons] = codes
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
