"""Everything a run needs, resolved before the first step: task, chip, formats, specifications, and its cores."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from neurochip.chip import Chip, list_chips, load_chip
from neurochip.config import Experiment
from neurochip.config_precision import HeadFormats
from neurochip.core.float_formats import Quantisers
from neurochip.errors import UserError
from neurochip.float_twin import FloatTwin
from neurochip.listener import Listener
from neurochip.microarch.interface import Gates
from neurochip.microarch.registry import microarchitecture
from neurochip.network.calibrate import Prepared, integer_weights, prepare
from neurochip.network.nir_experiment import check_thresholds, initial_weights, stored, with_nir
from neurochip.network.nir_imported import Imported
from neurochip.network.resolve import Lanes, core_spec, float_spec, halvings_of, learned_together, learning_rate_of
from neurochip.network.rule_layers import rule_layers
from neurochip.network.shape import LayerShape, layer_shapes, sensor_map, uses_map
from neurochip.pricing import Pricer
from neurochip.rules.presets import NO_LEARNING, Rule, find_rule
from neurochip.spec import CoreSpec
from neurochip.stream import SampleStream
from neurochip.stream_training import train_on_stream
from neurochip.tasks import TaskData, load_task
from neurochip.tasks.registry import Loader
from neurochip.training import CHUNK_SAMPLES, Core, Outcome, Training, train

if TYPE_CHECKING:
    from neurochip.run_directory import RunDirectory

TEACHER = "bptt"
TEACHER_KEY = "teacher"


@dataclass(frozen=True)
class Run:
    """One rule in one arithmetic. `key` is its group in checkpoint.h5 and activity.h5."""

    rule: Rule
    arithmetic: str  # "fixed" | "float" | "float32"
    key: str

    @property
    def precision(self) -> str:
        """As report.json names it: "fixed" or "float"."""
        return "fixed" if self.arithmetic == "fixed" else "float"


@dataclass(frozen=True, eq=False)
class Setup:
    """A resolved experiment, ready to run."""

    asked: Experiment
    resolved: Experiment
    rules: tuple[Rule, ...]
    task: TaskData
    chip: Chip
    gates: Gates
    shapes: tuple[LayerShape, ...]
    prepared: Prepared
    engine: str
    imported: Imported | None = None  # the NIR graph that the network comes from

    @property
    def name(self) -> str:
        """Name of the run."""
        return self.asked.run.name or self.task.name

    @property
    def runs(self) -> tuple[Run, ...]:
        """The runs in the order of the report: per rule fixed point, then the float twin."""
        arithmetic = self.resolved.precision.arithmetic
        kinds = ("fixed", "float") if arithmetic == "fixed" else (arithmetic,)
        return tuple(Run(rule, kind, self._key(rule, kind)) for rule in self.rules for kind in kinds)

    def _key(self, rule: Rule, kind: str) -> str:
        prefix = rule.key if len(self.rules) > 1 else ""
        suffix = "float" if kind != "fixed" else ""
        return "/".join(part for part in (prefix, suffix) if part) or "."

    @property
    def teacher(self) -> Run:
        """The float BPTT whose weights `infer` loads; nothing of it is quantised."""
        kind = "float32" if self.resolved.precision.arithmetic == "float32" else "float"
        rule = find_rule(TEACHER)
        is_run = rule in self.rules and not self.resolved.precision.quantisers
        key = self._key(rule, kind) if is_run else TEACHER_KEY
        return Run(rule, kind, key)

    @property
    def stream(self) -> SampleStream | None:
        """The stream that is learned from; None with epochs."""
        table = self.resolved.streamed
        if table is None:
            return None
        return SampleStream.of_task(table, self.resolved.run.seed, self.task, uses_map(self.resolved))

    @property
    def rates_are_given(self) -> bool:
        """Whether every rule has its rate already (a tuned run that continues)."""
        return all(rule.name in self.asked.learning.rates for rule in self.rules if rule.group != NO_LEARNING)

    def learning_rate(self, rule: Rule) -> float:
        """The learning rate of a rule."""
        return learning_rate_of(self.resolved, rule)

    def with_rates(self, rates: dict[str, float]) -> Setup:
        """The same setup with other learning rates."""
        learning = self.resolved.learning.model_copy(update={"rates": {**self.resolved.learning.rates, **rates}})
        return replace(self, resolved=self.resolved.model_copy(update={"learning": learning}))

    def spec(self, rule: Rule, epoch: int = 0) -> CoreSpec:
        """The integer specification of a rule; its learning rate is that of an epoch, counted from 0."""
        lanes = Lanes(self.chip.lanes, self.chip.trace_lanes)
        halvings = halvings_of(self.resolved, epoch)
        return core_spec(self.resolved, rule, self.shapes, self.prepared.fracs, lanes, halvings)

    def pricer(self, rule: Rule) -> Pricer:
        """Counts and prices of a rule on the chip."""
        return Pricer(self.chip, self.gates, self.spec(rule))

    def core(self, run: Run, weights: Sequence[NDArray[Any]] | None, epoch: int = 0) -> Core:
        """A core for a run, with the initial weights or with given real ones, at the learning rate of an epoch."""
        layers = rule_layers(self.resolved, run.rule, self.shapes)
        real = self.prepared.of_layers(layers) if weights is None else list(weights)
        if run.precision == "float":
            from neurochip.core.float_core import FloatCore

            dtype = "float32" if run.arithmetic == "float32" else "float64"
            halvings = halvings_of(self.resolved, epoch)
            quantisers = self._quantisers(run, epoch)
            real_spec = float_spec(self.resolved, run.rule, self.shapes, self.prepared.fracs, halvings, quantisers)
            return FloatTwin(FloatCore(real_spec, real, dtype))
        spec = self.spec(run.rule, epoch)
        integers = integer_weights(spec, real)
        if self.engine == "reference":
            from neurochip.reference.engine import ReferenceEngine

            return ReferenceEngine(spec, integers, self.chip, self.gates)
        from neurochip.core.engine import Engine

        return Engine(spec, integers)

    def _quantisers(self, run: Run, epoch: int) -> Quantisers | None:
        """What a run of the float twin quantises, at the formats of the integer core; the teacher nothing."""
        names = self.resolved.precision.quantisers
        if not names or run.key == TEACHER_KEY:
            return None
        return Quantisers(tuple(names), self.spec(run.rule, epoch))

    def job(
        self,
        run: Run,
        weights: Sequence[NDArray[Any]] | None,
        directory: RunDirectory | None,
        stop: threading.Event,
        listener: Listener,
        label: str | None = None,
    ) -> Callable[[], Outcome]:
        """The training of one run as a function without arguments."""

        _import_kernels(run, self.engine)

        def work() -> Outcome:
            state = directory.state(run.key) if directory else None
            training = Training(
                key=run.key,
                label=label or f"{run.rule.name} {run.precision}",
                task=self.task,
                n_epochs=self.resolved.learning.epochs,
                seed=self.resolved.run.seed,
                learn=run.rule.group != NO_LEARNING,
                subset_samples=self.resolved.run.activity_samples if run.precision == "fixed" and directory else 0,
                listener=listener,
                on_epoch=(lambda state: directory.save_state(run.key, state)) if directory else (lambda state: None),
                stop=stop,
                chunk_samples=1 if self.engine == "reference" else CHUNK_SAMPLES,
                trace_gate=self.resolved.precision.trace.gate,
                halve_every=self.resolved.learning.halve_every,
                core_at=lambda epoch: self.core(run, weights, epoch),
            )
            stream = self.stream
            if stream is not None:
                together = learned_together(self.resolved, run.rule)
                return train_on_stream(self.core(run, weights), training, stream, together, state)
            first = min(len(state.epochs), training.n_epochs - 1) if state is not None else 0
            return train(self.core(run, weights, first), training, state)

        return work


def _import_kernels(run: Run, engine: str) -> None:
    """Import the kernels of a run in the thread that starts it: decorating them switches a setting of numba."""
    if run.precision == "float":
        importlib.import_module("neurochip.core.float_core")
    elif engine == "fast":
        importlib.import_module("neurochip.core.engine")


def prepare_setup(
    experiment: Experiment,
    rules: Sequence[Rule],
    base_dir: Path,
    engine: str,
    listener: Listener,
    load: Loader = load_task,
) -> Setup:
    """Load the task and the chip, draw the weights, calibrate the formats, and check that every rule fits the chip.

    `load` gets the task; one that keeps what it loaded gives the same.

    Raises:
        UserError: for anything that cannot run, before anything is written.
    """
    experiment, imported = with_nir(with_chip_file(experiment, base_dir), base_dir)
    chip = chip_of(experiment)
    if engine == "reference":
        _say_what_is_not_clocked(chip, listener)
    listener.message(f"loading task {experiment.task.name}")
    task = load(task_settings(experiment), base_dir, experiment.run.seed, listener.message)
    shapes = layer_shapes(experiment, task.n_inputs, len(task.classes), sensor_map(task.sensor_size))
    listener.message("calibrating formats (the first start compiles for about a minute)")
    prepared = prepare(experiment, shapes, task.train, rules, initial_weights(imported, shapes, task.classes))
    check_thresholds(imported, experiment, shapes, prepared.fracs)
    gates = Gates(experiment.chip.gate_zero_trace, experiment.chip.gate_zero_error, experiment.chip.gate_zero_surrogate)
    resolved = _resolved(experiment, rules, prepared, task, base_dir)
    setup = Setup(experiment, resolved, tuple(rules), task, chip, gates, shapes, prepared, engine, imported)
    _ = setup.stream  # a drift may be one that changes nothing
    for rule in rules:
        setup.spec(rule, resolved.learning.epochs - 1)  # a halved rate may be one that no shift realises
        pricer = setup.pricer(rule)
        pricer.check()
        if resolved.precision.arithmetic == "fixed":  # the float twin has no cost
            pricer.check_prices()
    return setup


def chip_of(experiment: Experiment, key: str = "chip.name") -> Chip:
    """The chip of an experiment, with the overflow mode that the experiment asks for; `key` names it in messages.

    Raises:
        UserError: an unknown chip, a chip file with something wrong, or a chip without the DRAM that is asked for.
    """
    try:
        chip = load_chip(experiment.chip.name)
        _check_microarchitecture(chip)
    except UserError as error:
        raise UserError(f"{key}: {error}") from error
    if experiment.chip.overflow is not None:
        if experiment.chip.overflow == "dram" and chip.dram is None:
            raise UserError(f'chip.overflow = "dram" needs the table dram of the chip, which {chip.file} does not have')
        chip = chip.model_copy(update={"overflow": experiment.chip.overflow})
    return chip


def _check_microarchitecture(chip: Chip) -> None:
    try:
        microarchitecture(chip.microarchitecture)
    except UserError as error:
        raise UserError(f"{chip.file}: {error}") from error


def _say_what_is_not_clocked(chip: Chip, listener: Listener) -> None:
    from neurochip.reference.clocks import clock_of

    if clock_of(chip.microarchitecture) is None:
        listener.message(f"{chip.microarchitecture} has no tick model: the golden core runs alone, cycles are counted")


def with_chip_file(experiment: Experiment, base_dir: Path) -> Experiment:
    """A chip file by its absolute path, so that the run continues from any folder; a packaged chip by its name."""
    name = experiment.chip.name
    if name in list_chips():
        return experiment
    files = [folder / name for folder in (Path(), base_dir) if (folder / name).is_file()]
    if not files:
        return experiment  # load_chip says what is known
    table = experiment.chip.model_copy(update={"name": str(files[0].resolve())})
    return experiment.model_copy(update={"chip": table})


def task_settings(experiment: Experiment) -> Any:
    """What a task needs to know of an experiment."""
    table = experiment.task
    sensor = tuple(table.sensor_size) if table.sensor_size is not None else None
    return SimpleNamespace(
        name=table.name,
        path=table.path,
        steps=table.steps,
        repeat=table.repeat,
        classes=table.classes,
        sensor_size=sensor,
        crop=tuple(table.crop) if table.crop is not None else None,
        validation=table.validation,
        event_bits=experiment.precision.event.bits,
        download=table.download,
        transforms=table.transforms or None,
    )


def _resolved(
    experiment: Experiment, rules: Sequence[Rule], prepared: Prepared, task: TaskData, base_dir: Path
) -> Experiment:
    """The experiment with everything decided: spreads, fracs, rates and rules; it runs again as it is."""
    fracs, precision, learning = prepared.fracs, experiment.precision, experiment.learning
    signals = {
        name: getattr(precision, name).model_copy(update={"frac": list(getattr(fracs, name))})
        for name in ("weight", "membrane", "trace", "error")
    }
    signals["readout"] = precision.readout.model_copy(update={"frac": fracs.readout})
    signals["heads"] = {
        str(index): HeadFormats.model_validate(head._asdict()) for index, head in fracs.heads.items()
    } or None
    signals["feedback"] = {str(index): frac for index, frac in fracs.feedback.items()} or None
    if prepared.calibrated is not None:  # else that of the run which resolved this experiment, if it was one
        signals["calibrated"] = prepared.calibrated
    experiment = stored(experiment)
    network: dict[str, Any] = {"weight_std": list(prepared.weight_std)} if prepared.weight_std else {}
    network |= {
        key: {str(index): std for index, std in found.items()}
        for key, found in (("head_std", prepared.head_std), ("feedback_std", prepared.feedback_std))
        if found
    }
    if uses_map(experiment):
        network["input_shape"] = experiment.network.input_shape or list(sensor_map(task.sensor_size))
    rates = {rule.name: learning_rate_of(experiment, rule) for rule in rules if rule.group != NO_LEARNING}
    path = experiment.task.path
    return experiment.model_copy(
        update={
            "task": experiment.task.model_copy(update={"path": str((base_dir / path).resolve()) if path else None}),
            "network": experiment.network.model_copy(update=network),
            "precision": precision.model_copy(update=signals),
            "learning": learning.model_copy(update={"rates": rates}),
            "run": experiment.run.model_copy(update={"rules": [rule.name for rule in rules]}),
            "stream": experiment.streamed,
        }
    )
