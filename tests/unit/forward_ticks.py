"""FIRE beside DELIVER one clock at a time, from docs/microarchitecture.md, sections 2 to 4 and 10: timing only.

Every clock asks every rule of the page again; nothing is known in advance. test_ottt_core_groups.py holds the
recurrence of the package against it.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Rules:
    """Numbers of one group; `burst` is 0 unless the weights lie in DRAM."""

    ports: str
    delivered_after: int  # λ_D
    fired_after: int  # φ
    fifo_events: int
    words: int
    first_word: int
    first_word_below: int
    bank_words: int
    bias: bool
    burst: int


@dataclass
class Deliver:
    rules: Rules
    fifo: deque[int]
    bias_to_come: bool
    row: str = ""  # "", "bias" or "event"
    word: int = 0
    burst_left: int = 0
    waited: int = 0  # clocks without a row since the last one
    writes: dict[int, int] = field(default_factory=dict)  # clock -> word
    last_begin: int = -1
    stalls: Counter[str] = field(default_factory=Counter)

    def tick(self, clock: int, held: int) -> tuple[set[int], set[int]]:
        """Do one clock; the FIFO `held` so many events at its start. Returns banks read and banks written."""
        if not self.row:
            self._find_row(held)
        reads = set()
        if self.row:
            self.stalls["event_wait"] += self.waited
            self.waited = 0
            began = self._begin(clock)
            if began is not None:
                reads = {self._bank(began)}
        written = {self._bank(self.writes[clock])} if clock in self.writes else set()
        return reads, written

    def _find_row(self, held: int) -> None:
        if self.bias_to_come:
            self.row, self.bias_to_come = "bias", False
        elif held:
            self.row = "event"
            if self.rules.burst:
                self.fifo.popleft()
        else:
            self.waited += 1
        if self.row:
            self.word, self.burst_left = 0, self.rules.burst

    def _begin(self, clock: int) -> int | None:
        if self.burst_left:
            self.burst_left -= 1
            self.stalls["dram"] += 1
            return None
        if self.rules.ports == "1rw" and clock % 2:
            self.stalls["port"] += 1
            return None
        if any(word == self.word and done >= clock for done, word in self.writes.items()):
            self.stalls["raw_hazard"] += 1
            return None
        begun = self.word
        self.writes[clock + self.rules.delivered_after] = begun
        self.last_begin = clock
        if begun == 0 and self.row == "event" and not self.rules.burst:
            self.fifo.popleft()
        self.word += 1
        if self.word == self.rules.words:
            self.row = ""
        return begun

    def _bank(self, word: int) -> int:
        return (self.rules.first_word + word) // self.rules.bank_words


@dataclass
class Fire:
    rules: Rules
    spikes: Sequence[int]  # per word
    fifo: deque[int]
    word: int = 0
    result_at: int | None = None  # None: still to be read
    is_written: bool = False
    pushed: int = 0
    last: int = -1
    stalls: Counter[str] = field(default_factory=Counter)

    @property
    def is_done(self) -> bool:
        return self.word == len(self.spikes)

    def tick(self, clock: int, held: int, reads: set[int], writes: set[int]) -> None:
        """Do one clock beside a DELIVER that reads and writes these banks."""
        if self.is_done:
            return
        bank = (self.rules.first_word_below + self.word) // self.rules.bank_words
        single = self.rules.ports == "1rw"
        if self.result_at is None:
            if bank in reads or (single and bank in writes):
                self.stalls["arbitration"] += 1
            else:
                self.result_at, self.is_written, self.pushed = clock + self.rules.fired_after, False, 0
            return
        if clock < self.result_at:
            self.stalls["latency"] += 1
            return
        if not self.is_written:
            if bank in writes or (single and bank in reads):
                self.stalls["arbitration"] += 1
            else:
                self.is_written, self.last = True, clock
        if self.pushed < self.spikes[self.word]:
            if held < self.rules.fifo_events:
                self.fifo.append(clock)
                self.pushed += 1
                self.last = clock
            else:
                self.stalls["fifo_full"] += 1
        if self.is_written and self.pushed == self.spikes[self.word]:
            self.word, self.result_at = self.word + 1, None


def run_group(rules: Rules, spikes: Sequence[int] | None, host_events: int = 0) -> Counter[str]:
    """Clocks of phases and stalls of one group; `spikes` per word of the layer below, None for group 0."""
    fifo: deque[int] = deque()
    deliver, fire = Deliver(rules, fifo, rules.bias), Fire(rules, spikes or (), fifo)
    clock = 0
    while True:
        pending = any(done >= clock for done in deliver.writes)
        if fire.is_done and not (host_events or fifo or deliver.row or deliver.bias_to_come or pending):
            break
        held = len(fifo)
        reads, writes = deliver.tick(clock, held)
        fire.tick(clock, held, reads, writes)
        if host_events and held < rules.fifo_events:
            fifo.append(clock)
            host_events -= 1
        clock += 1
    result = deliver.stalls + fire.stalls
    result["fire"] = fire.last + 1
    result["deliver"] = clock - (fire.last + 1)
    result["latency"] += clock - 1 - max(deliver.last_begin, fire.last)
    return +result
