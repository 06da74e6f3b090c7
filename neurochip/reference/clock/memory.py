"""On-chip memories: words in banks, whose ports refuse a second access in one clock and count what they grant."""

from __future__ import annotations

Word = list[int]
Tag = tuple[str, int, int]  # (phase, layer, bits of the word): what an access is counted under
AccessCounts = dict[tuple[str, str, int, tuple[int, ...]], int]


class PortConflictError(RuntimeError):
    """Two units asked one port of one bank for a word in the same clock: a fault of the machine, not of its user."""


class Memory:
    """`n_words` words in banks of `bank_words`; a bank has one port ("1rw") or one to read and one to write ("1r1w").

    A word written in clock c is seen by reads of clock c + 1 and later. A word holds only the columns in use.
    """

    spilled = False

    def __init__(self, name: str, ports: str, bank_words: int, n_words: int, read_latency_cycles: int) -> None:
        self.name = name
        self.interval = 2 if ports == "1rw" else 1  # clocks between two read-modify-writes: II
        self.bank_words = bank_words
        self.read_latency_cycles = read_latency_cycles
        n_banks = -(-n_words // bank_words)
        # Per bank the clock of its last access; both names are one list where there is only one port.
        self._read_port = [-1] * n_banks
        self._write_port = self._read_port if ports == "1rw" else [-1] * n_banks
        self._words: list[Word | None] = [None] * n_words
        self._staged: list[tuple[int, Word]] = []
        self._staged_clock = -1
        self.reads: dict[Tag, int] = {}
        self.writes: dict[Tag, int] = {}

    def can_read(self, now: int, address: int) -> bool:
        """Whether the bank of this word has a read left in this clock."""
        return self._read_port[address // self.bank_words] != now

    def can_write(self, now: int, address: int) -> bool:
        """Whether the bank of this word has a write left in this clock."""
        return self._write_port[address // self.bank_words] != now

    def read(self, now: int, address: int, tag: Tag) -> Word:
        """Take the read port of the bank for this clock; the caller may use the word `read_latency_cycles` later.

        Raises:
            PortConflictError: if the port has been taken in this clock.
        """
        bank = address // self.bank_words
        if self._read_port[bank] == now:
            raise PortConflictError(f"{self.name}: second access of bank {bank} in clock {now}, a read for {tag}")
        self._read_port[bank] = now
        self.reads[tag] = self.reads.get(tag, 0) + 1
        if self._staged_clock != now:
            self._commit(now)
        word = self._words[address]
        # A word nobody has written holds anything; the machine has a bit that says so and takes it as 0.
        return [] if word is None else word

    def write(self, now: int, address: int, word: Word, tag: Tag) -> None:
        """Take the write port of the bank for this clock.

        Raises:
            PortConflictError: if the port has been taken in this clock.
        """
        bank = address // self.bank_words
        if self._write_port[bank] == now:
            raise PortConflictError(f"{self.name}: second access of bank {bank} in clock {now}, a write for {tag}")
        self._write_port[bank] = now
        self.writes[tag] = self.writes.get(tag, 0) + 1
        if self._staged_clock != now:
            self._commit(now)
        self._staged.append((address, word))

    def load(self, address: int, word: Word) -> None:
        """Put a word in place before the clock runs; not an access."""
        self._words[address] = word

    def peek(self, address: int) -> Word | None:
        """Look at a word from outside, not an access; None if it was never written or loaded."""
        self._commit(self._staged_clock)
        return self._words[address]

    def used_words(self) -> int:
        """How many words have ever been written or loaded."""
        self._commit(self._staged_clock)
        return sum(1 for word in self._words if word is not None)

    def start_counting(self) -> None:
        """Forget the accesses counted so far."""
        self.reads, self.writes = {}, {}

    def add_counts(self, accesses: AccessCounts) -> None:
        """Add the granted accesses under (key, phase, layer, widths)."""
        add_counts(accesses, self.name, self.reads, self.writes)

    def _commit(self, now: int) -> None:
        for address, word in self._staged:
            self._words[address] = word
        self._staged.clear()
        self._staged_clock = now


def add_counts(accesses: AccessCounts, name: str, reads: dict[Tag, int], writes: dict[Tag, int]) -> None:
    """Add counts by tag to `accesses` as those of the memory `name`."""
    for access, counts in (("read", reads), ("write", writes)):
        for (phase, layer, bits), number in counts.items():
            key = (f"{name}_{access}", phase, layer, (bits,))
            accesses[key] = accesses.get(key, 0) + number
