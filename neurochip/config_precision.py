"""The table `[precision]` of an experiment: formats of all signals."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from neurochip.config_table import Table

Frac = Annotated[int, Field(ge=0, le=24)]
PerLayerFrac = Frac | list[Frac] | None


class EventSignal(Table):
    """Magnitude of an input event."""

    bits: int = Field(default=1, ge=1, le=8)


class WeightSignal(Table):
    """Weights and biases. headroom: bits kept free above the calibrated range, for weights that grow."""

    bits: int = Field(default=8, ge=2, le=16)
    frac: PerLayerFrac = None
    rounding: Literal["floor", "nearest", "stochastic"] = "stochastic"
    headroom: int = Field(default=1, ge=0, le=8)


class MembraneSignal(Table):
    """Membrane potentials of hidden layers."""

    bits: int = Field(default=16, ge=6, le=24)
    frac: PerLayerFrac = None
    headroom: int = Field(default=2, ge=0, le=8)


class TraceSignal(Table):
    """Presynaptic traces; rows whose trace is below `gate` are not updated."""

    bits: int = Field(default=8, ge=2, le=16)
    frac: PerLayerFrac = None
    gate: int = Field(default=0, ge=0, le=65535)


class ErrorSignal(Table):
    """Errors e and d and learning signals g."""

    bits: int = Field(default=8, ge=2, le=16)
    frac: PerLayerFrac = None
    rounding: Literal["floor", "nearest"] = "nearest"


class DeltaSignal(Table):
    """The carried error of BPTT (default: error.bits + 4)."""

    bits: int | None = Field(default=None, ge=2, le=24)


class SurrogateSignal(Table):
    """Surrogate derivative codes."""

    bits: int = Field(default=4, ge=1, le=8)


class GradientSignal(Table):
    """Accumulated gradients (default frac: exact products)."""

    bits: int = Field(default=24, ge=8, le=32)
    frac: PerLayerFrac = None


class ReadoutSignal(Table):
    """Readout sums z (default frac: that of the readout's weights)."""

    bits: int = Field(default=24, ge=8, le=31)
    frac: Frac | None = None


class HeadFormats(Table):
    """Formats of the head of one hidden layer, as calibration found them."""

    weight: Frac
    readout: Frac
    trace: Frac
    error: Frac


class PrecisionTable(Table):
    """`[precision]`: formats of all signals. `precision = "float"` runs the float twin alone.

    `heads` and `feedback` are written by a run, per hidden layer ("0", "1", ...): formats of its head, and the frac of
    the weights that carry feedback to it.
    """

    arithmetic: Literal["fixed", "float", "float32"] = "fixed"
    event: EventSignal = EventSignal()
    weight: WeightSignal = WeightSignal()
    membrane: MembraneSignal = MembraneSignal()
    trace: TraceSignal = TraceSignal()
    error: ErrorSignal = ErrorSignal()
    delta: DeltaSignal = DeltaSignal()
    surrogate: SurrogateSignal = SurrogateSignal()
    gradient: GradientSignal = GradientSignal()
    readout: ReadoutSignal = ReadoutSignal()
    heads: dict[str, HeadFormats] | None = None
    feedback: dict[str, Frac] | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_word(cls, value: Any) -> Any:
        return {"arithmetic": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _delta_holds_error(self) -> PrecisionTable:
        if self.delta_bits < self.error.bits:
            raise ValueError(f"delta.bits = {self.delta_bits} must be at least error.bits = {self.error.bits}")
        return self

    @property
    def delta_bits(self) -> int:
        """Bits of the carried error."""
        return self.delta.bits if self.delta.bits is not None else min(24, self.error.bits + 4)
