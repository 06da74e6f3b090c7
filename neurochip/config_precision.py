"""The table `[precision]` of an experiment: formats of all signals."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from neurochip.config_table import BITS, Table, unit

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
    """Input events."""

    bits: int = Field(default=1, ge=1, le=8, json_schema_extra=BITS)
    """Width of the magnitude."""


class WeightSignal(Table):
    """Weights and biases."""

    bits: int = Field(default=8, ge=2, le=16, json_schema_extra=BITS)
    """Width of a weight."""
    frac: PerLayerFrac = Field(default=None, json_schema_extra=BITS)
    """Bits behind the point, of all layers or one for each; "auto" or omitted, calibrated."""
    rounding: Literal["floor", "nearest", "stochastic"] = "stochastic"
    """How an update is rounded to a weight."""
    headroom: int | None = Field(default=None, ge=-8, le=8, json_schema_extra=BITS)
    """Bits kept free above the calibrated range, for weights that grow; omitted, 1, with weights of 2 bits −2."""

    @property
    def free_bits(self) -> int:
        """The headroom that calibration keeps.

        With 2 bits, whose highest code is 1, minus two: else hardly any initial weight would not be 0.
        """
        if self.headroom is not None:
            return self.headroom
        return 1 if self.bits > 2 else -2


class MembraneSignal(Table):
    """Membrane potentials of hidden layers."""

    bits: int = Field(default=16, ge=6, le=24, json_schema_extra=BITS)
    """Width of a potential."""
    frac: PerLayerFrac = Field(default=None, json_schema_extra=BITS)
    """Bits behind the point, of all hidden layers or one for each; "auto" or omitted, calibrated."""
    headroom: int = Field(default=2, ge=0, le=8, json_schema_extra=BITS)
    """Bits kept free above the calibrated range."""


class TraceSignal(Table):
    """Presynaptic traces."""

    bits: int = Field(default=8, ge=2, le=16, json_schema_extra=BITS)
    """Width of a trace."""
    frac: PerLayerFrac = Field(default=None, json_schema_extra=BITS)
    """Bits behind the point, of all layers or one for each; "auto" or omitted, calibrated."""
    gate: int = Field(default=0, ge=0, le=65535, json_schema_extra=unit("codes"))
    """Rows whose trace is below it are not updated."""


class ErrorSignal(Table):
    """Errors e and d and learning signals g."""

    bits: int = Field(default=8, ge=2, le=16, json_schema_extra=BITS)
    """Width of e, d and g."""
    frac: PerLayerFrac = Field(default=None, json_schema_extra=BITS)
    """Bits behind the point, of all layers or one for each; "auto" or omitted, calibrated."""
    rounding: Literal["floor", "nearest"] = "nearest"
    """How errors and learning signals are rounded."""


class DeltaSignal(Table):
    """The carried error δ of BPTT."""

    bits: int | None = Field(default=None, ge=2, le=24, json_schema_extra=BITS)
    """Width of δ, at least `error.bits`; omitted, `error.bits` + 4, at most 24."""


class SurrogateSignal(Table):
    """Codes ψ of the surrogate derivative."""

    bits: int = Field(default=4, ge=1, le=8, json_schema_extra=BITS)
    """Width of a code ψ."""


class GradientSignal(Table):
    """Accumulated gradients."""

    bits: int = Field(default=24, ge=8, le=32, json_schema_extra=BITS)
    """Width of G."""
    frac: PerLayerFrac = Field(default=None, json_schema_extra=BITS)
    """Bits behind the point, of all layers or one for each; "auto" or omitted, those of the products."""


class ReadoutSignal(Table):
    """Readout sums z."""

    bits: int = Field(default=24, ge=8, le=31, json_schema_extra=BITS)
    """Width of z."""
    frac: FracOrAuto | None = Field(default=None, json_schema_extra=BITS)
    """Bits behind the point; "auto" or omitted, those of the weights of the readout."""


class HeadFormats(Table):
    """Formats of the head of one hidden layer, as calibration found them."""

    weight: Frac = Field(json_schema_extra=BITS)
    """Bits behind the point of its weights."""
    readout: Frac = Field(json_schema_extra=BITS)
    """Bits behind the point of its sums."""
    trace: Frac = Field(json_schema_extra=BITS)
    """Bits behind the point of its traces."""
    error: Frac = Field(json_schema_extra=BITS)
    """Bits behind the point of its errors."""


class CalibratedFracs(Table):
    """How the fracs of a signal came about, per layer.

    An origin belongs to the frac beside it: it is void where the experiment has another frac by now.
    """

    frac: list[Frac] = Field(json_schema_extra=BITS)
    """Bits behind the point."""
    origin: list[Origin]
    """Where they are from."""
    magnitude: list[Annotated[float, Field(ge=0.0)]] | None = None
    """What they have to hold, where it was measured."""


class CalibratedTable(Table):
    """What calibration did to every signal: of the layers of the network, of heads, and of feedback layers."""

    weight: CalibratedFracs | None = None
    """What calibration did to weights."""
    membrane: CalibratedFracs | None = None
    """What it did to potentials."""
    trace: CalibratedFracs | None = None
    """What it did to traces."""
    error: CalibratedFracs | None = None
    """What it did to errors and learning signals."""
    readout: CalibratedFracs | None = None
    """What it did to readout sums."""
    head_weight: CalibratedFracs | None = None
    """What it did to the weights of heads."""
    head_trace: CalibratedFracs | None = None
    """What it did to the traces of heads."""
    head_error: CalibratedFracs | None = None
    """What it did to the errors of heads."""
    feedback: CalibratedFracs | None = None
    """What it did to the weights of feedback layers."""


class PrecisionTable(Table):
    """`[precision]`: formats of all signals ([precision](precision.md)); a word in its place is its `arithmetic`."""

    arithmetic: Literal["fixed", "float", "float32"] = "fixed"
    """Fixed point, or the same rule without formats (the float twin)."""
    quantisers: list[Quantiser] | None = None
    """The signals that the float twin quantises all the same, each once; omitted, none."""
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
    """Formats of the head of every hidden layer ("0", "1", ...); written by a run."""
    feedback: dict[str, Frac] | None = Field(default=None, json_schema_extra=BITS)
    """Bits behind the point of the weights that carry feedback to every hidden layer; written by a run."""
    calibrated: CalibratedTable | None = None
    """How the formats came about; written by a run."""

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
