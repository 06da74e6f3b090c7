"""The clock model by hand: a few clocks of each unit, derived on paper from docs/microarchitecture.md."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest
from golden_builders import (
    BELOW,
    HIDDEN,
    ONE_EVENT,
    READOUT,
    make_spec,
    small_chip,
)

from neurochip.counters import PHASES, STALL_CAUSES
from neurochip.errors import UserError
from neurochip.microarch import Gates
from neurochip.reference.clock import ClockCore, ClockRun, PortConflictError
from neurochip.reference.clock.dram import Burst, DramSpace
from neurochip.reference.clock.machine import Pipeline
from neurochip.reference.clock.memory import Memory
from neurochip.reference.core import GoldenCore, GoldenSample

GATES = Gates(zero_trace=True, zero_error=True, zero_surrogate=True)
NAMES = ("synapse", "neuron", "trace", "error", "gradient", "history")


@dataclass(frozen=True)
class Shape:
    ports: str = "1rw"
    words: int = 64
    bank_words: int = 64
    read_latency_cycles: int = 1


@dataclass(frozen=True)
class Dram:
    bus_bits: int = 8
    latency_cycles: int = 3


def make_chip(ports: str = "1rw", fifo_words: int = 1, **changes: Any) -> Any:
    """2 lanes, a pipeline of 1 clock, memories of one bank that answer after 1 clock."""
    shapes = dict.fromkeys(NAMES, Shape(ports))
    memories = {"event_fifo": Shape("1r1w", fifo_words, fifo_words, 0)} | shapes | changes.pop("memories", {})
    return small_chip({name: shape for name, shape in memories.items() if shape is not None}, **changes)


def run(
    spec: Any, weights: Any, chip: Any, steps: Any, learn: bool, gates: Gates = GATES
) -> tuple[ClockCore, ClockRun]:
    core = ClockCore(spec, weights, chip, gates)
    return core, core.run([GoldenSample(steps, 0)], learn)


def phases(**clocks: int) -> dict[str, int]:
    return dict.fromkeys(PHASES, 0) | clocks


def stalls(**clocks: int) -> dict[str, int]:
    return dict.fromkeys(STALL_CAUSES, 0) | clocks


# 1 input, 4 hidden neurons in 2 words, 2 classes in 1 word; one event makes neurons 0, 1 and 2 fire (16 = theta).
# All potentials and z lie in one bank; rho = 1, P = 1, so FIRE has its result phi = 2 clocks after the read.
FIRING = make_spec(replace(HIDDEN, n_out=4), replace(READOUT, n_in=4, bias=True), event_bits=1, credit="none")
FIRING_WEIGHTS = [[[16, 16, 16, 0], [0] * 4], [[1, 2], [3, 4], [5, 6], [7, 7], [10, 20]]]


def test_fire_beside_deliver_on_one_port() -> None:
    # II = 2, lambda = 2 rounded up to 3.
    # Group 0. 0: the event enters the FIFO, event_wait. 1: at hand, port. 2: word 0. 3: port. 4: word 1.
    # 5, 6, 7: latency; words written in 5 and 7. 8 clocks.
    # Group 1 (D = DELIVER to the readout, F = FIRE).
    #  0 D bias row read, written in 3. F arbitration.       1 D wait. F reads word 0, result in 3.
    #  2 D wait. F latency.                                  3 D wait, writes. F write-back: arbitration; pushes 0.
    #  4 D takes 0, written in 7. F arbitration; fifo_full.  5 D wait. F writes back; pushes 1.
    #  6 D raw_hazard. F reads word 1, result in 8.          7 D writes; port. F latency.
    #  8 D takes 1, written in 11. F arbitration; fifo_full. 9 D wait. F writes back; pushes 2, and has ended.
    # 10 D raw_hazard.                                      11 D writes; port.
    # 12 D takes 2, written in 15.                          13, 14, 15: latency. 10 clocks of fire, 6 of deliver.
    # FIRE of the readout: z slot 2, sum slot 2, d = 3 + 1 - 2 = 2: 6 clocks, 2 port, 2 latency.
    core, result = run(FIRING, FIRING_WEIGHTS, make_chip("1rw"), ONE_EVENT, learn=False)
    assert result.ticks_by_phase == phases(deliver=8 + 6, fire=10 + 6)
    assert result.ticks == 30
    assert result.stalls == stalls(
        event_wait=1 + 5, raw_hazard=2, port=2 + 2 + 2, arbitration=4, fifo_full=2, latency=3 + 5 + 2
    )
    assert result.readout_sums == [[10 + 1 + 3 + 5, 20 + 2 + 4 + 6]]
    assert core.high_water_words["event_fifo"] == 1


def test_fire_beside_deliver_on_two_ports() -> None:
    # II = 1, lambda = 2. Group 0. 0: event_wait. 1: word 0. 2: word 1. 3, 4: latency. 5 clocks.
    # Group 1.
    #  0 D bias row read, written in 2. F arbitration.       1 D wait. F reads word 0, result in 3.
    #  2 D wait, writes. F latency.                          3 D wait. F writes back; pushes 0.
    #  4 D takes 0, written in 6. F fifo_full.               5 D wait. F pushes 1.
    #  6 D writes; raw_hazard. F reads word 1, result in 8.  7 D takes 1, written in 9. F latency.
    #  8 D wait. F writes back; pushes 2, and has ended.     9 D writes; raw_hazard.
    # 10 D takes 2, written in 12.                          11, 12: latency. 9 clocks of fire, 4 of deliver.
    # FIRE of the readout: 2 slots of 1, d = 2.
    _, result = run(FIRING, FIRING_WEIGHTS, make_chip("1r1w"), ONE_EVENT, learn=False)
    assert result.ticks_by_phase == phases(deliver=5 + 4, fire=9 + 4)
    assert result.stalls == stalls(event_wait=6, raw_hazard=2, arbitration=1, fifo_full=1, latency=2 + 4 + 2)


def test_two_banks_and_room_in_the_fifo_leave_only_hazards_of_deliver() -> None:
    # As on one port, but z (word 2) lies in a bank of its own, out of FIRE's way, and four events fit into the FIFO:
    #  0 D bias row. F reads word 0, result in 2.  1 D wait. F latency.        2 D wait. F writes back; pushes 0.
    #  3 D writes; at hand 0: port. F pushes 1.    4 D takes 0. F reads word 1, result in 6.
    #  5 D port. F latency.                        6 D raw_hazard. F writes back; pushes 2, and has ended.
    #  7 D writes; port.   8 D takes 1.   9 port.  10 raw_hazard.  11 port.  12 takes 2.  13, 14, 15 latency.
    chip = make_chip("1rw", fifo_words=4, memories={"neuron": Shape("1rw", 4, 2)})
    _, result = run(FIRING, FIRING_WEIGHTS, chip, ONE_EVENT, learn=False)
    assert result.ticks_by_phase == phases(deliver=8 + 9, fire=7 + 6)
    assert result.stalls == stalls(event_wait=1 + 2, raw_hazard=2, port=2 + 5 + 2, latency=3 + 2 + 3 + 2)


def test_one_learning_step_of_one_neuron() -> None:
    # One event, psi = 15, no spike; e = [-8, 8], d = -4, g = -4 (see golden_builders). All memories 1rw.
    # deliver: 0 event_wait, 1 port, 2 word 0, written in 5: 6 clocks, 3 latency.
    # fire: read in 0, latency, written back in 2 with psi: 3 clocks; readout 6, of them 2 port, 2 latency.
    # error: softmax 4 passes of 1 word, 2 divisions of 3 clocks, P = 1: 11. Back in space: slot 2 (1 port), window 1,
    # row word 1; lambda_E = 1 + log2 2 + 2 = 4, so q = 2 slots of 2 clocks flush: 8.
    # update: lambda = 3, d = 2. Readout: no row is active, window 2, d. Hidden: window 2, word 2 (1 port), d.
    _, result = run(make_spec(), BELOW, make_chip(), ONE_EVENT, learn=True)
    assert result.ticks_by_phase == phases(deliver=6, fire=3 + 6, error=11 + 8, update=4 + 6)
    assert result.stalls == stalls(event_wait=1, port=1 + 2 + 1 + 1, scan=1 + 2 + 2, latency=3 + 1 + 2 + 1 + 4 + 2 + 2)
    event, synapse, potential, z = (0 + 2,), (16,), (16,), (16,)
    assert result.accesses == {
        ("event_fifo_write", "deliver", 0, event): 1,
        ("event_fifo_read", "deliver", 0, event): 1,
        ("synapse_read", "deliver", 0, synapse): 1,
        ("neuron_read", "deliver", 0, potential): 1,
        ("neuron_write", "deliver", 0, potential): 1,
        ("neuron_read", "fire", 0, potential): 1,
        ("neuron_write", "fire", 0, potential): 1,
        ("neuron_read", "fire", 1, z): 2,  # z and, with one step, a sum of the same width
        ("neuron_write", "fire", 1, z): 2,
        ("error_write", "fire", 0, (8,)): 1,  # psi, 2 codes of 4 bits
        ("error_write", "error", 1, (16,)): 1,  # e
        ("synapse_read", "error", 1, synapse): 1,
        ("error_read", "error", 1, (16,)): 1,
        ("error_read", "error", 0, (8,)): 1,
        ("error_write", "error", 0, (16,)): 1,  # g
        ("synapse_read", "update", 0, synapse): 1,
        ("synapse_write", "update", 0, synapse): 1,
        ("error_read", "update", 0, (16,)): 1,
    }


def test_one_unrolled_step_of_one_neuron() -> None:
    # The same step, kept and taken back: delta = g = -4, G = -4. Only what is new:
    # history: 2 bits of input, 1 + 4 of the neuron, 2 x 8 of e: 1 + 1 + 2 words of 8 bits; rho = 1 when they are read.
    # error: 1 clock clears delta, 1 writes e. update: as before, into the gradients.
    # apply: lambda = 3, d = 2. Readout: 1 bit, not set: window 2, d. Hidden: window 2, word 2 (1 port), d.
    spec = make_spec(credit="unroll", update="accumulate")
    _, result = run(spec, BELOW, make_chip(), ONE_EVENT, learn=True)
    assert result.ticks_by_phase == phases(
        deliver=6, fire=3 + 6, error=11 + 1 + 1 + 8, update=4 + 6, apply=4 + 6, history=4 + 5
    )
    assert result.stalls == stalls(
        event_wait=1, port=1 + 2 + 1 + 1 + 1, scan=1 + 4 + 4, latency=3 + 1 + 2 + 1 + 1 + 4 + 4 + 4
    )
    moved = {key: number for key, number in result.accesses.items() if key[1] in ("history", "apply")}
    assert moved == {
        **{(f"history_{way}", "history", 0, (8,)): 1 + 1 for way in ("read", "write")},
        **{(f"history_{way}", "history", 1, (8,)): 2 for way in ("read", "write")},
        **{(f"gradient_{way}", "apply", 0, (32,)): 1 for way in ("read", "write")},
        **{(f"synapse_{way}", "apply", 0, (16,)): 1 for way in ("read", "write")},
    }


def test_the_clock_of_the_start_does_not_matter() -> None:
    # Forward only, 6 + 3 + 6 = 15 clocks: the second sample starts on an odd clock, and its slots start there too.
    core = ClockCore(make_spec(credit="none"), BELOW, make_chip(), GATES)
    one = core.run([GoldenSample(ONE_EVENT, 0)], False)
    two = core.run([GoldenSample(ONE_EVENT, 0)] * 2, False)
    assert one.ticks == 15
    assert two.ticks == 30
    assert two.stalls == {cause: 2 * clocks for cause, clocks in one.stalls.items()}


@pytest.mark.parametrize(
    ("weights", "off", "error", "update"),
    [
        # Both classes have the same weights, so g = 0: without a signal the hidden layer is not visited.
        ([[[15], [0]], [[3, 3], [0, 0]]], "", 11 + 8, 4 + 0),
        # Visited after all: its only word is read and written back.
        ([[[15], [0]], [[3, 3], [0, 0]]], "zero_error", 11 + 8, 4 + 6),
        # The row of the neuron that did not spike is visited in the readout.
        ([[[15], [0]], [[3, 3], [0, 0]]], "zero_trace", 11 + 8, 6 + 0),
        # u = 0 is a whole unit below the threshold: psi = 0, and no row goes back, or one that makes 0.
        ([[[0], [0]], [[3, -5], [0, 0]]], "", 11 + 7, 4 + 0),
        ([[[0], [0]], [[3, -5], [0, 0]]], "zero_surrogate", 11 + 8, 4 + 0),
    ],
)
def test_a_gate_that_is_off_costs_clocks(weights: Any, off: str, error: int, update: int) -> None:
    gates = replace(GATES, **{off: False}) if off else GATES
    spec = make_spec(surrogate="rectangle")
    core, result = run(spec, weights, make_chip(), ONE_EVENT, True, gates)
    assert (result.ticks_by_phase["error"], result.ticks_by_phase["update"]) == (error, update)
    golden = GoldenCore(spec, weights)
    golden.run([GoldenSample(ONE_EVENT, 0)], True)
    assert core.weights == golden.weights


@pytest.mark.parametrize(
    ("off", "in_dram", "clocks"),
    [
        # Softmax 11; through the readout 8, as above; g = 0 there, so through layer 1 no row word: 7.
        ("", False, 11 + 8 + 7),
        ("zero_error", False, 11 + 8 + 8),
        # A burst of one word of 16 bits is 3 + 2 clocks per row fetched; a row without a row word is not fetched.
        ("", True, 11 + 13 + 7),
        ("zero_error", True, 11 + 13 + 13),
    ],
)
def test_errors_that_are_all_zero_fetch_no_row(off: str, in_dram: bool, clocks: int) -> None:
    spec = make_spec(HIDDEN, HIDDEN, READOUT)
    weights = [[[15], [0]], [[15], [0]], [[3, 3], [0, 0]]]
    spilled = {"memories": {"synapse": None}, "overflow": "dram", "dram": Dram()} if in_dram else {}
    gates = replace(GATES, **{off: False}) if off else GATES
    _, result = run(spec, weights, make_chip(**spilled), ONE_EVENT, True, gates)
    assert result.ticks_by_phase["error"] == clocks


def test_the_words_used_are_those_of_the_network() -> None:
    # Layer 0: 3 x 3 without bias; readout: 3 x 2 with bias. 2 lanes: rows of 2 words and of 1.
    spec = make_spec(
        replace(HIDDEN, n_in=3, n_out=3, keeps_trace=True),
        replace(READOUT, n_in=3, bias=True),
        credit="trace",
        update="accumulate",
    )
    weights = [[[9] * 3] * 3 + [[0] * 3], [[1, 2]] * 4]
    core, _ = run(spec, weights, make_chip(), [[(0, 1), (2, 1)]], learn=True)
    assert core.high_water_words == {
        "synapse": 3 * 2 + 4,
        "gradient": 3 * 2 + 4,
        "neuron": 2 + 1 + 1,  # u, z, sum
        "trace": 2,
        "error": 2 + 2 + 1,  # psi, g, e
        "event_fifo": 1,
    }


def test_a_port_refuses_a_second_access_in_one_clock() -> None:
    tag = ("fire", 0, 8)
    single = Memory("neuron", "1rw", bank_words=2, n_words=4, read_latency_cycles=1)
    single.read(7, 0, tag)
    assert not single.can_write(7, 1)
    assert single.can_read(7, 2)  # another bank
    with pytest.raises(PortConflictError, match="neuron: second access of bank 0 in clock 7, a write"):
        single.write(7, 1, [1], tag)
    single.write(8, 1, [1], tag)
    with pytest.raises(PortConflictError, match="a read"):
        single.read(8, 0, tag)
    double = Memory("neuron", "1r1w", bank_words=2, n_words=4, read_latency_cycles=1)
    double.load(0, [3])
    double.write(7, 0, [4], tag)
    assert double.read(7, 0, tag) == [3]  # a write is seen from the next clock on
    assert double.read(8, 0, tag) == [4]
    with pytest.raises(PortConflictError):
        double.read(8, 1, tag)
    assert (single.reads, single.writes) == ({tag: 1}, {tag: 1})  # what was refused is not counted


def test_a_pipeline_keeps_a_word_for_its_latency_and_says_when_it_is_not_empty() -> None:
    pipeline: Pipeline[str] = Pipeline(3)
    pipeline.enter(5, "word")
    assert [pipeline.leave(clock) for clock in (6, 7)] == [None, None]
    with pytest.raises(RuntimeError, match="1 words are still in a pipeline of 3 clocks"):
        pipeline.check_empty()
    assert pipeline.leave(8) == "word"
    pipeline.check_empty()


def test_a_burst_takes_the_latency_and_whole_bus_beats_per_word() -> None:
    space = DramSpace("synapse", 4, bus_bits=8, latency_cycles=3)
    for address in range(4):
        space.load(address, [10 + address])
    counted = stalls()
    burst = Burst(space, 1, [("deliver", 0, 20)] * 2, False, counted)
    ends = [burst.clock(clock) for clock in range(9)]  # 3 + 2 words of ceil(20 / 8) = 3 clocks
    assert ends == [False] * 8 + [True]
    assert space.row == {1: [11], 2: [12]}
    assert counted["dram"] == 9
    assert space.reads == {("deliver", 0, 20): 2}


@pytest.mark.parametrize("name", ["synapse", "gradient", "history"])
@pytest.mark.parametrize(
    ("credit", "update"), [("spike", "immediate"), ("spike", "accumulate"), ("unroll", "accumulate")]
)
def test_what_lies_in_dram_ends_with_the_same_images(name: str, credit: str, update: str) -> None:
    spec = make_spec(
        replace(HIDDEN, n_in=3, n_out=3, bias=True), replace(READOUT, n_in=3, bias=True),
        credit=credit, update=update, n_steps=2, gradient_bits=16, weight_rounding="stochastic",
    )  # fmt: skip
    weights = [[[9, 15, -3], [4, 14, 20], [16, 1, 2], [1, 1, 1]], [[1, 2], [9, -9], [7, 3], [1, -1]]]
    steps = [[(0, 1), (2, 1)], [(1, 2)]]
    golden = GoldenCore(spec, weights)
    golden.run([GoldenSample(steps, 1)], True)
    chip = make_chip(overflow="dram", dram=Dram(), memories={name: None})
    core = ClockCore(spec, weights, chip, GATES)
    result = core.run([GoldenSample(steps, 1)], True)
    assert core.weights == golden.weights != weights
    assert core.registers == golden.registers
    is_used = name == "synapse" or (name == "gradient" and update == "accumulate") or credit == "unroll"
    assert (result.stalls["dram"] > 0) == is_used
    assert not any(key.startswith(f"{name}_") for key, *_ in result.accesses)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"memories": {"event_fifo": None}}, "memories.event_fifo is missing"),
        ({"memories": {"synapse": None}}, "memories.synapse is missing"),
        ({"memories": {"synapse": Shape(words=3)}}, "memories.synapse has 3 words; the network and its rule need 7"),
        ({"memories": {"neuron": Shape(words=3)}, "overflow": "dram", "dram": Dram()}, "memories.neuron has 3 words"),
        ({"memories": {"synapse": Shape(words=3)}, "overflow": "dram"}, "needs dram.bus_bits"),
    ],
)
def test_a_chip_without_room_is_refused(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(UserError, match=named):
        ClockCore(FIRING, FIRING_WEIGHTS, make_chip(**changes), GATES)


def test_memories_grow_only_if_they_may() -> None:
    tight = {"memories": {"neuron": Shape(words=1, bank_words=1), "synapse": Shape(words=1, bank_words=1)}}
    core, result = run(FIRING, FIRING_WEIGHTS, make_chip(**tight, overflow="grow"), ONE_EVENT, learn=False)
    assert core.high_water_words["neuron"] == 4
    assert result.readout_sums == [[19, 32]]
