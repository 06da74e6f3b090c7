"""The list of tick models: a module or package `clock*` of this folder becomes one by calling `register_clock`."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Sequence
from typing import Any, Protocol

from neurochip.reference.core import GoldenSample
from neurochip.spec import CoreSpec


class TickRun(Protocol):
    """What a pass of a tick model went through and ended with."""

    @property
    def predictions(self) -> list[int]: ...
    @property
    def readout_sums(self) -> list[list[int]]: ...
    @property
    def ticks_by_phase(self) -> dict[str, int]: ...
    @property
    def stalls(self) -> dict[str, int]: ...
    @property
    def accesses(self) -> dict[tuple[str, str, int, tuple[int, ...]], int]: ...


class TickModel(Protocol):
    """A microarchitecture one clock at a time, computing out of its own memories."""

    @property
    def weights(self) -> list[list[list[int]]]: ...
    @property
    def gradients(self) -> list[list[list[int]]]: ...
    @property
    def registers(self) -> list[list[int]]: ...
    def set_registers(self, registers: Sequence[Sequence[int]]) -> None: ...
    def set_velocities(self, velocities: Sequence[Sequence[Sequence[int]]]) -> None: ...
    def run(self, samples: Sequence[GoldenSample], learn: bool, end_of_epoch: bool = True) -> TickRun: ...


class MakesTickModel(Protocol):
    """Makes a tick model from the specification, weights [layer][row][column], the chip and its zero gates."""

    def __call__(
        self, spec: CoreSpec, weights: Sequence[Sequence[Sequence[int]]], chip: Any, gates: Any
    ) -> TickModel: ...


_CLOCKS: dict[str, MakesTickModel] = {}


def register_clock(microarchitecture: str, clock: MakesTickModel) -> None:
    """Make `clock(spec, weights, chip, gates)` the tick model of a microarchitecture."""
    _CLOCKS[microarchitecture] = clock


def clock_of(microarchitecture: str) -> MakesTickModel | None:
    """Return the tick model of a microarchitecture, None if it has none."""
    package = importlib.import_module(__package__ or "neurochip.reference")
    for module in pkgutil.iter_modules(package.__path__):
        if module.name.startswith("clock") and module.name != "clocks":
            importlib.import_module(f"{package.__name__}.{module.name}")
    return _CLOCKS.get(microarchitecture)
