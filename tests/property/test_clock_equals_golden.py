"""Does the clock model, one clock at a time out of its own memories, end with the images of the golden core?"""

from __future__ import annotations

import random

import pytest
from property_clock_chips import DrawnChip, draw_chip, draw_network_configuration, planned_words
from property_comparison import first_difference
from property_network_cases import SPATIALS, TEMPORALS, UPDATES, Rule
from property_strategies import RULES, Case, chance, fixed_case

from neurochip.microarch import Gates
from neurochip.reference.clock import ClockCore
from neurochip.reference.core import GoldenCore

SEEDS_PER_RULE = 9
SEEDS_PER_POINT = 3
POINTS = [
    Rule(temporal, spatial, update)
    for temporal in TEMPORALS
    for spatial in SPATIALS
    for update in UPDATES
    if update != "window" or temporal == "unroll"
]


def differences(case: Case, chip: DrawnChip, gates: Gates) -> list[str]:
    """Run the passes of a case on both, and name every image that differs after each."""
    weights = [rows.tolist() for rows in case.weights]
    golden, clock = GoldenCore(case.spec, weights), ClockCore(case.spec, weights, chip, gates)
    found: list[str] = []
    for number, one in enumerate(case.passes):
        samples = [case.samples[i] for i in one.order]
        expected = golden.run(samples, one.learn, one.end_of_epoch)
        result = clock.run(samples, one.learn, one.end_of_epoch)
        images = {
            "predictions": (expected.predictions, result.predictions),
            "readout sums": (expected.readout_sums, result.readout_sums),
            "registers": (golden.registers, clock.registers),
            "potentials": ([[0] * len(values) for values in clock.potentials], clock.potentials),
        }
        for index in range(len(case.spec.layers)):
            images[f"weights of layer {index}"] = (golden.weights[index], clock.weights[index])
            if one.learn:  # without learning the golden core clears traces that the chip leaves as they are
                images[f"traces of layer {index}"] = (golden.memory.trace[index], clock.traces[index])
        for index, gradients in enumerate(golden.gradients):
            images[f"gradients of layer {index}"] = (gradients, clock.gradients[index])
        for name, (a, b) in images.items():
            if name != "potentials":
                found += [f"pass {number}: {name} {where}" for where in [first_difference(a, b)] if where]
            elif a != b:
                found.append(f"pass {number}: potentials {b} after the last step")
        if sum(result.ticks_by_phase.values()) != result.ticks:
            found.append(f"pass {number}: phases do not add up to {result.ticks} ticks")
    return found


@pytest.mark.parametrize("seed", range(SEEDS_PER_RULE))
@pytest.mark.parametrize("rule", RULES)
def test_the_clock_model_ends_with_the_images_of_the_golden_core(rule: str, seed: int) -> None:
    case, rng = fixed_case(seed, rule), random.Random(seed)
    gates = Gates(*(not chance(rng, 25) for _ in range(3)))
    assert differences(case, draw_chip(rng, case.spec, planned_words), gates) == []


@pytest.mark.parametrize("seed", range(SEEDS_PER_POINT))
@pytest.mark.parametrize("rule", [*POINTS, Rule("none", "local", "none")], ids=lambda rule: rule.name)
def test_whole_networks_end_with_the_images_of_the_golden_core(rule: Rule, seed: int) -> None:
    drawn = draw_network_configuration(random.Random(seed), rule, planned_words)
    assert differences(drawn.case, drawn.chip, drawn.gates) == []
