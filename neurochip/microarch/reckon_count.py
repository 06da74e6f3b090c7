"""`reckon`: recorded events and traces -> counts and cycles of the published chip, step by step.

ReckOn works on index sets, so totals are not enough: the bitmaps of a subset of samples are replayed. A sample of T
steps takes T + 1 steps of ReckOn. In step k STEP first fires on what step k − 1 delivered, so the events x_k are served
together with the spikes s_(k−1), and the last spikes need one step more.

Recurrent weights exist in the chip and are taken as 0: a spike still reads its w_rec words, but they do not learn
(DO_EPROP = 101 when learning, so an e-prop pass leaves w_rec alone; 000 when not, so traces stay 0 and SUPP is
skipped). Every step has a label, so each ends in an e-prop pass: T passes a sample, over all inputs, gated by nothing
but a trace of 0. The traces of step k − 1 stand for those at the pass of step k.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from neurochip.activity import Activity, SampleTrace
from neurochip.counters import PHASES, Count
from neurochip.errors import UserError
from neurochip.microarch import reckon
from neurochip.microarch.interface import ALL_GATES, ChipTiming, Counted, Gates, Sampled
from neurochip.microarch.reckon import CYCLES_PER_WORD, NEURONS_PER_WORD, StepCost, step_cost
from neurochip.microarch.reckon_network import check
from neurochip.microarch.registry import Storage, register_microarchitecture
from neurochip.microarch.sampling import student_quantile
from neurochip.microarch.shapes import ceil_div, keeps_trace, learns
from neurochip.spec import CoreSpec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WORD = (128,)
HIDDEN, READOUT = 0, 1
MEMBRANE, WEIGHT, TRACE, OUTPUT_TRACE, ALPHA, KAPPA = 16, 8, 12, 10, 16, 8
SURROGATE_BITS, SURROGATE_BORDERS = 5, 4  # h has five segments
LEARNING_SIGNAL, ERROR, PARTIAL_SUM = 16, 16, 28
HIDDEN_PRODUCT, OUTPUT_PRODUCT, RANDOM = 32, 28, 32
Tally = defaultdict[tuple[str, str, int, tuple[int, ...]], int]


@dataclass(frozen=True)
class Step:
    """What one step of ReckOn is asked to do.

    Attributes:
        inputs, spikes: indices with an input event, and of neurons that spiked.
        learns: whether the chip is learning, so that traces are kept.
        updates: whether the step ends in an e-prop pass.
        nonzero_inputs, nonzero_outputs: traces of inputs and of spikes that are not 0 at the pass.
        nonzero_surrogates: neurons whose h is not 0; the multipliers of the others stand still.
        nonzero_recurrents: recurrent traces that are not 0, if w_rec learns too (DO_EPROP = 111); None if it does not.
    """

    n_in: int
    n_rec: int
    n_out: int
    inputs: tuple[int, ...]
    spikes: tuple[int, ...]
    learns: bool = False
    updates: bool = False
    nonzero_inputs: int = 0
    nonzero_outputs: int = 0
    nonzero_surrogates: int = 0
    nonzero_recurrents: int | None = None

    def cost(self) -> StepCost:
        """Cycles and accesses with w_rec learning too, as `step_cost` gives them."""
        return step_cost(
            *(self.n_in, self.n_rec, self.n_out, self.inputs, self.spikes),
            learning="all" if self.updates else "none",
            nonzero_input_traces=self.nonzero_inputs,
            nonzero_recurrent_traces=self.nonzero_recurrents or 0,
            nonzero_output_traces=self.nonzero_outputs,
            input_traces=self.learns,
        )


def count(
    activity: Activity,
    spec: CoreSpec,
    chip: ChipTiming,
    gates: Gates = ALL_GATES,
    trace: SampleTrace | None = None,
) -> Counted:
    """Count what ReckOn does with the samples of `trace`, and multiply by the samples of `activity` for each of them.

    Args:
        activity: of the same pass; whether it learned, and its number of samples.
        spec: the network and rule the samples were recorded with.
        chip: must have the numbers of the published chip.
        gates: must all be on.
        trace: bitmaps "event/0" and "event/1"; for a learning pass also "psi/0", and "trace/<l>" of layers with one.
            A layer that learns from its input events alone is one whose traces last a single step.

    Raises:
        UserError: a network, rule or chip that ReckOn is not, or bitmaps that are missing or of another shape.
    """
    check(spec, chip, gates)
    learning = activity.learning and learns(spec)
    bitmaps = _bitmaps(spec, learning, trace)
    tally: Tally = defaultdict(int)
    cycles = dict.fromkeys(PHASES, 0)
    clocks = []
    for sample in range(len(bitmaps["event/0"])):
        before = sum(cycles.values())
        one = {name: bitmap[sample] for name, bitmap in bitmaps.items()}
        for step in _steps(spec, learning, one):
            add_step(step, tally, cycles)
        clocks.append(sum(cycles.values()) - before)
    share = activity.n_samples / len(clocks)
    if share == 1:
        return Counted(_counts(tally), cycles, sum(cycles.values()))
    by_phase = {phase: number * share for phase, number in cycles.items()}
    scaled = tuple(replace(one, number=one.number * share) for one in _counts(tally))
    return Counted(scaled, by_phase, sum(by_phase.values()), sampled=_sampled(clocks, activity.n_samples))


def _counts(tally: Tally) -> tuple[Count, ...]:
    return tuple(Count(*place, number) for place, number in tally.items() if number)


def _sampled(clocks: Sequence[int], n_samples: int) -> Sampled:
    """95 % interval of the clocks of all samples from those of the recorded ones; as wide as they are for one alone."""
    n = len(clocks)
    mean = sum(clocks) / n
    if n < 2:
        return Sampled(n, n_samples, mean * n_samples)
    variance = sum((one - mean) ** 2 for one in clocks) / (n - 1)
    left = max(0.0, 1 - n / n_samples)
    return Sampled(n, n_samples, n_samples * student_quantile(n - 1) * math.sqrt(variance / n * left))


def step_counts(step: Step) -> Counted:
    """Counts and cycles of one step."""
    tally: Tally = defaultdict(int)
    cycles = dict.fromkeys(PHASES, 0)
    add_step(step, tally, cycles)
    return Counted(_counts(tally), cycles, sum(cycles.values()))


def add_step(step: Step, tally: Tally, cycles: dict[str, int]) -> None:
    """Add the accesses, operations and cycles of one step to `tally` and `cycles`."""
    cost = step.cost()
    blocks = ceil_div(step.n_rec, reckon.WEIGHTS_PER_WORD)
    served = cost.cycles["EVT"] // CYCLES_PER_WORD
    beyond = cost.cycles["SUPP"] // CYCLES_PER_WORD
    cycles["fire"] += cost.cycles["STEP"] + cost.cycles["SDONE"]
    cycles["deliver"] += cost.cycles["CNT"] + cost.cycles["EVT"]
    cycles["trace"] += cost.cycles["SUPP"]

    fired = cost.accesses["neuron_write"] - served - beyond
    _neurons(tally, "fire", fired, fired)
    _neurons(tally, "deliver", served, served)
    _neurons(tally, "trace", beyond, beyond)
    _add(tally, "deliver", HIDDEN, "synapse_read", WORD, (len(step.inputs) + len(step.spikes)) * blocks)
    _add(tally, "deliver", READOUT, "synapse_read", WORD, len(step.spikes))
    _add(tally, "deliver", HIDDEN, "ac", (MEMBRANE,), cost.sops)
    _add(tally, "deliver", READOUT, "ac", (MEMBRANE,), len(step.spikes) * step.n_out)
    _fire_operations(step, fired * NEURONS_PER_WORD, tally)
    if step.updates:
        _eprop(step, cost, blocks, tally, cycles)


def _fire_operations(step: Step, neurons: int, tally: Tally) -> None:
    """Leak and threshold of two neurons a word; where traces are kept, their decay: six more multipliers a word."""
    _add(tally, "fire", HIDDEN, "mul", (MEMBRANE, ALPHA + 1), neurons)
    _add(tally, "fire", HIDDEN, "compare", (MEMBRANE,), neurons)
    _add(tally, "fire", HIDDEN, "add", (MEMBRANE,), len(step.spikes))  # minus the threshold
    _add(tally, "fire", READOUT, "mul", (MEMBRANE, KAPPA + 1), step.n_out)
    if step.learns:
        _add(tally, "trace", HIDDEN, "mul", (TRACE, ALPHA), 2 * neurons)  # tr_in, tr_rec
        _add(tally, "trace", READOUT, "mul", (OUTPUT_TRACE, KAPPA), neurons)
        _add(tally, "trace", HIDDEN, "add", (TRACE,), len(step.inputs))
        _add(tally, "trace", READOUT, "add", (OUTPUT_TRACE,), len(step.spikes))


def _eprop(step: Step, cost: StepCost, blocks: int, tally: Tally, cycles: dict[str, int]) -> None:
    """One e-prop pass: gather h and LS ("error"), then visit all presynaptic indices ("update")."""
    forward = step_cost(step.n_in, step.n_rec, step.n_out, step.inputs, step.spikes, input_traces=step.learns)
    widest = max(step.n_in, step.n_rec)
    gathering, visits = blocks * reckon.BUFFER_CYCLES, blocks * ceil_div(widest, NEURONS_PER_WORD)
    cycles["error"] += gathering
    cycles["update"] += cost.cycles["EPROP"] - gathering
    reads = cost.accesses["neuron_read"] - forward.accesses["neuron_read"]
    _neurons(tally, "error", reads - visits, 0)
    _neurons(tally, "update", visits, 0)
    _add(tally, "error", READOUT, "synapse_read", WORD, step.n_rec)
    _add(tally, "update", READOUT, "synapse_write", WORD, cost.accesses["w_out_write"])
    _add(tally, "update", HIDDEN, "synapse_read", WORD, step.n_in * blocks)
    _add(tally, "update", HIDDEN, "synapse_write", WORD, cost.accesses["w_in_write"])
    if step.nonzero_recurrents is not None:
        _add(tally, "update", HIDDEN, "synapse_read", WORD, step.n_rec * blocks)
        _add(tally, "update", HIDDEN, "synapse_write", WORD, cost.accesses["w_rec_write"])

    products = (step.nonzero_inputs + (step.nonzero_recurrents or 0)) * step.nonzero_surrogates
    _add(tally, "error", READOUT, "add", (ERROR,), step.n_out)
    _add(tally, "error", READOUT, "mac", (ERROR, WEIGHT, PARTIAL_SUM), step.n_rec * step.n_out)
    _add(tally, "error", HIDDEN, "compare", (MEMBRANE,), step.n_rec * SURROGATE_BORDERS)
    _add(tally, "update", HIDDEN, "mul", (LEARNING_SIGNAL, TRACE), products)
    _add(tally, "update", HIDDEN, "mul", (LEARNING_SIGNAL + TRACE, SURROGATE_BITS), products)
    _stochastic_updates(tally, HIDDEN, HIDDEN_PRODUCT, products)
    _add(tally, "update", READOUT, "mul", (ERROR, OUTPUT_TRACE), step.nonzero_outputs * step.n_out)
    _stochastic_updates(tally, READOUT, OUTPUT_PRODUCT, step.nonzero_outputs * step.n_out)


def _stochastic_updates(tally: Tally, layer: int, product_bits: int, number: int) -> None:
    """|product| is shifted, compared with a random number, and the weight goes up or down by 1."""
    _add(tally, "update", layer, "shift", (product_bits,), number)
    _add(tally, "update", layer, "compare", (product_bits,), number)
    _add(tally, "update", layer, "rng", (RANDOM,), number)
    _add(tally, "update", layer, "add", (WEIGHT,), number)


def _neurons(tally: Tally, phase: str, reads: int, writes: int) -> None:
    _add(tally, phase, HIDDEN, "neuron_read", WORD, reads)
    _add(tally, phase, HIDDEN, "neuron_write", WORD, writes)


def _add(tally: Tally, phase: str, layer: int, key: str, widths_bits: tuple[int, ...], number: int) -> None:
    tally[key, phase, layer, widths_bits] += number


def _steps(spec: CoreSpec, learning: bool, bitmaps: dict[str, NDArray[np.bool_]]) -> Iterator[Step]:
    """The T + 1 steps of one sample; bitmaps are [n_steps, width]."""
    sizes = (spec.layers[0].n_in, spec.layers[0].n_out, spec.layers[1].n_out)
    for k in range(spec.n_steps + 1):
        inputs = _indices(bitmaps["event/0"][k]) if k < spec.n_steps else ()
        spikes = _indices(bitmaps["event/1"][k - 1]) if k else ()
        updates = learning and k > 0
        names = (_presynaptic(spec, HIDDEN), _presynaptic(spec, READOUT), "psi/0")
        nonzero = [int(bitmaps[name][k - 1].sum()) for name in names] if updates else []
        yield Step(*sizes, inputs, spikes, learning, updates, *nonzero)


def _presynaptic(spec: CoreSpec, index: int) -> str:
    """Name of the bitmap of the inputs of a layer whose weights change."""
    return f"trace/{index}" if keeps_trace(spec, index) else f"event/{index}"


def _indices(row: NDArray[np.bool_]) -> tuple[int, ...]:
    return tuple(int(index) for index in row.nonzero()[0])


def _bitmaps(spec: CoreSpec, learning: bool, trace: SampleTrace | None) -> dict[str, Any]:
    if trace is None or len(trace.sample_indices) == 0:
        raise UserError(
            "the reckon microarchitecture needs the events of single samples; set run.activity_samples to 1 or more"
        )
    hidden, readout = spec.layers
    widths = {"event/0": hidden.n_in, "event/1": readout.n_in}
    if learning:
        widths |= {_presynaptic(spec, HIDDEN): hidden.n_in, _presynaptic(spec, READOUT): readout.n_in}
        widths["psi/0"] = hidden.n_out
    for name, width in widths.items():
        shape = (len(trace.sample_indices), spec.n_steps, width)
        if name not in trace.bitmaps:
            raise UserError(f"the recorded activity has no bitmap {name}, which the reckon microarchitecture needs")
        if trace.bitmaps[name].shape != shape:
            raise UserError(
                f"bitmap {name} of the recorded activity has shape {trace.bitmaps[name].shape}, not {shape}"
            )
    return {name: trace.bitmaps[name] for name in widths}


def storage(spec: CoreSpec, chip: ChipTiming) -> Storage:
    """The SRAMs of the chip as they are, whatever network it runs; none of its banks is power-gated.

    Raises:
        UserError: a network or rule that ReckOn cannot run, or another chip's numbers.
    """
    check(spec, chip, ALL_GATES)
    words = {name: memory.words for name, memory in chip.memories.items()}
    return Storage(words, dict.fromkeys(words, WORD[0]))


register_microarchitecture(
    "reckon", "ReckOn, a published 28 nm chip: 256-256-16, replayed step by step", count, storage=storage
)
