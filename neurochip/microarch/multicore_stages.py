"""The stages of a step on a mesh: each ends with its slowest core (docs/multicore.md, section 3)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from neurochip.counters import PHASES
from neurochip.microarch.interface import ChipTiming, Gates
from neurochip.microarch.mesh import MeshTiming
from neurochip.microarch.multicore_clocks import SliceClocks
from neurochip.microarch.multicore_slices import Clocks, SliceActivity
from neurochip.microarch.multicore_split import Split, history_groups
from neurochip.microarch.multicore_transfers import Mesh
from neurochip.microarch.shapes import ceil_div
from neurochip.microarch.timing import read_latency
from neurochip.spec import CoreSpec


class Stages:
    """Clocks of all stages of the recorded samples.

    Attributes:
        clocks: phase -> int64 [samples, steps].
        idle: core-clocks in which a core in use waited for a slower one or for the mesh, [samples, steps].
        mesh: what crossed the mesh.
    """

    def __init__(
        self,
        spec: CoreSpec,
        chip: ChipTiming,
        gates: Gates,
        split: Split,
        slices: Sequence[SliceActivity],
        timing: MeshTiming,
    ) -> None:
        self.spec, self.chip, self.gates, self.split = spec, chip, gates, split
        self.mesh = Mesh(timing)
        self.barrier = timing.barrier_cycles
        self.parts = [SliceClocks(seen, split, chip, gates) for seen in slices]
        shape = slices[0].at["events"].shape
        self.clocks: dict[str, Clocks] = {phase: np.zeros(shape, dtype=np.int64) for phase in PHASES}
        self.idle: Clocks = np.zeros(shape, dtype=np.int64)

    def of_layer(self, layer: int) -> list[SliceClocks]:
        """The slices of a layer, neurons ascending."""
        return [part for part in self.parts if part.seen.layer == layer]

    def run(self, learning: bool) -> None:
        """Add the stages of every step."""
        self._forward()
        if not learning:
            return
        if self.spec.credit == "unroll":
            self._history()
            self._clear_delta()
        self._stage("trace", ((part.seen.core, part.trace()) for part in self.parts), exists=self._has_traces())
        self._stage("error", [(part.seen.core, part.softmax()) for part in self.of_layer(len(self.spec.layers) - 1)])
        for layer in range(len(self.spec.layers) - 1, 0, -1):
            self._error(layer)
        self._stage("update", ((part.seen.core, part.update()) for part in self.parts))

    def _has_traces(self) -> bool:
        return self.spec.credit == "trace" and any(layer.keeps_trace for layer in self.spec.layers)

    def _forward(self) -> None:
        beside = False  # DELIVER of this layer ran beside FIRE of the one below
        for layer in range(len(self.spec.layers)):
            parts = self.of_layer(layer)
            if not beside:
                self._transfer("deliver", self.mesh.events(layer, self.of_layer(layer - 1), parts))
                self._stage("deliver", ((part.seen.core, part.deliver()) for part in parts))
            beside = layer + 1 < len(self.spec.layers) and self.split.share_a_core(layer, layer + 1)
            if beside:
                fire, deliver = parts[0].fire_beside_deliver(self.of_layer(layer + 1)[0])
                self.clocks["fire"] += fire
                self._stage("deliver", [(parts[0].seen.core, deliver)])
                self.idle += (len(self.split.cores) - 1) * fire
            else:
                self._stage("fire", ((part.seen.core, part.fire()) for part in parts))

    def _history(self) -> None:
        """What the reverse pass needs is written forward, and read back; e is then put into the error memory."""
        words = [
            sum(ceil_div(bits, self.chip.history_word_bits) for _, bits in history_groups(core, self.spec))
            for core in self.split.cores
        ]
        latency = read_latency(self.chip, "history")
        self._stage("history", list(enumerate(words)))
        self._stage("history", [(core, number + latency) for core, number in enumerate(words)])
        self._stage("error", [(part.seen.core, part.words) for part in self.of_layer(len(self.spec.layers) - 1)])

    def _clear_delta(self) -> None:
        """The valid bits of δ are cleared before the reverse pass: in step T, the first of it."""
        last = len(self.spec.layers) - 1
        first_step = np.zeros_like(self.idle)
        first_step[:, -1] = 1
        hidden = [(part.seen.core, first_step) for part in self.parts if part.seen.layer != last]
        self._stage("error", hidden, barrier=first_step * self.barrier)

    def _error(self, layer: int) -> None:
        """Back through the weights of a layer to the neurons below it."""
        above, below = self.of_layer(layer), self.of_layer(layer - 1)
        n_below = [np.full_like(self.idle, part.layer.n_out) for part in below]
        rows = [part.at["psi_nonzero"] for part in below] if self.gates.zero_surrogate else n_below
        all_rows: Clocks = np.sum(rows, axis=0)
        if self.split.share_a_core(layer - 1, layer):
            self._stage("error", [(above[0].seen.core, above[0].error(all_rows, below[0].words))])
            return
        if self.gates.zero_surrogate:
            self._transfer("error", self.mesh.surrogate_words(below, above, self.chip.lanes))
        self._stage("error", ((part.seen.core, part.partial(all_rows)) for part in above))
        self._transfer("error", self.mesh.partial_sums(rows, below, above))
        self._stage("error", ((part.seen.core, part.finish()) for part in below))

    def _transfer(self, phase: str, clocks: Clocks | None) -> None:
        if clocks is not None:
            self.clocks[phase] += clocks + self.barrier
            self.idle += len(self.split.cores) * (clocks + self.barrier)

    def _stage(
        self, phase: str, work: Iterable[tuple[int, Clocks | int]], exists: bool = True, barrier: Clocks | None = None
    ) -> None:
        """A core does its slices one after the other; the stage lasts as long as the slowest core, and the barrier."""
        if not exists:
            return
        per_core: dict[int, Clocks] = {}
        for core, clocks in work:
            per_core[core] = per_core.get(core, np.zeros_like(self.idle)) + clocks
        if not per_core:
            return
        busy = list(per_core.values())
        length: Clocks = np.max(busy, axis=0) + (self.barrier if barrier is None else barrier)
        self.clocks[phase] += length
        self.idle += len(self.split.cores) * length - np.sum(busy, axis=0)

    def apply(self, gradient_words: Sequence[float], applies: int) -> float:
        """Clocks of all applies together: per slice the gradient words that hold something, per layer in `parts`."""
        per_core: dict[int, float] = {}
        for part, words in zip(self.parts, gradient_words, strict=True):
            per_core[part.seen.core] = per_core.get(part.seen.core, 0.0) + part.apply(words, applies)
        return max(per_core.values()) + applies * self.barrier
