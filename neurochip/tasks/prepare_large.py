"""A task of recordings that do not fit into memory: sorted into steps block by block, kept in a cache, mapped from it.

The cache is keyed by the bytes of the event file, by everything of the experiment that the steps depend on, and by the
source of the code that makes them. Splits, samples and steps are those of `prepare_task`.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np

from neurochip import event_blocks, event_file, events, mapped_events
from neurochip.encoding import event_steps
from neurochip.errors import UserError
from neurochip.event_blocks import SplitBlocks, open_split
from neurochip.events import EventDataset, SensorSize
from neurochip.mapped_events import MappedEvents, read_folder, write_folder
from neurochip.tasks import prepare
from neurochip.tasks.registry import Progress, TaskData, TaskSettings

LARGE_EVENTS = 1 << 24
"""Events of a file from which on a task is mapped; below, all of it takes less than about a gigabyte of memory."""
CODE = (__file__, event_blocks, event_file, event_steps, events, mapped_events, prepare)
HASH_BYTES = 1 << 20


def prepare_large_task(
    path: Path,
    names: Sequence[str],
    settings: TaskSettings,
    seed: int,
    progress: Progress,
    provenance: Mapping[str, str],
    cache_dir: Path,
) -> TaskData:
    """Turn the splits `names` of an event file into the task that `prepare_task` makes of them in memory.

    Raises:
        UserError: what `prepare_task` and reading the file refuse, or a cache folder that cannot be written.
    """
    where = str(path)
    with ExitStack() as stack:
        splits = {name: stack.enter_context(open_split(path, name, settings.sensor_size)) for name in names}
        classes = prepare.choose_classes(splits, settings, where)
        prepare.say_what_has_no_effect(splits, settings, progress, where)
        size = splits["train"].sensor_size
        if settings.crop is not None:
            size = (*settings.crop, size[2])
        key = _cache_key(path, settings, classes, names)
        binned, hashes = _cached(cache_dir / f"steps-{key[:16]}", key, splits, classes, settings, size, progress)
        content = prepare.content_hash(hashes)
        task = prepare.finish_task(binned, classes, size, settings, seed, {**provenance, **content}, where)
        first = next(splits["train"].blocks())  # its recordings stand for all
        return replace(task, step_us=prepare.step_us(first, settings.steps))


def _cached(
    folder: Path,
    key: str,
    splits: Mapping[str, SplitBlocks],
    classes: tuple[int, ...],
    settings: TaskSettings,
    size: SensorSize,
    progress: Progress,
) -> tuple[dict[str, MappedEvents], Mapping[str, str]]:
    """Return the splits in steps and the hashes of their recordings, from the cache or made now."""
    if folder.exists():
        try:
            return read_folder(folder, key)
        except (OSError, ValueError, KeyError, TypeError) as error:
            progress(f"{settings.name}: the cache cannot be used ({error}); sorting the events again")
            shutil.rmtree(folder, ignore_errors=True)
    for name, blocks in splits.items():
        progress(f"{settings.name}: {name}: {len(blocks.labels)} recordings, {blocks.n_events} events into steps")
    parts = {name: _Binned(blocks, classes, settings) for name, blocks in splits.items()}
    try:
        write_folder(
            folder,
            key,
            (size[0] * size[1] * size[2], settings.steps),
            {name: part.blocks for name, part in parts.items()},
            lambda: {name: blocks.sha256(settings.crop) for name, blocks in splits.items()},
        )
        progress(f"{settings.name}: steps kept in {folder}")
        return read_folder(folder, key)
    except (OSError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(
            f"task.path: {sum(blocks.n_events for blocks in splits.values())} events are more than {LARGE_EVENTS}, "
            f"which are kept in files, and the cache folder {folder.parent} cannot be used ({error}); make room there "
            "or let the environment name another (XDG_CACHE_HOME on Linux)"
        ) from error


class _Binned:
    """The blocks of a split in steps."""

    def __init__(self, split: SplitBlocks, classes: tuple[int, ...], settings: TaskSettings) -> None:
        self._split, self._classes, self._settings = split, classes, settings

    def blocks(self) -> Iterator[EventDataset]:
        for recordings in self._split.blocks():
            cropped = recordings if self._settings.crop is None else recordings.crop(*self._settings.crop)
            yield prepare.bin_split(cropped, self._classes, self._settings)


def _cache_key(path: Path, settings: TaskSettings, classes: tuple[int, ...], names: Sequence[str]) -> str:
    """Return a hash of everything the steps follow from: the file, the settings, and the code that makes them."""
    parameters = (
        *(settings.steps, settings.repeat, settings.event_bits, settings.crop, settings.sensor_size),
        *(classes, tuple(names), np.__version__),
    )
    digest = hashlib.sha256(repr(parameters).encode())
    for module in CODE:
        digest.update(Path(str(getattr(module, "__file__", module))).read_bytes())
    with path.open("rb") as file:
        while block := file.read(HASH_BYTES):
            digest.update(block)
    return digest.hexdigest()
