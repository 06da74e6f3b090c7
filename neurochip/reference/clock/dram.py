"""A memory that lies in DRAM, its row buffer on the chip, and the bursts between them."""

from __future__ import annotations

from collections.abc import Sequence

from neurochip.reference.clock.memory import AccessCounts, Tag, Word, add_counts


class DramSpace:
    """The words of one spilled memory. Units see only its row buffer, which answers at once and is not counted."""

    spilled = True
    interval = 1  # of the row buffer
    read_latency_cycles = 0

    def __init__(self, name: str, n_words: int, bus_bits: int, latency_cycles: int) -> None:
        self.name = name
        self.bus_bits = bus_bits
        self.latency_cycles = latency_cycles
        self.words: list[Word | None] = [None] * n_words
        self.row: dict[int, Word] = {}  # address -> word: the row buffer
        self.reads: dict[Tag, int] = {}
        self.writes: dict[Tag, int] = {}

    def read(self, now: int, address: int, tag: Tag) -> Word:
        """Read a word of the row in the row buffer; KeyError if another row is there."""
        return self.row[address]

    def write(self, now: int, address: int, word: Word, tag: Tag) -> None:
        """Write a word of the row in the row buffer; the next write burst carries it off the chip."""
        self.row[address] = word

    def load(self, address: int, word: Word) -> None:
        """Put a word in place before the clock runs; not an access."""
        self.words[address] = word

    def peek(self, address: int) -> Word | None:
        """Look at a word in DRAM from outside; None if it was never written or loaded."""
        return self.words[address]

    def used_words(self) -> int:
        """How many words have ever been written or loaded."""
        return sum(1 for word in self.words if word is not None)

    def start_counting(self) -> None:
        """Forget the accesses counted so far."""
        self.reads, self.writes = {}, {}

    def add_counts(self, accesses: AccessCounts) -> None:
        """Add the words moved under (key, phase, layer, widths)."""
        add_counts(accesses, "dram", self.reads, self.writes)


class Burst:
    """Neighbouring words on their way over the bus: the latency, then per word as many clocks as its bits need."""

    def __init__(
        self,
        space: DramSpace,
        base: int,
        tags: Sequence[Tag],
        is_write: bool,
        stalls: dict[str, int],
        beside: bool = False,
    ) -> None:
        self._space, self._base, self._tags, self._is_write = space, base, tags, is_write
        self._stalls = stalls
        self._latency_left = space.latency_cycles
        self._n_moved = 0
        self._bits_moved = 0  # of the word on the bus
        if not is_write and not beside:
            space.row = {}

    def clock(self, now: int) -> bool:
        """One clock of the burst; true in its last."""
        self._stalls["dram"] += 1
        if self._latency_left > 0:
            self._latency_left -= 1
            return False
        self._bits_moved += self._space.bus_bits
        tag = self._tags[self._n_moved]
        if self._bits_moved >= tag[2]:
            self._move(self._base + self._n_moved, tag)
        return self._n_moved == len(self._tags)

    def _move(self, address: int, tag: Tag) -> None:
        space = self._space
        if self._is_write:
            space.words[address] = space.row[address]
            space.writes[tag] = space.writes.get(tag, 0) + 1
        else:
            space.row[address] = space.words[address] or []
            space.reads[tag] = space.reads.get(tag, 0) + 1
        self._n_moved += 1
        self._bits_moved = 0
