"""The table `[precision]` of an experiment: formats of all signals."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from neurochip.config_table import Table

AUTO = "auto"

Frac = Annotated[int, Field(ge=0, le=24)]
FracOrAuto = Frac | Literal["auto"]
PerLayerFrac = FracOrAuto | list[FracOrAuto] | None

GIVEN, AUTOMATIC, DERIVED = "given", "automatic", "derived"
# Where a frac is from: the experiment, calibration, another frac, or a rule of semantics section 1 that moved it.
Origin = Literal[
    "given",
    "automatic",
    "derived",
    "raised to 4",
    "raised to that of the events",
    "bounded by the membrane",
    "bounded by the readout",
    "bounded by the next layers",
]


Quantiser = Literal["weight", "membrane", "surrogate", "trace", "error", "delta", "gradient", "readout"]


class EventSignal(Table):
    """Magnitude of an input event."""

    bits: int = Field(default=1, ge=1, le=8)


class WeightSignal(Table):
    """Weights and biases. headroom: bits kept free above the calibrated range, for weights that grow.

    By default one; with 2 bits, whose highest code is 1, minus two: else hardly any initial weight would not be 0.
    """

    bits: int = Field(default=8, ge=2, le=16)
    frac: PerLayerFrac = None
    rounding: Literal["floor", "nearest", "stochastic"] = "stochastic"
    headroom: int | None = Field(default=None, ge=-8, le=8)

    @property
    def free_bits(self) -> int:
        """The headroom that calibration keeps."""
        if self.headroom is not None:
            return self.headroom
        return 1 if self.bits > 2 else -2


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
    frac: FracOrAuto | None = None


class HeadFormats(Table):
    """Formats of the head of one hidden layer, as calibration found them."""

    weight: Frac
    readout: Frac
    trace: Frac
    error: Frac


class CalibratedFracs(Table):
    """How the fracs of a signal came about, per layer; `magnitude` is what they have to hold, where it was measured.

    An origin belongs to the frac beside it: it is void where the experiment has another frac by now.
    """

    frac: list[Frac]
    origin: list[Origin]
    magnitude: list[Annotated[float, Field(ge=0.0)]] | None = None


class CalibratedTable(Table):
    """What calibration did to every signal: of the layers of the network, of heads, and of feedback layers."""

    weight: CalibratedFracs | None = None
    membrane: CalibratedFracs | None = None
    trace: CalibratedFracs | None = None
    error: CalibratedFracs | None = None
    readout: CalibratedFracs | None = None
    head_weight: CalibratedFracs | None = None
    head_trace: CalibratedFracs | None = None
    head_error: CalibratedFracs | None = None
    feedback: CalibratedFracs | None = None


class PrecisionTable(Table):
    """`[precision]`: formats of all signals. `precision = "float"` runs the float twin alone.

    `quantisers`: the signals that the float twin quantises, at these formats (default: none).

    `heads`, `feedback` and `calibrated` are written by a run: per hidden layer ("0", "1", ...) formats of its head, and
    the frac of the weights that carry feedback to it; and how the formats came about.
    """

    arithmetic: Literal["fixed", "float", "float32"] = "fixed"
    quantisers: list[Quantiser] | None = None
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
    calibrated: CalibratedTable | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_word(cls, value: Any) -> Any:
        return {"arithmetic": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _delta_holds_error(self) -> PrecisionTable:
        if self.delta_bits < self.error.bits:
            raise ValueError(f"delta.bits = {self.delta_bits} must be at least error.bits = {self.error.bits}")
        return self

    @model_validator(mode="after")
    def _quantisers_are_of_the_twin(self) -> PrecisionTable:
        names = self.quantisers or []
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise ValueError(f"quantisers holds {twice[0]!r} twice; allowed is every signal once")
        if names and self.arithmetic == "fixed":
            raise ValueError(
                f"quantisers = {names} is not allowed with arithmetic = 'fixed', which quantises every signal; allowed "
                "is arithmetic = 'float' or 'float32'"
            )
        return self

    @property
    def delta_bits(self) -> int:
        """Bits of the carried error."""
        return self.delta.bits if self.delta.bits is not None else min(24, self.error.bits + 4)
