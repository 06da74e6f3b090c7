"""What a run writes down beside its state: activity (docs/semantics.md, section 5), probes and drawn numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from neurochip.activity import FIELDS
from neurochip.topology import Tap


class Recorder:
    """Counts per (step, layer), probes per (sample, step) and, when asked, every drawn random number."""

    def __init__(self, n_steps: int, n_layers: int, record_draws: bool) -> None:
        self.n_steps = n_steps
        # One more row than steps: row n_steps holds the applies of accumulated gradients, and standardisations.
        self._table = [[dict.fromkeys(FIELDS, 0) for _ in range(n_layers)] for _ in range(n_steps + 1)]
        self.probes: dict[str, list[list[list[int]]]] = {}
        self.draws: list[tuple[int, int, int, int]] = []
        self.record_draws = record_draws
        self.n_applies = 0
        self.n_standardisations = 0
        self._sample = -1

    def start_sample(self) -> None:
        """Open the probes of the next sample."""
        self._sample += 1

    def counts(self, step: int, layer: int) -> dict[str, int]:
        """The counters of one step and layer, by the names of section 5."""
        return self._table[step][layer]

    def probe(self, name: str, step: int, values: Sequence[int]) -> None:
        """Copy `values` into the probe `name` of the current sample and this step."""
        samples = self.probes.setdefault(name, [])
        while len(samples) <= self._sample:
            samples.append([[] for _ in range(self.n_steps)])
        samples[self._sample][step] = list(values)

    def activity(self) -> list[list[list[int]]]:
        """Activity as [n_steps + 1][n_layers][N_FIELDS], last axis in the order of neurochip.activity.FIELDS."""
        return [[[counts[name] for name in FIELDS] for counts in row] for row in self._table]


def nonzero(values: Sequence[int]) -> int:
    """How many values are not 0."""
    return sum(1 for value in values if value)


def nonzero_words(values: Sequence[int], lanes: int) -> int:
    """How many words of `lanes` neighbouring values hold some value that is not 0."""
    return sum(1 for first in range(0, len(values), lanes) if any(values[first : first + lanes]))


@dataclass(frozen=True)
class BlockCounts:
    """What a signal holds, block by block: L-words with some value that is not 0, and values that are not 0."""

    words: list[int]
    products: list[int]

    @classmethod
    def of(cls, signal: Sequence[int], columns: int, lanes: int) -> BlockCounts:
        """Look at a signal in blocks of `columns` outputs and words of `lanes`; every block begins a new word."""
        blocks = [signal[first : first + columns] for first in range(0, len(signal), columns)]
        return cls([nonzero_words(block, lanes) for block in blocks], [nonzero(block) for block in blocks])

    @property
    def steps(self) -> int:
        """1 if some value is not 0."""
        return int(any(self.products))

    def over(self, taps: Iterable[Tap]) -> tuple[int, int]:
        """(words, products) summed over the blocks that some taps lead to."""
        blocks = [block for _, block in taps]
        return sum(self.words[b] for b in blocks), sum(self.products[b] for b in blocks)


def count_inputs(counts: dict[str, int], events: Sequence[tuple[int, int]], taps: Sequence[Sequence[Tap]]) -> None:
    """Count the events delivered to one layer, those whose magnitude is not 1, and their taps."""
    counts["events"] += len(events)
    counts["graded_events"] += sum(1 for _, m in events if m != 1)
    counts["deliver_taps"] += sum(len(taps[address]) for address, _ in events)


def count_signal(counts: dict[str, int], signal: BlockCounts, taps: Sequence[Sequence[Tap]]) -> None:
    """Count the signal of one layer's outputs, and where it lies for the taps of all input addresses."""
    counts["signal_nonzero"] += sum(signal.products)
    counts["signal_words"] += sum(signal.words)
    counts["signal_steps"] += signal.steps
    for address_taps in taps:
        words, products = signal.over(address_taps)
        counts["all_tap_words"] += words
        counts["all_tap_products"] += products


def count_error(
    counts: dict[str, int], signal: BlockCounts, addresses: Iterable[int], taps: Sequence[Sequence[Tap]]
) -> None:
    """Count the weights that a signal goes back through to some input addresses of its layer."""
    for address in addresses:
        words, products = signal.over(taps[address])
        counts["psi_rows"] += 1
        counts["psi_taps"] += len(taps[address])
        counts["error_rows"] += signal.steps
        counts["error_words"] += words
        counts["error_products"] += products


def count_update(counts: dict[str, int], signal: BlockCounts, rows: Iterable[Sequence[Tap]]) -> None:
    """Count one step's update of one layer; `rows`: the taps of each input address with p != 0 and each bias row."""
    for taps in rows:
        words, products = signal.over(taps)
        counts["presynaptic_rows"] += 1
        counts["presynaptic_taps"] += len(taps)
        counts["update_rows"] += signal.steps
        counts["update_words"] += words
        counts["update_products"] += products


def count_tiles(
    counts: dict[str, int], signal: BlockCounts, places: Iterable[tuple[tuple[int, int], Sequence[Tap]]]
) -> None:
    """Count the pairs of an M-word and a block it leads to, times the words of that block; `places`: (M-word, taps)."""
    tiles = {(word, block) for word, taps in places for _, block in taps}
    counts["update_tiles"] += sum(signal.words[block] for _, block in tiles)
