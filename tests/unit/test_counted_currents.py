"""What a synaptic current adds to the counts of `ottt_core`: by hand, and against the same network without it."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import ottt_core_bitmaps as given
import pytest
from multicore_networks import mesh_chip

from neurochip.activity import FIELD_INDEX, N_FIELDS, Activity
from neurochip.config import load_experiment
from neurochip.errors import UserError
from neurochip.estimate import Asked, draw_point
from neurochip.microarch import Gates, footprint_words, microarchitecture
from neurochip.microarch.ottt_core import count
from neurochip.network.named import NamedNetwork
from neurochip.priced import PricedRule
from neurochip.spec import CoreSpec

Key = tuple[str, int, str, tuple[int, ...]]  # phase, layer, counter, widths
SHIFT, CONSTANT = {"current_leak_shift": 2}, {"current_leak_constant": 50000}
INPUTS, CLASSES = 2 * 4 * 4, 5

# --- by hand: 5-6-3 in words of L = 4; 2 samples of 3 steps, so NT = NU = NL = 6


def small_spec(rule: str) -> CoreSpec:
    """6 neurons (u: leak 1 - 2^-1, i: a constant), a leaky readout of 3 classes (z: 1 - 2^-2, i: 1 - 2^-1), no bias."""
    hidden = given.layer_spec(
        0, n_in=5, n_out=6, keeps_trace=False, current_leak_kind="constant", current_leak_value=50000
    )
    readout = given.layer_spec(
        2, n_in=6, n_out=3, keeps_trace=False, leak_kind="shift", leak_value=2, bias=False, current_leak_kind="shift",
        current_leak_value=1,
    )  # fmt: skip
    layers = (hidden, readout)
    return given.core_spec(rule, layers=layers, surrogate_bits=5, weight_rounding="nearest")


def small_activity(learning: bool, *layers: dict[str, int]) -> Activity:
    totals = np.zeros((given.T + 1, len(layers), N_FIELDS), dtype=np.int64)
    for index, fields in enumerate(layers):
        for name, number in fields.items():
            totals[0, index, FIELD_INDEX[name]] = number
    return Activity(totals, 2, 0, learning, given.L, given.M)


def counts_of(spec: CoreSpec, activity: Activity, *phases: str) -> dict[Key, float]:
    counted = count(activity, spec, given.chip_with("1rw"))
    return {(c.phase, c.layer, c.key, c.widths_bits): c.number for c in counted.counts if c.phase in phases}


FORWARD = (
    {"events": 8, "deliver_taps": 8, "spikes": 5, "psi_nonzero": 10},
    {"events": 5, "deliver_taps": 5},
)


def test_the_forward_counts_of_a_small_network_by_hand() -> None:
    word, z_word, sum_word = 2 * 4 * 16, 2 * 4 * 22, 4 * (22 + 2)  # pairs (u, i), pairs (z, i), Σz alone
    assert counts_of(small_spec("infer"), small_activity(False, *FORWARD), "deliver", "fire") == {
        # 8 events and the bias of 6 steps, 2 words each; the sums are still those of 16 bits.
        ("deliver", 0, "event_fifo_write", (3 + 1,)): 8, ("deliver", 0, "event_fifo_read", (3 + 1,)): 8,
        ("deliver", 0, "synapse_read", (32,)): 28,
        ("deliver", 0, "neuron_read", (word,)): 28, ("deliver", 0, "neuron_write", (word,)): 28,
        ("deliver", 0, "ac", (16,)): 48, ("deliver", 0, "add", (16,)): 36,
        ("fire", 0, "neuron_read", (word,)): 12, ("fire", 0, "neuron_write", (word,)): 12,
        ("fire", 0, "compare", (16,)): 36, ("fire", 0, "shift", (16,)): 36,
        ("fire", 0, "add", (16,)): 36 + 5 + 36,  # leak of u; resets; u + i
        ("fire", 0, "mul", (16, 16)): 36,  # leak of i
        ("deliver", 1, "event_fifo_write", (3 + 1,)): 5, ("deliver", 1, "event_fifo_read", (3 + 1,)): 5,
        ("deliver", 1, "synapse_read", (32,)): 5,
        ("deliver", 1, "neuron_read", (z_word,)): 5, ("deliver", 1, "neuron_write", (z_word,)): 5,
        ("deliver", 1, "ac", (22,)): 15,
        ("fire", 1, "neuron_read", (z_word,)): 6, ("fire", 1, "neuron_write", (z_word,)): 6,
        ("fire", 1, "neuron_read", (sum_word,)): 6, ("fire", 1, "neuron_write", (sum_word,)): 6,
        ("fire", 1, "shift", (22,)): 18 + 18,  # leaks of z and i
        ("fire", 1, "add", (22,)): 18 + 18 + 18,  # the same, and z + i
        ("fire", 1, "add", (24,)): 18,  # Σz
    }  # fmt: skip


def test_the_errors_of_a_small_unrolled_network_by_hand() -> None:
    pairs = 2 * 4 * 13  # (ε, δ)
    back = {"psi_rows": 10, "error_words": 9, "error_products": 20, "signal_steps": 4, "signal_words": 4}
    activity = small_activity(True, FORWARD[0], FORWARD[1] | back)
    assert counts_of(small_spec("bptt-o"), activity, "error") == {
        ("error", 1, "compare", (22,)): 18, ("error", 1, "add", (22,)): 18, ("error", 1, "shift", (22,)): 18,
        ("error", 1, "lut", (8, 16)): 18, ("error", 1, "add", (16 + 2,)): 18, ("error", 1, "div", (16 + 6, 16 + 2)): 18,
        ("error", 1, "add", (9,)): 18,
        # e into δ of the readout, and that into ε: leaks are a shift and an add each.
        ("error", 1, "error_write", (pairs,)): 6,
        ("error", 1, "shift", (13,)): 18 + 18, ("error", 1, "add", (13,)): 2 * (18 + 18),
        ("error", 1, "error_read", (pairs,)): 6 + 9,  # the words of 6 steps; beside the rows of W
        ("error", 1, "synapse_read", (32,)): 9, ("error", 1, "mac", (8, 13, 32)): 20,
        # d and g of the 10 neurons with ψ ≠ 0, then δ and ε of 6 neurons in 6 steps: 2 words a step.
        ("error", 0, "shift", (32,)): 10, ("error", 0, "mul", (9, 5)): 10, ("error", 0, "shift", (9 + 5,)): 10,
        ("error", 0, "error_read", (pairs,)): 12, ("error", 0, "error_write", (pairs,)): 12,
        ("error", 0, "shift", (13,)): 36, ("error", 0, "add", (13,)): 36 + 36 + 36,  # leak of δ; g; δ into ε
        ("error", 0, "mul", (13, 16)): 36,  # leak of ε
    }  # fmt: skip


def test_the_update_reads_pairs_and_multiplies_by_one_of_them() -> None:
    fields = {"signal_nonzero": 7, "update_rows": 6, "update_words": 11, "update_products": 30, "signal_steps": 3}
    activity = small_activity(True, FORWARD[0] | fields, FORWARD[1])
    counts = counts_of(small_spec("bptt-o"), activity, "update")
    assert counts["update", 0, "error_read", (2 * 4 * 13,)] == 11
    assert counts["update", 0, "synapse_read", (32,)] == counts["update", 0, "synapse_write", (32,)] == 11
    assert counts["update", 0, "mul", (4, 13)] == 7
    assert counts["update", 0, "ac", (4 + 13,)] == 30


def test_a_trace_rule_keeps_signals_as_wide_as_they_are() -> None:
    fields = {"signal_nonzero": 7, "update_rows": 6, "update_words": 11, "update_products": 30, "signal_steps": 3}
    counts = counts_of(small_spec("sltt-o"), small_activity(True, FORWARD[0] | fields, FORWARD[1]), "update", "fire")
    assert counts["update", 0, "error_read", (4 * 9,)] == 11
    assert counts["fire", 0, "error_write", (4 * 5,)] == 12  # codes ψ have no pair
    assert counts["fire", 0, "add", (16,)] == 36 + 5 + 36 + 36  # u - θ too


# --- against the same network without a current, on the same activity

NETWORKS: dict[str, tuple[list[dict[str, Any]], list[str]]] = {
    "two layers and a leaky readout": (
        [{"kind": "dense", "neurons": 19, **SHIFT}, {"kind": "dense", "neurons": 9, **CONSTANT},
         {"kind": "readout", "leak_shift": 2, **CONSTANT}], [],
    ),
    "one layer of two": (
        [{"kind": "dense", "neurons": 19}, {"kind": "dense", "neurons": 9, **SHIFT}, {"kind": "readout"}],
        ["learning.unroll=2"],
    ),
    "recurrent": (
        [{"kind": "dense", "neurons": 18, "recurrent": True, **SHIFT}, {"kind": "readout", "leak_constant": 60000}], [],
    ),
    "convolution": (
        [{"kind": "conv2d", "channels": 6, "kernel": 3, "padding": 1, "groups": 2, **CONSTANT},
         {"kind": "sumpool", "kernel": 2}, {"kind": "dense", "neurons": 7, **SHIFT},
         {"kind": "readout", "leak_shift": 3, **SHIFT}], [],
    ),
    "several connections": (
        [{"kind": "dense", "neurons": 17, "name": "a", **SHIFT}, {"kind": "dense", "neurons": 17},
         {"kind": "add", "layer": "a"}, {"kind": "readout"}], ['learning.reset_path="exact"'],
    ),
}  # fmt: skip
RULES = ["infer", "sltt-o", "ottt-o", "bptt-o", "ottt-a", "bptt", "ottt-local"]


def priced_of(name: str) -> dict[str, PricedRule]:
    """The rules on a network, with drawn activity."""
    layers, settings = NETWORKS[name]
    rules = [f"run.rules={RULES}".replace("'", '"'), "task.steps=6", 'chip.overflow="grow"']
    shaped = [*settings, *rules, "network.input_shape=[2,4,4]"]
    experiment = load_experiment(None, shaped, tables={"network": {"layers": layers}})
    _, priced, refused = draw_point(NamedNetwork(experiment, INPUTS, CLASSES, "test", Path()), Asked(n_samples=2))
    assert not refused
    return priced


@pytest.fixture(scope="module", params=NETWORKS)
def priced(request: pytest.FixtureRequest) -> dict[str, PricedRule]:
    return priced_of(request.param)


def without_currents(spec: CoreSpec) -> CoreSpec:
    """The same network, its traces still with two leaks."""
    layers = tuple(replace(layer, current_leak_kind="none", current_leak_value=0) for layer in spec.layers)
    return replace(spec, layers=layers)


def leak_of(kind: str, bits: int) -> Sequence[tuple[str, tuple[int, ...]]]:
    return [("shift", (bits,)), ("add", (bits,))] if kind == "shift" else [("mul", (bits, 16))]


def added_operations(spec: CoreSpec, n_steps: int, learning: bool) -> Counter[Key]:
    """The rows "synaptic current" of sections 4 and 6."""
    found: Counter[Key] = Counter()
    for index, layer in enumerate(spec.layers):
        if not layer.has_current:
            continue
        bits = spec.membrane_bits if layer.is_hidden else spec.readout_bits
        parts = [("fire", bits)] + [("error", spec.delta_bits)] * (learning and spec.credit == "unroll")
        for phase, width in parts:
            for key, widths in [("add", (width,)), *leak_of(layer.current_leak_kind, width)]:
                found[phase, index, key, widths] += n_steps * layer.n_out
    return found


def widened(spec: CoreSpec, key: str, layer: int, widths: tuple[int, ...], lanes: int) -> tuple[int, ...]:
    """The words of potentials, and those of δ, twice as wide."""
    shape = spec.layers[layer]
    potential = lanes * (spec.membrane_bits if shape.is_hidden else spec.readout_bits)
    pair = {"neuron": potential, "error": lanes * spec.delta_bits if spec.credit == "unroll" else None}
    return (2 * widths[0],) if shape.has_current and pair.get(key.split("_")[0]) == widths[0] else widths


@pytest.mark.parametrize("learning", [True, False], ids=["learning", "inference"])
@pytest.mark.parametrize("rule", RULES)
def test_accesses_and_clocks_are_those_without_and_words_twice_as_wide(
    priced: dict[str, PricedRule], rule: str, learning: bool
) -> None:
    one, chip = priced[rule], priced[rule].pricer.chip
    spec, plain = one.pricer.spec, without_currents(one.pricer.spec)
    activity = replace(one.activity, learning=learning and one.activity.learning)
    recurrent = any(spec.recurrent_connection(index) is not None for index in range(len(spec.layers)))
    for switches in itertools.product((True, False), repeat=1 if recurrent else 3):
        gates = Gates() if recurrent else Gates(*switches)
        ours = count(activity, spec, chip, gates, one.trace)
        theirs = count(activity, plain, chip, gates, one.trace)
        assert (ours.cycles_by_phase, ours.stalls) == (theirs.cycles_by_phase, theirs.stalls)
        expected: Counter[Key] = Counter()
        for c in theirs.counts:
            expected[c.phase, c.layer, c.key, widened(spec, c.key, c.layer, c.widths_bits, chip.lanes)] += int(c.number)
        expected += added_operations(spec, activity.n_samples * spec.n_steps, activity.learning)
        assert {(c.phase, c.layer, c.key, c.widths_bits): c.number for c in ours.counts} == expected


@pytest.mark.parametrize("rule", RULES)
def test_it_needs_as_many_words(priced: dict[str, PricedRule], rule: str) -> None:
    pricer = priced[rule].pricer
    assert footprint_words(pricer.spec, pricer.chip) == footprint_words(without_currents(pricer.spec), pricer.chip)


# --- other microarchitectures


@pytest.mark.parametrize("rule", ["infer", "ottt-o", "bptt"])
@pytest.mark.parametrize("name", ["ottt_mesh", "reckon"])
def test_other_microarchitectures_refuse_it_in_inference_too(rule: str, name: str) -> None:
    spec = given.core_spec(rule, n_steps=3)
    layers = (spec.layers[0], replace(spec.layers[1], current_leak_kind="shift", current_leak_value=1), spec.layers[2])
    activity = given.make_activity(spec, given.make_moments(spec, 1), given.make_gradients(1))
    with pytest.raises(UserError, match=f"{name} takes chains .*, not a synaptic current in layer 1; choose a chip"):
        microarchitecture(name).count(activity, replace(spec, layers=layers), mesh_chip(), Gates(), None)
