"""What the tick model went through in a pass: clocks, stalls and granted accesses (`--engine reference`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Access = tuple[str, str, int, tuple[int, ...]]  # key, phase, layer, widths_bits of neurochip.counters.Count


@dataclass(frozen=True)
class Clocked:
    """Clocks, stalls and granted accesses of all samples of a pass.

    Attributes:
        ticks_by_phase: clocks of every phase of `neurochip.counters.PHASES`.
        stalls: clocks by cause, `neurochip.counters.STALL_CAUSES`.
        accesses: how often the memories granted each access.
    """

    ticks_by_phase: Mapping[str, int]
    stalls: Mapping[str, int]
    accesses: Mapping[Access, int]

    def as_table(self) -> dict[str, Any]:
        """Plain data, for a checkpoint."""
        accesses = [[key, phase, layer, list(widths), n] for (key, phase, layer, widths), n in self.accesses.items()]
        return {"ticks_by_phase": dict(self.ticks_by_phase), "stalls": dict(self.stalls), "accesses": accesses}

    @staticmethod
    def of_table(table: Mapping[str, Any]) -> Clocked:
        """What `as_table` made."""
        accesses = {(key, phase, layer, tuple(widths)): n for key, phase, layer, widths, n in table["accesses"]}
        return Clocked(table["ticks_by_phase"], table["stalls"], accesses)

    def plus(self, other: Clocked) -> Clocked:
        """Two passes, one after the other."""

        def add(a: dict[str, int], b: dict[str, int]) -> dict[str, int]:
            return {key: a.get(key, 0) + b.get(key, 0) for key in (a | b)}

        return Clocked(
            add(dict(self.ticks_by_phase), dict(other.ticks_by_phase)),  # one of an older version may lack a phase
            add(dict(self.stalls), dict(other.stalls)),
            dict(Counter(dict(self.accesses)) + Counter(dict(other.accesses))),
        )
