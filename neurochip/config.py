"""The experiment file: pydantic models of its tables, and how a file and `--set` become one checked experiment."""

from __future__ import annotations

import copy
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from neurochip.config_errors import sentence
from neurochip.errors import UserError
from neurochip.rules.presets import find_rule

Frac = Annotated[int, Field(ge=0, le=24)]
PerLayerFrac = Frac | list[Frac] | None


class Table(BaseModel):
    """A table of the experiment file: unknown keys are refused, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class TaskTable(Table):
    """`[task]`: which recordings, and how they become steps of events."""

    name: str = "digits-dvs"
    path: str | None = None
    steps: int = Field(default=20, ge=1, le=32_767)
    repeat: Literal["once", "count"] = "once"
    classes: list[int] | None = None
    sensor_size: Annotated[list[int], Field(min_length=3, max_length=3)] | None = None
    validation: Annotated[float, Field(gt=0.0, lt=1.0)] | None = None


class DenseLayer(Table):
    """A dense layer of LIF neurons. lambda = 1 - 2^-leak_shift, or leak_constant / 65536."""

    kind: Literal["dense"]
    neurons: int = Field(ge=1, le=65536)
    leak_shift: Annotated[int, Field(ge=1, le=15)] | None = None
    leak_constant: Annotated[int, Field(ge=0, le=65535)] | None = None
    threshold: float = Field(default=1.0, gt=0.0)
    reset: Literal["subtract", "zero"] = "subtract"
    bias: bool = True

    @model_validator(mode="after")
    def _one_leak(self) -> DenseLayer:
        if self.leak_shift is not None and self.leak_constant is not None:
            raise ValueError("leak_shift and leak_constant exclude each other; give one of them")
        return self


class ReadoutLayer(Table):
    """The memoryless readout, one output per class."""

    kind: Literal["readout"]
    bias: bool = True


Layer = Annotated[DenseLayer | ReadoutLayer, Field(discriminator="kind")]


def _default_layers() -> list[DenseLayer | ReadoutLayer]:
    return [DenseLayer(kind="dense", neurons=128, leak_shift=1), ReadoutLayer(kind="readout")]


class NetworkTable(Table):
    """`[network]`: layers first to last, and the spread of the initial weights."""

    layers: list[Layer] = Field(default_factory=_default_layers)
    init_gain: float = Field(default=0.5, gt=0.0)
    weight_std: list[Annotated[float, Field(gt=0.0)]] | None = None

    @model_validator(mode="after")
    def _ends_in_a_readout(self) -> NetworkTable:
        kinds = [layer.kind for layer in self.layers]
        if not kinds or kinds[-1] != "readout" or "readout" in kinds[:-1]:
            raise ValueError("the last layer, and only the last, must be of kind 'readout'")
        if self.weight_std is not None and len(self.weight_std) != len(self.layers):
            raise ValueError(f"weight_std needs one value per layer, {len(self.layers)}")
        return self


class LearningTable(Table):
    """`[learning]`: the rule and its choices."""

    rule: str = "ottt-o"
    learning_rate: float | None = Field(default=None, gt=0.0)
    rates: dict[str, Annotated[float, Field(gt=0.0)]] = Field(default_factory=dict)
    epochs: int = Field(default=15, ge=1, le=100_000)
    batch: int = Field(default=1, ge=1, le=65536)
    rate_bits: int = Field(default=4, ge=1, le=8)
    rng_lanes: int = Field(default=16, ge=1, le=64)
    mse_share: float = Field(default=0.0, ge=0.0, le=1.0)
    surrogate: Literal["sigmoid", "triangle", "rectangle"] = "sigmoid"
    deliver: Literal["synapse", "neuron"] = "synapse"
    reset_path: Literal["detached", "exact"] = "detached"
    first_layer: Literal["trace", "input"] = "trace"
    readout_trace: bool = False

    @field_validator("rule")
    @classmethod
    def _known_rule(cls, value: str) -> str:
        find_rule(value)
        return value

    @field_validator("rates")
    @classmethod
    def _known_rules(cls, value: dict[str, float]) -> dict[str, float]:
        for name in value:
            find_rule(name)
        return value


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


class PrecisionTable(Table):
    """`[precision]`: formats of all signals. `precision = "float"` runs the float twin alone."""

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


class ChipTable(Table):
    """`[chip]`: which chip prices the run, and which zero gates it has (they change counts, never weights)."""

    name: str = "ottt-core-28nm"
    overflow: Literal["refuse", "dram", "grow"] | None = None
    gate_zero_trace: bool = True
    gate_zero_error: bool = True
    gate_zero_surrogate: bool = True


class RunTable(Table):
    """`[run]`: seed, the rules of a comparison, and what is recorded."""

    name: str | None = None
    rules: list[str] | None = None
    tune: bool = False
    seed: int = Field(default=1, ge=0, lt=2**63)
    calibration_samples: int = Field(default=64, ge=1, le=100_000)
    activity_samples: int = Field(default=64, ge=0, le=100_000)
    target_accuracy: float = Field(default=0.9, gt=0.0, le=1.0)

    @field_validator("rules")
    @classmethod
    def _rules_once(cls, value: list[str] | None) -> list[str] | None:
        if value == []:
            raise ValueError("at least one rule is needed")
        for name in value or ():
            find_rule(name)
        twice = [name for name in value or () if (value or []).count(name) > 1]
        if twice:
            raise ValueError(f"{twice[0]!r} stands there twice; allowed is every rule once")
        return value


class Experiment(Table):
    """A whole experiment."""

    task: TaskTable = TaskTable()
    network: NetworkTable = Field(default_factory=NetworkTable)
    learning: LearningTable = LearningTable()
    precision: PrecisionTable = PrecisionTable()
    chip: ChipTable = ChipTable()
    run: RunTable = RunTable()

    @model_validator(mode="after")
    def _tables_agree(self) -> Experiment:
        if self.task.repeat == "count" and self.precision.event.bits < 2:
            raise ValueError("task.repeat = 'count' needs precision.event.bits of 2 to 8")
        return self

    def to_tables(self) -> dict[str, Any]:
        """The experiment as nested tables without unset keys, ready for TOML or JSON."""
        return self.model_dump(mode="json", exclude_none=True)


def load_experiment(
    path: Path | None, overrides: Iterable[str] = (), tables: Mapping[str, Any] | None = None
) -> Experiment:
    """Read an experiment file (None: the default experiment) and apply `KEY=VALUE` overrides.

    A value is a TOML value; a bare word is a string. `tables` are nested tables that stand for the file.

    Raises:
        UserError: one sentence that names file, key, value and what is allowed.
    """
    tables = copy.deepcopy(dict(tables)) if tables is not None else {}
    if path is not None:
        try:
            tables = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise UserError(
                f"{path}: cannot be read ({error.strerror or error}); give an experiment file in TOML"
            ) from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise UserError(f"{path}: is not TOML ({error})") from error
    overrides = list(overrides)
    for text in overrides:
        _apply_override(tables, text)
    return parse_experiment(tables, source_of(path, overrides))


def source_of(path: Path | None, overrides: Iterable[str] = ()) -> str:
    """Where an experiment came from, as error messages name it."""
    if any(True for _ in overrides):
        return f"{path} with --set" if path is not None else "--set"
    return str(path) if path is not None else "default experiment"


def parse_experiment(tables: Mapping[str, Any], source: str) -> Experiment:
    """Check nested tables; `source` names where they came from in error messages."""
    try:
        return Experiment.model_validate(tables)
    except ValidationError as error:
        raise UserError(f"{source}: {sentence(error, Experiment)}") from error


def _apply_override(tables: dict[str, Any], text: str) -> None:
    key, equals, value = text.partition("=")
    parts = [part.strip() for part in key.split(".")]
    if not equals or not all(parts):
        raise UserError(f"--set {text!r} is not KEY=VALUE, for example learning.epochs=3")
    table = tables
    for part in parts[:-1]:
        inner = table.setdefault(part, {})
        if not isinstance(inner, dict):
            raise UserError(f"--set {text}: {part} holds {inner!r}, not a table")
        table = inner
    table[parts[-1]] = _toml_value(value.strip())


def _toml_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
