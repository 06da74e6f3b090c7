"""From measured magnitudes to fracs: the largest that holds them, then the alignment shifts (semantics section 1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from neurochip.config import Experiment
from neurochip.config_precision import AUTO
from neurochip.errors import UserError
from neurochip.fixed_point import MAX_FRAC, QFormat, frac_for
from neurochip.network.attached import Attached
from neurochip.network.formats import Fracs, HeadFracs
from neurochip.network.shape import LayerShape

Given = Mapping[str, tuple[int | None, ...]]
_PER_LAYER = ("weight", "membrane", "trace", "error")


@dataclass
class Sizes:
    """The 99.9th percentiles that formats have to hold.

    Attributes:
        weights: per layer of the network.
        heads, feedback: of the weights of these layers, by hidden layer.
        measured: "potential/l", "trace/l", "error/l" of the network, "head trace/l", "head error/l" of heads; the
            largest of all passes. What is missing counts as 1.
    """

    weights: Sequence[float]
    heads: Mapping[int, float] = field(default_factory=dict)
    feedback: Mapping[int, float] = field(default_factory=dict)
    measured: dict[str, float] = field(default_factory=dict)

    def add(self, layers: Sequence[LayerShape], found: Mapping[str, float]) -> None:
        """Add a pass over the layers of a rule, whose names count them as they run."""
        n_hidden = sum(layer.is_hidden for layer in layers)
        for name, value in found.items():
            signal, index = name.split("/")
            layer = layers[int(index)]
            if layer.kind == "feedback":
                continue
            if layer.attached is not None:
                key = f"head {signal}/{layer.attached}"
            else:
                key = f"{signal}/{index if layer.is_hidden else n_hidden}"
            self.measured[key] = max(self.measured.get(key, 0.0), value)

    def of(self, name: str) -> float:
        """The percentile of a signal."""
        return self.measured.get(name, 1.0)


def given_fracs(experiment: Experiment, n_layers: int) -> Given:
    """The fracs of the experiment, None where calibration chooses.

    Raises:
        UserError: if a list has the wrong length.
    """
    precision = experiment.precision
    given: dict[str, tuple[int | None, ...]] = {}
    for signal in (*_PER_LAYER, "gradient"):
        length = n_layers - 1 if signal == "membrane" else n_layers
        value = getattr(precision, signal).frac
        if isinstance(value, list) and len(value) != length:
            layers = "hidden layer" if signal == "membrane" else "layer"
            raise UserError(
                f"precision.{signal}.frac = {value} has {len(value)} values; allowed is one for all, or a list of "
                f"{length}, one per {layers}"
            )
        given[signal] = tuple(map(_number, value if isinstance(value, list) else [value] * length))
    given["readout"] = (_number(precision.readout.frac),)
    return given


def _number(frac: Any) -> int | None:
    return None if frac == AUTO else frac


def is_complete(experiment: Experiment, given: Given, attached: Attached) -> bool:
    """Whether every format is given, so that no pass is needed."""
    heads = experiment.precision.heads or {}
    return all(str(index) in heads for index in attached.heads) and all(
        frac is not None for signal in ("membrane", "trace", "error") for frac in given[signal]
    )


def choose_fracs(
    experiment: Experiment, shapes: tuple[LayerShape, ...], attached: Attached, sizes: Sizes, given: Given
) -> Fracs:
    """Return the formats of the network, of heads and of feedback layers; given ones stay as they are."""
    precision = experiment.precision
    free = FreeFormats(experiment)

    def choose(signal: str, index: int, size: float) -> int:
        asked = given[signal][index]
        return free.frac(signal, size) if asked is None else asked

    last = len(shapes) - 1
    weight = tuple(choose("weight", i, sizes.weights[i]) for i in range(last + 1))
    readout = given["readout"][0]
    calibrated = Fracs(
        weight=weight,
        membrane=tuple(choose("membrane", i, sizes.of(f"potential/{i}")) for i in range(last)),
        trace=tuple(choose("trace", i, sizes.of(f"trace/{i}")) for i in range(last + 1)),
        error=tuple(choose("error", i, sizes.of(f"error/{i}")) for i in range(last + 1)),
        # z holds a product of the smallest weight and the smallest event.
        readout=min(MAX_FRAC, weight[last] + shapes[last].frac_event) if readout is None else readout,
        heads={index: _head(free, sizes, index, shape) for index, shape in attached.heads.items()},
        feedback={index: free.common("weight", sizes.feedback[index]) for index in attached.feedback},
    )
    asked_heads = {
        int(index): HeadFracs(head.weight, head.readout, head.trace, head.error)
        for index, head in (precision.heads or {}).items()
    }
    asked_feedback = {int(index): frac for index, frac in (precision.feedback or {}).items()}
    known = replace(
        calibrated, heads={**calibrated.heads, **asked_heads}, feedback={**calibrated.feedback, **asked_feedback}
    )
    head_events = {index: shape.frac_event for index, shape in attached.heads.items()}
    legal = _with_given(known.legal(shapes, head_events), given)
    return replace(legal, heads={**legal.heads, **asked_heads})


class FreeFormats:
    """The fracs that calibration may choose: what the bits of the experiment hold."""

    def __init__(self, experiment: Experiment) -> None:
        self._precision = precision = experiment.precision
        self._highest = {
            name: QFormat(getattr(precision, name).bits, 0, name != "trace").highest for name in _PER_LAYER
        }
        self._headroom = {"weight": precision.weight.free_bits, "membrane": precision.membrane.headroom}

    def frac(self, signal: str, size: float) -> int:
        """The largest frac that holds a magnitude with its headroom."""
        return frac_for(size * 2.0 ** self._headroom.get(signal, 0), self._highest[signal])

    def common(self, signal: str, size: float) -> int:
        """The frac that the experiment gives to all layers, or the largest that holds the magnitude."""
        asked = getattr(self._precision, signal).frac
        return asked if isinstance(asked, int) else self.frac(signal, size)


def _head(free: FreeFormats, sizes: Sizes, index: int, shape: LayerShape) -> HeadFracs:
    weight = free.common("weight", sizes.heads[index])
    return HeadFracs(
        weight,
        min(MAX_FRAC, weight + shape.frac_event),
        free.common("trace", sizes.of(f"head trace/{index}")),
        free.common("error", sizes.of(f"head error/{index}")),
    )


def _with_given(fracs: Fracs, given: Given) -> Fracs:
    """Put back the fracs of the experiment: only calibrated ones may move, and `CoreSpec.check` refuses the rest."""
    kept: dict[str, Any] = {
        signal: tuple(
            calibrated if asked is None else asked
            for asked, calibrated in zip(given[signal], getattr(fracs, signal), strict=True)
        )
        for signal in _PER_LAYER
    }
    return replace(fracs, **kept)
