"""Is the fast core the golden core, bit for bit, over drawn networks, formats, rules and samples?

NEUROCHIP_EXAMPLES=5000 draws more cases than the default. `pytest -s` prints what the cases reached.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from property_comparison import Statistics, compare
from property_strategies import RULES, Case, Pass, cases, draw_pass, fill_samples, fixed_case

from neurochip.core.engine import Engine
from neurochip.core.pass_kernel import run_pass
from neurochip.reference.core import GoldenSample
from neurochip.spec import CoreSpec, LayerSpec

EXAMPLES = int(os.environ.get("NEUROCHIP_EXAMPLES", "1000"))
LEAST_SHARE = {
    "2 or 3 hidden layers": 0.3,
    "3 hidden layers": 0.1,
    "8 or more steps": 0.4,
    "weights change in every layer": 0.4,
    "weights of inputs change everywhere": 0.4,
    "random numbers used": 0.25,
    "weight rounding stochastic": 0.25,
    "16 random lanes": 0.2,
    **{f"rule {name}": 0.05 for name in RULES},
}
MOST_SHARE = {"hostile": 0.5}
LEAST_SHARE_OF_ANYTHING = 0.03


@pytest.fixture(scope="module")
def statistics() -> Statistics:
    """What all drawn cases of this module reached."""
    return Statistics()


@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(case=cases())
def draw_and_compare(case: Case, table: Statistics) -> None:
    assert compare(case, table) == []


def test_fast_core_equals_golden_core_bit_for_bit(statistics: Statistics) -> None:
    draw_and_compare(table=statistics)


def test_the_drawn_cases_reach_what_they_are_to_test(statistics: Statistics) -> None:
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
    assert all(statistics.share(name) <= most for name, most in MOST_SHARE.items())


def large_case(rule: str, seed: int, **changes: Any) -> Case:
    """200-128-10 with 20 steps: rows of eight 16-column words, of which some hold no signal in some steps."""
    credit, update = RULES[rule]
    trace = credit == "trace"
    hidden = LayerSpec(
        "dense", 200, 128, True, "shift", 1, 256, "subtract", trace, "shift", 1, 6, 8, 5, 2, 2 + 5 * trace,
    )  # fmt: skip
    readout = dataclasses.replace(
        hidden, kind="readout", n_in=128, n_out=10, leak_kind="none", leak_value=0, threshold_q=0, keeps_trace=False,
        frac_potential=7, frac_error=6, frac_gradient=6,
    )  # fmt: skip
    settings_of_spec: dict[str, Any] = {
        "layers": (hidden, readout), "n_steps": 20, "event_bits": 1, "weight_bits": 8, "weight_rounding": "stochastic",
        "membrane_bits": 12, "trace_bits": 8, "trace_gate": 0, "error_bits": 8, "error_rounding": "nearest",
        "delta_bits": 12, "surrogate_bits": 4, "surrogate": "rectangle", "gradient_bits": 24, "readout_bits": 24,
        "credit": credit, "update": update, "batch": 2 if update == "accumulate" else 1, "rate_multiplier": 11,
        "rate_shift": 8, "mse_share_q": 0, "deliver": "synapse", "reset_path": "detached", "rng_lanes": 16,
        "seed": seed, "synapse_lanes": 16, "trace_lanes": 16,
    }  # fmt: skip
    spec = CoreSpec(**(settings_of_spec | changes))
    fill = np.random.default_rng(seed)
    weights = [
        np.rint(fill.normal(2, deviation, size=(layer.n_in + 1, layer.n_out))).clip(-128, 127).astype(np.int64)
        for layer, deviation in zip(spec.layers, (60, 20), strict=True)
    ]
    passes = (Pass((0, 1), True, False, (1,)), Pass((1,), True, True, (0,)), Pass((0,), False, True, (0,)))
    return Case(rule, spec, False, seed, passes, weights, fill_samples(spec, 2, 0.06, fill))


@pytest.mark.parametrize("rounding", ["stochastic", "nearest"])
@pytest.mark.parametrize("rule", RULES)
def test_a_network_of_128_columns_is_equal_too(rule: str, rounding: str) -> None:
    case = large_case(rule, seed=len(rule), weight_rounding=rounding)
    assert compare(case) == []
    result = Engine(case.spec, case.weights).run(case.dataset(), np.array([0, 1]), learn=True)
    activity = result.activity
    assert activity.per_layer("spikes")[0] > 50
    if rule == "infer":
        return
    words, steps = activity.per_layer("signal_words")[0], 2 * case.spec.n_steps
    assert 0.2 * 8 * steps < words < 0.9 * 8 * steps  # whole words with a signal beside whole words without
    assert activity.per_layer("update_products")[0] > 1000
    if rounding == "stochastic":
        assert activity.total("random_advances") > 1000


@pytest.mark.parametrize("lanes", [1, 7, 16, 33, 64])
def test_any_number_of_random_lanes_is_equal_on_128_columns(lanes: int) -> None:
    assert compare(large_case("sltt-o", seed=lanes, rng_lanes=lanes)) == []


@pytest.mark.parametrize("rule", ["ottt-o", "bptt-o", "ottt-a"])
def test_weights_of_16_bits_are_equal_on_128_columns(rule: str) -> None:
    case = large_case(rule, seed=3, weight_bits=12)
    assert compare(case) == []


def extreme_case(weight_bits: int, error_bits: int, trace: tuple[int, int], multiplier: int, rounding: str) -> Case:
    """Weights, traces, surrogate codes and errors all at the ends of their ranges; trace: its bits and frac_a."""
    trace_bits, frac_trace = trace
    case = large_case(
        "ottt-o", seed=2, weight_bits=weight_bits, error_bits=error_bits, trace_bits=trace_bits,
        weight_rounding=rounding, rate_multiplier=multiplier, rate_shift=12 + 5 - frac_trace - error_bits,
        membrane_bits=8, mse_share_q=256, n_steps=3,
    )  # fmt: skip
    formats = {"frac_weight": 4, "frac_potential": 4, "frac_trace": frac_trace, "frac_error": error_bits - 1}
    hidden, readout = case.spec.layers
    layers = (
        # The potential saturates at the threshold: every neuron spikes with the largest surrogate code.
        dataclasses.replace(hidden, n_in=6, n_out=20, threshold_q=127, **formats),
        dataclasses.replace(readout, n_in=20, n_out=17, keeps_trace=True, **formats),
    )
    low, high = -(1 << (weight_bits - 1)), (1 << (weight_bits - 1)) - 1
    weights = [np.full((layer.n_in + 1, layer.n_out), w) for layer, w in zip(layers, (high, low), strict=True)]
    samples = [GoldenSample([[(a, 1) for a in range(6)]] * 3, label) for label in (0, 16)]
    return dataclasses.replace(
        case, spec=dataclasses.replace(case.spec, layers=layers), weights=weights, samples=samples
    )


@pytest.mark.parametrize("rounding", ["stochastic", "nearest", "floor"])
def test_sums_and_products_that_leave_32_bits_are_equal(rounding: str) -> None:
    bits = itertools.product((8, 12, 14, 16), (12, 14, 16), ((8, 8), (13, 13), (16, 16), (8, 24)), (1, 15, 255))
    for weight_bits, error_bits, (trace_bits, frac_trace), multiplier in bits:
        trace = trace_bits, min(frac_trace, 31 - error_bits)  # the sum D must fit 32 bits
        case = extreme_case(weight_bits, error_bits, trace, multiplier, rounding)
        statistics = Statistics()
        assert compare(case, statistics) == [], (weight_bits, error_bits, trace, multiplier)
        assert statistics.seen["sat_error"] and statistics.seen["weights of inputs change everywhere"]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("seed", range(3))
def test_many_passes_continue_one_run(rule: str, seed: int) -> None:
    case = fixed_case(1000 + seed, rule)
    rng = random.Random(seed)
    passes = tuple(draw_pass(rng, len(case.samples), k != 3, k % 3 == 2) for k in range(7))
    assert compare(dataclasses.replace(case, passes=passes)) == []


def wide_readout_case() -> Case:
    """40 spiking neurons at the largest weight, shifted until they overfill a readout of 31 bits, the most allowed."""
    case = large_case("sltt-o", seed=1, weight_rounding="floor", readout_bits=31, rate_shift=20)
    hidden, readout = case.spec.layers
    layers = (
        dataclasses.replace(hidden, n_in=4, n_out=40, threshold_q=1),
        dataclasses.replace(readout, n_in=40, frac_weight=4, frac_potential=23),
    )
    spec = dataclasses.replace(case.spec, layers=layers)
    weights = [np.full((layer.n_in + 1, layer.n_out), 127, dtype=np.int64) for layer in layers]
    weights[1][:, ::2] = -128
    samples = [GoldenSample([[(a, 1) for a in range(4)]] * spec.n_steps, label) for label in (0, 1)]
    return dataclasses.replace(case, spec=spec, weights=weights, samples=samples)


def test_the_widest_readout_saturates_and_never_wraps() -> None:
    case = wide_readout_case()
    result = Engine(case.spec, case.weights).run(case.dataset(), np.array([0]), learn=False)
    assert compare(case) == []
    assert result.activity.total("sat_readout") > 0


def test_an_epoch_may_end_with_a_pass_without_samples() -> None:
    case = large_case("ottt-a", seed=5)
    passes = (Pass((0,), True, False, (0,)), Pass((), True, True, ()))
    assert compare(dataclasses.replace(case, passes=passes)) == []


def test_the_kernels_are_compiled_for_two_weight_types_and_nothing_else() -> None:
    for bits in (2, 8, 9, 16):
        spec = dataclasses.replace(large_case("infer", seed=1).spec, weight_bits=bits)
        zeros = [np.zeros((layer.n_in + 1, layer.n_out), dtype=np.int64) for layer in spec.layers]
        Engine(spec, zeros).run(large_case("infer", seed=1).dataset(), np.array([0]), learn=False)
    assert len(run_pass.signatures) == 2
