"""Reading a NIR graph: an HDF5 file of nodes and edges becomes one flat graph of numbers that were checked.

The file is read directly, not by the package nir: that one refuses older files whose shapes it cannot infer, and all
sizes are known here before anything is loaded.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurochip.errors import UserError

MAX_FILE_BYTES = 1 << 29
MAX_NUMBERS = 1 << 26  # of all arrays together: 512 MB as float64
MAX_NODES, MAX_EDGES, MAX_DEPTH = 10_000, 20_000, 16
REQUIRED = object()
# Type -> its parameters; those with a value are optional.
PARAMETERS: dict[str, dict[str, Any]] = {
    "Input": {"shape": REQUIRED},
    "Output": {"shape": None},
    "Linear": {"weight": REQUIRED},
    "Affine": {"weight": REQUIRED, "bias": REQUIRED},
    "Conv2d": {"weight": REQUIRED, "bias": REQUIRED, "stride": 1, "padding": 0, "dilation": 1, "groups": 1},
    "SumPool2d": {"kernel_size": REQUIRED, "stride": REQUIRED, "padding": 0},
    "AvgPool2d": {"kernel_size": REQUIRED, "stride": REQUIRED, "padding": 0},
    "Flatten": {"start_dim": 1, "end_dim": -1},
    "I": {"r": REQUIRED},
    "IF": {"r": REQUIRED, "v_threshold": REQUIRED, "v_reset": 0.0},
    "LI": {"tau": REQUIRED, "r": REQUIRED, "v_leak": REQUIRED},
    "LIF": {"tau": REQUIRED, "r": REQUIRED, "v_leak": REQUIRED, "v_threshold": REQUIRED, "v_reset": 0.0},
    "CubaLI": {"tau_mem": REQUIRED, "tau_syn": REQUIRED, "r": REQUIRED, "v_leak": REQUIRED, "w_in": 1.0},
    "CubaLIF": {
        "tau_mem": REQUIRED, "tau_syn": REQUIRED, "r": REQUIRED, "v_leak": REQUIRED, "v_threshold": REQUIRED,
        "v_reset": 0.0, "w_in": 1.0,
    },
}  # fmt: skip
POPULATIONS = ("I", "IF", "LI", "LIF", "CubaLI", "CubaLIF")
WEIGHTS = ("Linear", "Affine", "Conv2d")
POOLS = ("SumPool2d", "AvgPool2d")
PASSING = (*POOLS, "Flatten")
PAIRS = {"stride", "padding", "dilation", "kernel_size"}
Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Node:
    """A node: its NIR type, its parameters as float64 arrays (`padding` may be a text), and what was noted beside.

    `graph` is the nested graph it stands in, None for the outermost.
    """

    kind: str
    parameters: Mapping[str, Any]
    metadata: Mapping[str, Any] = field(default_factory=dict)
    graph: str | None = None

    def __getitem__(self, name: str) -> Array:
        values: Array = self.parameters[name]
        return values

    def pair(self, name: str) -> tuple[int, int]:
        """Height and width of a parameter that is one number or two."""
        values = [int(value) for value in np.atleast_1d(self[name])]
        return (values[0], values[0]) if len(values) == 1 else (values[0], values[1])


@dataclass(frozen=True, eq=False)
class Graph:
    """A flat graph: nested graphs are dissolved, node x of graph g has the name "g.x".

    Attributes:
        nodes: by name; exactly one Input and one Output.
        edges: (from, to), sorted.
        metadata: of the outermost graph.
        source: the file, for error messages.
        sha256: of the file.
        content: the file itself.
    """

    nodes: Mapping[str, Node]
    edges: tuple[tuple[str, str], ...]
    metadata: Mapping[str, Any]
    source: str
    sha256: str
    content: bytes = field(default=b"", repr=False)

    def before(self, name: str) -> list[str]:
        """The nodes whose output comes to a node."""
        return [a for a, b in self.edges if b == name]

    def after(self, name: str) -> list[str]:
        """The nodes that take the output of a node."""
        return [b for a, b in self.edges if a == name]

    def only(self, kind: str) -> str:
        """The name of the one node of a type."""
        return next(name for name, node in self.nodes.items() if node.kind == kind)

    def refuse(self, name: str, what: str) -> UserError:
        """The error that names a node."""
        return UserError(f"{self.source}: node {name!r} ({self.nodes[name].kind}) {what}")


def read_nir(path: str | Path) -> Graph:
    """Read a .nir file.

    Raises:
        UserError: no such file, one that is no NIR graph or is damaged, or a node that neurochip does not know.
    """
    source = str(path)
    try:
        size = Path(path).stat().st_size
        content = Path(path).read_bytes() if size <= MAX_FILE_BYTES else b""
    except (OSError, ValueError) as error:
        raise UserError(f"{source}: cannot be read ({error}); give a NIR graph, an HDF5 file") from error
    if size > MAX_FILE_BYTES:
        raise UserError(f"{source}: has {size} bytes; allowed are NIR graphs up to {MAX_FILE_BYTES} bytes")
    return parse_nir(content, source)


def parse_nir(content: bytes, source: str) -> Graph:
    """Read a NIR graph from the bytes of its file; `source` names it in error messages. Errors as `read_nir`."""
    import h5py

    nodes: dict[str, Node] = {}
    edges: set[tuple[str, str]] = set()
    try:
        with h5py.File(io.BytesIO(content), "r") as file:
            reader = _Reader(source, nodes, edges)
            if not isinstance(file.get("node"), h5py.Group):
                raise UserError(f"{source}: has no group 'node', so it is no NIR graph")
            metadata = reader.graph(file["node"], None, 0)
    except UserError:
        raise
    except Exception as error:  # a damaged file makes h5py raise nearly anything
        raise UserError(f"{source}: is damaged or no NIR graph ({_short(error)}); give an HDF5 file of NIR") from error
    graph = Graph(nodes, tuple(sorted(edges)), metadata, source, hashlib.sha256(content).hexdigest(), content)
    return _without_passages(graph)


class _Reader:
    """Walks the HDF5 groups and collects nodes and edges under their full names."""

    def __init__(self, source: str, nodes: dict[str, Node], edges: set[tuple[str, str]]) -> None:
        self._source, self._nodes, self._edges = source, nodes, edges
        self._numbers = 0

    def graph(self, group: Any, own: str | None, depth: int) -> dict[str, Any]:
        """Read the graph of a group; `own` is its full name, None for the outermost. Returns its metadata."""
        if depth > MAX_DEPTH:
            raise UserError(f"{self._source}: graphs are nested more than {MAX_DEPTH} deep; allowed is less")
        if self._text(group, "type") != "NIRGraph":
            raise UserError(f"{self._source}: the outermost node is no NIRGraph; allowed is a graph")
        prefix, names = f"{own}." if own is not None else "", list(group["nodes"])
        for name in names:
            self._node(group["nodes"][name], prefix + name, own, depth)
        self._read_edges(group, prefix, set(names))
        return self._metadata(group)

    def _node(self, group: Any, name: str, parent: str | None, depth: int) -> None:
        if len(self._nodes) >= MAX_NODES or name in self._nodes:
            why = "appears twice" if name in self._nodes else f"is one of more than {MAX_NODES}"
            raise UserError(f"{self._source}: node {name!r} {why}; allowed is every name once, up to {MAX_NODES}")
        if "type" not in group:
            raise UserError(
                f"{self._source}: node {name!r} has no type; allowed are types of NIR, and names of nodes without '/', "
                "which HDF5 takes for a group"
            )
        kind = self._text(group, "type")
        if kind == "NIRGraph":
            self._nodes[name] = Node("NIRGraph", {}, graph=parent)
            self.graph(group, name, depth + 1)
            return
        if kind not in PARAMETERS:
            known = ", ".join(PARAMETERS)
            raise UserError(f"{self._source}: node {name!r} is of type {kind[:40]!r}; allowed are {known}")
        found: dict[str, Any] = {}
        for key, default in PARAMETERS[kind].items():
            if key in group:
                found[key] = self._values(group[key], name, key, kind)
            elif default is REQUIRED:
                raise UserError(f"{self._source}: node {name!r} ({kind}) has no {key}; it needs {self._needed(kind)}")
            elif default is not None:
                found[key] = np.asarray(default, dtype=np.float64)
        self._nodes[name] = Node(kind, found, self._metadata(group), parent)

    @staticmethod
    def _needed(kind: str) -> str:
        return ", ".join(key for key, default in PARAMETERS[kind].items() if default is REQUIRED)

    def _values(self, dataset: Any, name: str, key: str, kind: str) -> Any:
        where = f"{self._source}: node {name!r}: {key}"
        if not hasattr(dataset, "shape") or dataset.shape is None:
            raise UserError(f"{where} is no array of numbers")
        self._numbers += int(np.prod([float(n) for n in dataset.shape])) if dataset.shape else 1
        if self._numbers > MAX_NUMBERS:
            raise UserError(f"{where}: with it the graph has more than {MAX_NUMBERS} numbers; allowed are fewer")
        value = dataset[()]
        if key == "padding" and kind == "Conv2d" and isinstance(value, bytes | str):
            return value.decode("utf-8") if isinstance(value, bytes) else value
        array = np.asarray(value)
        if array.dtype.kind not in "biuf":
            raise UserError(f"{where} is of type {array.dtype}; allowed are numbers")
        with np.errstate(all="ignore"):
            array = array.astype(np.float64)
        if not np.isfinite(array).all():
            raise UserError(f"{where} holds a number that is not finite; allowed are finite numbers")
        if key in (*PAIRS, "groups", "start_dim", "end_dim", "shape"):
            self._check_whole(array, where, key)
        return array

    @staticmethod
    def _check_whole(array: Array, where: str, key: str) -> None:
        lowest = -8 if key.endswith("dim") else 0 if key == "padding" else 1
        allowed = {"shape": range(1, 5), "groups": (1,), "start_dim": (1,), "end_dim": (1,)}.get(key, (1, 2))
        small = bool(np.all((array == np.floor(array)) & (array >= lowest) & (array <= 65536)))
        if array.ndim > 1 or array.size not in allowed or not small:
            raise UserError(f"{where} = {array.tolist()!s:.60} is not allowed; allowed are whole numbers from {lowest}")

    def _read_edges(self, group: Any, prefix: str, names: set[str]) -> None:
        dataset = group["edges"]
        if dataset.shape == (0,):
            return
        if len(dataset.shape) != 2 or dataset.shape[1] != 2 or dataset.shape[0] > MAX_EDGES:
            raise UserError(f"{self._source}: edges has shape {dataset.shape}; allowed are up to {MAX_EDGES} pairs")
        for pair in dataset[()]:
            a, b = (end.decode("utf-8") if isinstance(end, bytes) else str(end) for end in pair)
            for end in (a, b):
                if end not in names:
                    raise UserError(
                        f"{self._source}: an edge of {prefix.rstrip('.') or 'the graph'} names the node {end[:60]!r}, "
                        f"which is not there; there are {', '.join(sorted(names))[:200]}"
                    )
            self._edges.add((prefix + a, prefix + b))

    def _metadata(self, group: Any) -> dict[str, Any]:
        """Scalars and texts that stand beside a node; arrays and tables are left out."""
        if "metadata" not in group:
            return {}
        found = {}
        for key, item in group["metadata"].items():
            if getattr(item, "shape", None) == ():
                value = item[()]
                value = value.decode("utf-8") if isinstance(value, bytes) else value
                found[key] = value.item() if isinstance(value, np.generic) else value
        return found

    @staticmethod
    def _text(group: Any, key: str) -> str:
        value = group[key][()]
        return value.decode("utf-8") if isinstance(value, bytes) else str(value)


def _without_passages(graph: Graph) -> Graph:
    """Dissolve nested graphs: their Input and Output only hand on what comes to them."""
    nodes, edges = dict(graph.nodes), set(graph.edges)
    for name in [name for name, node in nodes.items() if node.kind == "NIRGraph"]:
        into, out = (_end(graph, name, kind) for kind in ("Input", "Output"))
        edges = {(out if a == name else a, into if b == name else b) for a, b in edges}
        del nodes[name]
    for name in [name for name, node in nodes.items() if node.kind in ("Input", "Output") and node.graph is not None]:
        before, after = [a for a, b in edges if b == name], [b for a, b in edges if a == name]
        edges = {edge for edge in edges if name not in edge} | {(a, b) for a in before for b in after}
        del nodes[name]
        if len(edges) > MAX_EDGES:
            raise UserError(f"{graph.source}: has more than {MAX_EDGES} edges between nodes; allowed are fewer")
    for kind in ("Input", "Output"):
        count = sum(node.kind == kind for node in nodes.values())
        if count != 1:
            raise UserError(f"{graph.source}: the graph has {count} nodes of type {kind}; allowed is 1")
    return replace(graph, nodes=nodes, edges=tuple(sorted(edges)))


def _end(graph: Graph, name: str, kind: str) -> str:
    """The Input or Output of a nested graph."""
    ends = [other for other, node in graph.nodes.items() if node.kind == kind and node.graph == name]
    if len(ends) != 1:
        raise UserError(f"{graph.source}: the nested graph {name!r} has {len(ends)} {kind} nodes; allowed is 1")
    return ends[0]


def _short(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text[:160]


__all__ = ["PASSING", "POOLS", "POPULATIONS", "WEIGHTS", "Graph", "Node", "parse_nir", "read_nir"]
