"""One sample of a finished run once more, with all that a trace, waveforms or a raster show of it.

It meets the weights that the run ended with, in the rule's own arithmetic. A sample of the training split is learned,
but by `infer`; one of the test split is not. The run directory stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neurochip._version import __version__
from neurochip.activity import PassResult, SampleTrace
from neurochip.errors import UserError
from neurochip.export.load import Learned, load_learned
from neurochip.listener import Listener, Silent
from neurochip.microarch.interface import Counted, Gates
from neurochip.network.shape import uses_map
from neurochip.pricing import Pricer
from neurochip.recording import bitmaps_of
from neurochip.report.json_file import read_report_json
from neurochip.rules.presets import NO_LEARNING, find_rule
from neurochip.run_directory import REPORT_JSON, read_experiment
from neurochip.setup import chip_of, task_settings
from neurochip.spec import CoreSpec
from neurochip.stream import SampleStream

if TYPE_CHECKING:
    from neurochip.chip import Chip
    from neurochip.config import Experiment
    from neurochip.events import EventDataset

TRAIN, TEST = "train", "test"  # splits
Record = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Sample:
    """A sample of a task: its index in its split, and data of this sample alone."""

    split: str
    index: int
    data: EventDataset

    def __str__(self) -> str:
        return f"sample {self.index} of the {self.split} split"


@dataclass(frozen=True, eq=False)
class Replay:
    """One sample of a run, as the fast core went through it once more.

    Attributes:
        learned: the rule of the run, and what its memories held before the sample.
        pricer: chip, gates and specification, in the words of the chip; counts the sample.
        sample: which one.
        learn: whether it was learned.
        result: what the fast core made of it; `probes` holds [1, T, n] of every signal.
        trace: its bitmaps.
        weights, registers: behind the sample.
    """

    learned: Learned
    pricer: Pricer
    sample: Sample
    learn: bool
    result: PassResult
    trace: SampleTrace
    weights: list[NDArray[Any]]
    registers: NDArray[np.uint32]

    @property
    def spec(self) -> CoreSpec:
        """The integer specification of the rule."""
        return self.pricer.spec

    @property
    def chip(self) -> Chip:
        """The chip of the run or another one."""
        return self.pricer.chip

    @property
    def label(self) -> int:
        """Class index of the sample."""
        return int(self.sample.data.labels[0])

    @property
    def prediction(self) -> int:
        """Class index that the core predicted, before it learned."""
        return int(self.result.predictions[0])

    def layer_names(self) -> list[str]:
        """Index, kind and size of every layer."""
        return [
            f"layer {index} {layer.kind} {layer.n_in}-{layer.n_out}" for index, layer in enumerate(self.spec.layers)
        ]

    def about(self) -> Record:
        """What every record of a replayed sample says of it."""
        return {
            "name": self.learned.name,
            "rule": self.learned.rule,
            "chip": self.chip.name,
            "clock_mhz": self.chip.clock_mhz,
            "neurochip": __version__,
            "split": self.sample.split,
            "sample": self.sample.index,
            "learning": self.learn,
            "label": str(self.learned.classes[self.label]),
            "prediction": str(self.learned.classes[self.prediction]),
            "n_steps": self.spec.n_steps,
            "layers": self.layer_names(),
        }


@dataclass(frozen=True, eq=False)
class Opened:
    """A rule of a finished run, before any recording is loaded.

    Attributes:
        directory: the run directory.
        experiment: its resolved experiment.
        n_samples: samples of every split.
        learned, pricer: as of `Replay`.
    """

    directory: Path
    experiment: Experiment
    n_samples: Mapping[str, int]
    learned: Learned
    pricer: Pricer

    @property
    def spec(self) -> CoreSpec:
        """The integer specification of the rule."""
        return self.pricer.spec

    def check_clocked(self) -> None:
        """Refuse a chip without a tick model that can be looked at.

        Raises:
            UserError: naming the chip.
        """
        from neurochip.reference.clocks import clock_of

        chip = self.pricer.chip
        if not hasattr(clock_of(chip.microarchitecture), "observe"):
            raise UserError(
                f"{chip.name}: {chip.microarchitecture} has no tick model to replay a sample on; allowed are chips "
                "with ottt_core"
            )


def open_run(directory: Path, chip: str | None = None, rule: str | None = None) -> Opened:
    """Read what a rule of a run learned, for the chip of the run or another one.

    Raises:
        UserError: no finished run, no such rule, real numbers only, or a chip that cannot run it.
    """
    learned, experiment = load_learned(directory, rule), read_experiment(directory)
    used = chip_of(_on_chip(experiment, chip), "chip.name" if chip is None else "--chip")
    spec, table = replace(learned.spec, synapse_lanes=used.lanes, trace_lanes=used.trace_lanes), experiment.chip
    pricer = Pricer(used, Gates(table.gate_zero_trace, table.gate_zero_error, table.gate_zero_surrogate), spec)
    pricer.check()
    about = read_report_json(directory / REPORT_JSON)["task"]
    return Opened(directory, experiment, {name: about[f"n_{name}"] for name in (TRAIN, TEST)}, learned, pricer)


def replay(
    run: Opened, sample: int | None = None, listener: Listener | None = None, *, split: str | None = None
) -> Replay:
    """Let the fast core go through one sample of a run once more, by the weights of its end.

    Gradients that wait for the rest of a batch are applied as at the end of an epoch, and weights standardised.

    Args:
        run: a rule of it.
        sample: index in the split; default 0. Of a stream it is as it was after the last drift.
        listener: told what happens.
        split: "train", whose samples are learned, or "test"; default "train".

    Raises:
        UserError: no such split or sample, or recordings that are gone.
    """
    chosen = load_sample(run, sample, listener, split=split)
    return replay_of(run, chosen, learn=chosen.split == TRAIN and find_rule(run.learned.rule).group != NO_LEARNING)


def replay_of(run: Opened, sample: Sample, *, learn: bool) -> Replay:
    """The same of a sample that is loaded, learned or not."""
    from neurochip.core.engine import Engine

    learned, data = run.learned, sample.data
    core = Engine(run.spec, learned.weights)
    core.restore(learned.weights, learned.registers, learned.velocities)
    order = np.zeros(1, dtype=np.int64)
    result = core.run(data, order, learn=learn, probe=[0])
    trace = SampleTrace(order, bitmaps_of(data, order, result.probes, run.spec.trace_gate))
    return Replay(learned, run.pricer, sample, learn, result, trace, core.weights, core.registers)


def _on_chip(experiment: Experiment, chip: str | None) -> Experiment:
    if chip is None:
        return experiment
    return experiment.model_copy(update={"chip": experiment.chip.model_copy(update={"name": chip})})


def load_sample(
    run: Opened, sample: int | None = None, listener: Listener | None = None, *, split: str | None = None
) -> Sample:
    """A sample of a split; of a stream, as it is after the last drift. Arguments and errors as of `replay`."""
    from neurochip.tasks import load_task

    name, index, experiment = split or TRAIN, sample or 0, run.experiment
    _check_sample(run, name, index)
    listener, seed = listener or Silent(), experiment.run.seed
    listener.message(f"loading task {experiment.task.name}")
    task = load_task(task_settings(experiment), run.directory, seed, listener.message)
    found: EventDataset = getattr(task, name)
    if found.n_samples != run.n_samples[name]:
        raise UserError(
            f"{run.directory}: the {name} split had {run.n_samples[name]} samples and has {found.n_samples} now, so "
            "its recordings are others than those of the run; give the run its recordings, or run it again"
        )
    data = found.take(np.array([index]))
    if experiment.streamed is not None:
        data = SampleStream.of_task(experiment.streamed, seed, task, uses_map(experiment)).last_drift.of(data)
    return Sample(name, index, data)


def _check_sample(run: Opened, split: str, index: int) -> None:
    """Before anything is loaded, which may take a while."""
    if split not in run.n_samples:
        raise UserError(f"--split {split} is unknown; allowed are {' and '.join(run.n_samples)}")
    n_samples = run.n_samples[split]
    if not 0 <= index < n_samples:
        allowed = f"allowed is 0 to {n_samples - 1}" if n_samples else "give another --split"
        raise UserError(f"--sample {index}: the {split} split has {n_samples} samples; {allowed}")


def counted(one: Replay) -> Counted:
    """Accesses, operations, clocks and stalls of the sample on the chip, by the count."""
    return one.pricer.count(one.result.activity, one.trace)
