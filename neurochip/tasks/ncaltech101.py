"""Task `ncaltech101`: N-Caltech101, Caltech101 on a screen in front of a moving event camera (Orchard et al. 2015)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from neurochip.readers.recording import ReadOptions
from neurochip.tasks.published import Part, PublishedSet, load_published, recorded
from neurochip.tasks.published_files import DataFile, Place
from neurochip.tasks.registry import Progress, TaskData, TaskSettings, register_task
from neurochip.tasks.tonic_download import TonicSet

TEST_SHARE = 0.2


def place_of(parts: tuple[str, ...]) -> Place | None:
    """CLASS/image_NNNN.bin; the boxes of the annotations (CLASS/annotation_NNNN.bin) are of another format."""
    if not parts[-1].endswith(".bin") or parts[-1].startswith("annotation"):
        return None
    if len(parts) < 2:
        raise ValueError("lies in no folder of a class")
    return Place(None, parts[-2])


def read_file(file: DataFile) -> Iterator[Part]:
    """One recording of three saccades, put in order of time; images of all sizes begin at pixel 0, 0 of one sensor."""
    return recorded(file, ReadOptions(format="nmnist-bin", sensor_size=SET.sensor_size, sort=True))


SET = PublishedSet(
    task="ncaltech101",
    layout="CLASS/image_NNNN.bin, or the archive Caltech101.zip of these",
    sensor_size=(240, 180, 2),
    place_of=place_of,
    read=read_file,
    tonic=TonicSet("NCALTECH101", "NCALTECH101", ({},)),
    test_share=TEST_SHARE,
)


@register_task("ncaltech101", "N-Caltech101: objects seen by a moving event camera (task.path: folder)", downloads=True)
def load(settings: TaskSettings, base_dir: Path, seed: int, progress: Progress) -> TaskData:
    """Load the recordings; labels number the class folders that are there, by name; a fifth of each is tested."""
    return load_published(SET, settings, base_dir, seed, progress)
