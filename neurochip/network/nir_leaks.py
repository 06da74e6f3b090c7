"""The leaks of the core nearest to the factor alpha of a NIR population: 1 - 2^-shift, or constant / 65536."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

Leak = tuple[str, int]  # "shift" or "constant", and its value
NO_LEAK_CONSTANT = 65536
SAME = 1e-6  # relative: what float32 time constants lose


def nearest_leak(alpha: float, noted: Mapping[str, Any]) -> Leak:
    """The leak of the core nearest to alpha: the noted one if it is that, else a shift where it is as near."""
    constant = min(NO_LEAK_CONSTANT, max(0, math.floor(alpha * 65536 + 0.5)))
    shift = min(15, max(1, round(-math.log2(1.0 - alpha)))) if alpha < 1.0 else 15  # the slowest
    shift_error, constant_error = abs(1.0 - 2.0**-shift - alpha), abs(constant / 65536 - alpha)
    is_shift = shift_error <= constant_error + SAME and alpha < 1.0
    if noted.get("leak_kind") == "constant" and constant_error <= SAME:
        is_shift = False
    return ("shift", shift) if is_shift else ("constant", constant)


def leak_key(leak: Leak) -> str:
    """Its key in network.layers."""
    return f"leak_{leak[0]}"


def leak_lambda(leak: Leak) -> float:
    """The factor that it is."""
    kind, value = leak
    return 1.0 - 2.0**-value if kind == "shift" else value / 65536


__all__ = ["SAME", "Leak", "leak_key", "leak_lambda", "nearest_leak"]
