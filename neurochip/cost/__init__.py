"""Prices: counts, cycles and footprint of a chip file -> pJ, us and mm2. Pure functions; no simulation."""

from __future__ import annotations

from neurochip.cost.area import Area, area
from neurochip.cost.energy import Capacity, Energy, check_capacity, clock_price, leakage_mw, price, unit_price

__all__ = [
    "Area",
    "Capacity",
    "Energy",
    "area",
    "check_capacity",
    "clock_price",
    "leakage_mw",
    "price",
    "unit_price",
]
