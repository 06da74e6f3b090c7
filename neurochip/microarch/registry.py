"""The list of microarchitectures: a module of this package becomes one by calling `register_microarchitecture`."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from neurochip.activity import Activity, SampleTrace
from neurochip.errors import UserError
from neurochip.microarch.interface import ChipTiming, Counted, Gates
from neurochip.spec import CoreSpec


class CountFunction(Protocol):
    """Counts of an activity; `trace`, recorded events of it, makes cycles exact where totals do not decide them."""

    def __call__(
        self,
        activity: Activity,
        spec: CoreSpec,
        chip: ChipTiming,
        gates: Gates = ...,
        trace: SampleTrace | None = ...,
    ) -> Counted: ...


@dataclass(frozen=True)
class CoreContents:
    """What one core of several stores: words and bits per memory."""

    words: Mapping[str, int]
    bits: Mapping[str, int]


# The cores a network is split over; UserError if the chip has too few.
CoresFunction = Callable[[CoreSpec, ChipTiming], tuple[CoreContents, ...]]


@dataclass(frozen=True)
class Storage:
    """What a chip of another organisation than `footprint_words` stores: words, and bits of a word, per memory."""

    words: Mapping[str, int]
    word_bits: Mapping[str, int]


StorageFunction = Callable[[CoreSpec, ChipTiming], Storage]


@dataclass(frozen=True)
class Microarchitecture:
    """Name, one-line description, and the function that turns activity into counts and cycles.

    `cores` is None where a network lies on one core, `storage` where its memories hold the words of `footprint_words`.
    """

    name: str
    summary: str
    count: CountFunction
    cores: CoresFunction | None = None
    storage: StorageFunction | None = None


_MICROARCHITECTURES: dict[str, Microarchitecture] = {}


def register_microarchitecture(
    name: str,
    summary: str,
    count: CountFunction,
    cores: CoresFunction | None = None,
    storage: StorageFunction | None = None,
) -> None:
    """Make `count(activity, spec, chip, gates, trace) -> Counted` the microarchitecture `name`."""
    _MICROARCHITECTURES[name] = Microarchitecture(name, summary, count, cores, storage)


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
