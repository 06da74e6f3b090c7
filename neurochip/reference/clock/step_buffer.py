"""Registers for the step under way: events, bitmaps and, when unrolling, psi and e. They have no ports."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from neurochip.reference.clock.layout import ChipShape, words_of
from neurochip.spec import CoreSpec


class StepBuffer:
    """What the phases of one step hand to one another.

    Attributes:
        magnitudes: m of every input address [layer][address], 0 where there is no event.
        psi: codes of hidden layers [layer][neuron]; their bitmap is psi != 0. Codes are used only when unrolling:
            the other rules read them from the error memory.
        readout: z as FIRE of the readout reads them.
        error: e of the readout [class].
        active_traces: bitmap of p != 0 [layer][address], of layers that keep a trace.
        valid_traces, valid_deltas, valid_gradients: bitmaps of words that hold something [layer][word].
        signal_words: bitmap of words with some signal != 0 [layer][word].
    """

    def __init__(self, spec: CoreSpec, chip: ChipShape) -> None:
        layers, lanes = spec.layers, chip.lanes
        out_words = [words_of(layer.n_out, lanes) for layer in layers]
        self.magnitudes = [[0] * layer.n_in for layer in layers]
        self.psi = [[0] * layer.n_out for layer in layers[:-1]]
        self.readout = [0] * layers[-1].n_out
        self.error = [0] * layers[-1].n_out
        self.active_traces = [[False] * layer.n_in for layer in layers]
        self.valid_traces = [[False] * words_of(layer.n_in, chip.trace_lanes) for layer in layers]
        self.valid_deltas = [[False] * words for words in out_words[:-1]]
        self.signal_words = [[False] * words for words in out_words]
        self.valid_gradients = [
            [False] * ((layer.n_in + int(layer.bias)) * words) for layer, words in zip(layers, out_words, strict=True)
        ]

    def clear_traces(self, layer: int) -> None:
        """Invalidate all traces of a layer."""
        self.valid_traces[layer] = [False] * len(self.valid_traces[layer])
        self.active_traces[layer] = [False] * len(self.active_traces[layer])

    def clear_deltas(self, layer: int) -> None:
        """Invalidate all delta of a layer."""
        self.valid_deltas[layer] = [False] * len(self.valid_deltas[layer])

    def set_signal(self, layer: int, word: int, values: Sequence[int]) -> None:
        """Note, as a word of signals is written, whether it holds something."""
        self.signal_words[layer][word] = any(values)


def windows(n_bits: int, width: int) -> Iterator[range]:
    """The windows of a scanner over a bitmap: ranges of bit numbers."""
    for first in range(0, n_bits, width):
        yield range(first, min(n_bits, first + width))
