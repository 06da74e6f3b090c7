"""Formats that are legal for a drawn network: every shift and sum of docs/semantics.md, section 1, fits."""

from __future__ import annotations

import random
from dataclasses import dataclass

from property_network_topology import Draft
from property_strategies import clip

from neurochip.fixed_point import MAX_FRAC
from neurochip.spec import MAX_DELIVER_BITS, MAX_SHIFT, MAX_WIDE_REGISTER


def positions(layer: Draft) -> int:
    """Positions that share a row of the weights."""
    return layer.conv.n_positions if layer.conv is not None else 1


def most_events(layer: Draft) -> int:
    """The largest number of events a neuron can get in a step."""
    each = [layer.fan_in if layer.conv is not None else connection.n_addresses for connection in layer.inputs]
    return sum(window * reached for window, reached in zip(layer.windows, each, strict=True))


def fit_sums(layers: list[Draft], bits: dict[str, int], unrolls: bool) -> int:
    """Narrow error and trace until the sum D of semantics 3.5 fits; returns the highest frac_p that fits as well."""
    widest = max(positions(layer) for layer in layers)
    magnitude = (1 << bits["event_bits"]) * max(sum(layer.windows) for layer in layers)
    while True:
        signal = bits["delta_bits" if unrolls else "error_bits"]
        room = MAX_WIDE_REGISTER // (widest << (signal - 1))
        if room >= max(magnitude, 16, 1 << bits["trace_bits"]):
            return room.bit_length() - 1
        if bits["trace_bits"] > 8 and not unrolls:
            bits["trace_bits"] -= 1
        elif bits["delta_bits"] > bits["error_bits"]:
            bits["delta_bits"] -= 1
        else:
            bits["error_bits"], bits["delta_bits"] = bits["error_bits"] - 1, bits["delta_bits"] - 1


@dataclass
class Fracs:
    """Fractional bits per layer."""

    weight: list[int]
    potential: list[int]
    trace: list[int]
    error: list[int]
    gradient: list[int]

    def rate_shifts(self, layers: list[Draft]) -> tuple[int, int]:
        """Lowest and highest s that is legal in every layer that learns."""
        shifts = [self.gradient[k] - self.weight[k] for k, layer in enumerate(layers) if layer.learns]
        return -min(shifts), MAX_SHIFT - max(shifts)


def deliver_room(layer: Draft, bits: dict[str, int], deliver: str) -> int:
    """The largest alignment shift sh that is legal."""
    room = MAX_DELIVER_BITS - (bits["weight_bits"] - 1 + bits["event_bits"] - 1)
    if deliver == "neuron" and layer.is_hidden:
        largest = (most_events(layer) + 1) * ((1 << bits["event_bits"]) - 1) << (bits["weight_bits"] - 1)
        room = min(room, ((MAX_WIDE_REGISTER - (1 << 23)) // largest).bit_length() - 1)
    return room


def draw_weight_fracs(
    rng: random.Random, hostile: bool, bits: dict[str, int], layer: Draft, deliver: str
) -> tuple[int, int]:
    """frac_w and frac_u or frac_z: their difference, less frac_m, is 0 to `deliver_room`."""
    room = min(deliver_room(layer, bits, deliver), MAX_FRAC)
    width = bits["weight_bits"]
    lowest = max(0, 4 - room - layer.frac_event) if layer.is_hidden else 0
    sensible = max(lowest, width - 2 - rng.randint(0, 1))
    weight = rng.randint(lowest, max(lowest, min(16, width + 2))) if hostile else sensible
    shift = rng.choice([rng.randint(0, 4), room if hostile else 1])
    potential = min(weight + layer.frac_event + min(shift, room), MAX_FRAC)
    return weight, max(4, potential) if layer.is_hidden else potential


def draw_errors(rng: random.Random, hostile: bool, layers: list[Draft], weight: list[int], width: int) -> list[int]:
    """frac_e from the last layer down: at most what every layer that gives it its error has, and at most 30 below."""
    error = [0] * len(layers)
    for index in reversed(range(len(layers))):
        layer = layers[index]
        wanted = rng.randint(0, width + 1) if hostile else width - 1 - rng.randint(0, 1)
        if layer.signal_of is not None:
            error[index] = error[layer.signal_of]
            continue
        tops = [
            weight[n] + error[n] + layers[n].frac_event
            for n in range(index + 1, len(layers))
            for one in layers[n].inputs
            if one.source == index and one.carries_error and one.delay == 0
        ]
        error[index] = clip(wanted, max([0, *(top - MAX_SHIFT for top in tops)]), min([MAX_FRAC, *tops]))
    return error


def draw_fracs(
    rng: random.Random,
    hostile: bool,
    bits: dict[str, int],
    layers: list[Draft],
    accumulates: bool,
    deliver: str,
    most_p: int,
) -> Fracs:
    """Fractional bits that satisfy every shift of docs/semantics.md, section 1."""
    pairs = [draw_weight_fracs(rng, hostile, bits, layer, deliver) for layer in layers]
    weight = [pair[0] for pair in pairs]
    error = draw_errors(rng, hostile, layers, weight, bits["error_bits"])
    # A hostile frac_a may exceed the bits of the trace: every event saturates, and the bias row has more bits than a.
    width = bits["trace_bits"]
    highest = min(most_p, rng.choice([width + 1, MAX_FRAC]))
    trace = []
    for layer in layers:
        sensible = max(0, width - 1 - rng.randint(0, 2))
        trace.append(max(layer.frac_event, min(most_p, rng.randint(0, highest) if hostile else sensible)))
    gradient = [(trace[k] if layer.keeps_trace else layer.frac_event) + error[k] for k, layer in enumerate(layers)]
    if accumulates:
        gradient = [clip(f - rng.choice([0, 0, 1, 3]), max(0, f - MAX_SHIFT), MAX_FRAC) for f in gradient]
    return Fracs(weight, [pair[1] for pair in pairs], trace, error, gradient)


def draw_rate(rng: random.Random, hostile: bool, fracs: Fracs, layers: list[Draft]) -> tuple[int, int]:
    """m_eta and s; in sensible cases a typical update is about one step of the weight."""
    rate_bits = rng.choice([4, 4, 4, 1, 2, 8])
    multiplier = rng.randint(1 << (rate_bits - 1), (1 << rate_bits) - 1)
    low, high = fracs.rate_shifts(layers)
    wanted = max(fracs.weight) + rate_bits - 4 + rng.randint(-3, 2)
    return multiplier, rng.randint(low, high) if hostile else clip(wanted, low, high)
