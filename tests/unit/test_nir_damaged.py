"""Damaged and hostile .nir files: one sentence or a graph, never another exception, a hang or a memory blow-up."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import h5py
import numpy as np
import pytest
from nir_graphs import DT, chain, content_of, conv, cuba, flatten, lif, recurrent_graph, small_chain

from neurochip.config_nir import NirTable
from neurochip.errors import UserError
from neurochip.network.nir_file import MAX_NUMBERS, parse_nir
from neurochip.network.nir_import import import_graph
from neurochip.network.nir_neurons import Steps
from neurochip.network.nir_run import NirRunner


def contents() -> list[bytes]:
    """A dense, a convolutional and a nested recurrent graph."""
    import nir

    mapped = chain(
        conv(np.ones((2, 1, 2, 2))), cuba((2, 3, 3), 2 * DT), nir.SumPool2d(*map(np.array, ((1, 3), (1, 3), (0, 0)))),
        flatten(), nir.Affine(np.ones((2, 6)), np.ones(2)), shape=(1, 4, 4),
    )  # fmt: skip
    return [content_of(*small_chain()), content_of(*mapped), content_of(*recurrent_graph(True))]


def outcome(content: bytes) -> str:
    """Nothing for a graph that was imported and run, else the sentence."""
    try:
        graph = parse_nir(content, "damaged.nir")
        found = import_graph(graph, NirTable(file="damaged.nir", dt=DT))
        with np.errstate(all="ignore"):  # flipped bits make weights of any size
            NirRunner(graph, Steps(DT)).run(np.ones((2, found.n_inputs)))
    except UserError as error:
        message = str(error)
    else:
        return ""
    assert "\n" not in message
    assert message.startswith("damaged.nir: ")
    return message


def test_flipped_bits_and_cut_ends() -> None:
    """510 files: whatever h5py raises becomes one sentence that names the file."""
    rng = np.random.default_rng(7)
    refused = 0
    for content in contents():
        assert outcome(content) == ""
        for _ in range(130):
            damaged = bytearray(content)
            for place in rng.integers(0, len(content), rng.integers(1, 12)):
                damaged[place] ^= 1 << rng.integers(0, 8)
            refused += outcome(bytes(damaged)) != ""
        for size in np.linspace(0, len(content) - 1, 40).astype(int):
            refused += outcome(content[:size]) != ""
            if size < len(content) * 3 // 4:
                assert outcome(content[:size]) != ""
    assert refused >= 120


def changed(content: bytes, change: Callable[[Any], None]) -> str:
    held = io.BytesIO(content)
    with h5py.File(held, "r+") as file:
        change(file)
    return outcome(held.getvalue())


def test_every_field_missing_or_of_another_kind() -> None:
    """Every dataset of the three files is removed, emptied, made text, made odd or huge in turn: over 500 files."""
    values: list[Any] = [
        np.zeros(0), b"text", "\u00e9", np.array([np.nan]), np.array([np.inf, 1.0]), -1, 0, 3.5, np.ones((2, 2, 2)),
        np.array([1e300]), True, np.array([1, 1, 1, 1, 1]), h5py.Empty("f8"), np.array([b"a", b"b"]), 1 + 2j,
    ]  # fmt: skip
    cases, refused = 0, 0
    for content in contents():
        names: list[str] = []
        with h5py.File(io.BytesIO(content)) as file:
            file.visititems(lambda name, item, names=names: names.append(name) if hasattr(item, "dtype") else None)
        for name in names:

            def remove(file: Any, name: str = name) -> None:
                del file[name]

            refused += changed(content, remove) != ""
            for value in values:

                def put(file: Any, name: str = name, value: Any = value) -> None:
                    del file[name]
                    file[name] = value

                refused += changed(content, put) != ""
            cases += 1 + len(values)
    assert cases >= 500
    assert refused >= cases // 2


def test_a_file_that_claims_to_be_huge_is_refused_before_it_is_loaded() -> None:
    def grow(file: Any) -> None:
        del file["node/nodes/0/weight"]
        file.create_dataset("node/nodes/0/weight", shape=(MAX_NUMBERS, 1 << 20), chunks=(1, 1 << 20), dtype="f8")

    assert f"more than {MAX_NUMBERS} numbers" in changed(content_of(*small_chain()), grow)


def test_a_small_file_that_asks_for_a_huge_map_is_refused() -> None:
    def grow(file: Any) -> None:
        file["node/nodes/input/shape"][...] = [1, 65536, 65536]

    nodes, edges = chain(conv(np.ones((1, 1, 1, 1))), lif((1,)), shape=(1, 4, 4))
    assert "node 'input' (Input) has shape" in changed(content_of(nodes, edges), grow)


def test_graphs_within_graphs_come_to_an_end() -> None:
    def nest(file: Any) -> None:
        file["node/nodes/0/nodes"] = h5py.SoftLink("/node/nodes")
        del file["node/nodes/0/type"]
        file["node/nodes/0/type"] = "NIRGraph"
        file["node/nodes/0/edges"] = file["node/edges"][()]

    assert "nested more than" in changed(content_of(*small_chain()), nest)


def edges_to(names: list[tuple[str, str]]) -> Callable[[Any], None]:
    def put(file: Any) -> None:
        del file["node/edges"]
        file["node/edges"] = np.array(names, dtype=h5py.string_dtype())

    return put


@pytest.mark.parametrize(
    ("edges", "message"),
    [
        ([("input", "0"), ("0", "9")], "an edge of the graph names the node '9', which is not there"),
        ([("input", "0"), ("0", "0"), ("0", "output")], "node '0' (Linear) has 4 inputs and gets"),
        ([("0", "input"), ("input", "0")], "node 'input' (Input) takes the output of '0'"),
        ([("input", "0"), ("0", "1"), ("1", "1"), ("1", "2"), ("2", "output")], "node '1' (LIF) takes"),
    ],
)
def test_edges_that_make_no_network(edges: list[tuple[str, str]], message: str) -> None:
    assert message in changed(content_of(*small_chain()), edges_to(edges))
