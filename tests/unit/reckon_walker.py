"""ReckOn's state machines, one Python step per clock: no formulas. Written from the states of its srnn.v."""

from __future__ import annotations

from collections import Counter


def walk(
    n_in: int,
    n_rec: int,
    n_out: int,
    inputs: set[int],
    spikes: set[int],
    learning: str,
    nonzero: dict[str, set[int]],
    input_traces: bool,
) -> tuple[Counter[str], Counter[str]]:
    """Clock one step; returns cycles by state and accesses by memory and kind."""
    cycles: Counter[str] = Counter()
    accesses: Counter[str] = Counter()
    _step(n_in, n_rec, n_out, cycles, accesses)
    cycles["SDONE"] += 1
    if learning == "all":
        _eprop(n_in, n_rec, nonzero, cycles, accesses)
    elif learning == "output":
        _eprop_output(n_in, n_rec, nonzero["output"], cycles, accesses)
    _propagate(n_in, n_rec, inputs, spikes, input_traces, cycles, accesses)
    return cycles, accesses


def _step(n_in: int, n_rec: int, n_out: int, cycles: Counter[str], accesses: Counter[str]) -> None:
    clock = 0
    while True:  # even clocks read a word, odd ones write it
        cycles["STEP"] += 1
        accesses["neuron_write" if clock % 2 else "neuron_read"] += 1
        if clock == max(n_in, n_rec, n_out) - 1:
            return
        clock += 1


def _propagate(
    n_in: int,
    n_rec: int,
    inputs: set[int],
    spikes: set[int],
    input_traces: bool,
    cycles: Counter[str],
    accesses: Counter[str],
) -> None:
    last = max(n_in, n_rec) - 1
    index, counter, state = 0, 0, "CNT"
    while state != "WAIT":
        cycles[state] += 1
        end_of_row = "WAIT" if index == last else "CNT"
        following = state
        if state == "CNT":
            if index in inputs or index in spikes:
                following = "EVT"
                accesses["w_out_read"] += index in spikes
            else:
                following = end_of_row
        elif state == "EVT":
            accesses["neuron_write" if counter & 1 else "neuron_read"] += 1
            if counter & 15 == 0:
                accesses["w_in_read"] += index in inputs
                accesses["w_rec_read"] += index in spikes
            if counter >> 1 == (n_rec - 1) >> 1 and counter & 1:
                supplement = input_traces and index in inputs and index > n_rec - 1
                following, counter = ("SUPP" if supplement else end_of_row), 0
            else:
                counter += 1
        else:
            accesses["neuron_write" if counter else "neuron_read"] += 1
            following, counter = (end_of_row, 0) if counter else ("SUPP", 1)
        if following == "CNT":
            index += 1
        state = following


def _eprop(n_in: int, n_rec: int, nonzero: dict[str, set[int]], cycles: Counter[str], accesses: Counter[str]) -> None:
    widest = max(n_in, n_rec)
    block = 0
    while True:
        for clock in range(32):
            post = 16 * block + clock // 2
            cycles["EPROP"] += 1
            accesses["neuron_read"] += clock % 4 == 0 and post < widest
            _read_or_write("w_out", post, n_rec, clock % 2, nonzero["output"], accesses)
        for clock in range(2 * widest):
            pre = clock // 2
            cycles["EPROP"] += 1
            accesses["neuron_read"] += clock % 4 == 0
            _read_or_write("w_in", pre, n_in, clock % 2, nonzero["input"], accesses)
            _read_or_write("w_rec", pre, n_rec, clock % 2, nonzero["recurrent"], accesses)
        if block == (n_rec - 1) // 16:
            return
        block += 1


def _eprop_output(n_in: int, n_rec: int, nonzero: set[int], cycles: Counter[str], accesses: Counter[str]) -> None:
    for clock in range(2 * n_rec):
        cycles["EPROP"] += 1
        accesses["neuron_read"] += clock % 4 == 0 and clock // 2 < max(n_in, n_rec)
        _read_or_write("w_out", clock // 2, n_rec, clock % 2, nonzero, accesses)


def _read_or_write(memory: str, index: int, size: int, odd: int, nonzero: set[int], accesses: Counter[str]) -> None:
    if index >= size:
        return
    if not odd:
        accesses[f"{memory}_read"] += 1
    elif index in nonzero:
        accesses[f"{memory}_write"] += 1
