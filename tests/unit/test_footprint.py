"""Does the footprint of a network count every number its rule stores, and when does the history outgrow the weights?"""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from neurochip.errors import UserError
from neurochip.microarch import (
    footprint_bits,
    footprint_words,
    spilled_memories,
    steps_where_history_equals_weights,
    steps_where_history_leaves_chip,
    word_bits,
)
from neurochip.reference.core.memory import Memories
from neurochip.spec import CoreSpec, LayerSpec

RULES = {
    "infer": ("none", "none"),
    "ottt-o": ("trace", "immediate"),
    "ottt-a": ("trace", "accumulate"),
    "sltt-o": ("spike", "immediate"),
    "bptt-o": ("unroll", "immediate"),
    "bptt": ("unroll", "accumulate"),
}


@dataclasses.dataclass(frozen=True)
class Memory:
    words: int
    ports: str = "1rw"


@dataclasses.dataclass(frozen=True)
class Chip:
    memories: dict[str, Memory]
    lanes: int = 4
    trace_lanes: int = 3
    scan_width: int = 64
    history_word_bits: int = 16
    div_cycles: int = 24
    pipeline_latency_cycles: int = 6
    overflow: str = "refuse"


def network(sizes: tuple[int, ...], rule: str, n_steps: int = 20, **changes: Any) -> CoreSpec:
    """Default widths; traces on the inputs of hidden layers, none on those of the readout."""
    credit, update = RULES[rule]
    last = len(sizes) - 2
    layers = tuple(
        LayerSpec(
            kind="readout" if i == last else "dense",
            n_in=sizes[i],
            n_out=sizes[i + 1],
            bias=True,
            leak_kind="none" if i == last else "shift",
            leak_value=0 if i == last else 1,
            threshold_q=0 if i == last else 64,
            reset="subtract",
            keeps_trace=credit == "trace" and i != last,
            trace_leak_kind="shift",
            trace_leak_value=1,
            frac_weight=6,
            frac_potential=8,
            frac_trace=4,
            frac_error=6,
            frac_gradient=10 if credit == "trace" and i != last else 6,
        )
        for i in range(last + 1)
    )
    spec = CoreSpec(
        layers=layers,
        n_steps=n_steps,
        event_bits=1,
        weight_bits=8,
        weight_rounding="stochastic",
        membrane_bits=16,
        trace_bits=8,
        trace_gate=0,
        error_bits=8,
        error_rounding="nearest",
        delta_bits=12,
        surrogate_bits=4,
        surrogate="sigmoid",
        gradient_bits=24,
        readout_bits=24,
        credit=credit,
        update=update,
        batch=1,
        rate_multiplier=11,
        rate_shift=12,
        mse_share_q=0,
        deliver="synapse",
        reset_path="detached",
        rng_lanes=16,
        seed=1,
        synapse_lanes=4,
        trace_lanes=3,
    )
    return dataclasses.replace(spec, **changes)


# 7-10-6-5: 8*10 + 11*6 + 7*5 = 181 weights and biases; 16 hidden neurons; Σz has 24 + ⌈log2 20⌉ = 29 bits.
SYNAPSE, NEURON = 181 * 8, 16 * 16 + 5 * (24 + 29)
HISTORY = 20 * (7 * 1 + 16 * (1 + 4) + 5 * 8)


@pytest.mark.parametrize(
    ("rule", "trace", "error", "gradient", "history"),
    [
        ("infer", 0, 0, 0, 0),
        ("ottt-o", 17 * 8, 16 * 4 + 21 * 8, 0, 0),
        ("ottt-a", 17 * 8, 16 * 4 + 21 * 8, 181 * 24, 0),
        ("sltt-o", 0, 16 * 4 + 21 * 8, 0, 0),
        ("bptt-o", 0, 5 * 8 + 16 * 12, 0, HISTORY),
        ("bptt", 0, 5 * 8 + 16 * 12, 181 * 24, HISTORY),
    ],
)
def test_footprint_of_a_small_network_by_hand(rule: str, trace: int, error: int, gradient: int, history: int) -> None:
    assert footprint_bits(network((7, 10, 6, 5), rule)) == {
        "synapse": SYNAPSE,
        "neuron": NEURON,
        "trace": trace,
        "error": error,
        "gradient": gradient,
        "history": history,
    }


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("sizes", [(3, 2), (7, 10, 5), (7, 10, 6, 5)])
@pytest.mark.parametrize("n_steps", [1, 2, 5, 8])
def test_footprint_equals_what_the_golden_core_allocates(rule: str, sizes: tuple[int, ...], n_steps: int) -> None:
    spec = network(sizes, rule, n_steps, event_bits=2)
    without_bias = dataclasses.replace(spec.layers[0], bias=False)
    spec = dataclasses.replace(spec, layers=(without_bias, *spec.layers[1:]))
    zeros = [[[0] * layer.n_out for _ in range(layer.n_in + 1)] for layer in spec.layers]
    assert footprint_bits(spec) == Memories(spec, zeros).footprint_bits()


def with_currents(rule: str, n_steps: int = 20) -> CoreSpec:
    """7-10-6-5 with synaptic currents in the first layer and in its readout, which is leaky."""
    spec = network((7, 10, 6, 5), rule, n_steps)
    current: dict[str, Any] = {"current_leak_kind": "shift", "current_leak_value": 2}
    first, second, last = spec.layers
    if spec.credit == "trace":
        current |= {"filter_leak_kind": "shift", "filter_leak_value": 1}
    leaky = dataclasses.replace(last, leak_kind="shift", leak_value=3, **current)
    return dataclasses.replace(spec, layers=(dataclasses.replace(first, **current), second, leaky))


@pytest.mark.parametrize(
    ("rule", "trace", "error"),
    [
        ("infer", 0, 0),
        ("ottt-o", (2 * 7 + 10) * 8, 16 * 4 + 21 * 8),  # two values per trace of the first layer
        ("sltt-o", 0, 16 * 4 + 21 * 8),
        ("bptt", 0, 2 * 10 * 12 + 6 * 12 + 2 * 5 * 12),  # δ and ε of 10 neurons and of 5 classes, δ of 6 neurons
    ],
)
def test_currents_lie_beside_potentials_and_under_unroll_their_errors_beside_delta(
    rule: str, trace: int, error: int
) -> None:
    spec = with_currents(rule)
    bits = footprint_bits(spec)
    assert bits["neuron"] == 2 * 10 * 16 + 6 * 16 + 2 * 5 * 24 + 5 * 29  # Σz alone has no current
    assert (bits["trace"], bits["error"]) == (trace, error)
    assert bits["synapse"] == SYNAPSE


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("n_steps", [1, 5])
def test_footprint_with_currents_equals_what_the_golden_core_allocates(rule: str, n_steps: int) -> None:
    spec = with_currents(rule, n_steps)
    zeros = [[[0] * layer.n_out for _ in range(layer.n_in + 1)] for layer in spec.layers]
    assert footprint_bits(spec) == Memories(spec, zeros).footprint_bits()


def test_words_of_pairs_are_twice_as_wide_and_as_many() -> None:
    spec, chip = with_currents("bptt"), Chip({})
    assert footprint_words(spec, chip) == footprint_words(network((7, 10, 6, 5), "bptt"), chip)
    width = word_bits(spec, chip)
    assert width["neuron"] == 4 * 2 * 24  # z and i, wider than 29 bits of Σz
    assert width["error"] == 4 * 2 * 12
    narrow = dataclasses.replace(spec, membrane_bits=24, readout_bits=8, layers=(*spec.layers[:2], spec.layers[1]))
    assert word_bits(narrow, chip)["neuron"] == 4 * 2 * 24  # u and i of the first layer
    assert word_bits(with_currents("ottt-o"), chip)["error"] == 4 * 8


def test_words_round_every_row_and_vector_up_by_hand() -> None:
    chip = Chip({})
    # Words of 4 columns: 10 -> 3, 6 -> 2, 5 -> 2; of 3 traces: 7 -> 3, 10 -> 4.
    # History words of 16 bits: 7 -> 1, 50 -> 4, 30 -> 2, 40 -> 3.
    synapse = 8 * 3 + 11 * 2 + 7 * 2
    assert footprint_words(network((7, 10, 6, 5), "bptt"), chip) == {
        "synapse": synapse,
        "neuron": 5 + 2 * 2,
        "trace": 0,
        "error": 5 + 2,
        "gradient": synapse,
        "history": 20 * (1 + 4 + 2 + 3),
    }
    assert footprint_words(network((7, 10, 6, 5), "ottt-o"), chip) == {
        "synapse": synapse,
        "neuron": 5 + 2 * 2,
        "trace": 3 + 4,
        "error": 2 * 5 + 2,
        "gradient": 0,
        "history": 0,
    }


def test_a_memory_is_as_wide_as_the_widest_word_it_holds() -> None:
    assert word_bits(network((7, 10, 6, 5), "bptt"), Chip({})) == {
        "event_fifo": 4 + 1,
        "synapse": 32,
        "neuron": 4 * 29,
        "trace": 24,
        "error": 4 * 12,
        "gradient": 96,
        "history": 16,
    }
    assert word_bits(network((7, 10, 6, 5), "ottt-o"), Chip({}))["error"] == 4 * 8


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("n_steps", [1, 20, 300])
def test_the_words_hold_the_bits(rule: str, n_steps: int) -> None:
    spec, chip = network((7, 10, 6, 5), rule, n_steps), Chip({})
    words, width = footprint_words(spec, chip), word_bits(spec, chip)
    for memory, bits in footprint_bits(spec).items():
        assert words[memory] * width[memory] >= bits


@pytest.mark.parametrize(
    ("sizes", "steps", "without_readout_error"),
    [((512, 128, 10), 434.766, 464.958), ((2312, 800, 10), 2325.920, 2355.399)],
)
def test_history_equals_the_weights_at_t_star(
    sizes: tuple[int, ...], steps: float, without_readout_error: float
) -> None:
    spec = network(sizes, "bptt")
    t_star = steps_where_history_equals_weights(spec)
    assert t_star == pytest.approx(steps, abs=0.005)
    n_in, hidden, classes = sizes
    synapse_bits = 8 * ((n_in + 1) * hidden + (hidden + 1) * classes)
    assert t_star * (n_in + 5 * hidden + 8 * classes) == pytest.approx(synapse_bits)
    # Without the 8 bits of e per class and step the well-known estimates of 460 and 2350 come out.
    assert synapse_bits / (n_in + 5 * hidden) == pytest.approx(without_readout_error, abs=0.005)


def test_t_star_does_not_depend_on_the_rule_or_the_steps_at_hand() -> None:
    values = {
        steps_where_history_equals_weights(network((7, 10, 6, 5), rule, n_steps))
        for rule in RULES
        for n_steps in (1, 20, 300)
    }
    assert values == {181 * 8 / (7 + 16 * 5 + 40)}


@pytest.mark.parametrize("capacity_words", [0, 9, 10, 11, 1999, 2000])
def test_history_leaves_the_chip_at_the_first_step_that_does_not_fit(capacity_words: int) -> None:
    chip = Chip({"history": Memory(capacity_words)})
    steps = steps_where_history_leaves_chip(network((7, 10, 6, 5), "ottt-o"), chip)
    assert steps is not None
    needed = [footprint_words(network((7, 10, 6, 5), "bptt", t), chip)["history"] for t in (steps, steps - 1) if t]
    assert needed[0] > capacity_words
    assert all(words <= capacity_words for words in needed[1:])


def test_a_chip_without_history_memory_has_no_such_step_and_a_useless_word_is_refused() -> None:
    spec = network((7, 10, 6, 5), "bptt")
    assert steps_where_history_leaves_chip(spec, Chip({})) is None
    with pytest.raises(UserError, match="history_word_bits of the chip is 0"):
        steps_where_history_leaves_chip(spec, Chip({"history": Memory(10)}, history_word_bits=0))


# 7-10-6-5, 20 steps: 60 words of weights, as many of gradients, 200 of history.
NEEDED = {"synapse": 60, "gradient": 60, "history": 200, "neuron": 9, "trace": 7, "error": 12}


@pytest.mark.parametrize("spilling", ["synapse", "gradient", "history"])
def test_a_memory_one_word_too_small_lies_in_dram_as_a_whole(spilling: str) -> None:
    held = {name: Memory(words) for name, words in NEEDED.items()}
    spec = network((7, 10, 6, 5), "bptt")
    assert spilled_memories(spec, Chip(held, overflow="dram")) == frozenset()
    small = held | {spilling: Memory(NEEDED[spilling] - 1)}
    assert spilled_memories(spec, Chip(small, overflow="dram")) == {spilling}
    del held[spilling]
    assert spilled_memories(spec, Chip(held, overflow="dram")) == {spilling}
    assert spilled_memories(spec, Chip(held, overflow="refuse")) == frozenset()
    assert spilled_memories(spec, Chip(held, overflow="grow")) == frozenset()


def test_only_what_the_rule_stores_can_lie_in_dram_and_never_potentials_traces_or_errors() -> None:
    nothing = Chip({}, overflow="dram")
    assert spilled_memories(network((7, 10, 6, 5), "infer"), nothing) == {"synapse"}
    assert spilled_memories(network((7, 10, 6, 5), "ottt-a"), nothing) == {"synapse", "gradient"}
    assert spilled_memories(network((7, 10, 6, 5), "bptt-o"), nothing) == {"synapse", "history"}
