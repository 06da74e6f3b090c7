"""Which groups, ways of the error and refusals of a network follow from docs/microarchitecture.md?"""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from golden_builders import (
    HIDDEN,
    READOUT,
    conv_layer,
    draw_samples,
    draw_weights,
    make_spec,
    small_chip,
)

from neurochip.errors import UserError
from neurochip.microarch import Gates
from neurochip.reference.clock import ClockCore
from neurochip.reference.clock.network import error_ways, groups, recurrent_way, x_addresses, x_shape
from neurochip.reference.core import GoldenCore
from neurochip.topology import Connection, ConvShape

GATES = Gates(zero_trace=True, zero_error=True, zero_surrogate=True)
NAMES = ("neuron", "trace", "error", "history")


def make_chip(*more: str) -> Any:
    """2 lanes and 1rw memories; synapse and gradient only if named in `more`, else in DRAM."""
    shape = SimpleNamespace(ports="1rw", words=64, bank_words=64, read_latency_cycles=1)
    dram = SimpleNamespace(bus_bits=8, latency_cycles=3)
    return small_chip(dict.fromkeys((*NAMES, *more, "event_fifo"), shape), overflow="dram", dram=dram)


RECURRENT = replace(HIDDEN, n_in=2, inputs=(Connection(-1, 1), Connection(0, 1, delay=1, offset=1)))
MAP = ConvShape(height=2, width=3, channels=1, out_channels=3, kernel_height=1, kernel_width=2)  # to 2 x 2 x 3


def from_layers(*sources: int) -> tuple[Connection, ...]:
    return tuple(Connection(source, 1) for source in sources)


def test_a_layer_fires_beside_the_first_that_takes_its_spikes_first() -> None:
    # 0 and 1 one after the other, a feedback layer, a head on 0, a readout that adds 0 to 1.
    feedback = replace(READOUT, kind="feedback", learns=False, signal_of=4, inputs=from_layers(0))
    spec = make_spec(
        HIDDEN,
        feedback,
        replace(HIDDEN, inputs=from_layers(0)),
        replace(READOUT, inputs=from_layers(0)),
        replace(READOUT, inputs=from_layers(2, 0)),
    )
    assert groups(spec, learn=True) == [(0, None), (2, 0), (3, None), (4, 2)]
    assert groups(spec, learn=False) == [(0, None), (2, 0), (4, 2)]


def test_the_way_of_the_error_is_direct_only_for_one_unpooled_connection_alone() -> None:
    chain = make_spec(HIDDEN, HIDDEN, READOUT)
    assert {n: (way.signal, way.numbers, way.direct) for n, way in error_ways(chain).items()} == {
        1: (1, (0,), True),
        2: (2, (0,), True),
    }
    add = make_spec(
        HIDDEN, replace(HIDDEN, inputs=from_layers(0)), replace(READOUT, inputs=from_layers(1, 0)), credit="unroll"
    )
    assert [way.direct for way in error_ways(add).values()] == [False, False]  # 0 has two, 2 gives two
    pooled = (Connection(0, 3, 2, 2, pool_width=2),)
    behind = make_spec(conv_layer(MAP), replace(READOUT, n_in=6, inputs=pooled))
    assert not error_ways(behind)[1].direct
    assert x_shape(behind, pooled[0]) == (2, 3)
    assert x_addresses(pooled[0]) == list(range(6))
    assert error_ways(make_spec(RECURRENT, READOUT))[1].direct
    unrolled = make_spec(RECURRENT, READOUT, credit="unroll")
    assert not error_ways(unrolled)[1].direct
    own = recurrent_way(unrolled, 0)
    assert own is not None
    assert (own.signal, own.numbers) == (0, (1,))
    assert recurrent_way(make_spec(RECURRENT, READOUT), 0) is None


def test_a_feedback_layer_reads_the_signal_of_its_readout() -> None:
    feedback = replace(READOUT, kind="feedback", learns=False, signal_of=2, inputs=from_layers(0))
    spec = make_spec(HIDDEN, feedback, replace(READOUT, inputs=(Connection(0, 1, carries_error=False),)))
    assert {n: way.signal for n, way in error_ways(spec).items()} == {1: 2}


@pytest.mark.parametrize(
    ("layers", "credit", "memories", "named"),
    [
        ((RECURRENT, READOUT), "unroll", ("synapse",), "layer 0 is recurrent"),
        ((conv_layer(MAP), replace(READOUT, n_in=12)), "spike", (), "memories.synapse is too small"),
        (
            (HIDDEN, replace(HIDDEN, inputs=from_layers(-1)), replace(READOUT, inputs=from_layers(1))),
            "spike",
            ("synapse",),
            "layer 0 is not the source of the first connection of any later layer",
        ),
        (
            (
                HIDDEN,
                replace(HIDDEN, inputs=from_layers(-1, 0)),
                replace(READOUT, inputs=from_layers(0)),
                replace(READOUT, inputs=from_layers(1)),
            ),
            "spike",
            ("synapse",),
            "layer 1 takes spikes of layer 0 before that fires",
        ),
        (
            (replace(HIDDEN, n_out=4), replace(READOUT, inputs=(Connection(0, 1, 2, 2, 2, 2),))),
            "spike",
            ("synapse",),
            "pools layer 0 as a map of 2 x 2 x 1",
        ),
    ],
)
def test_what_the_page_does_not_know_is_refused(
    layers: Any, credit: str, memories: tuple[str, ...], named: str
) -> None:
    spec = make_spec(*layers, credit=credit)
    gates = replace(GATES, zero_error=credit != "unroll")
    with pytest.raises(UserError, match=named):
        ClockCore(spec, draw_weights(spec, 0), make_chip(*memories), gates)


@pytest.mark.parametrize("on_chip", [(), ("synapse",), ("gradient",)])
def test_momentum_with_memories_in_dram_ends_with_the_same_weights(on_chip: tuple[str, ...]) -> None:
    spec = make_spec(replace(HIDDEN, n_in=3, n_out=3), replace(READOUT, n_in=3), update="accumulate", momentum_shift=2)
    weights, samples = draw_weights(spec, 1), draw_samples(3, 1, 1, n_samples=4)
    clock, golden = ClockCore(spec, weights, make_chip(*on_chip), GATES), GoldenCore(spec, weights)
    result = clock.run(samples, True)
    golden.run(samples, True)
    assert clock.weights == golden.weights != weights
    # 4 applies of 3 rows of 2 words and 3 of 1 word; each of G, V and W is read before and written after.
    matrices = 2 * ("gradient" not in on_chip) + ("synapse" not in on_chip)
    written = [n for key, n in result.accesses.items() if key[:2] == ("dram_write", "apply")]
    assert sum(written) == 4 * (3 * 2 + 3 * 1) * matrices
