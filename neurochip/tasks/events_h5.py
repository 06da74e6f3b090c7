"""Task `events-h5`: the user's own recordings in the project's HDF5 event format (docs/event-format.md)."""

from __future__ import annotations

from pathlib import Path

from neurochip.errors import UserError
from neurochip.tasks.registry import Progress, TaskData, TaskSettings, register_task


@register_task("events-h5", "recordings from an HDF5 event file (task.path); format: docs/event-format.md")
def load(settings: TaskSettings, base_dir: Path, seed: int, progress: Progress) -> TaskData:
    """Load the splits `train`, `test` and, if present, `validation` of the file `task.path`.

    A large file is never in memory as a whole: `prepare_large`.
    """
    from neurochip.event_blocks import count_events
    from neurochip.event_file import read_recordings, read_splits, read_text_attributes
    from neurochip.tasks import prepare_large
    from neurochip.tasks.digits_dvs import default_cache_dir
    from neurochip.tasks.prepare import prepare_task

    if not settings.path:
        raise UserError('task.path is missing; the task "events-h5" needs the name of an HDF5 event file')
    path = base_dir / Path(settings.path).expanduser()
    progress(f"{settings.name}: reading {path}")
    names = ["train", "test"]
    if "validation" in read_splits(path):
        names.append("validation")
    attributes = read_text_attributes(path)
    provenance = {
        "title": attributes.get("title", path.name),
        "source": settings.path,
        "licence": attributes.get("licence", attributes.get("license", "not stated in the file")),
    }
    if count_events(path) > prepare_large.LARGE_EVENTS:
        arguments = settings, seed, progress, provenance, default_cache_dir()
        return prepare_large.prepare_large_task(path, names, *arguments)
    splits = {name: read_recordings(path, name, settings.sensor_size) for name in names}
    return prepare_task(splits, settings, seed, progress, provenance, str(path))
