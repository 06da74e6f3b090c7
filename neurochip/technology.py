"""A technology as data: prices of logic, SRAM, registers and DRAM, each with its source (`hw_models/technology/`)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator

Kind = Literal["measured", "simulated", "model", "assumed"]
KINDS: tuple[Kind, ...] = ("measured", "simulated", "model", "assumed")  # strongest evidence first


class FrozenModel(BaseModel):
    """Base of everything read from a TOML file: unknown keys are refused, values never change."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Quantity(FrozenModel):
    """A physical number with its unit, where it comes from, and what kind of evidence it is."""

    value: float = Field(ge=0)
    unit: str
    source: str = Field(min_length=1)
    kind: Kind


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


class LogicAnchor(FrozenModel):
    """Energy of one operation as published at one node and operand width."""

    node_nm: float = Field(gt=0)
    width_bits: int = Field(ge=1)
    energy: Picojoule


class Division(FrozenModel):
    """What a division needs besides subtractions."""

    registers_per_bit: BitPerBit


class Logic(FrozenModel):
    """Logic energies at the supply `voltage`; an operation without anchors has no price."""

    voltage: Volt
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


class Sram(FrozenModel):
    """SRAM macros: their power laws, and the range of the fits."""

    fit_from: Kilobyte
    fit_to: Kilobyte
    minimum_words: Words
    macros: tuple[MacroAnchor, ...]


class Register(FrozenModel):
    """Memories made of registers."""

    leakage: NanowattPerBit


class Dram(FrozenModel):
    """DRAM off the chip."""

    energy: PicojoulePerBit


class Technology(FrozenModel):
    """One `hw_models/technology/*.toml`."""

    name: str
    node_nm: float = Field(gt=0)
    logic: Logic
    sram: Sram | None = None
    register_: Register | None = Field(default=None, alias="register")
    dram: Dram | None = None
    file: str = Field(default="", exclude=True)
