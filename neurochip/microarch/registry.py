"""The list of microarchitectures: a module of this package becomes one by calling `register_microarchitecture`."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass

from neurochip.activity import Activity
from neurochip.errors import UserError
from neurochip.microarch.interface import ChipTiming, Counted, Gates
from neurochip.spec import CoreSpec

CountFunction = Callable[[Activity, CoreSpec, ChipTiming, Gates], Counted]


@dataclass(frozen=True)
class Microarchitecture:
    """Name, one-line description, and the function that turns activity into counts and cycles."""

    name: str
    summary: str
    count: CountFunction


_MICROARCHITECTURES: dict[str, Microarchitecture] = {}


def register_microarchitecture(name: str, summary: str, count: CountFunction) -> None:
    """Make `count(activity, spec, chip, gates) -> Counted` the microarchitecture `name`."""
    _MICROARCHITECTURES[name] = Microarchitecture(name, summary, count)


def list_microarchitectures() -> list[Microarchitecture]:
    """Return every microarchitecture, sorted by name."""
    return [entry for _, entry in sorted(_loaded().items())]


def microarchitecture(name: str) -> Microarchitecture:
    """Return the microarchitecture `name`; UserError names the ones there are."""
    entries = _loaded()
    if name not in entries:
        raise UserError(f'microarchitecture = "{name}" is unknown; allowed are {", ".join(sorted(entries))}')
    return entries[name]


def _loaded() -> dict[str, Microarchitecture]:
    package = importlib.import_module(__package__ or "neurochip.microarch")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")
    return _MICROARCHITECTURES
