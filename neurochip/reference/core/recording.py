"""What a run writes down beside its state: activity (docs/semantics.md, section 5), probes and drawn numbers."""

from __future__ import annotations

from collections.abc import Sequence

from neurochip.activity import FIELDS


class Recorder:
    """Counts per (step, layer), probes per (sample, step) and, when asked, every drawn random number."""

    def __init__(self, n_steps: int, n_layers: int, record_draws: bool) -> None:
        self.n_steps = n_steps
        # One more row than steps: row n_steps holds the applies of accumulated gradients.
        self._table = [[dict.fromkeys(FIELDS, 0) for _ in range(n_layers)] for _ in range(n_steps + 1)]
        self.probes: dict[str, list[list[list[int]]]] = {}
        self.draws: list[tuple[int, int, int, int]] = []
        self.record_draws = record_draws
        self.n_applies = 0
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


def count_inputs(counts: dict[str, int], events: Sequence[tuple[int, int]]) -> None:
    """Count the input events of one layer, and those whose magnitude is not 1."""
    counts["events"] += len(events)
    counts["graded_events"] += sum(1 for _, magnitude in events if magnitude != 1)


def count_signal(counts: dict[str, int], signal: Sequence[int], lanes: int, rows_needing_error: int) -> None:
    """Count the learning signal of one layer's outputs, and the weights its way back through the layer touches.

    `rows_needing_error` is the number of presynaptic neurons with psi != 0 (0 for the first layer, whose inputs
    have no error).
    """
    n_nonzero, n_words = nonzero(signal), nonzero_words(signal, lanes)
    counts["signal_nonzero"] += n_nonzero
    counts["signal_words"] += n_words
    counts["signal_steps"] += int(n_nonzero > 0)
    counts["error_rows"] += rows_needing_error if n_nonzero else 0
    counts["error_words"] += rows_needing_error * n_words
    counts["error_products"] += rows_needing_error * n_nonzero


def count_update(counts: dict[str, int], signal: Sequence[int], lanes: int, n_rows: int) -> None:
    """Count one step's update of one layer with `n_rows` rows of nonzero presynaptic factor, the bias row included."""
    counts["presynaptic_rows"] += n_rows
    counts["update_rows"] += n_rows if any(signal) else 0
    counts["update_words"] += n_rows * nonzero_words(signal, lanes)
    counts["update_products"] += n_rows * nonzero(signal)
