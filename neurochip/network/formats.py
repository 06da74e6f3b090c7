"""Fractional bits of every per-layer signal, and the alignment shifts that bound them (semantics section 1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

from neurochip.config_precision import AUTO
from neurochip.errors import UserError
from neurochip.fixed_point import MAX_FRAC

if TYPE_CHECKING:
    from neurochip.config import Experiment
    from neurochip.network.shape import LayerShape

LOWEST_MEMBRANE_FRAC = 4


class HeadFracs(NamedTuple):
    """Fracs of the head of a hidden layer."""

    weight: int
    readout: int
    trace: int
    error: int


class LayerFracs(NamedTuple):
    """Fracs of one layer of a rule; potential is that of z for a readout."""

    weight: int
    potential: int
    trace: int
    error: int


@dataclass(frozen=True)
class Fracs:
    """Fractional bits of every per-layer signal; frozen before the first step, the same for every rule.

    Attributes:
        weight, trace, error: one per layer of the network.
        membrane: one per hidden layer.
        readout: of z.
        heads: hidden layer -> formats of its head.
        feedback: hidden layer -> frac of the weights that carry feedback to it.
    """

    weight: tuple[int, ...]
    membrane: tuple[int, ...]
    trace: tuple[int, ...]
    error: tuple[int, ...]
    readout: int
    heads: Mapping[int, HeadFracs] = field(default_factory=dict)
    feedback: Mapping[int, int] = field(default_factory=dict)

    def legal(self, layers: Sequence[LayerShape] | None = None, head_events: Mapping[int, int] | None = None) -> Fracs:
        """Lower or raise fracs until every alignment shift of docs/semantics.md, section 1, is legal.

        Args:
            layers: the layers of the network (default: a chain of dense layers).
            head_events: hidden layer -> frac_m of its head (default: 0).
        """
        events = [layer.frac_event for layer in layers] if layers is not None else [0] * len(self.weight)
        membrane = tuple(max(LOWEST_MEMBRANE_FRAC, frac) for frac in self.membrane)
        potentials = (*membrane, self.readout)
        weight = tuple(
            min(frac, potential - m) for frac, potential, m in zip(self.weight, potentials, events, strict=True)
        )
        trace = tuple(max(frac, m) for frac, m in zip(self.trace, events, strict=True))
        heads = {}
        for index, head in self.heads.items():
            m = (head_events or {}).get(index, 0)
            heads[index] = head._replace(weight=min(head.weight, head.readout - m), trace=max(head.trace, m))
        error = list(self.error)
        for index in range(len(membrane) - 1, -1, -1):
            bounds = [weight[n] + error[n] + events[n] for n in _consumers(layers, index)]
            if index in heads:
                bounds.append(heads[index].weight + heads[index].error + (head_events or {}).get(index, 0))
            if index in self.feedback:
                bounds.append(self.feedback[index] + error[-1])
            error[index] = min(error[index], MAX_FRAC, *bounds)
        return replace(self, weight=weight, membrane=membrane, trace=trace, error=tuple(error), heads=heads)

    def of_layer(self, layers: Sequence[LayerShape], index: int) -> LayerFracs:
        """Fracs of one of the layers of a rule. A head or feedback without formats of its own has the readout's."""
        layer = layers[index]
        if layer.attached is None:
            own = index if layer.is_hidden else -1
            potential = self.membrane[own] if layer.is_hidden else self.readout
            return LayerFracs(self.weight[own], potential, self.trace[own], self.error[own])
        if layer.kind == "feedback":
            return LayerFracs(self.feedback.get(layer.attached, self.weight[-1]), 0, 0, self.error[-1])
        head = self.heads.get(layer.attached)
        if head is None:
            return LayerFracs(self.weight[-1], self.readout + layer.frac_event, self.trace[-1], self.error[-1])
        return LayerFracs(*head)


def _consumers(layers: Sequence[LayerShape] | None, source: int) -> list[int]:
    """The layers of the network that give hidden layer `source` its error."""
    if layers is None:
        return [source + 1]
    return [
        index
        for index in range(source + 1, len(layers))
        if any(c.source == source and c.delay == 0 and c.carries_error for c in layers[index].connections(index))
    ]


def fracs_of(experiment: Experiment) -> Fracs:
    """The formats that a resolved experiment holds.

    Raises:
        UserError: if some are missing.
    """
    precision = experiment.precision
    per_layer = [getattr(precision, name).frac for name in ("weight", "membrane", "trace", "error")]
    readout = precision.readout.frac
    if not isinstance(readout, int) or not all(isinstance(frac, list) and AUTO not in frac for frac in per_layer):
        raise UserError("experiment.toml is not the resolved one that a run writes")
    weight, membrane, trace, error = (tuple(frac) for frac in per_layer)
    heads = {
        int(index): HeadFracs(head.weight, head.readout, head.trace, head.error)
        for index, head in (precision.heads or {}).items()
    }
    feedback = {int(index): frac for index, frac in (precision.feedback or {}).items()}
    return Fracs(weight, membrane, trace, error, readout, heads, feedback)
