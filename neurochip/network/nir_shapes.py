"""Shapes in a NIR graph, found from its Input on: files leave them out, or state them wrongly (`[1, 1, 1]` for 1)."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from neurochip.network.nir_file import POOLS, POPULATIONS, Graph, Node

Shape = tuple[int, ...]
MAX_VALUES = 1 << 26  # of one node


def infer_shapes(graph: Graph) -> dict[str, Shape]:
    """The shape of the output of every node that the Input reaches: (n,) or (channels, height, width).

    Raises:
        UserError: naming the first node whose parameters do not fit what comes to it, or that nothing reaches.
    """
    start = graph.only("Input")
    shapes: dict[str, Shape] = {start: _input_shape(graph, start)}
    waiting = deque([start])
    while waiting:
        name = waiting.popleft()
        for after in graph.after(name):
            shape = _output_shape(graph, after, shapes[name], name)
            if after not in shapes:
                shapes[after] = shape
                waiting.append(after)
            elif shapes[after] != shape:
                raise graph.refuse(after, f"gets arrays of different shapes; that of {name!r} has {shapes[name]}")
    lost = [name for name in graph.nodes if name not in shapes]
    if lost:
        raise graph.refuse(lost[0], "is not reached from the Input; allowed are nodes that the input comes to")
    return shapes


def padding_of(graph: Graph, name: str) -> tuple[int, int]:
    """Rows and columns of zeros on each side of the input of a convolution.

    Raises:
        UserError: "same" where it would need more on one side than on the other.
    """
    node = graph.nodes[name]
    padding = node.parameters["padding"]
    if not isinstance(padding, str):
        return node.pair("padding")
    if padding == "valid":
        return 0, 0
    if padding != "same":
        raise graph.refuse(name, f"has padding = {padding[:20]!r}; allowed are numbers, 'valid' and 'same'")
    height, width = node["weight"].shape[2:]
    if node.pair("stride") != (1, 1) or height % 2 == 0 or width % 2 == 0:
        raise graph.refuse(name, "has padding = 'same', which is even on both sides only with stride 1 and odd kernels")
    return height // 2, width // 2


def _input_shape(graph: Graph, name: str) -> Shape:
    """Leading ones are no axis of an event: (1, 2, 34, 34) is (2, 34, 34)."""
    shape = [int(size) for size in np.atleast_1d(graph.nodes[name]["shape"])]
    while len(shape) > 3 and shape[0] == 1:
        shape = shape[1:]
    if len(shape) not in (1, 3) or math.prod(shape) > MAX_VALUES:
        raise graph.refuse(name, f"has shape {shape}; allowed are [n] and [channels, height, width]")
    return tuple(shape)


def _output_shape(graph: Graph, name: str, given: Shape, source: str) -> Shape:
    node = graph.nodes[name]
    if node.kind == "Input":
        raise graph.refuse(name, f"takes the output of {source!r}; allowed is an Input without one")
    if node.kind in ("Linear", "Affine"):
        return _linear(graph, name, node, given)
    if node.kind == "Conv2d":
        return _convolved(graph, name, node, given)
    if node.kind in POOLS:
        return _pooled(graph, name, node, given)
    if node.kind == "Flatten":
        return _flattened(graph, name, node, given)
    if node.kind in POPULATIONS:
        _check_population(graph, name, node, given)
    return given


def _linear(graph: Graph, name: str, node: Node, given: Shape) -> Shape:
    weight = node["weight"]
    if weight.ndim != 2 or weight.size == 0:
        raise graph.refuse(name, f"has a weight of shape {weight.shape}; allowed is (outputs, inputs)")
    n_out, n_in = weight.shape
    if math.prod(given) != n_in or (len(given) > 1 and given[1:] != (1, 1)):
        raise graph.refuse(name, f"has {n_in} inputs and gets an array of shape {given}; allowed is ({n_in},)")
    if node.kind == "Affine" and node["bias"].size not in (1, n_out):
        raise graph.refuse(name, f"has a bias of shape {node['bias'].shape}; allowed is ({n_out},)")
    return (int(n_out),)


def _convolved(graph: Graph, name: str, node: Node, given: Shape) -> Shape:
    weight, groups = node["weight"], int(node["groups"].reshape(-1)[0])
    if weight.ndim != 4 or weight.size == 0:
        raise graph.refuse(name, f"has a weight of shape {weight.shape}; allowed is (outputs, inputs, height, width)")
    n_out, channels, height, width = weight.shape
    if len(given) != 3 or given[0] != channels * groups or n_out % groups:
        raise graph.refuse(
            name,
            f"has weights for {channels} x {groups} channels in {groups} groups, {n_out} outputs, and gets an array of "
            f"shape {given}; both channels must be those of the groups",
        )
    if node["bias"].size not in (1, n_out):
        raise graph.refuse(name, f"has a bias of shape {node['bias'].shape}; allowed is ({n_out},)")
    if node.pair("dilation") != (1, 1):
        raise graph.refuse(name, f"has dilation = {list(node.pair('dilation'))}; allowed is 1")
    padding, stride = padding_of(graph, name), node.pair("stride")
    size = [(n + 2 * p - k) // s + 1 for n, p, k, s in zip(given[1:], padding, (height, width), stride, strict=True)]
    return _bounded(graph, name, (int(n_out), *size))


def _pooled(graph: Graph, name: str, node: Node, given: Shape) -> Shape:
    if len(given) != 3:
        raise graph.refuse(name, f"gets an array of shape {given}; allowed is (channels, height, width)")
    kernel, stride, padding = (node.pair(key) for key in ("kernel_size", "stride", "padding"))
    size = [(n + 2 * p - k) // s + 1 for n, p, k, s in zip(given[1:], padding, kernel, stride, strict=True)]
    return _bounded(graph, name, (given[0], *size))


def _flattened(graph: Graph, name: str, node: Node, given: Shape) -> Shape:
    """Axes first to last become one. Files count an axis of the batch or not: all from 0, or from 1, are all."""
    first, last = (int(node[key].reshape(-1)[0]) for key in ("start_dim", "end_dim"))
    if (first, last) in ((0, -1), (1, -1), (0, len(given) - 1), (1, len(given))):
        return (math.prod(given),)
    last = last + len(given) if last < 0 else last
    if not 0 <= first < len(given) or not first <= last < len(given):
        if len(given) == 1:  # already flat
            return given
        raise graph.refuse(name, f"flattens the axes {first} to {last} of an array of shape {given}; allowed is 0 to 2")
    return (*given[:first], math.prod(given[first : last + 1]), *given[last + 1 :])


def _check_population(graph: Graph, name: str, node: Node, given: Shape) -> None:
    n_neurons = math.prod(given)
    for key, values in node.parameters.items():
        if values.size not in (1, n_neurons):
            raise graph.refuse(name, f"has {values.size} values of {key} for {n_neurons} neurons; allowed are as many")
    for key in ("tau", "tau_mem", "tau_syn"):
        if key in node.parameters and not (node[key] > 0).all():
            raise graph.refuse(name, f"has {key} = {node[key].min():g}; allowed are numbers above 0")


def _bounded(graph: Graph, name: str, shape: Shape) -> Shape:
    if min(shape) < 1:
        raise graph.refuse(name, "has a kernel that is larger than the map that comes to it")
    if math.prod(shape) > MAX_VALUES:
        raise graph.refuse(name, f"makes an array of shape {shape}; allowed are up to {MAX_VALUES} values")
    return shape


def channels_last_order(shape: Shape) -> NDArray[np.int64]:
    """Positions in a flattened (channels, height, width) of the addresses (y W + x) C + c; a list stays as it is."""
    order: NDArray[np.int64] = np.arange(math.prod(shape)).reshape(shape)
    return order.transpose(1, 2, 0).reshape(-1) if len(shape) == 3 else order


def order_of(graph: Graph) -> list[list[str]]:
    """The nodes in groups, each after those it takes from; nodes of one cycle form a group.

    The groups are the strongly connected components (Tarjan, without recursion).
    """
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    held: set[str] = set()
    groups: list[list[str]] = []
    after: Mapping[str, list[str]] = {name: graph.after(name) for name in graph.nodes}
    for root in graph.nodes:
        work = [(root, iter(after[root]))] if root not in index else []
        while work:
            name, rest = work[-1]
            if name not in index:
                index[name] = low[name] = len(index)
                stack.append(name)
                held.add(name)
            step = next((other for other in rest if other not in index or other in held), None)
            if step is None:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[name])
                if low[name] == index[name]:
                    place = stack.index(name)
                    groups.append(stack[place:])
                    held -= set(stack[place:])
                    del stack[place:]
            elif step in index:
                low[name] = min(low[name], index[step])
            else:
                work.append((step, iter(after[step])))
    return groups[::-1]


__all__ = ["Shape", "channels_last_order", "infer_shapes", "order_of", "padding_of"]
