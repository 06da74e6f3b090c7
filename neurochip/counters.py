"""The one table of what is counted: memories and operations (DESIGN names; see docs/counting.md).

Documentation, JSON keys, CSV headers and the keys of chip files all come from `COUNTERS`. Only leaves are counted;
every total is derived by summing `Count` records.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

MEMORIES: tuple[str, ...] = (
    "event_fifo",
    "synapse",
    "neuron",
    "trace",
    "error",
    "gradient",
    "history",
    "dram",
)
OPERATIONS: tuple[str, ...] = ("ac", "mac", "mul", "add", "shift", "compare", "lut", "div", "rng", "hop")
# Why a unit could not begin work in a clock (docs/microarchitecture.md, section 2).
STALLS: Mapping[str, str] = {
    "event_wait": "DELIVER waits for the next spike of FIRE, or for the next event of the host",
    "raw_hazard": "DELIVER waits until an earlier event has written the word",
    "port": "the second clock of a read-modify-write on a single-port memory",
    "arbitration": "FIRE waits while DELIVER has the port of the neuron bank",
    "fifo_full": "FIRE waits with a spike because the event FIFO is full",
    "scan": "a scanner loads a window of a bitmap",
    "latency": "the control waits for a pipeline",
    "dram": "a burst to or from DRAM is under way",
}
STALL_CAUSES: tuple[str, ...] = tuple(STALLS)
PHASES: tuple[str, ...] = ("deliver", "fire", "trace", "error", "update", "apply", "standardise", "history")


@dataclass(frozen=True)
class Counter:
    """One thing that can be counted: key, unit of the number, and what one of it means."""

    key: str
    unit: str
    meaning: str


def _memory_counters() -> list[Counter]:
    stored = {
        "event_fifo": "input events and spikes on their way to a layer",
        "synapse": "weights and biases, L per word",
        "neuron": "membrane potentials and readout sums, L per word",
        "trace": "presynaptic traces, M per word",
        "error": "surrogate codes, errors and learning signals, L per word",
        "gradient": "accumulated gradients, L per word",
        "history": "spikes, surrogate codes and errors kept for the reverse pass",
        "dram": "words spilled off the chip",
    }
    return [
        Counter(f"{memory}_{access}", "words", f"{access}s of the {memory} memory: {stored[memory]}")
        for memory in MEMORIES
        for access in ("read", "write")
    ]


COUNTERS: tuple[Counter, ...] = (
    *_memory_counters(),
    Counter("ac", "operations", "accumulate: add of a weight gated by a binary spike"),
    Counter("mac", "operations", "multiply-accumulate"),
    Counter("mul", "operations", "multiplication without accumulation"),
    Counter("add", "operations", "addition or subtraction that is not an accumulate of a weight"),
    Counter("shift", "operations", "shift by more than a wired constant"),
    Counter("compare", "operations", "comparison of two numbers"),
    Counter("lut", "operations", "table look-up"),
    Counter("div", "operations", "division"),
    Counter("rng", "operations", "advance of one 32-bit xorshift register"),
    Counter("hop", "operations", "one event word over one link and router of the mesh"),
)
COUNTER_KEYS: tuple[str, ...] = tuple(counter.key for counter in COUNTERS)


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
