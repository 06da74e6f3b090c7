"""Microarchitectures: activity of the core -> memory accesses, operations and cycles (docs/microarchitecture.md).

Nothing here runs the network or knows a price. One microarchitecture is one module that calls
`register_microarchitecture`; `microarchitecture(name)` looks it up.
"""

from __future__ import annotations

from neurochip.microarch.footprint import (
    footprint_bits,
    footprint_words,
    spilled_memories,
    steps_where_history_equals_weights,
    steps_where_history_leaves_chip,
    word_bits,
)
from neurochip.microarch.interface import ChipTiming, Counted, Gates, MemoryPorts, per_sample
from neurochip.microarch.registry import Microarchitecture, list_microarchitectures, microarchitecture

__all__ = [
    "ChipTiming",
    "Counted",
    "Gates",
    "MemoryPorts",
    "Microarchitecture",
    "footprint_bits",
    "footprint_words",
    "list_microarchitectures",
    "microarchitecture",
    "per_sample",
    "spilled_memories",
    "steps_where_history_equals_weights",
    "steps_where_history_leaves_chip",
    "word_bits",
]
