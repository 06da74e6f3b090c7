"""The tick model going through a replayed sample clock by clock, watched, and compared with the count."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neurochip.counters import is_memory
from neurochip.errors import UserError
from neurochip.listener import Listener, Silent
from neurochip.microarch.interface import Counted
from neurochip.replay import Replay, counted

if TYPE_CHECKING:
    from neurochip.reference.clock.observer import Observer

MOST_CLOCKS = 5_000_000  # of a sample: a minute or more of the tick model
CLOCKS_BETWEEN_SIGNS = 4096


class _Told:
    """An observer that also shows how far the clock has come."""

    def __init__(self, observer: Observer, listener: Listener, key: str) -> None:
        self._observer, self._listener, self._key = observer, listener, key

    def clock(self, machine: Any, unit: str, phase: str, layer: int | None) -> None:
        """Pass it on."""
        self._observer.clock(machine, unit, phase, layer)
        if machine.now % CLOCKS_BETWEEN_SIGNS == CLOCKS_BETWEEN_SIGNS - 1:
            self._listener.advance(self._key, CLOCKS_BETWEEN_SIGNS, f"clock {machine.now + 1:,}")


def tick_model(one: Replay) -> Any:
    """The tick model of the chip, which has one, with everything that the core held before the sample."""
    from neurochip.reference.clocks import clock_of

    make: Any = clock_of(one.chip.microarchitecture)
    model = make(one.spec, _lists(one.learned.weights), one.chip, one.pricer.gates)
    model.set_registers(one.learned.registers.tolist())
    if one.learned.velocities:
        model.set_velocities(_lists(one.learned.velocities))
    return model


def tick_through(one: Replay, model: Any, observer: Observer, listener: Listener | None = None) -> Any:
    """Let the tick model go through every clock of the sample; what it counts is what the count says.

    Returns:
        The `ClockRun`.

    Raises:
        UserError: a sample of too many clocks.
        RuntimeError: tick model and count differ, which is a fault of this program.
    """
    from neurochip.reference.engine import golden_sample

    listener = listener or Silent()
    expected = counted(one)
    clocks, rule = int(expected.cycles), one.learned.rule
    if clocks > MOST_CLOCKS:
        raise UserError(
            f"{one.sample} takes {clocks:,} clocks under {rule}; the tick model, which goes through every "
            f"one, takes up to {MOST_CLOCKS:,}: replay a smaller network, or a chip with more lanes"
        )
    key = f"replay {rule}"
    listener.begin(key, key, clocks)
    model.observe(_Told(observer, listener, key))
    run = model.run([golden_sample(one.sample.data, 0)], one.learn)
    model.observe(None)
    listener.advance(key, clocks % CLOCKS_BETWEEN_SIGNS, f"{clocks:,} clocks")
    listener.end(key)
    _check(one, model, run, expected)
    return run


def _check(one: Replay, model: Any, run: Any, expected: Counted) -> None:
    accesses = {
        (item.key, item.phase, item.layer, item.widths_bits): item.number
        for item in expected.counts
        if is_memory(item.key) and item.number
    }
    pairs: dict[str, tuple[Any, Any]] = {
        "clocks by phase": (run.ticks_by_phase, dict(expected.cycles_by_phase)),
        "stalls": (run.stalls, dict(expected.stalls)),
        "accesses": (run.accesses, accesses),
        "predictions": (run.predictions, one.result.predictions.tolist()),
        "readout sums": (run.readout_sums, one.result.readout_sums.tolist()),
        "weights": (model.weights, _lists(one.weights)),
        "random registers": (model.registers, one.registers.tolist()),
    }
    for name, (ticked, counted_) in pairs.items():
        if ticked != counted_:
            raise RuntimeError(f"the tick model ended with other {name} than the fast core and its count")


def _lists(arrays: Sequence[NDArray[Any]]) -> list[Any]:
    return [np.asarray(array).tolist() for array in arrays]


__all__ = ["tick_model", "tick_through"]
