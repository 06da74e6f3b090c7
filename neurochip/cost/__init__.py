"""Prices: counts, cycles and footprint of a chip file -> pJ and microseconds. Pure functions; no simulation."""

from __future__ import annotations

from neurochip.cost.energy import Capacity, Energy, check_capacity, clock_price, leakage_mw, price, unit_price

__all__ = ["Capacity", "Energy", "check_capacity", "clock_price", "leakage_mw", "price", "unit_price"]
