"""What every task of recordings shares: choosing classes, checking labels, cutting the validation split, binning."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from neurochip.encoding.event_steps import bin_events
from neurochip.errors import UserError
from neurochip.events import EventDataset, Recordings, SensorSize
from neurochip.tasks.registry import Progress, TaskData, TaskSettings
from neurochip.tasks.splits import hold_out
from neurochip.tasks.transforms import check_transforms, transform_recordings

DEFAULT_VALIDATION = 0.1


class Labelled(Protocol):
    """Recordings, in memory or not."""

    @property
    def labels(self) -> NDArray[np.int64]: ...


def prepare_task(
    splits: Mapping[str, Recordings],
    settings: TaskSettings,
    seed: int,
    progress: Progress,
    provenance: Mapping[str, str],
    where: str,
) -> TaskData:
    """Turn the recordings of `train`, `test` and, if there is one, `validation` into a task.

    They are transformed by `task.transforms`, then cropped to `task.crop`.
    The classes are `task.classes`, in that order, or the sorted labels of the training split. Without a validation
    split, the fraction `task.validation` (default 0.1) of every class is cut from the training split by `seed`.
    Raises UserError, naming `where`, for labels that cannot be learned or classes without recordings.
    """
    if settings.transforms:
        steps = check_transforms(settings.transforms, splits["train"].sensor_size)
        progress(f"{settings.name}: transforming the recordings")
        splits = {name: transform_recordings(part, steps, seed, name, 0) for name, part in splits.items()}
    if settings.crop is not None:
        splits = {name: recordings.crop(*settings.crop) for name, recordings in splits.items()}
    classes = choose_classes(splits, settings, where)
    say_what_has_no_effect(splits, settings, progress, where)
    hashes = {name: recordings.sha256() for name, recordings in splits.items()}
    binned: dict[str, EventDataset] = {}
    for name, recordings in splits.items():
        progress(f"{settings.name}: {name}: {recordings.n_samples} recordings, {len(recordings.x)} events into steps")
        binned[name] = bin_split(recordings, classes, settings)
    size = splits["train"].sensor_size
    notes = {**provenance, **content_hash(hashes)}
    task = finish_task(binned, classes, size, settings, seed, notes, where)
    return replace(task, step_us=step_us(splits["train"], settings.steps))


def finish_task(
    binned: Mapping[str, EventDataset],
    classes: tuple[int, ...],
    sensor_size: SensorSize,
    settings: TaskSettings,
    seed: int,
    provenance: Mapping[str, str],
    where: str,
) -> TaskData:
    """Cut the validation split if there is none; raises UserError for a test split without samples."""
    fraction = validation_fraction(settings, where)
    train = binned["train"]
    if "validation" in binned:
        validation = binned["validation"]
    else:
        kept, held = hold_out(train.labels.astype(np.int64), fraction, seed)
        train, validation = train.subset(kept), train.subset(held)
    if binned["test"].n_samples == 0:
        raise UserError(f"{where}: test has no recording of the classes {list(classes)}; at least one is needed")
    is_seeded = "validation" not in binned or bool(settings.transforms)
    return TaskData(settings.name, train, validation, binned["test"], classes, sensor_size, provenance, is_seeded)


def step_us(recordings: Recordings, n_steps: int) -> float | None:
    """Return how long a step lasts: a part of the window, or in the median of the recordings; None without events."""
    if recordings.window_us is not None:
        first, last = recordings.window_us
        return (last - first + 1) / n_steps
    offsets = recordings.offsets
    filled = np.flatnonzero(np.diff(offsets))
    if not len(filled):
        return None
    lengths = recordings.t[offsets[filled + 1] - 1] - recordings.t[offsets[filled]] + 1
    return float(np.median(lengths)) / n_steps


def content_hash(hashes: Mapping[str, str]) -> dict[str, str]:
    """Return what the provenance says of the content: one hash of those of the splits."""
    text = "".join(f"{name} {hashes[name]}\n" for name in sorted(hashes))
    return {"content_sha256": hashlib.sha256(text.encode()).hexdigest()}


def say_what_has_no_effect(
    splits: Mapping[str, Labelled], settings: TaskSettings, progress: Progress, where: str
) -> None:
    """Check `task.validation`, and say so where the data has a validation split of its own."""
    validation_fraction(settings, where)
    if "validation" in splits and settings.validation is not None:
        progress(f"{settings.name}: task.validation has no effect, the data has its own validation split")


def choose_classes(splits: Mapping[str, Labelled], settings: TaskSettings, where: str) -> tuple[int, ...]:
    """Return the labels that are learned: `task.classes`, or the sorted labels of `train`; raises UserError."""
    seen = [int(label) for label in np.unique(splits["train"].labels)]
    if not seen:
        raise UserError(f"{where}: train/labels is empty; a task needs training recordings")
    for name, recordings in splits.items():
        unseen = sorted({int(label) for label in np.unique(recordings.labels)} - set(seen))
        if unseen:
            raise UserError(f"{where}: {name}/labels holds {unseen[0]}, not in train/labels; allowed are {seen}")
    declared = settings.classes
    if declared is None:
        return tuple(seen)
    if not declared or len(set(declared)) != len(declared):
        raise UserError(f"{where}: task.classes = {list(declared)} must list labels, each once; allowed are {seen}")
    for label in declared:
        if label not in seen:
            raise UserError(f"{where}: task.classes has {label!r}, which has no training recording; allowed are {seen}")
    return tuple(int(label) for label in declared)


def validation_fraction(settings: TaskSettings, where: str) -> float:
    """Return `task.validation`, or its default; raises UserError."""
    fraction = settings.validation
    if fraction is None:
        return DEFAULT_VALIDATION
    if isinstance(fraction, bool) or not isinstance(fraction, int | float) or not 0 <= fraction < 1:
        raise UserError(f"{where}: task.validation = {fraction!r} must be a number from 0 to below 1")
    return float(fraction)


def bin_split(recordings: Recordings, classes: tuple[int, ...], settings: TaskSettings) -> EventDataset:
    """Return the recordings of these classes in steps."""
    chosen = np.flatnonzero(np.isin(recordings.labels, classes))
    if len(chosen) < recordings.n_samples:
        recordings = recordings.take(chosen)
    return bin_events(recordings, settings.steps, settings.repeat, classes, 2**settings.event_bits - 1)
