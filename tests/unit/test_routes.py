"""Do the tables of a connection send every event where the semantics says, and do its runs say the same?"""

from __future__ import annotations

import random

import numpy as np
import pytest
from numpy.typing import NDArray

from neurochip.core import columns as col
from neurochip.core.routes import DROPPED, input_addresses, is_identity, runs_of
from neurochip.topology import Connection


def drawn_connection(seed: int) -> Connection:
    rng = random.Random(seed)
    return Connection(
        source=0, channels=rng.choice([1, 2, 3, 16]), height=rng.randint(1, 7), width=rng.randint(1, 7),
        pool_height=rng.choice([1, 1, 2, 3]), pool_width=rng.choice([1, 1, 2, 3]), offset=rng.choice([0, 0, 5]),
        channels_first=rng.random() < 0.3,
    )  # fmt: skip


def from_runs(runs: NDArray[np.int64], n_source: int) -> NDArray[np.int32]:
    """The map that runs stand for."""
    addresses = np.full(n_source, DROPPED, dtype=np.int32)
    for run in runs:
        source, address, length = run[[col.RUN_SOURCE, col.RUN_ADDRESS, col.RUN_LENGTH]]
        assert (addresses[source : source + length] == DROPPED).all()
        addresses[source : source + length] = np.arange(address, address + length)
    return addresses


@pytest.mark.parametrize("seed", range(60))
def test_the_map_of_a_connection_is_its_definition(seed: int) -> None:
    connection = drawn_connection(seed)
    addresses = input_addresses(connection)
    expected = [connection.address(source) for source in range(connection.n_source)]
    assert [None if address == DROPPED else address for address in addresses] == expected
    assert is_identity(addresses, connection) == (expected == list(range(connection.n_source)))


@pytest.mark.parametrize("seed", range(60))
def test_the_runs_of_a_map_are_the_map_and_cannot_be_longer(seed: int) -> None:
    addresses = input_addresses(drawn_connection(seed))
    runs = runs_of(addresses)
    assert np.array_equal(from_runs(runs, len(addresses)), addresses)
    ends = runs[:, [col.RUN_SOURCE, col.RUN_ADDRESS]] + runs[:, [col.RUN_LENGTH]]
    starts = runs[:, [col.RUN_SOURCE, col.RUN_ADDRESS]]
    assert not (ends[:-1] == starts[1:]).all(axis=1).any()


def test_a_pool_over_16_channels_has_at_most_one_run_per_position() -> None:
    runs = runs_of(input_addresses(Connection(0, channels=16, height=4, width=4, pool_height=2, pool_width=2)))
    assert len(runs) == 11  # in row-major order five times the next position leads on to the next address
    assert (runs[:, col.RUN_LENGTH] >= 16).all()


def test_a_connection_without_a_pool_is_one_run() -> None:
    assert runs_of(np.arange(32, dtype=np.int32)).tolist() == [[0, 0, 32]]
