"""An imported network before it learns: its accuracy in integers and in real numbers, its spikes beside the graph's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neurochip.events import EventDataset
from neurochip.network.nir_file import WEIGHTS, Graph
from neurochip.network.nir_imported import Imported
from neurochip.network.nir_run import NirRun, NirRunner
from neurochip.network.nir_shapes import channels_last_order, infer_shapes
from neurochip.rules.presets import NO_LEARNING, find_rule

if TYPE_CHECKING:
    from neurochip.setup import Setup
    from neurochip.training import Core

# Samples on which the graph itself runs: numpy is slow, so their number follows from the size of the graph.
FEWEST_SAMPLES, MOST_SAMPLES, GRAPH_PRODUCTS = 8, 200, 1 << 33
PROBED_SAMPLES = 8  # at a time
CHUNK_SAMPLES = 32
Document = dict[str, Any]


def accuracy_and_spikes(setup: Setup, imported: Imported) -> Document:
    """`accuracy` and `spikes` of an import report, on the validation split, or on the test split where there is none.

    The graph runs on the first samples of the split, integers and the float twin on all of them.
    """
    from neurochip.setup import TEACHER_KEY, Run

    split = "validation" if setup.task.validation.n_samples else "test"
    data: EventDataset = getattr(setup.task, split)
    fast, rule = replace(setup, engine="fast"), find_rule(NO_LEARNING)  # the golden core has the same integers
    fixed = fast.core(Run(rule, "fixed", "."), None)
    real = fast.core(Run(rule, "float", TEACHER_KEY), None)  # under this key nothing is quantised
    return {
        "accuracy": {
            "split": split,
            "samples": data.n_samples,
            "fixed": _accuracy(fixed, data),
            "float": _accuracy(real, data),
        },
        "spikes": {"split": split, **_spikes(setup, imported, fixed, data)},
    }


def graph_samples(graph: Graph, n_steps: int) -> int:
    """On how many samples a graph is run."""
    shapes, products = infer_shapes(graph), 0
    for name, node in graph.nodes.items():
        if node.kind in WEIGHTS:
            places = int(np.prod(shapes[name][1:]))  # 1 behind a Linear
            products += node["weight"].size * places
    return min(MOST_SAMPLES, max(FEWEST_SAMPLES, GRAPH_PRODUCTS // max(1, products * n_steps)))


def _accuracy(core: Core, data: EventDataset) -> float:
    right = 0
    for chunk, part, at in _chunks(data, data.n_samples, CHUNK_SAMPLES):
        found = core.run(part, at, learn=False, end_of_epoch=False, probe=()).predictions
        right += int((found == data.labels[chunk]).sum())
    return right / max(1, data.n_samples)


def _chunks(data: EventDataset, n_samples: int, size: int) -> Iterator[tuple[NDArray[Any], EventDataset, NDArray[Any]]]:
    """(samples, a data set in memory, their places there), from the first sample on."""
    for start in range(0, n_samples, size):
        chunk = np.arange(start, min(start + size, n_samples))
        yield chunk, *data.chunk(chunk)


@dataclass
class _Spikes:
    """What a population fired, in the graph and in the core."""

    graph: int = 0
    core: int = 0
    differing: int = 0

    def add(self, fired: NDArray[np.bool_], graph: NDArray[np.bool_]) -> None:
        self.graph += int(graph.sum())
        self.core += int(fired.sum())
        self.differing += int((fired != graph).sum())

    def document(self, population: str | None) -> Document:
        return {
            "population": population,
            "graph_spikes": self.graph,
            "core_spikes": self.core,
            "differing": self.differing,
            "differing_share": self.differing / max(1, self.graph + self.core),
        }


@dataclass
class _Answers:
    """Of the graph, as sums of its outputs, and of the core, one per sample.

    `last` is the last population of the graph if its outputs are spikes, None else.
    """

    last: str | None
    sums: list[NDArray[np.float64]] = field(default_factory=list)
    core: list[int] = field(default_factory=list)

    def document(self, labels: NDArray[Any]) -> Document:
        graph, core = np.array([int(np.argmax(sums)) for sums in self.sums]), np.array(self.core)
        return {
            **self._last_spikes(),
            "same_answers": int((graph == core).sum()),
            "graph_right": int((graph == labels).sum()),
            "core_right": int((core == labels).sum()),
        }

    def _last_spikes(self) -> Document:
        if self.last is None:
            return {}
        spikes = [int(sums.sum()) for sums in self.sums]
        return {
            "last_population": self.last,
            "last_spikes_per_sample": sum(spikes) / max(1, len(spikes)),
            "last_silent_samples": spikes.count(0),
        }


def _spikes(setup: Setup, imported: Imported, core: Core, data: EventDataset) -> Document:
    """Run the graph in real numbers and the integer core on the same samples."""
    n_samples = min(data.n_samples, graph_samples(imported.graph, data.n_steps))
    runner, first = NirRunner(imported.graph, imported.steps), setup.resolved.learning.loss_start - 1
    table, answers = setup.resolved.network.nir, _Answers(_last_that_fires(imported))
    hidden, outputs = imported.layers[:-1], None if table is None else table.outputs
    counts = [_Spikes() for _ in hidden]
    for _, part, at in _chunks(data, n_samples, PROBED_SAMPLES):
        result = core.run(part, at, learn=False, end_of_epoch=False, probe=range(len(at)))
        runs = [runner.run(dense_input(part, int(sample))) for sample in at]
        for index, (layer, count) in enumerate(zip(hidden, counts, strict=True)):
            graph = np.stack([in_our_order(run.outputs[str(layer.population)]) for run in runs])
            count.add(result.probes[f"spike/{index}"] != 0, graph != 0)
        answers.sums += [output_sums(run, imported, outputs, first) for run in runs]
        answers.core += result.predictions.tolist()
    return {
        "samples": n_samples,
        "steps": data.n_steps,
        "populations": [count.document(layer.population) for layer, count in zip(hidden, counts, strict=True)],
        **answers.document(data.labels[:n_samples]),
    }


def _last_that_fires(imported: Imported) -> str | None:
    """The last population of the graph if it has a threshold."""
    last = imported.layers[-1].population
    return last if last is not None and "v_threshold" in imported.graph.nodes[last].parameters else None


def dense_input(data: EventDataset, sample: int) -> NDArray[np.float64]:
    """The events of a sample as [steps, inputs], their magnitudes as values."""
    found = np.zeros((data.n_steps, data.n_inputs))
    events = data.sample(sample)
    rows = np.repeat(np.arange(data.n_steps), np.diff(events.step_offsets))
    found[rows, events.addresses] = events.magnitudes
    return found


def in_our_order(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """[steps, channels, height, width] or [steps, n] as [steps, addresses]."""
    flat: NDArray[np.float64] = values.reshape(len(values), -1)[:, channels_last_order(values.shape[1:])]
    return flat


def answer(run: NirRun, imported: Imported, outputs: Sequence[int] | None, first: int = 0) -> int:
    """The class whose output of the graph has the largest sum from step `first` on; ties go to the lowest."""
    return int(np.argmax(output_sums(run, imported, outputs, first)))


def output_sums(run: NirRun, imported: Imported, outputs: Sequence[int] | None, first: int = 0) -> NDArray[np.float64]:
    """What the answer is read from: per class, the sum of its output of the graph from step `first` on."""
    sums: NDArray[np.float64] = run.outputs[imported.graph.only("Output")][first:].sum(axis=0).reshape(-1)
    return sums if outputs is None else sums[list(outputs)]


__all__ = ["accuracy_and_spikes", "answer", "dense_input", "graph_samples", "in_our_order", "output_sums"]
