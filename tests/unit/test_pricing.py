"""Do the numbers of a report follow from activity as defined, and is a missing price found before any training?"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import tiny_experiment as tiny

from neurochip.activity import FIELD_INDEX, N_FIELDS, Activity
from neurochip.chip import Chip, load_chip
from neurochip.counters import COUNTER_KEYS, is_memory
from neurochip.errors import UserError
from neurochip.microarch.interface import Gates
from neurochip.network.resolve import Lanes, core_spec
from neurochip.network.shape import Fracs, layer_shapes
from neurochip.pricing import RATIO_KEYS, Pricer, eventful_activity, history_section, numerics, ratios
from neurochip.rules.presets import RULES, find_rule
from neurochip.spec import CoreSpec
from neurochip.technology import Technology

CHIP = load_chip("ottt-core-28nm")
FRACS = Fracs(weight=(7, 6, 5), membrane=(9, 8), trace=(6, 5, 4), error=(7, 6, 5), readout=8)
RULE_NAMES = [rule.name for rule in RULES]


def make_spec(rule: str, **changes: Any) -> CoreSpec:
    experiment = tiny.tiny_experiment(**changes)
    found = next(entry for entry in RULES if entry.name == rule)
    return core_spec(experiment, found, layer_shapes(experiment, 50, 3), FRACS, Lanes(CHIP.lanes, CHIP.trace_lanes))


def make_pricer(rule: str, chip: Chip = CHIP, **changes: Any) -> Pricer:
    return Pricer(chip, Gates(), make_spec(rule, **changes))


def without_logic(name: str) -> Chip:
    empty = None if name == "division" else ()
    logic = CHIP.technology.logic.model_copy(update={"register_" if name == "register" else name: empty})
    return CHIP.model_copy(update={"technology": CHIP.technology.model_copy(update={"logic": logic})})


def leakless_technology() -> Technology:
    sram = CHIP.technology.sram
    assert sram is not None
    return CHIP.technology.model_copy(update={"sram": sram.model_copy(update={"leakage": ()})})


@pytest.mark.parametrize("rule", RULE_NAMES)
def test_the_packaged_chip_has_every_price(rule: str) -> None:
    make_pricer(rule).check_prices()
    make_pricer(rule, task__repeat="count", precision__event__bits=3, learning__mse_share=0.5).check_prices()


@pytest.mark.parametrize("rule", [name for name in RULE_NAMES if name != "infer"])
@pytest.mark.parametrize("name", ["add", "mul", "shift", "register", "lut", "division", "rng"])
def test_a_missing_price_is_found_without_a_run(rule: str, name: str) -> None:
    with pytest.raises(UserError, match=rf"logic\.{name} is missing"):
        make_pricer(rule, without_logic(name)).check_prices()


@pytest.mark.parametrize(
    ("name", "changes"),
    [("rng", {"precision__weight__rounding": "nearest"}), ("division", {"learning__rule": "infer"})],
)
def test_a_price_that_is_never_needed_may_be_missing(name: str, changes: dict[str, Any]) -> None:
    rule = changes.get("learning__rule", "ottt-o")
    make_pricer(rule, without_logic(name), **changes).check_prices()


@pytest.mark.parametrize(
    ("update", "words"),
    [({"clock_energy": None}, "clock_energy is missing"),
     ({"sram_leakage": None, "technology": leakless_technology()}, "sram_leakage"),
     ({"memories": {k: v for k, v in CHIP.memories.items() if k != "event_fifo"}}, "memories.event_fifo is missing"),
     ({"microarchitecture": "abacus"}, "abacus")],
)  # fmt: skip
def test_anything_else_a_chip_lacks_is_found_without_a_run(update: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        make_pricer("ottt-o", CHIP.model_copy(update=update)).check_prices()


@pytest.mark.parametrize("gates", [Gates(), Gates(False, False, False)], ids=["gates on", "gates off"])
@pytest.mark.parametrize("rule", RULE_NAMES)
def test_the_made_up_sample_has_every_count_that_random_activity_has(rule: str, gates: Gates) -> None:
    for changes in ({}, {"task__repeat": "count", "precision__event__bits": 2, "precision__gradient__frac": 3}):
        spec = make_spec(rule, **changes)
        pricer = Pricer(CHIP, gates, spec)
        made_up = {(c.key, c.widths_bits) for c in pricer.count(eventful_activity(spec, CHIP, True)).counts}
        assert {(c.key, c.widths_bits) for c in pricer.count(random_activity(spec)).counts} <= made_up


def random_activity(spec: CoreSpec, seed: int = 0, n_samples: int = 3) -> Activity:
    totals = np.random.default_rng(seed).integers(30, 60, (spec.n_steps + 1, len(spec.layers), N_FIELDS))
    totals[:, :, FIELD_INDEX["graded_events"]] = 0
    totals[:, 0, FIELD_INDEX["graded_events"]] = 7 if spec.event_bits > 1 else 0
    learning = spec.credit != "none"
    return Activity(totals, n_samples, 2, learning, CHIP.lanes, CHIP.trace_lanes)


@pytest.mark.parametrize("rule", RULE_NAMES)
def test_per_sample_is_the_mean_and_totals_are_sums_of_its_parts(rule: str) -> None:
    pricer = make_pricer(rule)
    activity = random_activity(pricer.spec)
    one, two = pricer.per_sample(activity), pricer.per_sample(activity.plus(activity))
    counted = pricer.count(activity)
    for key in COUNTER_KEYS:
        expected = sum(count.number for count in counted.counts if count.key == key) / 3
        assert one["counts"][key] == pytest.approx(expected)
        assert two["counts"][key] == pytest.approx(expected)
    assert one["cycles"] == pytest.approx(counted.cycles / 3)
    assert one["latency_us"] == pytest.approx(one["cycles"] / CHIP.clock_mhz)
    totals, energy = one["totals"], one["energy_pj"]
    assert totals["memory_accesses"] == pytest.approx(sum(v for k, v in one["counts"].items() if is_memory(k)))
    assert totals["bits_moved"] == pytest.approx(sum(one["bits_moved"].values()))
    assert (totals["macs"], totals["acs"]) == (one["counts"]["mac"], one["counts"]["ac"])
    parts = sum(energy["by_memory"].values()) + sum(energy["by_operation"].values())
    assert energy["total"] == pytest.approx(parts + energy["clock"] + energy["leakage"])
    assert sum(energy["by_kind"].values()) == pytest.approx(energy["total"])
    assert len(energy["by_layer"]) == len(pricer.spec.layers)
    assert sum(energy["by_layer"]) == pytest.approx(parts)
    assert energy["low"] < energy["total"] < energy["high"]
    assert one["average_power_mw"] == pytest.approx(energy["total"] / one["latency_us"] / 1000)
    assert one["energy_delay_pj_us"] == pytest.approx(energy["total"] * one["latency_us"])
    assert sum(phase["energy_pj"] for phase in one["by_phase"].values()) == pytest.approx(parts)
    assert sum(phase["cycles"] for phase in one["by_phase"].values()) == pytest.approx(one["cycles"])


def test_energy_to_accuracy_adds_up_the_epochs_until_the_target_is_first_reached() -> None:
    pricer = make_pricer("ottt-o")
    epochs = [random_activity(pricer.spec, seed) for seed in range(4)]
    spent = [pricer.energy(pricer.count(epoch)).total_pj * 1e-6 for epoch in epochs]
    found = pricer.energy_to_accuracy(epochs, [0.5, 0.8, 0.7, 0.9], 0.8)
    assert found == {"target": 0.8, "energy_uj": pytest.approx(spent[0] + spent[1]), "epoch": 2}
    never = pricer.energy_to_accuracy(epochs, [0.5, 0.8, 0.7, 0.9], 0.95)
    assert never == {"target": 0.95, "energy_uj": None, "epoch": None}
    assert pricer.energy_to_accuracy(epochs, [None] * 4, 0.1)["epoch"] is None


def test_ratios_divide_key_by_key_and_a_base_of_0_gives_none() -> None:
    def cost(energy: float, latency: float, **totals: float) -> dict[str, Any]:
        return {"energy_pj": {"total": energy}, "latency_us": latency, "totals": totals}

    one = cost(6.0, 9.0, memory_accesses=10.0, bits_moved=8.0, macs=3.0, acs=4.0)
    base = cost(2.0, 6.0, memory_accesses=40.0, bits_moved=2.0, macs=0.0, acs=1.0)
    found = ratios(one, {"total": 30}, base, {"total": 20})
    assert found == {"energy": 3.0, "latency": 1.5, "footprint": 1.5, "memory_accesses": 0.25, "bits_moved": 4.0,
                     "macs": None, "acs": 4.0}  # fmt: skip
    assert tuple(found) == RATIO_KEYS


def test_numerics_are_totals_and_what_the_gates_may_skip() -> None:
    spec = make_spec("ottt-o")
    activity = random_activity(spec)
    found = numerics(activity, spec)
    cells = 3 * spec.n_steps
    assert found["saturation"]["weight"] == activity.totals[:, :, FIELD_INDEX["sat_weight"]].sum()
    assert found["underflow"]["error"] == activity.totals[:, :, FIELD_INDEX["underflow_error"]].sum()
    rows = activity.totals[:-1, :, FIELD_INDEX["presynaptic_rows"]].sum()
    assert found["gated"]["rows_with_zero_presynaptic_factor"] == cells * (51 + 7 + 6) - rows
    psi = activity.totals[:-1, :, FIELD_INDEX["psi_nonzero"]].sum()
    assert found["gated"]["rows_with_zero_surrogate"] == cells * (7 + 5) - psi
    words = activity.totals[:-1, :, FIELD_INDEX["signal_words"]].sum()
    assert found["gated"]["words_with_zero_signal"] == cells * 3 - words
    assert numerics(random_activity(make_spec("infer")), spec)["gated"] == {}


def test_the_history_follows_from_the_network_whatever_rules_are_run() -> None:
    sections = [history_section({rule: make_spec(rule)}, CHIP) for rule in RULE_NAMES]
    for section in sections:
        assert section["steps_history_equals_weights"] == sections[0]["steps_history_equals_weights"]
        assert section["steps_history_leaves_chip"] == sections[0]["steps_history_leaves_chip"]
    spec = make_spec("bptt-o")
    by_steps = history_section({"bptt-o": spec}, CHIP)["footprint_by_steps"]
    for steps, bits in zip(by_steps["steps"], by_steps["rules"]["bptt-o"], strict=True):
        assert bits == Pricer(CHIP, Gates(), dataclasses.replace(spec, n_steps=steps)).footprint()["total"]


@pytest.mark.parametrize("rule", RULE_NAMES)
def test_the_memories_of_the_bptt_beside_a_rule_are_those_of_its_run(rule: str) -> None:
    rules = history_section({rule: make_spec(rule)}, CHIP)["footprint_by_steps"]["rules"]
    baseline, has_heads = find_rule(rule).baseline, find_rule(rule).spatial in ("local", "feedback")
    if baseline is None or has_heads:
        assert list(rules) == [rule]
    else:
        assert set(rules) == {rule, baseline}
        run = history_section({baseline: make_spec(baseline)}, CHIP)["footprint_by_steps"]["rules"]
        assert rules[baseline] == run[baseline]


def test_the_event_fifo_leaks_as_a_whole_whatever_the_network_is() -> None:
    register = CHIP.technology.register_
    assert register is not None
    width = 6 + 1  # addresses of 50 inputs, and one bit of magnitude
    leakage, cycles = [], []
    for words in (16, 1616):
        fifo = CHIP.memories["event_fifo"].model_copy(update={"bank_words": words})
        pricer = make_pricer("infer", CHIP.model_copy(update={"memories": {**CHIP.memories, "event_fifo": fifo}}))
        activity = eventful_activity(pricer.spec, pricer.chip, learning=False)
        one = pricer.per_sample(activity)
        leakage.append(one["energy_pj"]["leakage"])
        cycles.append(one["cycles"])
    assert cycles[0] == cycles[1]
    per_bit_nw = register.leakage.value
    latency_us = cycles[0] / CHIP.clock_mhz
    assert leakage[1] - leakage[0] == pytest.approx(1600 * width * per_bit_nw * latency_us * 1e-3)
