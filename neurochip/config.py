"""The experiment file: pydantic models of its tables, and how a file and `--set` become one checked experiment."""

from __future__ import annotations

import copy
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from neurochip.config_errors import sentence
from neurochip.config_layers import NetworkTable, Size, SpikingLayer
from neurochip.config_precision import PrecisionTable
from neurochip.config_table import Table
from neurochip.errors import UserError
from neurochip.rules.presets import NO_LEARNING, find_rule


class TaskTable(Table):
    """`[task]`: which recordings, and how they become steps of events; `crop` is [width, height] of their middle.

    With `download` tonic fetches what is not there (docs/data-sets.md). `transforms` are tonic's, in order: tables of a
    name, arguments and `splits`.
    """

    name: str = "digits-dvs"
    path: str | None = None
    steps: int = Field(default=20, ge=1, le=32_767)
    repeat: Literal["once", "count"] = "once"
    classes: list[int] | None = None
    sensor_size: Annotated[list[int], Field(min_length=3, max_length=3)] | None = None
    crop: Annotated[list[Annotated[int, Field(ge=1, le=32_767)]], Field(min_length=2, max_length=2)] | None = None
    validation: Annotated[float, Field(gt=0.0, lt=1.0)] | None = None
    download: bool = False
    transforms: list[dict[str, Any]] | None = None


class LearningTable(Table):
    """`[learning]`: the rule and its choices (semantics sections 3 and 4).

    `unroll`, `block` and `window` are the K, b and W of the presets that have none of their own (W: that of unroll).
    A head pools the map of its layer over `head_pool_kernel` (default, and at most: all of it). `trace_filter` is the k
    of a second leak of the traces, or "readout": that of the readout. The learning rate is halved every `halve_every`
    epochs. Layers with `standardise` are brought back to their mean and variance every `standardise_every` samples, 0:
    never. `mode` "stream" learns from a stream of samples (`[stream]`, docs/continual.md) instead of `epochs`.
    """

    mode: Literal["epochs", "stream"] = "epochs"
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
    bias_trace: bool = False
    trace_leak: Literal["post", "pre"] = "post"
    unroll: int = Field(default=5, ge=1, le=32_767)
    block: int = Field(default=1, ge=1, le=65536)
    window: int | None = Field(default=None, ge=1, le=32_767)
    feedback: Literal["random", "symmetric"] = "random"
    head_pool: Literal["none", "sum", "average"] = "none"
    head_pool_kernel: Size | None = None
    train_heads: bool = True
    trace_filter: Annotated[int, Field(ge=1, le=15)] | Literal["readout"] | None = None
    loss_start: int = Field(default=1, ge=1, le=32_767)
    update_every: int = Field(default=1, ge=1, le=32_767)
    momentum_shift: int = Field(default=0, ge=0, le=15)
    halve_every: int | None = Field(default=None, ge=1, le=100_000)
    standardise_every: int = Field(default=0, ge=0, le=10_000_000)

    @field_validator("rule")
    @classmethod
    def _known_rule(cls, value: str) -> str:
        return find_rule(value).name

    @field_validator("rates")
    @classmethod
    def _known_rules(cls, value: dict[str, float]) -> dict[str, float]:
        return {find_rule(name).name: rate for name, rate in value.items()}


class StreamTable(Table):
    """`[stream]`: samples drawn with replacement from the training split, each predicted before it is learned.

    The run ends after `samples`. Every `label_every`-th sample has a label and is learned; the others are only
    inferred. After every `drift_every` samples the `drift` changes the labels ("classes"), or the addresses of the
    inputs ("inputs"). `window`: samples of the running accuracy. With `shortest_steps` k a sample has events in a drawn
    number of steps from k to task.steps, and none after them.
    """

    samples: int = Field(default=5000, ge=1, le=10_000_000)
    label_every: int = Field(default=1, ge=1, le=10_000_000)
    drift: Literal["none", "classes", "inputs"] = "none"
    drift_every: int | None = Field(default=None, ge=1, le=10_000_000)
    window: int = Field(default=200, ge=1, le=10_000_000)
    shortest_steps: int | None = Field(default=None, ge=1, le=32_767)

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
    diagnosis_samples: int = Field(default=64, ge=0, le=100_000)
    target_accuracy: float = Field(default=0.9, gt=0.0, le=1.0)

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
