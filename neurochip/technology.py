"""A technology as data: prices of logic, SRAM, registers, mesh and DRAM, each with source and spread."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

Kind = Literal["measured", "simulated", "model", "assumed"]
KINDS: tuple[Kind, ...] = ("measured", "simulated", "model", "assumed")  # strongest evidence first
# A number without stated bounds lies between value / factor and value * factor (docs/decisions/0003-prices.md).
SPREAD_FACTOR: dict[Kind, float] = {"measured": 1.05, "simulated": 1.1, "model": 1.3, "assumed": 2.0}
# Units of prices: a quantity with another unit is an operating point, a range of validity, or an exponent.
PRICE_UNITS = frozenset({"pJ", "pJ/bit", "pJ/cycle", "pJ/pJ", "bit/bit", "nW/bit", "um2", "um2/bit", "um2/um2"})
Bound = Literal["low", "high"]


class FrozenModel(BaseModel):
    """Base of everything read from a TOML file: unknown keys are refused, values never change."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _text_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse "0.9" and true where a number belongs, which pydantic would convert."""
        wants = cls.model_fields[info.field_name or ""].annotation
        if isinstance(value, str | bool) and wants in (int, float, int | None, float | None):
            raise ValueError(f"{value!r} is no number; allowed is a number without quotes")
        return value


class Quantity(FrozenModel):
    """A physical number with its unit, where it comes from, what kind of evidence it is, and its spread."""

    value: float = Field(ge=0)
    unit: str
    source: str = Field(min_length=1)
    kind: Kind
    low: float | None = Field(default=None, ge=0)
    high: float | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _ordered(self) -> Quantity:
        if not self.at("low") <= self.value <= self.at("high"):
            raise ValueError(f"low, value, high are {self.low}, {self.value}, {self.high}; allowed is a rising order")
        return self

    @property
    def is_price(self) -> bool:
        """Tell whether more of it means more energy or area; the others are no part of an interval."""
        return self.unit in PRICE_UNITS

    def at(self, bound: Bound) -> float:
        """The stated bound, or the one its kind implies."""
        factor = SPREAD_FACTOR[self.kind]
        if bound == "low":
            return self.value / factor if self.low is None else self.low
        return self.value * factor if self.high is None else self.high


def _in_unit(unit: str, zero: bool = False) -> AfterValidator:
    def check(quantity: Quantity) -> Quantity:
        if quantity.unit != unit:
            raise ValueError(f"unit is {quantity.unit!r}; allowed is {unit!r}")
        if quantity.value == 0 and not zero:
            raise ValueError("value is 0; allowed is a number above 0")
        return quantity

    return AfterValidator(check)


Picojoule = Annotated[Quantity, _in_unit("pJ")]
PicojoulePerBit = Annotated[Quantity, _in_unit("pJ/bit")]
PicojoulePerCycle = Annotated[Quantity, _in_unit("pJ/cycle")]
NanowattPerBit = Annotated[Quantity, _in_unit("nW/bit", zero=True)]
Volt = Annotated[Quantity, _in_unit("V")]
Megahertz = Annotated[Quantity, _in_unit("MHz")]
Kilobyte = Annotated[Quantity, _in_unit("kB")]
Words = Annotated[Quantity, _in_unit("words")]
Pure = Annotated[Quantity, _in_unit("1")]
Ratio = Annotated[Quantity, _in_unit("pJ/pJ")]
BitPerBit = Annotated[Quantity, _in_unit("bit/bit")]
SquareMicron = Annotated[Quantity, _in_unit("um2")]
SquareMicronPerBit = Annotated[Quantity, _in_unit("um2/bit")]
AreaRatio = Annotated[Quantity, _in_unit("um2/um2")]


class LogicAnchor(FrozenModel):
    """Energy, and if its source has it area, of one operation at one node and operand width."""

    node_nm: float = Field(gt=0)
    width_bits: int = Field(ge=1)
    energy: Picojoule
    area: SquareMicron | None = None


class Division(FrozenModel):
    """What a division needs besides subtractions."""

    registers_per_bit: BitPerBit


class Logic(FrozenModel):
    """Logic energies at the supply `voltage`; an operation without anchors has no price.

    Between nodes, energies known at one node move as node^node_exponent, inside the nodes for which that holds, and
    areas as node^area_exponent.
    """

    voltage: Volt
    node_exponent: Pure | None = None
    exponent_from_nm: float = Field(default=0, ge=0)
    exponent_to_nm: float = Field(default=0, ge=0)
    area_exponent: Pure | None = None
    add: tuple[LogicAnchor, ...] = ()
    mul: tuple[LogicAnchor, ...] = ()
    register_: tuple[LogicAnchor, ...] = Field(default=(), alias="register")
    shift: tuple[LogicAnchor, ...] = ()
    rng: tuple[LogicAnchor, ...] = ()
    lut: tuple[LogicAnchor, ...] = ()
    division: Division | None = None

    @field_validator("add", "mul", "register_", "shift", "rng", "lut")
    @classmethod
    def _no_repeats(cls, anchors: tuple[LogicAnchor, ...]) -> tuple[LogicAnchor, ...]:
        places = [(anchor.node_nm, anchor.width_bits) for anchor in anchors]
        if len(set(places)) != len(places):
            raise ValueError("two anchors have the same node_nm and width_bits; allowed is one each")
        return anchors


class MacroAnchor(FrozenModel):
    """Power law of one SRAM macro width at one node: read pJ = coefficient * (capacity/kB)^exponent."""

    node_nm: float = Field(gt=0)
    macro_bits: Literal[32, 64, 128]
    voltage: Volt
    coefficient: Picojoule
    exponent: Pure
    write_over_read: Ratio


class AreaAnchor(FrozenModel):
    """Area of one SRAM bit at one node, periphery of its macro included."""

    node_nm: float = Field(gt=0)
    per_bit: SquareMicronPerBit


class LeakageAnchor(FrozenModel):
    """Leakage of one SRAM bit at one node, periphery of its macro included."""

    node_nm: float = Field(gt=0)
    per_bit: NanowattPerBit


class Sram(FrozenModel):
    """SRAM macros: their power laws, the range of the fits, area and leakage."""

    fit_from: Kilobyte
    fit_to: Kilobyte
    minimum_words: Words
    macros: tuple[MacroAnchor, ...]
    area: tuple[AreaAnchor, ...] = ()
    leakage: tuple[LeakageAnchor, ...] = ()

    @field_validator("macros", "area", "leakage")
    @classmethod
    def _no_repeats(cls, anchors: tuple[MacroAnchor | AreaAnchor | LeakageAnchor, ...]) -> tuple[object, ...]:
        places = [(anchor.node_nm, getattr(anchor, "macro_bits", None)) for anchor in anchors]
        if len(set(places)) != len(places):
            raise ValueError("two anchors have the same node_nm (and macro_bits); allowed is one each")
        return anchors


class Register(FrozenModel):
    """Memories made of registers."""

    leakage: NanowattPerBit


class Dram(FrozenModel):
    """DRAM off the chip."""

    energy: PicojoulePerBit


class Noc(FrozenModel):
    """The mesh between cores: energy per bit over one link and one router, at the supply `voltage`."""

    hop: PicojoulePerBit
    voltage: Volt


class Technology(FrozenModel):
    """One `hw_models/technology/*.toml`."""

    name: str
    node_nm: float = Field(gt=0)
    logic: Logic
    sram: Sram | None = None
    register_: Register | None = Field(default=None, alias="register")
    dram: Dram | None = None
    noc: Noc | None = None
    area_overhead: AreaRatio | None = None
    file: str = Field(default="", exclude=True)

    @field_validator("area_overhead")
    @classmethod
    def _at_least_the_parts(cls, overhead: Quantity | None) -> Quantity | None:
        if overhead is not None and overhead.at("low") < 1:
            raise ValueError(f"low is {overhead.at('low'):g}; allowed is 1 or more, core over the sum of its parts")
        return overhead
