"""DELIVER: takes the bias, then events; adds the row of each tap to its block of potentials or i, a word per clock."""

from __future__ import annotations

from neurochip.reference.clock import lanes
from neurochip.reference.clock.dram import Burst, DramSpace
from neurochip.reference.clock.fifo import Event
from neurochip.reference.clock.fire import event_tag, on_chip
from neurochip.reference.clock.layout import halves
from neurochip.reference.clock.machine import Machine, Pipeline
from neurochip.reference.clock.memory import Word
from neurochip.reference.clock.network import bias_taps
from neurochip.reference.core.arithmetic import signed_limits
from neurochip.topology import Tap

BIAS = -1  # in place of the address of an event
# (neuron word, potentials and perhaps i, weights, magnitude)
Operands = tuple[int, Word, Word, int]


class Deliver:
    """The events of a layer, each with its taps, the words of a tap ascending."""

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
        self._pipeline: Pipeline[Operands] = Pipeline(machine.latency(self._memory, self._weights))
        self._outstanding_until = [-1] * self._neuron.n_words
        self._start = machine.now
        self._bias_taps, self._bias_waits = bias_taps(self._spec), self._spec.bias
        self._event: Event | None = None
        self._taps: list[Tap] = []  # of the event under way
        self._tap, self._word = 0, 0
        self._burst: Burst | None = None
        self._empty_clocks = 0  # without an event; `event_wait` only if one still comes
        self._n_unwritten = 0
        self._magnitudes = machine.buffer.magnitudes[layer]
        self._magnitudes[:] = [0] * len(self._magnitudes)

    @property
    def idle(self) -> bool:
        """Whether it has no event, of its own or in the FIFO, to begin words of."""
        return self._event is None and not self._bias_waits and self._machine.layout.fifo.empty

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
        if self._event is None and not self._bias_waits and fifo.held_at_start == 0:
            if sender_ended:
                stalls["latency"] += 1
            else:
                self._empty_clocks += 1
            return
        stalls["event_wait"] += self._empty_clocks
        self._machine.waited = self._empty_clocks
        self._empty_clocks = 0
        if self._event is None and not self._next_taps():
            self._take()
            self._event = None
            stalls["event_wait"] += 1
            return
        if isinstance(self._weights, DramSpace) and self._fetch(now, self._weights):
            return
        row, block = (self._taps if self._event is not None else self._next_taps())[self._tap]
        if (now - self._start) % self._memory.interval:
            stalls["port"] += 1
        elif now <= self._outstanding_until[block * self._neuron.row_words + self._word]:
            stalls["raw_hazard"] += 1
        else:
            self._begin(now, row, block)

    def _next_taps(self) -> list[Tap]:
        """The taps of the event that would be taken now."""
        if self._bias_waits:
            return self._bias_taps
        address, _ = self._machine.layout.fifo.head
        return self._machine.taps(self._layer, address)

    def _fetch(self, now: int, space: DramSpace) -> bool:
        """One clock of the burst that brings the row from DRAM; false once it is there. A row has one tap there."""
        if self._event is None:
            self._take()
            words = self._synapse.row_words
            tags = [self._synapse_tag] * words
            row, _ = self._taps[0]
            self._burst = Burst(space, self._synapse.base + row * words, tags, False, self._machine.stalls)
        if self._burst is None:
            return False
        if self._burst.clock(now):
            self._burst = None
        return True

    def _take(self) -> Event:
        self._taps = self._next_taps()
        if self._bias_waits:
            self._bias_waits = False
            self._event = (BIAS, 1)
            return self._event
        self._event = self._machine.layout.fifo.pop(self._event_tag)
        address, magnitude = self._event
        self._magnitudes[address] += magnitude
        return self._event

    def _begin(self, now: int, row: int, block: int) -> None:
        _, magnitude = self._event or self._take()
        word = self._word
        target = block * self._neuron.row_words + word
        weights = self._weights.read(now, self._synapse.base + row * self._synapse.row_words + word, self._synapse_tag)
        potentials = self._memory.read(now, self._neuron.base + target, self._neuron_tag)
        self._pipeline.enter(now, (target, potentials, weights, magnitude))
        self._outstanding_until[target] = now + self._pipeline.latency
        self._n_unwritten += 1
        self._word += 1
        if self._word == self._neuron.row_words:
            self._word = 0
            self._tap += 1
        if self._tap == len(self._taps):
            self._event, self._tap = None, 0

    def _write(self, now: int, word: int, potentials: Word, weights: Word, magnitude: int) -> None:
        shift = self._spec.deliver_shift
        if self._neuron.pairs:
            kept, currents = halves(potentials)
            summed = kept + lanes.deliver(currents, weights, magnitude, shift, self._limits)
        else:
            summed = lanes.deliver(potentials, weights, magnitude, shift, self._limits)
        self._memory.write(now, self._neuron.base + word, summed, self._neuron_tag)
        self._n_unwritten -= 1
