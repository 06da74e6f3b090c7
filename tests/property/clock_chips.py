"""Drawn chips beside drawn networks: the configurations on which the tick model and the count must agree.

As in the strategies, every structural decision comes from the random generator, so hypothesis can shrink a case.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st
from property_later_options import draw_later_options
from property_network_cases import Rule, draw_network_case
from property_strategies import RULES, Case, Pass, chance, draw_spec, fill_samples, fill_weights

from neurochip.errors import UserError
from neurochip.microarch import Gates, footprint_words
from neurochip.reference.clock.network import check_network
from neurochip.reference.clock.plans import history_groups, make_plans
from neurochip.spec import CoreSpec

MEMORIES = ("synapse", "neuron", "trace", "error", "gradient", "history")
SPILLABLE = ("synapse", "gradient", "history")


@dataclass(frozen=True)
class DrawnMemory:
    """Banks, ports and latency of one memory."""

    ports: str
    banks: int
    bank_words: int
    read_latency_cycles: int

    @property
    def words(self) -> int:
        return self.banks * self.bank_words


@dataclass(frozen=True)
class DrawnDram:
    """Latency and bus of a DRAM channel."""

    bus_bits: int
    latency_cycles: int


@dataclass(frozen=True)
class DrawnChip:
    """The timing side of a chip."""

    lanes: int
    trace_lanes: int
    scan_width: int
    history_word_bits: int
    div_cycles: int
    pipeline_latency_cycles: int
    memories: dict[str, DrawnMemory]
    overflow: str
    dram: DrawnDram | None


@dataclass(frozen=True)
class Configuration:
    """A network, its samples, and the chip and gates it runs with."""

    case: Case
    chip: DrawnChip
    gates: Gates


def draw_lanes(rng: random.Random, widest: int) -> int:
    """1 to 64; mostly narrower than the widest layer, so that rows have several words."""
    return rng.choice([rng.randint(1, max(1, widest - 1)), rng.randint(1, 64), rng.choice([1, 2, 4, 8]), 3, 5])


def draw_memory(rng: random.Random, words: int, fits: bool) -> DrawnMemory:
    """Banks for at least `words` words, or too few for them."""
    bank_words = rng.choice([1, 2, 3, rng.randint(1, 16), max(1, words)])
    banks = -(-max(1, words) // bank_words)
    if not fits:
        bank_words, banks = max(1, words - 1), 1
    return DrawnMemory(rng.choice(["1rw", "1r1w"]), banks, bank_words, rng.choice([1, 0, 1, 2, 3, 4]))


def planned_words(spec: CoreSpec, chip: DrawnChip) -> dict[str, int]:
    """Words that the tick model itself lays out, by memory."""
    return {name: plan.n_words for name, plan in make_plans(spec, chip, history_groups(spec)).items()}


WordsOf = Callable[[CoreSpec, Any], Mapping[str, int]]


def draw_chip(rng: random.Random, spec: CoreSpec, words_of: WordsOf = footprint_words) -> DrawnChip:
    overflow = rng.choice(["dram", "refuse", "grow"])
    chip = DrawnChip(
        lanes=spec.synapse_lanes,
        trace_lanes=spec.trace_lanes,
        scan_width=rng.choice([1, 4, 16, 64, rng.randint(1, 64)]),
        history_word_bits=rng.choice([16, 1, 7, 64, 128]),
        div_cycles=rng.choice([1, 3, 24]),
        pipeline_latency_cycles=rng.choice([1, 2, 3, 6]),
        memories={},
        overflow=overflow,
        dram=DrawnDram(rng.choice([8, 16, 64]), rng.choice([0, 1, 7])) if overflow == "dram" else None,
    )
    needed = words_of(spec, chip)
    has_convolution = any(layer.conv is not None for layer in spec.layers)
    spillable = ("history",) if has_convolution else SPILLABLE
    if spec.standardise_every:  # not in DRAM
        spillable = tuple(name for name in spillable if name != "synapse")
    memories = {"event_fifo": DrawnMemory("1r1w", 1, rng.choice([1, 2, 4, rng.randint(1, 64)]), 0)}
    for name in MEMORIES:
        # What does not fit is spilled in mode "dram", and enlarged in mode "grow".
        small = overflow != "refuse" and (name in spillable or overflow == "grow") and chance(rng, 50)
        memories[name] = draw_memory(rng, needed[name], fits=not small or needed[name] < 2)
    return dataclasses.replace(chip, memories=memories)


def draw_network(rng: random.Random) -> list[int]:
    hidden = [rng.choice([rng.randint(1, 20), 7, 12]) for _ in range(rng.choice([1, 2, 1, 2, 3]))]
    return [rng.choice([rng.randint(1, 20), 9]), *hidden, rng.choice([2, 3, 5])]


def draw_configuration(rng: random.Random) -> Configuration:
    """One legal configuration: two passes that learn, or one that learns and one that does not."""
    rule = rng.choice([name for name in RULES for _ in range(1 if name == "infer" else 2)])
    sizes = draw_network(rng)
    hostile = chance(rng, 15)
    spec = draw_spec(rng, rule, hostile, sizes, rng.choice([2, 3, 4, 1, 5]))
    spec = dataclasses.replace(
        spec, synapse_lanes=draw_lanes(rng, max(sizes[1:])), trace_lanes=draw_lanes(rng, max(sizes[:-1]))
    )
    gates = Gates(*(not chance(rng, 15) for _ in range(3)))
    seed = rng.randint(0, 2**32 - 1)
    fill = np.random.default_rng(seed)
    rate = rng.choice([0.4, 0.15, 0.8])
    n_samples = rng.choice([1, 1, 2])
    weights, samples = fill_weights(spec, hostile, fill), fill_samples(spec, n_samples, rate, fill)
    everything = tuple(range(n_samples))
    second = Pass(everything[:1], chance(rng, 60), True, everything[:1])
    passes = (Pass(everything, True, chance(rng, 50), everything), *([second] if chance(rng, 40) else []))
    spec = draw_later_options(rng, spec, hostile)
    case = Case(rule, spec, hostile, seed, passes, weights, samples)
    return Configuration(case, draw_chip(rng, spec), gates)


def draw_gates(rng: random.Random, spec: CoreSpec) -> Gates:
    """Mostly all on, as they must be where a recurrent layer is unrolled."""
    layers = range(len(spec.layers))
    if spec.credit == "unroll" and any(spec.recurrent_connection(index) is not None for index in layers):
        return Gates()
    return Gates(*(not chance(rng, 15) for _ in range(3)))


def is_known(spec: CoreSpec, gates: Gates) -> bool:
    """Whether docs/microarchitecture.md knows the network."""
    try:
        check_network(spec, gates)
        make_plans(spec, DrawnChip(1, 1, 1, 1, 1, 1, {}, "grow", None), history_groups(spec))
    except UserError:
        return False
    return True


def draw_network_configuration(
    rng: random.Random, rule: Rule | None = None, words_of: WordsOf = footprint_words
) -> Configuration:
    """One legal configuration over the whole rule space, with a network that the microarchitecture knows."""
    while True:
        case = draw_network_case(rng, rule)
        gates = draw_gates(rng, case.spec)
        if is_known(case.spec, gates):
            return Configuration(case, draw_chip(rng, case.spec, words_of), gates)


def network_configurations() -> st.SearchStrategy[Configuration]:
    """Configurations of whole networks for hypothesis."""
    return st.randoms(use_true_random=False).map(draw_network_configuration)


def configurations() -> st.SearchStrategy[Configuration]:
    """Configurations for hypothesis."""
    return st.randoms(use_true_random=False).map(draw_configuration)
