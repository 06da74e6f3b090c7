"""Is the fast core the golden core, bit for bit, over drawn networks of every kind and over the whole rule space?

NEUROCHIP_EXAMPLES=5000 draws more cases than the default. `pytest -s` prints what the cases reached.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, given, settings
from property_comparison import Statistics, compare
from property_network_cases import network_cases
from property_network_statistics import SATURATIONS, tabulate_network
from property_network_topology import SPATIALS
from property_strategies import Case

EXAMPLES = int(os.environ.get("NEUROCHIP_EXAMPLES", "1000"))
LEAST_SHARE = {
    "convolution": 0.4,
    "two convolutions": 0.15,
    "groups": 0.08,
    "depthwise": 0.07,
    "sum pool": 0.2,
    "average pool": 0.05,
    "pool drops a remainder": 0.1,
    "recurrent dense": 0.15,
    "recurrent convolution": 0.04,
    "residual add": 0.2,
    "3 or more hidden layers": 0.15,
    "heads": 0.05,
    "feedback layers": 0.12,
    "leaky readout": 0.1,
    "temporal trace": 0.1,
    "temporal spike": 0.1,
    "temporal unroll": 0.25,
    **{f"spatial {name}": 0.07 for name in SPATIALS},
    "update immediate": 0.12,
    "update sample": 0.12,
    "update deferred": 0.12,
    "update window": 0.05,
    "unroll of several windows": 0.08,
    "momentum": 0.06,
    "standardised layers": 0.15,
    "standardised convolution": 0.05,
    "standardised more than once": 0.08,
    "trace of a bias": 0.06,
    "rates per layer": 0.15,
    "steps without loss": 0.07,
    "current of a dense layer": 0.1,
    "current of a convolution": 0.1,
    "current of a recurrent layer": 0.05,
    "current of a leaky readout": 0.03,
    "current beside layers without": 0.08,
    "current with deliver neuron": 0.02,
    "current under unroll": 0.08,
    "current under unroll, recurrent": 0.02,
    "current under unroll, of a leaky readout": 0.015,
    "current with reset path exact": 0.02,
    "current behind feedback": 0.04,
    "trace of a current": 0.02,
    "spikes": 0.8,
    "weights change in some hidden layer": 0.5,
    "weights change in every layer that learns": 0.3,
    "weights of a convolution change, if there is one": 0.5,
    "weights of a head change, if there is one": 0.4,
    "error reaches a row": 0.4,
    "random numbers used": 0.25,
    **dict.fromkeys(SATURATIONS[:2], 0.1),
    **dict.fromkeys(("sat_delta", "no step with loss"), 0.003),
}
MOST_SHARE = {"hostile": 0.5, "no step with loss": 0.15, "inference only": 0.15}
LEAST_SHARE_OF_ANYTHING = 0.01


@pytest.fixture(scope="module")
def statistics() -> Statistics:
    """What all drawn cases of this module reached."""
    return Statistics()


@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(case=network_cases())
def draw_and_compare(case: Case, table: Statistics) -> None:
    assert compare(case, table, tabulate_network) == []


def test_fast_core_equals_golden_core_over_the_whole_space(statistics: Statistics) -> None:
    draw_and_compare(table=statistics)


def test_the_drawn_networks_and_rules_reach_what_they_are_to_test(statistics: Statistics) -> None:
    if not statistics.cases:  # run alone
        draw_and_compare(table=statistics)
    print(f"\n{statistics.cases} cases, none refused\n{statistics.table()}")
    assert statistics.cases >= 0.9 * EXAMPLES
    too_rare = {
        name: statistics.share(name)
        for name in statistics.eligible
        if statistics.share(name) < LEAST_SHARE.get(name, LEAST_SHARE_OF_ANYTHING)
    }
    assert too_rare == {}
    assert set(LEAST_SHARE) <= set(statistics.eligible)
    assert {name for name, most in MOST_SHARE.items() if statistics.share(name) > most} == set()
