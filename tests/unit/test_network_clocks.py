"""Are the clocks of whole networks that follow from totals those of docs/microarchitecture.md? Worked out by hand.

The chip and its latencies are those of test_ottt_core_clocks.py: L = 4, M = 3, K = 4, P = 6, ρ = 1, D = 24; two samples
of 3 steps, NT = 6. A 1rw memory: II = 2, λ = 7, d = 6. A 1r1w memory: II = 1, λ = 7, d = 7.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import ottt_core_bitmaps as given
import pytest

from neurochip.activity import FIELDS, N_FIELDS, Activity
from neurochip.errors import UserError
from neurochip.microarch import Gates, ottt_core_error, reckon_count
from neurochip.microarch import ottt_core_forward as forward
from neurochip.microarch import ottt_core_learning as learning
from neurochip.microarch.chains import require_chain
from neurochip.microarch.footprint import footprint_words, spilled_memories
from neurochip.microarch.forward_group import groups
from neurochip.microarch.forward_plan import plan_groups
from neurochip.microarch.multicore import fitted_split
from neurochip.microarch.ottt_core import count
from neurochip.microarch.ottt_core_site import Site, Work
from neurochip.spec import NETWORK_INPUT, CoreSpec
from neurochip.topology import Connection, ConvShape

SEEN = {"trace_words": 9, "signal_steps": 5, "error_words": 20, "update_words": 30, "weight_words": 7}
NOTHING = dict.fromkeys(FIELDS, 0)
EVERY_GATE = Gates()
FROM_NETWORK = Connection(NETWORK_INPUT, 7)


def spec_of(rule: str, changes: dict[int, dict[str, Any]], **options: Any) -> CoreSpec:
    """7-10-6-5 with these changes of its layers."""
    spec = given.core_spec(rule, **options)
    layers = (dataclasses.replace(layer, **changes.get(i, {})) for i, layer in enumerate(spec.layers))
    return dataclasses.replace(spec, layers=tuple(layers))


def site(spec: CoreSpec, index: int, ports: str = "1rw", gates: Gates = EVERY_GATE) -> Site:
    applied = NOTHING | {"update_words": 13}
    return Site(index, spec, given.chip_with(ports), gates, NOTHING | SEEN, applied, 2, 2, True, frozenset(), (0, 0, 0))


def clocks(work: Work) -> tuple[int, dict[str, int]]:
    return work.cycles, {cause: number for cause, number in work.stalls.items() if number}


# The readout takes both hidden layers: no way is direct.
SKIP = {2: {"n_in": 16, "inputs": (Connection(1, 6), Connection(0, 10, offset=6))}}
# Back through the readout: 16 addresses, 2 + 3 x words; λ_E = 1 + 2 + 6 = 9.
SOFTMAX = 6 * (4 * 2 + 5 * 24 + 6)


@pytest.mark.parametrize(
    ("index", "ports", "cycles", "stalls"),
    [
        # q = 5: 20 row words + 6·(4 windows + (5 + 5)·2).
        (2, "1rw", SOFTMAX + 164, {"scan": 24, "port": 30, "latency": 36 + 60}),
        # q = 9: 20 + 6·(4 + 5 + 9).
        (2, "1r1w", SOFTMAX + 128, {"scan": 24, "latency": 36 + 54}),
        # 10 addresses, 3 x words: 20 + 6·(3 + 8·2); GATE, m = 1, 2 words: λ = 13, slots of 3, q = 5: 6·7·3.
        (1, "1rw", 134 + 126, {"scan": 18, "port": 18 + 12, "latency": 60 + 90}),
        # GATE alone, m = 2, 3 words: slots of 4, q = 4: 6·7·4.
        (0, "1rw", 168, {"port": 18, "latency": 96}),
        # Slots of 3, q = 5: 6·8·3.
        (0, "1r1w", 144, {"latency": 90}),
    ],
)
def test_error_through_x_words_by_hand(index: int, ports: str, cycles: int, stalls: dict[str, int]) -> None:
    assert clocks(ottt_core_error.error(site(spec_of("ottt-o", SKIP), index, ports))) == (cycles, stalls)


def test_a_recurrent_layer_under_unroll_goes_back_through_itself_by_hand() -> None:
    recurrent = {0: {"n_in": 17, "inputs": (FROM_NETWORK, Connection(0, 10, delay=1, offset=7))}}
    # 10 delayed addresses, 3 x words: 20 + 6·(3 + 8·2); GATE, m = 2: 6·7·4; one clear per sample and window of 2 steps.
    assert ottt_core_error.error(site(spec_of("bptt", recurrent), 0)).cycles == 134 + 168 + 2
    assert ottt_core_error.error(site(spec_of("bptt", recurrent, unroll_steps=2), 0)).cycles == 134 + 168 + 4
    assert ottt_core_error.error(site(spec_of("ottt-o", recurrent), 0)).cycles == 0  # no time, so the way is direct


def test_softmax_of_loss_steps_and_of_a_leaky_readout_by_hand() -> None:
    cut = (Connection(1, 6, carries_error=False),)
    alone = {2: {"inputs": cut}}
    assert ottt_core_error.error(site(spec_of("ottt-o", alone, update_every=2), 2)).cycles == SOFTMAX // 3
    # Under unroll e is written in every step, with a loss or not.
    assert ottt_core_error.error(site(spec_of("bptt", alone, update_every=2), 2)).cycles == SOFTMAX // 3 + 6 * 2
    leaky = {2: {"inputs": cut, "leak_kind": "shift", "leak_value": 1}}
    # δ instead: 6·(2·2 + 6), and its valid bits once per sample.
    found = clocks(ottt_core_error.error(site(spec_of("bptt", leaky), 2)))
    assert found == (SOFTMAX + 60 + 2, {"latency": 36 + 36, "port": 12})
    assert ottt_core_error.error(site(spec_of("ottt-o", leaky), 2)).cycles == SOFTMAX


def test_a_head_has_no_sum_and_does_nothing_without_learning() -> None:
    spec = spec_of("ottt-o", {1: {"kind": "readout"}})
    # 6·(2 slots of z, d = 6).
    assert clocks(forward.fire(site(spec, 1))) == (6 * (2 * 2 + 6), {"port": 12, "latency": 36})
    for model in (forward.deliver, forward.fire):
        work = model(dataclasses.replace(site(spec, 1), learning=False))
        assert (work.cycles, work.counts) == (0, [])


def test_a_filter_has_words_of_its_own_by_hand() -> None:
    # (2·9 words + 6 windows)·2 + 6·6 + 2.
    filtered = spec_of("ottt-o", {1: {"filter_leak_kind": "shift", "filter_leak_value": 2}})
    assert clocks(forward.trace(site(filtered, 1))) == (86, {"port": 18, "scan": 12, "latency": 36})


def test_momentum_takes_two_slots_for_a_word_of_an_apply_by_hand() -> None:
    # (2·13 words + 2·6 windows)·2 + 2·6.
    work = learning.apply(site(spec_of("bptt", {}, momentum_shift=3), 1))
    assert clocks(work) == (88, {"port": 26, "scan": 24, "latency": 12})


# 3 x 3 x 2 -> 2 x 2 x 3 with 2 x 2 kernels: 4 positions, W = 1, 8 rows and a bias row; 4 tiles and one of the bias.
CONV = {
    0: {"kind": "conv", "n_in": 18, "n_out": 12, "conv": ConvShape(3, 3, 2, 3, 2, 2)},
    1: {"n_in": 12},
}


@pytest.mark.parametrize(
    ("rule", "ports", "gates", "cycles", "stalls"),
    [
        # λ_T = 7: 30 row clocks + 7 words·2 + 5 steps·5 tiles·(1 window + 7 + 6).
        ("ottt-o", "1rw", Gates(), 30 + 14 + 350, {"port": 7, "scan": 25, "latency": 325}),
        ("bptt", "1r1w", Gates(), 30 + 7 + 25 * 15, {"scan": 25, "latency": 350}),
        # Every step: 16 pairs of positions · 2 channels + 4 of the bias; all 9 rows written.
        ("ottt-o", "1rw", Gates(zero_error=False), 6 * 36 + 54 * 2 + 30 * 14, {"port": 54, "scan": 30, "latency": 390}),
        # Every row, in the steps with a signal.
        ("ottt-o", "1rw", Gates(zero_trace=False), 5 * 36 + 45 * 2 + 350, {"port": 45, "scan": 25, "latency": 325}),
    ],
)
def test_update_of_a_convolution_by_hand(
    rule: str, ports: str, gates: Gates, cycles: int, stalls: dict[str, int]
) -> None:
    assert clocks(learning.update(site(spec_of(rule, CONV), 0, ports, gates))) == (cycles, stalls)


def test_traces_of_a_convolution_lie_in_words_of_their_group_and_position() -> None:
    grouped = ConvShape(3, 3, 8, 4, 2, 2, groups=2)
    spec = spec_of("ottt-o", {0: {"kind": "conv", "n_in": 72, "n_out": 16, "conv": grouped}, 1: {"n_in": 16}})
    # 9 positions · 2 groups · ⌈4/3⌉ words, and ⌈16/3⌉ and ⌈6/3⌉ of the others, of which the readout keeps none.
    assert footprint_words(spec, given.chip_with("1rw"))["trace"] == 36 + 6
    # (9 words + 6·⌈36/4⌉ windows)·2 + 6·6 + 2.
    assert forward.trace(site(spec, 0)).cycles == (9 + 54) * 2 + 38


def test_serial_clocks_wait_for_an_event_only_where_none_need_be_there() -> None:
    chain, skip = (groups(spec_of("infer", changes), given.chip_with("1rw")) for changes in ({}, SKIP))
    assert [group.serial(7, 3)["event_wait"] for group in chain] == [0, 0, 0]
    assert [group.serial(7, 3)["event_wait"] for group in skip] == [0, 0, 3]  # layer 0 waits in a buffer
    bare = groups(spec_of("infer", {0: {"bias": False}}), given.chip_with("1rw"))
    assert bare[0].serial(7, 3)["event_wait"] == 3


def test_weights_that_are_fixed_are_not_updated() -> None:
    frozen = spec_of("bptt", {1: {"learns": False}})
    assert learning.update(site(frozen, 1)).counts == learning.apply(site(frozen, 1)).counts == []


def activity_of(spec: CoreSpec) -> Activity:
    totals = np.zeros((spec.n_steps + 1, len(spec.layers), N_FIELDS), dtype=np.int64)
    return Activity(totals, 1, 0, spec.credit != "none", given.L, given.M)


def test_networks_that_cannot_be_fired_in_groups_are_refused() -> None:
    first = {2: {"n_in": 16, "inputs": (Connection(0, 10, offset=6), Connection(1, 6))}}
    with pytest.raises(UserError, match="layer 2 takes spikes of layer 1, which fires later"):
        plan_groups(spec_of("infer", first), learning=False)
    unread = {2: {"n_in": 10, "inputs": (Connection(0, 10),)}}
    with pytest.raises(UserError, match="hidden layer 1 is not the source of the first connection of any later layer"):
        count(activity_of(spec_of("infer", unread)), spec_of("infer", unread), given.chip_with("1rw"))
    only_head = {1: {"kind": "readout"}, 2: {"n_in": 7, "inputs": (FROM_NETWORK,)}}
    with pytest.raises(UserError, match="hidden layer 0 is not the source"):
        plan_groups(spec_of("ottt-o", only_head), learning=True)  # without learning its head does not run
    assert [(p.layer, p.fires) for p in plan_groups(spec_of("infer", SKIP), False)] == [(0, None), (1, 0), (2, 1)]


def test_gates_that_are_off_are_refused_for_a_recurrent_layer_under_unroll() -> None:
    recurrent = {0: {"n_in": 17, "inputs": (FROM_NETWORK, Connection(0, 10, delay=1, offset=7))}}
    spec, off = spec_of("bptt", recurrent), Gates(zero_trace=False)
    with pytest.raises(UserError, match="layer 0 is recurrent and learns by unrolling"):
        count(activity_of(spec), spec, given.chip_with("1rw"), off)
    for fine, gates in ((spec, Gates()), (spec_of("ottt-o", recurrent), off)):
        assert count(activity_of(fine), fine, given.chip_with("1rw"), gates).cycles > 0


def test_a_pool_over_a_source_seen_as_another_map_is_refused_where_it_carries_error() -> None:
    pooled = {1: {"n_in": 2, "inputs": (Connection(0, 1, 10, 1, 5),)}}
    spec = spec_of("ottt-o", pooled)
    with pytest.raises(UserError, match=r"layer 1 pools layer 0 as a map of 10 x 1 x 1 and .* it is, 1 x 1 x 10"):
        count(activity_of(spec), spec, given.chip_with("1rw"))
    spec = spec_of("infer", pooled)
    assert count(activity_of(spec), spec, given.chip_with("1rw")).cycles > 0


def test_weights_of_a_convolution_do_not_go_to_dram() -> None:
    chip = given.without(given.chip_with("1rw"), "synapse")
    with pytest.raises(UserError, match=r"memories\.synapse holds 0 words but 49 are needed"):
        spilled_memories(spec_of("ottt-o", CONV), chip)
    assert spilled_memories(spec_of("bptt", CONV), given.without(given.chip_with("1rw"), "history")) == {"history"}


@pytest.mark.parametrize(
    ("changes", "options", "reason"),
    [
        (CONV, {}, "layer 0 is of kind 'conv'"),
        ({1: {"kind": "readout"}}, {}, "layer 1 is a head"),
        (SKIP, {}, "the connections of layer 2"),
        ({0: {"inputs": (dataclasses.replace(FROM_NETWORK, height=7, channels=1, pool_height=7),)}}, {}, "layer 0"),
        ({0: {"inputs": (Connection(NETWORK_INPUT, 1, 7, channels_first=True),)}}, {}, "the connections of layer 0"),
        ({1: {"inputs": (Connection(0, 10, carries_error=False),)}}, {}, "the connections of layer 1"),
        ({2: {"leak_kind": "shift", "leak_value": 1}}, {}, "a leaky readout"),
        ({1: {"filter_leak_kind": "shift"}}, {}, "trace_filter"),
        ({1: {"learns": False}}, {}, "frozen"),
        ({}, {"unroll_steps": 2}, "unroll over windows of 2 steps"),
        ({}, {"apply_when": "deferred", "apply_every": 2}, r"update deferred\(2\)"),
        ({}, {"momentum_shift": 3}, "momentum_shift = 3"),
        ({}, {"loss_start": 2}, "steps without a loss"),
    ],
)
def test_other_microarchitectures_take_chains_only(
    changes: dict[int, dict[str, Any]], options: dict[str, Any], reason: str
) -> None:
    spec, chip = spec_of("bptt", changes, **options), given.chip_with("1rw")
    for refuse, name in ((fitted_split, "ottt_mesh"), (reckon_count.storage, "reckon")):
        with pytest.raises(UserError, match=f"{name} takes chains of dense layers.*{reason}"):
            refuse(spec, chip)


def test_a_chain_is_a_chain_however_it_is_written() -> None:
    written: dict[int, dict[str, Any]] = {0: {"inputs": (FROM_NETWORK,)}, 1: {"inputs": (Connection(0, 2, 5),)}}
    for rule in given.RULES:
        require_chain(spec_of(rule, {}), "any")
        require_chain(spec_of(rule, written), "any")
