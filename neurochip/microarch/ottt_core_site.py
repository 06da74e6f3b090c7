"""One layer of `ottt_core` with the activity it saw: what every phase model starts from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from neurochip.counters import Count, memory_of
from neurochip.microarch.interface import ChipTiming, Gates
from neurochip.microarch.shapes import ceil_div, potential_bits, signal_bits
from neurochip.microarch.timing import Stream, burst_cycles, stream
from neurochip.spec import CoreSpec, LayerSpec

Widths = tuple[int, ...]


@dataclass(frozen=True)
class Site:
    """Layer `index`, its activity summed over samples and steps, and the chip that does the work.

    Attributes:
        spilled: memories that lie in DRAM.
        seen: activity field -> sum over samples and steps.
        applied: activity field -> sum over the applies of accumulated gradients.
        below: the layer before this one; None for the first.
        learning: whether the pass learned.
    """

    index: int
    spec: CoreSpec
    chip: ChipTiming
    gates: Gates
    seen: Mapping[str, int]
    applied: Mapping[str, int]
    below: Site | None
    n_samples: int
    n_applies: int
    learning: bool
    spilled: frozenset[str] = frozenset()

    @property
    def layer(self) -> LayerSpec:
        return self.spec.layers[self.index]

    @property
    def is_readout(self) -> bool:
        return self.index == len(self.spec.layers) - 1

    @property
    def sample_steps(self) -> int:
        """Steps of all samples together."""
        return self.n_samples * self.spec.n_steps

    @property
    def words(self) -> int:
        """W = ⌈N_out/L⌉: words of a row, and of a vector over the outputs."""
        return ceil_div(self.layer.n_out, self.chip.lanes)

    @property
    def windows_of_outputs(self) -> int:
        """Scan windows of a bitmap over the outputs."""
        return ceil_div(self.layer.n_out, self.chip.scan_width)

    @property
    def unrolls(self) -> bool:
        return self.learning and self.spec.credit == "unroll"

    @property
    def signal_bits(self) -> int:
        return signal_bits(self.spec, self.index)

    def access(self, key: str) -> str:
        """The counter of an access: that of the DRAM if the memory lies there."""
        return f"dram_{key.rsplit('_', 1)[1]}" if memory_of(key) in self.spilled else key

    def stream(self, written: tuple[str, ...], beside: tuple[str, ...] = ()) -> Stream:
        """The stream over the memories `written` that reads those `beside` it too."""
        return stream(self.chip, written, beside, self.spilled)

    def burst(self, word: Widths) -> int:
        """B(W), clocks in which one row of words of this width moves to or from DRAM."""
        return burst_cycles(self.chip, self.words, word[0])

    @property
    def synapse_word(self) -> Widths:
        return (self.chip.lanes * self.spec.weight_bits,)

    @property
    def potential_word(self) -> Widths:
        return (self.chip.lanes * potential_bits(self.spec, self.index),)

    @property
    def surrogate_word(self) -> Widths:
        return (self.chip.lanes * self.spec.surrogate_bits,)

    @property
    def error_word(self) -> Widths:
        """A word of e or g."""
        return (self.chip.lanes * self.spec.error_bits,)

    @property
    def signal_word(self) -> Widths:
        """A word of what the update uses: e, g or δ."""
        return (self.chip.lanes * self.signal_bits,)

    @property
    def gradient_word(self) -> Widths:
        return (self.chip.lanes * self.spec.gradient_bits,)

    @property
    def trace_word(self) -> Widths:
        return (self.chip.trace_lanes * self.spec.trace_bits,)


@dataclass
class Work:
    """What one phase of one layer does: counts, cycles with stalls, and stalls by cause, filled by its phase model."""

    phase: str
    layer: int
    counts: list[Count] = field(default_factory=list)
    cycles: int = 0
    stalls: Counter[str] = field(default_factory=Counter)

    def add(self, key: str, widths_bits: Widths, number: int, layer: int | None = None) -> None:
        """Count `number` times `key` at `widths_bits`, for `layer` if it is not the phase's own."""
        self.counts.append(Count(key, self.phase, self.layer if layer is None else layer, widths_bits, number))

    def stall(self, cause: str, clocks: int) -> None:
        """Add clocks in which no work began."""
        self.stalls[cause] += clocks
        self.cycles += clocks

    def add_all(self, operations: tuple[tuple[str, Widths], ...], number: int, layer: int | None = None) -> None:
        """Count every one of `operations` (key, widths) `number` times."""
        for key, widths_bits in operations:
            self.add(key, widths_bits, number, layer)
