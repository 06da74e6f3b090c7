"""The tick model of `ottt_core`, written from docs/microarchitecture.md: one step is one clock, and the data move."""

from neurochip.reference.clock.core import ClockCore, ClockRun
from neurochip.reference.clock.memory import PortConflictError
from neurochip.reference.clocks import register_clock

register_clock("ottt_core", ClockCore)

__all__ = ["ClockCore", "ClockRun", "PortConflictError"]
