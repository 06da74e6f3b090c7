"""Clocks of FIRE beside DELIVER (docs/microarchitecture.md, sections 3, 4 and 10), from decision to decision.

Two facts make a row of DELIVER one decision. Its words begin every `ii` clocks: the row before left the same distances
between its words, so only word 0 can meet an outstanding write. And two rows begin at least `deliver_latency` + 1
clocks apart, so an access in a given clock belongs to one of the last two rows. FIRE decides once per access, push and
clock of waiting for a port; a wait for room in the FIFO ends with the next row that leaves it and is jumped.

Everything is in this file, so numba's own check of the file's date keeps the compiled code fresh.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

Function = TypeVar("Function", bound=Callable[..., Any])
BOUNDSCHECK = os.environ.get("NEUROCHIP_BOUNDSCHECK", "") == "1"

# Columns of the result.
FIRE, DELIVER, EVENT_WAIT, RAW_HAZARD, PORT, ARBITRATION, FIFO_FULL, LATENCY, DRAM = range(9)
N_COLUMNS = 9
NEVER = 1 << 60

# State of a group. DELIVER: rows taken out of the FIFO and the clock of the last one, whether the bias row is still to
# come, first clocks of the last two rows, first clock after the last word begun. FIRE: events pushed, word, what is
# next for it and in which clock, spikes of it still to push, last clock with a write or push. The events that wait in a
# buffer are one more word, pushed after those of FIRE.
TAKEN, POPPED, BIAS, BEGAN, BEGAN_BEFORE, FREE, PUSHED, WORD, NEXT, CLOCK, LEFT, ENDED = range(12)
N_STATE = 12
READ, WRITE, PUSH = range(3)


class Timing(NamedTuple):
    """One group: DELIVER of a dense layer, and FIRE of the hidden layer below, if one fires beside it.

    Attributes:
        ii: clocks of a slot of the neuron memory: 2 if it has one port for both directions, else 1.
        deliver_latency: λ_D, from the first clock of a word to its write.
        fire_latency: φ, from the read of a word to its result.
        fifo_events: F.
        words, first_word: W of the layer, and the address of its first neuron word.
        words_below, first_word_below: the same of the layer that fires; 0 words without one.
        bank_words: neighbouring neuron words in a bank.
        bias: 1 if the layer has a bias row, else 0.
        burst: clocks in which a row comes from DRAM; 0 if the weights are on the chip.
    """

    ii: int
    deliver_latency: int
    fire_latency: int
    fifo_events: int
    words: int
    first_word: int
    words_below: int
    first_word_below: int
    bank_words: int
    bias: int
    burst: int


def jit(function: Function) -> Function:
    """Compile a function when it is first called; kept on disk between runs."""
    njit: Any = numba.njit
    options = {"boundscheck": BOUNDSCHECK, "cache": not BOUNDSCHECK, "nogil": True, "error_model": "numpy"}
    return cast(Function, njit(**options)(function))


@jit
def aligned(timing: Timing, clock: int) -> int:
    """The first clock of a slot at or after `clock`."""
    return -(-clock // timing.ii) * timing.ii


@jit
def row_at_hand(state: NDArray[np.int64], pushes: NDArray[np.int64]) -> int:
    """First clock in which the next row is at hand; NEVER if no push so far brings one."""
    if state[BIAS]:
        return 0
    return int(pushes[state[TAKEN]] + 1) if state[TAKEN] < state[PUSHED] else NEVER


@jit
def next_row(timing: Timing, state: NDArray[np.int64], pushes: NDArray[np.int64]) -> int:
    """The clock in which DELIVER takes its next row: begins its word 0, or its burst."""
    hand = row_at_hand(state, pushes)
    if hand == NEVER:
        return NEVER
    start = max(hand, state[FREE])
    if timing.burst:
        return int(start)
    return aligned(timing, max(start, state[BEGAN] + timing.deliver_latency + 1))


@jit
def take_row(timing: Timing, state: NDArray[np.int64], pushes: NDArray[np.int64], clocks: NDArray[np.int64]) -> None:
    """Begin all words of the next row; why DELIVER began none in the clocks before each goes to `clocks`."""
    start = max(row_at_hand(state, pushes), state[FREE])
    clocks[EVENT_WAIT] += start - state[FREE]
    ready = start + timing.burst
    clocks[DRAM] += timing.burst
    began = aligned(timing, max(ready, state[BEGAN] + timing.deliver_latency + 1))
    hazards = (began - aligned(timing, ready)) // timing.ii
    clocks[RAW_HAZARD] += hazards
    clocks[PORT] += began - ready - hazards + (timing.words - 1) * (timing.ii - 1)
    if state[BIAS]:
        state[BIAS] = 0
    else:
        state[TAKEN] += 1
        state[POPPED] = start if timing.burst else began
    state[BEGAN_BEFORE] = state[BEGAN]
    state[BEGAN] = began
    state[FREE] = began + (timing.words - 1) * timing.ii + 1


@jit
def begins_in_bank(timing: Timing, state: NDArray[np.int64], clock: int, bank: int) -> bool:
    """Whether the word that DELIVER begins in `clock`, if any, lies in `bank`."""
    for row in (BEGAN, BEGAN_BEFORE):
        since = clock - state[row]
        if since >= 0 and since % timing.ii == 0 and since < timing.words * timing.ii:
            return bool((timing.first_word + since // timing.ii) // timing.bank_words == bank)
    return False


@jit
def is_blocked(timing: Timing, state: NDArray[np.int64], access: int) -> bool:
    """Whether DELIVER has the port that FIRE needs for its `access` (READ or WRITE) in its clock."""
    bank = (timing.first_word_below + state[WORD]) // timing.bank_words
    clock = state[CLOCK]
    one_port = timing.ii == 2
    if (one_port or access == READ) and begins_in_bank(timing, state, clock, bank):
        return True
    return (one_port or access == WRITE) and begins_in_bank(timing, state, clock - timing.deliver_latency, bank)


@jit
def push_spike(
    timing: Timing, state: NDArray[np.int64], pushes: NDArray[np.int64], next_take: int, clocks: NDArray[np.int64]
) -> None:
    """Push a spike, or wait for room: until the clock after the next row leaves, if nothing else can happen before."""
    clock = state[CLOCK]
    held = state[PUSHED] - state[TAKEN] + (1 if state[POPPED] == clock else 0)
    if held < timing.fifo_events:
        pushes[state[PUSHED]] = clock
        state[PUSHED] += 1
        state[LEFT] -= 1
        return
    waited = 1
    if state[NEXT] == PUSH and state[POPPED] != clock:
        waited += next_take - clock
        state[CLOCK] = next_take
    if state[WORD] < timing.words_below:  # a buffer does not stall
        clocks[FIFO_FULL] += waited


@jit
def next_word(timing: Timing, state: NDArray[np.int64], spikes: NDArray[np.int64]) -> None:
    """Go on to the next word of FIRE; after the last one to what waits in a buffer, which is only pushed."""
    state[WORD] += 1
    state[NEXT] = READ
    if state[WORD] == timing.words_below:
        state[NEXT], state[LEFT] = PUSH, spikes[state[WORD]]


@jit
def fire_step(
    timing: Timing,
    state: NDArray[np.int64],
    spikes: NDArray[np.int64],
    pushes: NDArray[np.int64],
    next_take: int,
    clocks: NDArray[np.int64],
) -> None:
    """What FIRE does in its clock; DELIVER has taken every row up to this clock, the next one in `next_take`."""
    if state[NEXT] == READ:
        if is_blocked(timing, state, READ):
            clocks[ARBITRATION] += 1
            state[CLOCK] += 1
            return
        clocks[LATENCY] += timing.fire_latency - 1
        state[CLOCK] += timing.fire_latency
        state[LEFT] = spikes[state[WORD]]
        state[NEXT] = WRITE
        return
    if state[NEXT] == WRITE:
        if is_blocked(timing, state, WRITE):
            clocks[ARBITRATION] += 1
        else:
            state[NEXT] = PUSH
    if state[LEFT] > 0:
        push_spike(timing, state, pushes, next_take, clocks)
    if state[NEXT] == PUSH and state[LEFT] == 0:
        if state[WORD] < timing.words_below:
            state[ENDED] = state[CLOCK]
        next_word(timing, state, spikes)
    state[CLOCK] += 1


@jit
def run_group(
    timing: Timing,
    spikes: NDArray[np.int64],
    state: NDArray[np.int64],
    pushes: NDArray[np.int64],
    clocks: NDArray[np.int64],
) -> None:
    """Add the clocks of one group to `clocks`; `spikes`: per word of the layer that fires, then events in a buffer."""
    state[:] = 0
    state[BIAS] = timing.bias
    state[POPPED] = state[BEGAN] = state[BEGAN_BEFORE] = -NEVER
    state[ENDED] = state[WORD] = -1
    next_word(timing, state, spikes)
    words = timing.words_below + (1 if spikes[timing.words_below] else 0)
    while True:
        take = next_row(timing, state, pushes)
        if state[WORD] < words and take > state[CLOCK]:
            fire_step(timing, state, spikes, pushes, take, clocks)
        elif take == NEVER:
            break
        else:
            take_row(timing, state, pushes, clocks)
    fire = state[ENDED] + 1
    end = max(state[FREE] - 1 + timing.deliver_latency + 1 if state[FREE] else 0, fire)
    clocks[FIRE] += fire
    clocks[DELIVER] += end - fire
    clocks[LATENCY] += end - max(state[FREE], fire)


@jit
def run_groups(timing: Timing, spikes: NDArray[np.int64], clocks: NDArray[np.int64]) -> None:
    """Add the clocks of many groups of the same shape, each on its own.

    Args:
        timing: of all of them.
        spikes: [groups, words of the layer that fires + 1]; the last column: events that wait in a buffer.
        clocks: [groups, N_COLUMNS], added to.
    """
    state = np.zeros(N_STATE, dtype=np.int64)
    pushes = np.zeros(1, dtype=np.int64)
    for group in range(spikes.shape[0]):
        if pushes.size < spikes[group].sum():
            pushes = np.zeros(spikes[group].sum(), dtype=np.int64)
        run_group(timing, spikes[group], state, pushes, clocks[group])
