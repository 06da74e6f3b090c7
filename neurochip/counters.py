"""The one table of what is counted: memories and operations (DESIGN names; see docs/counting.md).

Documentation, JSON keys, CSV headers and the keys of chip files all come from `COUNTERS`. Only leaves are counted;
every total is derived by summing `Count` records.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

# What each memory holds; L and M are the lanes and trace lanes of a chip.
CONTENTS: Mapping[str, str] = {
    "event_fifo": "input events and spikes on their way to a layer",
    "synapse": "weights and biases, L per word",
    "neuron": "membrane potentials, synaptic currents and readout sums, L per word",
    "trace": "presynaptic traces, M per word",
    "error": "surrogate codes, errors and learning signals, L per word",
    "gradient": "accumulated gradients, L per word",
    "history": "spikes, surrogate codes and errors kept for the reverse pass",
    "dram": "words spilled off the chip",
}
MEMORIES: tuple[str, ...] = tuple(CONTENTS)
# Why a unit could not begin work in a clock: "a clock in which ..." (docs/microarchitecture.md, section 2).
STALLS: Mapping[str, str] = {
    "event_wait": "DELIVER has no event and one still comes in this group, or its event has no tap",
    "raw_hazard": "DELIVER waits for a word that is still to be written by an earlier event",
    "port": "a slot is past its first clock: the second on a 1rw memory, and those for V with momentum",
    "arbitration": "FIRE waits because DELIVER has the port of the neuron bank",
    "fifo_full": "FIRE waits with a spike because the event FIFO was full at the start of the clock",
    "scan": "a scanner loads a window of a bitmap: all clocks of the slot",
    "latency": "the control waits for a pipeline: after the last slot of a stream (d), lags, read latency",
    "dram": "a burst to or from DRAM is under way",
}
STALL_CAUSES: tuple[str, ...] = tuple(STALLS)
# The phases of a step and of a sample, in the order they are reported.
PHASE_WORK: Mapping[str, str] = {
    "deliver": "bias and input events into the membranes or synaptic currents of a layer, and the sums of a readout",
    "fire": "synaptic current, threshold, reset, leak and surrogate code of neurons; sums of the readout over steps",
    "trace": "leak of the presynaptic traces, and the events of the step into them",
    "error": "softmax, and the learning signals back in space and, under unroll, in time",
    "update": "products of trace or event and learning signal, into weights or gradients",
    "apply": "gradients into weights, after D steps, a window, a sample or a batch",
    "standardise": "weights of a layer back to their mean and variance",
    "history": "what unroll keeps of a step, written forward and read in reverse",
}
PHASES: tuple[str, ...] = tuple(PHASE_WORK)


@dataclass(frozen=True)
class Counter:
    """One thing that can be counted: key, unit of the number, what one of it means, and what its widths are of.

    `widths` has one tuple for each number of widths that a `Count` of it may have.
    """

    key: str
    unit: str
    meaning: str
    widths: tuple[tuple[str, ...], ...]


def _memory_counters() -> list[Counter]:
    return [
        Counter(f"{memory}_{access}", "words", f"{access}s of the {memory} memory: {contents}", (("word",),))
        for memory, contents in CONTENTS.items()
        for access in ("read", "write")
    ]


def _operation(key: str, meaning: str, *widths: tuple[str, ...]) -> Counter:
    return Counter(key, "operations", meaning, widths)


OPERATION_COUNTERS: tuple[Counter, ...] = (
    _operation("ac", "accumulate: add of a weight gated by a binary spike", ("sum",)),
    _operation("mac", "multiply-accumulate", ("a", "b"), ("a", "b", "sum")),
    _operation("mul", "multiplication without accumulation", ("a", "b")),
    _operation("add", "addition or subtraction that is not an accumulate of a weight", ("sum",)),
    _operation("shift", "shift by more than a wired constant", ("value",)),
    _operation("compare", "comparison of two numbers", ("value",)),
    _operation("lut", "table look-up", ("index", "output")),
    _operation("div", "division; a square root is one too", ("dividend or radicand", "divisor or root")),
    _operation("rng", "advance of one 32-bit xorshift register", ("register",)),
    _operation("hop", "one event word over one link and router of the mesh", ("event word",)),
)
COUNTERS: tuple[Counter, ...] = (*_memory_counters(), *OPERATION_COUNTERS)
COUNTER_KEYS: tuple[str, ...] = tuple(counter.key for counter in COUNTERS)
OPERATIONS: tuple[str, ...] = tuple(counter.key for counter in OPERATION_COUNTERS)


@dataclass(frozen=True)
class Count:
    """`number` times `key` in a phase of a layer.

    Attributes:
        key: one of COUNTER_KEYS.
        phase: one of PHASES.
        layer: index of the layer.
        widths_bits: the word width of a memory access, (w,), or the operand widths of an operation, (w,) or (a, b).
        number: how many (a mean over samples may be fractional).
    """

    key: str
    phase: str
    layer: int
    widths_bits: tuple[int, ...]
    number: float


def is_memory(key: str) -> bool:
    """Tell whether a counter key is a memory access."""
    return key.endswith(("_read", "_write"))


def memory_of(key: str) -> str:
    """Return the memory of an access key: "synapse_read" -> "synapse"."""
    return key.rsplit("_", 1)[0]


def totals(counts: Iterable[Count]) -> dict[str, float]:
    """Sum counts by key; every key of the table is present."""
    result = dict.fromkeys(COUNTER_KEYS, 0.0)
    for count in counts:
        result[count.key] += count.number
    return result


def bits_moved(counts: Iterable[Count]) -> dict[str, float]:
    """Sum accesses times word width, in bits, by access key."""
    result = {key: 0.0 for key in COUNTER_KEYS if is_memory(key)}
    for count in counts:
        if is_memory(count.key):
            result[count.key] += count.number * count.widths_bits[0]
    return result
