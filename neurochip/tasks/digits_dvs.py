"""Task `digits-dvs`: scikit-learn's handwritten digits moved in front of a simulated event camera.

It needs no download: the images come with scikit-learn, the camera is `encoding.dvs_camera`, and the recordings are
kept as an event file in the user's cache folder.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from neurochip.encoding import dvs_camera
from neurochip.encoding.dvs_camera import DvsCamera
from neurochip.errors import UserError
from neurochip.events import Recordings
from neurochip.tasks import splits
from neurochip.tasks.registry import Progress, TaskData, TaskSettings, register_task

CAMERA = DvsCamera(
    sensor_pixels=16,
    digit_pixels=14,
    corners_subpixels=((-80, -80), (80, -80), (0, 80)),
    saccade_us=100_000,
    frame_us=2_000,
    levels=255,
    dark_level=64,
    log_scale=1000,
    threshold=500,
)
IMAGE_MAXIMUM = 16
SPLIT_SIZES = {"train": 1197, "validation": 200, "test": 400}
SPLIT_SEED = "digits-dvs"


@register_task("digits-dvs", "scikit-learn's 8x8 digits seen by a simulated 16x16 event camera (default; no download)")
def load(settings: TaskSettings, base_dir: Path, seed: int, progress: Progress) -> TaskData:
    """Load the task; its splits are fixed and depend on neither `seed` nor `base_dir`."""
    from neurochip.tasks.manifest import provenance
    from neurochip.tasks.prepare import prepare_task

    size = (CAMERA.sensor_pixels, CAMERA.sensor_pixels, 2)
    if settings.path is not None:
        raise UserError(f'task.path = {settings.path!r} is not allowed with "digits-dvs", which needs no file')
    if settings.sensor_size is not None and tuple(settings.sensor_size) != size:
        raise UserError(f'task.sensor_size = {settings.sensor_size} is not allowed with "digits-dvs"; it is {size}')
    recordings = cached_recordings(default_cache_dir(), progress)
    return prepare_task(recordings, settings, seed, progress, provenance("digits-dvs"), "digits-dvs")


def default_cache_dir() -> Path:
    """Return the folder for generated recordings; the environment can move it (platformdirs)."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("neurochip"))


def cached_recordings(cache_dir: Path, progress: Progress | None = None) -> dict[str, Recordings]:
    """Return the recordings of every split from the cache, or make them and put them there.

    A damaged cache file is made again; a folder that cannot be written costs a note and nothing else.
    """
    from neurochip.event_file import write_recordings

    note: Progress = progress or (lambda message: None)
    images, labels = read_digits()
    key = _cache_key(images, labels)
    path = cache_dir / f"digits-dvs-{key[:16]}.h5"
    found = _read_cache(path, note)
    if found is not None:
        return found
    note("digits-dvs: recording the digits with the simulated camera")
    made = make_recordings(images, labels)
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
        write_recordings(path, made, {"title": "digits-dvs", "key": key, "events_sha256": events_sha256(made)})
        note(f"digits-dvs: recordings kept in {path}")
    except OSError as error:
        note(f"digits-dvs: recordings not kept, the cache folder {cache_dir} cannot be written ({error})")
    return made


def _read_cache(path: Path, note: Progress) -> dict[str, Recordings] | None:
    from neurochip.event_file import read_recordings, read_text_attributes

    try:
        if not path.exists():
            return None
        found = {name: read_recordings(path, name) for name in SPLIT_SIZES}
        if read_text_attributes(path).get("events_sha256") == events_sha256(found):
            return found
        note(f"digits-dvs: {path} does not hold what was written; making it again")
    except (UserError, OSError) as error:
        note(f"digits-dvs: the cache cannot be used ({error}); making the recordings again")
    return None


def make_recordings(images: np.ndarray, labels: np.ndarray) -> dict[str, Recordings]:
    """Record every image and cut the recordings into train, validation and test."""
    everything = dvs_camera.record(CAMERA, images, labels, IMAGE_MAXIMUM)
    parts = splits.stratified_split(labels, tuple(SPLIT_SIZES.values()), SPLIT_SEED)
    return {name: everything.take(part) for name, part in zip(SPLIT_SIZES, parts, strict=True)}


def read_digits() -> tuple[np.ndarray, np.ndarray]:
    """Return the images, int64 [1797, 8, 8] with values 0 to 16, and their labels."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    return digits.images.astype(np.int64), digits.target.astype(np.int64)


def _cache_key(images: np.ndarray, labels: np.ndarray) -> str:
    """Return a hash of everything the recordings follow from: data, parameters and the code that makes them."""
    digest = hashlib.sha256(repr((CAMERA, IMAGE_MAXIMUM, SPLIT_SIZES, SPLIT_SEED)).encode())
    for module in (__file__, dvs_camera.__file__, splits.__file__):
        digest.update(Path(module).read_bytes())
    for array in (images, labels):
        digest.update(np.ascontiguousarray(array, dtype="<i8").data)
    return digest.hexdigest()


def events_sha256(recordings: dict[str, Recordings]) -> str:
    """Return the SHA-256 (hex) of the recordings of all splits."""
    return hashlib.sha256("".join(recordings[name].sha256() for name in sorted(recordings)).encode()).hexdigest()
