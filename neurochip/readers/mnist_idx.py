"""MNIST's IDX files (yann.lecun.com/exdb/mnist): images [n, height, width] and labels [n] of bytes, also as `.gz`.

Labels lie in a second file: the one named, or the one beside the images under the published name (`images` becomes
`labels`, `idx3` becomes `idx1`, with or without `.gz`). A gzip file is unpacked once before the first image, so that
its check sum is known to be right.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from neurochip.errors import UserError
from neurochip.readers.recording import RawImage, RawItem, ReadOptions
from neurochip.readers.source import Probe

IMAGES_MAGIC = b"\0\0\x08\x03"
LABELS_MAGIC = b"\0\0\x08\x01"
GZIP_MAGIC = b"\x1f\x8b"
MAX_SIDE = 4096
STEP_BYTES = 2**20
MAX_GZIP_RATIO = 1040  # deflate packs at most 258 bytes into two bits
USES = frozenset({"labels_path"})


def matches(probe: Probe) -> bool:
    """Whether the file, or what it unpacks to, begins with the mark of IDX images."""
    return _begins(probe, IMAGES_MAGIC)


def matches_labels(probe: Probe) -> bool:
    """Whether the file, or what it unpacks to, begins with the mark of IDX labels."""
    return _begins(probe, LABELS_MAGIC)


def open_items(path: Path, options: ReadOptions, remarks: list[str]) -> Iterator[RawItem]:
    """Yield the images of an IDX file with their labels, one at a time."""
    n_images, height, width = _checked_shape(path, IMAGES_MAGIC)
    if max(height, width) > MAX_SIDE or min(height, width) < 1:
        raise UserError(f"the images are {width} x {height} pixels; allowed are sides of 1 to {MAX_SIDE}")
    labels_path = _labels_path(path) if options.labels_path is None else Path(options.labels_path)
    shown = f"{labels_path.name} beside it" if options.labels_path is None else labels_path
    try:
        if not labels_path.is_file():
            raise UserError("no such file")
        (n_labels,) = _checked_shape(labels_path, LABELS_MAGIC)
        if n_labels != n_images:
            raise UserError(f"{n_labels} labels for {n_images} images")
    except (UserError, OSError) as error:
        raise UserError(f"labels in {shown}: {error}") from None
    return _images(path, labels_path, (n_images, height, width))


def open_labels(path: Path, options: ReadOptions, remarks: list[str]) -> Iterator[RawItem]:
    """Refuse a labels file, which says nothing without its images."""
    raise UserError("holds the labels of MNIST images; give the file of the images")


def _images(path: Path, labels_path: Path, shape: tuple[int, int, int]) -> Iterator[RawItem]:
    n_images, height, width = shape
    with _opened(labels_path) as file:
        file.read(8)
        labels = file.read(n_images)
    split = {"train": "train", "t10k": "test"}.get(path.name.split("-")[0])
    with _opened(path) as file:
        file.read(16)
        for index in range(n_images):
            data = file.read(height * width)
            if len(data) < height * width or index >= len(labels):
                raise UserError(f"the file ends inside image {index} of {n_images}; it changed while it was read")
            pixels = np.frombuffer(data, np.uint8).reshape(height, width)
            yield RawImage(pixels, int(labels[index]), split)


def _begins(probe: Probe, magic: bytes) -> bool:
    if not probe.head.startswith(GZIP_MAGIC):
        return probe.head.startswith(magic)
    try:
        return zlib.decompressobj(wbits=31).decompress(probe.head, len(magic)) == magic
    except zlib.error:
        return False


def _opened(path: Path) -> BinaryIO:
    with path.open("rb") as file:
        packed = file.read(2) == GZIP_MAGIC
    return cast(BinaryIO, gzip.open(path, "rb")) if packed else path.open("rb")


def _checked_shape(path: Path, magic: bytes) -> tuple[int, ...]:
    """Return the shape a file declares, after counting that it holds exactly so many bytes."""
    n_dimensions = magic[3]
    try:
        with _opened(path) as file:
            head = file.read(4 + 4 * n_dimensions)
            if len(head) < 4 + 4 * n_dimensions or not head.startswith(magic):
                raise UserError(f"the file does not begin with the IDX mark {magic.hex()} and its shape")
            shape = tuple(np.frombuffer(head, ">u4", offset=4).tolist())
            declared, stored = 1, 0
            for length in shape:
                declared *= length
            if declared > path.stat().st_size * MAX_GZIP_RATIO:
                raise UserError(f"declares {declared} bytes, more than its {path.stat().st_size} can hold")
            while stored <= declared and (data := file.read(STEP_BYTES)):
                stored += len(data)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UserError(f"damaged gzip data ({error})") from None
    if stored != declared:
        more = "at least " if stored > declared else ""
        raise UserError(f"declares {' x '.join(map(str, shape))} bytes and holds {more}{stored}")
    return shape


def _labels_path(path: Path) -> Path:
    name = path.name.replace("images", "labels").replace("idx3", "idx1")
    bare = name.removesuffix(".gz")
    if bare == path.name.removesuffix(".gz"):
        raise UserError("labels_path must name the file of the labels: this name has no 'images' to replace")
    candidates = [path.with_name(name), path.with_name(bare), path.with_name(f"{bare}.gz")]
    return next((place for place in candidates if place.is_file()), candidates[0])
