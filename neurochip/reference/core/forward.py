"""Forward half of a step: deliver, fire, trace, readout (docs/semantics.md, sections 3.1 to 3.4)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from neurochip.reference.core.arithmetic import Limits, leak, saturate
from neurochip.reference.core.wiring import Event, input_word
from neurochip.spec import LEAK_NONE, LayerSpec
from neurochip.topology import Tap

Addend = tuple[int, int]  # (output, what is added to it)
Rows = Sequence[Sequence[int]]
Leak = tuple[str, int]  # (kind, value)
Current = list[int] | None  # i of every output; empty or None: the layer has no synaptic current
Counts = dict[str, int]


def addends(
    layer: LayerSpec,
    weights: Rows,
    taps: Sequence[Sequence[Tap]],
    bias_taps: Sequence[Sequence[Tap]],
    events: Sequence[Event],
) -> Iterator[Addend]:
    """Section 3.1, steps 2 and 3: what is added to i, u or z, in order: the bias, then (W_rj m) << sh of events."""
    sh, o = layer.deliver_shift, layer.columns
    for row_taps in bias_taps:
        for row, block in row_taps:
            for j, b in enumerate(weights[row]):
                yield block * o + j, b << sh
    for address, m in events:
        for row, block in taps[address]:
            for j, w in enumerate(weights[row]):
                yield block * o + j, (w * m) << sh


def receiver(layer: LayerSpec, potential: list[int], current: Current) -> tuple[list[int], Leak]:
    """Where bias and events go, and its leak: into the synaptic current if there is one, else into u or z."""
    if current:
        return current, (layer.current_leak_kind, layer.current_leak_value)
    return potential, (layer.leak_kind, layer.leak_value)


def integrate(
    layer: LayerSpec, potential: list[int], current: Current, limits: Limits, counts: Counts, field: str
) -> None:
    """Sections 3.1 and 3.4: u <- sat(leak(u_after_reset) + i), z <- sat(leak(z) + i), where there is a current i."""
    for j, i in enumerate(current or ()):
        kept = leak(potential[j], layer.leak_kind, layer.leak_value)
        potential[j] = saturate(kept + i, limits, counts, field)


def deliver(
    layer: LayerSpec,
    potential: list[int],
    added: Iterator[Addend],
    limits: Limits,
    counts: Counts,
    current: Current = None,
) -> None:
    """Section 3.1, deliver = "synapse": leak, then add, saturating at every add; a current then goes into u."""
    values, kept = receiver(layer, potential, current)
    for j, before in enumerate(values):
        values[j] = leak(before, *kept)
    for output, value in added:
        values[output] = saturate(values[output] + value, limits, counts, "sat_membrane")
    integrate(layer, potential, current, limits, counts, "sat_membrane")


def deliver_wide(
    layer: LayerSpec,
    potential: list[int],
    added: Iterator[Addend],
    limits: Limits,
    counts: Counts,
    current: Current = None,
) -> None:
    """Section 3.1, deliver = "neuron": the same sum in a wide register, saturated once per neuron."""
    values, kept = receiver(layer, potential, current)
    wide = [leak(before, *kept) for before in values]
    for output, value in added:
        wide[output] += value
    values[:] = [saturate(total, limits, counts, "sat_membrane") for total in wide]
    integrate(layer, potential, current, limits, counts, "sat_membrane")


def read_out(
    layer: LayerSpec, z: list[int], added: Iterator[Addend], limits: Limits, counts: Counts, current: Current = None
) -> None:
    """Section 3.4: z from 0, or where it is leaky from leak(z), then bias and events, saturating at every add.

    With a current they go into i, from current_leak(i), and i into the leaky z.
    """
    values, kept = receiver(layer, z, current)
    for c, before in enumerate(values):
        values[c] = 0 if kept[0] == LEAK_NONE else leak(before, *kept)
    for output, value in added:
        values[output] = saturate(values[output] + value, limits, counts, "sat_readout")
    integrate(layer, z, current, limits, counts, "sat_readout")


def surrogate_codes(layer: LayerSpec, potential: Sequence[int], table: Sequence[int], psi: list[int]) -> None:
    """Section 3.2: psi_j = psi_q[clamp((u - theta) >> (frac_u - 4), -32, 31)], from u before the reset."""
    for j, u in enumerate(potential):
        idx = (u - layer.threshold_q) >> (layer.frac_potential - 4)
        psi[j] = table[max(-32, min(31, idx)) + 32]


def fire(layer: LayerSpec, potential: list[int]) -> list[int]:
    """Section 3.2: s = [u >= theta]; replaces u by u_after_reset and returns the spikes."""
    spikes = []
    for j, u in enumerate(potential):
        s = 1 if u >= layer.threshold_q else 0
        potential[j] = u - layer.threshold_q * s if layer.reset == "subtract" else u * (1 - s)
        spikes.append(s)
    return spikes


def update_trace(
    layer: LayerSpec, trace: list[int], filtered: list[int], m: Mapping[int, int], limits: Limits, counts: Counts
) -> None:
    """Section 3.3: a_i <- sat(leak(a_i) + (m_i << sa)) for every input address i, m_i = 0 without an event.

    With a filter, `filtered` holds f_i: f_i <- sat(leak(f_i) + (m_i << sa)), then a_i <- sat(filter_leak(a_i) + f_i).
    """
    for i, a in enumerate(trace):
        added = m.get(i, 0) << layer.trace_shift
        if not filtered:
            a = leak(a, layer.trace_leak_kind, layer.trace_leak_value) + added
        else:
            f = leak(filtered[i], layer.trace_leak_kind, layer.trace_leak_value) + added
            filtered[i] = saturate(f, limits, counts, "sat_trace")
            a = leak(a, layer.filter_leak_kind, layer.filter_leak_value) + filtered[i]
        trace[i] = saturate(a, limits, counts, "sat_trace")


def count_trace_words(
    layer: LayerSpec, trace: Sequence[int], filtered: Sequence[int], m: Mapping[int, int], lanes: int, counts: Counts
) -> None:
    """Section 5: M-words with some a or f that is not 0 before the step, or an event."""
    holding = {i for values in (trace, filtered) for i, value in enumerate(values) if value} | set(m)
    counts["trace_words"] += len({input_word(layer, i, lanes) for i in holding})
