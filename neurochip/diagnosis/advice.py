"""What limits a run, and what to change: rules with thresholds over the figures of a diagnosis.

The rules stand in the order in which causes hide each other: rounding that loses the learning rate decides what all
other figures are, a signal that saturates decides its errors, and so on. The first cause found is the advice; after it
is followed, a new run shows what is left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from neurochip.config import Experiment
from neurochip.config_layers import SpikingLayer
from neurochip.diagnosis.measure import Diagnosis, LayerDiagnosis

RATE_LOST = 0.5  # of a layer; also above: its negative, and the bias of the rounding
SATURATED = {"membrane": 0.01, "error": 0.15, "trace": 0.05, "readout": 0.01, "gradient": 0.01}
ALSO = 1 / 3  # of these shares, above which a layer takes part in the remedy of another
WEIGHTS_SATURATED = 0.005  # of the updates, where also
WEIGHTS_AT_LIMIT = 0.05  # of the weights are on the last code
LEAST_SNR_DB = {"potential": 10.0, "trace": 15.0, "error": 5.0}
UNDERFLOWN = 0.3  # of the errors
DEAD, ALWAYS_FIRING = 0.2, 0.3  # of the neurons of a layer
PEAK = 2.0  # highest potential of the median neuron, in thresholds, that a new threshold aims at
MORE_BITS = 2
MIN_MEMBRANE_FRAC = 4
MOST_BITS = {"weight": 16, "membrane": 24, "trace": 16, "error": 16, "readout": 31, "gradient": 32}
WIDE_BITS = {"weight": 8, "membrane": 12, "trace": 8, "error": 8}  # from here on range is worth more than resolution
SIGNAL_NAMES = {"potential": "membrane", "trace": "trace", "error": "error"}
PLURALS = {
    "membrane": "additions to membrane potentials",
    "error": "errors",
    "trace": "traces",
    "readout": "additions to readout sums",
    "gradient": "additions to gradients",
}

Remedy = tuple[str, ...]
IsLegal = Callable[[Remedy], bool]


@dataclass(frozen=True)
class Advice:
    """A cause that limits the accuracy, and its remedy.

    Attributes:
        cause: "rounding" | "saturation" | "resolution" | "dead neurons" | "saturated neurons".
        layer: index of the layer where it shows most.
        sentence: what was measured, and what to do.
        overrides: KEY=VALUE texts, each to be given with `--set`.
    """

    cause: str
    layer: int
    sentence: str
    overrides: Remedy


@dataclass(frozen=True)
class _Finding:
    """A cause with the remedies that would do, best first."""

    cause: str
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
                return Advice(finding.cause, finding.layer, f"{finding.measured}: {words}.", overrides)
    return None


def _findings(diagnosis: Diagnosis, experiment: Experiment) -> Iterator[_Finding]:
    layers = diagnosis.layers
    names = [f"layer {index} ({layer.kind})" for index, layer in enumerate(layers)]
    yield from _rounding(layers, names, experiment)
    for signal in SATURATED:
        yield from _saturation(signal, layers, names, experiment)
    yield from _neurons("dead neurons", layers, names, experiment)
    yield from _underflow(layers, names, experiment)
    yield from _neurons("saturated neurons", layers, names, experiment)
    for signal in LEAST_SNR_DB:
        yield from _resolution(signal, layers, names, experiment)
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
    yield _Finding("rounding", index, measured, (remedy,))


def _saturation(
    signal: str, layers: tuple[LayerDiagnosis, ...], names: list[str], experiment: Experiment
) -> Iterator[_Finding]:
    shares = [layer.saturation.get(signal) if _of_network(layers, i) else None for i, layer in enumerate(layers)]
    index, value = _worst(shares)
    if value < SATURATED[signal]:
        return
    measured = f"{100 * value:.3g} % of the {PLURALS[signal]} of {names[index]} saturate"
    affected = [(share or 0.0) >= ALSO * SATURATED[signal] for i, share in enumerate(shares) if _of_network(layers, i)]
    yield _Finding("saturation", index, measured, _more_range(signal, experiment, affected))


def _resolution(
    signal: str, layers: tuple[LayerDiagnosis, ...], names: list[str], experiment: Experiment
) -> Iterator[_Finding]:
    ratios = [layer.snr_db.get(signal) if _of_network(layers, i) else None for i, layer in enumerate(layers)]
    if signal == "potential":
        ratios = ratios[:-1]  # readouts have a format of their own
    index, negative = _worst([None if ratio is None else -ratio for ratio in ratios])
    if -negative < LEAST_SNR_DB[signal]:
        measured = f"the {signal}s of {names[index]} are only {-negative:.3g} dB above their quantisation noise"
        yield _Finding("resolution", index, measured, _finer(SIGNAL_NAMES[signal], experiment))


def _underflow(layers: tuple[LayerDiagnosis, ...], names: list[str], experiment: Experiment) -> Iterator[_Finding]:
    index, share = _worst([layer.underflow for layer in layers])
    if share >= UNDERFLOWN:
        measured = f"{100 * share:.3g} % of the errors of {names[index]} are rounded to 0"
        yield _Finding("resolution", index, measured, _finer("error", experiment))


def _weights(layers: tuple[LayerDiagnosis, ...], names: list[str], experiment: Experiment) -> Iterator[_Finding]:
    shares = [
        layer.saturation.get("weight")
        if layer.weights_at_limit >= WEIGHTS_AT_LIMIT and _of_network(layers, i)
        else None
        for i, layer in enumerate(layers)
    ]
    index, value = _worst(shares)
    if value >= WEIGHTS_SATURATED:
        measured = (
            f"{100 * layers[index].weights_at_limit:.3g} % of the weights of {names[index]} lie on the limit of their "
            f"range, and {100 * value:.3g} % of its updates saturate"
        )
        affected = [(share or 0.0) >= WEIGHTS_SATURATED for i, share in enumerate(shares) if _of_network(layers, i)]
        yield _Finding("saturation", index, measured, _more_range("weight", experiment, affected))


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
            remedy = _other_threshold(experiment, hidden - 1, neurons.peak / PEAK)
            measured = f"{100 * share:.3g} % of the neurons of {name} {what}"
            yield _Finding(cause, index, measured, (remedy,) if remedy is not None else ())
            return


# --- remedies


def _fracs(signal: str, experiment: Experiment) -> list[int]:
    """The fracs of a signal, per layer of the network, as the run had them."""
    frac = getattr(experiment.precision, signal).frac
    return frac if isinstance(frac, list) else [frac]


def _finer(signal: str, experiment: Experiment) -> tuple[tuple[str, Remedy], ...]:
    """More bits, all of them behind the point."""
    bits = getattr(experiment.precision, signal).bits
    more = min(MORE_BITS, MOST_BITS[signal] - bits)
    if not more:
        return ()
    fracs = [frac + more for frac in _fracs(signal, experiment)]
    overrides = f"precision.{signal}.bits={bits + more}", f"precision.{signal}.frac={fracs}"
    return ((f"use {more} more {signal} bits", overrides),)


def _more_range(signal: str, experiment: Experiment, affected: list[bool]) -> tuple[tuple[str, Remedy], ...]:
    """Move the point of the layers that are affected, or with few bits add bits before it; whichever is legal."""
    bits, fracs = getattr(experiment.precision, signal).bits, _fracs(signal, experiment)
    room = MOST_BITS[signal] - bits
    if signal in ("readout", "gradient"):  # their point does not follow from their bits
        more = min(MORE_BITS, room)
        return ((f"use {more} more {signal} bits", (f"precision.{signal}.bits={bits + more}",)),) if more else ()
    if signal == "error":  # errors of the layers before are formed from those of this one
        affected = [any(affected[place:]) for place in range(len(affected))]
    lowest = MIN_MEMBRANE_FRAC if signal == "membrane" else 0
    places = zip(fracs, affected, strict=False)  # membranes: hidden layers only
    coarser = [max(lowest, frac - MORE_BITS) if one else frac for frac, one in places]
    options: list[tuple[str, Remedy]] = []
    if coarser != fracs:
        words = f"take {MORE_BITS} {signal} bits from behind the point"
        options.append((words, (f"precision.{signal}.frac={coarser}",)))
    before, behind = min(MORE_BITS, room), min(MORE_BITS, room - min(MORE_BITS, room))
    if before:
        finer = [frac + behind for frac in fracs]
        wider = f"precision.{signal}.bits={bits + before + behind}", f"precision.{signal}.frac={finer}"
        words = f"use {before + behind} more {signal} bits, {before} of them before the point"
        options.append((words, wider))
    return tuple(options if bits >= WIDE_BITS[signal] else options[::-1])


def _other_threshold(experiment: Experiment, index: int, factor: float) -> tuple[str, Remedy] | None:
    """The layers of the experiment with another threshold in the hidden layer `index`; None if none helps."""
    layers = experiment.network.layers
    spiking = [(place, layer.threshold) for place, layer in enumerate(layers) if isinstance(layer, SpikingLayer)]
    if index >= len(spiking) or factor <= 0:
        return None
    place, now = spiking[index]
    threshold = float(f"{now * factor:.2g}")
    tables = [layer.model_dump(mode="json", exclude_defaults=True) for layer in layers]
    tables[place]["threshold"] = threshold
    return f"use a threshold of {threshold:g} there", (f"network.layers={inline_toml(tables)}",)


def inline_toml(value: Any) -> str:
    """A value as TOML writes it on one line."""
    import json

    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {inline_toml(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(inline_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


__all__ = ["Advice", "advise", "inline_toml"]
