"""Task `cifar10-dvs`: images of CIFAR-10 moved in front of an event camera (Li et al. 2017)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from neurochip.readers.recording import ReadOptions
from neurochip.tasks.published import Part, PublishedSet, load_published, recorded
from neurochip.tasks.published_files import DataFile, Place
from neurochip.tasks.registry import Progress, TaskData, TaskSettings, register_task
from neurochip.tasks.tonic_download import TonicSet

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
TEST_SHARE = 0.1


def place_of(parts: tuple[str, ...]) -> Place | None:
    """CLASS/NAME.aedat4, or the authors' CLASS/NAME.aedat."""
    if not parts[-1].endswith((".aedat4", ".aedat")):
        return None
    if len(parts) < 2 or parts[-2] not in CLASSES:
        raise ValueError(f"lies in no folder {', '.join(CLASSES)}")
    return Place(None, CLASSES.index(parts[-2]))


def read_file(file: DataFile) -> Iterator[Part]:
    """One recording, put in order of time; its content says whether it is AEDAT 2 or 4."""
    return recorded(file, ReadOptions(sensor_size=SET.sensor_size, sort=True))


SET = PublishedSet(
    task="cifar10-dvs",
    layout="CLASS/NAME.aedat4 or CLASS/NAME.aedat with CLASS airplane to truck, or the archives airplane.zip and so on",
    sensor_size=(128, 128, 2),
    place_of=place_of,
    read=read_file,
    tonic=TonicSet("CIFAR10DVS", "CIFAR10DVS", ({},)),
    test_share=TEST_SHARE,
)


@register_task("cifar10-dvs", "CIFAR10-DVS: 10 classes of objects (task.path: folder)", downloads=True)
def load(settings: TaskSettings, base_dir: Path, seed: int, progress: Progress) -> TaskData:
    """Load the recordings; there is no official split, so a tenth of every class is tested."""
    return load_published(SET, settings, base_dir, seed, progress)
