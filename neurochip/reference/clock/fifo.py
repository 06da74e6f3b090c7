"""The event FIFO between whoever makes events (host buffer or FIRE) and DELIVER."""

from __future__ import annotations

from collections import deque

from neurochip.reference.clock.memory import AccessCounts, Tag, add_counts

Event = tuple[int, int]  # (address, magnitude)


class EventFifo:
    """`depth` events; what it held at the start of a clock decides whether one may enter or leave in it."""

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self.held_at_start = 0
        self.most_held = 0
        self._events: deque[Event] = deque()
        self.reads: dict[Tag, int] = {}
        self.writes: dict[Tag, int] = {}

    def start_clock(self) -> None:
        """Take note of how many events it holds."""
        self.held_at_start = len(self._events)

    @property
    def empty(self) -> bool:
        """Whether it holds no event now."""
        return not self._events

    @property
    def head(self) -> Event:
        """The oldest event, which stays."""
        return self._events[0]

    @property
    def was_full(self) -> bool:
        """Whether it was full at the start of the clock."""
        return self.held_at_start >= self.depth

    def push(self, event: Event, tag: Tag) -> None:
        """Let an event in."""
        if self.was_full:
            raise RuntimeError(f"event {event} was pushed into an event FIFO that was full at the start of the clock")
        self._events.append(event)
        self.most_held = max(self.most_held, len(self._events))
        self.writes[tag] = self.writes.get(tag, 0) + 1

    def pop(self, tag: Tag) -> Event:
        """Let the oldest event out."""
        if self.held_at_start == 0:
            raise RuntimeError("an event was taken from an event FIFO that was empty at the start of the clock")
        self.reads[tag] = self.reads.get(tag, 0) + 1
        return self._events.popleft()

    def start_counting(self) -> None:
        """Forget the accesses counted so far."""
        self.reads, self.writes = {}, {}

    def add_counts(self, accesses: AccessCounts) -> None:
        """Add the pushes and pops under (key, phase, layer, widths)."""
        add_counts(accesses, "event_fifo", self.reads, self.writes)
