"""Tasks that a process has loaded: most points of a sweep learn the same data."""

from __future__ import annotations

import threading
from collections import OrderedDict
from pathlib import Path

from neurochip.tasks import TaskData, TaskSettings, load_task
from neurochip.tasks.registry import Progress

MOST_BYTES = 1 << 28
ARRAYS = ("step_offsets", "addresses", "magnitudes", "labels")


class LoadedTasks:
    """Loads a task once while its file stays the same; keeps what was used last, up to `most_bytes`. Threads may share.

    A task with more bytes is not kept: learning it takes far longer than loading it.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._kept: OrderedDict[str, TaskData] = OrderedDict()
        self._lock = threading.Lock()

    def load(self, settings: TaskSettings, base_dir: Path, seed: int, progress: Progress) -> TaskData:
        """As `tasks.load_task`; the task is shared, so nobody may change it."""
        for_any, for_seed = _key(settings, base_dir, None), _key(settings, base_dir, seed)
        with self._lock:
            for key in (for_any, for_seed):
                if key in self._kept:
                    self._kept.move_to_end(key)
                    return self._kept[key]
        task = load_task(settings, base_dir, seed, progress)
        with self._lock:
            self._kept[for_seed if task.is_seeded else for_any] = task
            while sum(map(n_bytes, self._kept.values())) > self._most_bytes:
                self._kept.popitem(last=False)
        return task


def n_bytes(task: TaskData) -> int:
    """Memory of the events of a task."""
    return sum(getattr(split, name).nbytes for split in (task.train, task.validation, task.test) for name in ARRAYS)


def _key(settings: TaskSettings, base_dir: Path, seed: int | None) -> str:
    """All that a task depends on: its settings, which state of which file, and the seed, None if it plays no part."""
    stamp = None
    if settings.path:
        path = base_dir / Path(settings.path).expanduser()
        try:
            found = path.stat()
        except OSError:
            pass  # loading says what is wrong with it, and what cannot be loaded is not kept
        else:
            stamp = (str(path.resolve()), found.st_ino, found.st_size, found.st_mtime_ns)
    return repr((sorted(vars(settings).items()), str(base_dir), stamp, seed))
