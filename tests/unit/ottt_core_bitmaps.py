"""Hand-made bitmaps, the activity they amount to, and small chips: the input of test_ottt_core.py."""

from __future__ import annotations

import dataclasses
import itertools
import random
from collections.abc import Iterator
from typing import Any

import numpy as np

from neurochip.activity import FIELD_INDEX, N_FIELDS, Activity, SampleTrace
from neurochip.spec import CoreSpec, LayerSpec

L, M, R, T, SCAN, H, DIV, LATENCY = 4, 3, 3, 3, 4, 16, 24, 6
SIZES = (7, 10, 6, 5)  # no multiple of L, M or R: every vector has a partial last word
N_SAMPLES = 4
RULES = {
    "infer": ("none", "none"),
    "ottt-o": ("trace", "immediate"),
    "ottt-a": ("trace", "accumulate"),
    "sltt-o": ("spike", "immediate"),
    "bptt-o": ("unroll", "immediate"),
    "bptt": ("unroll", "accumulate"),
}


@dataclasses.dataclass(frozen=True)
class Ports:
    ports: str
    words: int = 1024
    bank_words: int = 1024
    read_latency_cycles: int = 1


@dataclasses.dataclass(frozen=True)
class Dram:
    bus_bits: int = 24
    latency_cycles: int = 7


@dataclasses.dataclass(frozen=True)
class Chip:
    memories: dict[str, Ports]
    lanes: int = L
    trace_lanes: int = M
    scan_width: int = SCAN
    history_word_bits: int = H
    div_cycles: int = DIV
    pipeline_latency_cycles: int = LATENCY
    overflow: str = "refuse"
    dram: Dram | None = None


def chip_with(ports: str, **changes: Any) -> Chip:
    names = ("synapse", "neuron", "trace", "error", "gradient", "history")
    memories = {name: Ports(ports) for name in names} | {"event_fifo": Ports("1r1w", 16, 16, 0)}
    return dataclasses.replace(Chip(memories), **changes)


def without(chip: Chip, *memories: str) -> Chip:
    """The chip with DRAM in the place of these memories."""
    kept = {name: memory for name, memory in chip.memories.items() if name not in memories}
    return dataclasses.replace(chip, memories=kept, overflow="dram", dram=Dram())


def layer_spec(index: int, **changes: Any) -> LayerSpec:
    readout = index == len(SIZES) - 2
    layer = LayerSpec(
        "readout" if readout else "dense", SIZES[index], SIZES[index + 1], True, "none" if readout else "shift",
        0 if readout else 1, 0 if readout else 64, "subtract", not readout, "shift", 1, 6, 8, 4, 6, 10,
    )  # fmt: skip
    layer = dataclasses.replace(layer, **changes)
    if "frac_gradient" in changes:
        return layer
    return dataclasses.replace(layer, frac_gradient=layer.frac_presynaptic + layer.frac_error)  # the default: no shift


def core_spec(rule: str, layer_changes: dict[str, object] | None = None, **changes: Any) -> CoreSpec:
    credit, update = RULES[rule]
    layers = tuple(
        layer_spec(i, **({"keeps_trace": False} if credit != "trace" else {}) | (layer_changes or {}))
        for i in range(len(SIZES) - 1)
    )
    spec = CoreSpec(
        layers=layers, n_steps=T, event_bits=1, weight_bits=8, weight_rounding="stochastic", membrane_bits=16,
        trace_bits=7, trace_gate=0, error_bits=9, error_rounding="nearest", delta_bits=13, surrogate_bits=4,
        surrogate="sigmoid", gradient_bits=24, readout_bits=22, credit=credit, update=update, batch=2,
        rate_multiplier=11, rate_shift=12, mse_share_q=0, deliver="synapse", reset_path="detached", rng_lanes=R,
        seed=1, synapse_lanes=L, trace_lanes=M,
    )  # fmt: skip
    return dataclasses.replace(spec, **changes)


@dataclasses.dataclass
class Moment:
    """One sample and step: what is nonzero, by layer."""

    events: list[dict[int, int]]  # address -> magnitude
    fired: list[list[bool]]
    psi: list[list[bool]]
    before: list[list[bool]]  # a ≠ 0 before the step
    after: list[list[bool]]
    signal: list[list[bool]]


def make_moments(spec: CoreSpec, seed: int) -> list[Moment]:
    draw = random.Random(seed)

    def bits(n: int, rate: float) -> list[bool]:
        return [draw.random() < rate for _ in range(n)]

    def events(index: int, n: int) -> dict[int, int]:
        top = 2**spec.event_bits - 1 if index == 0 else 1
        return {i: draw.randint(1, top) for i, hit in enumerate(bits(n, 0.4)) if hit}

    return [
        Moment(
            [events(i, n) for i, n in enumerate(SIZES[:-1])],
            [bits(n, 0.3) for n in SIZES[1:]],
            [bits(n, 0.6) for n in SIZES[1:]],
            [bits(n, 0.3) for n in SIZES[:-1]],
            [bits(n, 0.5) for n in SIZES[:-1]],
            [bits(n, 0.4 * draw.randint(0, 2)) for n in SIZES[1:]],  # all zero in a third of the steps
        )
        for _ in range(N_SAMPLES * T)
    ]


def make_gradients(seed: int) -> list[list[list[list[bool]]]]:
    """[apply][layer][row][column] G ≠ 0, for two applies."""
    draw = random.Random(seed)
    shapes = list(itertools.pairwise(SIZES))
    return [[[[draw.random() < 0.2 for _ in range(b)] for _ in range(a + 1)] for a, b in shapes] for _ in range(2)]


def chunks(n: int, width: int) -> Iterator[range]:
    for first in range(0, n, width):
        yield range(first, min(first + width, n))


def presynaptic(spec: CoreSpec, index: int, moment: Moment) -> list[bool]:
    """Which rows have p ≠ 0, bias row last."""
    layer = spec.layers[index]
    traced = spec.credit == "trace" and layer.keeps_trace
    rows = list(moment.after[index]) if traced else [i in moment.events[index] for i in range(layer.n_in)]
    return rows + [True] * layer.bias


def make_activity(spec: CoreSpec, moments: list[Moment], gradients: list[list[list[list[bool]]]]) -> Activity:
    """The totals of semantics section 5, from the bitmaps."""
    learning = spec.credit != "none"
    table = np.zeros((T + 1, len(spec.layers), N_FIELDS), dtype=np.int64)

    def add(step: int, index: int, **values: int) -> None:
        for name, value in values.items():
            table[step, index, FIELD_INDEX[name]] += value

    for number, moment in enumerate(moments):
        for i, layer in enumerate(spec.layers):
            hit, step = moment.events[i], number % T
            add(step, i, events=len(hit), graded_events=sum(m != 1 for m in hit.values()), deliver_taps=len(hit))
            add(step, i, spikes=sum(moment.fired[i]) if layer.kind == "dense" else 0)
            if not learning:
                continue
            signal, rows = moment.signal[i], sum(presynaptic(spec, i, moment))
            words = sum(any(signal[j] for j in word) for word in chunks(layer.n_out, L))
            below = sum(moment.psi[i - 1]) if i else 0
            draws = rows * sum(any(signal[j] for j in word) for word in chunks(layer.n_out, R))
            add(step, i, psi_nonzero=sum(moment.psi[i]) if layer.kind == "dense" else 0)
            add(step, i, signal_nonzero=sum(signal), signal_words=words, signal_steps=any(signal))
            add(step, i, psi_rows=below, psi_taps=below, all_tap_words=layer.n_in * words)
            add(step, i, all_tap_products=layer.n_in * sum(signal))
            add(step, i, error_rows=below * any(signal), error_words=below * words, error_products=below * sum(signal))
            add(step, i, presynaptic_rows=rows, presynaptic_taps=rows, weight_words=rows * words)
            add(step, i, update_rows=rows * any(signal))
            add(step, i, update_words=rows * words, update_products=rows * sum(signal))
            add(step, i, random_advances=draws if spec.update == "immediate" else 0)
            if spec.credit == "trace" and layer.keeps_trace:
                touched = [a or k in hit for k, a in enumerate(moment.before[i])]
                add(step, i, trace_words=sum(any(touched[k] for k in word) for word in chunks(layer.n_in, M)))
    if spec.update == "accumulate":
        for (i, layer), gradient in itertools.product(enumerate(spec.layers), gradients):
            for row in gradient[i][: layer.n_in + layer.bias]:
                add(T, i, update_words=sum(any(row[j] for j in word) for word in chunks(layer.n_out, L)))
                add(T, i, update_products=sum(row))
                add(T, i, random_advances=sum(any(row[j] for j in word) for word in chunks(layer.n_out, R)))
    return Activity(table, N_SAMPLES, len(gradients) if spec.update == "accumulate" else 0, learning, L, M)


def make_trace(spec: CoreSpec, moments: list[Moment]) -> SampleTrace:
    """The recorded events of all samples."""
    bitmaps = {
        f"event/{i}": np.array([[j in moment.events[i] for j in range(layer.n_in)] for moment in moments])
        for i, layer in enumerate(spec.layers)
    }
    shaped = {name: bitmap.reshape(N_SAMPLES, T, -1) for name, bitmap in bitmaps.items()}
    return SampleTrace(np.arange(N_SAMPLES), shaped)
