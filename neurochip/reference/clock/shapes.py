"""What the clock model takes from a chip."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class MemoryShape(Protocol):
    """One memory of a chip."""

    @property
    def ports(self) -> str: ...
    @property
    def words(self) -> int: ...
    @property
    def bank_words(self) -> int: ...
    @property
    def read_latency_cycles(self) -> int: ...


class ChipShape(Protocol):
    """What the clock model takes from a chip."""

    @property
    def lanes(self) -> int: ...
    @property
    def trace_lanes(self) -> int: ...
    @property
    def scan_width(self) -> int: ...
    @property
    def history_word_bits(self) -> int: ...
    @property
    def div_cycles(self) -> int: ...
    @property
    def pipeline_latency_cycles(self) -> int: ...
    @property
    def memories(self) -> Mapping[str, Any]: ...  # name -> MemoryShape
    @property
    def overflow(self) -> str: ...
    @property
    def dram(self) -> Any: ...  # None, or an object with bus_bits and latency_cycles


def words_of(columns: int, lanes: int) -> int:
    """Words of a vector, the last one perhaps partial."""
    return -(-columns // lanes)
