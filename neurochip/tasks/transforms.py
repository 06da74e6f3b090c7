"""tonic's transforms by name (`task.transforms`), applied to every recording before it is sorted into steps.

tonic (GPL-3.0-only) is imported when a transform is asked for. Its transforms draw from numpy's global generator and
some keep what they saw in the first recording, so every recording gets transforms of its own and a state of the
generator that follows from the seed, the split and the recording's place in it; the state before is restored.
"""

from __future__ import annotations

import dataclasses
import hashlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurochip.errors import UserError
from neurochip.events import Recordings, SensorSize, check_sensor_size
from neurochip.tasks.registry import Progress, TaskSettings

SAME_SENSOR = (
    *("CropTime", "Decimation", "Denoise", "DropEvent", "DropEventByArea", "DropEventByTime", "DropPixel", "EventDrop"),
    *("RandomDropPixel", "RandomFlipLR", "RandomFlipPolarity", "RandomFlipUD", "RandomTimeReversal"),
    *("RefractoryPeriod", "SpatialJitter", "TimeAlignment", "TimeJitter", "TimeSkew", "UniformNoise"),
)
OTHER_SENSOR = ("CenterCrop", "Downsample", "MergePolarities", "RandomCrop")
ALLOWED = tuple(sorted((*SAME_SENSOR, *OTHER_SENSOR)))
SPLITS = ("train", "validation", "test")
OWN_KEYS = ("name", "splits")
EVENT = np.dtype([("x", np.int64), ("y", np.int64), ("t", np.int64), ("p", np.int64)])
"""Events as tonic gets them: in wide integers, as its transforms add, negate and draw in the type they find."""
_GENERATOR = threading.Lock()


@dataclasses.dataclass(frozen=True)
class Step:
    """One checked transform: class and arguments of tonic, where it stands in the list, and the sensor after it."""

    where: str
    made: Any
    arguments: Mapping[str, Any]
    splits: tuple[str, ...]
    sensor_size: SensorSize


def check_transforms(tables: Sequence[Mapping[str, Any]], sensor_size: SensorSize) -> list[Step]:
    """Return the transforms of `task.transforms`, in order, for recordings of this sensor.

    Raises:
        UserError: no tonic, an unknown transform or argument, or one that is missing.
    """
    try:
        from tonic import transforms as known
    except ImportError as error:
        raise UserError(f"task.transforms needs the package tonic ({error})") from error
    steps: list[Step] = []
    size = sensor_size
    for index, table in enumerate(tables):
        name = table.get("name")
        if name not in ALLOWED:
            raise UserError(
                f"task.transforms[{index}].name = {name!r} is no transform of events; allowed are {', '.join(ALLOWED)}"
            )
        step = _checked(f"task.transforms[{index}], {name}", table, getattr(known, str(name)), size)
        size = step.sensor_size
        steps.append(step)
    return steps


def transform_recordings(
    recordings: Recordings, steps: Sequence[Step], seed: int, split: str, first: int
) -> Recordings:
    """Return recordings, the first of which is number `first` of its split, after all steps that are for the split.

    Times that a transform put out of order are put in order at the end. Raises UserError, naming the transform, for
    one that fails or puts events outside of the sensor.
    """
    size = steps[-1].sensor_size if steps else recordings.sensor_size
    samples = [
        _transformed(recordings.sample(index), steps, f"{seed}:{split}:{first + index}", split)
        for index in range(recordings.n_samples)
    ]
    offsets = np.cumsum([0, *(len(sample) for sample in samples)]).astype(np.int64)
    events = np.concatenate([np.zeros(0, EVENT), *samples])
    x, y, p, t = (events[name] for name in ("x", "y", "p", "t"))
    try:
        return Recordings(x, y, p, t, offsets, recordings.labels, size, recordings.window_us)
    except UserError as error:
        raise UserError(f"after task.transforms, in {split}: {error}") from None


@contextmanager
def transformed_event_file(
    path: Path, names: Sequence[str], settings: TaskSettings, seed: int, cache_dir: Path, progress: Progress
) -> Iterator[tuple[Path, TaskSettings]]:
    """Yield an event file with the recordings of another after `settings.transforms`, and the settings to read it.

    It is made block by block and kept under the hash of the file, the transforms, the seed and the code.
    """
    from importlib.metadata import version

    from neurochip import event_blocks, event_file, event_writer, events
    from neurochip.tasks.kept_files import code_sha256, file_sha256, kept_event_file

    tables, override = settings.transforms or [], settings.sensor_size
    code = code_sha256([Path(__file__), event_blocks, event_file, event_writer, events])
    versions = (version("tonic"), np.__version__)
    parts = (file_sha256(path), tables, override, tuple(names), seed, code, versions)
    key = hashlib.sha256(repr(parts).encode()).hexdigest()

    def write(target: Path) -> None:
        progress(f"{settings.name}: transforming the recordings")
        _write(path, target, names, tables, override, seed)

    with kept_event_file(cache_dir, f"{settings.name}-transformed", key, write, progress) as made:
        yield made, SimpleNamespace(**{**vars(settings), "sensor_size": None, "transforms": None})


def _write(
    path: Path,
    target: Path,
    names: Sequence[str],
    tables: Sequence[Mapping[str, Any]],
    override: SensorSize | None,
    seed: int,
) -> None:
    from neurochip.event_blocks import open_split
    from neurochip.event_writer import EventWriter

    with open_split(path, names[0], override) as opened:
        steps, window = check_transforms(tables, opened.sensor_size), opened.window_us
    with EventWriter(target, steps[-1].sensor_size, window) as writer:
        for split in names:
            done = 0
            with open_split(path, split, override) as opened:
                for block in opened.blocks():
                    made = transform_recordings(block, steps, seed, split, done)
                    done += block.n_samples
                    for index in range(made.n_samples):
                        events = made.sample(index)
                        writer.begin(split)
                        writer.append(*(events[name].astype(np.int64) for name in ("x", "y", "p", "t")))
                        writer.end(int(made.labels[index]))
        writer.finish(int, {"title": path.stem})


def _checked(where: str, table: Mapping[str, Any], made: Any, size: SensorSize) -> Step:
    fields = {field.name: field for field in dataclasses.fields(made)} if dataclasses.is_dataclass(made) else {}
    takes_size = fields.pop("sensor_size", None) is not None
    arguments = {key: _tuples(value) for key, value in table.items() if key not in OWN_KEYS}
    unknown = [key for key in arguments if key not in fields]
    if unknown:
        raise UserError(f"{where}: unknown argument {unknown[0]!r}; allowed are {', '.join((*fields, 'splits'))}")
    missing = [
        name
        for name, field in fields.items()
        if name not in arguments
        and field.default is dataclasses.MISSING
        and field.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise UserError(f"{where}: the argument {missing[0]} is missing")
    splits = _splits(where, table.get("splits", list(SPLITS)))
    after = _size_after(where, str(table["name"]), arguments, size)
    if after != size and splits != SPLITS:
        raise UserError(f"{where}: changes the sensor size, so splits = {list(splits)} is not allowed; leave it out")
    if takes_size:
        arguments["sensor_size"] = size
    try:
        made(**arguments)
    # What tonic checks, it asserts.
    except Exception as error:
        raise UserError(f"{where}: tonic refuses {table} ({str(error) or type(error).__name__})") from error
    return Step(where, made, arguments, splits, after)


def _splits(where: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not value or any(split not in SPLITS for split in value):
        raise UserError(f"{where}: splits = {value!r} must be a list of {', '.join(SPLITS)}")
    return tuple(split for split in SPLITS if split in value)


def _size_after(where: str, name: str, arguments: Mapping[str, Any], size: SensorSize) -> SensorSize:
    """Return the sensor size after a transform, which tonic leaves to its user."""
    width, height, polarities = size
    if name == "MergePolarities":
        return width, height, 1
    if name not in OTHER_SENSOR:
        return size
    target = arguments.get("size" if name == "CenterCrop" else "target_size")
    if isinstance(target, int):
        target = (target, target)
    if target is None and name == "Downsample":
        factor = arguments.get("spatial_factor", 1)
        factors = factor if isinstance(factor, tuple) else (factor, factor)
        if len(factors) != 2 or not all(isinstance(f, int | float) and 0 < f <= 1 for f in factors):
            raise UserError(f"{where}: spatial_factor = {factor!r} must be one or two numbers above 0 and up to 1")
        # As tonic rounds the last column and row: coordinate times factor, towards 0.
        target = tuple(int((side - 1) * f) + 1 for side, f in zip((width, height), factors, strict=True))
    if not isinstance(target, tuple) or len(target) != 2:
        raise UserError(f"{where}: the size {target!r} must be width and height")
    if any(not isinstance(n, int) or not 1 <= n <= side for n, side in zip(target, (width, height), strict=True)):
        raise UserError(f"{where}: the size {list(target)} must be 1 to {width} and 1 to {height} pixels")
    return check_sensor_size((*target, polarities))


def _transformed(sample: NDArray[np.void], steps: Sequence[Step], key: str, split: str) -> NDArray[np.void]:
    events = np.empty(len(sample), EVENT)
    for name in EVENT.names or ():
        events[name] = sample[name]
    with _seeded(key):
        for step in steps:
            if len(events) == 0:
                break
            if split in step.splits:
                events = _applied(step, events)
    ordered: NDArray[np.void] = events[np.argsort(events["t"], kind="stable")]
    return ordered


def _applied(step: Step, events: NDArray[np.void]) -> NDArray[np.void]:
    try:
        made = np.asarray(step.made(**step.arguments)(events))
    # A transform of tonic fails in whatever way its numpy calls do.
    except Exception as error:
        raise UserError(f"{step.where}: tonic failed ({str(error) or type(error).__name__})") from error
    if len(made) == 0:  # of no type, after Decimation
        return np.empty(0, EVENT)
    width, height, polarities = step.sensor_size
    for name, high in (("x", width - 1), ("y", height - 1), ("p", polarities - 1)):
        bad = np.flatnonzero((made[name] < 0) | (made[name] > high))
        if len(bad):
            raise UserError(f"{step.where}: puts an event at {name} = {made[name][bad[0]]}; allowed is 0 to {high}")
    return made


@contextmanager
def _seeded(key: str) -> Iterator[None]:
    """Set numpy's global generator by the SHA-256 of `key` and put it back."""
    words = np.frombuffer(hashlib.sha256(key.encode()).digest(), "<u4")
    with _GENERATOR:
        before = np.random.get_state()
        np.random.seed(words)
        try:
            yield
        finally:
            np.random.set_state(before)


def _tuples(value: Any) -> Any:
    """Lists of TOML as the tuples that tonic asks for."""
    return tuple(_tuples(item) for item in value) if isinstance(value, list | tuple) else value
