"""One sample of a finished run once more, with all that a trace, waveforms or a raster show of it.

The sample is learned by the weights that the run ended with, in the rule's own arithmetic; `infer` is not learning. The
run directory stays as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neurochip._version import __version__
from neurochip.activity import PassResult, SampleTrace
from neurochip.counters import is_memory
from neurochip.errors import UserError
from neurochip.export.load import Learned, load_learned
from neurochip.listener import Listener, Silent
from neurochip.microarch.interface import Counted, Gates
from neurochip.network.shape import uses_map
from neurochip.pricing import Pricer
from neurochip.recording import bitmaps_of
from neurochip.rules.presets import NO_LEARNING, find_rule
from neurochip.run_directory import read_experiment
from neurochip.setup import chip_of, task_settings
from neurochip.spec import CoreSpec
from neurochip.stream import SampleStream

if TYPE_CHECKING:
    from neurochip.chip import Chip
    from neurochip.config import Experiment
    from neurochip.events import EventDataset
    from neurochip.reference.clock.observer import Observer

MOST_CLOCKS = 5_000_000  # of a sample: a minute or more of the tick model
CLOCKS_BETWEEN_SIGNS = 4096
Record = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Replay:
    """One sample of a run, as the fast core learned it once more.

    Attributes:
        learned: the rule of the run, and what its memories held before the sample.
        pricer: chip, gates and specification, in the words of the chip; counts the sample.
        data: a split of this sample alone.
        sample: its index in the training split.
        learn: whether it was learned.
        result: what the fast core made of it; `probes` holds [1, T, n] of every signal.
        trace: its bitmaps.
        weights, registers: behind the sample.
    """

    learned: Learned
    pricer: Pricer
    data: EventDataset
    sample: int
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
        return int(self.data.labels[0])

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
            "split": "train",
            "sample": self.sample,
            "learning": self.learn,
            "label": str(self.learned.classes[self.label]),
            "prediction": str(self.learned.classes[self.prediction]),
            "n_steps": self.spec.n_steps,
            "layers": self.layer_names(),
        }


@dataclass(frozen=True, eq=False)
class Opened:
    """A rule of a finished run, before any recording is loaded; fields as of `Replay`."""

    directory: Path
    experiment: Experiment
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
    return Opened(directory, experiment, learned, pricer)


def replay(run: Opened, sample: int | None = None, listener: Listener | None = None) -> Replay:
    """Learn one training sample of a run once more with the fast core, by the weights of its end.

    Gradients that wait for the rest of a batch are applied as at the end of an epoch, and weights standardised.

    Args:
        run: a rule of it.
        sample: index in the training split; default 0. Of a stream it is as it was after the last drift.
        listener: told what happens.

    Raises:
        UserError: no such sample, or recordings that are gone.
    """
    from neurochip.core.engine import Engine

    listener, learned = listener or Silent(), run.learned
    index, learn = sample or 0, find_rule(learned.rule).group != NO_LEARNING
    data = _one_sample(run, index, listener)
    core = Engine(run.spec, learned.weights)
    core.restore(learned.weights, learned.registers, learned.velocities)
    order = np.zeros(1, dtype=np.int64)
    result = core.run(data, order, learn=learn, probe=[0])
    trace = SampleTrace(order, bitmaps_of(data, order, result.probes, run.spec.trace_gate))
    return Replay(learned, run.pricer, data, index, learn, result, trace, core.weights, core.registers)


def _on_chip(experiment: Experiment, chip: str | None) -> Experiment:
    if chip is None:
        return experiment
    return experiment.model_copy(update={"chip": experiment.chip.model_copy(update={"name": chip})})


def _one_sample(run: Opened, index: int, listener: Listener) -> EventDataset:
    """A sample of the training split; of a stream, as it is after the last drift."""
    from neurochip.tasks import load_task

    experiment = run.experiment
    seed, table = experiment.run.seed, experiment.streamed
    listener.message(f"loading task {experiment.task.name}")
    task = load_task(task_settings(experiment), run.directory, seed, listener.message)
    n_samples = task.train.n_samples
    if not 0 <= index < n_samples:
        raise UserError(
            f"--sample {index}: the training split has {n_samples} samples; allowed is 0 to {n_samples - 1}"
        )
    data = task.train.take(np.array([index]))
    if table is None:
        return data
    return SampleStream.of_task(table, seed, task, uses_map(experiment)).last_drift.of(data)


def counted(one: Replay) -> Counted:
    """Accesses, operations, clocks and stalls of the sample on the chip, by the count."""
    return one.pricer.count(one.result.activity, one.trace)


class _Told:
    """An observer that also shows how far the clock has come."""

    def __init__(self, observer: Observer, listener: Listener, key: str) -> None:
        self._observer, self._listener, self._key = observer, listener, key

    def clock(self, machine: Any, unit: str, phase: str, layer: int | None) -> None:
        """Pass it on."""
        self._observer.clock(machine, unit, phase, layer)
        if machine.now % CLOCKS_BETWEEN_SIGNS == CLOCKS_BETWEEN_SIGNS - 1:
            self._listener.advance(self._key, CLOCKS_BETWEEN_SIGNS, f"clock {machine.now + 1:,}")


def tick_model(one: Replay) -> Any:
    """The tick model of the chip, which has one, with everything that the core held before the sample."""
    from neurochip.reference.clocks import clock_of

    make: Any = clock_of(one.chip.microarchitecture)
    model = make(one.spec, _lists(one.learned.weights), one.chip, one.pricer.gates)
    model.set_registers(one.learned.registers.tolist())
    if one.learned.velocities:
        model.set_velocities(_lists(one.learned.velocities))
    return model


def tick_through(one: Replay, model: Any, observer: Observer, listener: Listener | None = None) -> Any:
    """Let the tick model go through every clock of the sample; what it counts is what the count says.

    Returns:
        The `ClockRun`.

    Raises:
        UserError: a sample of too many clocks.
        RuntimeError: tick model and count differ, which is a fault of this program.
    """
    from neurochip.reference.engine import golden_sample

    listener = listener or Silent()
    expected = counted(one)
    clocks, rule = int(expected.cycles), one.learned.rule
    if clocks > MOST_CLOCKS:
        raise UserError(
            f"sample {one.sample} of {rule} takes {clocks:,} clocks; the tick model, which goes through every "
            f"one, takes up to {MOST_CLOCKS:,}: replay a smaller network, or a chip with more lanes"
        )
    key = f"replay {rule}"
    listener.begin(key, key, clocks)
    model.observe(_Told(observer, listener, key))
    run = model.run([golden_sample(one.data, 0)], one.learn)
    model.observe(None)
    listener.advance(key, clocks % CLOCKS_BETWEEN_SIGNS, f"{clocks:,} clocks")
    listener.end(key)
    _check(one, model, run, expected)
    return run


def _check(one: Replay, model: Any, run: Any, expected: Counted) -> None:
    accesses = {
        (item.key, item.phase, item.layer, item.widths_bits): item.number
        for item in expected.counts
        if is_memory(item.key) and item.number
    }
    pairs: dict[str, tuple[Any, Any]] = {
        "clocks by phase": (run.ticks_by_phase, dict(expected.cycles_by_phase)),
        "stalls": (run.stalls, dict(expected.stalls)),
        "accesses": (run.accesses, accesses),
        "predictions": (run.predictions, one.result.predictions.tolist()),
        "readout sums": (run.readout_sums, one.result.readout_sums.tolist()),
        "weights": (model.weights, _lists(one.weights)),
        "random registers": (model.registers, one.registers.tolist()),
    }
    for name, (ticked, counted_) in pairs.items():
        if ticked != counted_:
            raise RuntimeError(f"the tick model ended with other {name} than the fast core and its count")


def _lists(arrays: Sequence[NDArray[Any]]) -> list[Any]:
    return [np.asarray(array).tolist() for array in arrays]
