"""What standardisation costs: counts, clocks and area of docs/microarchitecture.md, section 8.1, and who refuses it.

The chip of the counts is that of test_ottt_core_clocks.py: L = 4, P = 6, ρ = 1, D = 24. A 1rw memory: II = 2, λ₁ = 7,
d = 6. A 1r1w memory: II = 1, λ₁ = 7, d = 7. Layer 1 is 10 x 6: N_w = 10, c = 6, W = 2, k = 4, b = 8.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import ottt_core_bitmaps as given
import pytest
import synthetic_rules as made

from neurochip.activity import FIELD_INDEX, N_FIELDS, Activity, SampleTrace
from neurochip.activity_hdf5 import read_activities, write_activities
from neurochip.cost.area import CONTROL, area, unit_area
from neurochip.counters import PHASES
from neurochip.errors import UserError
from neurochip.microarch import reckon_count, replay
from neurochip.microarch.footprint import spilled_memories
from neurochip.microarch.interface import Gates
from neurochip.microarch.multicore import fitted_split
from neurochip.microarch.ottt_core import count
from neurochip.microarch.ottt_core_standardise import units
from neurochip.pricing import Pricer
from neurochip.spec import CoreSpec
from neurochip.steps import EnergyOfSteps
from neurochip.synthetic import activity_of_drawing

CONSTANT = 0b1011 << 20  # 24 bits
TIMES = 3


def standardised(spec: CoreSpec, *layers: int, every: int = 2) -> CoreSpec:
    changed = (
        dataclasses.replace(layer, standardise_constant=CONSTANT if index in layers else 0)
        for index, layer in enumerate(spec.layers)
    )
    return dataclasses.replace(spec, layers=tuple(changed), standardise_every=every)


def silent(spec: CoreSpec, learning: bool = True, times: int = TIMES) -> Activity:
    totals = np.zeros((spec.n_steps + 1, len(spec.layers), N_FIELDS), dtype=np.int64)
    return Activity(totals, 4, 0, learning, given.L, given.M, times)


def phase_of(spec: CoreSpec, ports: str = "1rw", **options: Any) -> dict[tuple[str, int, tuple[int, ...]], float]:
    counted = count(silent(spec, **options), spec, given.chip_with(ports))
    return {(c.key, c.layer, c.widths_bits): c.number for c in counted.counts if c.phase == "standardise"}


def test_counts_by_hand() -> None:
    columns, weights = TIMES * 6, TIMES * 60
    assert phase_of(standardised(given.core_spec("ottt-o"), 1)) == {
        ("synapse_read", 1, (32,)): TIMES * 2 * 10 * 2,
        ("synapse_write", 1, (32,)): TIMES * 10 * 2,
        ("add", 1, (12,)): weights,
        ("mac", 1, (8, 8, 20)): weights,
        ("mac", 1, (5, 8, 13)): weights,
        ("mul", 1, (13, 32)): weights,
        ("shift", 1, (45,)): weights,
        ("mul", 1, (5, 20)): columns,
        ("mul", 1, (12, 12)): columns,
        ("add", 1, (24,)): columns,
        ("div", 1, (24, 12)): columns * (1 + (CONSTANT.bit_length() == 24)),
    }


def test_root_and_quotient_have_widths_of_their_own() -> None:
    found = phase_of(standardised(given.core_spec("ottt-o", weight_bits=6), 1))
    assert {key: number for key, number in found.items() if key[0] == "div"} == {
        ("div", 1, (20, 10)): TIMES * 6,
        ("div", 1, (24, 10)): TIMES * 6,
    }


@pytest.mark.parametrize(
    ("ports", "cycles", "stalls"),
    [
        # 2 words: 10 + 7 + 20 + 6 clocks; 6 columns of a root and a quotient.
        ("1rw", TIMES * (2 * 43 + 2 * 24 * 6), {"port": TIMES * 20, "latency": TIMES * 2 * 13}),
        ("1r1w", TIMES * (2 * 34 + 2 * 24 * 6), {"latency": TIMES * 2 * 14}),
    ],
)
def test_clocks_by_hand(ports: str, cycles: int, stalls: dict[str, int]) -> None:
    spec = given.core_spec("ottt-o")
    with_it, without = (
        count(silent(one), one, given.chip_with(ports)) for one in (standardised(spec, 1), standardised(spec))
    )
    assert with_it.cycles_by_phase["standardise"] == cycles == with_it.cycles - without.cycles
    more = Counter(with_it.stalls)
    more.subtract(without.stalls)
    assert +more == stalls


def test_layers_add_up() -> None:
    spec = given.core_spec("bptt")
    each = [phase_of(standardised(spec, index)) for index in range(3)]
    assert phase_of(standardised(spec, 0, 1, 2)) == each[0] | each[1] | each[2]
    assert len({key[1] for one in each for key in one}) == 3


def test_nothing_is_counted_without_learning_or_a_standardisation() -> None:
    spec = standardised(given.core_spec("ottt-o"), 1)
    assert phase_of(spec, learning=False) == phase_of(spec, times=0) == {}
    frozen = dataclasses.replace(spec.layers[1], learns=False)
    assert phase_of(dataclasses.replace(spec, layers=(spec.layers[0], frozen, spec.layers[2]))) == {}
    assert phase_of(standardised(given.core_spec("infer"), 1)) == {}


def test_weights_in_dram_are_refused() -> None:
    spec = standardised(given.core_spec("bptt"), 1)
    with pytest.raises(UserError, match=r"synapse holds 0 words but .*\(learning.standardise_every = 2, allowed is 0"):
        spilled_memories(spec, given.without(given.chip_with("1rw"), "synapse"))
    others = given.without(given.chip_with("1rw"), "history", "gradient")
    assert spilled_memories(spec, others) == {"history", "gradient"}
    assert count(silent(spec), spec, others).cycles_by_phase["standardise"] > 0
    for allowed in (dataclasses.replace(spec, standardise_every=0), standardised(given.core_spec("infer"), 1)):
        assert "synapse" in spilled_memories(allowed, given.without(given.chip_with("1rw"), "synapse"))


def test_the_other_microarchitectures_refuse_it() -> None:
    spec, chip = standardised(given.core_spec("ottt-o"), 1), given.chip_with("1rw")
    for refuse, name in ((fitted_split, "ottt_mesh"), (reckon_count.storage, "reckon")):
        with pytest.raises(UserError, match=f"{name} takes chains.*not learning.standardise_every = 2; choose a chip"):
            refuse(spec, chip)


def test_units_are_as_wide_as_the_widest_layer_needs() -> None:
    spec = standardised(given.core_spec("ottt-o"), 0, 1)  # k = 3 and 4
    assert units(spec) == {
        ("add", "lane"): (24,),
        ("mac", "lane"): (8, 8, 20),
        ("mul", "lane"): (32, 13),
        ("shift", "lane"): (45,),
        ("div", "core"): (24, 12),
    }
    assert units(given.core_spec("ottt-o")) == units(standardised(given.core_spec("infer"), 1)) == {}


WORDS = {"event_fifo": 12, "synapse": 128, "neuron": 256, "trace": 128, "error": 128, "gradient": 384, "history": 128}


def test_the_largest_unit_of_an_operation_is_built_wider() -> None:
    chip = made.CHIP
    before = area(chip, WORDS).by_part
    found = area(chip, WORDS, {("mul", "lane"): (32, 13), ("shift", "lane"): (45,), ("div", "core"): (24, 12)}).by_part

    def um2(operation: str, *widths: int) -> float:
        return unit_area(operation, widths, chip.technology).um2 * 1e-6

    assert found["mul"] == pytest.approx(chip.lanes * um2("mul", 32, 13))  # in place of 8 x 24
    assert before["mul"] == pytest.approx(chip.lanes * um2("mul", 8, 24))
    assert found["shift"] - before["shift"] == pytest.approx(chip.lanes * (um2("shift", 45) - um2("shift", 32)))
    assert found["div"] == before["div"]  # its divisor has 18 bits as it is
    others = set(before) - {"mul", "shift", CONTROL}
    assert {name: found[name] for name in others} == {name: before[name] for name in others}


def test_a_unit_that_is_missing_is_added_and_one_that_is_wide_enough_stays() -> None:
    chip = made.CHIP.model_copy(update={"datapath": tuple(u for u in made.CHIP.datapath if u.operation != "mac")})
    added = area(chip, WORDS, {("mac", "lane"): (9, 8, 40)}).by_part["mac"]
    assert added == pytest.approx(chip.lanes * unit_area("mac", (9, 8, 40), chip.technology).um2 * 1e-6)
    assert "mac" not in area(chip, WORDS).by_part
    narrow = {("mac", "lane"): (8, 5, 20), ("mul", "lane"): (8, 8), ("add", "lane"): (24,), ("div", "core"): (60, 18)}
    assert area(made.CHIP, WORDS, narrow) == area(made.CHIP, WORDS)


def test_a_rule_that_standardises_takes_more_area_and_has_a_price() -> None:
    spec = made.spec_of("ottt-o")
    plain, with_it = (Pricer(made.CHIP, Gates(), one) for one in (spec, standardised(spec, 0)))
    assert with_it.area().total_mm2 > 1.001 * plain.area().total_mm2
    with_it.check_prices()
    trace = made.draw_trace(made.ASSUMED, spec, 6, 5)
    activity = activity_of_drawing(trace, with_it.spec, made.CHIP.lanes, made.CHIP.trace_lanes)
    numbers = with_it.per_sample(activity, trace)
    assert set(numbers["by_phase"]) == set(PHASES)
    assert numbers["by_phase"]["standardise"]["energy_pj"] > 0
    assert plain.per_sample(dataclasses.replace(activity, n_standardisations=0), trace)["by_phase"]["standardise"] == {
        "energy_pj": 0.0,
        "cycles": 0.0,
    }


def test_it_comes_once_per_sample_however_many_steps_there_are() -> None:
    plain = made.priced("ottt-o")
    spec = standardised(plain.pricer.spec, 0)
    pricer = dataclasses.replace(plain.pricer, spec=spec)
    activity = dataclasses.replace(plain.activity, n_standardisations=3)
    more = dataclasses.replace(plain, pricer=pricer, activity=activity)
    energy, base = EnergyOfSteps(more, more.counted()), EnergyOfSteps(plain, plain.counted())
    extra = [energy(steps) - base(steps) for steps in (3, 12, 24, 96)]
    assert extra[0] > 0
    assert extra == pytest.approx([extra[0]] * 4, rel=0.005)  # sums of more steps are wider, and leak the longer


@pytest.mark.parametrize(("every", "times"), [(1, 6), (2, 3), (4, 2), (7, 1)])
def test_a_drawing_standardises_as_often_as_an_epoch_of_so_many_samples(every: int, times: int) -> None:
    for rule in ("ottt-o", "ottt-a"):
        spec = standardised(made.spec_of(rule), 0, every=every)
        activity = activity_of_drawing(made.draw_trace(made.ASSUMED, spec, 6, 5), spec, 4, 4)
        assert activity.n_standardisations == times
    infer = standardised(made.spec_of("infer"), 0, every=every)
    assert activity_of_drawing(made.draw_trace(made.ASSUMED, infer, 6, 5), infer, 4, 4).n_standardisations == 0


def test_replayed_samples_standardise_in_the_proportion_of_the_epoch() -> None:
    spec = made.spec_of("ottt-o")
    trace = made.draw_trace(made.ASSUMED, spec, 4, 5)
    run = dataclasses.replace(activity_of_drawing(trace, spec, 4, 4), n_samples=6, n_standardisations=5)
    run.totals[-1, 0, FIELD_INDEX["sat_weight"]] = 7
    epoch = replay.replayed_epoch(run, trace, spec, 4, 4)
    assert (epoch.n_samples, epoch.n_standardisations, epoch.n_applies) == (12, 10, 0)
    assert epoch.totals[-1].sum() == epoch.totals[-1, 0, FIELD_INDEX["sat_weight"]] == 14
    assert replay.at_word_widths(run, trace, spec, 5, 3).n_standardisations == 5
    few = SampleTrace(trace.sample_indices[:1], {name: bitmap[:1] for name, bitmap in trace.bitmaps.items()})
    assert replay.activity_of_trace(few, spec, 4, 4, True).n_standardisations == 0


def test_a_file_keeps_the_number_and_one_without_it_has_none(tmp_path: Path) -> None:
    import h5py

    activities = [silent(given.core_spec("ottt-o"), times=times) for times in (3, 0, 9)]
    with h5py.File(tmp_path / "activity.h5", "w") as file:
        write_activities(file.create_group("train"), activities)
    with h5py.File(tmp_path / "activity.h5", "r+") as file:
        assert [one.n_standardisations for one in read_activities(file["train"])] == [3, 0, 9]
        del file["train/n_standardisations"]
        assert [one.n_standardisations for one in read_activities(file["train"])] == [0, 0, 0]


def test_passes_add_up() -> None:
    one = silent(given.core_spec("ottt-o"))
    assert one.plus(dataclasses.replace(one, n_standardisations=4)).n_standardisations == TIMES + 4
