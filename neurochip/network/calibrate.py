"""Initial weights and calibration: a float pass over the first training samples fixes scales and formats.

Every rule of one comparison starts from the same weights in the same formats. Heads and feedback layers, which local
and feedback credit bring along, are drawn and calibrated beside the network; formats of errors and traces hold those of
every spatial credit of the comparison.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neurochip.config import Experiment
from neurochip.config_precision import CalibratedTable
from neurochip.errors import UserError
from neurochip.fixed_point import QFormat, quantise
from neurochip.network.attached import attached_of
from neurochip.network.bias_rows import as_stored
from neurochip.network.choose import Sizes, choose_fracs, given_fracs, is_complete
from neurochip.network.formats import Fracs
from neurochip.network.initial import (
    FEEDBACK_STREAM,
    HEAD_STREAM,
    Drawn,
    Events,
    draw_attached,
    draw_network,
    given_spreads,
    mean_fan_in,
    spread,
)
from neurochip.network.magnitudes import Magnitudes, magnitude
from neurochip.network.origins import calibrated_table
from neurochip.network.shape import LayerShape
from neurochip.rules.presets import Rule
from neurochip.spec import NETWORK_INPUT, CoreSpec

if TYPE_CHECKING:
    from neurochip.events import EventDataset

NORMAL_PERCENTILE = 3.2905  # of the magnitude of a normal number of standard deviation 1
PROBED_CELLS = 1 << 21  # values of one signal that a pass keeps at a time
_ORDER_STREAM = 2

Weights = NDArray[np.float64]


@dataclass(frozen=True)
class Prepared:
    """Initial weights as real numbers, those of the float twin, their spread per layer, and the calibrated fracs.

    Attributes:
        weights, weight_std: per layer of the network.
        heads, feedback: hidden layer -> weights of its head and of the layer that carries feedback to it.
        head_std, feedback_std: their spreads.
        calibrated: how the fracs came about; None if the experiment gave all of them.
    """

    weights: tuple[Weights, ...]
    weight_std: tuple[float, ...]
    fracs: Fracs
    heads: Mapping[int, Weights] = field(default_factory=dict)
    feedback: Mapping[int, Weights] = field(default_factory=dict)
    head_std: Mapping[int, float] = field(default_factory=dict)
    feedback_std: Mapping[int, float] = field(default_factory=dict)
    calibrated: CalibratedTable | None = None

    def of_layers(self, layers: Sequence[LayerShape]) -> list[Weights]:
        """Initial weights of the layers of a rule (`neurochip.network.rule_layers`)."""
        return _of_layers(layers, self.weights, self.heads, self.feedback)


def integer_weights(spec: CoreSpec, weights: Sequence[NDArray[Any]]) -> list[NDArray[np.int64]]:
    """Quantise real weights, one array per layer of a specification, to its formats, biases as the core stores them."""
    return [
        quantise(as_stored(layer, layer.frac_event, values), QFormat(spec.weight_bits, layer.frac_weight, True))
        for layer, values in zip(spec.layers, weights, strict=True)
    ]


def epoch_order(seed: int, epoch: int, n_samples: int) -> NDArray[np.int64]:
    """Order of the training samples in an epoch (counted from 0): a permutation drawn from seed and epoch."""
    return np.random.default_rng([seed, _ORDER_STREAM, epoch]).permutation(n_samples)


def prepare(
    experiment: Experiment,
    shapes: tuple[LayerShape, ...],
    train: EventDataset,
    rules: Sequence[Rule] = (),
    initial: Sequence[Weights] | None = None,
) -> Prepared:
    """Draw the initial weights and calibrate the fracs on the first samples of the first epoch.

    Weights are normal with standard deviation init_gain / sqrt(max(1, k)), k = mean number of events per step that
    reach a neuron, found layer by layer, times the scale of the events, or standardised; biases start at 0. Keys given
    in the experiment (`network.weight_std`, `precision.*.frac`) win.

    Args:
        experiment: seed, gain, bits and given keys.
        shapes: the layers of the network.
        train: training samples.
        rules: those that will run; their heads and feedback layers are prepared too.
        initial: weights of the network, biases included as the float twin adds them, instead of drawn ones; they have
            no spread.

    Raises:
        UserError: if there is no training sample, a list of fracs has the wrong length, or the given spread of a
            standardised layer is not its own.
    """
    if train.n_samples == 0:
        raise UserError("the task has no training samples; at least 1 is needed")
    order = epoch_order(experiment.run.seed, 0, train.n_samples)[: experiment.run.calibration_samples]
    calibration = train.take(order)
    given = given_fracs(experiment, len(shapes))
    attached = attached_of(experiment, shapes, rules)
    if initial is not None:
        network = Drawn(tuple(initial), ())
    else:
        network = draw_network(experiment, shapes, lambda w, i: _events(experiment, shapes, w, calibration, i))

    def events() -> Events:
        return _events(experiment, shapes, network.weights, calibration, len(shapes) - 1)

    table = experiment.network
    heads, head_std = draw_attached(experiment, attached.heads, HEAD_STREAM, table.head_std, events)
    feedback, feedback_std = draw_attached(experiment, attached.feedback, FEEDBACK_STREAM, table.feedback_std, events)
    sizes = Sizes(
        [magnitude(as_stored(shape, shape.frac_event, w)) for shape, w in zip(shapes, network.weights, strict=True)],
        {index: magnitude(w) for index, w in heads.items()},
        {index: magnitude(w) for index, w in feedback.items()},
    )
    if not is_complete(experiment, given, attached):
        for variant in attached.variants:
            weights = _of_layers(variant, network.weights, heads, feedback)
            sizes.add(variant, _measured(experiment, variant, weights, calibration))
    fracs = choose_fracs(experiment, shapes, attached, sizes, given)
    calibrated = calibrated_table(experiment, shapes, attached, sizes, given, fracs)
    return Prepared(network.weights, network.std, fracs, heads, feedback, head_std, feedback_std, calibrated)


def _of_layers(
    layers: Sequence[LayerShape], own: Sequence[Weights], heads: Mapping[int, Weights], feedback: Mapping[int, Weights]
) -> list[Weights]:
    chosen = []
    for index, layer in enumerate(layers):
        if layer.attached is None:
            chosen.append(own[index if layer.is_hidden else -1])
        else:
            chosen.append((feedback if layer.kind == "feedback" else heads)[layer.attached])
    return chosen


def _events(
    experiment: Experiment, shapes: tuple[LayerShape, ...], weights: Any, calibration: EventDataset, index: int
) -> Events:
    """Events of the sources of layer `index`, the layers before it being ready."""
    inputs = np.bincount(calibration.addresses, minlength=calibration.n_inputs).astype(np.int64)
    counts: dict[int, NDArray[np.int64]] = {NETWORK_INPUT: inputs}
    if index > 0:
        core = _float_core(experiment, shapes, weights, "none")
        counts |= {layer: np.zeros(shape.n_out, dtype=np.int64) for layer, shape in enumerate(shapes[:-1])}
        for probes in _probes(core, shapes, calibration, learn=False):
            for layer in range(len(shapes) - 1):
                counts[layer] += np.count_nonzero(probes[f"spike/{layer}"], axis=(0, 1))
    return Events(counts, calibration.n_samples * calibration.n_steps)


def _float_core(
    experiment: Experiment, shapes: tuple[LayerShape, ...], weights: Any, credit: str
) -> Any:  # FloatCore; its import compiles numba
    from neurochip.core.float_core import FloatCore
    from neurochip.core.float_spec import FloatSpec
    from neurochip.network.resolve import float_layers

    learning = experiment.learning
    spec = FloatSpec(
        layers=float_layers(shapes, credit),
        n_steps=experiment.task.steps,
        surrogate=learning.surrogate,
        credit=credit,
        update="none",
        mse_share=learning.mse_share,
        loss_start=learning.loss_start,
        update_every=learning.update_every,
    )
    return FloatCore(spec, weights)


def _probes(core: Any, layers: Sequence[LayerShape], calibration: EventDataset, *, learn: bool) -> Any:
    """What was probed, a few samples at a time: weights are frozen, so the samples do not depend on each other."""
    width = max(max(layer.n_in, layer.n_out) for layer in layers)
    size = max(1, PROBED_CELLS // (width * calibration.n_steps))
    for start in range(0, calibration.n_samples, size):
        chosen = np.arange(start, min(start + size, calibration.n_samples))
        yield core.run(calibration, chosen, learn=learn, probe_slots=np.arange(len(chosen))).probes


_SIGNALS: Mapping[str, tuple[str, ...]] = {
    "potential": ("potential", "current"),
    "trace": ("trace",),
    "error": ("d", "signal"),
}


def _measured(
    experiment: Experiment, layers: tuple[LayerShape, ...], weights: Any, calibration: EventDataset
) -> dict[str, float]:
    """Percentiles of the layers of a variant: "potential/l" (with the current), "trace/l", "error/l" (d and signal)."""
    core = _float_core(experiment, layers, weights, "trace")
    cells = calibration.n_samples * calibration.n_steps
    found: dict[str, Magnitudes] = {}
    for probes in _probes(core, layers, calibration, learn=True):
        for index, layer in enumerate(layers):
            for signal, names in _SIGNALS.items():
                for name in names:
                    if (values := probes.get(f"{name}/{index}")) is not None:
                        room = Magnitudes(2 * cells * max(layer.n_in, layer.n_out))
                        found.setdefault(f"{signal}/{index}", room).add(values)
    return {name: values.percentile for name, values in found.items()}


def assumed_fracs(
    experiment: Experiment,
    shapes: tuple[LayerShape, ...],
    rates: Sequence[float],
    traces: Sequence[NDArray[Any]],
    rules: Sequence[Rule] = (),
) -> Fracs:
    """Formats of a network that never ran, by the rule of `prepare`.

    Weights have the spread init_gain / sqrt(k), k = active inputs per step at these rates, times the scale of the
    events, or that of standardised ones; potentials and errors are
    taken to reach 1. Keys given in the experiment win.

    Args:
        experiment: bits, headroom and keys.
        shapes: layers first to last.
        rates: per layer, share of inputs with an event in a step.
        traces: real traces per layer, any shape.
        rules: those to price; their heads and feedback layers get formats too.
    """
    attached = attached_of(experiment, shapes, rules)
    given_std = given_spreads(experiment, shapes)

    def size(shape: LayerShape, index: int, rate: float) -> float:
        return spread(experiment, rate * mean_fan_in(shape, index)) * NORMAL_PERCENTILE

    def own_size(shape: LayerShape, index: int) -> float:
        if shape.gain:
            return shape.standardised_std * NORMAL_PERCENTILE
        std = size(shape, index, rates[index]) if given_std is None else given_std[index] * NORMAL_PERCENTILE
        return std * shape.scale

    sizes = Sizes(
        [own_size(shape, index) for index, shape in enumerate(shapes)],
        {index: size(shape, index, rates[index + 1]) for index, shape in attached.heads.items()},
        {index: size(shape, index, rates[index + 1]) for index, shape in attached.feedback.items()},
    )
    sizes.add(shapes, {f"trace/{index}": magnitude(values) for index, values in enumerate(traces)})
    return choose_fracs(experiment, shapes, attached, sizes, given_fracs(experiment, len(shapes)))
