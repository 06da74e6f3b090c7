"""Does an engine that was put back into a saved state go on as the one that was saved, momentum included?"""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
from property_clock_chips import Configuration, draw_network_configuration
from property_network_cases import Rule

from neurochip.core.engine import Engine
from neurochip.microarch.interface import ALL_GATES
from neurochip.reference.engine import ReferenceEngine

RULES = [Rule("trace", "backprop", "sample"), Rule("unroll", "local", "window")]


def with_momentum(configuration: Configuration) -> Configuration:
    """The same with velocities, and every gate on."""
    case = configuration.case
    spec = replace(case.spec, momentum_shift=2)
    chip = replace(configuration.chip, overflow="grow")
    return replace(configuration, case=replace(case, spec=spec), chip=chip, gates=ALL_GATES)


def learning_configuration(rng: random.Random, rule: Rule) -> Configuration:
    """A drawn one in which something gets a velocity."""
    while True:
        configuration = with_momentum(draw_network_configuration(rng, rule))
        case = configuration.case
        engine = Engine(case.spec, case.weights)
        engine.run(case.dataset(), np.arange(len(case.samples)), learn=True)
        if any(np.any(layer) for layer in engine.velocities):
            return configuration


def engines(configuration: Configuration) -> list[Engine | ReferenceEngine]:
    """The fast core, and the golden core beside the tick model."""
    case = configuration.case
    chip = type("Chip", (), {**vars(configuration.chip), "microarchitecture": "ottt_core"})()
    return [Engine(case.spec, case.weights), ReferenceEngine(case.spec, case.weights, chip, configuration.gates)]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
@pytest.mark.parametrize("seed", range(4))
def test_a_restored_engine_goes_on_like_the_saved_one(rule: Rule, seed: int) -> None:
    configuration = learning_configuration(random.Random(seed), rule)
    data, order = configuration.case.dataset(), np.arange(len(configuration.case.samples))
    for first, second in zip(engines(configuration), engines(configuration), strict=True):
        first.run(data, order, learn=True)
        second.restore(first.weights, first.registers, first.velocities)
        here, there = (engine.run(data, order, learn=True) for engine in (first, second))
        assert np.array_equal(here.readout_sums, there.readout_sums)
        assert np.array_equal(here.activity.totals, there.activity.totals)
        for name in ("weights", "velocities"):
            assert all(map(np.array_equal, getattr(first, name), getattr(second, name)))
