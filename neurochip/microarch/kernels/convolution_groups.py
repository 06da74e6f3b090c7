"""Clocks of FIRE beside DELIVER of a convolution (docs/microarchitecture.md, sections 3 and 4), event by event.

As in forward_groups.py DELIVER waits for FIRE only between events, so an event is one decision. But an event has many
taps: each of its words may meet an outstanding write, and it may have no tap at all. The words that DELIVER began are
kept by clock, for FIRE to look up which bank is in use.

All compiled code is in this file, so numba's own check of the file's date keeps it fresh.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurochip.microarch.kernels.forward_groups import Timing, jit

Integers = NDArray[np.int64]
Span = tuple[int, int, int, int, int, int]

# Columns of the result.
FIRE, DELIVER, EVENT_WAIT, RAW_HAZARD, PORT, ARBITRATION, FIFO_FULL, LATENCY, DRAM = range(9)
NEVER = 1 << 60

# State of a group. DELIVER: events taken out of the FIFO and the clock of the last one, whether the bias is still to
# come, first clock after the last word begun, and after the last clock in which it did something. FIRE: as in
# forward_groups.py.
TAKEN, POPPED, BIAS, BEGUN, FREE, PUSHED, WORD, NEXT, CLOCK, LEFT, ENDED = range(11)
N_STATE = 11
READ, WRITE, PUSH = range(3)


class Map(NamedTuple):
    """The convolution of a group, as `neurochip.topology.ConvShape` names it; `Timing.words` are those of a block."""

    width: int
    channels: int
    groups: int
    out_height: int
    out_width: int
    kernel_height: int
    kernel_width: int
    stride_y: int
    stride_x: int
    padding_y: int
    padding_x: int


class Begun(NamedTuple):
    """What DELIVER began.

    Attributes:
        last: [words of the layer], the clock in which each was begun last.
        clock, word: [power of two, more than the clocks of an event and λ_D], by clock: in which, and which word.
    """

    last: Integers
    clock: Integers
    word: Integers


@jit
def span_of(conv: Map, address: int) -> Span:
    """First and last output row, column and group that an input address reaches; -1: the bias, which reaches all."""
    if address < 0:
        return 0, conv.out_height - 1, 0, conv.out_width - 1, 0, conv.groups - 1
    position, channel = address // conv.channels, address % conv.channels
    far_y, far_x = position // conv.width + conv.padding_y, position % conv.width + conv.padding_x
    group = channel // (conv.channels // conv.groups)
    return (
        max(0, -((conv.kernel_height - 1 - far_y) // conv.stride_y)),
        min(conv.out_height - 1, far_y // conv.stride_y),
        max(0, -((conv.kernel_width - 1 - far_x) // conv.stride_x)),
        min(conv.out_width - 1, far_x // conv.stride_x),
        group,
        group,
    )


@jit
def has_tap(span: Span) -> bool:
    """Whether an address reaches any output."""
    return span[0] <= span[1] and span[2] <= span[3]


@jit
def next_address(state: Integers, addresses: Integers) -> int:
    """Input address of the next event; -1: the bias."""
    return -1 if state[BIAS] else int(addresses[state[TAKEN]])


@jit
def event_at_hand(state: Integers, pushes: Integers) -> int:
    """First clock in which DELIVER can look at the next event; NEVER if no push so far brings one."""
    if state[BIAS]:
        return int(state[FREE])
    return max(int(pushes[state[TAKEN]] + 1), int(state[FREE])) if state[TAKEN] < state[PUSHED] else NEVER


@jit
def next_event(timing: Timing, conv: Map, state: Integers, begun: Begun, pushes: Integers, addresses: Integers) -> int:
    """The clock in which DELIVER takes its next event: begins its first word, or finds that it has no tap."""
    start = event_at_hand(state, pushes)
    if start == NEVER:
        return NEVER
    span = span_of(conv, next_address(state, addresses))
    if not has_tap(span):
        return start
    first = ((span[0] * conv.out_width + span[2]) * conv.groups + span[4]) * timing.words
    start = max(start, int(begun.last[first]) + timing.deliver_latency + 1)
    return start + (start & (timing.ii - 1))  # the first clock of a slot, of 1 or 2


@jit
def take_event(
    timing: Timing, conv: Map, state: Integers, begun: Begun, pushes: Integers, addresses: Integers, clocks: Integers
) -> None:
    """Begin all words of the next event; why DELIVER began none in the clocks before each goes to `clocks`."""
    free = event_at_hand(state, pushes)
    clocks[EVENT_WAIT] += free - state[FREE]
    span = span_of(conv, next_address(state, addresses))
    popped = free
    if has_tap(span):
        popped = begin_words(timing, conv, span, free, state, begun, clocks)
    else:
        clocks[EVENT_WAIT] += 1
        state[FREE] = free + 1
    if state[BIAS]:
        state[BIAS] = 0
    else:
        state[TAKEN] += 1
        state[POPPED] = popped


@jit
def begin_words(
    timing: Timing, conv: Map, span: Span, free: int, state: Integers, begun: Begun, clocks: Integers
) -> int:
    """Begin the words of all taps from clock `free` on; return the clock of the first."""
    shift, after, mask = timing.ii - 1, timing.deliver_latency + 1, begun.clock.size - 1
    first, hazards, ports, now = -1, 0, 0, free
    for y in range(span[0], span[1] + 1):
        for x in range(span[2], span[3] + 1):
            for group in range(span[4], span[5] + 1):
                block = (y * conv.out_width + x) * conv.groups + group
                for word in range(block * timing.words, (block + 1) * timing.words):
                    start = now + (now & shift)
                    began = max(start, begun.last[word] + after)
                    began += began & shift
                    hazards += (began - start) >> shift
                    ports += began - now - ((began - start) >> shift)
                    begun.last[word] = began
                    begun.clock[began & mask] = began
                    begun.word[began & mask] = word
                    first = began if first < 0 else first
                    now = began + 1
    clocks[RAW_HAZARD] += hazards
    clocks[PORT] += ports
    state[BEGUN] = state[FREE] = now
    return first


@jit
def begins_in_bank(timing: Timing, begun: Begun, clock: int, bank: int) -> bool:
    """Whether the word that DELIVER begins in `clock`, if any, lies in `bank`."""
    place = clock & (begun.clock.size - 1)
    if clock < 0 or begun.clock[place] != clock:
        return False
    return bool((timing.first_word + begun.word[place]) // timing.bank_words == bank)


@jit
def is_blocked(timing: Timing, state: Integers, begun: Begun, access: int) -> bool:
    """Whether DELIVER has the port that FIRE needs for its `access` (READ or WRITE) in its clock."""
    bank = (timing.first_word_below + state[WORD]) // timing.bank_words
    one_port = timing.ii == 2
    if (one_port or access == READ) and begins_in_bank(timing, begun, state[CLOCK], bank):
        return True
    return (one_port or access == WRITE) and begins_in_bank(timing, begun, state[CLOCK] - timing.deliver_latency, bank)


@jit
def push_event(timing: Timing, state: Integers, pushes: Integers, next_take: int, clocks: Integers) -> None:
    """Push an event, or wait for room: until the clock after the next one leaves, if nothing else can happen before."""
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
def next_word(timing: Timing, state: Integers, spikes: Integers) -> None:
    """Go on to the next word of FIRE; after the last one to what waits in a buffer, which is only pushed."""
    state[WORD] += 1
    state[NEXT] = READ
    if state[WORD] == timing.words_below:
        state[NEXT], state[LEFT] = PUSH, spikes[state[WORD]]


@jit
def fire_step(
    timing: Timing, state: Integers, begun: Begun, spikes: Integers, pushes: Integers, next_take: int, clocks: Integers
) -> None:
    """What FIRE does in its clock; DELIVER has taken every event up to this clock, the next one in `next_take`."""
    if state[NEXT] == READ:
        if is_blocked(timing, state, begun, READ):
            clocks[ARBITRATION] += 1
            state[CLOCK] += 1
            return
        clocks[LATENCY] += timing.fire_latency - 1
        state[CLOCK] += timing.fire_latency
        state[LEFT] = spikes[state[WORD]]
        state[NEXT] = WRITE
        return
    if state[NEXT] == WRITE:
        if is_blocked(timing, state, begun, WRITE):
            clocks[ARBITRATION] += 1
        else:
            state[NEXT] = PUSH
    if state[LEFT] > 0:
        push_event(timing, state, pushes, next_take, clocks)
    if state[NEXT] == PUSH and state[LEFT] == 0:
        if state[WORD] < timing.words_below:
            state[ENDED] = state[CLOCK]
        next_word(timing, state, spikes)
    state[CLOCK] += 1


@jit
def run_group(
    timing: Timing,
    conv: Map,
    spikes: Integers,
    addresses: Integers,
    state: Integers,
    begun: Begun,
    pushes: Integers,
    clocks: Integers,
) -> None:
    """Add the clocks of one group to `clocks`."""
    state[:] = 0
    begun.last[:] = -NEVER
    begun.clock[:] = -1
    state[BIAS], state[POPPED] = timing.bias, -1
    state[ENDED] = state[WORD] = -1
    next_word(timing, state, spikes)
    words = timing.words_below + (1 if spikes[timing.words_below] else 0)
    while True:
        take = next_event(timing, conv, state, begun, pushes, addresses)
        if state[WORD] < words and take > state[CLOCK]:
            fire_step(timing, state, begun, spikes, pushes, take, clocks)
        elif take == NEVER:
            break
        else:
            take_event(timing, conv, state, begun, pushes, addresses, clocks)
    fire = state[ENDED] + 1
    written = state[BEGUN] + timing.deliver_latency if state[BEGUN] else 0
    end = max(written, state[FREE], fire)  # an event without a tap may be looked at after the last write
    clocks[FIRE] += fire
    clocks[DELIVER] += end - fire
    clocks[LATENCY] += end - max(state[FREE], fire)


@jit
def run_groups(
    timing: Timing, conv: Map, spikes: Integers, offsets: Integers, addresses: Integers, clocks: Integers
) -> None:
    """Add the clocks of many groups of the same shape, each on its own.

    Args:
        timing, conv: of all of them.
        spikes: [groups, words of the layer that fires + 1], events pushed per word; last: those in a buffer.
        offsets: [groups + 1], where the events of each begin in `addresses`.
        addresses: input addresses of the events, in the order in which they enter the FIFO.
        clocks: [groups, 9], added to.
    """
    state = np.zeros(N_STATE, dtype=np.int64)
    n_words = conv.out_height * conv.out_width * conv.groups * timing.words
    size = 1
    while size <= n_words * timing.ii + 2 * (timing.deliver_latency + 2):  # an event's words are all different ones
        size *= 2
    begun = Begun(np.zeros(n_words, np.int64), np.zeros(size, np.int64), np.zeros(size, np.int64))
    pushes = np.zeros(max(1, (offsets[1:] - offsets[:-1]).max()), dtype=np.int64)
    for group in range(spikes.shape[0]):
        events = addresses[offsets[group] : offsets[group + 1]]
        run_group(timing, conv, spikes[group], events, state, begun, pushes, clocks[group])
