"""A chip with every price at the low, or at the high, end of its spread."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel

from neurochip.technology import Bound, Quantity

_T = TypeVar("_T")


def at_bound(item: _T, bound: Bound) -> _T:
    """Put every price inside a chip or technology at one end of its spread; operating points stay as they are.

    Energy and area rise with every price, so the two chips give the ends of the interval that all spreads together
    allow (docs/decisions/0003-prices.md, section 6).
    """
    moved: Any = _moved(item, bound)
    return item if moved is None else moved


def _moved(item: Any, bound: Bound) -> Any:
    """The item with its prices moved; None if it holds none."""
    if isinstance(item, Quantity):
        return item.model_copy(update={"value": item.at(bound)}) if item.is_price else None
    if isinstance(item, BaseModel):
        fields = {name: _moved(getattr(item, name), bound) for name in type(item).model_fields}
        changed = {name: value for name, value in fields.items() if value is not None}
        return item.model_copy(update=changed) if changed else None
    if isinstance(item, tuple):
        return tuple(at_bound(entry, bound) for entry in item) if item else None
    if isinstance(item, dict):
        return {key: at_bound(value, bound) for key, value in item.items()}
    return None
