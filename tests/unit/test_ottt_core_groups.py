"""Are the clocks of FIRE beside DELIVER those the page gives: by hand, and against a simulation of every clock?

The simulation (forward_ticks.py) asks every rule in every clock; the package jumps from decision to decision.
"""

from __future__ import annotations

import dataclasses
import itertools
import random
from collections import Counter
from typing import Any

import forward_ticks as ticks
import numpy as np
import ottt_core_bitmaps as given
import pytest

from neurochip.activity import FIELD_INDEX, N_FIELDS, Activity, SampleTrace
from neurochip.counters import STALL_CAUSES
from neurochip.errors import UserError
from neurochip.microarch.forward_group import groups
from neurochip.microarch.ottt_core import count
from neurochip.microarch.ottt_core_groups import forward_cycles_of, forward_totals
from neurochip.microarch.sampling import student_quantile
from neurochip.spec import CoreSpec


def network(sizes: tuple[int, ...], n_steps: int = 1, biases: tuple[bool, ...] = ()) -> CoreSpec:
    """An inference network of these sizes, without biases unless they are given."""
    base = given.core_spec("infer", n_steps=n_steps)
    layers = tuple(
        dataclasses.replace(
            base.layers[-1 if i == len(sizes) - 2 else 0], n_in=a, n_out=b, bias=biases[i] if biases else False
        )
        for i, (a, b) in enumerate(itertools.pairwise(sizes))
    )
    return dataclasses.replace(base, layers=layers)


def chip_of(ports: str, **changes: Any) -> given.Chip:
    """L = 2, P = 1; ρ = 0 of synapse and neuron unless changed: λ_D = 1, φ = 1."""
    latency, fifo = changes.pop("latency", 0), changes.pop("fifo", 4)
    chip = given.chip_with(ports, **({"lanes": 2, "pipeline_latency_cycles": 1} | changes))
    bank_words = changes.get("bank_words", 64)
    memories = dict(chip.memories)
    memories["neuron"] = given.Ports(ports, 64, bank_words, latency)
    memories["synapse"] = given.Ports(ports, 64, 64, latency)
    memories["event_fifo"] = given.Ports("1r1w", fifo, fifo, 0)
    return dataclasses.replace(chip, memories=memories)


def trace_of(spec: CoreSpec, *layers: list[list[int]]) -> SampleTrace:
    """One sample: per layer and step the addresses of the events."""
    bitmaps = {}
    for index, steps in enumerate(layers):
        bitmap = np.zeros((1, spec.n_steps, spec.layers[index].n_in), dtype=np.bool_)
        for step, addresses in enumerate(steps):
            bitmap[0, step, addresses] = True
        bitmaps[f"event/{index}"] = bitmap
    return SampleTrace(np.array([0]), bitmaps)


def clocks_of(trace: SampleTrace, spec: CoreSpec, chip: given.Chip) -> dict[str, int]:
    """Clocks of all recorded samples, without the zeros."""
    cycles = forward_cycles_of(trace, spec, chip)
    found = {name: int(values.sum()) for name, values in {**cycles.phases, **cycles.stalls}.items()}
    return {name: value for name, value in found.items() if value}


# Group 0 alone: a readout of 4 classes is W = 2 words of 2; two events.
ONE_LAYER = network((5, 4))


def test_two_events_on_a_dual_port_memory_by_hand() -> None:
    # λ_D = 1. Event 0 enters in clock 0, is at hand in 1 (clock 0: event_wait): words in 1 and 2. Event 1 entered in 1,
    # its word 0 was begun in clock 1, outstanding up to 2: words in 3 and 4. The last write is in 5 (latency).
    found = clocks_of(trace_of(ONE_LAYER, [[0, 3]]), ONE_LAYER, chip_of("1r1w"))
    assert found == {"deliver": 6, "event_wait": 1, "latency": 1}


def test_a_bias_row_is_there_in_clock_0_and_a_long_pipeline_holds_the_next_row_back() -> None:
    # λ_D = 2 + 3 = 5. Bias: words in 0 and 1. The event is at hand in 1, may begin in 2, but word 0 is outstanding up
    # to 5: clocks 2 to 5 raw_hazard, words in 6 and 7, last write in 12; 8 to 12 latency.
    spec, chip = network((5, 4), biases=(True,)), chip_of("1r1w", latency=2, pipeline_latency_cycles=3)
    assert clocks_of(trace_of(spec, [[2]]), spec, chip) == {"deliver": 13, "raw_hazard": 4, "latency": 5}


def test_a_single_port_memory_begins_a_word_every_other_clock() -> None:
    # λ_D = 1. At hand in 1, which is odd (port); words in 2 and 4, then 6 and 8; 3, 5, 7 port; last write in 9.
    found = clocks_of(trace_of(ONE_LAYER, [[0, 3]]), ONE_LAYER, chip_of("1rw"))
    assert found == {"deliver": 10, "event_wait": 1, "port": 4, "latency": 1}


def test_a_step_without_events_and_bias_takes_no_clock() -> None:
    assert clocks_of(trace_of(ONE_LAYER, [[]]), ONE_LAYER, chip_of("1rw")) == {}


# FIRE of 2 hidden neurons (1 word) beside DELIVER of a readout of 2 classes (1 word), no input events.
TWO_LAYERS = network((3, 2, 2))


def test_fire_pushes_while_deliver_waits_by_hand() -> None:
    # φ = λ_D = 1. FIRE reads in 0; in 1 the word is written and spike 0 pushed, in 2 spike 1: fire = 3 clocks.
    # DELIVER waits in 0 and 1; spike 0 is at hand in 2: word in 2, outstanding up to 3 (raw_hazard); word in 4, written
    # in 5. Group: 6 clocks, 3 of them deliver; 5 is latency.
    found = clocks_of(trace_of(TWO_LAYERS, [[]], [[0, 1]]), TWO_LAYERS, chip_of("1r1w"))
    assert found == {"fire": 3, "deliver": 3, "event_wait": 2, "raw_hazard": 1, "latency": 1}


def test_a_fifo_of_one_event_holds_fire_back_by_hand() -> None:
    # As above, but spike 1 finds the FIFO full in 2 (spike 0 leaves it in 2) and enters in 3: fire = 4 clocks. DELIVER
    # waits in 3 too; spike 1 is at hand in 4, when nothing is outstanding.
    found = clocks_of(trace_of(TWO_LAYERS, [[]], [[0, 1]]), TWO_LAYERS, chip_of("1r1w", fifo=1))
    assert found == {"fire": 4, "deliver": 2, "event_wait": 3, "fifo_full": 1, "latency": 1}


def test_deliver_has_the_port_before_fire_and_only_in_its_bank_by_hand() -> None:
    # 1rw, bias row of the readout: DELIVER reads z in 0 and writes it in 1, so FIRE waits in 0 and 1 (arbitration),
    # reads in 2 and writes in 3: fire = 4 clocks. DELIVER is done in 0; no event comes, so it neither waits nor drains.
    spec = network((3, 2, 2), biases=(False, True))
    assert clocks_of(trace_of(spec, [[]], [[]]), spec, chip_of("1rw")) == {"fire": 4, "arbitration": 2}
    # u in bank 0, z in bank 1: no waiting. FIRE reads in 0 and writes in 1, where the bias is written too.
    chip = chip_of("1rw")
    chip.memories["neuron"] = given.Ports("1rw", 64, 1, 0)
    assert clocks_of(trace_of(spec, [[]], [[]]), spec, chip) == {"fire": 2}
    # 1r1w, one bank: the read waits for the read in 0 only; read in 1, written in 2.
    assert clocks_of(trace_of(spec, [[]], [[]]), spec, chip_of("1r1w")) == {"fire": 3, "arbitration": 1}


def test_a_row_from_dram_takes_its_burst_first_by_hand() -> None:
    # A word has 2·8 bits on a bus of 8: B(2) = 7 + 2·2 = 11. The event is at hand in 1: clocks 1 to 11 are the burst,
    # word 0 in 12, word 1 in 13, written in 14 (latency).
    chip = given.without(chip_of("1r1w"), "synapse")
    chip = dataclasses.replace(chip, dram=given.Dram(bus_bits=8, latency_cycles=7))
    found = clocks_of(trace_of(ONE_LAYER, [[1]]), ONE_LAYER, chip)
    assert found == {"deliver": 15, "event_wait": 1, "dram": 11, "latency": 1}


def ticked(trace: SampleTrace, spec: CoreSpec, chip: given.Chip, sample: int) -> Counter[str]:
    """Clocks of one sample by the simulation."""
    total: Counter[str] = Counter()
    spilled = "synapse" not in chip.memories
    words = [-(-layer.n_out // chip.lanes) for layer in spec.layers]
    neuron = chip.memories["neuron"]
    reads = max(neuron.read_latency_cycles, 0 if spilled else chip.memories["synapse"].read_latency_cycles)
    latency = reads + chip.pipeline_latency_cycles
    for step in range(spec.n_steps):
        for index, layer in enumerate(spec.layers):
            rules = ticks.Rules(
                ports=neuron.ports,
                delivered_after=latency + (neuron.ports == "1rw" and latency % 2 == 0),
                fired_after=neuron.read_latency_cycles + chip.pipeline_latency_cycles,
                fifo_events=chip.memories["event_fifo"].words,
                first_word=sum(words[:index]),
                first_word_below=sum(words[: index - 1]) if index else 0,
                bank_words=neuron.bank_words,
                bias=tuple(range(words[index])) if layer.bias else (),
                burst=chip.dram.latency_cycles + words[index] * -(-chip.lanes * 8 // chip.dram.bus_bits)
                if spilled and chip.dram
                else 0,
            )
            bits = trace.bitmaps[f"event/{index}"][sample, step]
            row = (tuple(range(words[index])),)
            if index == 0:
                total += ticks.run_group(rules, (), row * int(bits.sum()))
            else:
                spikes = [row * int(bits[k : k + chip.lanes].sum()) for k in range(0, len(bits), chip.lanes)]
                total += ticks.run_group(rules, spikes, ())
    return total


def random_case(seed: int) -> tuple[CoreSpec, given.Chip, SampleTrace]:
    draw = random.Random(seed)
    sizes = tuple(draw.choice((1, 2, 5, 9, 17, 33)) for _ in range(draw.randint(2, 4)))
    spec = network(sizes, draw.randint(1, 2), tuple(draw.random() < 0.5 for _ in sizes[1:]))
    ports = draw.choice(("1rw", "1r1w"))
    chip = given.chip_with(
        ports,
        lanes=draw.choice((1, 2, 3, 4, 8, 16, 64)),
        pipeline_latency_cycles=draw.randint(1, 5),
    )
    bank_words, fifo = draw.choice((1, 2, 3, 5, 100)), draw.choice((1, 1, 2, 3, 4, 8, 64))
    chip.memories["neuron"] = given.Ports(ports, 500, bank_words, draw.randint(0, 4))
    chip.memories["synapse"] = given.Ports(draw.choice(("1rw", "1r1w")), 5000, 5000, draw.randint(0, 4))
    chip.memories["event_fifo"] = given.Ports("1r1w", fifo, fifo, 0)
    if draw.random() < 0.25:
        chip = given.without(chip, "synapse")
        chip = dataclasses.replace(chip, dram=given.Dram(draw.choice((8, 64)), draw.choice((0, 1, 9))))
    rate = draw.choice((0.0, 0.05, 0.2, 0.5, 1.0))
    noise = np.random.default_rng(seed)
    bitmaps = {f"event/{i}": noise.random((2, spec.n_steps, n)) < rate for i, n in enumerate(sizes[:-1])}
    return spec, chip, SampleTrace(np.arange(2), bitmaps)


@pytest.mark.parametrize("block", range(20))
def test_the_recurrence_equals_the_simulation_of_every_clock(block: int) -> None:
    for seed in range(50 * block, 50 * block + 50):
        spec, chip, trace = random_case(seed)
        found = forward_cycles_of(trace, spec, chip)
        for sample in range(2):
            clocks = {name: int(values[sample]) for name, values in {**found.phases, **found.stalls}.items()}
            assert +Counter(clocks) == ticked(trace, spec, chip, sample), f"seed {seed}"
        assert (found.serial >= found.cycles).all(), f"seed {seed}: serial clocks are no bound"


@pytest.mark.parametrize("ports", ["1rw", "1r1w"])
@pytest.mark.parametrize("rate", [0.1, 0.3, 1.0])
def test_serial_clocks_are_a_bound_where_late_writes_hold_fire_back(ports: str, rate: float) -> None:
    """Slow weights: a word of FIRE with a spike starts a row whose writes come when nothing else overlaps any more."""
    spec, chip = network((1, 40, 6), biases=(False, True)), chip_of(ports, lanes=1, fifo=64)
    chip.memories["synapse"] = given.Ports(ports, 5000, 5000, 4)
    noise = np.random.default_rng(5)
    bitmaps = {"event/0": np.zeros((50, 1, 1), dtype=np.bool_), "event/1": noise.random((50, 1, 40)) < rate}
    found = forward_cycles_of(SampleTrace(np.arange(50), bitmaps), spec, chip)
    assert (found.serial >= found.cycles).all()


def test_the_random_cases_meet_every_cause() -> None:
    seen: Counter[str] = Counter()
    for seed in range(100):
        spec, chip, trace = random_case(seed)
        seen += Counter(clocks_of(trace, spec, chip).keys())
    assert set(seen) == {"fire", "deliver"} | (set(STALL_CAUSES) - {"scan"})
    assert min(seen.values()) >= 10


def activity_of(trace: SampleTrace, spec: CoreSpec, chip: given.Chip) -> Activity:
    """The totals of the recorded samples."""
    totals = np.zeros((spec.n_steps + 1, len(spec.layers), N_FIELDS), dtype=np.int64)
    for index in range(len(spec.layers)):
        totals[:-1, index, FIELD_INDEX["events"]] = trace.bitmaps[f"event/{index}"].sum(axis=(0, 2))
    return Activity(totals, len(trace.sample_indices), 0, False, chip.lanes, chip.trace_lanes)


def part(trace: SampleTrace, samples: Any) -> SampleTrace:
    return SampleTrace(trace.sample_indices[samples], {k: v[samples] for k, v in trace.bitmaps.items()})


def many_samples(n_samples: int, seed: int = 0) -> tuple[CoreSpec, given.Chip, SampleTrace]:
    """Samples of very different rates on a chip whose FIRE and DELIVER stall each other."""
    spec, chip = network((20, 24, 5), 3, (True, True)), chip_of("1rw", latency=1, fifo=2)
    noise = np.random.default_rng(seed)
    rates = noise.uniform(0.0, 0.4, (n_samples, 1, 1))
    bitmaps = {f"event/{i}": noise.random((n_samples, 3, n)) < rates for i, n in enumerate((20, 24))}
    return spec, chip, SampleTrace(np.arange(n_samples), bitmaps)


def test_all_samples_recorded_is_exact() -> None:
    spec, chip, trace = many_samples(30)
    exact = forward_totals(activity_of(trace, spec, chip), spec, chip, trace)
    cycles = forward_cycles_of(trace, spec, chip)
    assert exact.sampled is None
    assert exact.phases == {name: clocks.sum() for name, clocks in cycles.phases.items()}
    assert exact.stalls == {name: clocks.sum() for name, clocks in cycles.stalls.items()}


def test_as_many_samples_of_another_pass_are_an_estimate() -> None:
    spec, chip, trace = many_samples(30)
    other = forward_totals(activity_of(trace, spec, chip), spec, chip, many_samples(30, seed=1)[2])
    assert other.sampled is not None
    assert (other.sampled.n_recorded, other.sampled.n_samples) == (30, 30)
    assert other.sampled.half_width_cycles > 0


def test_the_interval_covers_the_truth_in_about_95_of_100_draws() -> None:
    spec, chip, trace = many_samples(400)
    activity = activity_of(trace, spec, chip)
    truth = int(forward_cycles_of(trace, spec, chip).cycles.sum())
    noise, covered, off = np.random.default_rng(7), 0, []
    for _ in range(200):
        drawn = part(trace, np.sort(noise.choice(400, 24, replace=False)))
        estimate = forward_totals(activity, spec, chip, drawn)
        assert estimate.sampled is not None
        off.append(sum(estimate.phases.values()) / truth - 1)
        covered += abs(off[-1]) * truth <= estimate.sampled.half_width_cycles
    assert 176 <= covered <= 198  # 88 to 99 %
    assert abs(np.mean(off)) < 0.01


@pytest.mark.parametrize(
    ("degrees", "quantile"), [(1, 12.706), (5, 2.571), (10, 2.228), (11, 2.201), (23, 2.069), (63, 1.998), (999, 1.962)]
)
def test_quantiles_are_those_of_the_printed_table(degrees: int, quantile: float) -> None:
    assert student_quantile(degrees) == pytest.approx(quantile, abs=0.0006)


def test_without_a_trace_cycles_are_serial_and_the_range_holds_the_truth() -> None:
    for seed in range(100):
        spec, chip, trace = random_case(seed)
        activity, truth = activity_of(trace, spec, chip), forward_cycles_of(trace, spec, chip)
        serial = forward_totals(activity, spec, chip, None)
        assert sum(serial.phases.values()) == truth.serial.sum()
        assert serial.sampled is not None and serial.sampled.n_recorded == 0
        missing = truth.serial.sum() - truth.cycles.sum()
        assert 0 <= missing <= serial.sampled.half_width_cycles
        alone = forward_totals(activity, spec, chip, part(trace, [0])).sampled
        assert alone is not None and alone.n_recorded == 1
        assert alone.half_width_cycles == serial.sampled.half_width_cycles


def test_serial_stalls_are_part_of_the_serial_clocks() -> None:
    spec, chip, _ = many_samples(5)
    for group in groups(spec, chip):
        alone = group.serial(7, 3)
        stalls = sum(clocks for cause, clocks in alone.items() if cause in STALL_CAUSES)
        assert 0 < stalls < alone["fire"] + alone["deliver"]


def test_a_count_adds_the_forward_groups_to_the_readout() -> None:
    spec, chip, trace = many_samples(10)
    counted = count(activity_of(trace, spec, chip), spec, chip, trace=trace)
    cycles = forward_cycles_of(trace, spec, chip)
    # Readout of 5 classes in words of 2: 3 words, Σz beside z; λ = 3, d = 2; 30 steps.
    assert counted.cycles_by_phase["fire"] == cycles.phases["fire"].sum() + 30 * (2 * 3 * 2 + 2)
    assert counted.cycles_by_phase["deliver"] == cycles.phases["deliver"].sum()
    assert counted.stalls["arbitration"] == cycles.stalls["arbitration"].sum() > 0
    assert counted.stalls["latency"] == cycles.stalls["latency"].sum() + 30 * 2
    assert counted.stalls["port"] == cycles.stalls["port"].sum() + 30 * 6


def test_a_trace_of_another_network_is_refused() -> None:
    spec, chip, trace = many_samples(4)
    with pytest.raises(UserError, match=r"bitmap event/1 has shape \(4, 3, 24\); the network needs \(4, 3, 25\)"):
        forward_cycles_of(trace, network((20, 25, 5), 3), chip)
    with pytest.raises(UserError, match=r"bitmap event/2 has shape None"):
        forward_cycles_of(trace, network((20, 24, 5, 2), 3), chip)
    del chip.memories["event_fifo"]
    with pytest.raises(UserError, match=r"memories\.event_fifo"):
        forward_cycles_of(trace, spec, chip)
