"""The heads and feedback layers that the rules of a comparison bring along."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from neurochip.config import Experiment
from neurochip.network.rule_layers import rule_layers
from neurochip.network.shape import LayerShape
from neurochip.rules.presets import Rule

Layers = tuple[LayerShape, ...]


@dataclass(frozen=True)
class Attached:
    """Attributes:
    heads, feedback: hidden layer -> its head or feedback layer under the rules that have one.
    variants: the layers of the network, and those of every rule that differ, without doubles.
    """

    heads: Mapping[int, LayerShape]
    feedback: Mapping[int, LayerShape]
    variants: tuple[Layers, ...]


def attached_of(experiment: Experiment, shapes: Layers, rules: Sequence[Rule]) -> Attached:
    """Collect what the rules add to the network; whether a head learns makes no difference here."""
    variants = [shapes]
    for rule in rules:
        layers = rule_layers(experiment, rule, shapes)
        variants.append(tuple(replace(layer, learns=True) for layer in layers))
    heads: dict[int, LayerShape] = {}
    feedback: dict[int, LayerShape] = {}
    for layers in variants:
        for layer in layers:
            if layer.attached is not None:
                (feedback if layer.kind == "feedback" else heads)[layer.attached] = layer
    return Attached(heads, feedback, tuple(dict.fromkeys(variants)))
