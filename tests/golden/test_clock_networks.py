"""The clock model on whole networks, by hand: clocks derived on paper from docs/microarchitecture.md."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from golden_builders import (
    BELOW,
    HIDDEN,
    ONE_EVENT,
    READOUT,
    conv_layer,
    make_spec,
    small_chip,
)

from neurochip.counters import PHASES, STALL_CAUSES
from neurochip.microarch import Gates
from neurochip.reference.clock import ClockCore, ClockRun
from neurochip.reference.core import GoldenCore, GoldenSample
from neurochip.spec import CoreSpec
from neurochip.topology import Connection, ConvShape

GATES = Gates(zero_trace=True, zero_error=True, zero_surrogate=True)
NAMES = ("synapse", "neuron", "trace", "error", "gradient", "history")


def make_chip(ports: str = "1rw", **changes: Any) -> Any:
    """2 lanes, a pipeline of 1 clock, memories of one bank that answer after 1 clock, a FIFO of 4 events."""
    shape = SimpleNamespace(ports=ports, words=64, bank_words=64, read_latency_cycles=1)
    memories = dict.fromkeys(NAMES, shape) | changes.pop("memories", {})
    return small_chip(memories | {"event_fifo": replace_words(shape, 4)}, **changes)


def replace_words(shape: SimpleNamespace, words: int) -> SimpleNamespace:
    return SimpleNamespace(**(vars(shape) | {"words": words}))


def run(
    spec: CoreSpec, weights: Any, chip: Any, steps: Any, learn: bool, gates: Gates = GATES
) -> tuple[ClockCore, ClockRun]:
    """Run one sample; what it ends with must be what the golden core ends with."""
    core, golden = ClockCore(spec, weights, chip, gates), GoldenCore(spec, weights)
    result = core.run([GoldenSample(steps, 0)], learn)
    expected = golden.run([GoldenSample(steps, 0)], learn)
    assert (core.weights, core.gradients) == (golden.weights, golden.gradients)
    assert result.readout_sums == expected.readout_sums
    return core, result


def phases(**clocks: int) -> dict[str, int]:
    return dict.fromkeys(PHASES, 0) | clocks


def stalls(**clocks: int) -> dict[str, int]:
    return dict.fromkeys(STALL_CAUSES, 0) | clocks


# A map of 1 x 3 seen through one weight with stride 2: outputs at x = 0 and 2, no tap for x = 1.
STRIDED = ConvShape(height=1, width=3, channels=1, out_channels=1, kernel_height=1, kernel_width=1, stride_x=2)


@pytest.mark.parametrize(
    ("events", "clocks", "stalled"),
    [
        # 0: the event enters the FIFO. 1: looked at, no tap. No write follows, and the group ends.
        ([(1, 1)], 2, {"event_wait": 2}),
        # 0: wait. 1: at hand, port. 2: block 0, written in 5. 3: no tap. 4: block 1, written in 7.
        ([(0, 1), (1, 1), (2, 1)], 8, {"event_wait": 2, "port": 1, "latency": 3}),
        # The last event has no tap: 3 is its clock, then 4 and 5 wait for the write.
        ([(0, 1), (1, 1)], 6, {"event_wait": 2, "port": 1, "latency": 2}),
    ],
)
def test_events_without_a_tap_leave_the_fifo_and_begin_nothing(
    events: Any, clocks: int, stalled: dict[str, int]
) -> None:
    # Group 1: no spike; FIRE of 2 blocks of 1 word, phi = 2: 3 clocks each, 1 of them latency. No bias: DELIVER waits
    # for nothing that comes. FIRE of the readout: 2 slots of 2 clocks and d = 2.
    spec = make_spec(conv_layer(STRIDED), replace(READOUT, n_in=2), credit="none")
    _, result = run(spec, [[[1], [0]], [[1, 1]] * 2 + [[0, 0]]], make_chip(), [events], learn=False)
    assert result.ticks_by_phase == phases(deliver=clocks, fire=6 + 6)
    latency = stalled.get("latency", 0) + 2 + 2
    assert result.stalls == stalls(**(stalled | {"port": stalled.get("port", 0) + 2, "latency": latency}))


def test_the_bias_of_a_convolution_is_an_event_with_all_blocks_as_taps() -> None:
    # Two groups of one column at two positions: blocks 0 ... 3 with bias rows 2, 3, 2, 3. Group 0: begun in 0, 2, 4, 6,
    # ports between, the last written in 9: 10 clocks.
    # Group 1: group 0 has reached the threshold at both positions, neurons 0 and 2.
    #  0 F reads word 0.  1 F latency.  2 F writes back, pushes 0.  3 D port. F reads word 1.  4 D takes 0. F latency.
    #  5 F writes back.   6 F reads word 2.  7 D writes. F latency.  8 F writes back, pushes 2.
    #  9 D port. F reads word 3.
    # 10 D takes 2. F latency.  11 F writes back, has ended; D has no event to wait for.  12, 13 D latency.
    # FIRE of the readout 6, of them 2 port and 2 latency.
    shape = ConvShape(height=1, width=2, channels=2, out_channels=2, kernel_height=1, kernel_width=1, groups=2)
    spec = make_spec(conv_layer(shape, bias=True), replace(READOUT, n_in=4), credit="none")
    weights = [[[0], [0], [16], [3]], [[1, 0], [0, 1], [10, 0], [0, 10], [0, 0]]]
    _, result = run(spec, weights, make_chip(), [[]], learn=False)
    assert result.readout_sums == [[11, 0]]
    assert result.accesses["synapse_read", "deliver", 0, (16,)] == 4
    assert result.ticks_by_phase == phases(deliver=10 + 2, fire=12 + 6)
    assert result.stalls == stalls(event_wait=3 + 4, port=3 + 2 + 2, latency=3 + 2 + 4 + 2)


def test_events_that_fire_does_not_push_enter_after_it_has_ended() -> None:
    # The readout takes neuron spikes (addresses 0, 1) and the input of the network (address 2); 1r1w, lambda = 2.
    # Group 0. 0: event_wait. 1: word 0, written in 3. 2, 3: latency.
    # Group 1. 0: FIRE reads. 1: latency. 2: writes back, pushes 0, has ended.   D waits in 0, 1, 2.
    #  3: D takes 0, written in 5. Address 2 enters.   4, 5: raw_hazard.   6: D takes it, written in 8.   7, 8: latency.
    both = (Connection(0, 2), Connection(-1, 1, offset=2, carries_error=False))
    spec = make_spec(replace(HIDDEN, n_out=2), replace(READOUT, n_in=3, inputs=both), credit="none", event_bits=1)
    weights = [[[16, 0], [0, 0]], [[1, 2], [3, 4], [10, 20], [0, 0]]]
    _, result = run(spec, weights, make_chip("1r1w"), ONE_EVENT, learn=False)
    assert result.readout_sums == [[11, 22]]
    assert result.ticks_by_phase == phases(deliver=4 + 6, fire=3 + 4)
    assert result.stalls == stalls(event_wait=1 + 3, raw_hazard=2, latency=2 + 1 + 2 + 2)


def test_spikes_that_a_pool_drops_take_no_clock() -> None:
    # Three neurons fire in one word each (L = 1), seen as 1 x 3 behind a pool of 1 x 2: 0 and 1 come to address 0, 2 to
    # none. One bank, 1r1w; z has two words.
    #  0 F reads word 0.  1 latency.  2 writes back, pushes.  3, 4 D takes it: F arbitration.  5 F reads word 1.
    #  6 latency.  7 writes back, pushes.  8, 9 arbitration.  10 F reads word 2.  11 latency.  12 writes, has ended.
    # FIRE of the readout: 4 slots and d = 2.
    pooled = (Connection(0, channels=1, width=3, pool_width=2),)
    spec = make_spec(replace(HIDDEN, n_out=3), replace(READOUT, inputs=pooled), credit="none", event_bits=1)
    weights = [[[16, 16, 16], [0, 0, 0]], [[5, 7], [0, 0]]]
    _, result = run(spec, weights, make_chip("1r1w", lanes=1), ONE_EVENT, learn=False)
    assert result.readout_sums == [[10, 14]]
    assert result.accesses["event_fifo_write", "deliver", 1, (0 + 1,)] == 2
    assert result.ticks_by_phase["fire"] == 13 + 6
    assert result.stalls["arbitration"] == 4
    assert result.stalls["fifo_full"] == 0


@pytest.mark.parametrize(("pipeline_cycles", "clocks"), [(1, 2 * 11 + 2 * 8 + 8), (2, 2 * 12 + 2 * 8 + 12)])
def test_errors_of_two_readouts_meet_in_a_gate(pipeline_cycles: int, clocks: int) -> None:
    # A head beside the readout, each with BELOW's weights and e = [-8, 8]; psi = 15 of one neuron.
    # Softmax 11 each. x words, each readout: slot 2, window 1, row word 1, lambda_E = 1 + 1 + log2 2, q = 2 slots: 8.
    # GATE: 2 clocks of x words and a slot of 2; lambda = 1 + 2, q = 1 more slot of 4: 8.
    # With P = 2 the softmax takes 12, lambda_E is 4, q still 2; lambda of GATE is 5, q = 2: 12.
    layers = (HIDDEN, replace(READOUT, inputs=(Connection(0, 1),)), replace(READOUT, inputs=(Connection(0, 1),)))
    spec = make_spec(*layers)
    chip = make_chip(pipeline_latency_cycles=pipeline_cycles)
    _, result = run(spec, [*BELOW, BELOW[1]], chip, ONE_EVENT, learn=True)
    assert result.ticks_by_phase["error"] == clocks
    error = {key: n for key, n in result.accesses.items() if key[1] == "error" and key[0].startswith("error")}
    assert error == {
        **{("error_write", "error", layer, (16,)): 1 for layer in (1, 2)},  # e
        **{("error_read", "error", layer, (16,)): 1 for layer in (1, 2)},
        **{("error_write", "error", layer, (64,)): 1 for layer in (1, 2)},  # x, 2 numbers of 32 bits
        ("error_read", "error", 0, (64,)): 2,
        ("error_read", "error", 0, (8,)): 1,  # psi
        ("error_write", "error", 0, (16,)): 1,  # g
    }


# A map of 1 x 3 under a kernel of 1 x 2: outputs at 0 and 1. One event at x = 1 comes to both, by k_x = 1 and 0.
PAIR = ConvShape(height=1, width=3, channels=1, out_channels=1, kernel_height=1, kernel_width=2)
PAIR_WEIGHTS = [[[15], [15], [0]], [[3, -5], [3, -5], [0, 0]]]


@pytest.mark.parametrize(
    ("off", "row_clocks", "words"),
    [("", 2, 2), ("zero_trace", 4, 2), ("zero_error", 4, 2)],
)
def test_update_of_a_convolution_tile_by_tile(off: str, row_clocks: int, words: int) -> None:
    # Two tiles (k_x), each: window 1, its pairs, lambda_T = 2, words of 2 clocks, d = 2: with all gates one row clock
    # and one word in each. Without a gate all 4 pairs of the two offsets are visited.
    # The readout's update has no active row: window 2, d = 2.
    gates = replace(GATES, **{off: False}) if off else GATES
    spec = make_spec(conv_layer(PAIR), replace(READOUT, n_in=2))
    core, result = run(spec, PAIR_WEIGHTS, make_chip(), [[(1, 1)]], True, gates)
    assert core.weights[0] != PAIR_WEIGHTS[0]
    readout = 4 + (4 if off == "zero_trace" else 0)
    assert result.ticks_by_phase["update"] == readout + row_clocks + 2 * words + 2 * (1 + 2 + 2)
    assert result.accesses["synapse_write", "update", 0, (16,)] == words
    assert result.accesses["error_read", "update", 0, (16,)] == row_clocks


def test_gated_traces_of_a_convolution_count_for_nothing_though_they_are_visited() -> None:
    # x = 1 has a = 4 after step 1 and 2 < gate after step 2, in which x = 0 comes.
    spec = make_spec(
        conv_layer(PAIR, keeps_trace=True),
        replace(READOUT, n_in=2),
        credit="trace",
        trace_gate=3,
        n_steps=2,
        rate_shift=0,
    )
    steps = [[(1, 1)], [(0, 1)]]
    updates = {}
    for off in (True, False):
        core, result = run(spec, PAIR_WEIGHTS, make_chip(), steps, True, replace(GATES, zero_trace=not off))
        assert core.traces[0] == [4, 2, 0]
        updates[off] = result.accesses["trace_read", "update", 0, (8,)]
    assert updates[False] < updates[True] == 2 * 4


def test_error_of_a_dense_layer_behind_a_pool_counts_a_shared_row_once() -> None:
    # Two outputs of PAIR behind a pool of 1 x 2 share address 0: softmax 11; slot 2, window 1, row word 1, q = 2: 8.
    # GATE: 2 words, each 1 clock of x and a slot of 2; lambda = 3, q = 1: (2 + 1)·3 = 9.
    pooled = (Connection(0, channels=1, width=2, pool_width=2),)
    spec = make_spec(conv_layer(PAIR), replace(READOUT, n_in=1, inputs=pooled))
    _, result = run(spec, [PAIR_WEIGHTS[0], BELOW[1]], make_chip(), [[(1, 1)]], learn=True)
    assert result.ticks_by_phase["error"] == 11 + 8 + 9


def test_momentum_gives_every_word_of_an_apply_a_second_slot() -> None:
    # Readout: nothing is set: window 2, d 2. Hidden: window 2, two slots of 2 clocks (1 port each), d 2.
    spec = make_spec(credit="spike", update="accumulate", momentum_shift=1)
    core, result = run(spec, BELOW, make_chip(), ONE_EVENT, learn=True)
    assert result.ticks_by_phase["apply"] == 4 + 8
    assert result.accesses["gradient_write", "apply", 0, (32,)] == 2
    # Once more without an event: no gradient, but the velocity still moves.
    before = core.weights[0]
    second = core.run([GoldenSample([[]], 0)], True)
    assert second.ticks_by_phase["apply"] == 4 + 8
    assert core.weights[0] != before


def test_a_filter_gives_every_trace_word_a_second_slot() -> None:
    # One trace word: 1 clock clears, window 2, f and a 2 each, d 2.
    hidden = replace(HIDDEN, keeps_trace=True, filter_leak_kind="shift", filter_leak_value=1)
    spec = make_spec(hidden, READOUT, credit="trace")
    core, result = run(spec, BELOW, make_chip(), ONE_EVENT, learn=True)
    assert result.ticks_by_phase["trace"] == 1 + 2 + 4 + 2
    assert result.accesses["trace_write", "trace", 0, (8,)] == 2
    assert core.traces[0] == [1 << 2]


def test_steps_without_a_loss_keep_traces_and_skip_the_rest() -> None:
    hidden = replace(HIDDEN, keeps_trace=True)
    spec = make_spec(hidden, READOUT, credit="trace", n_steps=3, update_every=2)
    _, result = run(spec, BELOW, make_chip(), ONE_EVENT * 3, learn=True)
    # TRACE in all three: 1 + 3·(window 2, word 2, d 2). One loss: softmax 11, back in space 8.
    assert result.ticks_by_phase["trace"] == 1 + 3 * 6
    assert result.ticks_by_phase["error"] == 11 + 8


def test_windows_of_unroll_clear_delta_and_apply_in_turn() -> None:
    # 3 steps in windows of 2: history of 2 steps of 1 + 1 + 2 words, written in 3·4 and read in 3·(4 + 1) clocks.
    # One clock clears delta per window. Applies after step 2 (2 steps waited) and after the last window; the neuron
    # fires in steps 2 and 3 (u = 7 + 15 first), so each has a word in both layers: window 2, word 2, d 2.
    spec = make_spec(
        credit="unroll", update="accumulate", n_steps=3, unroll_steps=2, apply_when="window", apply_every=2
    )
    core, result = run(spec, BELOW, make_chip(), ONE_EVENT * 3, learn=True)
    assert core.high_water_words["history"] == 2 * 4
    assert result.ticks_by_phase["history"] == 3 * 4 + 3 * 5
    assert result.ticks_by_phase["error"] == 2 * 1 + 3 * (11 + 1 + 8)
    assert result.ticks_by_phase["apply"] == 2 * (6 + 6)


def test_a_leaky_readout_carries_delta_in_a_stream() -> None:
    # Per step a slot of 2 and d = 2 in place of the one clock that writes e; 2 layers are cleared.
    leaky = replace(READOUT, leak_kind="shift", leak_value=1)
    spec = make_spec(HIDDEN, leaky, credit="unroll", n_steps=2)
    _, result = run(spec, BELOW, make_chip(), ONE_EVENT * 2, learn=True)
    assert result.ticks_by_phase["error"] == 2 + 2 * (11 + 4 + 8)


RECURRENT = replace(HIDDEN, n_in=2, inputs=(Connection(-1, 1), Connection(0, 1, delay=1, offset=1)))


def test_a_recurrent_layer_under_unroll_goes_back_through_itself_before_its_gate() -> None:
    # Per step: softmax 11, e 1, readout into x words 8; itself: slot 2, window 1, q = 2 slots, and a row word where
    # delta[t + 1] is not 0: 7, later 8; GATE with m = 2: 2 slots of 4. 1 clock clears delta.
    spec = make_spec(RECURRENT, READOUT, credit="unroll", n_steps=2)
    weights = [[[15], [9], [0]], BELOW[1]]
    _, result = run(spec, weights, make_chip(), [[(0, 1)], []], learn=True)
    assert result.ticks_by_phase["error"] == 1 + 2 * (11 + 1 + 8 + 8) + 7 + 8


def test_frozen_heads_and_feedback_layers_have_no_update() -> None:
    # Layer 1 carries e of the readout (layer 3) back to layer 0; layer 2 is a frozen head that carries none.
    feedback = replace(READOUT, kind="feedback", learns=False, signal_of=3, inputs=(Connection(0, 1),))
    mute = (Connection(0, 1, carries_error=False),)
    spec = make_spec(
        HIDDEN,
        feedback,
        replace(READOUT, learns=False, inputs=mute),
        replace(READOUT, inputs=mute),
        update="accumulate",
    )
    weights = [BELOW[0], [[7, 2], [0, 0]], BELOW[1], BELOW[1]]
    core, result = run(spec, weights, make_chip(), ONE_EVENT, learn=True)
    assert result.ticks_by_phase["update"] == 4 + 6  # the readout, of which no row is active, and the hidden layer
    assert ("error_read", "error", 1, (16,)) in result.accesses  # e of layer 3, read for layer 1
    assert core.high_water_words["gradient"] == 1 + 1
    # Without learning neither of the two runs.
    result = core.run([GoldenSample(ONE_EVENT, 0)], False)
    assert {layer for _, _, layer, _ in result.accesses} == {0, 3}
