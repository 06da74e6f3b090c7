"""NIR graphs by hand, for the tests of import and export: written with the package nir, as other tools do it."""

from __future__ import annotations

import io
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

from neurochip.config_nir import NirTable
from neurochip.network.nir_file import Graph, parse_nir
from neurochip.network.nir_import import import_graph
from neurochip.network.nir_imported import Imported
from neurochip.reference.core import GoldenCore, GoldenRun, GoldenSample
from neurochip.spec import CoreSpec

DT = 2.0**-10  # seconds; a power of two, so that gains and leaks of the tests are exact


def content_of(nodes: dict[str, Any], edges: list[tuple[str, str]], metadata: dict[str, Any] | None = None) -> bytes:
    """The bytes of a .nir file."""
    graph = nir.NIRGraph(nodes=nodes, edges=edges, metadata=metadata or {}, type_check=False)
    written = io.BytesIO()
    nir.write(written, graph)
    return written.getvalue()


def parsed(nodes: dict[str, Any], edges: list[tuple[str, str]], metadata: dict[str, Any] | None = None) -> Graph:
    """The graph that neurochip reads."""
    return parse_nir(content_of(nodes, edges, metadata), "test.nir")


def chain(*nodes: Any, shape: tuple[int, ...] = (4,)) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """Nodes one after the other, named by their number, between an Input and an Output."""
    named = {"input": nir.Input(np.array(shape)), **{str(i): node for i, node in enumerate(nodes)}}
    named["output"] = nir.Output(np.array([1]))  # wrong on purpose: files of real tools have such shapes
    names = list(named)
    return named, list(itertools.pairwise(names))


def lif(shape: Any, **changes: Any) -> nir.LIF:
    """LIF neurons with tau = 4 dt and R = 4, so that a spike counts its weight and alpha is 3/4."""
    values = {"tau": 4 * DT, "r": 4.0, "v_leak": 0.0, "v_threshold": 1.0, "v_reset": 0.0} | changes
    return nir.LIF(**{key: np.broadcast_to(np.asarray(value, float), shape).copy() for key, value in values.items()})


def cuba(shape: Any, tau_syn: Any, w_in: float = 1.0, **changes: Any) -> nir.CubaLIF:
    """CubaLIF neurons with the membrane of `lif`."""
    values: dict[str, Any] = {"tau_mem": 4 * DT, "r": 4.0, "v_leak": 0.0, "v_threshold": 1.0, "v_reset": 0.0}
    values |= {"tau_syn": tau_syn, "w_in": w_in} | changes
    return nir.CubaLIF(
        **{key: np.broadcast_to(np.asarray(value, float), shape).copy() for key, value in values.items()}
    )


def integrate_and_fire(shape: Any, threshold: float = 1.0) -> nir.IF:
    return nir.IF(r=np.ones(shape), v_threshold=np.full(shape, threshold))


def conv(weight: NDArray[Any], **changes: Any) -> nir.Conv2d:
    values: dict[str, Any] = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1}
    values |= {"bias": np.zeros(len(weight))} | changes
    return nir.Conv2d(input_shape=(9, 9), weight=weight, **values)


def flatten() -> nir.Flatten:
    return nir.Flatten(np.array([1]), 0, -1)


def small_chain() -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """Linear, LIF, Affine: three hidden neurons on four inputs, two outputs."""
    rng = np.random.default_rng(5)
    last = nir.Affine(weight=rng.normal(size=(2, 3)), bias=rng.normal(size=2))
    return chain(nir.Linear(weight=rng.normal(size=(3, 4))), lif((3,)), last)


def recurrent_graph(nested: bool) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    rng = np.random.default_rng(2)
    first, own, last = (nir.Linear(rng.normal(size=size)) for size in ((3, 4), (3, 3), (2, 3)))
    own = nir.Affine(own.weight, np.array([0.5, 0.0, 0.0]))
    ends = {"input": nir.Input(np.array([4])), "output": nir.Output(np.array([2]))}
    if not nested:
        nodes = {**ends, "fc": first, "pop.lif": lif((3,)), "pop.own": own, "out": last}
        edges = [("input", "fc"), ("fc", "pop.lif"), ("pop.lif", "pop.own"), ("pop.own", "pop.lif")]
        return nodes, [*edges, ("pop.lif", "out"), ("out", "output")]
    inner = nir.NIRGraph(
        {"i": nir.Input(np.array([3])), "lif": lif((3,)), "own": own, "o": nir.Output(np.array([3]))},
        [("i", "lif"), ("lif", "own"), ("own", "lif"), ("lif", "o")], type_check=False,
    )  # fmt: skip
    nodes = {**ends, "fc": first, "pop": inner, "out": last}
    return nodes, [("input", "fc"), ("fc", "pop"), ("pop", "out"), ("out", "output")]


def imported(graph: Graph, **table: Any) -> Imported:
    return import_graph(graph, NirTable(**{"file": "test.nir", "dt": DT, **table}))


def write(path: Path, nodes: dict[str, Any], edges: list[tuple[str, str]], **metadata: Any) -> Path:
    path.write_bytes(content_of(nodes, edges, metadata))
    return path


def golden_run(spec: CoreSpec, weights: Sequence[NDArray[Any]], dense: NDArray[np.bool_]) -> GoldenRun:
    """One sample, [steps, inputs], through the golden core without learning."""
    steps = [[(int(address), 1) for address in np.flatnonzero(row)] for row in dense]
    core = GoldenCore(spec, [np.asarray(layer).tolist() for layer in weights])
    return core.run([GoldenSample(steps, 0)], learn=False)
