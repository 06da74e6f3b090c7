"""ReckOn: which networks and rules it can run, and the chip file it must be given."""

from __future__ import annotations

from neurochip.errors import UserError
from neurochip.microarch.chains import require_chain
from neurochip.microarch.interface import ALL_GATES, ChipTiming, Gates
from neurochip.microarch.reckon import (
    MAX_INPUTS,
    MAX_OUTPUTS,
    MAX_RECURRENT,
    NEURONS_PER_WORD,
    WEIGHTS_PER_WORD,
)
from neurochip.spec import CoreSpec

WEIGHT_BITS, MEMBRANE_BITS, INPUT_TRACE_BITS, OUTPUT_TRACE_BITS = 8, 16, 12, 10
WORDS = {"neuron": MAX_RECURRENT // NEURONS_PER_WORD, "synapse": 2 * MAX_INPUTS * MAX_RECURRENT // WEIGHTS_PER_WORD}

# What the Verilog fixes. ReckOn scans one index a clock, and has neither a divider nor a history: those are 1.
CHIP_NUMBERS = {
    "lanes": WEIGHTS_PER_WORD,
    "trace_lanes": NEURONS_PER_WORD,
    "scan_width": 1,
    "history_word_bits": 1,
    "div_cycles": 1,
    "pipeline_latency_cycles": 1,
}


def check(spec: CoreSpec, chip: ChipTiming, gates: Gates) -> None:
    """Refuse what ReckOn cannot do.

    Raises:
        UserError: a network, rule or format that it lacks, gates switched off, or another chip's numbers.
    """
    require_chain(spec, "reckon")
    name = getattr(chip, "name", "reckon")
    reason = _unfit_network(spec) or _unfit_rule(spec)
    if reason:
        raise UserError(f"chip {name} cannot run this network: {reason}")
    if gates != ALL_GATES:
        raise UserError(f"chip {name} skips the writes of weights whose trace is 0, and its gates cannot be switched")
    check_chip(chip)


def check_chip(chip: ChipTiming) -> None:
    """Refuse a chip file whose counts of hardware are not ReckOn's; UserError names key, value and what is allowed."""
    name = getattr(chip, "name", "reckon")
    for key, fixed in CHIP_NUMBERS.items():
        if getattr(chip, key) != fixed:
            raise UserError(f"{key} of chip {name} is {getattr(chip, key)}; the reckon microarchitecture has {fixed}")
    for key, words in WORDS.items():
        if key not in chip.memories:
            raise UserError(f"chip {name} has no memory memories.{key}, which ReckOn needs")
        memory = chip.memories[key]
        if (memory.words, memory.ports) != (words, "1rw"):
            raise UserError(
                f'memories.{key} of chip {name} has {memory.words} words and ports "{memory.ports}"; '
                f'the reckon microarchitecture has {words} and "1rw"'
            )
        if memory.read_latency_cycles != 1:
            raise UserError(
                f"memories.{key}.read_latency_cycles of chip {name} is {memory.read_latency_cycles}; the reckon "
                "microarchitecture writes a word in the clock after it is read: 1"
            )


def _unfit_network(spec: CoreSpec) -> str:
    if len(spec.layers) != 2:
        return f"it has {len(spec.layers) - 1} hidden layers; ReckOn has 1, and a readout"
    hidden, readout = spec.layers
    for what, size, most in (
        ("inputs", hidden.n_in, MAX_INPUTS),
        ("hidden neurons", hidden.n_out, MAX_RECURRENT),
        ("classes", readout.n_out, MAX_OUTPUTS),
    ):
        if size > most:
            return f"it has {size} {what}; ReckOn has {most}"
    if hidden.bias or readout.bias:
        return "it has biases; ReckOn has none (set bias = false in every layer of network.layers)"
    if spec.event_bits > 1:
        return f"its events have {spec.event_bits} bits; an event of ReckOn has 1, so a static image or counts are not"
    for what, bits, most in (
        ("weight", spec.weight_bits, WEIGHT_BITS),
        ("membrane", spec.membrane_bits, MEMBRANE_BITS),
    ):
        if bits > most:
            return f"precision.{what}.bits is {bits}; ReckOn has {most}"
    return ""


def _unfit_rule(spec: CoreSpec) -> str:
    if spec.credit == "none":
        return ""
    if (spec.credit, spec.update) != ("trace", "immediate"):
        return (
            f"its rule has temporal credit {spec.credit} and update {spec.update}; ReckOn learns with a trace and "
            "updates immediately, as ottt-o does"
        )
    if spec.trace_bits > OUTPUT_TRACE_BITS:
        return f"precision.trace.bits is {spec.trace_bits}; the narrowest trace of ReckOn has {OUTPUT_TRACE_BITS}"
    if spec.trace_gate > 0:
        return f"trace.gate is {spec.trace_gate}; ReckOn has no threshold below which a trace is skipped"
    return ""
