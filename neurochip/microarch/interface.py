"""What a microarchitecture takes and gives: the timing side of a chip, the zero gates, counts and cycles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from neurochip.counters import Count
from neurochip.errors import UserError

RMW_CYCLES: Mapping[str, int] = {"1rw": 2, "1r1w": 1}


class MemoryPorts(Protocol):
    """One memory of a chip, as far as cycles and capacity need it.

    "SYMBOL: meaning" in a docstring is a row of docs/microarchitecture.md, here and in `ChipTiming`.
    """

    @property
    def ports(self) -> str:
        """ "1rw": one access per clock; "1r1w": one read and one write per clock."""

    @property
    def words(self) -> int:
        """Words over all banks.

        F of event_fifo: entries of the event FIFO; ≥ 1
        """

    @property
    def bank_words(self) -> int:
        """Words of a bank."""

    @property
    def read_latency_cycles(self) -> int:
        """ρ(m): read latency of memory m, in clocks; ≥ 0."""


class DramTiming(Protocol):
    """A burst of k words of w bits takes latency_cycles + k * ceil(w / bus_bits) clocks."""

    @property
    def bus_bits(self) -> int: ...
    @property
    def latency_cycles(self) -> int: ...


class ChipTiming(Protocol):
    """The numbers of a chip that decide accesses and cycles; a chip has more, prices among them."""

    @property
    def lanes(self) -> int:
        """L: columns of a synapse, neuron, error and gradient word."""

    @property
    def trace_lanes(self) -> int:
        """M: traces of a trace word."""

    @property
    def history_word_bits(self) -> int:
        """H: bits of a history word."""

    @property
    def scan_width(self) -> int:
        """K: bits of a bitmap searched for set bits in one clock."""

    @property
    def div_cycles(self) -> int:
        """D: clocks of a division."""

    @property
    def pipeline_latency_cycles(self) -> int:
        """P: clocks of the lane pipeline: from operands to the result, ready to be written; ≥ 1."""

    @property
    def memories(self) -> Mapping[str, MemoryPorts]:
        """Its memories by name."""

    @property
    def overflow(self) -> str:
        """What happens to memories that do not fit: "refuse", "grow" or "dram"."""

    @property
    def dram(self) -> DramTiming | None:
        """The way off the chip, if there is one."""


@dataclass(frozen=True)
class Gates:
    """Which zeros a chip skips; a gate that is off changes counts and cycles, never a weight."""

    zero_trace: bool = field(default=True, metadata={"skips": "rows with p = 0 in the update"})
    zero_error: bool = field(
        default=True,
        metadata={"skips": "words of signals that are all 0, and within a word the products of signals that are 0"},
    )
    zero_surrogate: bool = field(default=True, metadata={"skips": "rows of neurons with ψ = 0 on the way back"})


ALL_GATES = Gates()


@dataclass(frozen=True)
class Sampled:
    """How well cycles are known that were estimated from recorded samples.

    Attributes:
        n_recorded: recorded samples that the estimate rests on; 0 if cycles are serial, that is an upper bound.
        n_samples: samples they stand for.
        half_width_cycles: half the width of the 95 % interval of `Counted.cycles`; with fewer than 2 recorded samples
            there is none, and this is the whole range from the least cycles possible to the serial ones.
    """

    n_recorded: int
    n_samples: int
    half_width_cycles: float


@dataclass(frozen=True)
class Counted:
    """Accesses, operations and cycles.

    Attributes:
        counts: one record per (key, phase, layer, widths), none of them 0.
        cycles_by_phase: cycles of every phase of `neurochip.counters.PHASES`.
        cycles: their sum.
        stalls: clocks in which a unit could not begin work, by cause (`neurochip.counters.STALL_CAUSES`).
        sampled: if cycles and stalls of FIRE beside DELIVER were estimated from recorded samples: from which.
    """

    counts: tuple[Count, ...]
    cycles_by_phase: Mapping[str, float]
    cycles: float
    stalls: Mapping[str, float] = field(default_factory=dict)
    sampled: Sampled | None = None


def per_sample(counted: Counted, n_samples: int) -> Counted:
    """Divide counts and cycles by a number of samples; UserError if that is not positive."""
    if n_samples < 1:
        raise UserError(f"counts per sample need at least 1 sample, not {n_samples}")
    return Counted(
        counts=tuple(replace(count, number=count.number / n_samples) for count in counted.counts),
        cycles_by_phase={phase: cycles / n_samples for phase, cycles in counted.cycles_by_phase.items()},
        cycles=counted.cycles / n_samples,
        stalls={cause: cycles / n_samples for cause, cycles in counted.stalls.items()},
        sampled=counted.sampled
        and replace(counted.sampled, half_width_cycles=counted.sampled.half_width_cycles / n_samples),
    )


def rmw_cycles(chip: ChipTiming, memory: str) -> int:
    """Clocks of one read-modify-write of a word: 2 on a 1rw memory, 1 on a pipelined 1r1w memory.

    Raises:
        UserError: if the chip has no such memory, or its ports are not one of the two kinds.
    """
    if memory not in chip.memories:
        raise UserError(f"the chip has no memory memories.{memory}, which this rule needs")
    ports = chip.memories[memory].ports
    if ports not in RMW_CYCLES:
        raise UserError(f'memories.{memory}.ports of the chip is "{ports}"; allowed are {", ".join(RMW_CYCLES)}')
    return RMW_CYCLES[ports]
