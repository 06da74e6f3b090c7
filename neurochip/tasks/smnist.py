"""Task `smnist`: sequential MNIST in spikes, pixel by pixel (the task of Bellec et al. 2018, arXiv:1803.09574).

An image is the sequence g_0 ... g_783 of its pixels, row by row. With N = 99 neurons, H = 49 thresholds
theta_k = floor(254 k / (H - 1)):

    neuron N - k      fires at tick i if g_i < theta_k <= g_(i+1)      (up)
    neuron N - H - k  fires at tick i if g_(i+1) < theta_k <= g_i      (down)
    neuron 0          fires at tick i if g_i = 255                     (touch)

Every spike comes twice, at 2 i and 2 i + 1 milliseconds. These are tonic's numbers and defaults.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neurochip.encoding.encoded import Encoded
from neurochip.errors import UserError
from neurochip.tasks.published import Part, PublishedSet, load_published
from neurochip.tasks.published_files import DataFile, Place, Texts
from neurochip.tasks.registry import Progress, TaskData, TaskSettings, register_task
from neurochip.tasks.tonic_download import TonicSet

N_NEURONS = 99
HALF = N_NEURONS // 2
SIDE = 28
TICK_US = 1000
REPEATS = 2
WINDOW_US = (0, SIDE * SIDE * REPEATS * TICK_US - 1)
IMAGES = {"train-images-idx3-ubyte": "train", "t10k-images-idx3-ubyte": "test"}
LABELS_OF = {name: name.replace("images-idx3", "labels-idx1") for name in IMAGES}


def encode(pixels: NDArray[np.uint8]) -> Encoded:
    """Return the events of one image, uint8 [28, 28], ordered by time, then neuron."""
    grey = pixels.reshape(-1).astype(np.int64)
    thresholds = 254 * np.arange(HALF) // (HALF - 1)
    above = grey[:, None] >= thresholds
    up_tick, up = np.nonzero(~above[:-1] & above[1:])
    down_tick, down = np.nonzero(above[:-1] & ~above[1:])
    touch_tick = np.flatnonzero(grey == 255)
    ticks = np.concatenate([up_tick, down_tick, touch_tick])
    neurons = np.concatenate([N_NEURONS - up, N_NEURONS - HALF - down, np.zeros_like(touch_tick)])
    ticks = np.concatenate([ticks * REPEATS + repeat for repeat in range(REPEATS)])
    neurons = np.tile(neurons, REPEATS)
    order = np.lexsort((neurons, ticks))
    nothing = np.zeros(len(order), np.int64)
    return Encoded(neurons[order], nothing, nothing, ticks[order] * TICK_US)


def place_of(parts: tuple[str, ...]) -> Place | None:
    """The files of images, packed or not."""
    split = IMAGES.get(parts[-1].removesuffix(".gz"))
    return None if split is None else Place(split)


def is_labels(name: str) -> bool:
    """Whether a name is that of a file of labels, packed or not."""
    return name.removesuffix(".gz") in LABELS_OF.values()


def with_labels(files: list[DataFile], texts: Mapping[tuple[str, ...], Path], progress: Progress) -> list[DataFile]:
    """Return the files of images, each with that of its labels.

    Raises:
        UserError: if that of the labels is not there.
    """
    found = []
    for file in files:
        *folder, name = file.parts
        labels = LABELS_OF[name.removesuffix(".gz")]
        there = [texts[*folder, one] for one in (labels, f"{labels}.gz") if (*folder, one) in texts]
        if not there:
            raise UserError(f"{file.name}: {labels}, which holds its labels, does not lie beside it")
        found.append(replace(file, labels=there[0]))
    return found


def read_file(file: DataFile) -> Iterator[Part]:
    """The images of a file in spikes."""
    from neurochip.readers.recording import RawImage, ReadOptions
    from neurochip.readers.registry import read

    for item in read(file.path, ReadOptions(format="mnist-idx", labels_path=file.labels)):
        if not isinstance(item, RawImage) or item.pixels.shape != (SIDE, SIDE):
            raise UserError(f"{file.name}: holds no images of {SIDE} x {SIDE} pixels")
        if file.split is None or not isinstance(item.label, int):
            raise UserError(f"{file.name}: an image has no label")
        yield Part(file.split, item.label, True, encode(item.pixels))


SET = PublishedSet(
    task="smnist",
    layout=f"the four files {', '.join((*IMAGES, *LABELS_OF.values()))}, packed (.gz) or not",
    sensor_size=(N_NEURONS, 1, 1),
    place_of=place_of,
    read=read_file,
    tonic=TonicSet("SMNIST", "smnist", ({"train": True}, {"train": False})),
    window_us=WINDOW_US,
    texts=Texts(is_labels, with_labels),
)


@register_task("smnist", "S-MNIST: MNIST pixel by pixel, 99 threshold neurons (task.path: folder)", downloads=True)
def load(settings: TaskSettings, base_dir: Path, seed: int, progress: Progress) -> TaskData:
    """Load the official splits, or what is there of them."""
    return load_published(SET, settings, base_dir, seed, progress)
