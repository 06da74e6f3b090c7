"""FIRE beside DELIVER one clock at a time, from docs/microarchitecture.md, sections 2 to 4 and 10: timing only.

Every clock asks every rule of the page again; nothing is known in advance. test_ottt_core_groups.py and
test_network_groups.py hold the recurrences of the package against it. An event is the list of the neuron words that its
taps lead to, in order; without a tap it is empty.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

Event = tuple[int, ...]  # words


@dataclass(frozen=True)
class Rules:
    """Numbers of one group; `bias` are the words of its taps, `burst` is 0 unless the weights lie in DRAM."""

    ports: str
    delivered_after: int  # λ_D
    fired_after: int  # φ
    fifo_events: int
    first_word: int
    first_word_below: int
    bank_words: int
    bias: Event
    burst: int


@dataclass
class Deliver:
    rules: Rules
    fifo: deque[Event]
    bias_to_come: bool
    row: str = ""  # "", "bias" or "event"
    to_begin: list[int] = field(default_factory=list)  # words of the row
    is_taken: bool = False
    burst_left: int = 0
    waited: int = 0  # clocks without a row since the last one
    writes: dict[int, int] = field(default_factory=dict)  # clock -> word
    last_begin: int = -1  # or last clock in which an event without a tap left the FIFO
    stalls: Counter[str] = field(default_factory=Counter)

    def tick(self, clock: int, held: int) -> tuple[set[int], set[int]]:
        """Do one clock; the FIFO `held` so many events at its start. Returns banks read and banks written."""
        if not self.row:
            self._find_row(clock, held)
        reads = set()
        if self.row:
            began = self._begin(clock)
            if began is not None:
                reads = {self._bank(began)}
        written = {self._bank(self.writes[clock])} if clock in self.writes else set()
        return reads, written

    def _find_row(self, clock: int, held: int) -> None:
        if self.bias_to_come:
            self.row, self.bias_to_come, self.to_begin = "bias", False, list(self.rules.bias)
        elif held:
            self.stalls["event_wait"] += self.waited
            self.waited = 0
            if not self.fifo[0]:  # no tap
                self.fifo.popleft()
                self.stalls["event_wait"] += 1
                self.last_begin = clock
                return
            self.row, self.is_taken, self.to_begin = "event", bool(self.rules.burst), list(self.fifo[0])
            if self.rules.burst:
                self.fifo.popleft()
        else:
            self.waited += 1
        if self.row:
            self.burst_left = self.rules.burst

    def _begin(self, clock: int) -> int | None:
        if self.burst_left:
            self.burst_left -= 1
            self.stalls["dram"] += 1
            return None
        if self.rules.ports == "1rw" and clock % 2:
            self.stalls["port"] += 1
            return None
        if any(word == self.to_begin[0] and done >= clock for done, word in self.writes.items()):
            self.stalls["raw_hazard"] += 1
            return None
        begun = self.to_begin.pop(0)
        self.writes[clock + self.rules.delivered_after] = begun
        self.last_begin = clock
        if self.row == "event" and not self.is_taken:
            self.fifo.popleft()
            self.is_taken = True
        if not self.to_begin:
            self.row = ""
        return begun

    def _bank(self, word: int) -> int:
        return (self.rules.first_word + word) // self.rules.bank_words


@dataclass
class Fire:
    rules: Rules
    spikes: Sequence[Sequence[Event]]  # per word
    fifo: deque[Event]
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
        if self.pushed < len(self.spikes[self.word]):
            if held < self.rules.fifo_events:
                self.fifo.append(self.spikes[self.word][self.pushed])
                self.pushed += 1
                self.last = clock
            else:
                self.stalls["fifo_full"] += 1
        if self.is_written and self.pushed == len(self.spikes[self.word]):
            self.word, self.result_at = self.word + 1, None


def run_group(rules: Rules, spikes: Sequence[Sequence[Event]], buffered: Sequence[Event]) -> Counter[str]:
    """Clocks of phases and stalls of one group: spikes per word of FIRE (none: no FIRE), then events in a buffer."""
    fifo: deque[Event] = deque()
    deliver, fire = Deliver(rules, fifo, bool(rules.bias)), Fire(rules, spikes, fifo)
    waiting, clock = deque(buffered), 0
    while not fire.is_done or waiting or fifo or deliver.row or deliver.bias_to_come:
        held = len(fifo)
        reads, writes = deliver.tick(clock, held)
        fire.tick(clock, held, reads, writes)
        if waiting and fire.is_done and clock > fire.last and held < rules.fifo_events:
            fifo.append(waiting.popleft())
        clock += 1
    result = deliver.stalls + fire.stalls
    end = max(max(deliver.writes, default=-1), deliver.last_begin, fire.last)
    result["fire"] = fire.last + 1
    result["deliver"] = end - fire.last
    result["latency"] += end - max(deliver.last_begin, fire.last)
    return +result
