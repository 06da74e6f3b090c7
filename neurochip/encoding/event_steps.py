"""Event recordings become time steps: a recording, or the window that all share, is cut into equal parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurochip.errors import UserError
from neurochip.event_blocks import sample_blocks
from neurochip.events import EventDataset, Recordings, Window

MAX_STEPS = 32767
BLOCK_EVENTS = 1 << 20
"""Events handled at once, so that the working memory does not grow with the data set."""


class _Block(NamedTuple):
    addresses: NDArray[np.int32]
    magnitudes: NDArray[np.int32]
    events_per_row: NDArray[np.int64]


def bin_events(
    recordings: Recordings, n_steps: int, repeat: str, class_labels: Sequence[int], max_magnitude: int
) -> EventDataset:
    """Sort the events of every recording into `n_steps` steps of ascending input addresses.

    address = p * width * height + y * width + x, so n_inputs = width * height * polarities
    step = floor((t - t_first) * n_steps / (t_last - t_first + 1)), in exact integers, with t_first and t_last the
    window of the recordings or, without one, the first and last event of each

    An address hit c times in a step is delivered once, with magnitude 1 (repeat = "once") or
    min(c, max_magnitude) (repeat = "count"). Label k of `class_labels` becomes class index k. Raises UserError for
    steps outside 1 to 32767, another `repeat`, max_magnitude < 1, or a recording with another label.
    """
    if isinstance(n_steps, bool) or not isinstance(n_steps, int | np.integer) or not 1 <= n_steps <= MAX_STEPS:
        raise UserError(f"task.steps = {n_steps!r} must be an integer from 1 to {MAX_STEPS}")
    if repeat not in ("once", "count"):
        raise UserError(f'task.repeat = {repeat!r} must be "once" or "count"')
    if max_magnitude < 1:
        raise UserError(f"the largest event magnitude is {max_magnitude}; it must be at least 1 (event.bits >= 1)")
    width, height, polarities = recordings.sensor_size
    n_inputs = width * height * polarities
    labels = _class_indices(recordings.labels, class_labels)
    largest = 1 if repeat == "once" else int(max_magnitude)
    ranges = sample_blocks(recordings.offsets, BLOCK_EVENTS)
    blocks = [_bin_block(recordings, first, last, n_steps, largest) for first, last in ranges]
    step_offsets = np.zeros(recordings.n_samples * n_steps + 1, dtype=np.int64)
    np.cumsum(np.concatenate([step_offsets[:0], *(b.events_per_row for b in blocks)]), out=step_offsets[1:])
    addresses = np.concatenate([np.zeros(0, np.int32), *(b.addresses for b in blocks)])
    magnitudes = np.concatenate([np.zeros(0, np.int32), *(b.magnitudes for b in blocks)])
    return EventDataset(step_offsets, addresses, magnitudes, labels, n_inputs, int(n_steps))


def _class_indices(labels: NDArray[np.int64], class_labels: Sequence[int]) -> NDArray[np.int32]:
    classes = np.asarray(class_labels, dtype=np.int64)
    order = np.argsort(classes)
    unknown = labels[~np.isin(labels, classes)]
    if len(unknown):
        raise UserError(f"label {unknown[0]} is not one of the classes {classes.tolist()}")
    return order[np.searchsorted(classes, labels, sorter=order)].astype(np.int32)


def _bin_block(recordings: Recordings, first: int, last: int, n_steps: int, largest: int) -> _Block:
    """Bin the samples `first` to `last - 1`."""
    width, height, polarities = recordings.sensor_size
    n_inputs = width * height * polarities
    offsets = recordings.offsets[first : last + 1]
    part = slice(offsets[0], offsets[-1])
    lengths = np.diff(offsets)
    x, y, p = (getattr(recordings, name)[part].astype(np.int64) for name in ("x", "y", "p"))
    # Sorting (row, address) as one integer orders a whole block at once.
    keys = _rows(recordings.t[part], lengths, n_steps, recordings.window_us) * n_inputs + (p * height + y) * width + x
    unique, counts = np.unique(keys, return_counts=True)
    rows, addresses = np.divmod(unique, n_inputs)
    return _Block(
        addresses.astype(np.int32),
        np.minimum(counts, largest).astype(np.int32),
        np.bincount(rows, minlength=(last - first) * n_steps),
    )


def _rows(
    times: NDArray[np.int64], lengths: NDArray[np.int64], n_steps: int, window: Window | None
) -> NDArray[np.int64]:
    """Return sample * n_steps + step of every event, samples counted from the start of the block."""
    filled = np.flatnonzero(lengths)
    lengths = lengths[filled]
    ends = np.cumsum(lengths)
    t_first, t_last = times[ends - lengths], times[ends - 1]
    if window is not None:
        t_first, t_last = np.full_like(t_first, window[0]), np.full_like(t_last, window[1])
    elapsed = times - np.repeat(t_first, lengths)
    steps: NDArray[np.int64] = elapsed * n_steps // np.repeat(t_last - t_first + 1, lengths)
    rows: NDArray[np.int64] = np.repeat(filled * n_steps, lengths) + steps
    return rows
