"""What does a Pricer do with recorded events, and with memories that lie in DRAM?"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tiny_experiment as tiny

from neurochip.activity import FIELD_INDEX, N_FIELDS, Activity, SampleTrace
from neurochip.chip import Chip, load_chip
from neurochip.counters import STALL_CAUSES
from neurochip.errors import UserError
from neurochip.microarch.footprint import footprint_words
from neurochip.microarch.interface import Gates
from neurochip.network.resolve import Lanes, core_spec
from neurochip.network.shape import Fracs, layer_shapes
from neurochip.pricing import Pricer, eventful_activity
from neurochip.rules.presets import find_rule
from neurochip.spec import CoreSpec

CHIP = load_chip("ottt-core-28nm")
FRACS = Fracs(weight=(7, 6, 5), membrane=(9, 8), trace=(6, 5, 4), error=(7, 6, 5), readout=8)


def make_spec(rule: str) -> CoreSpec:
    experiment = tiny.tiny_experiment()
    shapes = layer_shapes(experiment, 50, 3)
    return core_spec(experiment, find_rule(rule), shapes, FRACS, Lanes(CHIP.lanes, CHIP.trace_lanes))


def with_words(words: dict[str, int], **changes: Any) -> Chip:
    """The packaged chip with one bank of so many words for these memories; 0: without it."""
    memories = dict(CHIP.memories)
    for name, number in words.items():
        if number:
            memories[name] = memories[name].model_copy(update={"banks": 1, "bank_words": number})
        else:
            del memories[name]
    return CHIP.model_copy(update={"memories": memories, **changes})


def inference(spec: CoreSpec, n_samples: int) -> tuple[Activity, SampleTrace]:
    noise = np.random.default_rng(3)
    bitmaps = {
        f"event/{i}": noise.random((n_samples, spec.n_steps, layer.n_in)) < 0.2 for i, layer in enumerate(spec.layers)
    }
    totals = np.zeros((spec.n_steps + 1, len(spec.layers), N_FIELDS), dtype=np.int64)
    for index in range(len(spec.layers)):
        totals[:-1, index, FIELD_INDEX["events"]] = bitmaps[f"event/{index}"].sum(axis=(0, 2))
    activity = Activity(totals, n_samples, 0, False, CHIP.lanes, CHIP.trace_lanes)
    return activity, SampleTrace(np.arange(n_samples), bitmaps)


def test_per_sample_says_how_its_cycles_are_known() -> None:
    spec = make_spec("infer")
    pricer, (activity, trace) = Pricer(CHIP, Gates(), spec), inference(spec, 8)
    exact = pricer.per_sample(activity, trace)
    assert exact["cycles_sampled"] is None
    assert tuple(exact["stalls"]) == STALL_CAUSES
    some = SampleTrace(trace.sample_indices[:4], {name: bits[:4] for name, bits in trace.bitmaps.items()})
    estimate, serial = pricer.per_sample(activity, some), pricer.per_sample(activity)
    assert estimate["cycles"] == pytest.approx(exact["cycles"], rel=0.1)
    assert {key: estimate["cycles_sampled"][key] for key in ("n_recorded", "n_samples")} == {
        "n_recorded": 4,
        "n_samples": 8,
    }
    assert 0 < estimate["cycles_sampled"]["half_width"] < 0.1 * exact["cycles"]
    assert serial["cycles_sampled"]["n_recorded"] == 0
    assert exact["cycles"] < serial["cycles"] <= exact["cycles"] + serial["cycles_sampled"]["half_width"]
    for result in (exact, estimate, serial):
        assert sum(phase["cycles"] for phase in result["by_phase"].values()) == pytest.approx(result["cycles"])


@pytest.mark.parametrize("words", [0, 3])
def test_a_history_that_does_not_fit_is_priced_as_dram_and_does_not_leak(words: int) -> None:
    spec = make_spec("bptt")
    chip = with_words({"history": words}, overflow="dram")
    here, there = Pricer(CHIP, Gates(), spec), Pricer(chip, Gates(), spec)
    assert there.check() == {}
    activity = eventful_activity(spec, chip, True)
    on_chip, off_chip = here.per_sample(activity), there.per_sample(activity)
    assert off_chip["counts"]["dram_read"] == on_chip["counts"]["history_read"] > 0
    assert off_chip["counts"]["history_read"] == 0
    assert off_chip["energy_pj"]["by_memory"]["dram"] > on_chip["energy_pj"]["by_memory"]["history"]
    assert "history" not in off_chip["energy_pj"]["by_memory"]
    assert off_chip["stalls"]["dram"] > 0 == on_chip["stalls"]["dram"]
    per_cycle = [result["energy_pj"]["leakage"] / result["cycles"] for result in (on_chip, off_chip)]
    assert per_cycle[1] < per_cycle[0]  # power of the history banks is gone


def test_what_cannot_move_must_fit() -> None:
    spec = make_spec("ottt-o")
    for name in ("neuron", "trace", "error"):
        needed = footprint_words(spec, CHIP)[name]
        chip = with_words({name: needed - 1}, overflow="dram")
        with pytest.raises(UserError, match=rf"memories\.{name} holds {needed - 1} words"):
            Pricer(chip, Gates(), spec).check()
    refused = with_words({"synapse": 1}, overflow="refuse")
    with pytest.raises(UserError, match=r"memories\.synapse holds 1 words"):
        Pricer(refused, Gates(), spec).check()
    assert Pricer(with_words({"synapse": 1}, overflow="dram"), Gates(), spec).check() == {}
