"""The tables `[learning]` and `[stream]` of an experiment: the rule, its choices, and what it learns from."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from neurochip.config_layers import Size
from neurochip.config_table import BITS, EPOCHS, EXPONENT, PIXELS, SAMPLES, SHARE, STEPS, Table, unit
from neurochip.rules.presets import find_rule


class LearningTable(Table):
    """`[learning]`: the rule and its choices ([semantics](semantics.md), sections 3 and 4)."""

    mode: Literal["epochs", "stream"] = "epochs"
    """Whether learning goes over the training split in epochs, or from a stream of samples (`[stream]`)."""
    rule: str = "ottt-o"
    """The learning rule: a preset of `neurochip rules`, or TEMPORAL/SPATIAL/UPDATE; `compare` takes `run.rules`."""
    learning_rate: float | None = Field(default=None, gt=0.0)
    """η of a sample, which is divided by T and `batch`; omitted, 0.125."""
    rates: dict[str, Annotated[float, Field(gt=0.0)]] = Field(default_factory=dict)
    """Learning rates by rule, which win over `learning_rate`."""
    epochs: int = Field(default=15, ge=1, le=100_000, json_schema_extra=EPOCHS)
    """Passes over the training split."""
    batch: int = Field(default=1, ge=1, le=65536, json_schema_extra=SAMPLES)
    """Samples between two applies of a rule that accumulates per sample; other rules take 1."""
    rate_bits: int = Field(default=4, ge=1, le=8, json_schema_extra=BITS)
    """Width of the factor m_η with which the chip realises the learning rate."""
    rng_lanes: int = Field(default=16, ge=1, le=64, json_schema_extra=unit("registers"))
    """R, the random registers of a layer for stochastic rounding."""
    mse_share: float = Field(default=0.0, ge=0.0, le=1.0, json_schema_extra=SHARE)
    """The share of squared error in the loss; the rest is cross entropy."""
    surrogate: Literal["sigmoid", "triangle", "rectangle"] = "sigmoid"
    """The shape of ψ, which stands for the derivative of a spike."""
    deliver: Literal["synapse", "neuron"] = "synapse"
    """Whether a potential saturates at every add, or once per step after a sum in a wide register."""
    reset_path: Literal["detached", "exact"] = "detached"
    """Whether errors leave out the way back in time through the reset, or take it (`unroll`)."""
    first_layer: Literal["trace", "input"] = "trace"
    """What the first layer learns from: the trace of its input, or the input itself."""
    readout_trace: bool = False
    """Whether a memoryless readout learns from a trace."""
    bias_trace: bool = False
    """Whether a bias learns from the trace of a constant input."""
    trace_leak: Literal["post", "pre"] = "post"
    """Whose leak a trace has: of the layer it feeds, or of the layers its spikes come from."""
    unroll: int = Field(default=5, ge=1, le=32_767, json_schema_extra=STEPS)
    """K, the window of BPTT of presets without one of their own."""
    block: int = Field(default=1, ge=1, le=65536, json_schema_extra=unit("layers"))
    """b, the hidden layers between two heads of presets without a b of their own."""
    window: int | None = Field(default=None, ge=1, le=32_767, json_schema_extra=STEPS)
    """W, the steps between two applies of presets without a W of their own; omitted, `unroll`."""
    feedback: Literal["random", "symmetric"] = "random"
    """Weights that carry `feedback` to the layer below the readout: drawn, or those of the readout."""
    head_pool: Literal["none", "sum", "average"] = "none"
    """The pool between the map of a layer and its head."""
    head_pool_kernel: Size | None = Field(default=None, json_schema_extra=PIXELS)
    """Its window, one number or [height, width]; omitted, and at most, the whole map."""
    train_heads: bool = True
    """Whether heads learn, or keep their initial weights."""
    trace_filter: Annotated[int, Field(ge=1, le=15)] | Literal["readout"] | None = Field(
        default=None, json_schema_extra=EXPONENT
    )
    """A second leak of the traces: its shift k, or that of the readout; omitted, as the rule says."""
    loss_start: int = Field(default=1, ge=1, le=32_767, json_schema_extra=STEPS)
    """The first step with a loss, from which on the answer is summed."""
    update_every: int = Field(default=1, ge=1, le=32_767, json_schema_extra=STEPS)
    """A step has a loss if its number is a multiple of this."""
    momentum_shift: int = Field(default=0, ge=0, le=15, json_schema_extra=EXPONENT)
    """k of the momentum 1 − 2^−k of rules that accumulate; 0: none."""
    halve_every: int | None = Field(default=None, ge=1, le=100_000, json_schema_extra=EPOCHS)
    """After how many epochs the learning rate is halved each time; omitted, never."""
    standardise_every: int = Field(default=0, ge=0, le=10_000_000, json_schema_extra=SAMPLES)
    """After how many samples layers with `standardise` are brought back to their mean and variance; 0: never."""

    @field_validator("rule")
    @classmethod
    def _known_rule(cls, value: str) -> str:
        return find_rule(value).name

    @field_validator("rates")
    @classmethod
    def _known_rules(cls, value: dict[str, float]) -> dict[str, float]:
        return {find_rule(name).name: rate for name, rate in value.items()}


class StreamTable(Table):
    """`[stream]`: samples drawn with replacement, each predicted before it is learned ([streams](continual.md))."""

    samples: int = Field(default=5000, ge=1, le=10_000_000, json_schema_extra=SAMPLES)
    """The length of the stream."""
    label_every: int = Field(default=1, ge=1, le=10_000_000, json_schema_extra=SAMPLES)
    """From one sample with a label, which is learned, to the next; the others are only inferred."""
    drift: Literal["none", "classes", "inputs"] = "none"
    """What changes in the stream: nothing, which label a class has, or which address an input has."""
    drift_every: int | None = Field(default=None, ge=1, le=10_000_000, json_schema_extra=SAMPLES)
    """Samples from one drift to the next; needed with a drift, and below `samples`."""
    window: int = Field(default=200, ge=1, le=10_000_000, json_schema_extra=SAMPLES)
    """Samples of the running accuracy; with a drift at most `drift_every`."""
    shortest_steps: int | None = Field(default=None, ge=1, le=32_767, json_schema_extra=STEPS)
    """Samples have events in a drawn number of steps, from this to `task.steps`, and none after; omitted, in all."""

    @model_validator(mode="after")
    def _drift_comes(self) -> StreamTable:
        if self.label_every > self.samples:
            raise ValueError(
                f"label_every = {self.label_every} leaves none of {self.samples} samples a label; allowed is 1 to "
                f"{self.samples}"
            )
        if self.drift == "none":
            if self.drift_every is not None:
                raise ValueError(
                    f"drift_every = {self.drift_every} needs a drift; allowed are drift = 'classes' or 'inputs'"
                )
            return self
        if self.drift_every is None or self.drift_every >= self.samples:
            raise ValueError(
                f"drift = {self.drift!r} needs drift_every, the samples from one drift to the next; allowed is 1 to "
                f"{self.samples - 1} (below samples)"
            )
        if self.window > self.drift_every:
            raise ValueError(
                f"window = {self.window} is longer than drift_every = {self.drift_every}; allowed is 1 to "
                f"{self.drift_every}"
            )
        return self
