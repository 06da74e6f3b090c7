"""Are the ratios those that pricing gives, and does the order flip where the section says it does?"""

from __future__ import annotations

import functools
import time
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import synthetic_rules as made

from neurochip.activity import SampleTrace
from neurochip.knobs import Knob, knobs_of, scale_prices
from neurochip.microarch.replay import activity_of_trace
from neurochip.priced import PricedRule
from neurochip.pricing import Pricer
from neurochip.sensitivity import Case, sensitivity
from neurochip.steps import EnergyOfSteps

GROUP = ["ottt-o", "sltt-o", "bptt-o", "ottt-a", "bptt", "infer"]
PRICES = ["clock", "sram", "logic", "leakage", "dram"]


def energy_pj(priced: PricedRule, pricer: Pricer | None = None) -> float:
    """Energy of a mean sample as a report has it."""
    return float((pricer or priced.pricer).per_sample(priced.activity, priced.trace)["energy_pj"]["total"])


@functools.cache
def rules() -> dict[str, PricedRule]:
    return {name: made.priced(name) for name in GROUP}


@functools.cache
def section() -> dict[str, Any]:
    return sensitivity(list(rules().values()))


def pair_of(rule: str, of: dict[str, Any] | None = None) -> dict[str, Any]:
    return next(pair for pair in (of or section())["pairs"] if pair["rule"] == rule)


def knob(key: str, priced: PricedRule | None = None) -> Knob:
    return next(one for one in knobs_of((priced or rules()["ottt-o"]).pricer) if one.key == key)


def bar(rule: str, key: str, of: dict[str, Any] | None = None) -> dict[str, Any]:
    return next(one for one in pair_of(rule, of)["tornado"] if one["knob"] == key)


def turned(rule: str, key: str, value: float) -> float:
    """Energy with a knob at a value, by pricing alone."""
    priced = rules()[rule]
    return energy_pj(priced, knob(key).turn(priced.pricer, value))


def test_there_is_a_pair_for_every_rule_that_has_a_rival_here() -> None:
    assert [(p["rule"], p["baseline"]) for p in section()["pairs"]] == [
        ("ottt-o", "bptt-o"),
        ("sltt-o", "bptt-o"),
        ("ottt-a", "bptt"),
    ]
    assert sensitivity([rules()["ottt-o"], rules()["bptt"]])["pairs"] == []


def test_the_ratio_at_the_base_is_that_of_the_report() -> None:
    for pair in section()["pairs"]:
        own, base = rules()[pair["rule"]], rules()[pair["baseline"]]
        assert pair["ratio"] == pytest.approx(energy_pj(own) / energy_pj(base), rel=1e-12)


@pytest.mark.parametrize("key", [*PRICES, "clock_mhz", "voltage_v", "bank_words"])
def test_the_ends_of_every_bar_are_what_pricing_gives_there(key: str) -> None:
    for pair in section()["pairs"]:
        found = bar(pair["rule"], key)
        for end in ("low", "high"):
            value = found[end]["value"]
            expected = turned(pair["rule"], key, value) / turned(pair["baseline"], key, value)
            assert found[end]["ratio"] == pytest.approx(expected, rel=1e-9)


def test_a_price_knob_scales_just_its_own_part_of_the_energy() -> None:
    priced = rules()["ottt-o"]
    parts = priced.pricer.per_sample(priced.activity, priced.trace)["energy_pj"]
    sram = sum(pj for name, pj in parts["by_memory"].items() if name != "event_fifo")
    logic = sum(parts["by_operation"].values()) + parts["by_memory"]["event_fifo"]
    own = {"clock": parts["clock"], "sram": sram, "logic": logic, "leakage": parts["leakage"], "dram": 0.0}
    assert sum(own.values()) == pytest.approx(parts["total"])
    for key, share in own.items():
        chip = scale_prices(priced.pricer.chip, key, 3.0)
        assert energy_pj(priced, replace(priced.pricer, chip=chip)) == pytest.approx(parts["total"] + 2 * share)


def test_bars_are_sorted_by_swing_and_what_cannot_matter_has_none() -> None:
    for pair in section()["pairs"]:
        swings = [one["swing"] for one in pair["tornado"]]
        assert swings == sorted(swings, reverse=True)
        assert swings[0] > 0
        for one in pair["tornado"]:
            ratios = [pair["ratio"], one["low"]["ratio"], one["high"]["ratio"]]
            assert one["swing"] == pytest.approx(max(ratios) - min(ratios))
    assert bar("ottt-o", "dram")["swing"] == 0  # nothing lies in DRAM
    assert bar("sltt-o", "trace_bits")["swing"] == 0  # neither rule keeps a trace
    assert bar("ottt-o", "trace_bits")["swing"] > 0


def test_dram_matters_where_the_history_lies_in_it() -> None:
    small = {**made.CHIP.memories}
    del small["history"]
    chip = made.CHIP.model_copy(update={"memories": small, "overflow": "dram"})
    found = sensitivity([made.priced(name, chip) for name in ("ottt-o", "bptt-o")])
    assert bar("ottt-o", "dram", found)["swing"] > 0


def test_the_ratio_is_monotone_in_every_price() -> None:
    case, base = Case(rules()["ottt-o"]), Case(rules()["bptt-o"])
    for key in PRICES:
        values = [2.0**k for k in range(-4, 5)]
        ratios = [case.energy_pj(knob(key), v) / base.energy_pj(knob(key), v) for v in values]
        steps = [b - a for a, b in pairwise(ratios)]
        assert all(step >= -1e-12 for step in steps) or all(step <= 1e-12 for step in steps), key


def close_pair(key: str) -> tuple[PricedRule, PricedRule, float]:
    """Rule, baseline, and the factor on the energy of the baseline with which the order flips at 3 times a price."""
    rule, base = rules()["ottt-o"], rules()["bptt-o"]
    at_3 = [energy_pj(one, replace(one.pricer, chip=scale_prices(made.CHIP, key, 3.0))) for one in (rule, base)]
    return rule, base, at_3[0] / at_3[1]


@pytest.mark.parametrize("key", ["clock", "sram", "logic", "leakage"])
def test_a_flip_is_where_pricing_gives_equal_energies(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rule, base, factor = close_pair(key)
    heavier = replace(base.pricer, chip=made.CHIP.model_copy(update={"name": "heavier"}))
    true_energy = Pricer.energy

    class Weighted:
        """Energy of the baseline, all of it times a factor."""

        def __init__(self, energy: Any) -> None:
            self.total_pj = energy.total_pj * factor
            self.latency_us = energy.latency_us

    def weighted(self: Pricer, counted: Any) -> Any:
        energy = true_energy(self, counted)
        return Weighted(energy) if self.chip.name == "heavier" else energy

    monkeypatch.setattr(Pricer, "energy", weighted)
    found = pair_of("ottt-o", sensitivity([rule, replace(base, pricer=heavier)]))
    flip = next(one for one in found["flips"] if one["knob"] == key)
    assert flip["value"] == pytest.approx(3.0, rel=1e-6)
    assert flip["sentence"].partition(" with ")[2].rstrip(".") in found["sentences"][0]
    chip = scale_prices(made.CHIP, key, flip["value"])
    energies = [true_energy(replace(one.pricer, chip=chip), one.counted()).total_pj for one in (rule, base)]
    assert energies[0] / (energies[1] * factor) == pytest.approx(1.0, abs=1e-3)


def test_what_does_not_flip_within_its_range_does_not_flip_at_its_ends() -> None:
    for pair in section()["pairs"]:
        for flip in pair["flips"]:
            if flip["value"] is None and flip["knob"] in PRICES:
                for value in flip["range"]:
                    at_end = turned(pair["rule"], flip["knob"], value) / turned(pair["baseline"], flip["knob"], value)
                    assert (at_end > 1) == (pair["ratio"] > 1)


def test_widths_of_traces_change_what_is_moved_and_not_the_clocks() -> None:
    rule, base = rules()["ottt-o"], rules()["bptt-o"]
    found = bar("ottt-o", "trace_bits")
    assert (found["low"]["value"], found["base"], found["high"]["value"]) == (6, 8, 10)
    for end in ("low", "high"):
        value = int(found[end]["value"])
        pricer = replace(rule.pricer, spec=replace(rule.pricer.spec, trace_bits=value))
        assert pricer.count(rule.activity, rule.trace).cycles == rule.pricer.count(rule.activity, rule.trace).cycles
        assert found[end]["ratio"] == pytest.approx(energy_pj(rule, pricer) / energy_pj(base), rel=1e-9)
    assert found["low"]["ratio"] < pair_of("ottt-o")["ratio"] < found["high"]["ratio"]


def test_lanes_are_replayed_at_the_other_word_width() -> None:
    for end, lanes in (("low", 8), ("high", 32)):
        energies = []
        for name in ("ottt-o", "bptt-o"):
            priced = rules()[name]
            pricer = knob("lanes").turn(priced.pricer, lanes)
            assert (pricer.chip.lanes, pricer.spec.trace_lanes) == (lanes, lanes)
            assert priced.trace is not None
            activity = activity_of_trace(priced.trace, priced.pricer.spec, lanes, lanes, True)
            energies.append(pricer.per_sample(activity, priced.trace)["energy_pj"]["total"])
        assert bar("ottt-o", "lanes")[end]["ratio"] == pytest.approx(energies[0] / energies[1], rel=1e-3)


def test_lanes_keep_the_bits_of_memories_and_scale_the_clock() -> None:
    pricer = knob("lanes").turn(rules()["ottt-o"].pricer, 8)
    for name, memory in made.CHIP.memories.items():
        factor = 2 if name in ("synapse", "neuron", "trace", "error", "gradient") else 1
        assert pricer.chip.memories[name].words == factor * memory.words


def test_without_recorded_samples_lanes_are_left_out() -> None:
    bare = [replace(rules()[name], trace=None) for name in ("ottt-o", "bptt-o")]
    found = sensitivity(bare)
    assert "lanes" not in [one["knob"] for one in pair_of("ottt-o", found)["tornado"]]


def test_banks_keep_their_capacity() -> None:
    for factor in (0.25, 4.0):
        chip = knob("bank_words").turn(rules()["ottt-o"].pricer, factor).chip
        for name, memory in made.CHIP.memories.items():
            assert chip.memories[name].words == memory.words
        assert chip.memories["neuron"] == made.CHIP.memories["neuron"]
        assert chip.memories["synapse"].bank_words == factor * made.CHIP.memories["synapse"].bank_words


def test_the_order_flips_in_steps_where_it_is_said_to() -> None:
    history = made.CHIP.memories["history"].model_copy(update={"banks": 1, "bank_words": 100})
    chip = made.CHIP.model_copy(update={"memories": {**made.CHIP.memories, "history": history}})
    pair = [made.priced(name, chip) for name in ("ottt-o", "bptt-o")]
    steps = pair_of("ottt-o", sensitivity(pair))["steps"]
    assert steps["leaves_chip"] == 26  # 4 words a step
    assert steps["flip"] is not None
    spilling = chip.model_copy(update={"overflow": "dram"})
    for n_steps, flipped in ((steps["flip"] - 1, False), (steps["flip"], True)):
        real = [made.priced(name, spilling, n_samples=12, steps=n_steps) for name in ("ottt-o", "bptt-o")]
        ratio = energy_pj(real[0]) / energy_pj(real[1])
        assert (ratio < 1) == flipped, (n_steps, ratio)


@pytest.mark.parametrize("rule", ["ottt-o", "bptt-o", "bptt"])
def test_the_work_of_a_step_grows_with_the_steps_and_an_apply_does_not(rule: str) -> None:
    tight = scale_prices(made.CHIP, "leakage", 0.0)
    priced = made.priced(rule, tight)
    parts = priced.pricer.per_sample(priced.activity, priced.trace)
    phases, clock_pj = parts["by_phase"], parts["energy_pj"]["clock"] / parts["cycles"]
    once = phases["apply"]["energy_pj"] + clock_pj * phases["apply"]["cycles"]
    assert (once > 0) == (rule == "bptt")
    energy = EnergyOfSteps(priced, priced.counted())

    def at(first: int, last: int) -> float:
        """Energy of some steps of the run, applies included, from activity cut by hand."""
        activity, trace = priced.activity, priced.trace
        assert trace is not None
        totals = np.concatenate([activity.totals[first:last], activity.totals[12:]])
        seen = SampleTrace(trace.sample_indices, {name: bits[:, first:last] for name, bits in trace.bitmaps.items()})
        pricer = replace(priced.pricer, spec=replace(priced.pricer.spec, n_steps=last - first))
        return float(pricer.per_sample(replace(activity, totals=totals), seen)["energy_pj"]["total"])

    found = {steps: energy(steps) for steps in (1, 6, 12, 18, 24, 48)}
    assert found[12] == pytest.approx(parts["energy_pj"]["total"], rel=1e-9)
    assert (found[1], found[6]) == (pytest.approx(at(0, 1), rel=1e-9), pytest.approx(at(0, 6), rel=1e-9))
    step = (at(6, 12) - once) / 6  # beyond the run: the mean step of its second half, and no further apply
    for steps in (18, 24, 48):
        assert found[steps] == pytest.approx(at(0, 12) + (steps - 12) * step, rel=2e-3)  # sums of z get wider


def test_a_chip_that_spills_already_is_priced_on_chip_where_the_history_fits() -> None:
    history = made.CHIP.memories["history"].model_copy(update={"banks": 1, "bank_words": 40})
    chip = made.CHIP.model_copy(update={"memories": {**made.CHIP.memories, "history": history}, "overflow": "dram"})
    spilled, held = made.priced("bptt-o", chip), made.priced("bptt-o", chip, steps=8)
    energy = EnergyOfSteps(spilled, spilled.counted())
    assert energy(12) == pytest.approx(energy_pj(spilled))
    at_8 = energy(8)
    assert at_8 is not None
    assert at_8 == pytest.approx(energy_pj(held), rel=0.1)
    assert at_8 < 0.9 * energy_pj(spilled) * 8 / 12


def test_energy_at_other_steps_is_that_of_activity_drawn_at_them() -> None:
    pair = {name: made.priced(name, n_samples=40) for name in ("ottt-o", "bptt-o")}
    steps = pair_of("ottt-o", sensitivity(list(pair.values())))["steps"]
    at = dict(zip(steps["steps"], steps["ratio"], strict=True))
    real = [made.priced(name, n_samples=20, steps=64) for name in ("ottt-o", "bptt-o")]
    assert at[64] == pytest.approx(energy_pj(real[0]) / energy_pj(real[1]), rel=0.1)


def test_six_rules_take_a_few_seconds_at_most() -> None:
    sensitivity(list(rules().values()))  # compiles once
    start = time.perf_counter()
    sensitivity(list(rules().values()))
    assert time.perf_counter() - start < 5
