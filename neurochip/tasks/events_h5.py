"""Task `events-h5`: the user's own recordings in the project's HDF5 event format (docs/event-format.md)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from neurochip.errors import UserError
from neurochip.tasks.registry import Progress, TaskData, TaskSettings, register_task


@register_task("events-h5", "recordings from an HDF5 event file (task.path); format: docs/event-format.md")
def load(settings: TaskSettings, base_dir: Path, seed: int, progress: Progress) -> TaskData:
    """Load the splits `train`, `test` and, if present, `validation` of the file `task.path`."""
    from neurochip.event_file import read_class_names, read_text_attributes
    from neurochip.readers.hdf5 import check_readable

    if not settings.path:
        raise UserError('task.path is missing; the task "events-h5" needs the name of an HDF5 event file')
    path = base_dir / Path(settings.path).expanduser()
    progress(f"{settings.name}: reading {path}")
    if path.is_file():
        check_readable(path)
    attributes = read_text_attributes(path)
    provenance = {
        "title": attributes.get("title", path.name),
        "source": settings.path,
        "licence": attributes.get("licence", attributes.get("license", "not stated in the file")),
    }
    if names := read_class_names(path):
        provenance["class_names"] = ", ".join(names)
    return prepare_event_file(path, settings, seed, progress, provenance, str(path))


def prepare_event_file(
    path: Path, settings: TaskSettings, seed: int, progress: Progress, provenance: Mapping[str, str], where: str
) -> TaskData:
    """Turn the splits `train`, `test` and, if present, `validation` of an event file into a task.

    A large file is never in memory as a whole: `prepare_large`. Raises UserError as `prepare_task` does.
    """
    from neurochip.event_blocks import count_events
    from neurochip.event_file import read_recordings, read_splits
    from neurochip.tasks import prepare_large
    from neurochip.tasks.digits_dvs import default_cache_dir
    from neurochip.tasks.prepare import prepare_task
    from neurochip.tasks.transforms import transformed_event_file

    names = ["train", "test"]
    if "validation" in read_splits(path):
        names.append("validation")
    if count_events(path) <= prepare_large.LARGE_EVENTS:
        splits = {name: read_recordings(path, name, settings.sensor_size) for name in names}
        return prepare_task(splits, settings, seed, progress, provenance, where)
    cache_dir = default_cache_dir()
    if not settings.transforms:
        return prepare_large.prepare_large_task(path, names, settings, seed, progress, provenance, cache_dir)
    with transformed_event_file(path, names, settings, seed, cache_dir, progress) as (made, plain):
        return prepare_large.prepare_large_task(made, names, plain, seed, progress, provenance, cache_dir)
