"""Chips and technologies as data: the TOML files of `hw_models/`, read, checked and frozen."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn, TypeVar

from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails

from neurochip._data import data_folder
from neurochip.counters import MEMORIES
from neurochip.errors import UserError
from neurochip.technology import (
    FrozenModel,
    Kind,
    LogicAnchor,
    MacroAnchor,
    Megahertz,
    NanowattPerBit,
    PicojoulePerCycle,
    Quantity,
    Technology,
    Volt,
)

_T = TypeVar("_T", bound=BaseModel)
PER_LANE = ("synapse", "neuron", "trace", "error", "gradient")  # memories whose words hold one number per lane


class Memory(FrozenModel):
    """One memory of a chip: `banks` banks of `bank_words` words; the word width follows from what is stored."""

    storage: Literal["sram", "register"]
    banks: int = Field(ge=1)
    bank_words: int = Field(ge=1)
    ports: Literal["1rw", "1r1w"]
    read_latency_cycles: int = Field(ge=0)

    @property
    def words(self) -> int:
        return self.banks * self.bank_words


class ClockEnergy(FrozenModel):
    """Clock and control energy per cycle of a core with `lanes` lanes at the supply `voltage`.

    With `node_nm` it is moved to the node of the chip's technology; without, it is taken as it is.
    """

    energy: PicojoulePerCycle
    voltage: Volt
    lanes: int = Field(ge=1)
    node_nm: float | None = Field(default=None, gt=0)


class Unit(FrozenModel):
    """Arithmetic units of the datapath, for the area: one per lane, per trace lane or per core.

    `widths` are operand widths in bits, or names of memories: the width of what one lane of them holds.
    """

    operation: Literal["ac", "mac", "mul", "add", "shift", "compare", "lut", "div", "rng"]
    per: Literal["lane", "trace_lane", "core"]
    widths: tuple[int | str, ...] = Field(min_length=1, max_length=3)

    @field_validator("widths")
    @classmethod
    def _known_widths(cls, widths: tuple[int | str, ...]) -> tuple[int | str, ...]:
        for width in widths:
            known = width in PER_LANE if isinstance(width, str) else width >= 1
            if not known:
                raise ValueError(f"width {width!r} is unknown; allowed are bits from 1 and {', '.join(PER_LANE)}")
        return widths


class DramChannel(FrozenModel):
    """The way off the chip: a burst of k words of w bits takes latency_cycles + k * ceil(w / bus_bits) clocks."""

    bus_bits: int = Field(ge=1)
    latency_cycles: int = Field(ge=0)


class Mesh(FrozenModel):
    """A mesh of equal cores; the memories, lanes and datapath of the chip file are those of one core."""

    columns: int = Field(ge=1)
    rows: int = Field(ge=1)
    link_bits: int = Field(ge=1)  # of a flit: one flit per link and clock
    hop_cycles: int = Field(ge=1)  # clocks of a router and the link behind it
    barrier_cycles: int = Field(ge=0)  # clocks at the end of a stage until every core knows that all have ended


class Calibrated(FrozenModel):
    """Energy of a whole cycle fitted to silicon, at the chip's voltage and clock: instead of bottom-up, never added."""

    inference: PicojoulePerCycle
    learning: PicojoulePerCycle


@dataclass(frozen=True)
class Provenance:
    """One physical number a chip's prices rest on."""

    key: str
    value: float
    unit: str
    source: str
    kind: Kind
    low: float
    high: float


class Chip(FrozenModel):
    """One `hw_models/chips/*.toml` with its technology."""

    name: str
    microarchitecture: str = Field(min_length=1)
    technology: Technology
    overflow: Literal["refuse", "grow", "dram"] = "refuse"
    lanes: int = Field(ge=1)
    trace_lanes: int = Field(ge=1)
    scan_width: int = Field(ge=1)
    history_word_bits: int = Field(ge=1)
    div_cycles: int = Field(ge=1)
    pipeline_latency_cycles: int = Field(ge=1)
    voltage: Volt
    clock: Megahertz
    clock_energy: ClockEnergy | None = None
    sram_leakage: NanowattPerBit | None = None
    calibrated: Calibrated | None = None
    memories: dict[str, Memory]
    datapath: tuple[Unit, ...] = ()
    dram: DramChannel | None = None
    mesh: Mesh | None = None
    file: str = Field(default="", exclude=True)

    @field_validator("memories")
    @classmethod
    def _known_memories(cls, memories: dict[str, Memory]) -> dict[str, Memory]:
        on_chip = [name for name in MEMORIES if name != "dram"]
        for name in memories:
            if name not in on_chip:
                raise ValueError(f"memory {name!r} is unknown; allowed are {', '.join(on_chip)}")
        return memories

    @model_validator(mode="after")
    def _dram_is_described(self) -> Chip:
        if self.overflow == "dram" and self.dram is None:
            raise ValueError('overflow is "dram", which needs the table dram with bus_bits and latency_cycles')
        return self

    @property
    def summary(self) -> dict[str, Any]:
        """Name, microarchitecture, technology, clock, voltage and overflow mode, as documents state them."""
        return {
            "name": self.name,
            "microarchitecture": self.microarchitecture,
            "technology": self.technology.name,
            "clock_mhz": self.clock_mhz,
            "voltage_v": self.voltage_v,
            "overflow": self.overflow,
        }

    @property
    def clock_mhz(self) -> float:
        return self.clock.value

    @property
    def voltage_v(self) -> float:
        return self.voltage.value

    @property
    def fifo_depth(self) -> int:
        """Words of the event FIFO."""
        if "event_fifo" not in self.memories:
            raise UserError(f"{self.file}: memories.event_fifo is missing; the event FIFO needs a depth")
        return self.memories["event_fifo"].words

    @property
    def provenance(self) -> list[Provenance]:
        """Every physical number of the chip file and its technology file, with dotted keys."""
        return list(_quantities(self, ""))


def _quantities(value: Any, key: str) -> Iterator[Provenance]:
    if isinstance(value, Quantity):
        low, high = (value.at("low"), value.at("high")) if value.is_price else (value.value, value.value)
        yield Provenance(key, value.value, value.unit, value.source, value.kind, low, high)
    elif isinstance(value, BaseModel):
        for name, field in type(value).model_fields.items():
            yield from _quantities(getattr(value, name), f"{key}.{field.alias or name}".lstrip("."))
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _quantities(item, f"{key}.{name}")
    elif isinstance(value, tuple):
        for index, item in enumerate(value):
            yield from _quantities(item, f"{key}[{_place(item, index)}]")


def _place(anchor: Any, index: int) -> str:
    if isinstance(anchor, LogicAnchor):
        return f"{anchor.node_nm:g} nm, {anchor.width_bits} bits"
    if isinstance(anchor, MacroAnchor):
        return f"{anchor.node_nm:g} nm, {anchor.macro_bits} bits"
    node_nm = getattr(anchor, "node_nm", None)
    return str(index) if node_nm is None else f"{node_nm:g} nm"


def list_chips() -> list[str]:
    """Names of the chips that come with the package, sorted."""
    return sorted(path.stem for path in (data_folder("hw_models") / "chips").glob("*.toml"))


def chip_file(name_or_path: str | Path) -> Path:
    """The file of a chip; arguments and errors as `load_chip`, but it is not read."""
    return _find(name_or_path, "chips", "chip")


def load_chip(name_or_path: str | Path) -> Chip:
    """Read a chip by the name of a packaged one (`list_chips`) or from the path of a TOML file, and its technology.

    A technology is the name of a packaged one, or the path of a `.toml` file relative to the chip file.

    Raises:
        UserError: an unknown name, a file that cannot be read, an unknown key, or a value that is not allowed.
    """
    chip_path = chip_file(name_or_path)
    table = _read(chip_path)
    technology = table.get("technology")
    if not isinstance(technology, str):
        given = f"is {technology!r}" if "technology" in table else "is missing"
        raise UserError(f"{chip_path}: technology {given}; allowed is the name or path of a technology file")
    relative = chip_path.parent / technology if technology.endswith(".toml") else technology
    return _validate(Chip, table | {"technology": load_technology(relative)}, chip_path)


def load_technology(name_or_path: str | Path) -> Technology:
    """Read a technology by name or path; raises UserError as `load_chip` does."""
    path = _find(name_or_path, "technology", "technology")
    return _validate(Technology, _read(path), path)


def _find(name_or_path: str | Path, folder: str, what: str) -> Path:
    path = Path(name_or_path)
    if isinstance(name_or_path, Path) or path.suffix == ".toml" or len(path.parts) > 1:
        if not path.is_file():
            raise UserError(f"{what} file {path} does not exist")
        return path
    packaged = data_folder("hw_models") / folder
    known = sorted(file.stem for file in packaged.glob("*.toml"))
    if name_or_path not in known:
        raise UserError(f"{what} {name_or_path!r} is unknown; known are {', '.join(known)} and paths of .toml files")
    return packaged / f"{name_or_path}.toml"


def _read(path: Path) -> dict[str, Any]:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UserError(f"{path}: cannot be read as TOML: {error}") from error
    if "file" in table:
        raise UserError(f"{path}: file is an unknown key")
    return table


def _validate(model: type[_T], table: dict[str, Any], path: Path) -> _T:
    try:
        return model.model_validate(table | {"file": str(path)})
    except ValidationError as error:
        _raise_user_error(error, path)


def _key(entry: ErrorDetails) -> str:
    return ".".join(str(part) for part in entry["loc"])


def _raise_user_error(error: ValidationError, path: Path) -> NoReturn:
    found = error.errors()
    # A misspelt key is missing as well as unknown: say what stands in the file.
    first = next((entry for entry in found if entry["type"] == "extra_forbidden"), found[0])
    key = _key(first)
    if first["type"] == "extra_forbidden":
        lacking = [
            _key(entry) for entry in found if entry["type"] == "missing" and entry["loc"][:-1] == first["loc"][:-1]
        ]
        message = f"{key} is an unknown key" + (f", and {lacking[0]} is missing" if lacking else "")
    elif first["type"] == "missing":
        message = f"{key} is missing"
    elif first["type"] == "value_error":
        message = f"{key}: {first['ctx']['error']}" if key else str(first["ctx"]["error"])
    else:
        message = f"{key} is {first['input']!r}; {first['msg'][0].lower()}{first['msg'][1:]}"
    raise UserError(f"{path}: {message}") from error
