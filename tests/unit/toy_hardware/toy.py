"""`toy`, an example of a microarchitecture: one weight a clock, no zero skipped, potentials and signals in registers.

It runs `infer` and `sltt-o`. Every clock is decided by totals, so recorded events are not looked at.
"""

from __future__ import annotations

from neurochip.activity import Activity, SampleTrace
from neurochip.counters import PHASES, STALL_CAUSES, Count
from neurochip.errors import UserError
from neurochip.microarch.interface import ALL_GATES, ChipTiming, Counted, Gates, rmw_cycles
from neurochip.microarch.registry import register_microarchitecture
from neurochip.microarch.shapes import ceil_log2, event_bits, learns, potential_bits, rate_bits
from neurochip.spec import CoreSpec

EXPONENTIAL_BITS, EXPONENTIAL_INDEX_BITS = 16, 8
RANDOM_BITS = 32


def count(
    activity: Activity,
    spec: CoreSpec,
    chip: ChipTiming,
    gates: Gates = ALL_GATES,
    trace: SampleTrace | None = None,
) -> Counted:
    """Count one clock per weight and per neuron, `div_cycles` per class; a weight that is written takes a slot."""
    _check(spec, chip)
    counts: list[Count] = []
    cycles, stalls = dict.fromkeys(PHASES, 0), dict.fromkeys(STALL_CAUSES, 0)
    steps = activity.n_samples * activity.n_steps
    _count_inference(activity, spec, counts, cycles)
    if activity.learning and learns(spec):
        written = _count_learning(activity, spec, counts)
        weights = sum(layer.n_in * layer.n_out for layer in spec.layers[1:])
        cycles["error"] = steps * (spec.layers[-1].n_out * chip.div_cycles + weights)
        cycles["update"] = written * rmw_cycles(chip, "synapse")
        stalls["port"] = cycles["update"] - written
    return Counted(tuple(one for one in counts if one.number), cycles, sum(cycles.values()), stalls)


def _count_inference(activity: Activity, spec: CoreSpec, counts: list[Count], cycles: dict[str, int]) -> None:
    steps = activity.n_samples * activity.n_steps
    events, graded = activity.per_layer("events"), activity.per_layer("graded_events")
    for index, layer in enumerate(spec.layers):
        potential, bias_rows = (potential_bits(spec, index),), steps * int(layer.bias)
        weights, neurons = (events[index] + bias_rows) * layer.n_out, steps * layer.n_out
        cycles["deliver"] += weights
        cycles["fire"] += neurons
        factors = (spec.weight_bits, event_bits(spec, index))
        counts += [
            Count("synapse_read", "deliver", index, (spec.weight_bits,), weights),
            Count("ac", "deliver", index, potential, (events[index] - graded[index]) * layer.n_out),
            Count("mac", "deliver", index, factors, graded[index] * layer.n_out),
            Count("add", "deliver", index, potential, bias_rows * layer.n_out),
            Count("add", "fire", index, potential, neurons),
        ]


def _count_learning(activity: Activity, spec: CoreSpec, counts: list[Count]) -> int:
    """Append what learning does; returns how many weights it writes."""
    steps, last, written = activity.n_samples * activity.n_steps, len(spec.layers) - 1, 0
    rows, advances = activity.per_layer("presynaptic_rows"), activity.per_layer("random_advances")
    weight, signal, classes = spec.weight_bits, spec.error_bits, spec.layers[-1].n_out
    quotient = (EXPONENTIAL_BITS + spec.layers[-1].frac_error, EXPONENTIAL_BITS + ceil_log2(classes))
    counts.append(Count("lut", "error", last, (EXPONENTIAL_INDEX_BITS, EXPONENTIAL_BITS), steps * classes))
    counts.append(Count("div", "error", last, quotient, steps * classes))
    for index, layer in enumerate(spec.layers):
        changed = rows[index] * layer.n_out
        written += changed
        if index > 0:
            back = steps * layer.n_in * layer.n_out
            counts.append(Count("synapse_read", "error", index, (weight,), back))
            counts.append(Count("mac", "error", index, (weight, signal), back))
        counts += [
            Count("synapse_read", "update", index, (weight,), changed),
            Count("synapse_write", "update", index, (weight,), changed),
            Count("mul", "update", index, (signal, rate_bits(spec)), changed),
            Count("add", "update", index, (weight,), changed),
            Count("rng", "update", index, (RANDOM_BITS,), advances[index] * spec.rng_lanes),
        ]
    return written


def _check(spec: CoreSpec, chip: ChipTiming) -> None:
    if chip.lanes != 1:
        raise UserError(f"lanes of the chip is {chip.lanes}; the toy microarchitecture allows 1")
    if (spec.credit, spec.update) not in (("none", "none"), ("spike", "immediate")):
        raise UserError(
            f"the toy microarchitecture has no credit {spec.credit} with update {spec.update}; "
            "allowed are the rules infer and sltt-o"
        )
    if spec.deliver != "synapse":
        raise UserError(f'learning.deliver is "{spec.deliver}"; the toy microarchitecture allows "synapse"')


register_microarchitecture("toy", "one weight a clock, no zero skipped", count)
