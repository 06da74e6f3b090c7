"""The experiment file: its tables, and how a file and `--set` become one checked experiment."""

from __future__ import annotations

import copy
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from neurochip.config_errors import sentence
from neurochip.config_layers import NetworkTable, SpikingLayer
from neurochip.config_learning import LearningTable, StreamTable
from neurochip.config_precision import PrecisionTable
from neurochip.config_table import SAMPLES, SHARE, Table
from neurochip.config_task import TaskTable
from neurochip.errors import UserError
from neurochip.rules.presets import NO_LEARNING, find_rule


class ChipTable(Table):
    """`[chip]`: which chip prices the run, and which zero gates it has (they change counts, never weights)."""

    name: str = "ottt-core-28nm"
    """The chip: one of `neurochip chips`, or a TOML file, found from here or from the experiment file."""
    overflow: Literal["refuse", "dram", "grow"] | None = None
    """What happens to memories that do not fit: refused, in DRAM, or enlarged; omitted, as the chip says."""
    gate_zero_trace: bool = True
    """Whether rows whose trace or event is 0 are skipped in the update."""
    gate_zero_error: bool = True
    """Whether words of learning signals that are all 0 are skipped."""
    gate_zero_surrogate: bool = True
    """Whether rows of neurons with ψ = 0 are skipped on the way back in space."""


class RunTable(Table):
    """`[run]`: seed, the rules of a comparison, and what is recorded."""

    name: str | None = None
    """A name for the run directory and the report; omitted, that of the task."""
    rules: list[str] | None = None
    """The rules that `compare` and `cost` take, each once; omitted, the six that `neurochip compare --help` names."""
    tune: bool = False
    """Whether learning rates are searched on the validation split, per rule, before the run."""
    seed: int = Field(default=1, ge=0, lt=2**63)
    """The seed of initial weights, order of samples, random registers and all else that is drawn."""
    calibration_samples: int = Field(default=64, ge=1, le=100_000, json_schema_extra=SAMPLES)
    """Training samples that formats are calibrated on."""
    activity_samples: int = Field(default=64, ge=0, le=100_000, json_schema_extra=SAMPLES)
    """Training samples of the last epoch, drawn by `seed`, whose events are recorded step by step."""
    diagnosis_samples: int = Field(default=64, ge=0, le=100_000, json_schema_extra=SAMPLES)
    """Training samples that the diagnosis of the accuracy measures; 0: no diagnosis."""
    target_accuracy: float = Field(default=0.9, gt=0.0, le=1.0, json_schema_extra=SHARE)
    """The validation accuracy of `energy_to_accuracy`."""

    @field_validator("rules")
    @classmethod
    def _rules_once(cls, value: list[str] | None) -> list[str] | None:
        if value == []:
            raise ValueError("at least one rule is needed")
        if value is None:
            return None
        names = [find_rule(name).name for name in value]
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise ValueError(f"{twice[0]!r} stands there twice; allowed is every rule once")
        return names


class Experiment(Table):
    """A whole experiment."""

    task: TaskTable = TaskTable()
    network: NetworkTable = Field(default_factory=NetworkTable)
    learning: LearningTable = LearningTable()
    precision: PrecisionTable = PrecisionTable()
    chip: ChipTable = ChipTable()
    run: RunTable = RunTable()
    stream: StreamTable | None = None

    @property
    def streamed(self) -> StreamTable | None:
        """The stream that is learned from; None with `learning.mode` "epochs"."""
        if self.learning.mode != "stream":
            return None
        return StreamTable() if self.stream is None else self.stream

    @model_validator(mode="after")
    def _stream_agrees(self) -> Experiment:
        table, learning = self.streamed, self.learning
        if table is None:
            if self.stream is not None:
                raise ValueError("the table stream needs learning.mode = 'stream'; learning.mode is 'epochs'")
            return self
        if learning.halve_every is not None:
            raise ValueError(
                f"learning.halve_every = {learning.halve_every} counts epochs, and learning.mode = 'stream' has none; "
                "leave it out"
            )
        if NO_LEARNING in (learning.rule, *(self.run.rules or ())):
            raise ValueError(
                f"the rule {NO_LEARNING!r} is not allowed with learning.mode = 'stream', as it learns nothing; allowed "
                "are all other rules"
            )
        if table.shortest_steps is not None and table.shortest_steps > self.task.steps:
            raise ValueError(
                f"stream.shortest_steps = {table.shortest_steps} is more than task.steps; allowed is 1 to "
                f"{self.task.steps}"
            )
        return self

    @model_validator(mode="after")
    def _tables_agree(self) -> Experiment:
        if self.task.repeat == "count" and self.precision.event.bits < 2:
            raise ValueError("task.repeat = 'count' needs precision.event.bits of 2 to 8")
        learning, steps = self.learning, self.task.steps
        if not any(t % learning.update_every == 0 for t in range(learning.loss_start, steps + 1)):
            raise ValueError(
                f"learning.loss_start = {learning.loss_start} and learning.update_every = {learning.update_every} "
                f"leave none of {steps} steps (task.steps) a loss; allowed are steps from 1 to {steps}"
            )
        standardised = [layer for layer in self.network.layers if isinstance(layer, SpikingLayer) and layer.standardise]
        if learning.standardise_every and not standardised:
            raise ValueError(
                f"learning.standardise_every = {learning.standardise_every} needs a layer with standardise = true, and "
                "network.layers has none; allowed is 0"
            )
        return self

    def to_tables(self) -> dict[str, Any]:
        """The experiment as nested tables without unset keys, ready for TOML or JSON."""
        return self.model_dump(mode="json", exclude_none=True)


def load_experiment(
    path: Path | None,
    overrides: Iterable[str] = (),
    tables: Mapping[str, Any] | None = None,
    network: Mapping[str, Any] | None = None,
    source: str | None = None,
) -> Experiment:
    """Read an experiment file (None: the default experiment) and apply `KEY=VALUE` overrides.

    A value is a TOML value; a bare word is a string. `tables` are nested tables that stand for the file, `network` are
    keys of `[network]` that win over those of the file. `source` names all of them in error messages.

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
    if network is not None:
        tables["network"] = _with_network(tables.get("network", {}), network)
    overrides = list(overrides)
    for text in overrides:
        _apply_override(tables, text)
    return parse_experiment(tables, source_of(path, overrides) if source is None else source)


def _with_network(table: Mapping[str, Any], network: Mapping[str, Any]) -> dict[str, Any]:
    """`[network]` with the keys of another network: layers and a NIR graph exclude each other."""
    other = "layers" if "nir" in network else "nir"
    kept = {key: value for key, value in table.items() if key != other}
    if "nir" in network and isinstance(table.get("nir"), Mapping):
        return {**kept, **network, "nir": {**table["nir"], **network["nir"]}}
    return {**kept, **network}


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
    table[parts[-1]] = toml_value(value.strip())


def toml_value(text: str) -> Any:
    """The TOML value that a word stands for; a bare word is a string."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
