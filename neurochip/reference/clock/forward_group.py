"""A group of the forward phase: DELIVER of a layer, and beside it whoever sends its events."""

from __future__ import annotations

from collections import deque

from neurochip.reference.clock.deliver import Deliver
from neurochip.reference.clock.fifo import Event
from neurochip.reference.clock.fire import Fire, event_tag
from neurochip.reference.clock.machine import Machine


class Sender:
    """FIRE, if it is beside, pushes the first connection; then all other events enter in order, one per clock.

    Those of the input of the network wait in a buffer of the host, the others in the step buffer.
    """

    def __init__(self, machine: Machine, layer: int, fire: Fire | None) -> None:
        self._machine, self._layer = machine, layer
        self._fifo, self._tag = machine.layout.fifo, event_tag(machine, layer)
        self._fire = fire
        self._events: deque[Event] | None = None  # a later connection may have the spikes of the FIRE beside, too

    @property
    def fires(self) -> bool:
        """Whether FIRE has not ended."""
        return self._fire is not None and not self._fire.done

    @property
    def done(self) -> bool:
        """Whether FIRE has ended and all events have entered the FIFO."""
        return not self.fires and not self._waiting()

    def tick(self, now: int) -> None:
        """One clock."""
        if self._fire is not None and not self._fire.done:
            self._fire.tick(now)
            return
        events = self._waiting()
        if events and not self._fifo.was_full:
            self._fifo.push(events.popleft(), self._tag)

    def _waiting(self) -> deque[Event]:
        if self._events is None:
            connections = self._machine.spec.connections(self._layer)
            others = connections if self._fire is None else connections[1:]
            self._events = deque(event for one in others for event in self._machine.buffer.events_of(one))
        return self._events


class ForwardGroup:
    """DELIVER of `layer`, beside FIRE of hidden layer `fires`, if there is one."""

    def __init__(self, machine: Machine, layer: int, fires: int | None, is_last_step: bool, learn: bool) -> None:
        self._fifo = machine.layout.fifo
        fire = None
        if fires is not None:
            first = machine.spec.connections(layer)[0]
            fire = Fire(machine, fires, first, event_tag(machine, layer), is_last_step, learn)
        self._sender, self._deliver = Sender(machine, layer, fire), Deliver(machine, layer)

    @property
    def phase(self) -> str:
        """`fire` up to the last write or push of FIRE, then `deliver`."""
        return "fire" if self._sender.fires else "deliver"

    @property
    def done(self) -> bool:
        """Whether both have ended."""
        return self._sender.done and self._deliver.done

    def tick(self, now: int) -> None:
        """One clock; DELIVER takes its ports first, so FIRE never takes one from it."""
        self._fifo.start_clock()
        sender_ended = self._sender.done
        self._deliver.tick(now, sender_ended)
        if not sender_ended:
            self._sender.tick(now)

    def check_empty(self) -> None:
        """Nothing to check: `done` waits for every write."""
