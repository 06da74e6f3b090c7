"""One forward group of `ottt_core` in numbers, and its serial clocks, an upper bound that follows from totals.

Where the spikes fall decides the clocks of FIRE beside DELIVER, so totals alone give only the *serial* clocks: FIRE of
a group, then DELIVER, as if nothing overlapped, and for every word of FIRE the longest it can wait for late writes of
DELIVER. Per layer l and over NT steps, with R = max(W·II + B, λ_D + 1) clocks from row to row, B the clocks of a burst
(0 on the chip), s = 2 on a 1rw memory, else λ_D, and k the layer that fires beside it:

    DELIVER(l), dense: (events + NT·[bias])·R + NT·λ_D
    DELIVER(l), convolution: (taps + NT·B·[bias])·W·II + (events + NT·[bias])·X + NT·λ_D, X = max(λ_D + 1 − II, 2)
    and NT·II until the first event is at hand: without FIRE and bias, and where events wait in a buffer during FIRE
    FIRE(k): NT·Ω_k·(φ + 1 + s) + events

It is a bound because in every clock FIRE reads, computes, writes or pushes (at most φ + 1 clocks per word and one per
spike); or DELIVER has an event; or FIRE waits for a late write; or both are done but for the last writes. DELIVER has a
row at most R clocks. The words of an event of a convolution are different ones, so it waits only for words of earlier
events, and λ_D clocks after the last of these for none; a FIFO of one entry gives an event every other clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from neurochip.errors import UserError
from neurochip.microarch.footprint import spilled_memories
from neurochip.microarch.forward_plan import GroupPlan, plan_groups
from neurochip.microarch.interface import ChipTiming
from neurochip.microarch.shapes import is_stored, row_words, vector_words
from neurochip.microarch.timing import burst_cycles, read_latency, stream
from neurochip.spec import CoreSpec
from neurochip.topology import ConvShape

TIMING_FIELDS = (
    "ii",
    "deliver_latency",
    "fire_latency",
    "fifo_events",
    "words",
    "first_word",
    "words_below",
    "first_word_below",
    "bank_words",
    "bias",
    "burst",
)


@dataclass(frozen=True)
class Group:
    """DELIVER of a layer, and FIRE of a hidden layer beside it or not (docs/microarchitecture.md, section 3).

    Attributes:
        plan: which layers, and the connections the events come along.
        conv: the shape of a convolution; None: dense.
        others: as `kernels.forward_groups.Timing`.
    """

    plan: GroupPlan
    conv: ConvShape | None
    ii: int
    deliver_latency: int
    fire_latency: int
    fifo_events: int
    words: int
    first_word: int
    words_below: int
    first_word_below: int
    bank_words: int
    bias: int
    burst: int

    @property
    def timing(self) -> dict[str, int]:
        """The arguments of `kernels.forward_groups.Timing`."""
        return {name: getattr(self, name) for name in TIMING_FIELDS}

    @property
    def row_cycles(self) -> int:
        """R, clocks from one row of DELIVER to the next if events never lack."""
        return max(self.words * self.ii + self.burst, self.deliver_latency + 1)

    @property
    def word_rows(self) -> int:
        """Taps of the bias."""
        return self.bias * (self.conv.n_blocks if self.conv is not None else 1)

    def serial(self, events: Any, steps: int, taps: Any = 0) -> dict[str, Any]:
        """Serial clocks by column, for `events` (a number, or one per sample) in `steps` steps.

        Args:
            events: delivered to the layer.
            steps: of all samples the events are of.
            taps: of these events, in a convolution.
        """
        rows = events + steps * self.bias
        if self.conv is None:
            row_words = rows * self.words
            hazard = self.row_cycles - self.words * self.ii - self.burst
        else:
            row_words = (taps + steps * self.word_rows) * self.words
            hazard = max(self.deliver_latency + 1 - self.ii, 2)
        waits = bool(self.plan.buffered) if self.words_below else not self.bias
        first = steps if waits else 0  # until the first event, or the first after FIRE, is at hand
        late = steps * self.words_below * (2 if self.ii == 2 else self.deliver_latency)
        spikes = events if self.words_below else 0
        return {
            "fire": steps * self.words_below * (self.fire_latency + 1) + late + spikes,
            "deliver": row_words * self.ii
            + rows * (hazard + self.burst)
            + steps * self.deliver_latency
            + first * self.ii,
            "event_wait": first,
            "raw_hazard": rows * (hazard // self.ii),
            "port": row_words * (self.ii - 1) + rows * (hazard - hazard // self.ii) + first * (self.ii - 1),
            "arbitration": late,
            "latency": steps * (self.deliver_latency + self.words_below * (self.fire_latency - 1)),
            "dram": rows * self.burst,
        }

    def least(self, events: int, steps: int, taps: int = 0) -> int:
        """Clocks that the busier of the two cannot do without; arguments as for `serial`."""
        early = self.ii - 1 if self.burst else 0  # a burst may begin in the second clock of a slot
        rows = (events if self.conv is None else taps) + steps * self.word_rows
        deliver = rows * (self.words * self.ii + self.burst - early)
        return max(deliver, steps * self.words_below * (self.fire_latency + 1))


def groups(spec: CoreSpec, chip: ChipTiming, learning: bool = True) -> list[Group]:
    """Every group of a step, in order; `learning`: whether heads run.

    Raises:
        UserError: a network that has no such groups, or a chip without an event FIFO.
    """
    spilled = spilled_memories(spec, chip)
    slots = stream(chip, ("neuron",), ("synapse",), spilled)
    if "event_fifo" not in chip.memories:
        raise UserError("memories.event_fifo is missing, but the event FIFO needs a depth; add this memory")
    found, first_words = [], _first_words(spec, chip)
    for plan in plan_groups(spec, learning):
        layer = spec.layers[plan.layer]
        words = row_words(layer, chip.lanes)
        found.append(
            Group(
                plan=plan,
                conv=layer.conv,
                ii=slots.ii,
                deliver_latency=slots.latency,
                fire_latency=read_latency(chip, "neuron") + chip.pipeline_latency_cycles,
                fifo_events=chip.memories["event_fifo"].words,
                words=words,
                first_word=first_words[plan.layer],
                words_below=0 if plan.fires is None else vector_words(spec.layers[plan.fires], chip.lanes),
                first_word_below=0 if plan.fires is None else first_words[plan.fires],
                bank_words=chip.memories["neuron"].bank_words,
                bias=int(layer.bias),
                burst=burst_cycles(chip, words, chip.lanes * spec.weight_bits) if "synapse" in spilled else 0,
            )
        )
    return found


def _first_words(spec: CoreSpec, chip: ChipTiming) -> list[int]:
    """Address of the first neuron word of every layer: u and z, in the order of the layers."""
    addresses, address = [], 0
    for index, layer in enumerate(spec.layers):
        addresses.append(address)
        if is_stored(spec, index) and layer.kind != "feedback":
            address += vector_words(layer, chip.lanes)
    return addresses
