"""Task `ntidigits`: N-TIDIGITS18, single spoken digits heard by a silicon cochlea (Anumula et al. 2018)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from neurochip.encoding.encoded import MAX_EVENTS, Encoded
from neurochip.errors import UserError
from neurochip.events import MAX_TIME_US
from neurochip.tasks.published import Part, PublishedSet, load_published
from neurochip.tasks.published_files import DataFile, Place
from neurochip.tasks.registry import Progress, TaskData, TaskSettings, register_task
from neurochip.tasks.tonic_download import TonicSet

FILE = "n-tidigits.hdf5"
DIGITS = "o123456789z"  # a digit's place is its label; o and z are two ways to say 0
N_CHANNELS = 64


def read_file(file: DataFile) -> Iterator[Part]:
    """The spoken digits of both splits in the order of the file; sequences of several digits are left out."""
    import h5py

    from neurochip.readers.hdf5 import check_readable

    check_readable(file.path)
    try:
        with h5py.File(file.path, "r") as opened:
            for split in ("train", "test"):
                for name in _names(opened, split):
                    digit = name.rpartition("-")[2]
                    if len(digit) == 1:
                        if digit not in DIGITS:
                            raise UserError(f"{split}_labels: {name!r} ends in none of {', '.join(DIGITS)}")
                        yield Part(split, DIGITS.index(digit), True, _events(opened, split, name))
    # h5py reports damage as nearly any exception, depending on where in the file it is.
    except (OSError, RuntimeError, KeyError, TypeError, ValueError, AttributeError, MemoryError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{file.path}: damaged HDF5 file ({str(error)[:200] or type(error).__name__})") from None


def _names(opened: Any, split: str) -> list[str]:
    return [bytes(name).decode("ascii") for name in opened[f"{split}_labels"][:]]


def _events(opened: Any, split: str, name: str) -> Encoded:
    """Events of one recording: channel, and seconds rounded to the nearest microsecond, put in order of time."""
    addresses, seconds = opened[f"{split}_addresses"][name], opened[f"{split}_timestamps"][name]
    if addresses.shape != seconds.shape or len(addresses.shape) != 1 or addresses.shape[0] > MAX_EVENTS:
        raise UserError(f"{split}, {name}: addresses {addresses.shape} and timestamps {seconds.shape} do not agree")
    channels, times = np.asarray(addresses), np.asarray(seconds, dtype=np.float64)
    if channels.dtype.kind not in "iuf" or not (channels == np.rint(channels)).all():
        raise UserError(f"{split}, {name}: an address is no integer")
    if not (np.abs(times) < MAX_TIME_US / 1e6).all():
        raise UserError(f"{split}, {name}: a timestamp is no number of seconds in range")
    t = np.rint(times * 1e6).astype(np.int64)
    order = np.argsort(t, kind="stable")
    nothing = np.zeros(len(t), np.int64)
    return Encoded(channels[order].astype(np.int64), nothing, nothing, t[order])


SET = PublishedSet(
    task="ntidigits",
    layout=f"the file {FILE} with train_labels, train_addresses, train_timestamps and the same of test",
    sensor_size=(N_CHANNELS, 1, 1),
    place_of=lambda parts: Place() if parts[-1] == FILE else None,
    read=read_file,
    tonic=TonicSet("NTIDIGITS18", "NTIDIGITS18", ({},)),
)


@register_task("ntidigits", "N-TIDIGITS18: spoken digits, 64 cochlea channels (task.path: folder)", downloads=True)
def load(settings: TaskSettings, base_dir: Path, seed: int, progress: Progress) -> TaskData:
    """Load the single digits of the official splits."""
    return load_published(SET, settings, base_dir, seed, progress)
