"""What limits a run, and what to change: rules with thresholds over the figures of a diagnosis.

The rules stand in the order in which causes hide each other: rounding that loses the learning rate decides what all
other figures are, a signal that saturates decides its errors, and so on. Weights of which many are at their limit come
before errors and traces: neurons that fire too often and sums that are wrong follow from them. The first cause found is
the advice; after it is followed, a new run shows what is left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from neurochip.config import Experiment
from neurochip.diagnosis.measure import Diagnosis, LayerDiagnosis
from neurochip.diagnosis.remedies import Remedy, finer, finer_weights, more_range, other_threshold

RATE_LOST = 0.5  # of a layer; also above: its negative, and the bias of the rounding
SATURATED = {"membrane": 0.01, "error": 0.15, "trace": 0.05, "readout": 0.01, "gradient": 0.01}
ALSO = 1 / 3  # of these shares, above which a layer takes part in the remedy of another
WEIGHTS_SATURATED = 0.005  # of the updates, where also
WEIGHTS_AT_LIMIT = 0.05  # of the weights are on the last code
MANY_SATURATED, MANY_AT_LIMIT = 0.1, 0.2  # of updates and of weights: so many are no consequence of other signals
LEAST_SNR_DB = {"potential": 10.0, "trace": 15.0, "error": 5.0}
UNDERFLOWN = 0.3  # of the errors
DEAD, ALWAYS_FIRING = 0.2, 0.3  # of the neurons of a layer
UNUSED_BITS = 2.0  # of the weights of a layer, if no more than these are in use:
FEW_BITS = 6.0
SIGNAL_NAMES = {"potential": "membrane", "trace": "trace", "error": "error"}
PLURALS = {
    "membrane": "additions to membrane potentials",
    "error": "errors",
    "trace": "traces",
    "readout": "additions to readout sums",
    "gradient": "additions to gradients",
}

IsLegal = Callable[[Remedy], bool]


@dataclass(frozen=True)
class Advice:
    """A cause that limits the accuracy, and its remedy.

    Attributes:
        cause: "rounding" | "saturation" | "resolution" | "dead neurons" | "saturated neurons".
        signal: "weight" | "membrane" | "trace" | "error" | "readout" | "gradient"; None: of neurons.
        layer: index of the layer where it shows most.
        sentence: what was measured, and what to do.
        overrides: KEY=VALUE texts, each to be given with `--set`.
    """

    cause: str
    signal: str | None
    layer: int
    sentence: str
    overrides: Remedy


@dataclass(frozen=True)
class _Finding:
    """A cause with the remedies that would do, best first."""

    cause: str
    signal: str | None
    layer: int
    measured: str
    remedies: tuple[tuple[str, Remedy], ...]  # (in words, overrides)


def advise(diagnosis: Diagnosis, experiment: Experiment, is_legal: IsLegal = lambda remedy: True) -> Advice | None:
    """What to change first; None for a healthy run.

    Args:
        diagnosis: the figures.
        experiment: the resolved experiment of the run.
        is_legal: whether the experiment may have these overrides.
    """
    for finding in _findings(diagnosis, experiment):
        for words, overrides in finding.remedies:
            if is_legal(overrides):
                return Advice(finding.cause, finding.signal, finding.layer, f"{finding.measured}: {words}.", overrides)
    return None


def _findings(diagnosis: Diagnosis, experiment: Experiment) -> Iterator[_Finding]:
    layers = diagnosis.layers
    names = [f"layer {index} ({layer.kind})" for index, layer in enumerate(layers)]
    yield from _rounding(layers, names, experiment)
    first, *others = SATURATED
    yield from _saturation(first, layers, names, experiment)
    yield from _weights(layers, names, experiment, MANY_SATURATED, MANY_AT_LIMIT)
    for signal in others:
        yield from _saturation(signal, layers, names, experiment)
    yield from _neurons("dead neurons", layers, names, experiment)
    yield from _underflow(layers, names, experiment)
    yield from _neurons("saturated neurons", layers, names, experiment)
    for signal in LEAST_SNR_DB:
        yield from _resolution(signal, layers, names, experiment)
    yield from _unused_bits(layers, names, experiment)
    yield from _weights(layers, names, experiment)


def _of_network(layers: tuple[LayerDiagnosis, ...], index: int) -> bool:
    """Whether a layer is one of the network, whose formats are in the lists of [precision]; heads are not."""
    return layers[index].neurons is not None or index == len(layers) - 1


def _worst(values: list[float | None]) -> tuple[int, float]:
    """Index and value of the largest number; (0, -inf) if there is none."""
    found = [(value, -index) for index, value in enumerate(values) if value is not None]
    value, index = max(found, default=(float("-inf"), 0))
    return -index, value


def _rounding(layers: tuple[LayerDiagnosis, ...], names: list[str], experiment: Experiment) -> Iterator[_Finding]:
    roundings = [layer.rounding for layer in layers]
    index, value = _worst([None if one is None else max(abs(one.rate_lost), one.bias_share) for one in roundings])
    rounding = layers[index].rounding
    if value < RATE_LOST or rounding is None:
        return
    share = f"{100 * rounding.unchanged_share:.3g} % of the weight updates of {names[index]} round to no change"
    if abs(rounding.rate_lost) >= rounding.bias_share and rounding.rate_lost > 0:
        measured = f"{share}, and {100 * rounding.rate_lost:.3g} % of its learning rate is lost"
    else:
        drift = f"a drift of {rounding.bias_share:.3g} times all that its updates ask for"
        measured = f"{share}, and the others add {drift}"
    remedy = ("use stochastic rounding", ("precision.weight.rounding=stochastic",))
    yield _Finding("rounding", "weight", index, measured, (remedy,))


def _saturation(
    signal: str, layers: tuple[LayerDiagnosis, ...], names: list[str], experiment: Experiment
) -> Iterator[_Finding]:
    shares = [layer.saturation.get(signal) if _of_network(layers, i) else None for i, layer in enumerate(layers)]
    index, value = _worst(shares)
    if value < SATURATED[signal]:
        return
    measured = f"{100 * value:.3g} % of the {PLURALS[signal]} of {names[index]} saturate"
    affected = [(share or 0.0) >= ALSO * SATURATED[signal] for i, share in enumerate(shares) if _of_network(layers, i)]
    yield _Finding("saturation", signal, index, measured, more_range(signal, experiment, affected))


def _resolution(
    signal: str, layers: tuple[LayerDiagnosis, ...], names: list[str], experiment: Experiment
) -> Iterator[_Finding]:
    ratios = [layer.snr_db.get(signal) if _of_network(layers, i) else None for i, layer in enumerate(layers)]
    if signal == "potential":
        ratios = ratios[:-1]  # readouts have a format of their own
    index, negative = _worst([None if ratio is None else -ratio for ratio in ratios])
    if -negative < LEAST_SNR_DB[signal]:
        name = SIGNAL_NAMES[signal]
        measured = f"the {signal}s of {names[index]} are only {-negative:.3g} dB above their quantisation noise"
        yield _Finding("resolution", name, index, measured, finer(name, experiment))


def _underflow(layers: tuple[LayerDiagnosis, ...], names: list[str], experiment: Experiment) -> Iterator[_Finding]:
    index, share = _worst([layer.underflow for layer in layers])
    if share >= UNDERFLOWN:
        measured = f"{100 * share:.3g} % of the errors of {names[index]} are rounded to 0"
        yield _Finding("resolution", "error", index, measured, finer("error", experiment))


def _weights(
    layers: tuple[LayerDiagnosis, ...],
    names: list[str],
    experiment: Experiment,
    saturated: float = WEIGHTS_SATURATED,
    at_limit: float = WEIGHTS_AT_LIMIT,
) -> Iterator[_Finding]:
    """Layers with such shares of saturated updates and of weights at their limit; the remedy is for lesser ones too."""
    shares = [
        layer.saturation.get("weight")
        if layer.weights_at_limit >= WEIGHTS_AT_LIMIT and _of_network(layers, i)
        else None
        for i, layer in enumerate(layers)
    ]
    index, value = _worst([one if layers[i].weights_at_limit >= at_limit else None for i, one in enumerate(shares)])
    if value >= saturated:
        measured = (
            f"{100 * layers[index].weights_at_limit:.3g} % of the weights of {names[index]} lie on the limit of their "
            f"range, and {100 * value:.3g} % of its updates saturate"
        )
        affected = [(share or 0.0) >= WEIGHTS_SATURATED for i, share in enumerate(shares) if _of_network(layers, i)]
        yield _Finding("saturation", "weight", index, measured, more_range("weight", experiment, affected))


def _unused_bits(layers: tuple[LayerDiagnosis, ...], names: list[str], experiment: Experiment) -> Iterator[_Finding]:
    """Weights that are coarser than their bits allow, as where a narrow membrane bounds their fractions."""
    bits = experiment.precision.weight.bits
    unused = [
        layer.unused_bits if layer.unused_bits >= UNUSED_BITS and bits - layer.unused_bits <= FEW_BITS else None
        for i, layer in enumerate(layers)
        if _of_network(layers, i)
    ]
    index, value = _worst(unused)
    if value >= UNUSED_BITS:
        index = [i for i in range(len(layers)) if _of_network(layers, i)][index]
        measured = f"the weights of {names[index]} leave {int(value)} of their {bits} bits empty"
        remedy = finer_weights(experiment, [0 if one is None else int(one) for one in unused])
        yield _Finding("resolution", "weight", index, measured, (remedy,))


def _neurons(
    cause: str, layers: tuple[LayerDiagnosis, ...], names: list[str], experiment: Experiment
) -> Iterator[_Finding]:
    """Only the first such layer: the ones behind it get their events from it."""
    hidden = 0
    for index, (layer, name) in enumerate(zip(layers, names, strict=True)):
        neurons = layer.neurons
        if neurons is None:
            continue
        hidden += 1
        if cause == "dead neurons":
            share, what, limit = neurons.dead or 0.0, "never fire and cannot learn to", DEAD
        else:
            share, what, limit = neurons.saturated, "fire in every step", ALWAYS_FIRING
        if share >= limit:
            remedy = other_threshold(experiment, hidden - 1, neurons.peak)
            measured = f"{100 * share:.3g} % of the neurons of {name} {what}"
            yield _Finding(cause, None, index, measured, (remedy,) if remedy is not None else ())
            return


__all__ = ["Advice", "Remedy", "advise"]
