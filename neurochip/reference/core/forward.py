"""Forward half of a step: deliver, fire, trace, readout (docs/semantics.md, sections 3.1 to 3.4)."""

from __future__ import annotations

from collections.abc import Sequence

from neurochip.reference.core.arithmetic import Limits, leak, saturate
from neurochip.spec import LayerSpec

Event = tuple[int, int]  # (address, magnitude)
Rows = Sequence[Sequence[int]]
Counts = dict[str, int]


def deliver(
    layer: LayerSpec, weights: Rows, potential: list[int], events: Sequence[Event], limits: Limits, counts: Counts
) -> None:
    """Section 3.1, deliver = "synapse": leak, then add bias and weighted events, saturating at every add."""
    sh = layer.deliver_shift
    for j, u in enumerate(potential):
        potential[j] = leak(u, layer.leak_kind, layer.leak_value)
    if layer.bias:
        for j, b in enumerate(weights[layer.n_in]):
            potential[j] = saturate(potential[j] + (b << sh), limits, counts, "sat_membrane")
    for address, m in events:
        for j, w in enumerate(weights[address]):
            potential[j] = saturate(potential[j] + ((w * m) << sh), limits, counts, "sat_membrane")


def deliver_wide(
    layer: LayerSpec, weights: Rows, potential: list[int], events: Sequence[Event], limits: Limits, counts: Counts
) -> None:
    """Section 3.1, deliver = "neuron": the same sum in a wide register, saturated once per neuron."""
    sh = layer.deliver_shift
    for j, u in enumerate(potential):
        wide = leak(u, layer.leak_kind, layer.leak_value)
        if layer.bias:
            wide += weights[layer.n_in][j] << sh
        for address, m in events:
            wide += (weights[address][j] * m) << sh
        potential[j] = saturate(wide, limits, counts, "sat_membrane")


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
    layer: LayerSpec, trace: list[int], events: Sequence[Event], limits: Limits, trace_lanes: int, counts: Counts
) -> None:
    """Section 3.3: a_i <- sat(leak(a_i) + (m_i << frac_a)) for every input address, m_i = 0 without an event."""
    magnitude = dict(events)
    touched = {i // trace_lanes for i, a in enumerate(trace) if a or i in magnitude}
    counts["trace_words"] += len(touched)
    for i, a in enumerate(trace):
        added = magnitude.get(i, 0) << layer.frac_trace
        trace[i] = saturate(leak(a, layer.trace_leak_kind, layer.trace_leak_value) + added, limits, counts, "sat_trace")
    counts["trace_nonzero"] += sum(1 for a in trace if a)


def read_out(
    layer: LayerSpec, weights: Rows, z: list[int], events: Sequence[Event], limits: Limits, counts: Counts
) -> None:
    """Section 3.4: z_c = b_c << sh, then the weighted events, saturating at every add; z has no memory."""
    sh = layer.deliver_shift
    for c in range(layer.n_out):
        z[c] = saturate(weights[layer.n_in][c] << sh, limits, counts, "sat_readout") if layer.bias else 0
    for address, m in events:
        for c, w in enumerate(weights[address]):
            z[c] = saturate(z[c] + ((w * m) << sh), limits, counts, "sat_readout")
