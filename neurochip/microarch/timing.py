"""Slots, latencies and bursts that every phase of `ottt_core` shares (docs/microarchitecture.md, sections 2 and 10)."""

from __future__ import annotations

from dataclasses import dataclass

from neurochip.errors import UserError
from neurochip.microarch.interface import ChipTiming, rmw_cycles
from neurochip.microarch.shapes import ceil_div


@dataclass(frozen=True)
class Stream:
    """Read-modify-writes one after the other.

    Attributes:
        ii: clocks of a slot; one read-modify-write begins in its first.
        latency: λ, from that clock to the write.
    """

    ii: int
    latency: int

    @property
    def drain(self) -> int:
        """d = max(0, λ + 1 − II), clocks after the last slot until the memory is up to date."""
        return max(0, self.latency + 1 - self.ii)


def slot_cycles(chip: ChipTiming, memory: str, spilled: frozenset[str] = frozenset()) -> int:
    """II of a memory; 1 for the row buffer that stands in for a spilled one."""
    return 1 if memory in spilled else rmw_cycles(chip, memory)


def read_latency(chip: ChipTiming, memory: str, spilled: frozenset[str] = frozenset()) -> int:
    """ρ of a memory; 0 for the row buffer that stands in for a spilled one."""
    if memory in spilled:
        return 0
    if memory not in chip.memories:
        raise UserError(f"the chip has no memory memories.{memory}, which this rule needs")
    return chip.memories[memory].read_latency_cycles


def stream(
    chip: ChipTiming, written: tuple[str, ...], beside: tuple[str, ...] = (), spilled: frozenset[str] = frozenset()
) -> Stream:
    """The stream over the memories `written` that reads those `beside` it too; λ is odd where a slot has two clocks."""
    ii = max(slot_cycles(chip, memory, spilled) for memory in written)
    latency = max(read_latency(chip, memory, spilled) for memory in written + beside) + chip.pipeline_latency_cycles
    return Stream(ii, latency | 1 if ii == 2 else latency)


def burst_cycles(chip: ChipTiming, words: int, word_bits: int) -> int:
    """B = δ + k·⌈w/b⌉, clocks in which a burst of `words` words moves to or from DRAM.

    Raises:
        UserError: if the chip says nothing about its DRAM.
    """
    if chip.dram is None:
        raise UserError('overflow of the chip is "dram", but it has no table dram with bus_bits and latency_cycles')
    return chip.dram.latency_cycles + words * ceil_div(word_bits, chip.dram.bus_bits)
