"""The list of tasks. A module of this package becomes a task by calling `register_task`; nothing else changes."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from neurochip.errors import UserError
from neurochip.events import EventDataset, SensorSize

Progress = Callable[[str], None]


class TaskSettings(Protocol):
    """The `[task]` table of an experiment, and the width of an event."""

    @property
    def name(self) -> str: ...
    @property
    def path(self) -> str | None: ...
    @property
    def steps(self) -> int: ...
    @property
    def repeat(self) -> str: ...
    @property
    def classes(self) -> list[int] | None: ...
    @property
    def sensor_size(self) -> tuple[int, int, int] | None: ...
    @property
    def crop(self) -> tuple[int, int] | None: ...  # width, height
    @property
    def validation(self) -> float | None: ...
    @property
    def event_bits(self) -> int: ...
    @property
    def download(self) -> bool: ...
    @property
    def transforms(self) -> list[dict[str, Any]] | None: ...


@dataclass(frozen=True)
class TaskInfo:
    """Name and one-line description of a task."""

    name: str
    summary: str


@dataclass(frozen=True, eq=False)
class TaskData:
    """A task in steps: three splits, the raw label of every class index, where the data came from, whether another
    seed would give others, and how long a step lasts: the median of the training recordings, None where there is no
    time.
    """

    name: str
    train: EventDataset
    validation: EventDataset
    test: EventDataset
    classes: tuple[int, ...]
    sensor_size: SensorSize
    provenance: Mapping[str, str]
    is_seeded: bool = True
    step_us: float | None = None

    @property
    def n_inputs(self) -> int:
        """Number of input addresses: width * height * polarities."""
        return self.train.n_inputs

    @property
    def n_steps(self) -> int:
        """Number of time steps of every sample."""
        return self.train.n_steps


Loader = Callable[[TaskSettings, Path, int, Progress], TaskData]


@dataclass(frozen=True)
class _Registered:
    info: TaskInfo
    load: Loader
    downloads: bool


_TASKS: dict[str, _Registered] = {}


def register_task(name: str, summary: str, downloads: bool = False) -> Callable[[Loader], Loader]:
    """Make a function `load(settings, base_dir, seed, progress) -> TaskData` the task `name`.

    `downloads`: whether the function knows `task.download`, which is refused otherwise.
    """

    def register(load: Loader) -> Loader:
        _TASKS[name] = _Registered(TaskInfo(name, summary), load, downloads)
        return load

    return register


def list_tasks() -> list[TaskInfo]:
    """Return every task, sorted by name; imports no data library."""
    return [_tasks()[name].info for name in sorted(_tasks())]


def load_task(settings: TaskSettings, base_dir: Path, seed: int, progress: Progress | None = None) -> TaskData:
    """Load the task `settings.name` and sort its events into steps.

    `settings.path` is relative to `base_dir`; `seed` cuts a validation split where the data has none; `progress` is
    called with one line of text at every stage. Raises UserError for an unknown task or unusable settings or data.
    """
    tasks = _tasks()
    if settings.name not in tasks:
        raise UserError(f"task.name = {settings.name!r} is not a task; allowed are {', '.join(sorted(tasks))}")
    if settings.download and not tasks[settings.name].downloads:
        able = ", ".join(name for name in sorted(tasks) if tasks[name].downloads)
        raise UserError(f"task.download = true is not possible with {settings.name!r}; allowed are {able}")
    return tasks[settings.name].load(settings, Path(base_dir), seed, progress or (lambda message: None))


def _tasks() -> dict[str, _Registered]:
    package = importlib.import_module(__package__ or "neurochip.tasks")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")
    return _TASKS
