"""Drawn networks, formats, rules and samples for the property tests.

`draw_case` takes every structural decision from the random generator it is given, so the same code serves hypothesis
(`cases`) and fixed seeds (`fixed_case`). Weights and events are filled in from one drawn seed. Every case is legal by
construction: sensible formats, in which all layers learn, are mixed with hostile ones, in which everything saturates.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from neurochip.events import EventDataset
from neurochip.reference.core import GoldenSample
from neurochip.spec import MAX_DELIVER_BITS, MAX_SHIFT, NETWORK_INPUT, CoreSpec, LayerSpec

RULES: dict[str, tuple[str, str]] = {
    "infer": ("none", "none"),
    "sltt-o": ("spike", "immediate"),
    "ottt-o": ("trace", "immediate"),
    "bptt-o": ("unroll", "immediate"),
    "sltt": ("spike", "accumulate"),
    "ottt-a": ("trace", "accumulate"),
    "bptt": ("unroll", "accumulate"),
}
MAX_FRAC = 24
# learning.deliver = "neuron" sums in 31 bits: 24 for one product and 6 for up to 62 rows.
MAX_WIDE_DELIVER_BITS = 24


@dataclass(frozen=True)
class Pass:
    """One call of `run`: samples in order (they may repeat), and the positions whose intermediates are kept."""

    order: tuple[int, ...]
    learn: bool
    end_of_epoch: bool
    probe: tuple[int, ...]


@dataclass(frozen=True)
class Case:
    """A specification, and what both cores are to do with it. Weights and samples follow from `seed`."""

    rule: str
    spec: CoreSpec
    hostile: bool
    seed: int
    passes: tuple[Pass, ...]
    weights: list[NDArray[np.int64]] = field(repr=False)
    samples: list[GoldenSample] = field(repr=False)

    def dataset(self) -> EventDataset:
        """The samples as the fast core takes them."""
        steps = [step for sample in self.samples for step in sample.steps]
        return EventDataset(
            step_offsets=np.cumsum([0, *map(len, steps)]).astype(np.int64),
            addresses=np.array([a for step in steps for a, _ in step], np.int32),
            magnitudes=np.array([m for step in steps for _, m in step], np.int32),
            labels=np.array([sample.label for sample in self.samples], np.int32),
            n_inputs=n_network_inputs(self.spec),
            n_steps=self.spec.n_steps,
        )


@dataclass(frozen=True)
class Fracs:
    """Fractional bits per layer."""

    weight: list[int]
    potential: list[int]
    trace: list[int]
    error: list[int]
    presynaptic: list[int]
    gradient: list[int]
    rate_shifts: tuple[int, int]  # lowest and highest legal s


def chance(rng: random.Random, percent: int) -> bool:
    """True in `percent` of 100 draws; shrinks to False."""
    return rng.randint(0, 99) >= 100 - percent


def clip(x: int, low: int, high: int) -> int:
    return max(low, min(high, x))


def draw_sizes(rng: random.Random) -> list[int]:
    """Inputs, 1 to 3 hidden layers, classes; around the width of a 16-column word, and rarely above two words."""
    n_hidden = rng.choice([1, 2, 1, 2, 3])
    hidden = [rng.choice([rng.randint(1, 24), 12, 16, 17, 32, 35 if n_hidden < 3 else 9]) for _ in range(n_hidden)]
    return [rng.choice([rng.randint(1, 30), 8, 16, 24]), *hidden, rng.choice([2, 3, 5, 10, 17])]


def draw_bits(rng: random.Random, hostile: bool) -> dict[str, int]:
    """Widths; in hostile cases each is drawn from its whole legal range, mostly from the low end."""
    error = rng.choice([8, 2, 4, 6, 12, 16] if hostile else [8, 8, 8, 6, 12, 16])
    return {
        "event_bits": rng.choice([1, 1, 1, 2, 3, 8 if hostile else 3]),
        "weight_bits": rng.choice([8, 2, 4, 5, 12, 16] if hostile else [8, 8, 8, 6, 12, 16]),
        "trace_bits": rng.choice([8, 2, 4, 12, 16] if hostile else [8, 8, 6, 12, 16]),
        "error_bits": error,
        "delta_bits": min(24, error + rng.choice([4, 0, 1, 8])),
        "surrogate_bits": rng.choice([4, 1, 2, 8]),
        "gradient_bits": rng.choice([24, 8, 10, 12, 32]),
        "readout_bits": rng.choice([24, 8, 10, 16, 31]),
    }


def draw_fracs(
    rng: random.Random, hostile: bool, bits: dict[str, int], keeps: Sequence[bool], wide: bool, update: str
) -> Fracs:
    """Fractional bits that satisfy every shift of docs/semantics.md, section 1."""
    n, wb, eb, tb = len(keeps), bits["weight_bits"], bits["error_bits"], bits["trace_bits"]
    room = (MAX_WIDE_DELIVER_BITS if wide else MAX_DELIVER_BITS) - (wb - 1 + bits["event_bits"] - 1)
    lowest_weight = max(0, 4 - room)  # frac_u is at least 4
    weight, potential = [], []
    for _ in range(n):
        fw = rng.randint(lowest_weight, min(20, wb + 2)) if hostile else max(lowest_weight, wb - 2 - rng.randint(0, 1))
        shift = rng.choice([rng.randint(0, 4), clip(room, 0, MAX_FRAC) if hostile else 1])
        weight.append(fw)
        potential.append(clip(fw + min(shift, room), fw, MAX_FRAC))
    potential = [max(4, fu) for fu in potential[:-1]] + potential[-1:]
    error = [0] * n
    error[-1] = rng.randint(0, eb + 1) if hostile else eb - 1 - rng.randint(0, 1)
    for index in range(n - 2, -1, -1):
        top = weight[index + 1] + error[index + 1]
        wanted = top - rng.randint(0, 8) if hostile else eb - 1 - rng.randint(0, 1)
        error[index] = clip(wanted, max(0, top - MAX_SHIFT), min(MAX_FRAC, top))
    # A hostile frac_a may exceed the bits of the trace: every event saturates, and the bias row has more bits than a.
    highest = rng.choice([tb + 1, MAX_FRAC])
    # The sum D of an update must fit 32 bits.
    trace = [min(rng.randint(0, highest), 31 - eb) if hostile else max(0, tb - 1 - rng.randint(0, 2)) for _ in range(n)]
    presynaptic = [fa if keep else 0 for fa, keep in zip(trace, keeps, strict=True)]
    gradient = [p + e for p, e in zip(presynaptic, error, strict=True)]
    if update == "accumulate":
        gradient = [clip(f - rng.choice([0, 0, 1, 3]), max(0, f - MAX_SHIFT), MAX_FRAC) for f in gradient]
    offsets = [g - w for g, w in zip(gradient, weight, strict=True)]
    return Fracs(weight, potential, trace, error, presynaptic, gradient, (-min(offsets), MAX_SHIFT - max(offsets)))


def draw_leak(rng: random.Random) -> tuple[str, int]:
    if chance(rng, 45):
        return "constant", rng.choice([rng.randint(0, 65535), 32768, 58982, 65535, 65536, 0])
    return "shift", rng.choice([1, 1, 2, 3, 4, 15])


def draw_rate(rng: random.Random, hostile: bool, fracs: Fracs) -> tuple[int, int]:
    """m_eta and s; in sensible cases a typical update is about one step of the weight."""
    rate_bits = rng.choice([4, 4, 4, 1, 2, 8])
    multiplier = rng.randint(1 << (rate_bits - 1), (1 << rate_bits) - 1)
    low, high = fracs.rate_shifts
    wanted = max(fracs.weight) + rate_bits - 4 + rng.randint(-3, 3)
    return multiplier, rng.randint(low, high) if hostile else clip(wanted, low, high)


def draw_layers(
    rng: random.Random, sizes: list[int], fracs: Fracs, keeps: Sequence[bool], membrane_bits: int, resets: list[str]
) -> tuple[LayerSpec, ...]:
    layers: list[LayerSpec] = []
    highest = (1 << (membrane_bits - 1)) - 1
    last = len(sizes) - 2
    leak = ("none", 0)
    for index in range(last + 1):
        readout = index == last
        before, leak = leak, ("none", 0) if readout else draw_leak(rng)
        trace_leak = before if readout else leak
        threshold = int(rng.choice([1.0, 0.25, 0.5, 1.5]) * 2 ** fracs.potential[index])
        layers.append(
            LayerSpec(
                kind="readout" if readout else "dense",
                n_in=sizes[index],
                n_out=sizes[index + 1],
                bias=not chance(rng, 25),
                leak_kind=leak[0],
                leak_value=leak[1],
                threshold_q=0 if readout else clip(threshold, 1, highest),
                reset=resets[index],
                keeps_trace=keeps[index],
                trace_leak_kind=trace_leak[0],
                trace_leak_value=trace_leak[1],
                frac_weight=fracs.weight[index],
                frac_potential=fracs.potential[index],
                frac_trace=fracs.trace[index],
                frac_error=fracs.error[index],
                frac_gradient=min(MAX_FRAC, fracs.gradient[index]),
            )
        )
    return tuple(layers)


def draw_keeps(rng: random.Random, credit: str, n_layers: int) -> list[bool]:
    """Which layers learn from a trace: hidden ones do, the readout and the first layer by option."""
    keeps = [credit == "trace"] * n_layers
    keeps[-1] = credit == "trace" and chance(rng, 35)
    keeps[0] = keeps[0] and not chance(rng, 20)
    return keeps


def draw_spec(rng: random.Random, rule: str, hostile: bool, sizes: list[int], n_steps: int) -> CoreSpec:
    credit, update = RULES[rule]
    n = len(sizes) - 1
    bits = draw_bits(rng, hostile)
    deliver = "neuron" if chance(rng, 20) else "synapse"
    keeps = draw_keeps(rng, credit, n)
    fracs = draw_fracs(rng, hostile, bits, keeps, deliver == "neuron", update)
    if fracs.rate_shifts[0] > fracs.rate_shifts[1]:  # no s serves all layers
        fracs = draw_fracs(rng, False, bits, keeps, deliver == "neuron", update)
    multiplier, shift = draw_rate(rng, hostile, fracs)
    widest = max(fracs.potential[:-1])
    membrane_bits = rng.choice([6, 8, 12, 16, 24]) if hostile else clip(widest + rng.choice([3, 2, 5]), 6, 24)
    exact = credit == "unroll" and chance(rng, 35)
    return CoreSpec(
        layers=draw_layers(
            rng, sizes, fracs, keeps, membrane_bits,
            ["zero" if not exact and chance(rng, 40) else "subtract" for _ in range(n)],
        ),
        n_steps=n_steps,
        weight_rounding=rng.choice(["stochastic", "stochastic", "nearest", "floor"]),
        membrane_bits=membrane_bits,
        trace_gate=rng.choice([0, 0, rng.randint(1, 1 << (bits["trace_bits"] - 2))]),
        error_rounding=rng.choice(["nearest", "nearest", "floor"]),
        surrogate=rng.choice(["sigmoid", "triangle", "rectangle"]),
        credit=credit,
        update=update,
        batch=rng.choice([1, 2, 3]) if update == "accumulate" else 1,
        rate_multiplier=multiplier,
        rate_shift=shift,
        mse_share_q=rng.choice([0, 0, 0, rng.randint(1, 256)]),
        deliver=deliver,
        reset_path="exact" if exact else "detached",
        rng_lanes=rng.choice([16, 16, 16, 1, 5, 64, rng.randint(1, 64)]),
        seed=rng.choice([0, 1, rng.randint(0, 2**40)]),
        synapse_lanes=rng.choice([16, 4, 1, rng.randint(1, 32)]),
        trace_lanes=rng.choice([16, 4, 1, rng.randint(1, 32)]),
        **bits,
    )  # fmt: skip


def fill_weights(spec: CoreSpec, hostile: bool, rng: np.random.Generator) -> list[NDArray[np.int64]]:
    """Weights over the whole range if hostile, else a fan-in that makes all layers spike."""
    low, high = -(1 << (spec.weight_bits - 1)), (1 << (spec.weight_bits - 1)) - 1
    weights = []
    for layer in spec.layers:
        shape = (layer.n_in + 1, layer.n_out)
        if hostile:
            values = rng.integers(low, high + 1, size=shape)
        else:
            deviation = 1.6 / math.sqrt(layer.n_in)
            values = np.rint(rng.normal(0.4 * deviation, deviation, size=shape) * 2.0**layer.frac_weight)
        values = np.clip(values, low, high).astype(np.int64)
        if not layer.bias:
            values[-1] = 0
        weights.append(values)
    return weights


def n_network_inputs(spec: CoreSpec) -> int:
    """Addresses of the input of the network: those of the source of any connection from it (0 without one)."""
    sources = [one for index in range(len(spec.layers)) for one in spec.connections(index)]
    return max((one.n_source for one in sources if one.source == NETWORK_INPUT), default=0)


def fill_samples(spec: CoreSpec, n_samples: int, rate: float, rng: np.random.Generator) -> list[GoldenSample]:
    """Samples of independent events at `rate`, now and then a step without any."""
    top = (1 << spec.event_bits) - 1
    samples = []
    for _ in range(n_samples):
        steps = []
        for _ in range(spec.n_steps):
            hit = np.flatnonzero(rng.random(n_network_inputs(spec)) < (0.0 if rng.random() < 0.05 else rate))
            steps.append([(int(a), int(rng.integers(1, top + 1))) for a in hit])
        samples.append(GoldenSample(steps, int(rng.integers(spec.layers[-1].n_out))))
    return samples


def draw_pass(rng: random.Random, n_samples: int, learn: bool, end_of_epoch: bool, longest: int = 3) -> Pass:
    order = tuple(rng.randint(0, n_samples - 1) for _ in range(rng.randint(1, longest)))
    positions = range(len(order))
    probe = tuple(positions) if not chance(rng, 25) else tuple(p for p in reversed(positions) if chance(rng, 50))
    return Pass(order, learn, end_of_epoch, probe)


def draw_case(rng: random.Random, rule: str | None = None) -> Case:
    """One legal case: a pass that leaves the epoch open, sometimes inference, and a pass that ends it."""
    chosen = rule or rng.choice([name for name in RULES for _ in range(1 if name == "infer" else 2)])
    hostile = chance(rng, 25)
    n_steps = rng.choice([10, 8, 12, 8, 16, 1, 2, 5])
    spec = draw_spec(rng, chosen, hostile, draw_sizes(rng), n_steps)
    n_samples = rng.randint(1, 3)
    passes = [draw_pass(rng, n_samples, True, False)]
    if chance(rng, 25):
        passes.append(draw_pass(rng, n_samples, False, True, longest=1))
    passes.append(draw_pass(rng, n_samples, True, True))
    seed = rng.randint(0, 2**32 - 1)
    fill = np.random.default_rng(seed)
    rate = rng.choice([0.4, 0.1, 0.25, 0.8])
    weights, samples = fill_weights(spec, hostile, fill), fill_samples(spec, n_samples, rate, fill)
    return Case(chosen, spec, hostile, seed, tuple(passes), weights, samples)


def fixed_case(seed: int, rule: str | None = None) -> Case:
    """The case of a seed, without hypothesis."""
    return draw_case(random.Random(seed), rule)


def cases() -> st.SearchStrategy[Case]:
    """Cases for hypothesis; each decision is drawn, and shrunk, by it."""
    return st.randoms(use_true_random=False).map(draw_case)
