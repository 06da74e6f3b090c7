"""ReckOn: cycles and SRAM accesses of one time step, in closed form.

Source: formulas that 27 simulated steps of its published Verilog (ChFrenkel/ReckOn, `src/srnn.v`, one commit, 18 Feb
2022) all equal; the rows of `hw_models/silicon/reckon.toml` are some of them. 256 inputs, 256 recurrent LIF neurons,
16 readouts, four SRAMs of 128-bit words: 2 neurons a word, 16 weights of 8 bits a word.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from neurochip.errors import UserError
from neurochip.microarch.shapes import ceil_div

MAX_INPUTS, MAX_RECURRENT, MAX_OUTPUTS = 256, 256, 16
PHASES = ("STEP", "SDONE", "CNT", "EVT", "SUPP", "EPROP")
MEMORIES = ("neuron", "w_in", "w_rec", "w_out")
LEARNING = ("none", "all", "output")
NEURONS_PER_WORD, WEIGHTS_PER_WORD = 2, 16
CYCLES_PER_WORD = 2  # read, then write
BUFFER_CYCLES = WEIGHTS_PER_WORD * CYCLES_PER_WORD  # EPROP first gathers h and LS of 16 neurons, two cycles each


@dataclass(frozen=True)
class StepCost:
    """Cycles and SRAM accesses of one step.

    Attributes:
        cycles: cycles of each of PHASES; the wait for the label's handshake (GET_TAR) is external and not among them.
        accesses: words read and written, keys "<memory>_read" and "<memory>_write" for each of MEMORIES.
        sops: synaptic operations onto the recurrent neurons: (input events + recurrent spikes) * n_rec.
    """

    cycles: Mapping[str, int]
    accesses: Mapping[str, int]
    sops: int

    @property
    def total_cycles(self) -> int:
        """Sum of `cycles`."""
        return sum(self.cycles.values())


def step_cost(
    n_in: int,
    n_rec: int,
    n_out: int,
    input_indices: Iterable[int],
    recurrent_indices: Iterable[int],
    learning: str = "none",
    nonzero_input_traces: int = 0,
    nonzero_recurrent_traces: int = 0,
    nonzero_output_traces: int = 0,
    *,
    input_traces: bool = True,
) -> StepCost:
    """Cycles and SRAM accesses of one ReckOn time step.

    With N = max(n_in, n_rec), B = ⌈n_rec/16⌉, S_in and S_rec events, and A the indices with an input event or a
    recurrent spike (an index with both is served in one pass):

    * STEP: max(N, n_out) cycles, a neuron word read in one and written in the next: ⌈N/2⌉ reads and as many writes.
    * SDONE: 1 cycle. CNT: N cycles, one per index scanned.
    * EVT: 2⌈n_rec/2⌉ cycles per index of A, each neuron word read and written; B reads of w_in per input event, B of
      w_rec and 1 of w_out per spike. An input index at or beyond n_rec has weights to every neuron, so it is one of A.
    * SUPP: 2 cycles, 1 read, 1 write, after the EVT pass of such an index: its trace lies in a neuron word that the
      pass over the n_rec neurons never visits. Only if input traces are kept.
    * EPROP, "all": B·(32 + 2N) cycles. Each of B blocks gathers 16 neurons (2 cycles each; in all ⌈n_rec/2⌉ neuron
      reads and one w_out read per neuron), then visits N presynaptic indices (one neuron read per pair, w_in and w_rec
      read for each, written where its trace is not 0). w_out is written where its trace is not 0. Neuron words are
      never written.
    * EPROP, "output": 2·n_rec cycles, n_rec reads of w_out, ⌈n_rec/2⌉ reads of neuron words.

    Two readings of the Verilog differ from these formulas in neuron accesses, in shapes that were not simulated
    (docs/silicon.md): an odd number of neurons in STEP, and the gathering of EPROP if n_in > n_rec.

    Args:
        n_in, n_rec, n_out: neurons in use: 1 to 256, 1 to 256, 1 to 16.
        input_indices: indices below n_in with an input event; one named twice is one event.
        recurrent_indices: indices below n_rec that spiked in STEP.
        learning: "all" for a step that ends with an e-prop pass over all weights (DO_EPROP = 111), "output" for one
            over w_out alone (DO_EPROP = 100), "none" for a step without a pass.
        nonzero_input_traces, nonzero_recurrent_traces, nonzero_output_traces: how many indices have a trace that is
            not 0 at the pass; the weights of the others are read and not written.
        input_traces: whether the chip keeps input traces (DO_EPROP[0] or FORCE_TRACES); a chip that only infers
            does not, and skips SUPP.

    Raises:
        UserError: a size, index, trace count or `learning` outside what the chip has.
    """
    _check_sizes(n_in, n_rec, n_out)
    inputs = _index_set("input_indices", input_indices, n_in)
    spikes = _index_set("recurrent_indices", recurrent_indices, n_rec)
    _check_learning(learning, input_traces)
    traces = {
        "nonzero_input_traces": (nonzero_input_traces, n_in),
        "nonzero_recurrent_traces": (nonzero_recurrent_traces, n_rec),
        "nonzero_output_traces": (nonzero_output_traces, n_rec),
    }
    for name, (number, most) in traces.items():
        _require(name, number, 0, most)

    widest = max(n_in, n_rec)
    words, blocks = ceil_div(n_rec, NEURONS_PER_WORD), ceil_div(n_rec, WEIGHTS_PER_WORD)
    served = len(inputs | spikes)
    beyond = sum(index >= n_rec for index in inputs) if input_traces else 0
    cycles = {
        "STEP": max(widest, n_out),
        "SDONE": 1,
        "CNT": widest,
        "EVT": served * CYCLES_PER_WORD * words,
        "SUPP": beyond * CYCLES_PER_WORD,
        "EPROP": 0,
    }
    accesses = dict.fromkeys((f"{memory}_{kind}" for memory in MEMORIES for kind in ("read", "write")), 0)
    stepped = ceil_div(widest, NEURONS_PER_WORD)
    accesses["neuron_read"] = accesses["neuron_write"] = stepped + served * words + beyond
    accesses["w_in_read"] = len(inputs) * blocks
    accesses["w_rec_read"] = len(spikes) * blocks
    accesses["w_out_read"] = len(spikes)
    if learning != "none":
        pass_cycles, pass_accesses = _eprop(learning, n_in, n_rec, *(number for number, _ in traces.values()))
        cycles["EPROP"] = pass_cycles
        for key, number in pass_accesses.items():
            accesses[key] += number
    return StepCost(cycles, accesses, (len(inputs) + len(spikes)) * n_rec)


def _eprop(
    learning: str, n_in: int, n_rec: int, nonzero_input: int, nonzero_recurrent: int, nonzero_output: int
) -> tuple[int, dict[str, int]]:
    """Cycles and accesses of one e-prop pass over all weights, or over w_out alone."""
    accesses = {"w_out_read": n_rec, "w_out_write": nonzero_output}
    if learning == "output":
        return CYCLES_PER_WORD * n_rec, accesses | {"neuron_read": ceil_div(n_rec, NEURONS_PER_WORD)}
    widest, blocks = max(n_in, n_rec), ceil_div(n_rec, WEIGHTS_PER_WORD)
    gathered, pairs = ceil_div(n_rec, NEURONS_PER_WORD), ceil_div(widest, NEURONS_PER_WORD)
    accesses |= {
        "neuron_read": gathered + blocks * pairs,
        "w_in_read": n_in * blocks,
        "w_in_write": nonzero_input * blocks,
        "w_rec_read": n_rec * blocks,
        "w_rec_write": nonzero_recurrent * blocks,
    }
    return blocks * (BUFFER_CYCLES + CYCLES_PER_WORD * widest), accesses


def _check_sizes(n_in: int, n_rec: int, n_out: int) -> None:
    for name, size, most in (
        ("n_in", n_in, MAX_INPUTS),
        ("n_rec", n_rec, MAX_RECURRENT),
        ("n_out", n_out, MAX_OUTPUTS),
    ):
        _require(name, size, 1, most)


def _check_learning(learning: str, input_traces: bool) -> None:
    if learning not in LEARNING:
        raise UserError(f"learning of a ReckOn step is {learning!r}; allowed are {', '.join(LEARNING)}")
    if learning == "all" and not input_traces:
        raise UserError('learning of a ReckOn step is "all" but input_traces is false; allowed is true, which it needs')


def _index_set(name: str, indices: Iterable[int], size: int) -> set[int]:
    found = set(indices)
    for index in found:
        _require(f"{name}: an index", index, 0, size - 1)
    return found


def _require(name: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high or value != int(value):
        raise UserError(f"{name} of a ReckOn step is {value}; allowed are whole numbers from {low} to {high}")
