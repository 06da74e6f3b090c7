"""Registers for the step under way: events, bitmaps and, when unrolling, psi and e. They have no ports."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from neurochip.reference.clock.fifo import Event
from neurochip.reference.clock.layout import Layout
from neurochip.reference.clock.network import n_network_inputs
from neurochip.spec import NETWORK_INPUT, CoreSpec
from neurochip.topology import Connection


class StepBuffer:
    """What the phases of one step hand to one another.

    Attributes:
        network_input: m of every address of the input of the network.
        spikes, spikes_before: of this step and the one before [layer][neuron]; empty for layers that do not fire.
        magnitudes: m of every input address [layer][address], 0 where there is no event.
        psi: codes of hidden layers [layer][neuron]; their bitmap is psi != 0. Codes are used only when unrolling:
            the other rules read them from the error memory.
        readout: z as FIRE of a readout reads them [layer][class].
        error: e of the readouts [layer][class].
        active_traces: bitmap of p != 0 [layer][address], of layers that keep a trace.
        bias_factors: p of the bias rows [layer]; bias_filters: f of those that have a trace with a filter.
        valid_traces, valid_deltas, valid_gradients, valid_velocities: bitmaps of words that hold something
            [layer][word].
        signal_words: bitmap of words with some signal != 0 [layer][word].
    """

    def __init__(self, spec: CoreSpec, layout: Layout) -> None:
        layers = spec.layers
        self._spec = spec
        self.network_input = [0] * n_network_inputs(spec)
        self.spikes = [[0] * (layer.n_out if layer.is_hidden else 0) for layer in layers]
        self.spikes_before = [list(spikes) for spikes in self.spikes]
        self.magnitudes = [[0] * layer.n_in for layer in layers]
        self.psi = [[0] * (layer.n_out if layer.is_hidden else 0) for layer in layers]
        self.readout = [[0] * layer.n_out for layer in layers]
        self.error = [[0] * layer.n_out for layer in layers]
        self.active_traces = [[False] * layer.n_in for layer in layers]

        self.bias_factors = [1 << layer.frac_presynaptic for layer in layers]
        self.bias_filters = [0] * len(layers)

        def bitmaps(content: str) -> list[list[bool]]:
            regions = [layout.find(content, index) for index in range(len(layers))]
            return [[False] * (region.n_words if region is not None else 0) for region in regions]

        self.valid_traces, self.valid_deltas, self.signal_words = bitmaps("trace"), bitmaps("signal"), bitmaps("signal")
        self.valid_gradients, self.valid_velocities = bitmaps("gradient"), bitmaps("velocity")

    def start_sample(self) -> None:
        """No neuron has fired."""
        for spikes in (*self.spikes, *self.spikes_before):
            spikes[:] = [0] * len(spikes)

    def take_input(self, events: Sequence[Event]) -> None:
        """The input events of the step."""
        self.network_input[:] = [0] * len(self.network_input)
        for address, magnitude in events:
            self.network_input[address] = magnitude

    def events_of(self, connection: Connection, is_reverse: bool = False) -> list[Event]:
        """The events of a connection, renamed by its pool, without those that it drops.

        A layer's own spikes of the step before are those of its last FIRE when it is delivered, and in the reverse
        pass those that stand in `spikes_before`.
        """
        if connection.source == NETWORK_INPUT:
            values = self.network_input
        elif connection.delay == 1 and is_reverse:
            values = self.spikes_before[connection.source]
        else:
            values = self.spikes[connection.source]
        events = ((connection.address(source), m) for source, m in enumerate(values) if m)
        return [(address, m) for address, m in events if address is not None]

    def restore_magnitudes(self) -> None:
        """In the reverse pass: m of all input addresses, from the events of the step that the history gave back."""
        for index, magnitudes in enumerate(self.magnitudes):
            magnitudes[:] = [0] * len(magnitudes)
            for connection in self._spec.connections(index):
                for address, m in self.events_of(connection, is_reverse=True):
                    magnitudes[address] += m

    def clear_traces(self, layer: int) -> None:
        """Invalidate all traces of a layer."""
        self.valid_traces[layer] = [False] * len(self.valid_traces[layer])
        self.active_traces[layer] = [False] * len(self.active_traces[layer])
        if self._spec.bias_trace:
            self.bias_factors[layer] = self.bias_filters[layer] = 0

    def clear_deltas(self, layer: int) -> None:
        """Invalidate all delta of a layer."""
        self.valid_deltas[layer] = [False] * len(self.valid_deltas[layer])
        self.signal_words[layer] = [False] * len(self.signal_words[layer])

    def set_signal(self, layer: int, word: int, values: Sequence[int]) -> None:
        """Note, as a word of signals is written, whether it holds something."""
        self.signal_words[layer][word] = any(values)


def windows(n_bits: int, width: int) -> Iterator[range]:
    """The windows of a scanner over a bitmap: ranges of bit numbers."""
    for first in range(0, n_bits, width):
        yield range(first, min(n_bits, first + width))
