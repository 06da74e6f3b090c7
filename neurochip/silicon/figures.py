"""The files of `hw_models/silicon/`: published figures, read and checked."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import Field, ValidationError, model_validator

from neurochip.errors import UserError
from neurochip.microarch.reckon import MEMORIES, PHASES
from neurochip.silicon.check import Check, Method, Role
from neurochip.technology import FrozenModel

Grade = Literal["RTL", "SRC", "2nd", "MEM", "derived", "tool"]
_T = TypeVar("_T", bound="FigureFile")
Counts = dict[str, int]
# An e-prop pass reads and writes all memories; before it weights are only read.
EPROP_KEYS = tuple(f"{memory}_{kind}" for memory in MEMORIES for kind in ("read", "write"))
FORWARD_KEYS = tuple(key for key in EPROP_KEYS if key.endswith("_read") or key == "neuron_write")


class Figure(FrozenModel):
    """One published number."""

    value: float = Field(gt=0)
    unit: str
    source: str = Field(min_length=1)
    grade: Grade


class FigureFile(FrozenModel):
    """What every file of published figures has: a name, and the path it was read from."""

    name: str
    file: str = Field(default="", exclude=True)


class Shape(FrozenModel):
    """A memory: words of bits."""

    words: int = Field(ge=1)
    bits: int = Field(ge=1)

    @property
    def kilobytes(self) -> float:
        return self.words * self.bits / 8 / 1024


class Srams(FrozenModel):
    """ReckOn's four memories."""

    source: str
    grade: Grade
    neuron: Shape
    w_in: Shape
    w_rec: Shape
    w_out: Shape

    @property
    def kilobytes(self) -> float:
        return sum(memory.kilobytes for memory in (self.neuron, self.w_in, self.w_rec, self.w_out))


class NeuronWord(FrozenModel):
    """The fields of a word of ReckOn's neuron memory."""

    source: str
    grade: Grade
    potential_bits: int
    trace_bits: Counts
    shared_bits: Counts


class NonzeroTraces(FrozenModel):
    """How many traces are not 0."""

    input: int = 0
    recurrent: int = 0
    output: int = 0


class StepRow(FrozenModel):
    """One simulated step of ReckOn."""

    network: str = Field(pattern=r"^\d+/\d+/\d+$")
    learning: Literal["none", "all", "output"]
    input_events: int = Field(ge=0)
    spikes: int = Field(ge=0)
    active: int = Field(ge=0)
    nonzero: NonzeroTraces = NonzeroTraces()
    cycles: Counts
    total_cycles: int
    forward: Counts
    eprop: Counts = Field(default_factory=dict)

    @property
    def shared(self) -> int:
        """Indices with both an input event and a spike."""
        return self.input_events + self.spikes - self.active

    @model_validator(mode="after")
    def _complete_and_possible(self) -> StepRow:
        for key, found, needed in (
            ("cycles", self.cycles, PHASES),
            ("forward", self.forward, FORWARD_KEYS),
            ("eprop", self.eprop, EPROP_KEYS if self.learning != "none" else ()),
        ):
            if found.keys() != set(needed):
                raise ValueError(f"{key} has the keys {', '.join(found)}; allowed are exactly {', '.join(needed)}")
        if not 0 <= self.shared <= min(self.input_events, self.spikes):
            raise ValueError(
                f"active is {self.active}, which {self.input_events} inputs and {self.spikes} spikes exclude"
            )
        return self


class Steps(FrozenModel):
    """Simulated steps with their source."""

    source: str
    grade: Grade
    rows: tuple[StepRow, ...] = Field(min_length=1)


class ReckonFigures(FigureFile):
    """`reckon.toml`."""

    chip: str
    figures: dict[str, Figure]
    srams: Srams
    neuron_word: NeuronWord
    steps: Steps


class OdinMemories(FrozenModel):
    """ODIN's memories."""

    source: str
    grade: Grade
    neuron_kb: int
    synapse_kb: int


class EventCycles(FrozenModel):
    """Cycles of ODIN's events, by kind."""

    source: str
    grade: Grade
    events: Counts


class OdinFigures(FigureFile):
    """`odin.toml`."""

    figures: dict[str, Figure]
    memories: OdinMemories
    cycles: EventCycles


class LoihiFigures(FigureFile):
    """`loihi.toml`."""

    figures: dict[str, Figure]


class Operation(Figure):
    """A published energy of a logic operation; `law` marks a point between anchors."""

    law: bool = False


OperationName = Annotated[str, Field(pattern=r"^(add|mul|shift|rng) \d+ bits, \d+ nm$")]


class LogicFigures(FigureFile):
    """`logic.toml`; operations are called "add 8 bits, 45 nm"."""

    technology: str
    supply: Figure
    operations: dict[OperationName, Operation]


Capacity = Annotated[str, Field(pattern=r"^\d+kB$")]


class SramGroup(FrozenModel):
    """Points of one node and word width, by capacity ("8kB"), in pJ."""

    node: str = Field(pattern=r"^\d+ nm$")
    width: str = Field(pattern=r"^\d+ bits$")
    technology: str
    supply_v: float = Field(gt=0)
    read: dict[Capacity, float]
    write: dict[Capacity, float]

    @model_validator(mode="after")
    def _same_capacities(self) -> SramGroup:
        if self.read.keys() != self.write.keys():
            raise ValueError("read and write have different capacities; allowed are the same")
        return self


class SramFigures(FigureFile):
    """`sram.toml`."""

    source: str
    grade: Grade
    groups: tuple[SramGroup, ...] = Field(min_length=1)
    horowitz: dict[str, Figure]


def against(
    published: Figure, group: str, name: str, predicted: float, role: Role, method: Method, tolerance_percent: float = 0
) -> Check:
    """Make the check of one computed number against one published figure."""
    value, unit = published.value, published.unit
    source, grade = published.source, published.grade
    return Check(group, name, value, predicted, unit, tolerance_percent, role, method, source, grade)


def read_figures(model: type[_T], path: Path) -> _T:
    """Read one file of published figures.

    Raises:
        UserError: the file is missing, no TOML, or has a key or value that is not allowed.
    """
    try:
        return model.model_validate(tomllib.loads(path.read_text(encoding="utf-8")) | {"file": str(path)})
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UserError(f"{path}: cannot be read as TOML: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] == "missing":
            raise UserError(f"{path}: {key} is missing") from error
        raise UserError(f"{path}: {key} is {first['input']!r}; {first['msg']}") from error


def figure(figures: dict[str, Figure], key: str, file: str) -> Figure:
    """Return one figure of a file.

    Raises:
        UserError: the file lacks it.
    """
    if key not in figures:
        raise UserError(f"{file}: the published figure {key} is missing")
    return figures[key]
