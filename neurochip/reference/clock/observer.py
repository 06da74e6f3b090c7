"""Who may look on while the clock runs: told of every clock before it begins, it sees what the core holds by then."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from neurochip.reference.clock.machine import Machine


class Observer(Protocol):
    """Looks at the machine and changes nothing in it.

    Memories then hold what a read in this clock would find; `ticks`, `stalls` and accesses are those of the clocks
    before it.
    """

    def clock(self, machine: Machine, unit: str, phase: str, layer: int | None) -> None:
        """Clock `machine.now` of step `machine.step` (None: behind the last one) begins.

        Args:
            machine: the core.
            unit: name of the class of the unit that has the clock.
            phase: that the clock belongs to.
            layer: that it works for; None: for all.
        """
        ...
