"""Clocks of one slice in every stage and step (docs/multicore.md, section 3; formulas: docs/microarchitecture.md)."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

import numpy as np

from neurochip.microarch.forward_group import Group, groups
from neurochip.microarch.interface import ChipTiming, Gates
from neurochip.microarch.multicore_slices import Clocks, SliceActivity
from neurochip.microarch.multicore_split import Split
from neurochip.microarch.shapes import ceil_div, ceil_log2, keeps_trace, n_rows
from neurochip.microarch.timing import read_latency, stream


class SliceClocks:
    """Clocks of the stages of one slice, each an int64 array [samples, steps] or one number for every step."""

    def __init__(self, seen: SliceActivity, split: Split, chip: ChipTiming, gates: Gates) -> None:
        self.seen, self.chip, self.gates = seen, chip, gates
        self.at, self.spec, self.layer = seen.at, seen.spec, seen.spec.layers[seen.layer]
        self.words = ceil_div(self.layer.n_out, chip.lanes)
        held = split.cores[seen.core]
        self.first_words: dict[int, int] = {}
        address = 0
        for part in held:
            self.first_words[part.layer] = address
            address += ceil_div(part.n_out, chip.lanes)

    @cached_property
    def group(self) -> Group:
        return replace(groups(self.spec, self.chip)[self.seen.layer], first_word=self.first_words[self.seen.layer])

    def deliver(self) -> Clocks:
        """DELIVER alone; all events wait in the buffer of the mesh, as external ones do in that of the host."""
        group = replace(self.group, words_below=0, first_word_below=0)
        clocks = run_group(group, self.at["events"].reshape(-1, 1))
        return clocks[:, 1].reshape(self.at["events"].shape)

    def fire(self) -> Clocks:
        """FIRE alone: a hidden word takes φ clocks and one per spike, at least one; the readout is a stream."""
        spikes = self.seen.spikes
        if spikes is None:
            slots = stream(self.chip, ("neuron",))
            return np.full_like(self.at["events"], 2 * self.words * slots.ii + slots.drain)
        per_word = spikes_per_word(spikes, self.chip.lanes)
        latency = read_latency(self.chip, "neuron") + self.chip.pipeline_latency_cycles
        clocks: Clocks = (latency + np.maximum(per_word, 1)).sum(axis=-1)
        return clocks

    def fire_beside_deliver(self, above: SliceClocks) -> tuple[Clocks, Clocks]:
        """FIRE of this layer beside DELIVER of the next, both on this core as a whole: clocks of fire, of deliver."""
        spikes = self.seen.spikes
        if spikes is None:
            raise ValueError("nothing is delivered after the readout")
        group = replace(above.group, words_below=self.words, first_word_below=self.first_words[self.seen.layer])
        cells = spikes_per_word(spikes, self.chip.lanes).reshape(-1, self.words)
        clocks, shape = run_group(group, cells), spikes.shape[:2]
        return clocks[:, 0].reshape(shape), clocks[:, 1].reshape(shape)

    def trace(self) -> Clocks:
        """TRACE; the valid bits are cleared in the first step."""
        if not keeps_trace(self.spec, self.seen.layer):
            return np.zeros_like(self.at["events"])
        slots = stream(self.chip, ("trace",))
        windows = ceil_div(ceil_div(self.layer.n_in, self.chip.trace_lanes), self.chip.scan_width)
        clocks = (self.at["trace_words"] + windows) * slots.ii + slots.drain
        clocks[:, 0] += 1
        return clocks

    def softmax(self) -> int:
        divisions = 2 if self.spec.mse_share_q > 0 else 1
        divider = divisions * self.layer.n_out * self.chip.div_cycles
        return 4 * self.words + divider + self.chip.pipeline_latency_cycles

    def signals_sent(self) -> Clocks:
        """1 where partial sums of this slice are formed: with the gate only in steps with a signal."""
        return self.at["signal_steps"] if self.gates.zero_error else np.ones_like(self.at["signal_steps"])

    def row_words_back(self, rows: Clocks) -> Clocks:
        """Row words read on the way back, for the `rows` of W that the gate of ψ leaves."""
        return rows * (self.at["signal_words"] if self.gates.zero_error else self.words)

    def error(self, rows: Clocks, words_below: int) -> Clocks:
        """ERROR in one pipeline, the layer below on this core as a whole."""
        slots = stream(self.chip, ("error",)).ii
        flush = ceil_div(self._partial_latency() + self.chip.pipeline_latency_cycles, slots)
        scan = ceil_div(self.layer.n_in, self.chip.scan_width)
        return self.row_words_back(rows) + scan + (words_below + flush) * slots

    def partial(self, rows: Clocks) -> Clocks:
        """Partial sums of d, sent to the cores that own the neurons of the layer below."""
        scan = ceil_div(self.layer.n_in, self.chip.scan_width)
        return self.row_words_back(rows) + scan + self._partial_latency()

    def _partial_latency(self) -> int:
        reads = max(read_latency(self.chip, memory) for memory in ("synapse", "error"))
        return reads + ceil_log2(self.chip.lanes) + self.chip.pipeline_latency_cycles

    def finish(self) -> int:
        """From the sums of d to g (δ) of this slice: one slot per word of ψ (δ)."""
        slots = stream(self.chip, ("error",))
        return self.words * slots.ii + slots.drain

    def update(self) -> Clocks:
        """UPDATE of this slice."""
        memory = "synapse" if self.spec.update == "immediate" else "gradient"
        traced = ("trace",) if keeps_trace(self.spec, self.seen.layer) else ()
        slots, rows = stream(self.chip, (memory,), ("error", *traced)), n_rows(self.layer)
        zero_trace, zero_error = self.gates.zero_trace, self.gates.zero_error
        visited_rows = self.at["presynaptic_rows"] if zero_trace else np.full_like(self.at["events"], rows)
        row_words = visited_rows * (self.at["signal_words"] if zero_error else self.words)
        windows = ceil_div(rows, self.chip.scan_width)
        return row_words * slots.ii + self.signals_sent() * (windows * slots.ii + slots.drain)

    def apply(self, gradient_words: float, applies: int) -> float:
        """APPLY of this slice, all applies together, for the gradient words that hold something."""
        slots = stream(self.chip, ("gradient", "synapse"))
        windows = ceil_div(n_rows(self.layer) * self.words, self.chip.scan_width)
        return gradient_words * slots.ii + applies * (windows * slots.ii + slots.drain)


def spikes_per_word(spikes: np.ndarray, lanes: int) -> Clocks:
    """[samples, steps, neurons] -> [samples, steps, words]."""
    starts = np.arange(0, spikes.shape[-1], lanes)
    counts: Clocks = np.add.reduceat(spikes, starts, axis=-1, dtype=np.int64)
    return counts


def run_group(group: Group, cells: Clocks) -> Clocks:
    """Clocks of FIRE and of DELIVER for every row of `cells`, [cells, 2]; equal ones are run once.

    Args:
        group: of all of them.
        cells: spikes per word that fires; without FIRE one column, the events that wait in a buffer.
    """
    from neurochip.microarch.kernels.forward_groups import N_COLUMNS, Timing, run_groups  # numba loads here

    different, places = np.unique(cells, axis=0, return_inverse=True)
    clocks = np.zeros((len(different), N_COLUMNS), dtype=np.int64)
    in_buffer = ((0, 0), (0, 1 if group.words_below else 0))  # none beside FIRE: a column of 0
    run_groups(Timing(**group.timing), np.pad(different, in_buffer), clocks)
    of_cell: Clocks = clocks[places.reshape(-1), :2]
    return of_cell
