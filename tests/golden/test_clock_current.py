"""The clock model of layers with a synaptic current: by hand, beside the golden core, and beside the count."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from golden_builders import (
    BELOW,
    HIDDEN,
    ONE_EVENT,
    READOUT,
    conv_layer,
    draw_samples,
    draw_weights,
    make_spec,
    small_chip,
)

from neurochip.activity import FIELD_INDEX, Activity, SampleTrace
from neurochip.counters import is_memory
from neurochip.events import EventDataset
from neurochip.microarch import Gates, footprint_words
from neurochip.microarch.ottt_core import count
from neurochip.recording import bitmaps_of
from neurochip.reference.clock import ClockCore, ClockRun
from neurochip.reference.core import GoldenCore, GoldenRun, GoldenSample
from neurochip.spec import CoreSpec, LayerSpec
from neurochip.topology import Connection, ConvShape

GATES = Gates(zero_trace=True, zero_error=True, zero_surrogate=True)
NAMES = ("event_fifo", "synapse", "neuron", "trace", "error", "gradient", "history")
CURRENT: dict[str, Any] = {"current_leak_kind": "shift", "current_leak_value": 1}
LEAKY = replace(READOUT, leak_kind="shift", leak_value=1)


def make_chip(ports: str = "1rw") -> Any:
    """2 lanes, a pipeline of 1 clock, memories of one bank that answer after 1 clock."""
    shape = SimpleNamespace(ports=ports, words=256, bank_words=256, read_latency_cycles=1)
    return small_chip(dict.fromkeys(NAMES, shape))


@dataclass
class Watch:
    """Notes what the first word of a region holds whenever it changes."""

    content: str
    layer: int
    held: list[list[int]] = field(default_factory=list)

    def clock(self, machine: Any, unit: str, phase: str, layer: int | None) -> None:
        region = machine.layout.region(self.content, self.layer)
        word = region.space.peek(region.base)
        if word is not None and (not self.held or word != self.held[-1]):
            self.held.append(list(word))


def watched(spec: CoreSpec, weights: Any, steps: Any, watch: Watch, learn: bool = False) -> tuple[ClockCore, ClockRun]:
    core = ClockCore(spec, weights, make_chip(), GATES)
    core.observe(watch)
    return core, core.run([GoldenSample(steps, 0)], learn, end_of_epoch=False)


# One neuron whose u keeps 3/4 and whose i keeps 1/2, and one event of W = 15 in step 1. theta = 16.
# t = 1: i = 15, u = 15; left are 15 - 4 = 11 and 7. t = 2: u = 11 + 7 = 18 fires, 2 of it stay, left are 1 and 3: i
# knows no reset. t = 3: u = 1 + 3.
SLOW = replace(HIDDEN, leak_value=2, **CURRENT)
SLOW_WEIGHTS = [[[15], [0]], [[3, -5], [0, 0]]]


def test_fire_adds_the_current_to_the_leaked_potential_and_leaves_both_leaked() -> None:
    spec, watch = make_spec(SLOW, READOUT, n_steps=3, credit="none"), Watch("potential", 0)
    _, result = watched(spec, SLOW_WEIGHTS, [*ONE_EVENT, [], []], watch)
    assert watch.held == [[0, 0], [0, 15], [11, 7], [1, 3], [0, 0]]  # u and i of the one column in use
    assert result.readout_sums == [[3, -5]]  # one spike


def test_a_readout_adds_its_current_before_its_sum_is_read() -> None:
    # The spike comes in step 2: i = z = (3, -5), both left as (1, -2); in step 3 z = (2, -4).
    spec = make_spec(SLOW, replace(LEAKY, **CURRENT), n_steps=3, credit="none")
    watch = Watch("potential", 1)
    _, result = watched(spec, SLOW_WEIGHTS, [*ONE_EVENT, [], []], watch)
    assert watch.held == [[0] * 4, [0, 0, 3, -5], [1, -2, 1, -2], [0] * 4]
    assert result.readout_sums == [[3 + 2, -5 - 4]]


@pytest.mark.parametrize(
    ("deliver", "held"),
    [
        # 100, then 100 more: 127, or 200 until FIRE. Then u = 127, less theta leaves 111, leaked 55; i is left as 63.
        # Step 2 adds 100 twice again: 127 or 263. u = 55 + 127 saturates: after the last step nothing is left.
        ("synapse", [[0, 0], [0, 100], [0, 127], [55, 63], [55, 127], [0, 0]]),
        ("neuron", [[0, 0], [0, 100], [0, 200], [55, 63], [55, 163], [55, 263], [0, 0]]),
    ],
)
def test_what_deliver_says_of_saturation_holds_of_the_current(deliver: str, held: list[list[int]]) -> None:
    hidden = replace(HIDDEN, n_in=2, threshold_q=16, **CURRENT)
    spec = make_spec(hidden, READOUT, n_steps=2, credit="none", deliver=deliver)
    watch = Watch("potential", 0)
    watched(spec, [[[100], [100], [0]], BELOW[1]], [[(0, 1), (1, 1)]] * 2, watch)
    assert watch.held == held


def test_delta_is_carried_and_epsilon_is_the_signal() -> None:
    # u = 15, then 7 + 7: psi = 15 in both steps; e = (-8, 8), d = -4, g = -4 (see golden_builders).
    # Back: delta[2] = epsilon[2] = -4; delta[1] = -2 - 4 = -6, epsilon[1] = -2 - 6 = -8, which meets the event.
    spec = make_spec(replace(HIDDEN, **CURRENT), READOUT, n_steps=2, credit="unroll", update="accumulate", batch=2)
    watch = Watch("signal", 0)
    core, result = watched(spec, BELOW, [*ONE_EVENT, []], watch, learn=True)
    assert watch.held == [[-4, -4], [-8, -6]]  # epsilon and delta
    assert core.gradients[0] == [[-8], [0]]
    assert result.accesses["error_read", "update", 0, (2 * 2 * 8,)] == 1


def test_the_error_of_a_leaky_readout_goes_through_its_current() -> None:
    # e = (-8, 8) in both steps, so delta is that and then (-4 - 8, 4 + 8), epsilon that and then (-4 - 12, 4 + 12).
    # Step 2: u = 7, psi = 6 (idx -9), d = -4, g = -24 / 16 -> -2. Step 1: psi = 15, d = -8, g = -120 / 16 -> -8. So
    # delta of the hidden layer is -2, then -1 - 8.
    spec = make_spec(HIDDEN, replace(LEAKY, **CURRENT), n_steps=2, credit="unroll", update="accumulate", batch=2)
    watch = Watch("signal", 1)
    core, result = watched(spec, BELOW, [*ONE_EVENT, []], watch, learn=True)
    assert watch.held == [[-8, 8, -8, 8], [-16, 16, -12, 12]]
    assert core.gradients[0] == [[-9], [0]]
    assert result.accesses["error_write", "error", 1, (2 * 2 * 8,)] == 2


def test_a_word_whose_delta_is_zero_is_a_signal_if_epsilon_is_not() -> None:
    # Step 1 has no loss and delta of the readout leaks to 0: delta[1] = 0 beside epsilon[1] = (-4, 4), which updates
    # the bias and goes back: d = -2, g = -30 / 16 -> -2. In step 2 g = -2 as above, so the hidden layer has -1 - 2.
    forgetful = replace(LEAKY, bias=True, leak_kind="constant", leak_value=1, **CURRENT)
    changes: dict[str, Any] = {"loss_start": 2, "update": "accumulate", "batch": 2}
    spec = make_spec(HIDDEN, forgetful, n_steps=2, credit="unroll", **changes)
    watch = Watch("signal", 1)
    core, _ = watched(spec, BELOW, [*ONE_EVENT, []], watch, learn=True)
    assert watch.held == [[-8, 8, -8, 8], [-4, 4, 0, 0]]
    assert core.gradients == [[[-3], [0]], [[0, 0], [-12, 12]]]


@pytest.mark.parametrize("credit", ["none", "trace", "unroll"])
@pytest.mark.parametrize("ports", ["1rw", "1r1w"])
def test_in_a_single_step_a_current_changes_nothing_but_widths(ports: str, credit: str) -> None:
    hidden = replace(HIDDEN, n_in=3, n_out=3, bias=True, keeps_trace=credit == "trace")
    readout = replace(LEAKY, n_in=3)
    runs = []
    for changes in ({}, CURRENT):
        spec = make_spec(replace(hidden, **changes), replace(readout, **changes), credit=credit)
        core = ClockCore(spec, draw_weights(spec, 4), make_chip(ports), GATES)
        runs.append((core.run(draw_samples(3, 1, 4, n_samples=3), True), core.weights))
    (plain, plain_weights), (paired, weights) = runs
    assert (paired.ticks_by_phase, paired.stalls, weights) == (plain.ticks_by_phase, plain.stalls, plain_weights)
    wide: dict[Any, int] = {}
    for (key, phase, layer, (bits,)), number in plain.accesses.items():
        is_neuron = key.startswith("neuron")
        is_pair = is_neuron or (key.startswith("error") and credit == "unroll")
        if is_neuron and (phase, layer) == (
            "fire",
            1,
        ):  # z and its sum, in one step of the same width, half of them each
            wide[key, phase, layer, (bits,)] = number // 2
            number //= 2
        wide[key, phase, layer, (2 * bits if is_pair else bits,)] = number
    assert paired.accesses == wide
    assert sum(wide.values()) == sum(plain.accesses.values()) > 0


# What the networks below are made of. Traces of layers with a current are cascades, as the resolver makes them.
FILTERED: dict[str, Any] = {**CURRENT, "filter_leak_kind": "shift", "filter_leak_value": 2, "keeps_trace": True}
CONSTANT: dict[str, Any] = FILTERED | {"current_leak_kind": "constant", "current_leak_value": 45000}
CELL = replace(HIDDEN, n_in=4, n_out=3, bias=True, leak_value=2, **FILTERED)
READ = replace(READOUT, n_in=3, bias=True)
LEAKY_READ = replace(READ, leak_kind="shift", leak_value=2, **CONSTANT)
MAP = ConvShape(
    height=2, width=2, channels=1, out_channels=3, kernel_height=1, kernel_width=2, padding_x=1
)  # 2 x 3 x 3
POOLED = (Connection(0, 3, 2, 3, pool_width=2),)
OWN = (Connection(-1, 4), Connection(0, 3, delay=1, offset=4))
NETWORKS: dict[str, tuple[LayerSpec, ...]] = {
    "dense": (CELL, READ),
    "mixed": (CELL, replace(HIDDEN, n_in=3, n_out=3, keeps_trace=True), replace(CELL, n_in=3, **CONSTANT), READ),
    "conv": (conv_layer(MAP, bias=True, **FILTERED), replace(READ, n_in=6, inputs=POOLED)),
    "recurrent": (replace(CELL, n_in=7, inputs=OWN), READ),
    "leaky readout": (replace(HIDDEN, n_in=4, n_out=3, keeps_trace=True), LEAKY_READ),
    "everything": (
        conv_layer(MAP, **CONSTANT),
        replace(CELL, n_in=9, inputs=(Connection(0, 3, 2, 3, pool_width=2), Connection(1, 3, delay=1, offset=6))),
        replace(CELL, n_in=3, inputs=(Connection(1, 3),)),
        replace(LEAKY_READ, inputs=(Connection(2, 3), Connection(1, 3))),
    ),
}
RULES: dict[str, dict[str, Any]] = {
    "infer": {"credit": "none"},
    "ottt-o": {"credit": "trace"},
    "ottt-a": {"credit": "trace", "update": "accumulate", "batch": 2},
    "ottt-o, p of bias rows": {"credit": "trace", "bias_trace": True, "weight_rounding": "stochastic"},
    "sltt-o": {"credit": "spike"},
    "bptt-o": {"credit": "unroll"},
    "tbptt": {"credit": "unroll", "update": "accumulate", "unroll_steps": 2, "apply_when": "window", "apply_every": 2},
    "exact": {"credit": "unroll", "update": "accumulate", "batch": 2, "reset_path": "exact"},
}
N_STEPS = 6
CONCERNED = ("sat_membrane", "sat_readout", "sat_trace", "sat_delta")
MEMORIES = [("1rw", "synapse"), ("1r1w", "synapse"), ("1rw", "neuron"), ("1r1w", "neuron")]


def drawn(network: str, rule: str, deliver: str) -> tuple[CoreSpec, Any, list[GoldenSample]]:
    is_kept = RULES[rule]["credit"] == "trace"
    layers = (replace(layer, keeps_trace=is_kept and layer.keeps_trace) for layer in NETWORKS[network])
    spec = make_spec(*layers, n_steps=N_STEPS, deliver=deliver, rate_shift=5, membrane_bits=7, **RULES[rule])
    n_inputs = spec.connections(0)[0].n_source
    return spec, draw_weights(spec, 0, largest=14), draw_samples(n_inputs, N_STEPS, 0, n_samples=3)


def images(core: Any, result: Any) -> dict[str, Any]:
    return {
        "weights": core.weights,
        "gradients": core.gradients,
        "registers": core.registers,
        "predictions": result.predictions,
        "readout sums": result.readout_sums,
    }


def activity_of(spec: CoreSpec, result: GoldenRun, n_samples: int, learn: bool) -> Activity:
    totals = np.array(result.activity, np.int64)
    lanes = (spec.synapse_lanes, spec.trace_lanes)
    return Activity(totals, n_samples, result.n_applies, learn, *lanes, result.n_standardisations)


def recorded(spec: CoreSpec, samples: list[GoldenSample], result: GoldenRun) -> SampleTrace:
    """The events that the count needs for the clocks of FIRE beside DELIVER."""
    steps = [step for sample in samples for step in sample.steps]
    data = EventDataset(
        np.cumsum([0, *map(len, steps)]).astype(np.int64),
        np.array([a for step in steps for a, _ in step], np.int32),
        np.array([m for step in steps for _, m in step], np.int32),
        np.array([sample.label for sample in samples], np.int32),
        spec.connections(0)[0].n_source,
        spec.n_steps,
    )
    probes = {name: np.array(values) for name, values in result.probes.items()}
    order = np.arange(len(samples))
    return SampleTrace(order, bitmaps_of(data, order, probes))


@pytest.mark.parametrize(("ports", "deliver"), MEMORIES)
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("network", NETWORKS)
def test_images_and_clocks_are_those_of_the_golden_core_and_the_count(
    network: str, rule: str, ports: str, deliver: str
) -> None:
    spec, weights, samples = drawn(network, rule, deliver)
    learn, chip = rule != "infer", make_chip(ports)
    golden, clock = GoldenCore(spec, weights), ClockCore(spec, weights, chip, GATES)
    expected, run = golden.run(samples, learn), clock.run(samples, learn)
    assert images(clock, run) == images(golden, expected)
    assert not learn or clock.traces == golden.memory.trace
    assert (clock.weights != weights) is learn
    activity, trace = activity_of(spec, expected, len(samples), learn), recorded(spec, samples, expected)
    counted = count(activity, spec, chip, GATES, trace)
    accesses = {(c.key, c.phase, c.layer, c.widths_bits): c.number for c in counted.counts if is_memory(c.key)}
    assert (run.ticks_by_phase, run.stalls) == (dict(counted.cycles_by_phase), dict(counted.stalls))
    assert run.accesses == accesses
    needed = footprint_words(spec, chip)
    assert {name: clock.high_water_words.get(name, 0) for name in needed} == dict(needed)


def test_the_networks_above_spike_saturate_and_give_every_layer_a_signal() -> None:
    totals = np.zeros(len(FIELD_INDEX), np.int64)
    for network in NETWORKS:
        for rule in RULES:
            spec, weights, samples = drawn(network, rule, "synapse")
            result = GoldenCore(spec, weights).run(samples, rule != "infer")
            by_layer = np.array(result.activity).sum(axis=0)
            hidden = [index for index, layer in enumerate(spec.layers) if layer.is_hidden]
            assert by_layer[hidden, FIELD_INDEX["spikes"]].all(), (network, rule)
            assert by_layer[hidden, FIELD_INDEX["signal_nonzero"]].all() or rule == "infer", (network, rule)
            totals += by_layer.sum(axis=0)
    assert {name for name in CONCERNED if totals[FIELD_INDEX[name]] == 0} == set()
