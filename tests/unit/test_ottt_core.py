"""Does the closed form of `ottt_core` count what a walk over events, rows and words counts?

The walk (ottt_core_walker.py) has no formulas: it visits hand-made bitmaps one event, row and word at a time and logs
every access and operation. Clocks: test_ottt_core_groups.py and test_ottt_core_clocks.py.
"""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import ottt_core_bitmaps as given
import pytest
from ottt_core_walker import Walker

from neurochip.counters import COUNTER_KEYS, PHASES, STALL_CAUSES, is_memory, memory_of, totals
from neurochip.errors import UserError
from neurochip.microarch import Counted, Gates, list_microarchitectures, microarchitecture, per_sample
from neurochip.microarch.ottt_core import count
from neurochip.spec import CoreSpec

core_spec, chip_with, L, SIZES, RULES = given.core_spec, given.chip_with, given.L, given.SIZES, given.RULES
EVERY_GATE = [Gates(*switches) for switches in itertools.product((True, False), repeat=3)]


def compare(spec: CoreSpec, chip: Any, gates: Gates = EVERY_GATE[0], seed: int = 1) -> Counted:
    """Hold the closed form against the walk, record by record."""
    moments, gradients = given.make_moments(spec, seed), given.make_gradients(seed)
    counted = count(given.make_activity(spec, moments, gradients), spec, chip, gates)
    walked = Walker(spec, chip, gates).run(moments, gradients)
    assert {(c.key, c.phase, c.layer, c.widths_bits): c.number for c in counted.counts} == dict(walked.log)
    return counted


def counted_example(rule: str, chip: Any, **changes: object) -> Counted:
    spec = core_spec(rule, **changes)
    moments, gradients = given.make_moments(spec, 2), given.make_gradients(2)
    return count(given.make_activity(spec, moments, gradients), spec, chip, trace=given.make_trace(spec, moments))


@pytest.mark.parametrize("gates", EVERY_GATE, ids=str)
@pytest.mark.parametrize("ports", ["1rw", "1r1w"])
@pytest.mark.parametrize("rule", RULES)
def test_counts_equal_the_walk(rule: str, ports: str, gates: Gates) -> None:
    compare(core_spec(rule), chip_with(ports), gates)


@pytest.mark.parametrize("gates", [Gates(), Gates(False, False, False)], ids=str)
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    ("changes", "layer_changes"),
    [
        ({"event_bits": 3}, {}),
        ({"weight_rounding": "nearest"}, {"bias": False}),
        ({"mse_share_q": 13, "reset_path": "exact"}, {"leak_kind": "constant", "trace_leak_kind": "constant"}),
        ({"trace_gate": 2}, {"reset": "zero"}),
        ({}, {"keeps_trace": False}),
        ({"event_bits": 2}, {"frac_gradient": 3}),
    ],
)
def test_every_option_is_counted_as_walked(
    rule: str, changes: dict[str, object], layer_changes: dict[str, object], gates: Gates
) -> None:
    compare(core_spec(rule, layer_changes, **changes), chip_with("1rw"), gates, seed=3)


@pytest.mark.parametrize("gates", EVERY_GATE, ids=str)
@pytest.mark.parametrize("off_chip", [("history",), ("gradient",), ("synapse",), ("history", "gradient", "synapse")])
@pytest.mark.parametrize("rule", ["ottt-o", "bptt-o", "bptt"])
def test_words_in_dram_are_counted_as_walked(rule: str, off_chip: tuple[str, ...], gates: Gates) -> None:
    spec = core_spec(rule)
    counted = compare(spec, given.without(chip_with("1rw"), *off_chip), gates)
    keys = {item.key for item in counted.counts}
    needed = {"bptt": {"history", "gradient", "synapse"}, "bptt-o": {"history", "synapse"}, "ottt-o": {"synapse"}}
    assert ("dram_read" in keys) == bool(needed[rule] & set(off_chip))
    assert {memory_of(key) for key in keys if is_memory(key)}.isdisjoint(off_chip)


def test_each_gate_that_is_off_costs_more() -> None:
    every_on = compare(core_spec("ottt-o"), chip_with("1rw"), Gates())
    for off in (Gates(zero_trace=False), Gates(zero_error=False), Gates(zero_surrogate=False)):
        assert compare(core_spec("ottt-o"), chip_with("1rw"), off).cycles > every_on.cycles


@pytest.mark.parametrize("ports", ["1rw", "1r1w"])
@pytest.mark.parametrize("rule", RULES)
def test_no_phase_makes_more_accesses_than_its_cycles_have_ports(rule: str, ports: str) -> None:
    counted = counted_example(rule, chip_with(ports))
    made: dict[tuple[str, str], float] = {}
    for item in counted.counts:
        if is_memory(item.key) and memory_of(item.key) != "event_fifo":
            # One port serves both directions of a 1rw memory. FIRE and DELIVER share the clocks of their groups.
            port = item.key if ports == "1r1w" else memory_of(item.key)
            phase = "forward" if item.phase in ("fire", "deliver") else item.phase
            made[phase, port] = made.get((phase, port), 0.0) + item.number
    assert made
    cycles = {**counted.cycles_by_phase}
    cycles["forward"] = cycles["fire"] + cycles["deliver"]
    for (phase, _), number in made.items():
        assert number <= cycles[phase]


@pytest.mark.parametrize("rule", RULES)
def test_keys_and_phases_are_those_of_the_counter_table(rule: str) -> None:
    counted = counted_example(rule, chip_with("1rw"))
    assert {item.key for item in counted.counts} <= set(COUNTER_KEYS)
    assert {item.phase for item in counted.counts} <= set(PHASES)
    assert tuple(counted.cycles_by_phase) == PHASES
    assert tuple(counted.stalls) == STALL_CAUSES
    assert all(item.number > 0 and min(item.widths_bits) >= 1 for item in counted.counts)


def test_a_learning_rule_without_learning_counts_as_inference() -> None:
    spec, plain = core_spec("ottt-o"), core_spec("infer")
    activity = given.make_activity(plain, given.make_moments(plain, 4), [])
    assert count(activity, spec, chip_with("1rw")) == count(activity, plain, chip_with("1rw"))


def test_per_sample_divides_every_number() -> None:
    whole = counted_example("bptt", chip_with("1rw"))
    mean = per_sample(whole, 4)
    assert totals(mean.counts) == {key: number / 4 for key, number in totals(whole.counts).items()}
    assert mean.cycles == whole.cycles / 4 == pytest.approx(sum(mean.cycles_by_phase.values()))
    assert mean.stalls == {cause: clocks / 4 for cause, clocks in whole.stalls.items()}
    with pytest.raises(UserError, match="at least 1 sample, not 0"):
        per_sample(whole, 0)


def test_learning_activity_of_another_word_width_is_refused() -> None:
    with pytest.raises(UserError, match=r"lanes of the chip is 8, but the activity was recorded in words of 4"):
        counted_example("ottt-o", dataclasses.replace(chip_with("1rw"), lanes=8))
    with pytest.raises(UserError, match=r"trace_lanes of the chip is 5"):
        counted_example("ottt-o", dataclasses.replace(chip_with("1rw"), trace_lanes=5))


def test_inference_activity_serves_a_chip_of_any_word_width() -> None:
    narrow, wide = (
        counted_example("infer", dataclasses.replace(chip_with("1rw"), lanes=lanes)) for lanes in (L, 2 * max(SIZES))
    )
    assert totals(wide.counts)["synapse_read"] < totals(narrow.counts)["synapse_read"]
    assert totals(wide.counts)["ac"] == totals(narrow.counts)["ac"]


def test_unusable_input_is_named() -> None:
    chip = chip_with("1rw")
    spec = core_spec("infer")
    activity = given.make_activity(spec, given.make_moments(spec, 1), [])
    with pytest.raises(UserError, match="3 layers and 3 steps; the network has 3 layers and 9 steps"):
        count(activity, core_spec("infer", n_steps=9), chip)
    del chip.memories["gradient"]
    with pytest.raises(UserError, match=r"no memory memories\.gradient"):
        counted_example("ottt-a", chip)
    chip.memories["neuron"] = given.Ports("2rw")
    with pytest.raises(UserError, match=r'memories\.neuron\.ports of the chip is "2rw"; allowed are 1rw, 1r1w'):
        counted_example("ottt-o", chip)


def test_the_registry_finds_it_and_names_what_there_is() -> None:
    assert microarchitecture("ottt_core").count is count
    assert "ottt_core" in [entry.name for entry in list_microarchitectures()]
    with pytest.raises(UserError, match=r'microarchitecture = "none" is unknown; allowed are .*ottt_core'):
        microarchitecture("none")
