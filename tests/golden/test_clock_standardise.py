"""STANDARDISE of the clock model: clocks, accesses and weights against docs/microarchitecture.md, section 8.1."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from golden_builders import (
    HIDDEN,
    READOUT,
    conv_layer,
    draw_samples,
    draw_weights,
    make_spec,
    small_chip,
)

from neurochip.counters import PHASES, STALL_CAUSES
from neurochip.errors import UserError
from neurochip.microarch import Gates
from neurochip.reference.clock import ClockCore
from neurochip.reference.clock.machine import Machine
from neurochip.reference.clock.standardise import Standardise
from neurochip.reference.core import GoldenCore, GoldenSample
from neurochip.reference.core.standardise import standardise_column
from neurochip.spec import CoreSpec
from neurochip.topology import Connection, ConvShape

GATES = Gates(zero_trace=True, zero_error=True, zero_surrogate=True)
NAMES = ("synapse", "neuron", "trace", "error", "gradient", "history")
C = 40 << 16  # columns end with some tens of units


def make_chip(ports: str = "1rw", latency: int = 1, **changes: Any) -> Any:
    """2 lanes, memories of one bank, a divider of 3 clocks."""
    shape = SimpleNamespace(ports=ports, words=256, bank_words=256, read_latency_cycles=latency)
    return small_chip(dict.fromkeys((*NAMES, "event_fifo"), shape) | changes.pop("memories", {}), **changes)


# 2 rows and a bias row of 3 columns: words of 2 and 1 columns.
SMALL = make_spec(
    replace(HIDDEN, n_in=2, n_out=3, bias=True, standardise_constant=C), replace(READOUT, n_in=3), standardise_every=1
)
SMALL_WEIGHTS = [[[3, 9, 8], [-1, 9, 2], [4, 5, 6]], [[0, 0]] * 4]


@pytest.mark.parametrize(
    ("ports", "latency", "pipeline", "division", "clocks", "port", "waited"),
    [
        # lambda_1 = 2, lambda = 2 rounded up to 3, d = 3 + 1 - 2 = 2.
        # Word 0: 2 reads, 2 wait, 2 columns of 3 + 3 in the divider, 2 slots of 2, d 2 = 22; word 1 with one column 16.
        ("1rw", 1, 1, 3, 22 + 16, 2 * 2, 2 * (2 + 2)),
        # II = 1, lambda = 2, d = 2: slots of 1.
        ("1r1w", 1, 1, 3, 20 + 14, 0, 2 * (2 + 2)),
        # lambda_1 = lambda = 3, d = 3 + 1 - 2 = 2; a division takes 1 clock.
        ("1rw", 1, 2, 1, (2 + 3 + 4 + 4 + 2) + (2 + 3 + 2 + 4 + 2), 2 * 2, 2 * (3 + 2)),
        # lambda_1 = lambda = 1, d = 0: the write comes in the second clock of its slot.
        ("1rw", 0, 1, 1, (2 + 1 + 4 + 4) + (2 + 1 + 2 + 4), 2 * 2, 2 * 1),
    ],
)
def test_clocks_of_two_words_by_hand(
    ports: str, latency: int, pipeline: int, division: int, clocks: int, port: int, waited: int
) -> None:
    chip = make_chip(ports, latency, pipeline_latency_cycles=pipeline, div_cycles=division)
    machine = Machine(SMALL, SMALL_WEIGHTS, chip, GATES)
    machine.run(Standardise(machine, 0))
    assert machine.ticks == dict.fromkeys(PHASES, 0) | {"standardise": clocks}
    assert machine.stalls == dict.fromkeys(STALL_CAUSES, 0) | {"port": port, "latency": waited}
    space = machine.layout.spaces["synapse"]
    assert space.reads == {("standardise", 0, 16): 2 * 2 * 2}
    assert space.writes == {("standardise", 0, 16): 2 * 2}
    assert not any(other.reads or other.writes for other in machine.layout.spaces.values() if other is not space)
    # K = 2, p = 17, R = |a - b| = 4, 0, 6: F = C / R; [3, -1]: +-4 F / 2^17 = +-20; 9, 9 stay; [8, 2]: +-20.
    assert machine.layout.region("synapse", 0).image() == [[20, 9, 20], [-20, 9, -20], [4, 5, 6]]


@pytest.mark.parametrize("division", [1, 17])
@pytest.mark.parametrize("pipeline", [1, 2, 5])
@pytest.mark.parametrize("latency", [0, 1, 2])
@pytest.mark.parametrize("ports", ["1rw", "1r1w"])
@pytest.mark.parametrize("lanes", [1, 3, 4, 64])
def test_clocks_are_those_of_the_page(lanes: int, ports: str, latency: int, pipeline: int, division: int) -> None:
    chip = make_chip(ports, latency, lanes=lanes, pipeline_latency_cycles=pipeline, div_cycles=division)
    shape = ConvShape(1, 3, 4, 10, 1, 2, groups=2)  # 8 rows of 5 columns, 2 bias rows
    conv = conv_layer(shape, bias=True, standardise_constant=C)
    spec = make_spec(conv, replace(READOUT, n_in=shape.n_out, standardise_constant=C), standardise_every=1)
    weights = draw_weights(spec, seed=4)
    machine = Machine(spec, weights, chip, GATES)
    ii, lambda_1 = {"1rw": 2, "1r1w": 1}[ports], latency + pipeline
    written_after = lambda_1 + (1 if ii == 2 and lambda_1 % 2 == 0 else 0)
    d = max(0, written_after + 1 - ii)
    clocks, stalls = 0, Counter[str]()
    for layer, (n_w, c) in enumerate(((8, 5), (20, 2))):
        w = -(-c // lanes)
        clocks += w * (n_w + lambda_1 + n_w * ii + d) + 2 * division * c
        stalls.update(port=w * n_w * (ii - 1), latency=w * (lambda_1 + d))
        machine.run(Standardise(machine, layer))
        tag = ("standardise", layer, 8 * lanes)
        space = machine.layout.spaces["synapse"]
        assert (space.reads[tag], space.writes[tag]) == (2 * n_w * w, n_w * w)
        columns = [[row[j] for row in weights[layer][:n_w]] for j in range(c)]
        expected = [standardise_column(column, C, spec.layers[layer].standardise_shift) for column in columns]
        image = machine.layout.region("synapse", layer).image()
        assert [[row[j] for row in image[:n_w]] for j in range(c)] == [
            [max(-128, min(127, v)) for v in column] for column in expected
        ]
        bias = weights[layer][n_w:] if spec.layers[layer].bias else []
        assert image[n_w:] == bias
    assert machine.ticks["standardise"] == clocks
    assert {cause: n for cause, n in machine.stalls.items() if n} == {cause: n for cause, n in stalls.items() if n}


def test_a_quotient_of_more_than_31_bits_and_a_saturation_in_the_lanes() -> None:
    # Column 0: R = 2, C / R = 2^39 becomes 2^31 - 1: 16-bit weights of [1, 0, 0, 0, 0] become 16384 and -4096.
    # Column 1: V = 5 · 36 - 36, R = 12, the same F: +-2^31 · 24 / 2^19 lies far outside, as does a sixth of it.
    layer = replace(HIDDEN, n_in=5, n_out=2, standardise_constant=1 << 40)
    spec = make_spec(layer, replace(READOUT, n_in=2), standardise_every=1, weight_bits=16)
    weights = [[[1, 6], [0, 0], [0, 0], [0, 0], [0, 0], [0, 0]], [[0, 0]] * 3]
    machine = Machine(spec, weights, make_chip(), GATES)
    machine.run(Standardise(machine, 0))
    assert machine.layout.region("synapse", 0).image() == [[16384, 32767]] + [[-4096, -24576]] * 4


def test_only_layers_that_learn_and_are_standardised_take_clocks_last_first() -> None:
    standardised = {"standardise_constant": C}
    fed = (Connection(0, 3),)
    spec = make_spec(
        replace(HIDDEN, n_in=2, n_out=3, **standardised),
        replace(READOUT, n_in=3, inputs=fed, learns=False, **standardised),  # a frozen head
        replace(HIDDEN, n_in=3, n_out=2, inputs=fed),
        replace(READOUT, n_in=2, **standardised),
        standardise_every=1,
    )
    core = ClockCore(spec, draw_weights(spec, seed=1), make_chip(), GATES)
    order: list[int] = []
    run_unit = core.machine.run

    def watch(unit: Any, *layers: Any) -> None:
        if isinstance(unit, Standardise):
            order.append(unit.layer)
        run_unit(unit, *layers)

    core.machine.run = watch
    result = core.run([GoldenSample([[]], 0)], learn=True)
    assert order == [3, 0]
    assert {layer for _, phase, layer, _ in result.accesses if phase == "standardise"} == {0, 3}


CONV = ConvShape(1, 3, 2, 4, 1, 2, groups=2)  # 1 x 3 x 2 -> 1 x 2 x 4: 4 rows of 2 columns


def network(credit: str, is_conv: bool, **changes: Any) -> CoreSpec:
    """6 - 8 - 2, both layers standardised."""
    keeps = {"keeps_trace": True, "frac_gradient": 6} if credit == "trace" else {}
    hidden = replace(HIDDEN, n_in=6, n_out=8, bias=True, standardise_constant=C, **keeps)
    if is_conv:
        hidden = conv_layer(CONV, bias=True, standardise_constant=C, **keeps)
    readout = replace(READOUT, n_in=8, bias=True, standardise_constant=2 * C)
    return make_spec(hidden, readout, **({"n_steps": 3, "credit": credit, "gradient_bits": 24} | changes))


ACCUMULATE = {"update": "accumulate", "weight_rounding": "nearest"}


@pytest.mark.parametrize("is_conv", [False, True])
@pytest.mark.parametrize(
    ("credit", "changes"),
    [
        ("trace", {"weight_rounding": "stochastic"}),
        ("spike", {}),
        ("unroll", {}),
        ("trace", ACCUMULATE | {"batch": 2}),
        ("spike", ACCUMULATE | {"batch": 3, "momentum_shift": 2}),
        ("spike", ACCUMULATE | {"apply_when": "deferred", "apply_every": 2}),
        ("unroll", ACCUMULATE | {"apply_when": "window", "apply_every": 2, "unroll_steps": 2}),
    ],
)
@pytest.mark.parametrize(("ports", "every"), [("1rw", 1), ("1r1w", 2), ("1rw", 3), ("1rw", 9)])
def test_a_network_ends_where_the_golden_core_ends_whatever_the_runs(
    credit: str, changes: dict[str, Any], is_conv: bool, ports: str, every: int
) -> None:
    spec = network(credit, is_conv, standardise_every=every, **changes)
    weights, samples = draw_weights(spec, seed=6), draw_samples(6, 3, seed=7, n_samples=7)
    clock, golden = ClockCore(spec, weights, make_chip(ports), GATES), GoldenCore(spec, weights)
    once = one_standardisation(spec, make_chip(ports))
    done = 0
    for first, last, learn, end in ((0, 3, True, True), (3, 4, True, False), (0, 2, False, True), (4, 7, True, True)):
        expected = golden.run(samples[first:last], learn, end)
        result = clock.run(samples[first:last], learn, end)
        assert (clock.weights, clock.gradients) == (golden.weights, golden.gradients)
        assert clock.registers == golden.registers
        assert (result.predictions, result.readout_sums) == (expected.predictions, expected.readout_sums)
        assert result.ticks_by_phase["standardise"] == expected.n_standardisations * once
        assert learn or expected.n_standardisations == 0
        done += expected.n_standardisations
    # Two epochs, of 3 and 4 samples.
    assert done == {1: 7, 2: 2 + 2, 3: 1 + 2, 9: 2}[every]
    without = GoldenCore(replace(spec, standardise_every=0), weights)
    without.run(samples, True)
    assert clock.weights[0] != without.weights[0] != weights[0]


def one_standardisation(spec: CoreSpec, chip: Any) -> int:
    """Clocks of all layers of a network on a fresh machine."""
    machine = Machine(spec, draw_weights(spec, seed=0), chip, GATES)
    for index in range(len(spec.layers)):
        machine.run(Standardise(machine, index))
    return machine.now


@pytest.mark.parametrize("every", [1, 3])
def test_synapse_memory_in_dram_is_refused_where_weights_are_standardised(every: int) -> None:
    tight = SimpleNamespace(ports="1rw", words=3, bank_words=3, read_latency_cycles=1)
    dram = SimpleNamespace(bus_bits=8, latency_cycles=3)

    def chip(small: str) -> Any:
        return make_chip(memories={small: tight}, overflow="dram", dram=dram)

    spec = replace(SMALL, standardise_every=every)
    with pytest.raises(UserError, match=rf"memories.synapse is too small.*standardise_every = {every}"):
        ClockCore(spec, SMALL_WEIGHTS, chip("synapse"), GATES)
    # Not standardised it may lie there; and standardised, gradients may.
    ClockCore(replace(SMALL, standardise_every=0), SMALL_WEIGHTS, chip("synapse"), GATES)
    accumulating = replace(spec, update="accumulate")
    core, golden = (
        ClockCore(accumulating, SMALL_WEIGHTS, chip("gradient"), GATES),
        GoldenCore(accumulating, SMALL_WEIGHTS),
    )
    samples = draw_samples(2, 1, seed=2, n_samples=every)
    assert core.run(samples, True).stalls["dram"] > 0
    golden.run(samples, True)
    assert core.weights == golden.weights != SMALL_WEIGHTS
