"""Do the zero gates of a chip change what it counts, and never what the core computes?

The core has no gates: it takes none, and its results cannot depend on any. A microarchitecture takes them, beside an
activity that is already there, and with a gate off it counts at least as many accesses.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pytest
from property_strategies import RULES, fixed_case

from neurochip.activity import Activity
from neurochip.core.engine import Engine
from neurochip.counters import is_memory
from neurochip.microarch import Gates
from neurochip.microarch.ottt_core import count
from neurochip.spec import CoreSpec

ALL_OFF = Gates(zero_trace=False, zero_error=False, zero_surrogate=False)
LEARNING_RULES = [rule for rule in RULES if rule != "infer"]


@dataclass(frozen=True)
class Ports:
    ports: str = "1rw"
    words: int = 1024
    bank_words: int = 1024
    read_latency_cycles: int = 1


@dataclass(frozen=True)
class Chip:
    lanes: int
    trace_lanes: int
    scan_width: int = 16
    history_word_bits: int = 64
    div_cycles: int = 24
    pipeline_latency_cycles: int = 6
    overflow: str = "refuse"
    dram: None = None
    memories: dict[str, Ports] = field(
        default_factory=lambda: dict.fromkeys(
            (*("synapse", "neuron", "trace", "error"), "gradient", "history", "event_fifo"), Ports()
        )
    )


def accesses(activity: Activity, spec: CoreSpec, gates: Gates) -> Counter[str]:
    """Words read and written, by memory and access."""
    counted = count(activity, spec, Chip(spec.synapse_lanes, spec.trace_lanes), gates)
    made: Counter[str] = Counter()
    for item in counted.counts:
        if is_memory(item.key):
            made[item.key] += round(item.number)
    return made


def signal_sites(activity: Activity, spec: CoreSpec) -> list[tuple[int, int, int, int]]:
    """Per layer: sample steps, rows of the update, words of a row, neurons of the layer below."""
    steps = activity.n_samples * spec.n_steps
    return [
        (steps, layer.n_in + layer.bias, -(-layer.n_out // spec.synapse_lanes), layer.n_in if index else 0)
        for index, layer in enumerate(spec.layers)
    ]


def has_zeros(activity: Activity, spec: CoreSpec) -> dict[str, bool]:
    """Whether a gate skips anything while the other gates are on."""
    rows, words = activity.per_layer("presynaptic_rows"), activity.per_layer("signal_words")
    update, error = activity.per_layer("update_words"), activity.per_layer("error_words")
    psi = [0, *activity.per_layer("psi_nonzero")[:-1]]
    sites = list(enumerate(signal_sites(activity, spec)))
    return {
        "zero_trace": any(update[i] < n_rows * words[i] for i, (_, n_rows, _, _) in sites),
        "zero_surrogate": any(error[i] < n_below * words[i] for i, (_, _, _, n_below) in sites),
        "zero_error": any(update[i] < rows[i] * width or error[i] < psi[i] * width for i, (_, _, width, _) in sites),
    }


def learn(rule: str, seed: int) -> tuple[Activity, CoreSpec]:
    case = fixed_case(seed, rule)
    engine = Engine(case.spec, case.weights)
    return engine.run(case.dataset(), np.arange(len(case.samples)), learn=True).activity, case.spec


def test_nothing_the_core_takes_is_a_gate_of_the_chip() -> None:
    names = {field.name for field in dataclasses.fields(CoreSpec)}
    for function in (Engine.__init__, Engine.run, Engine.restore):
        names |= set(inspect.signature(function).parameters)
    # learning.trace.gate does change function, and is part of the experiment.
    assert {name for name in names if "gate" in name.split("_")} == {"trace_gate"}
    assert names.isdisjoint(field.name for field in dataclasses.fields(Gates))


@pytest.mark.parametrize("rule", LEARNING_RULES)
def test_a_gate_that_is_off_never_saves_an_access_and_costs_some_where_there_are_zeros(rule: str) -> None:
    strict: Counter[str] = Counter()
    for seed in range(40):
        activity, spec = learn(rule, seed)
        gated = accesses(activity, spec, Gates())
        for name, zeros in has_zeros(activity, spec).items():
            ungated = accesses(activity, spec, Gates(**{name: False}))
            assert all(ungated[key] >= gated[key] for key in gated), (seed, name)
            assert (ungated.total() > gated.total()) == zeros, (seed, name)
            strict[name] += zeros
        every_off = accesses(activity, spec, ALL_OFF)
        assert all(every_off[key] >= gated[key] for key in gated), seed
    assert all(strict[name] >= 10 for name in ("zero_trace", "zero_error", "zero_surrogate")), strict


@pytest.mark.parametrize("rule", LEARNING_RULES)
def test_with_every_gate_off_the_accesses_of_learning_do_not_depend_on_the_activity(rule: str) -> None:
    for seed in range(10):
        activity, spec = learn(rule, seed)
        counted = count(activity, spec, Chip(spec.synapse_lanes, spec.trace_lanes), ALL_OFF)
        memory = "synapse" if spec.update == "immediate" else "gradient"
        written = sum(c.number for c in counted.counts if c.phase == "update" and c.key == f"{memory}_write")
        sites = signal_sites(activity, spec)
        assert written == sum(steps * n_rows * width for steps, n_rows, width, _ in sites)


def test_counting_with_any_gates_leaves_the_weights_as_they_are() -> None:
    case = fixed_case(3, "ottt-o")
    engines = [Engine(case.spec, case.weights) for _ in range(2)]
    for gates, engine in zip((Gates(), ALL_OFF), engines, strict=True):
        for order in ([0], [0]):
            activity = engine.run(case.dataset(), np.array(order), learn=True).activity
            accesses(activity, case.spec, gates)
    for ungated, gated in zip(engines[0].weights, engines[1].weights, strict=True):
        assert np.array_equal(ungated, gated)
