"""Initial weights and calibration: a float pass over the first training samples fixes scales and formats.

Nothing here depends on the learning rule, so every rule of one comparison starts from the same weights in the same
formats.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neurochip.config import Experiment
from neurochip.errors import UserError
from neurochip.fixed_point import QFormat, frac_for, quantise
from neurochip.network.shape import Fracs, LayerShape

if TYPE_CHECKING:
    from neurochip.events import EventDataset

PERCENTILE = 99.9
NORMAL_PERCENTILE = 3.2905  # of the magnitude of a normal number of standard deviation 1
_WEIGHT_STREAM, _ORDER_STREAM = 1, 2


@dataclass(frozen=True)
class Prepared:
    """Initial weights as real numbers, their spread per layer, and the calibrated fracs."""

    weights: tuple[NDArray[np.float64], ...]
    weight_std: tuple[float, ...]
    fracs: Fracs

    def integer_weights(self, bits: int, weights: tuple[NDArray[Any], ...] | None = None) -> list[NDArray[np.int64]]:
        """Quantise real weights (default: the initial ones) to the weight format of every layer."""
        source = self.weights if weights is None else weights
        return [quantise(w, QFormat(bits, frac, True)) for w, frac in zip(source, self.fracs.weight, strict=True)]


def epoch_order(seed: int, epoch: int, n_samples: int) -> NDArray[np.int64]:
    """Order of the training samples in an epoch (counted from 0): a permutation drawn from seed and epoch."""
    return np.random.default_rng([seed, _ORDER_STREAM, epoch]).permutation(n_samples)


def prepare(experiment: Experiment, shapes: tuple[LayerShape, ...], train: EventDataset) -> Prepared:
    """Draw the initial weights and calibrate the fracs on the first samples of the first epoch.

    Weights are normal with standard deviation init_gain / sqrt(k), k = mean number of active inputs per step, found
    layer by layer; biases start at 0. Keys given in the experiment (`network.weight_std`, `precision.*.frac`) win.

    Raises:
        UserError: if there is no training sample, or a list of fracs has the wrong length.
    """
    if train.n_samples == 0:
        raise UserError("the task has no training samples; at least 1 is needed")
    order = epoch_order(experiment.run.seed, 0, train.n_samples)[: experiment.run.calibration_samples]
    calibration = train.take(order)
    std, weights = _initial_weights(experiment, shapes, calibration)
    given = _given_fracs(experiment, shapes)
    probes = _calibration_probes(experiment, shapes, weights, calibration) if _incomplete(given) else {}
    return Prepared(weights, std, _fracs(experiment, shapes, weights, probes, given))


def _initial_weights(
    experiment: Experiment, shapes: tuple[LayerShape, ...], calibration: EventDataset
) -> tuple[tuple[float, ...], tuple[NDArray[np.float64], ...]]:
    rng = np.random.default_rng([experiment.run.seed, _WEIGHT_STREAM])
    weights = [np.zeros((shape.n_in + 1, shape.n_out)) for shape in shapes]
    for array, shape in zip(weights, shapes, strict=True):
        array[:-1] = rng.standard_normal((shape.n_in, shape.n_out))
    std: list[float] = []
    for index in range(len(shapes)):
        if experiment.network.weight_std is not None:
            std.append(experiment.network.weight_std[index])
        else:
            active = _active_inputs(experiment, shapes, weights, calibration, index)
            std.append(experiment.network.init_gain / float(np.sqrt(max(1.0, active))))
        weights[index][:-1] *= std[index]
    return tuple(std), tuple(weights)


def _active_inputs(
    experiment: Experiment,
    shapes: tuple[LayerShape, ...],
    weights: list[NDArray[np.float64]],
    calibration: EventDataset,
    index: int,
) -> float:
    """Mean number of input events per step of layer `index`, the layers before it being ready."""
    cells = calibration.n_samples * calibration.n_steps
    if index == 0:
        return len(calibration.addresses) / cells
    core = _float_core(experiment, shapes, weights, "none")
    run = core.run(calibration, np.arange(calibration.n_samples), learn=False)
    return float(run.spikes_per_layer[index - 1]) / cells


def _float_core(
    experiment: Experiment, shapes: tuple[LayerShape, ...], weights: Any, credit: str
) -> Any:  # FloatCore; its import compiles numba
    from neurochip.core.float_core import FloatCore
    from neurochip.core.float_spec import FloatSpec
    from neurochip.network.resolve import float_layers

    spec = FloatSpec(
        layers=float_layers(shapes, credit),
        n_steps=experiment.task.steps,
        surrogate=experiment.learning.surrogate,
        credit=credit,
        update="none",
        mse_share=experiment.learning.mse_share,
    )
    return FloatCore(spec, weights)


def _calibration_probes(
    experiment: Experiment, shapes: tuple[LayerShape, ...], weights: Any, calibration: EventDataset
) -> dict[str, NDArray[Any]]:
    everything = np.arange(calibration.n_samples)
    core = _float_core(experiment, shapes, weights, "trace")
    probes: dict[str, NDArray[Any]] = core.run(calibration, everything, learn=True, probe_slots=everything).probes
    return probes


def _given_fracs(experiment: Experiment, shapes: tuple[LayerShape, ...]) -> dict[str, tuple[int | None, ...]]:
    precision = experiment.precision
    n = len(shapes)
    lengths = {"weight": n, "membrane": n - 1, "trace": n, "error": n}
    given: dict[str, tuple[int | None, ...]] = {}
    for signal, length in lengths.items():
        value = getattr(precision, signal).frac
        if isinstance(value, list) and len(value) != length:
            raise UserError(f"precision.{signal}.frac has {len(value)} values; allowed is one, or a list of {length}")
        given[signal] = tuple(value) if isinstance(value, list) else (value,) * length
    gradient = precision.gradient.frac
    if isinstance(gradient, list) and len(gradient) != n:
        raise UserError(f"precision.gradient.frac has {len(gradient)} values; allowed is one, or a list of {n}")
    given["readout"] = (precision.readout.frac,)
    return given


def _incomplete(given: dict[str, tuple[int | None, ...]]) -> bool:
    return any(frac is None for signal in ("membrane", "trace", "error") for frac in given[signal])


def _fracs(
    experiment: Experiment,
    shapes: tuple[LayerShape, ...],
    weights: tuple[NDArray[np.float64], ...],
    probes: dict[str, NDArray[Any]],
    given: dict[str, tuple[int | None, ...]],
) -> Fracs:
    precision = experiment.precision
    highest = {
        "weight": QFormat(precision.weight.bits, 0, True).highest,
        "membrane": QFormat(precision.membrane.bits, 0, True).highest,
        "trace": QFormat(precision.trace.bits, 0, False).highest,
        "error": QFormat(precision.error.bits, 0, True).highest,
    }
    headroom = {"weight": precision.weight.headroom, "membrane": precision.membrane.headroom}

    def choose(signal: str, index: int, values: list[NDArray[Any]]) -> int:
        asked = given[signal][index]
        if asked is not None:
            return asked
        return frac_for(_magnitude(values) * 2.0 ** headroom.get(signal, 0), highest[signal])

    last = len(shapes) - 1
    weight = tuple(choose("weight", i, [weights[i]]) for i in range(len(shapes)))
    membrane = tuple(choose("membrane", i, [probes.get(f"potential/{i}", np.ones(1))]) for i in range(last))
    trace = tuple(choose("trace", i, [probes.get(f"trace/{i}", np.ones(1))]) for i in range(len(shapes)))
    error = tuple(
        choose("error", i, [probes[name] for name in (f"d/{i}", f"signal/{i}") if name in probes])
        for i in range(len(shapes))
    )
    readout = given["readout"][0]
    legal = Fracs(weight, membrane, trace, error, weight[last] if readout is None else readout).legal()
    return _with_given(legal, given)


def _with_given(fracs: Fracs, given: dict[str, tuple[int | None, ...]]) -> Fracs:
    """Put back the fracs of the experiment: only calibrated ones may move, and `CoreSpec.check` refuses the rest."""
    kept: dict[str, Any] = {
        signal: tuple(
            calibrated if asked is None else asked
            for asked, calibrated in zip(given[signal], getattr(fracs, signal), strict=True)
        )
        for signal in ("weight", "membrane", "trace", "error")
    }
    return replace(fracs, **kept)


def _magnitude(arrays: list[NDArray[Any]]) -> float:
    """The 99.9th percentile of the nonzero magnitudes (1 if there are none)."""
    values = np.concatenate([np.abs(np.asarray(array, dtype=np.float64)).ravel() for array in arrays] or [np.ones(1)])
    values = values[values > 0]
    return float(np.percentile(values, PERCENTILE)) if values.size else 1.0


def assumed_fracs(
    experiment: Experiment, shapes: tuple[LayerShape, ...], rates: Sequence[float], traces: Sequence[NDArray[Any]]
) -> Fracs:
    """Formats of a network that never ran, by the rule of `prepare`.

    Weights have the spread init_gain / sqrt(k), k = active inputs per step at these rates; potentials and errors are
    taken to reach 1. Keys given in the experiment win.

    Args:
        experiment: bits, headroom and keys.
        shapes: layers first to last.
        rates: per layer, share of inputs with an event in a step.
        traces: real traces per layer, any shape.
    """
    weights = []
    for index, (shape, rate) in enumerate(zip(shapes, rates, strict=True)):
        spread = experiment.network.init_gain / float(np.sqrt(max(1.0, rate * shape.n_in)))
        if experiment.network.weight_std is not None:
            spread = experiment.network.weight_std[index]
        weights.append(np.array([spread * NORMAL_PERCENTILE]))
    probes = {f"trace/{index}": values for index, values in enumerate(traces)}
    return _fracs(experiment, shapes, tuple(weights), probes, _given_fracs(experiment, shapes))
