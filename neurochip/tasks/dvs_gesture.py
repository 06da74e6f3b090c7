"""Task `dvs-gesture`: DVS128 Gesture, 11 hand gestures of 29 people (Amir et al. 2017), as tonic publishes it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from neurochip.readers.recording import ReadOptions
from neurochip.tasks.published import Part, PublishedSet, load_published, recorded
from neurochip.tasks.published_files import DataFile, Place
from neurochip.tasks.registry import Progress, TaskData, TaskSettings, register_task
from neurochip.tasks.tonic_download import TonicSet

FOLDERS = {"ibmGestureTrain": "train", "ibmGestureTest": "test"}
N_CLASSES = 11


def place_of(parts: tuple[str, ...]) -> Place | None:
    """ibmGestureTrain/userNN_LIGHT/CLASS.npy."""
    stem, _, suffix = parts[-1].rpartition(".")
    if suffix == "aedat":
        raise ValueError("the original recordings are AEDAT 3.1, which is not read")
    if suffix != "npy":
        return None
    splits = [FOLDERS[part] for part in parts[:-2] if part in FOLDERS]
    if not splits or not stem.isdecimal() or int(stem) >= N_CLASSES:
        raise ValueError(f"is no user's gesture 0.npy to {N_CLASSES - 1}.npy within {' or '.join(FOLDERS)}")
    return Place(splits[-1], int(stem))


def read_file(file: DataFile) -> Iterator[Part]:
    """One gesture; columns x, y, p and t in milliseconds, put in order of time."""
    options = ReadOptions(format="event-array", columns="xypt", time_unit="ms", sensor_size=SET.sensor_size, sort=True)
    return recorded(file, options)


SET = PublishedSet(
    task="dvs-gesture",
    layout="ibmGestureTrain/userNN_LIGHT/CLASS.npy and ibmGestureTest/userNN_LIGHT/CLASS.npy with CLASS 0 to 10, or "
    "the archives of these",
    sensor_size=(128, 128, 2),
    place_of=place_of,
    read=read_file,
    tonic=TonicSet("DVSGesture", "DVSGesture", ({"train": True}, {"train": False})),
)


@register_task("dvs-gesture", "DVS128 Gesture: 11 hand gestures, tonic's .npy (task.path: folder)", downloads=True)
def load(settings: TaskSettings, base_dir: Path, seed: int, progress: Progress) -> TaskData:
    """Load the official splits (users 1 to 23 and 24 to 29), or what is there of them."""
    return load_published(SET, settings, base_dir, seed, progress)
