"""Does each rule use what it is given: the most neurons and steps that fit, and just the banks it fills?"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import pytest
import synthetic_rules as made

from neurochip.equal_silicon import equal_area, equal_sram, footprint_total, just_enough, steps_within, with_hidden
from neurochip.microarch.footprint import footprint_words
from neurochip.priced import PricedRule

GROUP = ["ottt-o", "sltt-o", "bptt-o", "ottt-a", "bptt", "infer"]


@functools.cache
def rules() -> dict[str, PricedRule]:
    return {name: made.priced(name, n_samples=2) for name in GROUP}


@functools.cache
def sram() -> dict[str, dict[str, Any]]:
    return {one["group"]: one for one in equal_sram(list(rules().values()))}


@functools.cache
def areas() -> dict[str, dict[str, Any]]:
    found = equal_area([(one, one.counted()) for one in rules().values()])
    assert found is not None
    return {one["rule"]: one for one in found}


def total(rule: str, **changes: Any) -> int:
    return footprint_total(dataclasses.replace(rules()[rule].pricer.spec, **changes))


def test_groups_of_two_or_more_are_compared_at_their_largest_footprint() -> None:
    assert list(sram()) == ["without gradient memory", "with gradient memory"]
    for section in sram().values():
        needed = {entry["rule"]: entry["footprint_bits"] for entry in section["rules"]}
        assert section["bits"] == max(needed.values()) == needed[section["largest"]]
        for rule, bits in needed.items():
            assert bits == sum(rules()[rule].pricer.footprint().values()) / 2  # the total stands beside its parts
    assert equal_sram([rules()["bptt"], rules()["infer"]]) == []


def test_the_hidden_layer_is_the_widest_that_fits() -> None:
    for section in sram().values():
        for entry in section["rules"]:
            spec = rules()[entry["rule"]].pricer.spec
            (hidden,) = entry["hidden"]
            assert hidden >= 40
            assert entry["scale"] == hidden / 40
            fits, too_wide = (with_hidden(spec, (n + 0.5) / 40) for n in (hidden, hidden + 1))
            assert fits.layers[0].n_out == fits.layers[1].n_in == hidden
            assert footprint_total(fits) <= section["bits"] < footprint_total(too_wide)


@pytest.mark.parametrize(("rule", "group"), [("bptt-o", "without gradient memory"), ("bptt", "with gradient memory")])
def test_steps_are_the_most_that_fit_the_memory_of_each_rule(rule: str, group: str) -> None:
    entries = {entry["rule"]: entry for entry in sram()[group]["rules"]}
    for other, steps in entries[rule]["steps_at"].items():
        bits = entries[other]["footprint_bits"]
        if steps is None:
            assert total(rule, n_steps=1) > bits
        else:
            assert total(rule, n_steps=steps) <= bits < total(rule, n_steps=steps + 1)
    assert entries[rule]["steps"] >= 12
    assert all(entries[name]["steps"] is None for name in entries if name != rule)


def test_steps_within_known_bits() -> None:
    spec = rules()["bptt-o"].pricer.spec
    for steps in (1, 2, 100, 1000):
        bits = footprint_total(dataclasses.replace(spec, n_steps=steps))
        assert (steps_within(spec, bits), steps_within(spec, bits - 1)) == (steps, steps - 1 or None)


def test_sentences_name_the_rule_its_steps_and_whose_memory_it_is() -> None:
    entry = next(one for one in sram()["without gradient memory"]["rules"] if one["rule"] == "bptt-o")
    (sentence,) = sram()["without gradient memory"]["sentences"]
    assert f"T = {entry['steps_at']['ottt-o']} with the SRAM of ottt-o" in sentence


@pytest.mark.parametrize("rule", GROUP)
def test_banks_are_just_enough(rule: str) -> None:
    pricer = rules()[rule].pricer
    chip = just_enough(pricer)
    words = footprint_words(pricer.spec, pricer.chip)
    for name, memory in chip.memories.items():
        if name == "event_fifo":
            assert memory == made.CHIP.memories[name]
        elif words[name]:
            assert memory.words >= words[name] > memory.words - memory.bank_words
            assert memory.bank_words == made.CHIP.memories[name].bank_words
        else:
            assert memory.words == 1
    dataclasses.replace(pricer, chip=chip).check()


def test_a_memory_that_fills_its_banks_gets_no_further_one() -> None:
    pricer = rules()["sltt-o"].pricer
    words = footprint_words(pricer.spec, pricer.chip)["synapse"]
    synapse = made.CHIP.memories["synapse"].model_copy(update={"bank_words": words // 2})
    assert words % 2 == 0
    chip = made.CHIP.model_copy(update={"memories": {**made.CHIP.memories, "synapse": synapse}})
    assert just_enough(dataclasses.replace(pricer, chip=chip)).memories["synapse"].banks == 2


def test_energy_stays_and_area_follows_what_is_stored() -> None:
    for rule, row in areas().items():
        per_sample = rules()[rule].pricer.per_sample(rules()[rule].activity, rules()[rule].trace)
        assert row["energy_pj"] == pytest.approx(per_sample["energy_pj"]["total"])
        assert row["energy_delay_pj_us"] == pytest.approx(row["energy_pj"] * row["latency_us"])
        assert row["energy_delay_area_pj_us_mm2"] == pytest.approx(row["energy_delay_pj_us"] * row["area_mm2"])
        assert row["samples_per_s_mm2"] * row["area_mm2"] * row["latency_us"] == pytest.approx(1e6)
        assert row["area_mm2"] < rules()[rule].pricer.area().total_mm2
    assert areas()["infer"]["area_mm2"] < areas()["sltt-o"]["area_mm2"] < areas()["ottt-o"]["area_mm2"]
    assert areas()["bptt-o"]["area_mm2"] < areas()["bptt"]["area_mm2"]
    ratio = areas()["ottt-o"]["ratio_to_bptt"]["area_mm2"]
    assert ratio == pytest.approx(areas()["ottt-o"]["area_mm2"] / areas()["bptt-o"]["area_mm2"])
    assert areas()["infer"]["ratio_to_bptt"] is None


def test_without_areas_there_is_no_table() -> None:
    bare = made.CHIP.model_copy(update={"datapath": ()})
    priced = made.priced("ottt-o", bare, n_samples=2)
    assert equal_area([(priced, priced.counted())]) is None
