"""Task `nmnist`: N-MNIST, MNIST on a screen in front of a moving event camera (Orchard et al. 2015)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from neurochip.readers.recording import ReadOptions
from neurochip.tasks.published import Part, PublishedSet, load_published, recorded
from neurochip.tasks.published_files import DataFile, Place
from neurochip.tasks.registry import Progress, TaskData, TaskSettings, register_task
from neurochip.tasks.tonic_download import TonicSet


def place_of(parts: tuple[str, ...]) -> Place | None:
    """Train/DIGIT/NAME.bin."""
    if not parts[-1].endswith(".bin"):
        return None
    splits = [part.lower() for part in parts[:-2] if part.lower() in ("train", "test")]
    if not splits or len(parts[-2]) != 1 or parts[-2] not in "0123456789":
        raise ValueError("lies in no folder of a digit within Train or Test")
    return Place(splits[-1], int(parts[-2]))


def read_file(file: DataFile) -> Iterator[Part]:
    """One recording of three saccades."""
    return recorded(file, ReadOptions(format="nmnist-bin"))


SET = PublishedSet(
    task="nmnist",
    layout="Train/DIGIT/NAME.bin and Test/DIGIT/NAME.bin, or the archives of these",
    sensor_size=(34, 34, 2),
    place_of=place_of,
    read=read_file,
    tonic=TonicSet("NMNIST", "NMNIST", ({"train": True}, {"train": False})),
)


@register_task("nmnist", "N-MNIST: digits seen by a moving event camera (task.path: folder)", downloads=True)
def load(settings: TaskSettings, base_dir: Path, seed: int, progress: Progress) -> TaskData:
    """Load the official splits, or what is there of them."""
    return load_published(SET, settings, base_dir, seed, progress)
