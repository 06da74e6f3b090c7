"""The shape of a network on a task, and its neurons, independent of formats and rule."""

from __future__ import annotations

from dataclasses import dataclass

from neurochip.config import DenseLayer, Experiment
from neurochip.fixed_point import MAX_FRAC
from neurochip.spec import LEAK_CONSTANT, LEAK_NONE, LEAK_SHIFT

DEFAULT_LEAK_SHIFT = 1


@dataclass(frozen=True)
class LayerShape:
    """Shape and neuron of one layer; the leak is (kind, value) as in docs/semantics.md, section 2."""

    kind: str
    n_in: int
    n_out: int
    bias: bool
    leak: tuple[str, int]
    trace_leak: tuple[str, int]
    keeps_trace: bool
    threshold: float
    reset: str


def leak_factor(leak: tuple[str, int]) -> float:
    """Real lambda of a leak: 1 - 2^-k, alpha / 65536, or 0 for the memoryless readout."""
    kind, value = leak
    if kind == LEAK_SHIFT:
        return 1.0 - 2.0**-value
    return value / 65536.0 if kind == LEAK_CONSTANT else 0.0


def layer_shapes(experiment: Experiment, n_inputs: int, n_classes: int) -> tuple[LayerShape, ...]:
    """Return the layers first to last; `keeps_trace` says which would keep one under a `trace` rule."""
    learning = experiment.learning
    shapes: list[LayerShape] = []
    n_in = n_inputs
    leak = (LEAK_NONE, 0)
    for index, layer in enumerate(experiment.network.layers):
        if isinstance(layer, DenseLayer):
            leak = _leak_of(layer)
            keeps = index > 0 or learning.first_layer == "trace"
            shape = LayerShape(
                "dense", n_in, layer.neurons, layer.bias, leak, leak, keeps, layer.threshold, layer.reset
            )
        else:
            # A memoryless readout has lambda = 0; the option gives its trace the leak of the last hidden layer.
            keeps = learning.readout_trace and index > 0
            memoryless = (LEAK_NONE, 0)
            trace_leak = leak if keeps else memoryless
            shape = LayerShape("readout", n_in, n_classes, layer.bias, memoryless, trace_leak, keeps, 0.0, "subtract")
        shapes.append(shape)
        n_in = shape.n_out
    return tuple(shapes)


def _leak_of(layer: DenseLayer) -> tuple[str, int]:
    if layer.leak_constant is not None:
        return (LEAK_CONSTANT, layer.leak_constant)
    return (LEAK_SHIFT, layer.leak_shift if layer.leak_shift is not None else DEFAULT_LEAK_SHIFT)


@dataclass(frozen=True)
class Fracs:
    """Fractional bits of every per-layer signal; frozen before the first step, the same for every rule."""

    weight: tuple[int, ...]
    membrane: tuple[int, ...]  # hidden layers only
    trace: tuple[int, ...]
    error: tuple[int, ...]
    readout: int

    def legal(self) -> Fracs:
        """Lower or raise fracs until every alignment shift of docs/semantics.md, section 1, is legal."""
        membrane = tuple(max(4, frac) for frac in self.membrane)
        weight = tuple(
            min(frac, membrane[index]) if index < len(membrane) else min(frac, self.readout)
            for index, frac in enumerate(self.weight)
        )
        error = list(self.error)
        for index in range(len(error) - 2, -1, -1):
            error[index] = min(error[index], weight[index + 1] + error[index + 1], MAX_FRAC)
        return Fracs(weight, membrane, self.trace, tuple(error), self.readout)
