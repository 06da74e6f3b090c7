"""ODIN: cycles, memory accesses and synaptic operations of its events, as its published Verilog spends them.

Source: ChFrenkel/ODIN, `doc/README.md` (table of event types) and `src/controller.v`. 256 neurons in 256 words of 128
bits; 256 × 256 synapses of 4 bits in 8192 words of 32 bits. It is no registered microarchitecture: it learns by
spike-driven plasticity only, and its weights have 3 bits and the sign of their neuron, so it can run none of the rules.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from neurochip.errors import UserError

NEURONS, SYNAPSES_PER_WORD = 256, 8
ROW_WORDS = NEURONS // SYNAPSES_PER_WORD
CYCLES_PER_ACCESS_PAIR = 2  # read, then write
PUSH_CYCLES = 1  # into the scheduler


@dataclass(frozen=True)
class EventWork:
    """What one event of a kind costs: cycles, read-modify-writes of the two memories, synaptic operations."""

    cycles: int
    neuron_words: int
    synapse_words: int
    sops: int


def _work(push_cycles: int, neuron_words: int, synapse_words: int, sops: int) -> EventWork:
    """Neurons are visited one per two cycles, with their synapse word in the shadow of the first of eight."""
    visited = max(neuron_words, synapse_words)
    return EventWork(push_cycles + CYCLES_PER_ACCESS_PAIR * visited, neuron_words, synapse_words, sops)


EVENTS: Mapping[str, EventWork] = {
    "neuron_spike": _work(PUSH_CYCLES, NEURONS, ROW_WORDS, NEURONS),
    "single_synapse": _work(0, 1, 1, 1),
    "virtual": _work(PUSH_CYCLES, 1, 0, 0),
    "time_reference_all": _work(0, NEURONS, 0, 0),
    "time_reference_single": _work(0, 1, 0, 0),
    "bistability_all": _work(0, 0, NEURONS * ROW_WORDS, 0),
    "bistability_single": _work(0, 0, ROW_WORDS, 0),
}


@dataclass(frozen=True)
class StepCost:
    """Cycles by kind of event, words read and written, and synaptic operations.

    Attributes:
        cycles: keys of EVENTS; waits for handshakes and the idle cycle between events are external.
        accesses: "neuron_read", "neuron_write", "synapse_read", "synapse_write".
        sops: synaptic operations.
    """

    cycles: Mapping[str, int]
    accesses: Mapping[str, int]
    sops: int

    @property
    def total_cycles(self) -> int:
        """Sum of `cycles`."""
        return sum(self.cycles.values())


def step_cost(
    neuron_spikes: int = 0,
    single_synapses: int = 0,
    virtuals: int = 0,
    time_references_all: int = 0,
    time_references_single: int = 0,
    bistabilities_all: int = 0,
    bistabilities_single: int = 0,
) -> StepCost:
    """Cost of numbers of events: a neuron spike takes 1 + 2·256 cycles, so 2 cycles per synaptic operation.

    Every visit reads a neuron word and writes it. A neuron spike reads and writes a synapse word once for its eight
    synapses, not once per synapse (`CTRL_SYNARRAY_CS` is up for the first neuron of eight).

    Raises:
        UserError: a number of events that is not a whole number of 0 or more.
    """
    numbers = dict(
        zip(
            EVENTS,
            (
                *(neuron_spikes, single_synapses, virtuals, time_references_all),
                *(time_references_single, bistabilities_all, bistabilities_single),
            ),
            strict=True,
        )
    )
    for kind, number in numbers.items():
        if number < 0 or number != int(number):
            raise UserError(f"the number of {kind} events of ODIN is {number}; allowed are whole numbers from 0")
    neuron_words = sum(number * EVENTS[kind].neuron_words for kind, number in numbers.items())
    synapse_words = sum(number * EVENTS[kind].synapse_words for kind, number in numbers.items())
    return StepCost(
        cycles={kind: number * EVENTS[kind].cycles for kind, number in numbers.items()},
        accesses={
            "neuron_read": neuron_words,
            "neuron_write": neuron_words,
            "synapse_read": synapse_words,
            "synapse_write": synapse_words,
        },
        sops=sum(number * EVENTS[kind].sops for kind, number in numbers.items()),
    )
