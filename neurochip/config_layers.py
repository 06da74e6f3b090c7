"""The table `[network]` of an experiment: its layers, first to last.

Layers with weights are `dense`, `conv2d` and, last, `readout`. Between them `sumpool`, `avgpool`, `flatten` and `add`
change what the next of them takes its events from. A residual connection is a name and an add:

    layers = [
        { kind = "conv2d", channels = 8, kernel = 3, padding = 1, name = "a" },
        { kind = "conv2d", channels = 8, kernel = 3, padding = 1 },
        { kind = "add", layer = "a" },
        { kind = "avgpool", kernel = 2 },
        { kind = "readout" },
    ]

Here the readout takes the events of both convolutions, pooled; both must have the same map. The name "input" stands for
the input of the network.
"""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from neurochip.config_nir import NirTable
from neurochip.config_table import EXPONENT, PIXELS, Table, unit

INPUT_NAME = "input"
Positive = Annotated[int, Field(ge=1, le=32_767)]
NotNegative = Annotated[int, Field(ge=0, le=32_767)]
Pair = Annotated[list[Positive], Field(min_length=2, max_length=2)]
Size = Positive | Pair
Padding = NotNegative | Annotated[list[NotNegative], Field(min_length=2, max_length=2)]
Scale = Annotated[float, Field(gt=0.0, le=1e6)]  # far beyond what any format holds
MapShape = Annotated[list[Positive], Field(min_length=3, max_length=3)]


class LeakyLayer(Table):
    """A layer whose state leaks: lambda = 1 - 2^-leak_shift, or leak_constant / 65536; at 65536 it does not leak."""

    kind: str
    leak_shift: Annotated[int, Field(ge=1, le=15)] | None = Field(default=None, json_schema_extra=EXPONENT)
    """k of the leak λ = 1 − 2^−k; not with `leak_constant`."""
    leak_constant: Annotated[int, Field(ge=0, le=65536)] | None = Field(default=None, json_schema_extra=unit("1/65536"))
    """The leak λ as a constant; 65536: it does not leak."""
    current_leak_shift: Annotated[int, Field(ge=1, le=15)] | None = Field(default=None, json_schema_extra=EXPONENT)
    """k of the leak 1 − 2^−k of a synaptic current, into which events and biases then go; not with
    `current_leak_constant`."""
    current_leak_constant: Annotated[int, Field(ge=0, le=65536)] | None = Field(
        default=None, json_schema_extra=unit("1/65536")
    )
    """The leak of a synaptic current as a constant."""
    bias: bool = True
    """Whether every output has a bias."""

    @model_validator(mode="after")
    def _one_leak(self) -> LeakyLayer:
        for name in ("leak", "current_leak"):
            if getattr(self, f"{name}_shift") is not None and getattr(self, f"{name}_constant") is not None:
                raise ValueError(f"{name}_shift and {name}_constant exclude each other; give one of them")
        return self

    @property
    def has_current(self) -> bool:
        """Whether its events go into a synaptic current."""
        return self.current_leak_shift is not None or self.current_leak_constant is not None


class SpikingLayer(LeakyLayer):
    """LIF neurons."""

    threshold: float = Field(default=1.0, gt=0.0)
    """The potential at which a neuron fires."""
    reset: Literal["subtract", "zero"] = "subtract"
    """Whether a spike takes the threshold off the potential, or sets it to 0."""
    comparator: Literal["ge", "gt"] | None = None
    """Whether a neuron fires at its threshold and above (`"ge"`, also if omitted), or only above."""
    name: Annotated[str, Field(min_length=1)] | None = None
    """By which an `add` further on finds the layer; every name once, and not `"input"`."""
    standardise: bool = False
    """Whether the initial weights of a neuron (of a channel) have mean 0 and a fixed variance."""
    gain: Scale = 1.0
    """The root of their variance times their number; needs `standardise`."""
    spike_scale: Scale = 1.0
    """What a spike of this layer counts; it is folded into the weights that take it."""

    @model_validator(mode="after")
    def _standardised_to_a_gain(self) -> SpikingLayer:
        if self.gain != 1.0 and not self.standardise:
            raise ValueError(f"gain = {self.gain} needs standardise = true; allowed without it is 1")
        return self


class DenseLayer(SpikingLayer):
    """A dense layer; a recurrent one also takes its own spikes of the step before, after the other inputs."""

    kind: Literal["dense"]
    neurons: int = Field(ge=1, le=65536, json_schema_extra=unit("neurons"))
    """Outputs of the layer."""
    recurrent: bool = False
    """Whether it also takes its own spikes of the step before."""


class Conv2dLayer(SpikingLayer):
    """A convolution over the map of the layer before."""

    kind: Literal["conv2d"]
    channels: int = Field(ge=1, le=65536, json_schema_extra=unit("channels"))
    """Channels of its output."""
    kernel: Size = Field(json_schema_extra=PIXELS)
    """Size of the filters: one number, or [height, width]."""
    stride: Size = Field(default=1, json_schema_extra=PIXELS)
    """From one output to the next: one number, or [height, width]."""
    padding: Padding = Field(default=0, json_schema_extra=PIXELS)
    """Zeros around the map, on every side: one number, or [height, width]."""
    groups: Positive = 1
    """Groups of channels that are convolved each for itself."""

    @model_validator(mode="after")
    def _one_filter_in_a_column(self) -> Conv2dLayer:
        if self.standardise and self.groups > 1:
            raise ValueError(
                f"standardise = true is not allowed with groups = {self.groups}, as a column of the weights then holds "
                "one filter of every group; allowed is groups = 1"
            )
        return self


class SumPool(Table):
    """A pool whose events keep their magnitude; windows do not overlap."""

    kind: Literal["sumpool"]
    kernel: Size | None = Field(default=None, json_schema_extra=PIXELS)
    """Size of the window: one number, or [height, width]; omitted, the whole map."""


class AvgPool(Table):
    """A pool whose events count 1 / window; the window (height x width) is a power of two."""

    kind: Literal["avgpool"]
    kernel: Size | None = Field(default=None, json_schema_extra=PIXELS)
    """Size of the window, whose area is a power of two: one number, or [height, width]; omitted, the whole map."""

    @model_validator(mode="after")
    def _divides_by_shifting(self) -> AvgPool:
        if self.kernel is not None and not is_power_of_two(*pair(self.kernel)):
            raise ValueError(f"kernel = {self.kernel}: an average is over a power of two; a sumpool over any window")
        return self


class Flatten(Table):
    """Changes nothing: from here on the map is a list of neurons."""

    kind: Literal["flatten"]


class Add(Table):
    """The next layer also takes the events of an earlier one, found by its name; both have the same map."""

    kind: Literal["add"]
    layer: Annotated[str, Field(min_length=1)]
    """The `name` of the earlier layer, or `"input"`."""


class ReadoutLayer(LeakyLayer):
    """The readout, one output per class: memoryless, or leaky if it has a leak."""

    kind: Literal["readout"]

    @model_validator(mode="after")
    def _current_into_a_leaky_readout(self) -> ReadoutLayer:
        if self.has_current and self.leak_shift is None and not self.leak_constant:
            raise ValueError(
                "a readout with a synaptic current (current_leak_shift, current_leak_constant) needs leak_shift or "
                "leak_constant > 0; without them its current alone is a leaky readout"
            )
        return self


Layer = Annotated[
    DenseLayer | Conv2dLayer | SumPool | AvgPool | Flatten | Add | ReadoutLayer, Field(discriminator="kind")
]
WITH_WEIGHTS = (DenseLayer, Conv2dLayer, ReadoutLayer)


def pair(size: int | list[int]) -> tuple[int, int]:
    """Height and width of a size given as one number or two."""
    return (size, size) if isinstance(size, int) else (size[0], size[1])


def is_power_of_two(height: int, width: int) -> bool:
    """Whether an average over such a window is a shift."""
    return (height * width) & (height * width - 1) == 0


def _default_layers() -> list[Any]:
    return [DenseLayer(kind="dense", neurons=128, leak_shift=1), ReadoutLayer(kind="readout")]


class NetworkTable(Table):
    """`[network]`: layers first to last, and the spread of the initial weights ([networks](networks.md))."""

    layers: list[Layer] = Field(default_factory=_default_layers)
    """The layers, tables with a `kind`, first to last; the last, and only the last, is a readout."""
    input_shape: MapShape | None = None
    """Channels, height and width of the input of a network that is only priced; a task states them itself."""
    nir: NirTable | None = None
    """The graph that layers and initial weights come from, instead of `layers`."""
    init_gain: float = Field(default=0.5, gt=0.0)
    """The standard deviation of initial weights times the root of the mean active inputs of a step."""
    weight_std: list[Annotated[float, Field(gt=0.0)]] | None = None
    """The standard deviation itself, of every layer with weights; a run writes it."""
    head_std: dict[str, Annotated[float, Field(gt=0.0)]] | None = None
    """That of the head of every hidden layer ("0", "1", ...); written by a run."""
    feedback_std: dict[str, Annotated[float, Field(gt=0.0)]] | None = None
    """That of the weights that carry feedback to every hidden layer; written by a run."""

    @model_validator(mode="after")
    def _ends_in_a_readout(self) -> NetworkTable:
        kinds = [layer.kind for layer in self.layers]
        if not kinds or kinds[-1] != "readout" or "readout" in kinds[:-1]:
            raise ValueError("the last layer, and only the last, must be of kind 'readout'")
        n_weights = sum(isinstance(layer, WITH_WEIGHTS) for layer in self.layers)
        if self.weight_std is not None and len(self.weight_std) != n_weights:
            raise ValueError(f"weight_std needs one value per layer, {n_weights}, pools and the like not counted")
        self._check_names()
        return self

    def _check_names(self) -> None:
        names = [layer.name for layer in self.layers if isinstance(layer, SpikingLayer) and layer.name is not None]
        twice = [name for name, count in Counter([*names, INPUT_NAME]).items() if count > 1]
        if twice:
            raise ValueError(f"name = {twice[0]!r} of a layer is taken; allowed is every name once, and not 'input'")
        known = [INPUT_NAME]
        for index, layer in enumerate(self.layers):
            if isinstance(layer, Add) and layer.layer not in known:
                raise ValueError(
                    f"layers.{index}.layer = {layer.layer!r} is no name of an earlier layer; allowed are "
                    + ", ".join(map(repr, known))
                )
            if isinstance(layer, SpikingLayer) and layer.name is not None:
                known.append(layer.name)
