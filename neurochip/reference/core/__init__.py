"""The golden core: docs/semantics.md in plain Python integers, written to be read and compared with."""

from neurochip.reference.core.checks import GoldenSample
from neurochip.reference.core.golden import GoldenCore, GoldenRun

__all__ = ["GoldenCore", "GoldenRun", "GoldenSample"]
