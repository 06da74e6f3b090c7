"""One layer of `ottt_core` with the activity it saw: what every phase model starts from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from neurochip.counters import Count, memory_of
from neurochip.microarch.footprint import PARTIAL_SUM_BITS
from neurochip.microarch.interface import ChipTiming, Gates
from neurochip.microarch.shapes import (
    carries_delta,
    is_head,
    potential_bits,
    row_words,
    runs_forward,
    signal_bits,
    values_per_potential,
    values_per_signal,
    vector_words,
)
from neurochip.microarch.timing import Stream, burst_cycles, stream
from neurochip.spec import CoreSpec, LayerSpec

Widths = tuple[int, ...]
RANDOM_REGISTER_BITS = 32


@dataclass(frozen=True)
class Site:
    """Layer `index`, its activity summed over samples and steps, and the chip that does the work.

    Attributes:
        spilled: memories that lie in DRAM.
        seen: activity field -> sum over samples and steps.
        applied: activity field -> sum over the applies of accumulated gradients.
        learning: whether the pass learned.
        psi_nonzero: per layer, outputs with ψ ≠ 0 in the steps that have ERROR and UPDATE.
    """

    index: int
    spec: CoreSpec
    chip: ChipTiming
    gates: Gates
    seen: Mapping[str, int]
    applied: Mapping[str, int]
    n_samples: int
    n_applies: int
    learning: bool
    spilled: frozenset[str] = frozenset()
    psi_nonzero: Sequence[int] = ()
    n_standardisations: int = 0

    @property
    def layer(self) -> LayerSpec:
        return self.spec.layers[self.index]

    @property
    def is_readout(self) -> bool:
        """Whether it has a z: the readout of the network, or a head."""
        return self.layer.kind == "readout"

    @property
    def is_head(self) -> bool:
        return is_head(self.spec, self.index)

    @property
    def runs(self) -> bool:
        """Whether it takes events in this pass."""
        return runs_forward(self.spec, self.index, self.learning)

    @property
    def sample_steps(self) -> int:
        """NT, steps of all samples together."""
        return self.n_samples * self.spec.n_steps

    @property
    def loss_steps(self) -> int:
        """NL, those that have a loss."""
        return self.n_samples * self.spec.n_loss_steps

    @property
    def error_steps(self) -> int:
        """NU, those that have ERROR and UPDATE: with a loss, or under unroll all."""
        return self.sample_steps if self.unrolls else self.loss_steps

    @property
    def visited_steps(self) -> int:
        """v, steps in which UPDATE looks for rows; with `zero_error` a flag tells those without any signal."""
        return self.seen["signal_steps"] if self.gates.zero_error else self.error_steps

    @property
    def words(self) -> int:
        """W, words of a row and of a block of outputs."""
        return row_words(self.layer, self.chip.lanes)

    @property
    def vector_words(self) -> int:
        """Ω, words of a vector over the outputs."""
        return vector_words(self.layer, self.chip.lanes)

    @property
    def unrolls(self) -> bool:
        return self.learning and self.spec.credit == "unroll"

    @property
    def carries_delta(self) -> bool:
        """Whether its outputs carry an error back in time."""
        return self.learning and carries_delta(self.spec, self.index)

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
        """A word of u or z, or of pairs of these and i."""
        return (self.chip.lanes * potential_bits(self.spec, self.index) * values_per_potential(self.layer),)

    @property
    def surrogate_word(self) -> Widths:
        return (self.chip.lanes * self.spec.surrogate_bits,)

    @property
    def error_word(self) -> Widths:
        """A word of e or g."""
        return (self.chip.lanes * self.spec.error_bits,)

    @property
    def signal_word(self) -> Widths:
        """A word of what the update uses: e, g or δ, or of pairs of δ and ε."""
        return self.signal_word_of(self.index)

    def signal_word_of(self, index: int) -> Widths:
        """The signal word of layer `index`."""
        return (self.chip.lanes * signal_bits(self.spec, index) * values_per_signal(self.spec, index),)

    @property
    def partial_sum_word(self) -> Widths:
        """A word of X, the sums on their way back to the source of a connection."""
        return (self.chip.lanes * PARTIAL_SUM_BITS,)

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

    def add_random_advances(self, site: Site, advances: int) -> None:
        """Count the registers that move in some advances of a layer, if weights are rounded stochastically."""
        if site.spec.weight_rounding == "stochastic":
            self.add("rng", (RANDOM_REGISTER_BITS,), advances * site.spec.rng_lanes)
