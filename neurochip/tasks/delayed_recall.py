"""Task `delayed-recall`: a cue, a pause, a signal to answer; the class is the cue, so it has to be remembered.

After the pause nothing at the input tells the cue. With `learning.loss_start` at the signal, what a network says before
it neither learns nor counts: one whose neurons forget within the pause is at chance, whatever it learns.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neurochip.errors import UserError
from neurochip.events import EventDataset
from neurochip.tasks.registry import Progress, TaskData, TaskSettings, register_task

LINES_PER_SYMBOL = 10
N_CUES = 2
N_SYMBOLS = N_CUES + 1  # and the signal to answer
N_INPUTS = LINES_PER_SYMBOL * N_SYMBOLS
SHOWN_STEPS = 3
MIN_PAUSE_STEPS = 4
ACTIVE_RATE, BACKGROUND_RATE = 0.5, 0.02
SPLIT_SIZES = {"train": 2000, "validation": 200, "test": 500}
SPLIT_STREAMS = {"train": 0, "validation": 1, "test": 2}
MIN_STEPS = 2 * SHOWN_STEPS + MIN_PAUSE_STEPS


@register_task("delayed-recall", "a cue, a pause of task.steps - 6 steps, a signal to answer; needs memory (synthetic)")
def load(settings: TaskSettings, base_dir: Path, seed: int, progress: Progress) -> TaskData:
    """Draw the task; its splits depend on `task.steps` alone.

    Raises:
        UserError: a path, classes, a crop, transforms, a sensor size or a validation fraction, which this task does
            not have, or too few steps.
    """
    from neurochip.tasks.manifest import provenance

    size = (N_INPUTS, 1, 1)
    for key in ("path", "classes", "crop", "validation", "transforms"):
        value = getattr(settings, key)
        if value is not None:
            raise UserError(f'task.{key} = {value!r} is not allowed with "delayed-recall", which draws its own data')
    if settings.sensor_size is not None and tuple(settings.sensor_size) != size:
        raise UserError(f'task.sensor_size = {settings.sensor_size} is not allowed with "delayed-recall"; it is {size}')
    if settings.steps < MIN_STEPS:
        raise UserError(
            f'task.steps = {settings.steps} is too few for "delayed-recall"; allowed are {MIN_STEPS} or more'
        )
    progress(f"delayed-recall: drawing samples of {settings.steps} steps")
    splits = {name: draw(n, settings.steps, SPLIT_STREAMS[name]) for name, n in SPLIT_SIZES.items()}
    return TaskData(
        "delayed-recall",
        splits["train"],
        splits["validation"],
        splits["test"],
        tuple(range(N_CUES)),
        size,
        provenance("delayed-recall"),
    )


def draw(n_samples: int, n_steps: int, stream: int) -> EventDataset:
    """Draw samples with as many of every cue, events independent.

    Lines of the symbol shown fire with ACTIVE_RATE, all others with BACKGROUND_RATE; the cue is shown in the first, the
    signal to answer in the last SHOWN_STEPS steps.
    """
    rng = np.random.default_rng([n_steps, stream])
    cue = rng.permutation(np.arange(n_samples) % N_CUES)
    rates = np.full((n_samples, n_steps, N_SYMBOLS), BACKGROUND_RATE)
    rates[np.arange(n_samples), :SHOWN_STEPS, cue] = ACTIVE_RATE
    rates[:, n_steps - SHOWN_STEPS :, N_CUES] = ACTIVE_RATE
    fired = rng.random((n_samples, n_steps, N_INPUTS)) < np.repeat(rates, LINES_PER_SYMBOL, axis=2)
    return _dataset(fired, cue.astype(np.int32))


def _dataset(fired: NDArray[np.bool_], labels: NDArray[np.int32]) -> EventDataset:
    n_samples, n_steps, n_inputs = fired.shape
    _, _, addresses = np.nonzero(fired)
    offsets = np.zeros(n_samples * n_steps + 1, dtype=np.int64)
    np.cumsum(fired.sum(axis=2).ravel(), out=offsets[1:])
    magnitudes = np.ones(len(addresses), dtype=np.int32)
    return EventDataset(offsets, addresses.astype(np.int32), magnitudes, labels, n_inputs, n_steps)
