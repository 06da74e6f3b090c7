"""The float core behind the interface of the engines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

if TYPE_CHECKING:
    from neurochip.events import EventDataset


class FloatTwin:
    """The float core behind the interface of the engines."""

    def __init__(self, core: Any) -> None:
        self._core = core

    @property
    def weights(self) -> list[NDArray[Any]]:
        """Copies of the weights per layer."""
        return [layer.copy() for layer in self._core.weights]

    @property
    def registers(self) -> NDArray[Any]:
        """Copy of the random registers of quantised weights, [n_layers, rng_lanes]; empty without quantisers."""
        registers: NDArray[Any] = self._core.registers.copy()
        return registers

    @property
    def velocities(self) -> list[NDArray[Any]]:
        """Copies of the velocities of momentum per layer (empty without)."""
        return [layer.copy() for layer in self._core.velocities]

    def restore(
        self, weights: Sequence[NDArray[Any]], registers: NDArray[Any], velocities: Sequence[NDArray[Any]] = ()
    ) -> None:
        """Put back weights, random registers and velocities saved between epochs."""
        for view, values in zip(self._core.weights, weights, strict=True):
            view[...] = values
        self._core.registers[...] = registers
        for view, values in zip(self._core.velocities, velocities, strict=False):
            view[...] = values

    def run(
        self, data: EventDataset, order: NDArray[Any], *, learn: bool, end_of_epoch: bool, probe: Sequence[int]
    ) -> Any:
        """Run the samples `order` of `data`; probes are not recorded."""
        return self._core.run(data, order, learn, None, end_of_epoch)
