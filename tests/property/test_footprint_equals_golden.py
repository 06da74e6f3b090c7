"""Does the footprint formula give the bits that the golden core allocates, for every drawn specification?"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from property_strategies import RULES, Case, cases, fixed_case

from neurochip.microarch.footprint import footprint_bits
from neurochip.reference.core import GoldenCore

STEPS = (1, 2, 3, 8, 9, 100)


def golden_bits(case: Case, n_steps: int) -> dict[str, int]:
    spec = dataclasses.replace(case.spec, n_steps=n_steps)
    return GoldenCore(spec, [rows.tolist() for rows in case.weights]).footprint_bits()


@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(case=cases())
def test_footprint_equals_the_memories_of_the_golden_core(case: Case) -> None:
    assert footprint_bits(case.spec) == golden_bits(case, case.spec.n_steps)


@pytest.mark.parametrize("n_steps", STEPS)
@pytest.mark.parametrize("rule", RULES)
def test_it_does_for_every_rule_and_number_of_steps(rule: str, n_steps: int) -> None:
    for seed in range(3):
        case = fixed_case(seed, rule)
        spec = dataclasses.replace(case.spec, n_steps=n_steps)
        bits = footprint_bits(spec)
        assert bits == golden_bits(case, n_steps)
        assert all(isinstance(value, int | np.integer) for value in bits.values())
        credit, update = RULES[rule]
        assert (bits["history"] > 0) == (credit == "unroll")
        assert (bits["gradient"] > 0) == (update == "accumulate")
