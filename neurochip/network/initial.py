"""Initial weights: normal numbers drawn by seed, as wide as the inputs of a layer are active."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurochip.config import Experiment
from neurochip.errors import UserError
from neurochip.network.shape import LayerShape
from neurochip.network.wiring import taps_per_source

# Streams of numpy's default_rng([seed, stream, ...]): weights of the network layer by layer; the head and the feedback
# layer of hidden layer l from [seed, stream, l], so that they are the same under every rule.
WEIGHT_STREAM, HEAD_STREAM, FEEDBACK_STREAM = 1, 5, 6
STANDARDISATION_FLOOR = 1e-4  # below the root of K * var, as the OTTT paper's code has it
_SAME_SPREAD = 1e-9  # relative: what a file may lose of a number

Weights = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Events:
    """Events of the sources, counted over samples and steps.

    Attributes:
        counts: source (NETWORK_INPUT or a hidden layer) -> events of each of its addresses.
        cells: samples times steps.
    """

    counts: Mapping[int, NDArray[np.int64]]
    cells: int


EventsOf = Callable[[Sequence[Weights], int], Events]  # weights so far, and the layer in question


@dataclass(frozen=True)
class Drawn:
    """Weights per layer, [n_weight_rows + n_bias_rows, columns], biases 0, and their standard deviations.

    `std` is without the scale of the events, which `weights` of layers that are not standardised have as a factor.
    """

    weights: tuple[Weights, ...]
    std: tuple[float, ...]


def draw_network(experiment: Experiment, shapes: Sequence[LayerShape], events_of: EventsOf) -> Drawn:
    """Draw the weights of the network: standard normals times init_gain / sqrt(max(1, k)), or network.weight_std.

    They are multiplied by the scale of the events of their layer. Those of a standardised layer are
    g (w - mean) / sqrt(K var + 1e-4) instead, column by column.

    Args:
        experiment: seed, gain and given spreads.
        shapes: the layers of the network.
        events_of: events of the sources of a layer, the weights before it being ready.

    Raises:
        UserError: if a spread is given that is not that of a standardised layer.
    """
    rng = np.random.default_rng([experiment.run.seed, WEIGHT_STREAM])
    weights = [_normals(rng, shape) for shape in shapes]
    given = given_spreads(experiment, shapes)
    std: list[float] = []
    for index, shape in enumerate(shapes):
        rows = weights[index][: shape.n_weight_rows]
        if given is not None:
            std.append(given[index])
        elif shape.gain:
            std.append(shape.standardised_std)
        else:
            std.append(spread(experiment, mean_input(shape, index, events_of(weights, index))))
        rows[...] = _standardised(rows, shape.gain) if shape.gain else rows * std[index] * shape.scale
    return Drawn(tuple(weights), tuple(std))


def given_spreads(experiment: Experiment, shapes: Sequence[LayerShape]) -> list[float] | None:
    """The spreads of `network.weight_std`; None without.

    Raises:
        UserError: if that of a standardised layer is not g / sqrt(K), which nothing can change.
    """
    given = experiment.network.weight_std
    for index, (shape, std) in enumerate(zip(shapes, given or (), strict=False)):
        if shape.gain and not math.isclose(std, shape.standardised_std, rel_tol=_SAME_SPREAD):
            raise UserError(
                f"network.weight_std.{index} = {std:g} is not allowed, as standardise = true gives the weights of this "
                f"layer the standard deviation {shape.standardised_std!r}; allowed is that, or another gain"
            )
    return given


def _standardised(weights: Weights, gain: float) -> Weights:
    """g (w - mean) / sqrt(K var + 1e-4) of every column, var with K - 1 in the denominator."""
    n_rows = weights.shape[0]
    variance = weights.var(axis=0, ddof=1)
    found: Weights = gain * (weights - weights.mean(axis=0)) / np.sqrt(n_rows * variance + STANDARDISATION_FLOOR)
    return found


def draw_attached(
    experiment: Experiment,
    layers: Mapping[int, LayerShape],
    stream: int,
    given: Mapping[str, float] | None,
    events: Callable[[], Events],
) -> tuple[dict[int, Weights], dict[int, float]]:
    """Draw heads or feedback layers: hidden layer -> weights, and their standard deviations by the rule of the network.

    Args:
        experiment: seed and gain.
        layers: hidden layer -> its head or feedback layer.
        stream: HEAD_STREAM or FEEDBACK_STREAM.
        given: standard deviations of a resolved experiment, by number of the hidden layer.
        events: of the network; called if some spreads are not given.
    """
    weights: dict[int, Weights] = {}
    std: dict[int, float] = {}
    for index, shape in layers.items():
        known = (given or {}).get(str(index))
        std[index] = spread(experiment, mean_input(shape, index, events())) if known is None else known
        weights[index] = _normals(np.random.default_rng([experiment.run.seed, stream, index]), shape)
        weights[index][: shape.n_weight_rows] *= std[index]
    return weights, std


def spread(experiment: Experiment, mean_events: float) -> float:
    """Standard deviation of the initial weights of a layer whose neurons get so many events per step."""
    return experiment.network.init_gain / float(np.sqrt(max(1.0, mean_events)))


def mean_input(shape: LayerShape, index: int, events: Events) -> float:
    """k: events per step that reach a neuron, mean over the neurons; behind an average pool sums of squared values.

    Spikes that a recurrent layer sends itself are not known before its weights and not counted.
    """
    reached = sum(
        int((taps_per_source(connection, shape.n_in, shape.conv) * events.counts[connection.source]).sum())
        for connection in shape.connections(index)
        if connection.delay == 0
    )
    return reached * _square(shape) / events.cells


def mean_fan_in(shape: LayerShape, index: int) -> float:
    """k if every address of the sources had one event per step."""
    reached = sum(
        int(taps_per_source(connection, shape.n_in, shape.conv).sum())
        for connection in shape.connections(index)
        if connection.delay == 0
    )
    return reached * _square(shape)


def _square(shape: LayerShape) -> float:
    """The square of an event's value, 4^-frac_m, over the blocks that share the taps."""
    return 4.0**-shape.frac_event / shape.n_blocks


def _normals(rng: np.random.Generator, shape: LayerShape) -> Weights:
    weights = np.zeros((shape.n_weight_rows + shape.n_bias_rows, shape.columns))
    weights[: shape.n_weight_rows] = rng.standard_normal((shape.n_weight_rows, shape.columns))
    return weights
