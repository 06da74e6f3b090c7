"""A NIR graph as the chain of layers that the core runs: weights, then neurons, one after the other to the Output.

Between two layers lie pools and flattens, and sums with the spikes of earlier neurons. A population may take its own
spikes back through one Linear or Affine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from neurochip.errors import UserError
from neurochip.network.nir_file import PASSING, POPULATIONS, WEIGHTS, Graph


@dataclass(frozen=True)
class Link:
    """A layer with weights.

    Attributes:
        weights: its node.
        path: (node, earlier populations or Input that are added where it takes its input), from the layer before on;
            the last one is `weights` itself.
        population: its neurons; None where the weights lead to the Output.
        recurrent: the weights from its own spikes.
        is_last: whether only the Output follows.
    """

    weights: str
    path: tuple[tuple[str, tuple[str, ...]], ...]
    population: str | None
    recurrent: str | None
    is_last: bool


def chain_of(graph: Graph) -> list[Link]:
    """The layers of a graph, first to last.

    Raises:
        UserError: naming the node at which the graph is no such chain.
    """
    finder = _Finder(graph)
    links: list[Link] = []
    while not links or not links[-1].is_last:
        links.append(finder.next_link())
    used = {name for link in links for name in (link.weights, link.population, link.recurrent)}
    used |= {name for link in links for name, _ in link.path}
    rest = [name for name, node in graph.nodes.items() if name not in used and node.kind not in ("Input", "Output")]
    if rest:
        raise graph.refuse(rest[0], "lies beside the chain of layers from Input to Output; allowed is one chain")
    return links


class _Finder:
    """Follows the graph from its Input; `_done` are the Input and the populations passed so far."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._done = [graph.only("Input")]
        self._own = {p: self._recurrent(p) for p, node in graph.nodes.items() if node.kind in POPULATIONS}

    def next_link(self) -> Link:
        graph, last = self._graph, self._done[-1]
        reached = self._weights_after(last)
        ready = [name for name in reached if self._sources(name) <= set(self._done)]
        if len(ready) != 1:
            raise self._not_one(last, ready, reached)
        weights = ready[0]
        after = graph.after(weights)
        if len(after) != 1 or graph.nodes[after[0]].kind not in (*POPULATIONS, "Output"):
            names = ", ".join(f"{name!r} ({graph.nodes[name].kind})" for name in after) or "nothing"
            raise graph.refuse(weights, f"leads to {names}; allowed is one population of neurons, or the Output")
        population = after[0] if graph.nodes[after[0]].kind != "Output" else None
        path = self._path(weights)
        if population is None:
            return Link(weights, path, None, None, True)
        own = self._own[population]
        others = [name for name in graph.before(population) if name not in (weights, own)]
        if others:
            raise self._second_way(population, weights, others[0])
        behind = [name for name in graph.after(population) if name != own]
        is_last = [graph.nodes[name].kind for name in behind] == ["Output"]
        if not is_last and (not behind or any(graph.nodes[name].kind == "Output" for name in behind)):
            raise graph.refuse(population, "leads to the Output and to other nodes, or to none; allowed is one of both")
        self._done.append(population)
        return Link(weights, path, population, own, is_last)

    def _not_one(self, last: str, ready: Sequence[str], reached: Sequence[str]) -> UserError:
        """The error of a node with not one layer after it."""
        if ready or not reached:
            names = ", ".join(map(repr, ready)) or "none"
            return self._graph.refuse(
                last, f"leads to {len(ready)} weights at once ({names}); allowed is one layer after it"
            )
        later = sorted(self._sources(reached[0]) - set(self._done))
        return self._graph.refuse(
            reached[0],
            f"takes what comes later, from {', '.join(map(repr, later))}; allowed are spikes of earlier layers, and "
            "those of a population back to itself through one Linear or Affine",
        )

    def _second_way(self, population: str, weights: str, other: str) -> UserError:
        """The error of a population that takes its input from two weights."""
        later = sorted(self._sources(other) - set(self._done) - {population})
        if self._graph.nodes[other].kind in WEIGHTS and later:
            return self._graph.refuse(
                population,
                f"takes what comes from {later[0]!r}, which lies behind it, back through {other!r}; the core has "
                "feedback from a population to itself alone",
            )
        return self._graph.refuse(population, f"takes from {weights!r} and {other!r}; allowed is one of them")

    def _recurrent(self, population: str) -> str | None:
        """The weights between a population and itself."""
        graph = self._graph
        own = [
            name
            for name in graph.after(population)
            if graph.nodes[name].kind in WEIGHTS and graph.after(name) == [population] == graph.before(name)
        ]
        if len(own) > 1 or any(graph.nodes[name].kind == "Conv2d" for name in own):
            raise graph.refuse(population, f"takes its spikes back through {own}; allowed is one Linear or Affine")
        return own[0] if own else None

    def _weights_after(self, start: str) -> list[str]:
        """The weights that a population or the Input leads to, through pools and flattens."""
        graph, found, seen = self._graph, [], {start}
        waiting = [name for name in graph.after(start) if name != self._own.get(start)]
        while waiting:
            name = waiting.pop()
            kind = graph.nodes[name].kind
            if name in seen:
                continue
            seen.add(name)
            if kind in WEIGHTS:
                found.append(name)
            elif kind in PASSING:
                waiting += graph.after(name)
            else:
                raise graph.refuse(name, f"takes spikes of {start!r} without weights; allowed are weights before it")
        return sorted(found)

    def _sources(self, name: str) -> set[str]:
        """The populations and the Input that come to a node through pools and flattens; other nodes stand for one."""
        graph, found, waiting, seen = self._graph, set(), [name], {name}
        while waiting:
            for before in graph.before(waiting.pop()):
                if graph.nodes[before].kind in PASSING and before not in seen:
                    seen.add(before)
                    waiting.append(before)
                elif graph.nodes[before].kind not in PASSING:
                    found.add(before)
        return found

    def _path(self, weights: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
        graph, last, name = self._graph, self._done[-1], weights
        path: list[tuple[str, tuple[str, ...]]] = []
        while name != last:
            before = graph.before(name)
            main = self._main(before)
            added = [other for other in before if other != main]
            if main is None or any(other not in self._done for other in added) or len(path) > len(graph.nodes):
                raise graph.refuse(
                    name, f"takes from {', '.join(map(repr, before))}; allowed are the layer before it and, as they "
                    "are, spikes of earlier ones"
                )  # fmt: skip
            path.append((name, tuple(added)))
            name = main
        return tuple(reversed(path))

    def _main(self, before: Sequence[str]) -> str | None:
        """The one of several inputs that leads back to the layer before."""
        last = self._done[-1]
        if last in before:
            return last
        leading = [n for n in before if self._graph.nodes[n].kind in PASSING and last in self._sources(n)]
        return leading[0] if len(leading) == 1 else None


__all__ = ["Link", "chain_of"]
