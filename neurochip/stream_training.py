"""One rule on a stream: every sample is predicted with the weights of that moment, then learned if it has a label.

A checkpoint is written after CHECKPOINT_SAMPLES or more, at the end of a block at which nothing waits for more samples:
neither gradients for the rest of a batch nor weights for their standardisation. Blocks are shortened for that.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neurochip.activity import SampleTrace
from neurochip.activity_hdf5 import read_activities, read_subset, write_activities, write_subset
from neurochip.clocked import Clocked
from neurochip.recording import inference_subset_of, joined, subset_of
from neurochip.stream import SampleStream, StreamRecord
from neurochip.training import Core, Epoch, Interrupted, Outcome, Pass, Training, TrainingState, evaluate

if TYPE_CHECKING:
    from neurochip.events import EventDataset

CHECKPOINT_SAMPLES = 512
PASSES = ("inferred", "learned")


@dataclass(frozen=True, eq=False)
class StreamProgress:
    """How far a stream has come.

    Attributes:
        right: of every sample so far, whether it was predicted rightly.
        inferred, learned: what the inference of all, and the learning of the labelled samples so far add up to.
    """

    right: NDArray[np.bool_]
    inferred: Pass
    learned: Pass

    def write(self, group: Any) -> None:
        """Write to a group of checkpoint.h5 (docs/run-directory.md)."""
        group.create_dataset("right", data=self.right)
        for name in PASSES:
            done: Pass = getattr(self, name)
            part = group.create_group(name)
            part.attrs.update(correct=done.correct, seen=done.seen)
            if done.activity is not None:
                write_activities(part.create_group("activity"), [done.activity])
            if done.clocked is not None:
                part.create_dataset("clocked", data=json.dumps(done.clocked.as_table()))
            subset = joined(np.zeros(0, dtype=np.int64), done.parts)
            if subset is not None:
                write_subset(part.create_group("subset"), subset)

    @classmethod
    def read(cls, group: Any) -> StreamProgress:
        """Read what `write` wrote."""
        passes = []
        for name in PASSES:
            part = group[name]
            done = Pass(0, int(part.attrs["correct"]), int(part.attrs["seen"]))
            if "activity" in part:
                done.activity = read_activities(part["activity"])[0]
            if "clocked" in part:
                done.clocked = Clocked.of_table(json.loads(part["clocked"][()]))
            if "subset" in part:
                done.parts = [dict(read_subset(part["subset"]).bitmaps)]
            passes.append(done)
        return cls(group["right"][()], *passes)


def train_on_stream(
    core: Core, training: Training, stream: SampleStream, together: int, state: TrainingState | None
) -> Outcome:
    """Run what `state` has not seen of the stream, then validate and test under the last drift.

    Args:
        core: as for `neurochip.training.train`.
        training: its `n_epochs` and `halve_every` are not used; `on_epoch` is called at every checkpoint.
        stream: the samples.
        together: labelled samples after which nothing waits for more (`neurochip.network.resolve.learned_together`);
            what waits at the end of the stream is done then.
        state: that of a checkpoint.

    Raises:
        Interrupted: if `training.stop` was set.
    """
    if state is None:
        state = TrainingState.of_core(core)
    else:
        state.put_into(core)
    run = _Run(core, training, stream, state.stream)
    n_samples, position = stream.table.samples, run.position
    saved = position
    training.listener.begin(training.key, training.label, n_samples)
    training.listener.advance(training.key, position)
    while position < n_samples:
        end = stream.block_end(position)
        nothing_waits = _nothing_waits(end, stream.table.label_every, together)
        if nothing_waits > position and nothing_waits - saved >= CHECKPOINT_SAMPLES:
            end = nothing_waits  # a shorter block, after which a checkpoint can be written
        run.block(position, end)
        position = end
        is_due = position - saved >= CHECKPOINT_SAMPLES and run.learned.seen % together == 0
        if is_due or position == n_samples:
            saved = position
            state.take_from(core)
            state.stream = run.progress(position)
            training.on_epoch(state)
        text = f"sample {position:,}/{n_samples:,}, {100 * run.inferred.accuracy:.1f} % predicted"
        training.listener.advance(training.key, 0, text)
    outcome = run.outcome()
    training.listener.end(training.key)
    return outcome


def _nothing_waits(end: int, label_every: int, together: int) -> int:
    """The last position up to `end` at which a multiple of `together` labelled samples has been learned."""
    n_labelled = end // label_every
    return end if n_labelled % together == 0 else n_labelled // together * together * label_every


@dataclass
class _Run:
    """A stream while it runs."""

    core: Core
    training: Training
    stream: SampleStream
    begun: StreamProgress | None
    right: NDArray[np.bool_] = field(init=False)
    inferred: Pass = field(init=False)
    learned: Pass = field(init=False)

    def __post_init__(self) -> None:
        training, stream = self.training, self.stream
        self.position = 0 if self.begun is None else len(self.begun.right)
        self.right = np.zeros(stream.table.samples, dtype=np.bool_)
        self.inferred, self.learned = Pass(training.trace_gate), Pass(training.trace_gate)
        if self.begun is not None:
            self.right[: self.position] = self.begun.right
            self.inferred = replace(_own(self.begun.inferred), trace_gate=training.trace_gate)
            self.learned = replace(_own(self.begun.learned), trace_gate=training.trace_gate)
        size = training.subset_samples
        # Positions in the stream: of the samples whose inference, and of those whose learning is recorded.
        self.recorded = inference_subset_of(training.seed, stream.table.samples, size)
        self.recorded_learned = (
            subset_of(training.seed, 0, stream.n_labelled, size) + 1
        ) * stream.table.label_every - 1

    def progress(self, position: int) -> StreamProgress:
        """What a checkpoint holds, apart from the core."""
        return StreamProgress(self.right[:position].copy(), _own(self.inferred), _own(self.learned))

    def block(self, start: int, end: int) -> None:
        """Predict and learn the samples of a block; those up to the next labelled one are inferred together."""
        data = self.stream.block(start, end)
        told = position = start
        while position < end:
            if self.training.stop.is_set():
                raise Interrupted
            last = self._last_of_portion(position, end)
            self._infer(data, start, position, last + 1)
            if self.stream.has_label(last):
                self._learn(data, start, last)
            position = last + 1
            if position - told >= self.training.chunk_samples or position == end:
                self.training.listener.advance(self.training.key, position - told)
                told = position

    def _last_of_portion(self, position: int, end: int) -> int:
        """The last sample that has the weights of the one at `position`, as far as it lies in the same portion."""
        every = self.stream.table.label_every
        next_label = (position // every + 1) * every - 1
        return min(next_label, end - 1, position + self.training.chunk_samples - 1)

    def _infer(self, data: EventDataset, start: int, first: int, end: int) -> None:
        chunk = np.arange(first - start, end - start)
        probe = [int(p) - first for p in self.recorded if first <= p < end]
        result = self.core.run(data, chunk, learn=False, end_of_epoch=False, probe=probe)
        self.inferred.add(data, chunk, probe, result)
        self.right[first:end] = result.predictions == data.labels[chunk]

    def _learn(self, data: EventDataset, start: int, position: int) -> None:
        chunk = np.array([position - start])
        probe = [0] if position in self.recorded_learned else []
        is_last = self.learned.seen + 1 == self.stream.n_labelled
        result = self.core.run(data, chunk, learn=True, end_of_epoch=is_last, probe=probe)
        self.learned.add(data, chunk, probe, result)

    def outcome(self) -> Outcome:
        """Validate and test under the last drift."""
        training, task, drift = self.training, self.training.task, self.stream.last_drift
        validation = None
        if task.validation.n_samples > 0:
            validation = evaluate(self.core, drift.of(task.validation), training).accuracy
        test = evaluate(self.core, drift.of(task.test), training)
        return Outcome(
            epochs=(Epoch(self.learned.accuracy, validation, self.learned.activity, self.learned.clocked),),
            test=test.accuracy,
            test_activity=self.inferred.activity,
            weights=tuple(self.core.weights),
            subset=self._trace(self.learned, self.recorded_learned),
            test_subset=self._trace(self.inferred, self.recorded),
            test_clocked=self.inferred.clocked,
            stream=StreamRecord(self.stream.table, self.right),
        )

    def _trace(self, done: Pass, positions: NDArray[np.int64]) -> SampleTrace | None:
        return joined(self.stream.drawn[positions], done.parts)


def _own(done: Pass) -> Pass:
    """A pass of its own, which another one going on does not change."""
    return replace(done, parts=list(done.parts))
