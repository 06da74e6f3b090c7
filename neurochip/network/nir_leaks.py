"""The leaks of the core nearest to a factor per step of a NIR population: 1 - 2^-shift, or constant / 65536."""

from __future__ import annotations

import math
from dataclasses import dataclass

Leak = tuple[str, int]  # "shift" or "constant", and its value
NO_LEAK_CONSTANT = 65536
SAME = 1e-6  # relative: what float32 time constants lose


@dataclass(frozen=True)
class Decay:
    """What a potential or a synaptic current keeps per step.

    Attributes:
        graph: the factor of the graph.
        leak: the leak of the core nearest to it.
    """

    graph: float
    leak: Leak

    @property
    def core(self) -> float:
        """The factor of the core."""
        kind, value = self.leak
        return 1.0 - 2.0**-value if kind == "shift" else value / 65536

    @property
    def key(self) -> str:
        """The key of a leak in network.layers."""
        return f"leak_{self.leak[0]}"

    @property
    def value(self) -> int:
        """The value of that key."""
        return self.leak[1]


def nearest_leak(factor: float, noted: object) -> Leak:
    """The leak of the core nearest to a factor: of the kind noted if that has it, else a shift where it is as near."""
    constant = min(NO_LEAK_CONSTANT, max(0, math.floor(factor * 65536 + 0.5)))
    shift = min(15, max(1, round(-math.log2(1.0 - factor)))) if factor < 1.0 else 15  # the slowest
    shift_error, constant_error = abs(1.0 - 2.0**-shift - factor), abs(constant / 65536 - factor)
    is_shift = shift_error <= constant_error + SAME and factor < 1.0
    if noted == "constant" and constant_error <= SAME:
        is_shift = False
    return ("shift", shift) if is_shift else ("constant", constant)


__all__ = ["SAME", "Decay", "Leak", "nearest_leak"]
