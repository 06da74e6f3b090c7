"""What to change against a cause: other bits, fractions or thresholds, in words and as overrides."""

from __future__ import annotations

import json
from typing import Any

from neurochip.config import Experiment
from neurochip.config_layers import SpikingLayer

Remedy = tuple[str, ...]  # KEY=VALUE texts
PEAK = 2.0  # highest potential of the median neuron, in thresholds, that a new threshold aims at
MORE_BITS = 2
MIN_MEMBRANE_FRAC = 4
MOST_BITS = {"weight": 16, "membrane": 24, "trace": 16, "error": 16, "readout": 31, "gradient": 32}
WIDE_BITS = {"weight": 8, "membrane": 12, "trace": 8, "error": 8}  # from here on range is worth more than resolution


def _fracs(signal: str, experiment: Experiment) -> list[int]:
    """The fracs of a signal, per layer of the network, as the run had them."""
    frac = getattr(experiment.precision, signal).frac
    return frac if isinstance(frac, list) else [frac]


def finer(signal: str, experiment: Experiment) -> tuple[tuple[str, Remedy], ...]:
    """More bits, all of them behind the point."""
    bits = getattr(experiment.precision, signal).bits
    more = min(MORE_BITS, MOST_BITS[signal] - bits)
    if not more:
        return ()
    fracs = [frac + more for frac in _fracs(signal, experiment)]
    overrides = f"precision.{signal}.bits={bits + more}", f"precision.{signal}.frac={fracs}"
    return ((f"use {more} more {signal} bits", overrides),)


def more_range(signal: str, experiment: Experiment, affected: list[bool]) -> tuple[tuple[str, Remedy], ...]:
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


def finer_weights(experiment: Experiment, more: list[int]) -> tuple[str, Remedy]:
    """Move the point of weights by the bits that they do not use, and widen membranes that are coarser then."""
    membrane, membrane_fracs = experiment.precision.membrane, _fracs("membrane", experiment)
    fracs = [frac + bits for frac, bits in zip(_fracs("weight", experiment), more, strict=False)]
    wider = max([0, *(frac - bound for frac, bound in zip(fracs, membrane_fracs, strict=False))])
    words, overrides = "put them behind the point", [f"precision.weight.frac={fracs}"]
    if wider:
        words += f", and use {wider} more membrane bits, which weights must not be finer than"
        overrides.append(f"precision.membrane.bits={membrane.bits + wider}")
        overrides.append(f"precision.membrane.frac={[frac + wider for frac in membrane_fracs]}")
    return words, tuple(overrides)


def other_threshold(experiment: Experiment, index: int, peak: float) -> tuple[str, Remedy] | None:
    """The layers of the experiment with another threshold in the hidden layer `index`; None if none helps.

    None also of an imported graph: its layers and thresholds are those of the file.
    """
    if experiment.network.nir is not None:
        return None
    layers = experiment.network.layers
    spiking = [(place, layer.threshold) for place, layer in enumerate(layers) if isinstance(layer, SpikingLayer)]
    if index >= len(spiking) or peak <= 0:
        return None
    place, now = spiking[index]
    threshold = float(f"{now * peak / PEAK:.2g}")
    tables = [layer.model_dump(mode="json", exclude_defaults=True) for layer in layers]
    tables[place]["threshold"] = threshold
    return f"use a threshold of {threshold:g} there", (f"network.layers={inline_toml(tables)}",)


def inline_toml(value: Any) -> str:
    """A value as TOML writes it on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {inline_toml(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(inline_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)
