"""Task `shd`: Spiking Heidelberg Digits, spoken digits through a model of the inner ear (Cramer et al. 2020)."""

from __future__ import annotations

from pathlib import Path

from neurochip.readers.recording import ReadOptions
from neurochip.tasks.published import PublishedSet, load_published, recorded
from neurochip.tasks.published_files import Place
from neurochip.tasks.registry import Progress, TaskData, TaskSettings, register_task
from neurochip.tasks.tonic_download import TonicSet

FILES = {"shd_train.h5": "train", "shd_test.h5": "test"}

SET = PublishedSet(
    task="shd",
    layout="the files shd_train.h5 and shd_test.h5, unpacked or packed (.h5.gz, .h5.zip)",
    sensor_size=(700, 1, 1),
    place_of=lambda parts: Place(FILES[parts[-1]]) if parts[-1] in FILES else None,
    read=lambda file: recorded(file, ReadOptions(format="shd-h5")),
    tonic=TonicSet("SHD", "SHD", ({"train": True}, {"train": False})),
)


@register_task("shd", "SHD: spoken digits, German and English, 700 channels (task.path: folder)", downloads=True)
def load(settings: TaskSettings, base_dir: Path, seed: int, progress: Progress) -> TaskData:
    """Load the official splits, or what is there of them."""
    return load_published(SET, settings, base_dir, seed, progress)
